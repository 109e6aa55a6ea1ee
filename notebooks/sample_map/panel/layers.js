// The layers: their order, how they are shown, and the legends of maps.

import { fold, make, makeButton } from "./elements.js";
import { icon } from "./icons.js";
import { LayerDetails } from "./layer_details.js";
import { Part } from "./part.js";
import { Pictures } from "./pictures.js";
import { askServer } from "./server.js";
import { SLOW } from "./status.js";

const SILENT = 10000; // ms without a tile after which a background cannot be reached
const STILL = 2; // pixels by which a map moves when it gets another size

export class Layers extends Part {
  constructor(panel) {
    super(panel);
    this.all = []; // as the kernel told them, the topmost first
    this.removed = null; // title of what was removed last
    this.scene = ""; // what is drawn upon
    this.unfolded = null; // key of the layer whose details are shown
    this.outlines = "filled"; // how training polygons are shown: filled, outlines, hidden
    this.details = new LayerDetails(panel);
  }

  build() {
    this.box = make("div", { class: "sample-map-layers" });
    this.forms = [this.form(), this.backgroundForm()]; // what is typed outlives what is shown anew
  }

  begin(map) {
    this.attribution = this.panel.L.control.attribution({
      prefix: false,
      position: "bottomright",
    });
    this.attribution.addTo(map);
    map.on("resize", () => this.refit());
    this.pictures = new Pictures(this.panel.L, map, {
      failed: (layer, picture) => this.failed(layer, picture),
      added: (layer, picture) => this.watch(layer, picture),
    });
  }

  get(key) {
    return this.all.find((layer) => layer.key === key);
  }

  get shown() {
    return this.all.filter((layer) => layer.shown);
  }

  /** The scene that is drawn upon. */
  image() {
    return this.scene;
  }

  take({ layers, removed, scene, view }) {
    const known = new Set(this.all.map((layer) => layer.key));
    const added = layers.filter((layer) => !known.has(layer.key) && layer.kind === "map");
    if (added.length) this.unfolded = added[0].key;
    this.all = layers;
    this.removed = removed;
    this.scene = scene;
    this.outlines = view.polygons;
    this.panel.compare.take(view);
    this.panel.shapes.redraw();
    this.panel.compare.refresh();
    this.show();
  }

  /** Show the whole of the first scene, unless somebody has moved the map. */
  fit() {
    const { map, model } = this.panel;
    const [latitude, longitude, zoom] = model.get("begin");
    const away = map.project(map.getCenter()).distanceTo(map.project([latitude, longitude]));
    const isMoved = map.getZoom() !== zoom || away > STILL;
    map.invalidateSize({ pan: false }); // the panel has taken its part of the width by now
    const size = map.getSize();
    if (!size.x || !size.y) return map.once("resize", () => this.fit()); // a tab not shown yet
    if (!isMoved) this.fitScene();
  }

  /** Show the whole of what is drawn upon. */
  fitScene() {
    const scene = this.all.find((layer) => layer.name === this.scene);
    if (scene) this.zoomTo(scene);
  }

  zoomTo({ bounds }) {
    const [south, west, north, east] = bounds;
    const corners = [
      [south, west],
      [north, east],
    ];
    const { map } = this.panel;
    map.fitBounds(corners, { animate: false });
    this.fitted = { bounds, center: map.getCenter(), zoom: map.getZoom() };
  }

  /** The map has another size: what was shown as a whole still is. */
  refit() {
    const { map } = this.panel;
    if (!this.fitted || map.getZoom() !== this.fitted.zoom) return;
    const moved = map.project(map.getCenter()).distanceTo(map.project(this.fitted.center));
    if (moved <= STILL) this.zoomTo(this.fitted);
  }

  failed(layer, picture) {
    const { status } = this.panel;
    if (layer.kind !== "background") {
      const text = this.t("A part of {name} cannot be shown; is the file still there?", {
        name: layer.title,
      });
      return status.sayError(text);
    }
    if (!picture.hasLoaded) this.switchOff(layer, picture);
  }

  /** A background of which nothing came is off; it may have been put away meanwhile. */
  switchOff(layer, picture) {
    if (this.pictures.at(layer.key) !== picture) return;
    this.pictures.drop(layer.key);
    this.change(this.get(layer.key), { shown: false }); // as it was told last
    this.show();
    this.panel.status.sayError(this.t("The background map cannot be reached, so it is off."));
  }

  /** Have nobody wait unknowing for a picture. */
  watch(layer, picture) {
    if (layer.kind !== "background") return this.tellSlow(picture);
    const late = setTimeout(() => this.switchOff(layer, picture), SILENT);
    picture.once("tileload remove", () => clearTimeout(late));
  }

  /** Say that a scene is being read, if that takes long. */
  tellSlow(picture) {
    const { status } = this.panel;
    let slow = null;
    picture.on("loading", () => {
      clearTimeout(slow);
      slow = setTimeout(() => status.tell(this.t("The scene is being read ..."), "reading"), SLOW);
    });
    picture.on("load remove", () => {
      clearTimeout(slow);
      status.unsay("reading");
    });
  }

  /** Show a layer otherwise: here at once, and in every tab when the kernel has told them. */
  change(layer, changes) {
    Object.assign(layer, changes);
    this.panel.compare.refresh();
    return this.ask("change_layer", { key: layer.key, changes });
  }

