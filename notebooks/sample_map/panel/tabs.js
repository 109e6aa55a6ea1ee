// One subject at a time: each has the room of the panel to itself, and the only scroll bar.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";

export class Tabs extends Part {
  constructor(panel) {
    super(panel);
    this.open = "classes";
  }

  /** subjects: {name, title, children, onopen} in their order. */
  build(subjects) {
    this.subjects = subjects;
    this.bar = make("div", { class: "sample-map-tabs", role: "tablist" });
    this.pages = {};
    this.buttons = {};
    for (const { name, title, children } of subjects) {
      const id = `${this.panel.kernel.view}-${name}`;
      const attributes = {
        class: `sample-map-tab-${name}`,
        role: "tab",
        id,
        "aria-controls": `${id}-page`,
      };
      this.buttons[name] = makeButton([title], attributes, () => this.show(name));
      const page = {
        class: `sample-map-page sample-map-page-${name}`,
        role: "tabpanel",
        id: `${id}-page`,
      };
      this.pages[name] = make("div", { ...page, "aria-labelledby": id }, children);
      this.bar.append(this.buttons[name]);
    }
    this.bar.onkeydown = (event) => this.step(event);
    this.boxes = Object.values(this.pages);
    this.show(this.open);
  }

  show(name) {
    this.open = name;
    for (const [other, page] of Object.entries(this.pages)) {
      page.hidden = other !== name;
      this.buttons[other].setAttribute("aria-selected", String(other === name));
      this.buttons[other].tabIndex = other === name ? 0 : -1;
    }
    this.subjects.find((subject) => subject.name === name).onopen?.();
  }

  isOpen(name) {
    return this.open === name;
  }

  /** Arrows go from tab to tab, as they do in tab lists everywhere. */
  step(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const names = this.subjects.map((subject) => subject.name);
    const next = names[(names.indexOf(this.open) + by + names.length) % names.length];
    event.preventDefault();
    event.stopPropagation();
    this.show(next);
    this.buttons[next].focus();
  }
}
