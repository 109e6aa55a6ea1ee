// The layers as Leaflet draws them on one map.

import { lookOf, tilesOf } from "./server.js";

const TOP = 300; // the topmost layer's place in the pane of tiles

/** Draw layers on a map, and keep what is drawn already. */
export class Pictures {
  /** hears: what to call when a tile fails, and when a layer begins to be drawn. */
  constructor(L, map, hears = {}) {
    this.L = L;
    this.map = map;
    this.hears = hears;
    this.drawn = new Map(); // key: {look, picture}
  }

  /** Show these layers, the topmost first, and no others. */
  show(layers) {
    const keys = new Set(layers.map((layer) => layer.key));
    for (const key of this.drawn.keys()) if (!keys.has(key)) this.drop(key);
    layers.forEach((layer, place) => {
      const picture = this.pictureOf(layer);
      picture.setZIndex(TOP - place);
      picture.setOpacity(layer.opacity);
    });
  }

  at(key) {
    return this.drawn.get(key)?.picture;
  }

  drop(key) {
    this.at(key)?.remove();
    this.drawn.delete(key);
  }

  clear() {
    for (const key of [...this.drawn.keys()]) this.drop(key);
  }

  pictureOf(layer) {
    const look = JSON.stringify(layer.kind === "background" ? layer.name : lookOf(layer));
    const known = this.drawn.get(layer.key);
    if (known?.look === look) return known.picture;
    this.drop(layer.key);
    const picture = this.made(layer);
    this.drawn.set(layer.key, { look, picture });
    picture.on("tileerror", () => this.hears.failed?.(layer, picture));
    picture.on("tileload", () => {
      picture.hasLoaded = true;
    });
    this.hears.added?.(layer, picture);
    picture.addTo(this.map);
    return picture;
  }

  made(layer) {
    const { L } = this;
    if (layer.kind === "background") {
      const options = { maxZoom: 22, attribution: plain(layer.attribution) };
      if (!layer.wms) return L.tileLayer(layer.name, options);
      return L.tileLayer.wms(layer.name, { ...options, layers: layer.wms, format: "image/png" });
    }
    const [south, west, north, east] = layer.bounds;
    const bounds = [
      [south, west],
      [north, east],
    ];
    return L.tileLayer(tilesOf(layer), { bounds, maxZoom: 22, className: "sample-map-tile" });
  }
}

/** Text as HTML that shows just it. */
export function plain(text) {
  const signs = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (sign) => signs[sign]);
}
