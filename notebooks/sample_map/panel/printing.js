// Print the view: as a PNG or a PDF with title, legend, scale, date and sources.

import { baseUrl, fold, make, makeButton } from "./elements.js";
import { Part } from "./part.js";

export class Printing extends Part {
  build() {
    const field = (words, value) =>
      make("input", { type: "text", placeholder: words, "aria-label": words, value });
    this.title = field(this.t("Title"), "");
    this.name = field(this.t("home/map.pdf or .png"), "home/map.pdf");
    this.result = make("div", { class: "sample-map-printed" });
    this.button = makeButton([this.t("Print the view")], { class: "sample-map-print" }, () =>
      this.print(),
    );
    const row = (children) => make("div", { class: "sample-map-row" }, children);
    this.part = fold("print", this.t("Print"), [
      row([this.title]),
      row([this.name, this.button]),
      this.result,
    ]);
  }

  async print() {
    const { map, layers, words } = this.panel;
    const view = map.getBounds();
    this.button.disabled = true;
    this.result.replaceChildren(this.t("Printing ..."));
    const reply = await this.ask("print", {
      name: this.name.value.trim(),
      title: this.title.value,
      bounds: [view.getSouth(), view.getWest(), view.getNorth(), view.getEast()],
      samples: layers.outlines !== "hidden",
      language: words.language,
    });
    this.button.disabled = false;
    if (reply.error) return this.result.replaceChildren();
    this.result.replaceChildren(this.link(reply.name), " ", this.t(reply.left_out));
  }

  /** A file of one's own folder opens in a new tab; others are named. */
  link(name) {
    if (!name.startsWith("home/")) return this.t("Saved as {name}", { name });
    const path = name.slice("home/".length).split("/").map(encodeURIComponent).join("/");
    const attributes = { href: `${baseUrl()}files/${path}`, target: "_blank", rel: "noopener" };
    return make("a", attributes, [this.t("Saved as {name}", { name })]);
  }
}
