// The editor of the classes: names, colours, order, groups; merge, delete, files.

import { fold, make, makeButton } from "./elements.js";
import { Part } from "./part.js";

export class Classes extends Part {
  build() {
    this.rows = make("div", { class: "sample-map-classes" });
    const named = this.t("home/legend.csv, .json or .qml");
    this.name = make("input", { type: "text", placeholder: named, "aria-label": named });
    const files = make("div", { class: "sample-map-row" }, [
      this.name,
      makeButton([this.t("Open")], { class: "sample-map-import" }, () => this.open()),
      makeButton([this.t("Save")], { class: "sample-map-export" }, () => this.save()),
    ]);
    this.part = fold("classes", this.t("Edit classes"), [this.rows, files]);
    this.part.addEventListener("toggle", () => this.show());
  }

  show() {
    if (!this.part?.open || this.rows.contains(document.activeElement)) return;
    this.draw();
  }

  draw() {
    const { legend } = this.panel.samples;
    this.rows.replaceChildren(...legend.map((entry, place) => this.row(entry, place, legend)));
  }

  row({ name, color, parent = "" }, place, legend) {
    const of = (words) => `${words}: ${name}`;
    const field = (kind, value, words, what) => {
      const attributes = { type: kind, value, "aria-label": of(words), title: words };
      const input = make("input", attributes);
      if (kind === "text") input.placeholder = words;
      input.onchange = () => input.value !== value && this.edit(what, name, input.value);
      return input;
    };
    const button = (sign, words, isOff, action) =>
      Object.assign(makeButton([sign], { "aria-label": of(words), title: words }, action), {
        disabled: isOff,
      });
    return make("div", { class: "sample-map-classes-row", "data-class-name": name }, [
      field("color", color, this.t("Colour"), "color"),
      field("text", name, this.t("Name"), "rename"),
      field("text", parent, this.t("Group"), "group"),
      button("↑", this.t("Up"), place === 0, () => this.edit("move", name, place - 1)),
      button("↓", this.t("Down"), place === legend.length - 1, () =>
        this.edit("move", name, place + 1),
      ),
      this.merger(name, legend, of),
      button("✕", this.t("Delete with its samples"), false, () => this.edit("delete", name)),
    ]);
  }

  /** A choice of the class that all samples of this one get. */
  merger(name, legend, of) {
    const words = this.t("Merge into");
    const others = legend.filter((entry) => entry.name !== name);
    const choice = make("select", { "aria-label": of(words), title: words }, [
      make("option", { value: "" }, ["→"]),
      ...others.map((entry) => make("option", { value: entry.name }, [entry.name])),
    ]);
    choice.disabled = !others.length;
    choice.onchange = () => choice.value && this.edit("merge", name, choice.value);
    return choice;
  }

  async edit(what, name, to = "") {
    const { legend, words, status } = this.panel;
    const reply = await this.ask("edit_class", { what, name, to: String(to) });
    if (reply.error) return this.draw();
    if (legend.active === name && what === "rename") legend.active = to.trim();
    if (legend.active === name && what === "merge") legend.active = to;
    if (legend.active === name && what === "delete") legend.active = null;
    this.panel.show();
    this.draw();
    const count = { count: words.number(reply.touched) };
    const samples = reply.touched ? this.t("{count} samples went along.", count) : "";
    status.say(`${samples} ${this.takesBack()}`.trim());
  }

  async open() {
    const name = this.named();
    if (!name) return;
    const reply = await this.ask("import_legend", { name });
    if (reply.error) return;
    this.draw();
    this.panel.status.say(`${this.t("Classes of {name}.", { name })} ${this.takesBack()}`);
  }

  async save() {
    const name = this.named();
    if (!name) return;
    const reply = await this.ask("export_legend", { name });
    if (!reply.error) this.panel.status.say(this.t("Saved as {name}", { name: reply.name }));
  }

  /** The file that is named; without one, say so. */
  named() {
    const name = this.name.value.trim();
    if (!name) this.panel.status.sayError(this.t("Name a file first"));
    return name;
  }

  takesBack() {
    return this.t("Undo (Ctrl+Z) takes that back.");
  }
}
