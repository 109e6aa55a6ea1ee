// The form of an operation: a field for each input, from the operation's own description.

import { make, makeButton } from "./elements.js";
import { offersFor, prefilled } from "./fits.js";
import { Part } from "./part.js";

export class RunForm extends Part {
  constructor(panel) {
    super(panel);
    this.operations = [];
    this.preferred = null; // a job whose outputs were chosen as inputs
    this.chosen = "extract-samples";
    this.typed = {}; // values by input, where somebody changed them
  }

  build() {
    this.select = make("select", {
      class: "sample-map-operation",
      "aria-label": this.t("Operation"),
    });
    this.select.onchange = () => this.choose(this.select.value);
    this.title = make("div", { class: "sample-map-operation-title" });
    this.fields = make("div", { class: "sample-map-fields" });
    this.options = make("details", { class: "sample-map-part sample-map-options" });
    this.lists = make("div", { hidden: "" });
    this.button = make("button", { type: "submit", class: "sample-map-start" }, [this.t("Run")]);
    this.form = make("form", { class: "sample-map-run-form" }, [
      make("div", { class: "sample-map-row" }, [this.select, this.button]),
      this.title,
      this.fields,
      this.options,
      this.lists,
    ]);
    this.show();
  }

  get operation() {
    return this.operations.find((one) => one.identifier === this.chosen);
  }

  take(operations) {
    this.operations = operations;
    this.show();
  }

  /** Ask for another operation; what was typed for the last one goes. */
  choose(identifier, preferred = this.preferred) {
    this.chosen = identifier;
    this.preferred = preferred;
    this.typed = {};
    this.show();
  }

  show() {
    const options = this.operations.map(({ identifier }) =>
      make("option", { value: identifier }, [this.panel.words.name(identifier)]),
    );
    this.select.replaceChildren(...options);
    this.select.value = this.chosen;
    if (!this.operation) return;
    this.title.textContent = this.t(this.operation.title);
    const { inputs } = this.operation;
    this.controls = {};
    this.lists.replaceChildren();
    this.values = prefilled(inputs, this.panel.runs.sources(), this.preferred);
    const of = (isNeeded) =>
      inputs.filter((one) => one.required === isNeeded).map((one) => this.field(one));
    this.fields.replaceChildren(...of(true));
    const summary = make("summary", {}, [this.t("Options")]);
    const filled = inputs.filter((one) => !one.required && this.values[one.name]?.length);
    this.options.replaceChildren(summary, make("div", { class: "sample-map-fields" }, of(false)));
    if (filled.length) this.options.open = true; // nothing is given unseen
  }

  /** Fill in anew what nobody has changed: the layers or the jobs are others now. */
  refill() {
    const focused = this.form.contains(document.activeElement);
    if (!focused) this.show();
  }

  field(input) {
    const label = this.panel.words.name(input.name);
    const control = this.control(input, label);
    const attributes = { class: "sample-map-field", title: input.description };
    const tag = input.many ? "div" : "label"; // a label is of one control
    return make(tag, attributes, [make("span", {}, [label]), control]);
  }

  control(input, label) {
    const given = this.typed[input.name] ?? this.values[input.name] ?? [];
    const about = { "aria-label": label, "aria-description": input.description };
    const known = { name: input.name, ...about };
    if (input.choices.length) return this.choice(input, known, given[0]);
    if (input.kind === "bool") return this.box(input, known, given[0]);
    if (input.many) return this.list(input, known, given);
    return this.text(input, known, given[0]);
  }

  choice(input, known, given) {
    const options = input.choices.map((one) => make("option", { value: one }, [one]));
    const select = make("select", known, options);
    select.value = given ?? input.default;
    return this.kept(input, select, () => select.value);
  }

  box(input, known, given) {
    const box = make("input", { type: "checkbox", ...known });
    box.checked = given ?? input.default;
    return this.kept(input, box, () => box.checked);
  }

  text(input, known, given) {
    return this.kept(input, ...this.entry(input, known, given));
  }

  /** An element to type in, and what reads it. */
  entry(input, known, given = "") {
    const isPath = input.kind === "file" || input.kind === "folder";
    const field = make("input", {
      type: "text",
      autocomplete: "off",
      spellcheck: "false",
      ...known,
      placeholder: input.default ?? "",
    });
    field.value = given;
    if (isPath) {
      this.offer(input, field);
      requestAnimationFrame(() => {
        field.scrollLeft = field.scrollWidth; // names of results differ at their ends
      });
    }
    return [field, () => (isPath ? field.value.trim() : field.value)];
  }

  /** Offer names of what is on the map and of what jobs wrote. */
  offer(input, field) {
    const id = `names-${this.panel.kernel.view}-${input.name}`;
    field.setAttribute("list", id);
    if ([...this.lists.children].some((list) => list.id === id)) return;
    const names = offersFor(input, this.panel.runs.sources());
    const options = names.map((name) => make("option", { value: name }));
    this.lists.append(make("datalist", { id }, options));
  }

  /** One field for each name, and one more when asked for. */
  list(input, known, given) {
    const entries = [];
    const box = make("div", { class: "sample-map-names" });
    const more = makeButton(["+"], {
      "aria-label": this.t("One more"),
      title: this.t("One more"),
    });
    const add = (value) => {
      const [field, read] = this.entry(input, known, value);
      entries.push(read);
      more.before(field);
    };
    more.onclick = () => add("");
    box.append(more);
    for (const value of given.length ? given : [""]) add(value);
    return this.kept(input, box, () => entries.map((read) => read()).filter(Boolean));
  }

  kept(input, element, read) {
    this.controls[input.name] = read;
    const keep = () => {
      this.typed[input.name] = [read()].flat();
    };
    element.addEventListener("input", keep);
    element.addEventListener("change", keep);
    return element;
  }

  /** What is asked for: what is empty or as it is without being named is left out. */
  inputs() {
    const given = this.operation.inputs.map((input) => [input, this.controls[input.name]()]);
    const told = given.filter(
      ([input, value]) => value !== "" && String(value) !== String(input.default ?? ""),
    );
    return Object.fromEntries(told.map(([{ name }, value]) => [name, value]));
  }
}
