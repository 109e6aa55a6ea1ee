// The selected sample, its class, and the list of all.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";

const ROWS = 100; // samples listed at once; all are on the map

export class Selection extends Part {
  constructor(panel) {
    super(panel);
    this.id = null;
    this.isChanging = false; // whether the next class chosen goes to the selected sample
  }

  /** The selected sample as a feature. */
  get sample() {
    return this.panel.samples.get(this.id);
  }

  /** What names the selected sample, and which version of it is shown here. */
  get target() {
    const sample = this.sample;
    return sample && { id: sample.id, version: sample.properties.version };
  }

  build() {
    this.box = make("div", { class: "sample-map-selected" });
    this.list = make("div", { class: "sample-map-list" });
  }

  select(id, announce = true) {
    const { samples, editing, status, shapes } = this.panel;
    if (id !== this.id) this.isChanging = false;
    this.id = samples.has(id) ? id : null;
    if (editing.id && editing.id !== this.id) editing.stop();
    if (announce) status.say("");
    this.show();
    shapes.redraw();
  }

  /** Select what somebody clicked; one without a class waits for it at once. */
  choose(id) {
    this.select(id);
    if (this.sample && !this.sample.properties.class) this.change(true);
  }

  /** Begin or end to change the class; nothing else makes a class go to the selected sample. */
  change(isChanging) {
    const { status, tools } = this.panel;
    if (isChanging && !this.sample) return status.sayError(this.t("Select a sample first"));
    if (isChanging && (tools.draws || tools.name === "grow")) tools.use("select");
    this.isChanging = isChanging;
    this.show();
    if (!isChanging) return status.unsay("change");
    status.say(
      this.t("Choose the class that this sample gets; Esc leaves it as it is."),
      "change",
    );
  }

  /** Give the selected sample another class, and say so. */
  async reclass(name) {
    const { status } = this.panel;
    const sample = this.sample;
    const before = sample.properties.class || this.t("no class");
    this.change(false);
    if (sample.properties.class === name) {
      return status.say(this.t("The sample is {name} already.", { name }));
    }
    const reply = await this.ask("reclass", { ...this.target, class: name });
    if (reply.error) return;
    status.say(
      this.t("The sample was {before} and is {name} now. Undo (Ctrl+Z) takes that back.", {
        before,
        name,
      }),
    );
  }

  show() {
    const sample = this.sample;
    if (!sample) this.isChanging = false;
    const isChanging = String(this.isChanging);
    this.panel.legend.box.dataset.changing = this.box.dataset.changing = isChanging;
    this.box.replaceChildren(...(sample ? this.described(sample) : []));
    this.showList();
  }

  described({ id, properties: told }) {
    const { words } = this.panel;
    const lines = [
      `${told.class || this.t("no class")} · ${this.t("version {version}", told)}`,
      this.t("by {author}, {time}", { author: told.author || "?", time: words.time(told.drawn) }),
      ...(told.editor ? [this.t("last changed by {editor}", told)] : []),
      told.image,
    ];
    const own = (verb, text) =>
      makeButton([text], { class: `sample-map-own-${verb}` }, () => this.ask(verb, { id }));
    const buttons = [
      this.changeButton(),
      makeButton([this.t("Show on the map")], { class: "sample-map-fly" }, () => this.fly(id)),
      own("undo", this.t("Undo this one")),
      own("redo", this.t("Redo this one")),
    ];
    return [
      ...lines.map((line) => make("div", {}, [line])),
      make("div", { class: "sample-map-row" }, buttons),
    ];
  }

  changeButton() {
    const attributes = {
      class: "sample-map-change",
      "aria-pressed": String(this.isChanging),
      title: `${this.t("Then choose the class that this sample gets")} (C)`,
    };
    return makeButton([this.t("Change class")], attributes, () => this.change(!this.isChanging));
  }

  showList() {
    if (!this.panel.tabs.isOpen("samples")) return;
    const all = [...this.panel.samples.placed.values()].reverse();
    const count = this.panel.words.number(all.length);
    const rows = all.slice(0, ROWS).map(({ feature }) => this.row(feature));
    const more = this.t("{shown} of {count} are listed; all are on the map.", {
      shown: ROWS,
      count,
    });
    this.list.replaceChildren(...rows, ...(all.length > ROWS ? [more] : []));
  }

  row({ id, properties: told }) {
    const { samples, words } = this.panel;
    const color = `background:${samples.color(told.class)}`;
    const text = [told.class || this.t("no class"), told.author, words.time(told.drawn)];
    const cells = [make("span", { class: "sample-map-swatch", style: color }), text.join(" · ")];
    const pressed = { class: "sample-map-listed", "aria-pressed": String(id === this.id) };
    return makeButton(cells, pressed, () => {
      this.choose(id);
      this.fly(id);
    });
  }

  fly(id) {
    const sample = this.panel.samples.placed.get(id);
    if (!sample) return;
    const [west, south, east, north] = sample.bounds;
    const corners = [
      [south, west],
      [north, east],
    ];
    this.panel.map.flyToBounds(corners, { maxZoom: 17, padding: [80, 80], duration: 0.6 });
  }

  showOnMap(id) {
    this.select(id);
    this.fly(id);
  }
}
