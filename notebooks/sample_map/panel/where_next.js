// Where to label next: a place, a question, and keys to answer it.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";
import { Pictures } from "./pictures.js";

const CLOSER = 2; // zoom levels from the frame filling the small map to what is shown there
const RING = {
  radius: 14,
  weight: 3,
  color: "#ffffff",
  fill: false,
  pmIgnore: true,
  interactive: false,
};

export class WhereNext extends Part {
  constructor(panel) {
    super(panel);
    this.rule = "fewest";
    this.place = null; // as the kernel proposed it
    this.isWanted = false; // whether a place is proposed as soon as one can be
    this.untold = 0;
    this.marks = [];
  }

  build() {
    this.select = make("select", { "aria-label": this.t("Rule") });
    for (const [rule, { title }] of Object.entries(this.rules())) {
      const option = make("option", { value: rule }, [title]);
      option.selected = rule === this.rule;
      this.select.append(option);
    }
    this.select.onchange = () => {
      this.rule = this.select.value;
      // after a click the keys are for places again
      if (!this.select.matches(":focus-visible")) this.select.blur();
      this.show();
    };
    this.why = make("div", { class: "sample-map-next-why" });
    this.question = make("div", { class: "sample-map-next-question", role: "status" });
    this.closer = make("div", { class: "sample-map-next-closer" });
    this.row = make("div", { class: "sample-map-row sample-map-next-acts" });
    const choice = make("label", { class: "sample-map-row" }, [this.t("Where next"), this.select]);
    const about = make("details", {}, [
      make("summary", {}, [this.t("What this rule does")]),
      this.why,
    ]);
    this.box = make("div", { class: "sample-map-next" }, [
      choice,
      about,
      this.question,
      this.closer,
      this.row,
    ]);
    this.endCloser();
    this.show();
  }

  /** The rules: what each does, and what it saved where real labels answered. */
  rules() {
    const t = (text) => this.t(text);
    return {
      fewest: {
        title: t("class with the fewest places"),
        does: t("A random place that the preview takes for the class with the fewest places."),
      },
      random: { title: t("random"), does: t("Any place, by chance.") },
      unsure: {
        title: t("less than 75 % sure"),
        does: t("A random place of whose class the preview is less than 75 % sure, as in SEPAL."),
      },
      margin: {
        title: t("two classes alike, spread"),
        does: t("One of five different places where two classes are about equally probable."),
      },
      entropy: {
        title: t("most uncertain"),
        does: t("The place where the classes are most evenly probable, often on an edge."),
      },
    };
  }

  /** What a rule saved where real labels answered in the place of a person. */
  simulated(rule) {
    if (!SIMULATED[rule]) return this.t("The other rules are measured against it.");
    const { words } = this.panel;
    const [saved, error] = SIMULATED[rule];
    const told = {
      runs: SIMULATED.runs,
      scenes: SIMULATED.scenes,
      saved: `${saved < 0 ? "−" : ""}${words.number(Math.abs(saved), 1)}`,
      error: words.number(error, 1),
    };
    const measured = this.t(
      "In {runs} runs with real labels on {scenes} sets it needed {saved} places fewer than random ones for the same accuracy, standard error {error}:",
      told,
    );
    return `${measured} ${this.verdict(saved, error)}`;
  }

  verdict(saved, error) {
    if (Math.abs(saved) < 2 * error) return this.t("no more than chance may do.");
    return saved > 0 ? this.t("a gain.") : this.t("a loss: random places are better.");
  }

  show() {
    const { isOn } = this.panel.preview;
    this.box.hidden = !isOn;
    this.why.textContent = `${this.rules()[this.rule].does} ${this.simulated(this.rule)}`;
    this.question.textContent = this.place ? this.inWords(this.place) : this.silence();
    this.question.dataset.at = this.place?.at.join(" ") ?? "";
    this.closer.hidden = !this.place;
    this.row.replaceChildren(...this.buttons());
  }

  silence() {
    const told = { count: this.untold };
    return this.untold ? this.t("Places you could not tell: {count}.", told) : "";
  }

  inWords({ class: name, places, percent }) {
    const told = { name, places, percent };
    return this.t(
      "Places of {name} so far: {places}. Is this {name}? The preview is {percent} % sure.",
      told,
    );
  }

  buttons() {
    const button = (name, text, key, act) =>
      makeButton([`${text} (${key})`], { class: `sample-map-next-${name}` }, act);
    const next = button("next", this.t("Next"), "N", () => this.next());
    if (!this.place) return [next];
    const { active } = this.panel.legend;
    return [
      button("yes", this.t("Yes"), "Y", () => this.label(this.place.class)),
      button("label", this.t("It is {name}", { name: active }), "L", () => this.label(active)),
      button("skip", this.t("Later"), "K", () => this.leave("later")),
      button("untold", this.t("Cannot tell"), "U", () => this.leave("untold")),
      next,
    ];
  }

