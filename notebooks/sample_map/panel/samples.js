// The samples, the legend and the conflicts as the kernel last told them.

import { placed } from "./geometry.js";

export const UNKNOWN_COLOR = "#777777";

export class Samples {
  constructor() {
    this.placed = new Map(); // id: {feature, rings, box, bounds, isPoint}
    this.legend = [];
    this.colors = new Map();
    this.counts = {};
    this.areas = {};
    this.steps = { undo: 0, redo: 0 };
    this.file = "";
    this.author = "";
    this.conflicts = [];
  }

  /** Take all samples of the file, as a browser gets them that opens the map. */
  receive(message, buffers) {
    const bytes = buffers[0];
    const text = new TextDecoder().decode(bytes.buffer ? bytes : new DataView(bytes));
    this.placed = new Map(JSON.parse(text).map((feature) => [feature.id, placed(feature)]));
    this.conflicts = message.conflicts;
    this.summarise(message);
  }

  /** Take what changed; return the ids that it touched. */
  learn(news) {
    for (const feature of news.samples) this.placed.set(feature.id, placed(feature));
    for (const id of news.gone) this.placed.delete(id);
    this.conflicts.push(...news.conflicts);
    this.summarise(news);
    return [...news.gone, ...news.samples.map((feature) => feature.id)];
  }

  summarise(told) {
    this.file = told.file;
    this.author = told.author;
    this.legend = told.legend;
    this.counts = told.counts;
    this.areas = told.areas;
    this.steps = { undo: told.undo, redo: told.redo };
    this.colors = new Map(this.legend.map((one) => [one.name, one.color]));
  }

  has(id) {
    return this.placed.has(id);
  }

  get(id) {
    return this.placed.get(id)?.feature;
  }

  color(name) {
    return this.colors.get(name) ?? UNKNOWN_COLOR;
  }

  isDisputed(feature) {
    return Boolean(feature.properties.rival) && this.has(feature.properties.rival);
  }
}
