// The tools: which one is in hand, and what it draws.

import { make, makeButton } from "./elements.js";
import { POLYGONS } from "./geometry.js";
import { icon } from "./icons.js";
import { Part } from "./part.js";

const DRAWN = {
  polygon: "Polygon",
  rectangle: "Rectangle",
  point: "CircleMarker",
  split: "Line",
  cut: "Polygon",
  measure: "Line",
};
const BY_DOUBLE_CLICK = ["split", "measure"];
const ON_CLICK = ["grow", "inspect"]; // what acts where somebody clicks
const ON_SAMPLE = ["split", "cut"]; // what is drawn over the selected sample
const GHOST = { color: "#ffffff", weight: 2, dashArray: "4 4", fillOpacity: 0.1 };

export class Tools extends Part {
  constructor(panel) {
    super(panel);
    this.name = "select";
    this.putAway = null; // the tool that is taken again when the kernel answers
  }

  get draws() {
    return DRAWN[this.name];
  }

  build() {
    const bar = { class: "sample-map-tools", role: "toolbar", "aria-label": this.t("Tools") };
    this.buttons = {};
    const groups = this.groups().map(([title, tools]) => {
      const buttons = tools.map((tool) => this.button(...tool));
      const attributes = { class: "sample-map-tool-group", role: "group", "aria-label": title };
      return make("div", attributes, buttons);
    });
    this.box = make("div", bar, groups);
  }

  button(name, text, key, what) {
    const attributes = {
      class: `sample-map-tool sample-map-tool-${name}`,
      title: `${what} (${key})`,
    };
    const word = make("span", { class: "sample-map-tool-word" }, [text]);
    this.buttons[name] = makeButton([icon(name), word], attributes, () => this.use(name));
    return this.buttons[name];
  }

  /** The tools by what they are for: each with its word, its key and what it does. */
  groups() {
    const t = (text) => this.t(text);
    const grow = t("Click, and all that is connected and looks alike becomes a sample");
    const split = t("Draw a line across the selected sample; a double click ends it");
    return [
      [
        t("Draw"),
        [
          [
            "polygon",
            t("Polygon"),
            "P",
            t("Click around an area; click the first corner to close it"),
          ],
          ["rectangle", t("Rectangle"), "R", t("Click two opposite corners")],
          ["point", t("Point"), "O", t("Click to mark a single place")],
          ["grow", t("Region"), "G", grow],
        ],
      ],
      [
        t("Steps"),
        [
          ["undo", t("Undo"), "Ctrl+Z", t("Take back the last step")],
          ["redo", t("Redo"), "Ctrl+Y", t("Repeat what was taken back")],
        ],
      ],
      [
        t("Change"),
        [
          ["select", t("Select"), "S", t("Click a sample to see and change it")],
          ["edit", t("Corners"), "E", t("Drag the corners of the selected sample")],
          ["move", t("Move"), "M", t("Drag the selected sample")],
          ["split", t("Split"), "X", split],
          ["cut", t("Cut out"), "H", t("Draw an area to take out of the selected sample")],
          ["delete", t("Delete"), "Del", t("Delete the selected sample")],
        ],
      ],
      [
        t("Look"),
        [
          ["inspect", t("Inspect"), "I", t("Click a place to see what the layers hold there")],
          ["measure", t("Measure"), "D", t("Click along a line; a double click ends it")],
          ["fit", t("All of it"), "A", t("Show the whole scene")],
          ["full", t("Full view"), "F", t("Fill the screen with map and panel")],
        ],
      ],
    ];
  }

  hint() {
    const found = this.groups()
      .flatMap(([, tools]) => tools)
      .find(([name]) => name === this.name);
    return found ? found[3] : "";
  }

  show() {
    const { steps } = this.panel.samples;
    this.buttons.undo.disabled = !steps.undo;
    this.buttons.redo.disabled = !steps.redo;
    const isFull = document.fullscreenElement !== null;
    this.buttons.full.setAttribute("aria-pressed", String(isFull));
  }

  begin(map) {
    this.map = map;
    map.pm.setGlobalOptions({ snappable: false, allowSelfIntersection: false });
    this.onCreate = (event) => this.drawn(event.layer);
    map.on("pm:create", this.onCreate);
  }

  end() {
    if (!this.map) return;
    this.map.pm.disableDraw();
    this.map.off("pm:create", this.onCreate);
  }

