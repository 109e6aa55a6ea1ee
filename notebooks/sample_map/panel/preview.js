// A map of what is seen, from a small forest that learns after each stroke; and how good it is.

import { draw, make, makeButton } from "./elements.js";
import { Part } from "./part.js";

const PANE = "sample-map-preview";
const ABOVE_TILES = 350; // z-index: tiles have 200, what is drawn 400
const PLOT = { width: 300, height: 60, edge: 6 };

export class Preview extends Part {
  constructor(panel) {
    super(panel);
    this.isOn = false;
    this.windows = false;
    this.opacity = 0.7;
    this.showsUnknown = true;
    this.pictures = {}; // by stage: coarse and full are one, unknown another
    this.accuracies = [];
    this.isReady = false; // whether a next place can be proposed
  }

  build() {
    this.toggle = this.check(this.t("Live preview"), this.isOn, () => this.use(!this.isOn));
    this.toggle.title = `${this.t("After each stroke a small forest maps what is seen")} (V)`;
    this.toggle.classList.add("sample-map-preview-on");
    this.said = make("div", { class: "sample-map-preview-said", role: "status" });
    this.figure = make("div", { class: "sample-map-preview-accuracy", role: "status" });
    this.moved = make("div", { class: "sample-map-chart" });
    this.remarks = make("div", {});
    this.details = make("div", { class: "sample-map-preview-details" }, [
      this.said,
      this.remarks,
      this.figure,
      this.moved,
      this.controls(),
    ]);
    this.box = make("div", { class: "sample-map-previewing" }, [this.toggle, this.details]);
    this.show();
  }

  controls() {
    const unknown = this.check(this.t("Stripes where nothing like it was drawn"), true, (is) => {
      this.showsUnknown = is;
      this.restyle();
    });
    const windows = this.check(
      this.t("Look at the windows around pixels too"),
      this.windows,
      (is) => {
        this.windows = is;
        this.see();
      },
    );
    windows.title = this.t("Mean and deviation of 3 and 7 pixels around: slower, often better");
    const slider = make("input", {
      type: "range",
      min: "0",
      max: "100",
      value: String(100 * this.opacity),
      "aria-label": this.t("Opacity of the preview"),
    });
    slider.oninput = () => {
      this.opacity = Number(slider.value) / 100;
      this.restyle();
    };
    const opacity = make("label", { class: "sample-map-row" }, [this.t("Opacity"), slider]);
    this.making = makeButton(
      [this.t("Make the whole map")],
      {
        class: "sample-map-make-map",
        title: this.t("Jobs cut samples, train, check the scene and classify all of it"),
      },
      () => this.makeMap(),
    );
    return make("details", { class: "sample-map-preview-more" }, [
      make("summary", {}, [this.t("How it is shown, and the whole map")]),
      opacity,
      unknown,
      windows,
      this.making,
    ]);
  }

  check(text, isChecked, onchange) {
    const box = make("input", { type: "checkbox" });
    box.checked = isChecked;
    box.onchange = () => onchange(box.checked);
    return make("label", { class: "sample-map-row" }, [box, text]);
  }

  begin(map) {
    this.map = map;
    const pane = map.createPane(PANE);
    pane.style.zIndex = ABOVE_TILES;
    pane.style.pointerEvents = "none";
    this.onMove = () => this.see();
    map.on("moveend", this.onMove);
  }

  end() {
    this.map?.off("moveend", this.onMove);
    this.clear();
  }

  use(isOn) {
    this.isOn = isOn;
    if (isOn) return this.see();
    this.ask("leave");
    this.clear();
    this.isReady = false;
    this.panel.whereNext.close();
    this.show();
  }

  /** Ask for the map of what is seen now; what was asked before is left. */
  see() {
    if (!this.isOn || !this.map) return;
    this.isReady = false;
    const bounds = this.map.getBounds();
    const seen = [bounds.getSouth(), bounds.getWest(), bounds.getNorth(), bounds.getEast()];
    this.say(this.t("A small forest learns ..."));
    this.ask("see", { bounds: seen, windows: this.windows });
    this.show();
  }

  hear(message, buffers) {
    if (!this.isOn) return;
    const { stage } = message;
    if (stage === "none") this.failed(message.why);
    if (stage === "coarse" || stage === "full") this.lay("map", message, buffers[0]);
    if (stage === "full") {
      this.share = undefined;
      this.tellFull(message);
    }
    if (stage === "unknown") {
      this.lay("unknown", message, buffers[0]);
      this.share = message.share;
      this.tellFull(this.told);
    }
    if (stage === "ready") {
      this.isReady = true;
      this.knowsClouds = message.clouds;
      this.panel.whereNext.ready();
    }
    if (stage === "accuracy") this.showAccuracy(message.accuracies);
    this.box.dataset.stage = stage;
  }

  failed(why) {
    this.clear();
    this.accuracies = [];
    this.say(this.t(why));
    this.show();
    this.panel.whereNext.close();
  }

  lay(kind, { bounds, stage }, bytes) {
    const [south, west, north, east] = bounds;
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    const corners = [
      [south, west],
      [north, east],
    ];
    const options = { pane: PANE, interactive: false, className: `sample-map-previewed-${kind}` };
    const before = this.pictures[kind];
    const picture = this.panel.L.imageOverlay(url, corners, options);
    picture.on("load", () => {
      before?.remove(); // no blink between two pictures
      URL.revokeObjectURL(url);
    });
    this.pictures[kind] = picture;
    if (kind === "map" && stage === "coarse") this.drop("unknown");
    picture.addTo(this.map);
    this.restyle();
  }

  drop(kind) {
    this.pictures[kind]?.remove();
    delete this.pictures[kind];
  }

