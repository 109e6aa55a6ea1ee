// The classes: which one is drawn, how much there is of each, and how even that is.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";
import { UNKNOWN_COLOR } from "./samples.js";

const EVEN = 2; // times the smallest area, up to which the largest counts as about the same
const UNEVEN = 10;

export class Legend extends Part {
  constructor(panel) {
    super(panel);
    this.active = null; // name of the class that is drawn
  }

  build() {
    const group = { class: "sample-map-legend", role: "group", "aria-label": this.t("Classes") };
    this.box = make("div", group);
    this.balance = make("div", { class: "sample-map-balance" });
    const named = this.t("New class");
    const name = make("input", { type: "text", placeholder: named, "aria-label": named });
    this.form = make("form", { class: "sample-map-row" }, [
      name,
      make("button", { type: "submit" }, [this.t("Add class")]),
    ]);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.add(name);
    };
  }

  async add(input) {
    const reply = await this.ask("add_class", { name: input.value });
    if (reply.error) return;
    input.value = "";
    this.choose(reply.class);
  }

  show() {
    const { samples } = this.panel;
    if (!samples.colors.has(this.active)) this.active = samples.legend[0]?.name ?? null;
    const others = Object.keys(samples.counts).filter((name) => !samples.colors.has(name));
    const most = Math.max(1, ...Object.values(samples.counts));
    const focused = document.activeElement?.dataset?.className;
    this.box.replaceChildren(
      ...samples.legend.map((one, i) => this.row(one.name, one.color, i + 1, most)),
      ...others.map((name) => this.row(name, UNKNOWN_COLOR, null, most)),
    );
    if (focused !== undefined) {
      [...this.box.children].find((row) => row.dataset.className === focused)?.focus();
    }
    if (!samples.legend.length && samples.file) {
      this.box.append(this.t("There is no class yet. Add the first one below."));
    }
    this.showBalance();
  }

  row(name, color, key, most) {
    const { samples, words } = this.panel;
    const count = samples.counts[name] ?? 0;
    const attributes = {
      class: "sample-map-class",
      "data-class-name": name,
      "aria-pressed": String(name === this.active),
      title: key === null ? this.t("not in the legend") : this.t("Draw samples of this class"),
    };
    const cells = [
      make("span", { class: "sample-map-key" }, [key !== null && key < 10 ? String(key) : ""]),
      make("span", { class: "sample-map-swatch", style: `background:${color}` }),
      make("span", { class: "sample-map-name" }, [name || this.t("no class")]),
      make("span", { class: "sample-map-count" }, [words.number(count)]),
      make("span", { class: "sample-map-area" }, [words.area(samples.areas[name] ?? 0)]),
      make("span", {
        class: "sample-map-bar",
        style: `width:${(100 * count) / most}%;background:${color}`,
      }),
    ];
    const row = makeButton(cells, attributes, () => this.choose(name));
    if (key === null) row.disabled = true;
    return row;
  }

  /** Say how unequal the classes are: the largest area against the smallest; which are empty. */
  showBalance() {
    const { legend, counts, areas } = this.panel.samples;
    const named = legend.map((one) => one.name);
    const empty = named.filter((name) => !counts[name]);
    const spread = spreadOf(named, areas);
    const parts = [];
    if (spread) {
      parts.push(this.spreadInWords(spread));
      this.balance.dataset.kind = spread.ratio >= UNEVEN ? "uneven" : "even";
    }
    if (empty.length && empty.length < named.length) {
      parts.push(this.t("No samples yet: {names}", { names: empty.join(", ") }));
    }
    this.balance.textContent = parts.join(" ");
  }

  spreadInWords({ large, small, ratio }) {
    if (ratio < EVEN) return this.t("The classes have about the same area.");
    const times = this.panel.words.number(ratio, ratio < 10 ? 1 : 0);
    return this.t("{large} has {ratio} times the area of {small}.", {
      large,
      small,
      ratio: times,
    });
  }

  /** Choose the class to draw, or the one that the sample to be changed gets. */
  choose(name) {
    const { selection, tools } = this.panel;
    if (selection.isChanging && selection.sample) return selection.reclass(name);
    this.active = name;
    this.show();
    this.panel.whereNext.show(); // which offers to label with it
    tools.restyle();
  }
}

/** The classes with the largest and the smallest area, of at least two that have any. */
export function spreadOf(names, areas) {
  const sized = names.filter((name) => areas[name] > 0).sort((a, b) => areas[b] - areas[a]);
  if (sized.length < 2) return null;
  const [large, small] = [sized[0], sized[sized.length - 1]];
  return { large, small, ratio: areas[large] / areas[small] };
}
