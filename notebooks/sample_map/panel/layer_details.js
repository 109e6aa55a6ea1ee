// How one layer is shown: opacity, colours, stretch, what counts as unknown, a map's legend.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";
import { askServer, lookOf } from "./server.js";

const STRETCHES = ["1,99", "2,98", "5,95", "10,90"];

export class LayerDetails extends Part {
  constructor(panel) {
    super(panel);
    this.areas = new Map(); // stamp of a map: its classes with their areas
  }

  of(layer) {
    const { kind } = layer;
    const rows = [this.opacity(layer)];
    if (kind === "scene") rows.push(this.colors(layer), this.viewButton(layer));
    if (kind === "probabilities") rows.push(this.classChoice(layer));
    if (kind === "unknown") rows.push(this.below(layer));
    if (kind === "confidence" || kind === "probabilities") rows.push(this.ramp());
    if (kind === "map") rows.push(this.legend(layer));
    return rows;
  }

  change(layer, changes) {
    return this.panel.layers.change(layer, changes);
  }

  select(title, options, value) {
    const entries = options.map(([key, text]) => make("option", { value: key }, [text]));
    const select = make("select", { "aria-label": title }, entries);
    select.value = value;
    return select;
  }

  choice(title, options, value, chosen) {
    const select = this.select(title, options, value);
    select.onchange = () => chosen(select.value);
    return make("label", {}, [title, select]);
  }

  slider(text, range, shown, chosen) {
    const said = make("output", {}, [`${range.value} %`]);
    const slider = make("input", { type: "range", ...range, "aria-label": text });
    slider.oninput = () => {
      said.textContent = `${slider.value} %`;
      shown(Number(slider.value));
    };
    slider.onchange = () => chosen(Number(slider.value));
    return make("label", { class: "sample-map-row" }, [text, slider, said]);
  }

  opacity(layer) {
    const range = { min: "0", max: "100", value: String(Math.round(layer.opacity * 100)) };
    return this.slider(
      this.t("Opacity"),
      range,
      (percent) => this.panel.layers.pictures.at(layer.key)?.setOpacity(percent / 100),
      (percent) => this.change(layer, { opacity: percent / 100 }),
    );
  }

  below(layer) {
    const range = { min: "0", max: "100", value: String(layer.below) };
    const text = this.t("Confidence below");
    return this.slider(
      text,
      range,
      () => {},
      (below) => this.change(layer, { below }),
    );
  }

  colors(layer) {
    const options = layer.bands.map((band, n) => [String(n + 1), this.bandName(band)]);
    const bands = [this.t("Red"), this.t("Green"), this.t("Blue")].map((title, i) =>
      this.choice(title, options, String(layer.colors[i]), (value) => {
        const colors = layer.colors.map((color, at) => (at === i ? Number(value) : color));
        this.change(layer, { colors, limits: [] });
      }),
    );
    return make("div", { class: "sample-map-bands" }, [...bands, this.stretch(layer)]);
  }

  bandName({ name, wavelength }) {
    const nm = wavelength && this.panel.words.number(wavelength);
    return nm ? `${name} · ${nm} ${this.t("nm")}` : name;
  }

  stretch(layer) {
    const options = [
      ["0,100", this.t("all values")],
      ...STRETCHES.map((stretch) => [stretch, `${stretch.replace(",", "–")} %`]),
    ];
    if (layer.limits.length) options.push(["view", this.t("the view")]);
    const now = layer.limits.length ? "view" : layer.stretch.join(",");
    return this.choice(this.t("Stretch"), options, now, (value) => {
      if (value === "view") return;
      this.change(layer, { stretch: value.split(",").map(Number), limits: [] });
      this.panel.layers.show();
    });
  }

  viewButton(layer) {
    const attributes = { class: "sample-map-stretch-view" };
    return makeButton([this.t("Stretch to the view")], attributes, () =>
      this.stretchToView(layer),
    );
  }

  /** Take black and white from what the map shows just now. */
  async stretchToView(layer) {
    const { map, status } = this.panel;
    const bounds = map.getBounds();
    const view = [bounds.getSouth(), bounds.getWest(), bounds.getNorth(), bounds.getEast()];
    const look = lookOf({ ...layer, limits: [] });
    const found = await askServer("limits", { ...look, view: view.join(",") });
    if (found.error) return status.sayError(this.t(found.error));
    this.change(layer, { limits: found.limits });
    this.panel.layers.show();
  }

  classChoice(layer) {
    const options = layer.bands.map((band, n) => [String(n + 1), band.name]);
    return this.choice(this.t("Class"), options, String(layer.colors[0]), (value) => {
      this.change(layer, { colors: Array(3).fill(Number(value)) });
      this.panel.layers.show();
    });
  }

  ramp() {
    const bar = make("span", { class: "sample-map-ramp", "aria-hidden": "true" });
    return make("div", { class: "sample-map-row" }, ["0 %", bar, "100 %"]);
  }

  /** Name, colour and hectares of each class of a map; counted by the server, kept here. */
  legend(layer) {
    const table = make("div", { class: "sample-map-map-legend" });
    const known = this.areas.get(layer.stamp);
    if (known) table.append(...this.legendRows(known));
    else this.count(layer, table);
    return table;
  }

  async count(layer, table) {
    table.append(this.t("The areas are being counted ..."));
    const found = await askServer("areas", { name: layer.name });
    if (found.classes) this.areas.set(layer.stamp, found.classes);
    table.replaceChildren(
      ...(found.error ? [this.t(found.error)] : this.legendRows(found.classes)),
    );
  }

  legendRows(classes) {
    const { words } = this.panel;
    const all = classes.reduce((sum, one) => sum + one.pixels, 0) || 1;
    const isPlaced = classes.every((one) => one.hectares !== null);
    const unit = isPlaced ? this.t("ha") : this.t("pixels");
    const rows = classes.map((one) => {
      const size = isPlaced ? sized(words, one.hectares) : words.number(one.pixels);
      return make("div", { class: "sample-map-map-class", "data-class-name": one.name }, [
        make("span", { class: "sample-map-swatch", style: `background:${one.color}` }),
        make("span", { class: "sample-map-name" }, [one.name]),
        make("span", { class: "sample-map-area" }, [`${size} ${unit}`]),
        make("span", { class: "sample-map-area" }, [
          `${words.number((100 * one.pixels) / all, 1)} %`,
        ]),
      ]);
    });
    if (isPlaced) return rows;
    return [...rows, this.t("No areas: the map has no place on the Earth.")];
  }
}

/** Hectares with as many digits as tell classes apart. */
function sized(words, hectares) {
  return words.number(hectares, hectares < 10 ? 2 : hectares < 1000 ? 1 : 0);
}
