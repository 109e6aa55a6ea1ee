// The pictures below the samples: scenes, and a background map.

import { baseUrl, fold, make } from "./elements.js";
import { Part } from "./part.js";
import { SLOW } from "./status.js";

export class Scenes extends Part {
  constructor(panel) {
    super(panel);
    this.scenes = [];
    this.layers = new Map(); // scene name: {scene, layer, bands, stretch, opacity, shown}
    this.base = null; // the background map
  }

  build() {
    this.box = make("div", { class: "sample-map-scenes" });
    this.part = fold("layers", this.t("Scenes and colours"), [this.box]);
  }

  /** The scene that is drawn upon. */
  image() {
    return this.scenes[0]?.name ?? "";
  }

  take(scenes) {
    this.scenes = scenes;
    for (const scene of scenes) this.add(scene);
  }

  /** Show the whole of the first scene, unless somebody has moved the map. */
  fit() {
    const { map, model } = this.panel;
    const size = map.getSize();
    if (!size.x || !size.y) return map.once("resize", () => this.fit()); // a tab not shown yet
    const [latitude, longitude, zoom] = model.get("begin");
    const { lat, lng } = map.getCenter();
    const isMoved =
      map.getZoom() !== zoom ||
      Math.abs(lat - latitude) > 1e-6 ||
      Math.abs(lng - longitude) > 1e-6;
    if (isMoved || !this.scenes.length) return;
    map.fitBounds(corners(this.scenes[0]), { animate: false });
  }

  add(scene) {
    if (this.layers.has(scene.name)) return;
    const bands = scene.natural.slice();
    const look = { scene, bands, stretch: "2,98", opacity: 1, shown: true, layer: null };
    this.layers.set(scene.name, look);
    this.draw(look);
  }

  draw(look) {
    look.layer?.remove();
    if (!look.shown) return;
    const { status, L, map } = this.panel;
    const { name, stamp } = look.scene;
    const shown = { scene: name, bands: look.bands.join(","), stretch: look.stretch, v: stamp };
    const address = `${baseUrl()}sample_map/tiles/{z}/{x}/{y}.png?${new URLSearchParams(shown)}`;
    look.layer = L.tileLayer(address, {
      bounds: corners(look.scene),
      maxZoom: 22,
      opacity: look.opacity,
      className: "sample-map-tile",
      zIndex: 100 - this.scenes.indexOf(look.scene), // the first one lies on top
    });
    look.layer.on("tileerror", () => {
      status.sayError(
        this.t("A part of the scene {name} cannot be shown; is the file still there?", { name }),
      );
    });
    this.tellSlow(look.layer);
    look.layer.addTo(map);
  }

  /** Say that a scene is being read, if that takes long. */
  tellSlow(layer) {
    const { status } = this.panel;
    let slow = null;
    layer.on("loading", () => {
      clearTimeout(slow);
      slow = setTimeout(() => status.tell(this.t("The scene is being read ..."), "reading"), SLOW);
    });
    layer.on("load remove", () => {
      clearTimeout(slow);
      status.unsay("reading");
    });
  }

  show() {
    const rows = [...this.layers.values()].map((look) => this.row(look));
    this.box.replaceChildren(...rows, this.form(), ...this.basemapRow());
  }

  form() {
    const name = make("input", {
      type: "text",
      placeholder: "home/scene.tif",
      "aria-label": this.t("Name of another scene"),
    });
    const add = make("button", { type: "submit" }, [this.t("Add scene")]);
    const form = make("form", { class: "sample-map-row" }, [name, add]);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const reply = await this.ask("add_scene", { name: name.value.trim() });
      if (reply.error) return;
      this.take(reply.scenes);
      this.show();
    };
    return form;
  }

  row(look) {
    const shown = make("input", { type: "checkbox" });
    shown.checked = look.shown;
    shown.onchange = () => {
      look.shown = shown.checked;
      this.draw(look);
    };
    return make("div", { class: "sample-map-scene" }, [
      make("label", {}, [shown, ` ${look.scene.name}`]),
      make("div", { class: "sample-map-bands" }, [
        ...this.bandChoices(look),
        this.stretches(look),
      ]),
      make("label", { class: "sample-map-row" }, [this.t("Opacity"), this.opacity(look)]),
    ]);
  }

  opacity(look) {
    const slider = make("input", {
      type: "range",
      min: "0",
      max: "100",
      value: String(look.opacity * 100),
      "aria-label": this.t("Opacity"),
    });
    slider.oninput = () => {
      look.opacity = slider.value / 100;
      look.layer?.setOpacity(look.opacity);
    };
    return slider;
  }

  bandChoices(look) {
    const options = look.scene.bands.map((band, n) => [String(n + 1), band]);
    return [this.t("Red"), this.t("Green"), this.t("Blue")].map((title, i) =>
      this.choice(title, options, String(look.bands[i]), (value) => {
        look.bands[i] = Number(value);
        this.draw(look);
      }),
    );
  }

  stretches(look) {
    const options = [
      ["0,100", this.t("all values")],
      ["1,99", "1–99 %"],
      ["2,98", "2–98 %"],
      ["5,95", "5–95 %"],
      ["10,90", "10–90 %"],
    ];
    return this.choice(this.t("Stretch"), options, look.stretch, (value) => {
      look.stretch = value;
      this.draw(look);
    });
  }

  choice(title, options, value, chosen) {
    const entries = options.map(([key, text]) => make("option", { value: key }, [text]));
    const select = make("select", { "aria-label": title }, entries);
    select.value = value;
    select.onchange = () => chosen(select.value);
    return make("label", {}, [title, select]);
  }

  basemapRow() {
    if (!this.panel.model.get("basemap")) return [];
    const shown = make("input", { type: "checkbox", class: "sample-map-basemap" });
    shown.checked = Boolean(this.base);
    shown.onchange = () => (shown.checked ? this.showBasemap() : this.dropBasemap());
    return [make("label", {}, [shown, ` ${this.t("Background map")}`])];
  }

  showBasemap() {
    const address = this.panel.model.get("basemap");
    if (!address) return;
    const base = this.panel.L.tileLayer(address, { zIndex: 1, maxZoom: 19 });
    this.base = base;
    let loaded = false;
    base.on("tileload", () => {
      loaded = true;
    });
    base.on("tileerror", () => {
      if (loaded || !this.base) return;
      this.dropBasemap();
      this.show();
      this.panel.status.sayError(this.t("The background map cannot be reached, so it is off."));
    });
    base.addTo(this.panel.map);
  }

  dropBasemap() {
    this.base?.remove();
    this.base = null;
  }
}

function corners({ bounds: [south, west, north, east] }) {
  return [
    [south, west],
    [north, east],
  ];
}
