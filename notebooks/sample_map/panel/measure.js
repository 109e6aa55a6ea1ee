// Lengths and areas on the ground, drawn and forgotten.

import { Part } from "./part.js";

const RADIUS = 6371008.8; // metres, the mean radius of the Earth (IUGG)

export class Measure extends Part {
  constructor(panel) {
    super(panel);
    this.line = null;
  }

  /** Keep a finished line on the map, and say how long it is and how much it encloses. */
  drawn(layer) {
    const { L, map } = this.panel;
    const places = layer.getLatLngs();
    this.clear();
    const style = {
      color: "#000000",
      weight: 3,
      dashArray: "2 6",
      pmIgnore: true,
      interactive: false,
    };
    this.line = L.polyline(places, style).addTo(map);
    const text = this.inWords(places.map(({ lng, lat }) => [lng, lat]));
    this.line
      .bindTooltip(text, { permanent: true, className: "sample-map-measured" })
      .openTooltip();
    this.panel.status.say(text, "measured");
  }

  inWords(places) {
    const { words } = this.panel;
    const length = lengthOf(places);
    const far =
      length < 1000
        ? `${words.number(length)} ${this.t("m")}`
        : `${words.number(length / 1000, 2)} ${this.t("km")}`;
    if (places.length < 3) return far;
    const area = words.area(areaOf(places));
    return `${far}; ${this.t("enclosed: {area}", { area })}`;
  }

  clear() {
    this.line?.remove();
    this.line = null;
  }
}

const radians = (degrees) => (degrees * Math.PI) / 180;

/** Metres along a line of [longitude, latitude] on a sphere: off by 0.5 % at most. */
export function lengthOf(places) {
  let sum = 0;
  for (let i = 1; i < places.length; i++) {
    const [[x1, y1], [x2, y2]] = [places[i - 1], places[i]].map((place) => place.map(radians));
    const a =
      Math.sin((y2 - y1) / 2) ** 2 + Math.cos(y1) * Math.cos(y2) * Math.sin((x2 - x1) / 2) ** 2;
    sum += 2 * RADIUS * Math.asin(Math.sqrt(a));
  }
  return sum;
}

/** Square metres inside a ring, by Chamberlain and Duquette (2007), JPL publication 07-03. */
export function areaOf(places) {
  let sum = 0;
  places.forEach(([x1, y1], i) => {
    const [x2, y2] = places[(i + 1) % places.length];
    sum += radians(x2 - x1) * (2 + Math.sin(radians(y1)) + Math.sin(radians(y2)));
  });
  return (Math.abs(sum) * RADIUS * RADIUS) / 2;
}
