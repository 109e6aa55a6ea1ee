// A region that grows from a click, and its tolerance.

import { make } from "./elements.js";
import { Part } from "./part.js";

export class Growing extends Part {
  constructor(panel) {
    super(panel);
    this.tolerance = 8; // percent
    this.grown = null; // {id, longitude, latitude} of the region that the slider changes
  }

  build() {
    this.said = make("output", {}, [`${this.tolerance} %`]);
    this.slider = make("input", {
      type: "range",
      min: "1",
      max: "40",
      step: "1",
      value: String(this.tolerance),
      class: "sample-map-tolerance",
      "aria-label": this.t("Tolerance of the region"),
    });
    this.slider.oninput = () => {
      this.tolerance = Number(this.slider.value);
      this.said.textContent = `${this.tolerance} %`;
    };
    this.slider.onchange = () => this.growAgain();
    const row = { class: "sample-map-row sample-map-tolerances" };
    this.box = make("label", row, [this.t("Tolerance"), this.slider, this.said]);
  }

  show(isInHand) {
    this.box.hidden = !isInHand;
    if (!isInHand) this.grown = null;
  }

  async growAt(place) {
    const { L, map, legend, scenes, selection } = this.panel;
    const where = { longitude: place.lng, latitude: place.lat };
    const style = { radius: 5, color: "#ffffff", pmIgnore: true, interactive: false };
    const ghost = L.circleMarker(place, style).addTo(map);
    const content = {
      class: legend.active,
      image: scenes.image(),
      tolerance: this.share,
      ...where,
    };
    const reply = await this.ask("grow", content, ghost);
    if (reply.error) return;
    this.grown = { id: reply.selected, ...where };
    selection.select(reply.selected, false);
    this.say(reply.region);
  }

  get share() {
    return this.tolerance / 100;
  }

  /** Another tolerance changes the region that was grown last. */
  async growAgain() {
    const sample = this.panel.samples.get(this.grown?.id);
    if (!sample) return;
    const { version } = sample.properties;
    const reply = await this.ask("grow", { ...this.grown, version, tolerance: this.share });
    if (!reply.error) this.say(reply.region);
  }

  say(region) {
    const pixels = this.panel.words.number(region.pixels);
    const text = this.t("Region of {pixels} pixels.", { pixels });
    const cut = this.t("It was cut off at the limit of its size: lower the tolerance.");
    this.panel.status.say(region.cut ? `${text} ${cut}` : text);
  }
}
