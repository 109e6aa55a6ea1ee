// What two people changed at the same time.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";

export class Conflicts extends Part {
  build() {
    this.box = make("div", { class: "sample-map-conflicts", role: "alert" });
  }

  show() {
    const { samples } = this.panel;
    const all = [...samples.placed.values()].map(({ feature }) => feature);
    const pairs = all.filter((feature) => samples.isDisputed(feature));
    const single = samples.conflicts.filter((one) => one.what !== "both");
    this.box.replaceChildren(
      ...pairs.map((feature) => this.pairRow(feature)),
      ...single.map((one) => this.noticeRow(one)),
    );
  }

  pairRow(feature) {
    const { samples, selection } = this.panel;
    const other = samples.get(feature.properties.rival);
    const [one, two] = [feature, other].map(({ properties: p }) => p.editor || p.author);
    const target = { id: feature.id, version: feature.properties.version };
    return this.row(
      this.t(
        "{one} and {two} changed one sample at the same time. Both are kept: delete one, or keep both.",
        { one, two },
      ),
      [
        [this.t("That of {who}", { who: one }), () => selection.showOnMap(feature.id)],
        [this.t("That of {who}", { who: two }), () => selection.showOnMap(other.id)],
        [this.t("Keep both"), () => this.ask("settle", target)],
      ],
    );
  }

  noticeRow(one) {
    const text =
      one.what === "changed"
        ? this.t("{who} changed a sample while you deleted it. It stays.", {
            who: one.editor || "?",
          })
        : this.t("Somebody deleted a sample while you changed it. It is back, with your change.");
    return this.row(text, [
      [this.t("Show on the map"), () => this.panel.selection.showOnMap(one.id)],
      [this.t("Understood"), () => this.dismiss(one)],
    ]);
  }

  dismiss(one) {
    const { samples } = this.panel;
    samples.conflicts = samples.conflicts.filter((other) => other !== one);
    this.show();
  }

  row(text, acts) {
    const buttons = acts.map(([name, act]) => makeButton([name], {}, act));
    const row = make("div", { class: "sample-map-row" }, buttons);
    return make("div", { class: "sample-map-conflict" }, [text, row]);
  }
}