  clear() {
    this.drop("map");
    this.drop("unknown");
  }

  restyle() {
    this.pictures.map?.setOpacity(this.opacity);
    this.pictures.unknown?.setOpacity(this.showsUnknown ? 1 : 0);
  }

  tellFull(told) {
    this.told = told;
    const { words } = this.panel;
    this.remarks.replaceChildren(...this.remarksOf(told.remarks));
    const parts = told.about.map((sentence) => this.t(sentence));
    if (this.knowsClouds === false) {
      parts.push(this.t("This scene does not tell clouds: places may lie under one."));
    }
    if (this.share !== undefined) {
      const percent = words.number(100 * this.share);
      parts.push(this.t("{percent} % of it is like nothing that was drawn.", { percent }));
    }
    this.say(parts.join(" "));
  }

  remarksOf(remarks) {
    if (!remarks.length) return [];
    const summary = make("summary", {}, [this.t("Remarks: {count}", { count: remarks.length })]);
    const items = remarks.map((remark) => make("li", {}, [remark]));
    return [make("details", { class: "sample-map-remarks" }, [summary, make("ul", {}, items)])];
  }

  say(text) {
    this.said.textContent = text;
  }

  show() {
    this.toggle.querySelector("input").checked = this.isOn;
    this.details.hidden = !this.isOn;
    this.panel.whereNext.show();
    this.showAccuracy(this.accuracies);
  }

  showAccuracy(accuracies) {
    this.accuracies = accuracies;
    const last = accuracies.at(-1);
    if (!last) {
      this.figure.textContent = "";
      return this.moved.replaceChildren();
    }
    this.figure.replaceChildren(
      ...this.inWords(last, accuracies.at(-2)).map((line) => make("div", {}, [line])),
    );
    this.moved.replaceChildren(...plotOf(accuracies, this.t("Accuracy after the last strokes")));
  }

  /** The accuracy, how it moved, and of what it says nothing. */
  inWords(last, before) {
    const { words } = this.panel;
    const percent = (share) => words.number(100 * share);
    const { accuracy_spatial: accuracy, places, skipped } = last;
    const none = this.t("No accuracy yet: draw two classes in two places each.");
    const lines = [none];
    if (accuracy !== null) {
      const [low, high] = last.accuracy_spatial_interval;
      const told = { accuracy: percent(accuracy), low: percent(low), high: percent(high), places };
      lines[0] = this.t(
        "In places not drawn yet: {accuracy} % right, {low} to {high} %, told by {places} places.",
        told,
      );
      const moved = movedBy(last, before);
      if (moved !== null) lines.push(this.movedInWords(moved));
    }
    if (skipped.length) {
      lines.push(
        this.t("It says nothing of {names}: one place only.", { names: skipped.join(", ") }),
      );
    }
    return lines;
  }

  movedInWords({ points, isClear }) {
    const signed = `${points >= 0 ? "+" : "−"}${this.panel.words.number(Math.abs(points), 1)}`;
    return isClear
      ? this.t("{points} points since the stroke before.", { points: signed })
      : this.t("{points} points since the stroke before, within what chance does.", {
          points: signed,
        });
  }

  /** Have jobs do for the whole scene what the preview does for what is seen. */
  async makeMap() {
    const { runs, samples, layers, status } = this.panel;
    this.making.disabled = true;
    const steps = stepsOfMap(layers.image(), samples.file, this.windows);
    const reply = await runs.beginChain(steps);
    this.making.disabled = false;
    if (reply.error) return status.sayError(this.t(reply.error));
    status.say(this.t("Jobs make the map: see Run. It becomes a layer when it is done."));
  }
}

/** By how many points the accuracy moved, and whether by more than half of its interval. */
export function movedBy(last, before) {
  if (last.accuracy_spatial === null || (before?.accuracy_spatial ?? null) === null) return null;
  const points = 100 * (last.accuracy_spatial - before.accuracy_spatial);
  const [low, high] = last.accuracy_spatial_interval;
  return { points, isClear: Math.abs(points) > 50 * (high - low) };
}

/** What makes the map of a whole scene: steps as the chains of jobs are told. */
export function stepsOfMap(scene, file, windows) {
  const model = { step: 1, output: "model" };
  return [
    {
      operation: "extract-samples",
      inputs: { scene: [scene], labels: file, legend: file, context: windows ? 3 : 0 },
    },
    { operation: "train-classifier", inputs: { samples: [{ step: 0, output: "samples" }] } },
    { operation: "check-radiometry", inputs: { scene, model } },
    { operation: "classify-scene", inputs: { scene, model: [model] } },
  ];
}

/** Accuracies with their intervals, the newest to the right; nothing where there are no two. */
function plotOf(accuracies, label) {
  const known = accuracies.filter((one) => one.accuracy_spatial !== null);
  if (known.length < 2) return [];
  const { width, height, edge } = PLOT;
  const x = (i) => edge + ((width - 2 * edge) * i) / (known.length - 1);
  const y = (share) => edge + (height - 2 * edge) * (1 - share);
  const frame = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label };
  const svg = draw("svg", frame);
  const stroke = "currentColor";
  const bars = known.map(({ accuracy_spatial_interval: [low, high] }, i) =>
    draw("line", { x1: x(i), x2: x(i), y1: y(low), y2: y(high), stroke, opacity: 0.35 }),
  );
  const points = known.map(({ accuracy_spatial }, i) => `${x(i)},${y(accuracy_spatial)}`);
  const line = { points: points.join(" "), stroke, fill: "none", "stroke-width": 2 };
  svg.append(draw("title", {}, label), ...bars, draw("polyline", line));
  return [svg];
}
