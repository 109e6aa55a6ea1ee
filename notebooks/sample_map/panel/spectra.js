// The spectra of the classes, drawn.

import { draw, fold, make } from "./elements.js";
import { Part } from "./part.js";
import { axesOf, BOTTOM, EDGE, HEIGHT, LEFT, WIDTH } from "./plot.js";

const SOON = 400; // ms; several strokes ask once

export class Spectra extends Part {
  build() {
    this.chart = make("div", { class: "sample-map-chart" });
    this.part = fold("spectra", this.t("Spectra of the classes"), [this.chart]);
    this.part.addEventListener("toggle", () => this.update());
  }

  updateSoon() {
    if (!this.part?.open) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.update(), SOON);
  }

  async update() {
    const { samples, layers, tabs } = this.panel;
    if (!this.part.open || !tabs.isOpen("inspect") || !samples.file) return;
    const reply = await this.ask("spectra", { image: layers.image() });
    if (!reply.error) this.chart.replaceChildren(...this.plot(reply.bands, reply.spectra));
  }

  /** A line for the mean of each class, a band for its standard deviation to both sides. */
  plot(bands, spectra) {
    const names = Object.keys(spectra);
    if (!names.length) return [this.t("Draw samples to see their spectra.")];
    const axes = axesOf(
      bands,
      names.map((name) => spectra[name]),
    );
    const label = this.t("Mean spectrum and spread of each class");
    const lines = names.map((name) => this.line(name, spectra[name], axes));
    return [this.picture(bands, axes, lines, label)];
  }

  picture(bands, axes, lines, label) {
    const frame = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label };
    const svg = draw("svg", frame);
    svg.append(...this.grid(axes), ...this.scale(bands, axes), ...lines);
    return svg;
  }

  meanLine({ mean }, { order, x, y }, stroke) {
    const points = order.map((band, i) => `${x(i)},${y(mean[band])}`).join(" ");
    return draw("polyline", { points, stroke, fill: "none", "stroke-width": 2 });
  }

  grid({ low, high, y }) {
    const { words } = this.panel;
    return [0, 0.5, 1].flatMap((share) => {
      const value = low + share * (high - low);
      const ends = { x1: LEFT, x2: WIDTH - EDGE, y1: y(value), y2: y(value) };
      const text = words.number(value, high - low < 10 ? 2 : 0);
      const at = { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" };
      return [draw("line", { ...ends, class: "sample-map-grid" }), draw("text", at, text)];
    });
  }

  scale(bands, { order, places, byWave, x }) {
    const { words } = this.panel;
    const ends = order.length > 1 ? [0, order.length - 1] : [0];
    const texts = ends.map((i) => {
      const nm = byWave ? `${words.number(places[i])} ${this.t("nm")}` : bands[order[i]].name;
      const at = { x: x(i), y: HEIGHT - BOTTOM + 14, "text-anchor": i ? "end" : "start" };
      return draw("text", at, nm);
    });
    const middle = { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" };
    return [...texts, draw("text", middle, byWave ? this.t("wavelength") : this.t("band"))];
  }

  line(name, spectrum, axes) {
    const { mean, spread, pixels, samples: count } = spectrum;
    const { order, x, y } = axes;
    const { words, samples } = this.panel;
    const color = samples.color(name);
    const above = order.map((band, i) => `${x(i)},${y(mean[band] + spread[band])}`);
    const below = order.map((band, i) => `${x(i)},${y(mean[band] - spread[band])}`).reverse();
    const counted = { pixels: words.number(pixels), samples: count };
    const title = `${name}: ${this.t("{pixels} pixels of {samples} samples", counted)}`;
    const group = draw("g", { class: "sample-map-spectrum", "data-class-name": name });
    group.append(
      draw("title", {}, title),
      draw("polygon", { points: [...above, ...below].join(" "), fill: color, opacity: 0.18 }),
      this.meanLine(spectrum, axes, color),
    );
    return group;
  }
}