  show() {
    const focused = document.activeElement?.dataset?.focus;
    this.box.replaceChildren(
      this.panel.compare.row(),
      this.polygonRow(),
      ...this.all.map((layer, place) => this.row(layer, place)),
      ...this.removedRow(),
    );
    if (focused) this.box.querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  polygonRow() {
    const options = [
      ["filled", this.t("filled")],
      ["outlines", this.t("outlines")],
      ["hidden", this.t("hidden")],
    ];
    const select = this.details.select(this.t("Training polygons"), options, this.outlines);
    select.className = "sample-map-polygons";
    select.onchange = () => {
      this.outlines = select.value;
      this.panel.shapes.redraw();
      this.ask("change_view", { changes: { polygons: this.outlines } });
    };
    return make("label", { class: "sample-map-row" }, [this.t("Training polygons"), select]);
  }

  row(layer, place) {
    const isUnfolded = layer.key === this.unfolded;
    const title = `${this.kindOf(layer)} · ${layer.title}`;
    const box = make("input", {
      type: "checkbox",
      "aria-label": title,
      "data-focus": `${layer.key}-shown`,
    });
    box.checked = layer.shown;
    box.onchange = () => {
      this.change(layer, { shown: box.checked });
    };
    const name = makeButton(
      [title],
      { class: "sample-map-layer-name", "aria-expanded": String(isUnfolded), title: layer.name },
      () => this.unfold(isUnfolded ? null : layer.key),
    );
    const head = [box, name, ...this.acts(layer, place)];
    const row = { class: "sample-map-layer", "data-kind": layer.kind, "data-name": layer.name };
    return make("div", row, [
      make("div", { class: "sample-map-layer-head" }, head),
      ...(isUnfolded ? this.details.of(layer) : []),
    ]);
  }

  kindOf({ kind, colors, bands }) {
    if (kind === "probabilities") {
      return this.t("Probability of {class}", { class: bands[colors[0] - 1].name });
    }
    return {
      scene: this.t("Scene"),
      map: this.t("Map"),
      confidence: this.t("Confidence"),
      unknown: this.t("Unknown"),
      background: this.t("Background"),
    }[kind];
  }

  acts(layer, place) {
    const act = (name, text, onclick) =>
      makeButton(
        [icon(name)],
        {
          class: `sample-map-layer-${name}`,
          title: text,
          "aria-label": `${text}: ${layer.title}`,
          "data-focus": `${layer.key}-${name}`,
        },
        onclick,
      );
    const move = (to) => () => this.ask("move_layer", { key: layer.key, place: to });
    const [up, down] = [
      act("up", this.t("Move up"), move(place - 1)),
      act("down", this.t("Move down"), move(place + 1)),
    ];
    up.disabled = place === 0;
    down.disabled = place === this.all.length - 1;
    const fit = act("fit", this.t("Zoom to it"), () => this.zoomTo(layer));
    const remove = act("remove", this.t("Remove from the map"), () =>
      this.ask("remove_layer", { key: layer.key }),
    );
    return layer.bounds ? [up, down, fit, remove] : [up, down, remove];
  }

  unfold(key) {
    this.unfolded = key;
    this.show();
  }

  removedRow() {
    if (!this.removed) return [];
    const back = makeButton([this.t("Bring it back")], { class: "sample-map-restore" }, () =>
      this.ask("restore_layer"),
    );
    const text = this.t("Removed: {name}", { name: this.removed });
    return [make("div", { class: "sample-map-row sample-map-removed" }, [text, back])];
  }

  form() {
    const name = this.input("home/scene.tif", this.t("Name of a scene or map"));
    const id = `rasters-${this.panel.kernel.view}`;
    name.setAttribute("list", id);
    this.known = make("datalist", { id });
    return this.formOf([name, this.known], this.t("Add layer"), () => ({
      verb: "add_layer",
      content: { name: name.value.trim() },
    }));
  }

  backgroundForm() {
    const title = this.input(this.t("Name"), this.t("Name of the background"));
    const address = this.input(
      "https://.../{z}/{x}/{y}.png",
      this.t("Address of tiles or of a WMS"),
    );
    const wms = this.input(this.t("WMS layers"), this.t("WMS layers"));
    const attribution = this.input(this.t("Attribution"), this.t("Attribution"));
    const form = this.formOf([title, address, wms, attribution], this.t("Add background"), () => ({
      verb: "add_background",
      content: {
        title: title.value,
        address: address.value.trim(),
        wms: wms.value.trim(),
        attribution: attribution.value,
      },
    }));
    return fold("background", this.t("Background map"), [form]);
  }

  /** Offer the rasters that the storage holds. */
  async offer() {
    const { names = [] } = await askServer("names");
    const rasters = names.filter((name) => /\.tiff?$/i.test(name));
    this.known.replaceChildren(...rasters.map((name) => make("option", { value: name })));
  }

  input(placeholder, label) {
    return make("input", { type: "text", placeholder, "aria-label": label });
  }

  formOf(inputs, text, question) {
    const row = { class: "sample-map-row" };
    const form = make("form", row, [...inputs, make("button", { type: "submit" }, [text])]);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const { verb, content } = question();
      const reply = await this.ask(verb, content);
      if (!reply.error) form.reset();
    };
    return form;
  }
}