  use(name) {
    const act = this.actOf(name);
    if (act) return act();
    const { status, selection, growing, editing, shapes, measure, inspector } = this.panel;
    const refused = this.refusal(name);
    if (refused) {
      if (refused.isPutAway) this.use("select");
      return status.sayError(refused.text);
    }
    if (name !== "select") selection.change(false);
    this.name = name;
    this.putAway = null;
    for (const [other, button] of Object.entries(this.buttons)) {
      if (other !== "full") button.setAttribute("aria-pressed", String(other === name));
    }
    growing.show(name === "grow");
    if (!this.map) return;
    editing.stop();
    this.map.pm.disableDraw();
    if (this.draws) this.map.pm.enableDraw(this.draws, this.strokeStyle());
    if (this.isEditing) editing.start();
    if (name !== "measure") measure.clear();
    if (name !== "inspect") inspector.hideMark();
    this.map.getContainer().style.cursor = ON_CLICK.includes(name) ? "crosshair" : "";
    status.say("");
    shapes.redraw();
  }

  /** What a button does at once; null if it is a tool to be taken in hand. */
  actOf(name) {
    const { layers, view } = this.panel;
    const acts = {
      undo: () => this.step("undo"),
      redo: () => this.step("redo"),
      delete: () => this.remove(),
      fit: () => layers.fitScene(),
      full: () => view.toggleFull(),
    };
    return acts[name] ?? null;
  }

  get isEditing() {
    return this.name === "edit" || this.name === "move";
  }

  /** Why a tool cannot be taken now, and whether the one in hand is put away; null if it can. */
  refusal(name) {
    const { sample } = this.panel.selection;
    if (ON_SAMPLE.includes(name)) {
      if (!sample) return { text: this.t("Select a sample first"), isPutAway: true };
      if (!POLYGONS.includes(sample.geometry.type))
        return { text: this.t("a point cannot be cut") };
    }
    const needsClass = (DRAWN[name] && name !== "measure") || name === "grow";
    if (needsClass && !this.panel.legend.active) {
      return { text: this.t("Add a class first"), isPutAway: true };
    }
    return null;
  }

  async step(verb) {
    const reply = await this.ask(verb);
    if (reply.selected) this.panel.selection.select(reply.selected, false);
  }

  remove() {
    const { selection, status, editing } = this.panel;
    if (!selection.sample) return status.sayError(this.t("Select a sample first"));
    const target = selection.target;
    editing.stop();
    this.ask("delete", target);
  }

  /** Put away what draws until the kernel answers again; what is drawn now would be lost. */
  stopDrawing() {
    const { name } = this;
    if (!this.draws || name === "measure") return;
    this.use("select");
    this.putAway = name;
  }

  /** Take the tool again that was put away, unless another was chosen since. */
  resumeDrawing() {
    if (this.putAway) this.use(this.putAway);
  }

  strokeStyle() {
    const { samples, legend } = this.panel;
    const isOfClass = ![...ON_SAMPLE, "measure"].includes(this.name);
    const color = isOfClass ? samples.color(legend.active) : "#ffffff";
    return {
      snappable: false,
      allowSelfIntersection: false,
      finishOn: BY_DOUBLE_CLICK.includes(this.name) ? "dblclick" : null,
      pathOptions: { color, fillColor: color, weight: 3, fillOpacity: 0.3, radius: 6 },
      templineStyle: { color, weight: 3 },
      hintlineStyle: { color, weight: 2, dashArray: "5 5" },
    };
  }

  restyle() {
    if (!this.map || !this.draws) return;
    this.map.pm.disableDraw();
    this.map.pm.enableDraw(this.draws, this.strokeStyle());
  }

  /** Send a finished stroke; it stays on the map, dashed, until the kernel has saved it. */
  drawn(layer) {
    const geometry = layer.toGeoJSON(false).geometry; // false: no digit is rounded off
    layer.remove();
    const tool = this.name;
    if (tool === "measure") {
      setTimeout(() => this.restyle(), 0); // as below; the line is kept until the next one
      return this.panel.measure.drawn(layer);
    }
    this.save(tool, geometry, this.ghostOf(geometry));
    // not before Geoman has put its tool away, and the click that ended the stroke is over
    const next = ON_SAMPLE.includes(tool) ? "select" : tool;
    setTimeout(() => this.name === tool && this.use(next), 0);
  }

  async save(tool, geometry, ghost) {
    const { selection, legend, layers } = this.panel;
    if (ON_SAMPLE.includes(tool)) return this.ask(tool, { ...selection.target, geometry }, ghost);
    const content = { class: legend.active, geometry, image: layers.image() };
    const reply = await this.ask("draw", content, ghost);
    if (reply.selected) selection.select(reply.selected, false);
  }

  ghostOf(geometry) {
    const { L } = this.panel;
    const still = { pmIgnore: true, interactive: false };
    return L.geoJSON(geometry, {
      ...still,
      style: GHOST,
      pointToLayer: (_, place) => L.circleMarker(place, { radius: 6, ...still }),
    }).addTo(this.map);
  }
}
