// Two layers against one another: with a curtain between them, or on two maps that move as one.

import { make } from "./elements.js";
import { Part } from "./part.js";
import { Pictures } from "./pictures.js";

export class Compare extends Part {
  constructor(panel) {
    super(panel);
    this.mode = "off"; // off, swipe, beside
    this.left = this.right = ""; // keys of layers
    this.curtain = this.second = null;
    this.place = null; // of the curtain, as its slider says it
  }

  row() {
    const { details } = this.panel.layers;
    const modes = [
      ["off", this.t("one view")],
      ["swipe", this.t("swipe")],
      ["beside", this.t("side by side")],
    ];
    const mode = details.select(this.t("Compare"), modes, this.mode);
    mode.className = "sample-map-compare";
    mode.onchange = () => this.use(mode.value);
    const sides = this.mode === "off" ? [] : [this.side("left"), this.side("right")];
    const label = make("label", { class: "sample-map-row" }, [this.t("Compare"), mode]);
    return make("div", { class: "sample-map-comparing" }, [label, ...sides]);
  }

  side(which) {
    const { layers } = this.panel;
    const title = { left: this.t("Left"), right: this.t("Right") }[which];
    const options = layers.all.map((layer) => [
      layer.key,
      `${layers.kindOf(layer)} · ${layer.title}`,
    ]);
    const label = layers.details.choice(title, options, this[which], (key) => {
      this[which] = key;
      this.refresh();
      this.tell();
    });
    label.className = `sample-map-row sample-map-side-${which}`;
    return label;
  }

  use(mode) {
    this.mode = mode;
    const { layers } = this.panel;
    if (mode !== "off" && !(layers.get(this.left) && layers.get(this.right))) this.choose();
    this.refresh();
    layers.show();
    this.tell();
  }

  /** Show what is compared in another tab. */
  take({ compare, left, right }) {
    Object.assign(this, { mode: compare, left, right });
  }

  /** Have the other tabs compare the same. */
  tell() {
    const { mode, left, right } = this;
    return this.ask("change_view", { changes: { compare: mode, left, right } });
  }

  /** The topmost shown picture to the left, and the scene, or what lies below, to the right. */
  choose() {
    const { all, shown } = this.panel.layers;
    const [first, ...others] = [...shown, ...all.filter((layer) => !layer.shown)];
    const second = others.find((layer) => layer.kind === "scene") ?? others[0] ?? first;
    [this.left, this.right] = [first?.key ?? "", second?.key ?? ""];
  }

  /** Show the layers as they are now, and those that are compared against one another. */
  refresh() {
    const { map, layers } = this.panel;
    if (!map) return;
    this.endSwipe(); // while the pictures that it cuts are there, of which one may be a hidden layer's
    if (this.mode !== "beside") this.endBeside();
    const [left, right] = [this.left, this.right].map((key) => layers.get(key));
    const areBoth = left && right;
    if (areBoth && left !== right && this.mode === "swipe") return this.swipe(left, right);
    layers.pictures.show(layers.shown);
    if (areBoth && this.mode === "beside") this.beside(right);
  }

  /** Draw both and no others but backgrounds, which would cover them, cut at the curtain. */
  swipe(left, right) {
    const { L, map, layers } = this.panel;
    const isDrawn = (one) => one === left || one === right;
    const isBelow = (one) => one.shown && one.kind === "background";
    layers.pictures.show(layers.all.filter((one) => isDrawn(one) || isBelow(one)));
    const [one, other] = [left, right].map(({ key }) => layers.pictures.at(key));
    this.curtain = L.control.splitMap([one], [other]).addTo(map);
    const range = this.range;
    L.DomEvent.disableClickPropagation(range); // to drag the curtain draws nothing
    range.setAttribute("aria-label", this.t("Curtain between left and right"));
    if (this.place === null) return;
    range.value = this.place; // where it was before something else changed
    range.dispatchEvent(new Event("input"));
  }

  /** The slider by which the curtain is moved. */
  get range() {
    return this.panel.map.getContainer().querySelector('input[type="range"]');
  }

  endSwipe() {
    if (!this.curtain) return;
    this.place = this.range.value;
    const { layers } = this.panel;
    this.curtain.remove();
    this.curtain = null;
    for (const { picture } of layers.pictures.drawn.values())
      picture.getContainer().style.clip = "";
  }

  /** Show one layer on a second map, which moves with the first. */
  beside(layer) {
    if (!this.second) this.openSecond();
    this.second.pictures.show([{ ...layer, opacity: 1 }]);
  }

  /** Put a second map between the first and the panel. */
  openSecond() {
    const { L, map, box, el } = this.panel;
    const element = make("div", { class: "sample-map-second" });
    const child = [...box.children].find((one) => one.contains(el));
    box.insertBefore(element, child);
    box.classList.add("sample-map-beside");
    map.invalidateSize();
    const second = L.map(element, {
      center: map.getCenter(),
      zoom: map.getZoom(),
      zoomSnap: map.options.zoomSnap,
      zoomControl: false,
    });
    second.attributionControl.setPrefix(false);
    this.second = { element, map: second, pictures: new Pictures(L, second) };
    second.on("click", ({ latlng }) => this.panel.inspector.clicked(latlng));
    this.link(map, second);
  }

  /** Move each map as the other, and mark on each where the pointer is on the other. */
  link(first, second) {
    const { L } = this.panel;
    let isFollowing = false;
    const follow = (from, to) => () => {
      if (isFollowing) return;
      isFollowing = true;
      to.setView(from.getCenter(), from.getZoom(), { animate: false });
      isFollowing = false;
    };
    const mark = (to) => {
      const style = {
        radius: 6,
        weight: 2,
        color: "#000000",
        fillColor: "#ffffff",
        interactive: false,
        pmIgnore: true,
      };
      const marker = L.circleMarker(to.getCenter(), style);
      return [(event) => marker.setLatLng(event.latlng).addTo(to), () => marker.remove()];
    };
    const [markSecond, hideSecond] = mark(second);
    const [markFirst, hideFirst] = mark(first);
    const ofFirst = {
      "move zoomend": follow(first, second),
      mousemove: markSecond,
      mouseout: hideSecond,
    };
    const ofSecond = {
      "move zoomend": follow(second, first),
      mousemove: markFirst,
      mouseout: hideFirst,
    };
    for (const [events, act] of Object.entries(ofFirst)) first.on(events, act);
    for (const [events, act] of Object.entries(ofSecond)) second.on(events, act);
    this.unlink = () => {
      hideFirst();
      for (const [events, act] of Object.entries(ofFirst)) first.off(events, act);
    };
  }

  endBeside() {
    if (!this.second) return;
    this.unlink();
    this.second.map.remove();
    this.second.element.remove();
    this.second = null;
    this.panel.map.invalidateSize();
  }

  end() {
    this.endSwipe();
    this.endBeside();
  }
}
