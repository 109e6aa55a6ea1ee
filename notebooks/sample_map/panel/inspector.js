// What lies at a place: bands, class, confidence, training polygons.

import { make, makeButton } from "./elements.js";
import { mercator, placesAt } from "./geometry.js";
import { Part } from "./part.js";
import { axesOf } from "./plot.js";
import { askServer } from "./server.js";
import { placeInWords } from "./view.js";

const REACH = 4; // pixels around a click
const INK = "currentcolor";

export class Inspector extends Part {
  build() {
    this.box = make("div", { class: "sample-map-inspected", "aria-live": "polite" });
    if (this.found) this.show();
    else this.box.append(this.t("Take the tool Inspect (I) and click a place on the map."));
  }

  /** A click on the second of two maps that move as one. */
  clicked(place) {
    if (this.panel.tools.name === "inspect") this.inspect(place);
  }

  /** Read every raster of the map at a place; the server does, also while a cell runs. */
  async inspect(place) {
    const { L, map, layers, tabs, status } = this.panel;
    tabs.show("inspect");
    this.mark ??= L.circleMarker(place, {
      radius: 4,
      color: "#000000",
      fillColor: "#ffffff",
      fillOpacity: 1,
      weight: 2,
      pmIgnore: true,
      interactive: false,
    });
    this.mark.setLatLng(place).addTo(map);
    const rasters = layers.all.filter(
      (layer) => layer.kind !== "background" && layer.kind !== "unknown",
    );
    const names = [...new Set(rasters.map((layer) => layer.name))];
    const query = { names: names.join("|"), place: `${place.lng},${place.lat}` };
    const asked = Symbol("the last question");
    this.asked = asked;
    const reply = await askServer("values", query);
    if (this.asked !== asked) return; // somebody clicked elsewhere meanwhile
    if (reply.error) return status.sayError(this.t(reply.error));
    const readings = new Map(reply.readings.map((reading) => [reading.name, reading]));
    this.found = {
      place,
      rasters: rasters.map((layer) => ({ layer, reading: readings.get(layer.name) })),
    };
    this.show();
  }

  show() {
    const { place, rasters } = this.found;
    const ofKind = (...kinds) =>
      rasters.filter(({ layer, reading }) => kinds.includes(layer.kind) && reading?.is_inside);
    this.box.replaceChildren(
      make("div", { class: "sample-map-place" }, [placeInWords(place, this.panel.words)]),
      ...ofKind("map").map((one) => this.classRow(one, rasters)),
      ...ofKind("probabilities").map((one) => this.probabilities(one)),
      ...this.polygons(place),
      ...ofKind("scene").flatMap((one) => this.spectrum(one)),
    );
    if (!rasters.some(({ reading }) => reading?.is_inside))
      this.box.append(this.t("Nothing of the layers lies here."));
  }

  classRow({ layer, reading }, rasters) {
    const certain = rasters.find(
      (one) => one.layer.kind === "confidence" && isBeside(one.layer.name, layer.name),
    );
    const percent = certain?.reading?.bands[0]?.value;
    const parts = [reading.class_name || this.t("no class")];
    if (percent !== undefined && percent !== null) {
      parts.push(this.t("confidence {percent} %", { percent: this.panel.words.number(percent) }));
    }
    return make("div", { class: "sample-map-read", "data-kind": "map", title: layer.name }, [
      make("span", {
        class: "sample-map-swatch",
        style: `background:${reading.color || "transparent"}`,
      }),
      `${layer.title}: ${parts.join(", ")}`,
    ]);
  }

  probabilities({ layer, reading }) {
    const { words } = this.panel;
    const texts = reading.bands
      .filter(({ value }) => value)
      .sort((a, b) => b.value - a.value)
      .map(({ name, value }) => `${name} ${words.number(value)} %`);
    return make(
      "div",
      { class: "sample-map-read", "data-kind": "probabilities", title: layer.name },
      [texts.join(" · ")],
    );
  }

  /** All training polygons at a place, not only the smallest. */
  polygons(place) {
    const { samples, map, selection } = this.panel;
    const near = REACH / map.options.crs.scale(map.getZoom());
    return placesAt(samples.placed, mercator(place.lng, place.lat), near).map((id) => {
      const told = samples.get(id).properties;
      const color = `background:${samples.color(told.class)}`;
      const text = [told.class || this.t("no class"), told.author].filter(Boolean).join(" · ");
      const cells = [
        make("span", { class: "sample-map-swatch", style: color }),
        this.t("training: {what}", { what: text }),
      ];
      return makeButton(
        cells,
        { class: "sample-map-listed sample-map-read", "data-kind": "training" },
        () => selection.select(id),
      );
    });
  }

  spectrum({ layer, reading }) {
    const title = make("div", { class: "sample-map-read-title" }, [layer.title]);
    const measured = reading.bands.filter(({ value }) => value !== null);
    if (!measured.length) return [title, this.t("no data here")];
    const told = { mean: measured.map(({ value }) => value), spread: measured.map(() => 0) };
    const axes = axesOf(measured, [told]);
    const label = this.t("Spectrum at this place");
    const line = this.panel.spectra.meanLine(told, axes, INK);
    const chart = this.panel.spectra.picture(measured, axes, [line], label);
    return [title, make("div", { class: "sample-map-chart" }, [chart]), this.table(reading.bands)];
  }

  table(bands) {
    const { words } = this.panel;
    const rows = bands.map(({ name, wavelength, value }) =>
      make("tr", {}, [
        make("th", { scope: "row" }, [name]),
        make("td", {}, [wavelength ? `${words.number(wavelength)} ${this.t("nm")}` : ""]),
        make("td", {}, [value === null ? this.t("no data") : words.number(value, 4)]),
      ]),
    );
    return make("table", { class: "sample-map-values" }, rows);
  }

  hideMark() {
    this.mark?.remove();
  }
}

/** Whether two files lie in one folder. */
function isBeside(one, other) {
  const folder = (name) => name.slice(0, name.lastIndexOf("/"));
  return folder(one) === folder(other);
}