  /** Propose a place, as soon as the preview is there. */
  next() {
    const { preview } = this.panel;
    this.isWanted = true;
    if (!preview.isOn) return preview.use(true);
    if (preview.isReady) this.propose();
  }

  ready() {
    if (this.isWanted) this.propose();
  }

  async propose(content = {}) {
    this.isWanted = false;
    const reply = await this.ask("next_place", { rule: this.rule, ...content });
    if (reply.error) return this.close();
    this.untold = reply.untold;
    this.place = reply.place;
    this.mark();
    this.show();
    this.row.scrollIntoView({ block: "nearest" }); // who has keys alone does not scroll for it
  }

  /** Go on without a label; why: later, or untold. */
  leave(why) {
    if (this.place) this.propose({ left: this.place.at, why });
  }

  /** Label the frame, and go on as soon as the preview has learned from it. */
  async label(name) {
    if (!this.place || !name) return;
    const { geometry } = this.place;
    this.answered();
    const image = this.panel.layers.image();
    const reply = await this.ask("draw", { class: name, geometry, image });
    if (reply.error) this.isWanted = false;
  }

  answered() {
    this.unmark();
    this.place = null;
    this.isWanted = true;
    this.show();
  }

  /** A stroke over the place that is asked about answers, too. */
  learn(touched) {
    if (!this.place) return;
    const { placed } = this.panel.samples;
    const [longitude, latitude] = this.place.middle;
    const isOver = ([west, south, east, north]) =>
      west <= longitude && longitude <= east && south <= latitude && latitude <= north;
    if (touched.some((id) => placed.has(id) && isOver(placed.get(id).bounds))) this.answered();
  }

  close() {
    this.unmark();
    this.place = null;
    this.isWanted = false;
    this.show();
  }

  end() {
    this.unmark();
    this.endCloser();
  }

  mark() {
    this.unmark();
    const { L, map } = this.panel;
    const [longitude, latitude] = this.place.middle;
    const dark = L.circleMarker([latitude, longitude], { ...RING, color: "#000000", weight: 6 });
    const ring = L.circleMarker([latitude, longitude], {
      ...RING,
      className: "sample-map-next-ring",
    });
    this.marks = [dark, ring, ...this.outlines()];
    for (const one of this.marks) one.addTo(map);
    this.lookCloser(latitude, longitude);
  }

  /** The frame, dark and light, so that it is seen on whatever it lies. */
  outlines() {
    const still = { pmIgnore: true, interactive: false };
    return [
      ["#000000", 4],
      ["#ffffff", 2],
    ].map(([color, weight]) =>
      this.panel.L.geoJSON(this.place.geometry, {
        ...still,
        style: { color, weight, fill: false },
      }),
    );
  }

  unmark() {
    for (const one of this.marks) one.remove();
    this.marks = [];
  }

  /** Show the place on a small map in the panel: the large one stays where it is. */
  lookCloser(latitude, longitude) {
    const { L, layers } = this.panel;
    this.closer.hidden = false;
    if (!this.small) {
      const options = {
        zoomControl: false,
        attributionControl: false,
        keyboard: false,
        maxZoom: 22,
      };
      this.small = L.map(this.closer, { ...options, dragging: false, scrollWheelZoom: true });
      this.small.pm?.removeControls?.();
      this.pictures = new Pictures(L, this.small);
    }
    this.small.invalidateSize();
    const frame = L.geoJSON(this.place.geometry);
    const fitting = this.small.getBoundsZoom(frame.getBounds());
    this.small.setView([latitude, longitude], Math.min(22, Math.max(0, fitting - CLOSER)), {
      animate: false,
    });
    this.pictures.show(layers.shown);
    this.inner?.remove();
    this.inner = L.layerGroup(this.outlines()).addTo(this.small);
  }

  endCloser() {
    this.pictures?.clear();
    this.small?.remove();
    this.small = this.pictures = this.inner = null;
  }
}

// benchmarks/next_places.py: places that a rule needs fewer than random ones for the same accuracy,
// the mean over all runs and its standard error
export const SIMULATED = {
  runs: 70,
  scenes: 7,
  fewest: [-0.6, 1.7],
  unsure: [4.4, 1.6],
  margin: [2.9, 1.6],
  entropy: [2.3, 1.6],
};
