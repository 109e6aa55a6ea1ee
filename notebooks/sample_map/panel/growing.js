// A region that grows from a click, and its tolerance.

import { make } from "./elements.js";
import { Part } from "./part.js";

export class Growing extends Part {
  constructor(panel) {
    super(panel);
    this.tolerance = 8; // percent
    this.grown = null; // {id, longitude, latitude} of the region that the slider changes
    this.outline = null; // of the region as it would be
    this.isAsking = false;
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
      this.preview();
    };
    this.slider.onchange = () => this.growAgain();
    const row = { class: "sample-map-row sample-map-tolerances" };
    this.box = make("label", row, [this.t("Tolerance"), this.slider, this.said]);
  }

  show(isInHand) {
    this.box.hidden = !isInHand;
    if (isInHand) return;
    this.grown = null;
    this.endPreview();
  }

  async growAt(place) {
    const { L, map, legend, layers, selection } = this.panel;
    const where = { longitude: place.lng, latitude: place.lat };
    const style = { radius: 5, color: "#ffffff", pmIgnore: true, interactive: false };
    const ghost = L.circleMarker(place, style).addTo(map);
    const content = {
      class: legend.active,
      image: layers.image(),
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

  /** Show what the region would be; while one is asked for, only the latest tolerance waits. */
  async preview() {
    const sample = this.panel.samples.get(this.grown?.id);
    if (!sample || this.isAsking) return;
    const asked = this.tolerance;
    const { image } = sample.properties;
    this.isAsking = true;
    const reply = await this.ask("preview", { ...this.grown, image, tolerance: this.share });
    this.isAsking = false;
    if (reply.error || !this.grown || this.isSaving) return;
    this.showPreview(reply);
    if (asked !== this.tolerance) this.preview();
  }

  showPreview({ geometry, region }) {
    const { L, map } = this.panel;
    this.endPreview();
    const style = { color: "#ffffff", weight: 2, dashArray: "4 4", fillOpacity: 0.25 };
    const still = { pmIgnore: true, interactive: false };
    this.outline = L.geoJSON(geometry, { ...still, style, className: "sample-map-preview" });
    this.outline.addTo(map);
    this.say(region);
  }

  endPreview() {
    this.outline?.remove();
    this.outline = null;
  }

  /** Another tolerance changes the region that was grown last. */
  async growAgain() {
    const sample = this.panel.samples.get(this.grown?.id);
    if (!sample) return;
    this.isSaving = true;
    const { version } = sample.properties;
    const reply = await this.ask("grow", { ...this.grown, version, tolerance: this.share });
    this.isSaving = false;
    this.endPreview();
    if (!reply.error) this.say(reply.region);
  }

  say(region) {
    const pixels = this.panel.words.number(region.pixels);
    const text = this.t("Region of {pixels} pixels.", { pixels });
    const cut = this.t("It was cut off at the limit of its size: lower the tolerance.");
    this.panel.status.say(region.cut ? `${text} ${cut}` : text);
  }
}
