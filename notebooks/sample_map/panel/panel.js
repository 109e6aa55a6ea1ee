// The map and the panel beside it, as they live in the browser. The kernel keeps the samples; what
// it says is shown, what is drawn is sent to it. Leaflet and Geoman come with ipyleaflet.

const PING = 500; // ms between two questions whether the kernel and the storage are there
const SILENT = 1500; // ms without an answer after which nothing counts as saved
const STALLED = 700; // ms between two looks of 200 after which it was the page that was late
const SLOW = 1000; // ms after which a stroke that is not saved yet is mentioned
const UNASKED = new Set(["open", "spectra"]); // asked by the panel itself: an answer leaves the message alone
const ROWS = 100; // samples listed at once; all are on the map
const SVG = "http://www.w3.org/2000/svg";
const POLYGONS = ["Polygon", "MultiPolygon"];
const DRAWN = { polygon: "Polygon", rectangle: "Rectangle", point: "CircleMarker", split: "Line", cut: "Polygon" };

export default {
  async render({ model, el }) {
    const panel = new Panel(model, el);
    panel.build();
    const map = await mapBeside(model, el);
    if (map) panel.begin(map);
    return () => panel.end();
  },
};

/** Wait for the Leaflet map that stands in the same box as the panel. */
async function mapBeside(model, el) {
  const shown = await model.widget_manager.get_model(model.get("map_id"));
  for (let tries = 0; tries < 600; tries++) {
    const box = el.closest(".sample-map");
    for (const promise of Object.values(shown.views ?? {})) {
      const view = await promise;
      if (box && view.obj && box.contains(view.el)) return view.obj;
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  return null;
}

class Panel {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.view = Math.random().toString(36).slice(2);
    this.catalogs = model.get("catalogs");
    this.language = this.chosenLanguage();
    this.samples = new Map(); // id: {feature, x, y, rings, box}
    this.legend = [];
    this.counts = {};
    this.areas = {};
    this.steps = { undo: 0, redo: 0 };
    this.file = "";
    this.scenes = [];
    this.layers = new Map(); // scene name: {scene, layer, bands, stretch, opacity, shown}
    this.active = null;
    this.selected = null;
    this.isChanging = false; // whether the next class chosen goes to the selected sample
    this.tool = "select";
    this.tolerance = 8; // percent
    this.grown = null; // {id, longitude, latitude} of the region that the slider changes
    this.edited = null; // {id, layer, sending, queued} of the one sample that is an editable shape
    this.asked = new Map(); // request: {since, done, ghost, verb}
    this.requests = 0;
    this.lastAnswer = this.lastTick = performance.now();
    this.pinging = null;
    this.trouble = "";
    this.conflicts = [];
    this.spectra = null;
    this.lost = 0;
    this.kernel = null; // {status, connectionStatus} where the page knows it
    this.isExecuting = false; // whether it runs a cell
  }

  // ---- words

  chosenLanguage() {
    let stored = null;
    try {
      stored = localStorage.getItem("sample-map-language");
    } catch {
      // a browser that keeps nothing
    }
    const wanted = this.model.get("language") || stored || navigator.language || "en";
    return Object.keys(this.catalogs).find((known) => wanted.startsWith(known)) ?? "en";
  }

  /** Translate; {names} in the text are filled in afterwards. */
  t(text, values = {}) {
    const found = this.catalogs[this.language]?.[text] ?? text;
    return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  }

  number(value, digits = 0) {
    return value.toLocaleString(this.language, { maximumFractionDigits: digits });
  }

  area(metres) {
    if (metres < 10000) return `${this.number(metres)} ${this.t("m²")}`;
    if (metres < 1e6) return `${this.number(metres / 10000, 1)} ${this.t("ha")}`;
    return `${this.number(metres / 1e6, metres < 1e8 ? 1 : 0)} ${this.t("km²")}`;
  }

  // ---- the panel's parts

  build() {
    const t = (text) => this.t(text);
    this.el.replaceChildren();
    this.el.classList.add("sample-map-panel");
    this.el.lang = this.language;
    this.state = make("div", { class: "sample-map-state", role: "status" }, [t("Opening the map ...")]);
    this.message = make("div", { class: "sample-map-message", role: "status" });
    this.legendBox = make("div", { class: "sample-map-legend", role: "group", "aria-label": t("Classes") });
    this.balance = make("div", { class: "sample-map-balance" });
    this.newClass = make("input", { type: "text", placeholder: t("New class"), "aria-label": t("New class") });
    const add = make("form", { class: "sample-map-row" }, [
      this.newClass,
      make("button", { type: "submit" }, [t("Add class")]),
    ]);
    add.onsubmit = (event) => {
      event.preventDefault();
      this.ask("add_class", { name: this.newClass.value }).then((reply) => {
        if (reply.error) return;
        this.newClass.value = "";
        this.choose(reply.class);
      });
    };
    this.tools = make("div", { class: "sample-map-tools", role: "toolbar", "aria-label": t("Tools") });
    this.buttons = {};
    for (const [name, text, key, what] of this.toolTexts()) {
      const button = make("button", { type: "button", class: `sample-map-tool-${name}`, title: `${what} (${key})` }, [text]);
      button.onclick = () => this.use(name);
      this.buttons[name] = button;
      this.tools.append(button);
    }
    this.toleranceText = make("output", {}, [`${this.tolerance} %`]);
    this.slider = make("input", {
      type: "range", min: "1", max: "40", step: "1", value: String(this.tolerance),
      class: "sample-map-tolerance", "aria-label": t("Tolerance of the region"),
    });
    this.slider.oninput = () => {
      this.tolerance = Number(this.slider.value);
      this.toleranceText.textContent = `${this.tolerance} %`;
    };
    this.slider.onchange = () => this.growAgain();
    this.tolerances = make("label", { class: "sample-map-row sample-map-tolerances" }, [t("Tolerance"), this.slider, this.toleranceText]);
    this.chosen = make("div", { class: "sample-map-selected" });
    this.disputes = make("div", { class: "sample-map-conflicts", role: "alert" });
    this.sceneBox = make("div", { class: "sample-map-scenes" });
    this.chart = make("div", { class: "sample-map-chart" });
    this.list = make("div", { class: "sample-map-list" });
    this.spectraPart = this.part("spectra", t("Spectra of the classes"), [this.chart]);
    this.spectraPart.ontoggle = () => this.askSpectra();
    this.listPart = this.part("samples", t("List of samples"), [this.list]);
    this.listPart.ontoggle = () => this.showList();
    const language = make("button", { type: "button", class: "sample-map-language", lang: this.otherLanguage() }, [
      { en: "English", ru: "Русский" }[this.otherLanguage()],
    ]);
    language.onclick = () => this.speak(this.otherLanguage());
    // whether all is saved, and how much there is of each class, is never scrolled out of sight
    this.el.append(
      make("div", { class: "sample-map-upper" }, [
        this.state, this.disputes, this.legendBox, this.balance, this.tools, this.tolerances, this.message,
      ]),
      make("div", { class: "sample-map-lower" }, [
        this.chosen, this.part("layers", t("Scenes and colours"), [this.sceneBox]), this.spectraPart, this.listPart, add, language,
      ]),
    );
  }

  toolTexts() {
    const t = (text) => this.t(text);
    return [
      ["select", t("Select"), "S", t("Click a sample to see and change it")],
      ["polygon", t("Polygon"), "P", t("Click around an area; click the first corner to close it")],
      ["rectangle", t("Rectangle"), "R", t("Click two opposite corners")],
      ["point", t("Point"), "O", t("Click to mark a single place")],
      ["grow", t("Region"), "G", t("Click, and all that is connected and looks alike becomes a sample")],
      ["edit", t("Corners"), "E", t("Drag the corners of the selected sample")],
      ["move", t("Move"), "M", t("Drag the selected sample")],
      ["split", t("Split"), "X", t("Draw a line across the selected sample; a double click ends it")],
      ["cut", t("Cut out"), "H", t("Draw an area to take out of the selected sample")],
      ["delete", t("Delete"), "Del", t("Delete the selected sample")],
      ["undo", t("Undo"), "Ctrl+Z", t("Take back the last step")],
      ["redo", t("Redo"), "Ctrl+Y", t("Repeat what was taken back")],
    ];
  }

  part(name, title, children) {
    return make("details", { class: `sample-map-part sample-map-part-${name}` }, [make("summary", {}, [title]), ...children]);
  }

  otherLanguage() {
    return this.language === "en" ? "ru" : "en";
  }

  speak(language) {
    this.language = language;
    try {
      localStorage.setItem("sample-map-language", language);
    } catch {
      // a browser that keeps nothing asks again
    }
    const open = [...this.el.querySelectorAll("details[open]")].map((part) => part.className);
    this.build();
    for (const part of this.el.querySelectorAll("details")) part.open = open.includes(part.className);
    this.map?.pm.setLang(language);
    this.showAll();
    this.showScenes();
    this.use(this.tool);
  }

  // ---- asking the kernel

  begin(map) {
    this.map = map;
    this.L = window.L;
    this.box = this.el.closest(".sample-map");
    // The notebook takes the focus whenever somebody clicks into a cell's output. So the keys are
    // ours after a click on the map too, and we hear them before the notebook does.
    this.onPointer = (event) => (this.isAtHand = this.box.contains(event.target));
    this.onKey = (event) => {
      const isOutside = !this.box.contains(event.target);
      if (!isOutside || (this.isAtHand && event.target.contains(this.box))) this.key(event);
    };
    window.addEventListener("pointerdown", this.onPointer, true);
    window.addEventListener("keydown", this.onKey, true);
    this.onMessage = (message, buffers) => this.hear(message, buffers);
    this.model.on("msg:custom", this.onMessage);
    map.pm.setLang(this.language);
    map.pm.setGlobalOptions({ snappable: false, allowSelfIntersection: false });
    this.shapes = shapesLayer(this.L, this);
    this.shapes.addTo(map);
    this.onCreate = (event) => this.drawn(event.layer);
    this.onClick = (event) => this.clicked(event.latlng);
    map.on("pm:create", this.onCreate);
    map.on("click", this.onClick);
    this.watchKernel();
    this.timer = setInterval(() => this.tick(), 200);
    this.open();
  }

  /** Know when the kernel runs a cell: then no answer does not mean that it is gone. */
  watchKernel() {
    this.kernel = this.model.widget_manager?.kernel ?? null;
    const prompts = this.el.closest(".jp-Notebook")?.querySelectorAll(".jp-InputPrompt") ?? [];
    // what began before is not heard of any more, and its status may be hidden by an answer beside it
    this.isExecuting = this.kernel?.status === "busy" || [...prompts].some((prompt) => prompt.textContent.includes("*"));
    this.onStatus = (_, message) => {
      if (message.header.msg_type !== "status" || message.parent_header?.msg_type !== "execute_request") return;
      this.isExecuting = message.content.execution_state === "busy";
    };
    this.kernel?.iopubMessage?.connect(this.onStatus);
  }

  /** Whether the kernel lives and is reached, and only runs a cell. */
  isBusy() {
    const kernel = this.kernel;
    if (!kernel || kernel.isDisposed || !["busy", "idle"].includes(kernel.status)) this.isExecuting = false;
    return this.isExecuting && kernel.connectionStatus === "connected";
  }

  end() {
    clearInterval(this.timer);
    this.model.off("msg:custom", this.onMessage);
    this.kernel?.iopubMessage?.disconnect(this.onStatus);
    window.removeEventListener("pointerdown", this.onPointer, true);
    window.removeEventListener("keydown", this.onKey, true);
    if (!this.map) return;
    this.stopEditing();
    this.map.pm.disableDraw();
    this.map.off("pm:create", this.onCreate);
    this.map.off("click", this.onClick);
    this.shapes.remove();
  }

  open() {
    this.ask("open").then((reply) => {
      this.scenes = reply.scenes ?? [];
      for (const scene of this.scenes) this.addScene(scene);
      this.fit();
      this.showBasemap();
      this.showScenes();
      this.use("select");
    });
  }

  /** Show the whole of the first scene, unless somebody has moved the map. */
  fit() {
    const size = this.map.getSize();
    if (!size.x || !size.y) return this.map.once("resize", () => this.fit()); // in a tab that is not shown yet
    const [latitude, longitude, zoom] = this.model.get("begin");
    const { lat, lng } = this.map.getCenter();
    const isMoved = this.map.getZoom() !== zoom || Math.abs(lat - latitude) > 1e-6 || Math.abs(lng - longitude) > 1e-6;
    if (isMoved || !this.scenes.length) return;
    const [south, west, north, east] = this.scenes[0].bounds;
    this.map.fitBounds([[south, west], [north, east]], { animate: false });
  }

  ask(verb, content = {}, ghost = null) {
    const request = ++this.requests;
    return new Promise((done) => {
      this.asked.set(request, { since: performance.now(), done, ghost, verb });
      this.send({ verb, view: this.view, request, ...content });
    });
  }

  send(message) {
    try {
      this.model.send(message);
    } catch {
      // the kernel is gone: no answer comes, and the state line says so
    }
  }

  hear(message, buffers) {
    if (message.kind === "news") this.learn(message);
    if (message.to !== this.view) return;
    if (message.kind === "samples") this.receive(message, buffers);
    if (message.kind === "reply") this.answered(message);
  }

  answered(reply) {
    this.lastAnswer = performance.now();
    this.trouble = reply.trouble;
    const asked = this.asked.get(reply.request);
    if (!asked) return;
    this.asked.delete(reply.request);
    asked.ghost?.remove();
    if (reply.request === this.pinging) this.pinging = null;
    else if (reply.error && asked.verb !== "open") this.say(this.t(reply.error), "error");
    else if (!UNASKED.has(asked.verb)) this.say("");
    asked.done(reply);
    this.showState();
  }

  tick() {
    const now = performance.now();
    // a page that stood still itself has answers waiting, and hears them only after this
    if (now - this.lastTick > STALLED) this.lastAnswer = Math.max(this.lastAnswer, now - SILENT / 2);
    this.lastTick = now;
    const lately = this.asked.get(this.pinging)?.since ?? -Infinity;
    if (now - Math.max(lately, this.lastPing ?? -Infinity) >= PING && (this.pinging === null || now - lately > 3000)) {
      this.asked.delete(this.pinging);
      this.lastPing = now;
      this.ask("ping");
      this.pinging = this.requests;
    }
    this.showState();
  }

  isGone() {
    return performance.now() - this.lastAnswer > SILENT;
  }

  showState() {
    const waiting = [...this.asked.values()].filter((asked) => asked.ghost);
    const strokes = waiting.length ? ` ${this.t("Strokes not saved: {count}.", { count: waiting.length })}` : "";
    let [kind, text] = ["saved", this.t("Saved in {file}", { file: this.file })];
    if (this.isGone() && this.isBusy()) {
      kind = "waiting";
      text = this.file
        ? this.t("The kernel is busy. What you draw now is saved when it is free.") + strokes
        : this.t("The kernel is busy. The map opens when it is free.");
    } else if (this.isGone()) {
      kind = "lost";
      text = this.t("NOT SAVED: the kernel does not answer. Do not draw now; if it stays so, run the cell again.") + strokes;
    } else if (this.trouble) {
      kind = "lost";
      text = this.t("NOT SAVED: {reason}", { reason: this.t(this.trouble) }) + strokes;
    } else if (waiting.some((asked) => performance.now() - asked.since > SLOW)) {
      [kind, text] = ["waiting", this.t("Saving ...") + strokes];
    } else if (!this.file) {
      [kind, text] = ["waiting", this.t("Opening the map ...")];
    }
    if (this.state.textContent === text) return;
    this.state.textContent = text;
    this.state.dataset.kind = kind;
    this.state.setAttribute("role", kind === "lost" ? "alert" : "status");
    if (kind === "lost" && this.isGone() && DRAWN[this.tool]) this.use("select");
  }

  say(text, kind = "hint") {
    this.message.textContent = text;
    this.message.dataset.kind = kind;
    if (!text) this.hint();
  }

  /** Say what comes unasked, and never in the place of an error. */
  tell(text, kind = "hint") {
    if (this.message.dataset.kind !== "error") this.say(text, kind);
  }

  // ---- what the kernel says

  receive(message, buffers) {
    const bytes = buffers[0];
    const features = JSON.parse(new TextDecoder().decode(bytes.buffer ? bytes : new DataView(bytes)));
    this.samples = new Map(features.map((feature) => [feature.id, placed(feature)]));
    this.conflicts = message.conflicts;
    this.summarise(message);
    this.showAll();
    this.shapes.redraw();
  }

  learn(news) {
    const mine = news.view === this.view ? this.asked.get(news.by) : null;
    for (const feature of news.samples) this.samples.set(feature.id, placed(feature));
    for (const id of news.gone) this.samples.delete(id);
    this.conflicts.push(...news.conflicts);
    this.summarise(news);
    const touched = [...news.gone, ...news.samples.map((feature) => feature.id)];
    if (this.selected && news.gone.includes(this.selected)) this.select(null);
    if (this.edited && touched.includes(this.edited.id) && mine?.verb !== "reshape") {
      const again = this.samples.has(this.edited.id);
      this.stopEditing();
      if (again) this.startEditing();
    }
    if (!mine && touched.length) {
      const count = { count: this.number(touched.length) };
      this.tell(news.cell ? this.t("Added by a cell: {count}", count) : this.t("Changed by others or in another tab: {count}", count));
    }
    this.showAll();
    this.shapes.redraw();
  }

  summarise(told) {
    this.file = told.file;
    this.author = told.author;
    this.legend = told.legend;
    this.counts = told.counts;
    this.areas = told.areas;
    this.steps = { undo: told.undo, redo: told.redo };
    this.active ??= this.legend[0]?.name ?? null;
    this.colors = new Map(this.legend.map((one) => [one.name, one.color]));
  }

  color(name) {
    return this.colors?.get(name) ?? "#777777";
  }

  showAll() {
    this.showLegend();
    this.showSelected();
    this.showConflicts();
    this.showList();
    this.askSpectraSoon();
    this.buttons.undo.disabled = !this.steps.undo;
    this.buttons.redo.disabled = !this.steps.redo;
    this.showState();
  }

  // ---- the legend

  showLegend() {
    const others = Object.keys(this.counts).filter((name) => !this.colors.has(name));
    const most = Math.max(1, ...Object.values(this.counts));
    const focused = document.activeElement?.dataset?.className;
    this.legendBox.replaceChildren(
      ...this.legend.map((one, i) => this.legendRow(one.name, one.color, i + 1, most)),
      ...others.map((name) => this.legendRow(name, "#777777", null, most)),
    );
    if (focused !== undefined) {
      [...this.legendBox.children].find((row) => row.dataset.className === focused)?.focus();
    }
    if (!this.legend.length && this.file) this.legendBox.append(this.t("There is no class yet. Add the first one below."));
    this.showBalance();
  }

  legendRow(name, color, key, most) {
    const count = this.counts[name] ?? 0;
    const row = make("button", {
      type: "button", class: "sample-map-class", "data-class-name": name, "aria-pressed": String(name === this.active),
      title: key === null ? this.t("not in the legend") : this.t("Draw samples of this class"),
    }, [
      make("span", { class: "sample-map-key" }, [key !== null && key < 10 ? String(key) : ""]),
      make("span", { class: "sample-map-swatch", style: `background:${color}` }),
      make("span", { class: "sample-map-name" }, [name || this.t("no class")]),
      make("span", { class: "sample-map-count" }, [this.number(count)]),
      make("span", { class: "sample-map-area" }, [this.area(this.areas[name] ?? 0)]),
      make("span", { class: "sample-map-bar", style: `width:${(100 * count) / most}%;background:${color}` }),
    ]);
    if (key === null) row.disabled = true;
    row.onclick = () => this.choose(name);
    return row;
  }

  /** Say how unequal the classes are: the largest area against the smallest, and which are empty. */
  showBalance() {
    const named = this.legend.map((one) => one.name);
    const empty = named.filter((name) => !this.counts[name]);
    const sized = named.filter((name) => this.areas[name] > 0).sort((a, b) => this.areas[b] - this.areas[a]);
    const parts = [];
    if (sized.length > 1) {
      const [large, small] = [sized[0], sized[sized.length - 1]];
      const ratio = this.areas[large] / this.areas[small];
      parts.push(ratio < 2
        ? this.t("The classes have about the same area.")
        : this.t("{large} has {ratio} times the area of {small}.", { large, small, ratio: this.number(ratio, ratio < 10 ? 1 : 0) }));
      this.balance.dataset.kind = ratio >= 10 ? "uneven" : "even";
    }
    if (empty.length && empty.length < named.length) parts.push(this.t("No samples yet: {names}", { names: empty.join(", ") }));
    this.balance.textContent = parts.join(" ");
  }

  /** Choose the class to draw, or the one that the sample to be changed gets. */
  choose(name) {
    const sample = this.samples.get(this.selected)?.feature;
    if (this.isChanging && sample) return this.reclass(sample, name);
    this.active = name;
    this.showLegend();
    this.restyle();
  }

  /** Give a sample another class, and say so. */
  reclass(sample, name) {
    const before = sample.properties.class || this.t("no class");
    this.change(false);
    if (sample.properties.class === name) return this.say(this.t("The sample is {name} already.", { name }));
    this.ask("reclass", { id: sample.id, version: sample.properties.version, class: name }).then((reply) => {
      if (!reply.error) this.say(this.t("The sample was {before} and is {name} now. Undo (Ctrl+Z) takes that back.", { before, name }));
    });
  }

  /** Begin or end to change the class of the selected sample; nothing else makes a class go to it. */
  change(isChanging) {
    if (isChanging && !this.samples.has(this.selected)) return this.say(this.t("Select a sample first"), "error");
    if (isChanging && (DRAWN[this.tool] || this.tool === "grow")) this.use("select");
    this.isChanging = isChanging;
    this.showSelected();
    if (isChanging) this.say(this.t("Choose the class that this sample gets; Esc leaves it as it is."), "change");
    else if (this.message.dataset.kind === "change") this.say("");
  }

  /** Leave whatever was begun: nothing is selected any more, and nothing is drawn. */
  escape() {
    this.select(null);
    this.use("select");
  }

  // ---- tools

  use(name) {
    if (name === "undo" || name === "redo") return this.ask(name).then((reply) => reply.selected && this.select(reply.selected, false));
    if (name === "delete") return this.remove();
    const needs = ["edit", "move", "split", "cut"].includes(name);
    const sample = this.samples.get(this.selected)?.feature;
    if (needs && !sample && (name === "split" || name === "cut")) {
      this.use("select");
      return this.say(this.t("Select a sample first"), "error");
    }
    if ((name === "split" || name === "cut") && !POLYGONS.includes(sample.geometry.type)) {
      return this.say(this.t("a point cannot be cut"), "error");
    }
    if ((DRAWN[name] || name === "grow") && !this.active) {
      this.use("select");
      return this.say(this.t("Add a class first"), "error");
    }
    if (name !== "select") this.change(false);
    this.tool = name;
    for (const [other, button] of Object.entries(this.buttons)) button.setAttribute("aria-pressed", String(other === name));
    this.tolerances.hidden = name !== "grow";
    if (name !== "grow") this.grown = null;
    if (!this.map) return;
    this.stopEditing();
    this.map.pm.disableDraw();
    if (DRAWN[name]) this.map.pm.enableDraw(DRAWN[name], this.strokeStyle());
    if (name === "edit" || name === "move") this.startEditing();
    this.map.getContainer().style.cursor = name === "grow" ? "crosshair" : "";
    this.say("");
    this.shapes.redraw();
  }

  hint() {
    const found = this.toolTexts().find(([name]) => name === this.tool);
    this.message.textContent = found ? found[3] : "";
  }

  strokeStyle() {
    const color = this.tool === "cut" || this.tool === "split" ? "#ffffff" : this.color(this.active);
    const path = { color, fillColor: color, weight: 3, fillOpacity: 0.3, radius: 6 };
    return {
      snappable: false, allowSelfIntersection: false, finishOn: this.tool === "split" ? "dblclick" : null,
      pathOptions: path, templineStyle: { color, weight: 3 }, hintlineStyle: { color, weight: 2, dashArray: "5 5" },
    };
  }

  restyle() {
    if (this.map && DRAWN[this.tool]) {
      this.map.pm.disableDraw();
      this.map.pm.enableDraw(DRAWN[this.tool], this.strokeStyle());
    }
  }

  /** Send a finished stroke; it stays on the map, dashed, until the kernel has saved it. */
  drawn(layer) {
    const geometry = layer.toGeoJSON(false).geometry; // false: no digit is rounded off
    const ghost = this.L.geoJSON(geometry, {
      pmIgnore: true, interactive: false, style: { color: "#ffffff", weight: 2, dashArray: "4 4", fillOpacity: 0.1 },
      pointToLayer: (_, place) => this.L.circleMarker(place, { radius: 6, pmIgnore: true, interactive: false }),
    }).addTo(this.map);
    layer.remove();
    const sample = this.samples.get(this.selected)?.feature;
    const target = sample && { id: sample.id, version: sample.properties.version };
    const tool = this.tool;
    if (tool === "split" || tool === "cut") {
      this.ask(tool, { ...target, geometry }, ghost);
    } else {
      this.ask("draw", { class: this.active, geometry, image: this.image() }, ghost).then((reply) => {
        if (reply.selected) this.select(reply.selected, false);
      });
    }
    // not before Geoman has put its tool away, and the click that ended the stroke is over
    setTimeout(() => this.tool === tool && this.use(tool === "split" || tool === "cut" ? "select" : tool), 0);
  }

  clicked(place) {
    if (DRAWN[this.tool]) return;
    if (this.tool === "grow") return this.growAt(place);
    const hit = this.shapes.at(place);
    if (this.edited && (hit === null || hit === this.edited.id)) return;
    this.choosePlace(hit);
    if (hit !== null && (this.tool === "edit" || this.tool === "move")) this.startEditing();
  }

  growAt(place) {
    const where = { longitude: place.lng, latitude: place.lat };
    const ghost = this.L.circleMarker(place, { radius: 5, color: "#ffffff", pmIgnore: true, interactive: false }).addTo(this.map);
    this.ask("grow", { class: this.active, image: this.image(), tolerance: this.tolerance / 100, ...where }, ghost).then((reply) => {
      if (reply.error) return;
      this.grown = { id: reply.selected, ...where };
      this.select(reply.selected, false);
      this.sayRegion(reply.region);
    });
  }

  /** Another tolerance changes the region that was grown last. */
  growAgain() {
    const sample = this.samples.get(this.grown?.id)?.feature;
    if (!sample) return;
    const again = { ...this.grown, version: sample.properties.version, tolerance: this.tolerance / 100 };
    this.ask("grow", again).then((reply) => !reply.error && this.sayRegion(reply.region));
  }

  sayRegion(region) {
    const text = this.t("Region of {pixels} pixels.", { pixels: this.number(region.pixels) });
    this.say(region.cut ? `${text} ${this.t("It was cut off at the limit of its size: lower the tolerance.")}` : text);
  }

  remove() {
    const sample = this.samples.get(this.selected)?.feature;
    if (!sample) return this.say(this.t("Select a sample first"), "error");
    this.stopEditing();
    this.ask("delete", { id: sample.id, version: sample.properties.version });
  }

  // ---- the one editable shape

  startEditing() {
    const sample = this.samples.get(this.selected)?.feature;
    this.stopEditing();
    if (!sample) return;
    const isPoint = !POLYGONS.includes(sample.geometry.type);
    if (sample.geometry.type === "MultiPoint") return this.say(this.t("Several points in one sample cannot be moved here"), "error");
    const color = this.color(sample.properties.class);
    const style = { color, fillColor: color, weight: 3, fillOpacity: 0.25, radius: 7 };
    const layer = this.L.geoJSON(sample, { style, pointToLayer: (_, place) => this.L.circleMarker(place, style) }).getLayers()[0];
    layer.addTo(this.map);
    this.edited = { id: sample.id, layer, sending: false, queued: false };
    if (this.tool === "move" || isPoint) layer.pm.enableLayerDrag();
    else layer.pm.enable({ snappable: false, allowSelfIntersection: false });
    layer.on("pm:edit pm:dragend pm:markerdragend pm:vertexremoved", () => this.reshaped());
    this.shapes.redraw();
  }

  stopEditing() {
    if (!this.edited) return;
    const { layer } = this.edited;
    this.edited = null;
    layer.pm.disable();
    layer.pm.disableLayerDrag?.();
    layer.remove();
    this.shapes?.redraw();
  }

  /** Send the outline as it is now; while one is on its way, only the latest waits. */
  reshaped() {
    const edited = this.edited;
    if (!edited) return;
    if (edited.sending) {
      edited.queued = true;
      return;
    }
    const sample = this.samples.get(edited.id).feature;
    const geometry = edited.layer.toGeoJSON(false).geometry;
    if (JSON.stringify(geometry) === JSON.stringify(sample.geometry)) return;
    edited.sending = true;
    const content = { id: edited.id, version: sample.properties.version, geometry };
    this.ask("reshape", content, { remove() {} }).then((reply) => {
      edited.sending = false;
      if (reply.error || reply.selected !== edited.id) {
        this.stopEditing();
        if (reply.selected) this.select(reply.selected, false);
        this.startEditing();
        if (reply.error) this.say(this.t(reply.error), "error");
      } else if (edited.queued) {
        edited.queued = false;
        this.reshaped();
      }
    });
  }

  // ---- selection, list, conflicts

  select(id, announce = true) {
    if (id !== this.selected) this.isChanging = false;
    this.selected = this.samples.has(id) ? id : null;
    if (this.edited && this.edited.id !== this.selected) this.stopEditing();
    if (announce) this.say("");
    this.showSelected();
    this.showList();
    this.shapes.redraw();
  }

  /** Select what somebody clicked; one without a class waits for it at once. */
  choosePlace(id) {
    this.select(id);
    if (id !== null && !this.samples.get(id).feature.properties.class) this.change(true);
  }

  showSelected() {
    const sample = this.samples.get(this.selected)?.feature;
    if (!sample) this.isChanging = false;
    this.legendBox.dataset.changing = this.chosen.dataset.changing = String(this.isChanging);
    if (!sample) return this.chosen.replaceChildren();
    const told = sample.properties;
    const lines = [
      `${told.class || this.t("no class")} · ${this.t("version {version}", { version: told.version })}`,
      this.t("by {author}, {time}", { author: told.author || "?", time: this.time(told.drawn) }),
      ...(told.editor ? [this.t("last changed by {editor}", { editor: told.editor })] : []),
      told.image,
    ];
    const own = (verb, text) => {
      const button = make("button", { type: "button", class: `sample-map-own-${verb}` }, [text]);
      button.onclick = () => this.ask(verb, { id: sample.id });
      return button;
    };
    const fly = make("button", { type: "button", class: "sample-map-fly" }, [this.t("Show on the map")]);
    fly.onclick = () => this.fly(sample.id);
    const change = make("button", {
      type: "button", class: "sample-map-change", "aria-pressed": String(this.isChanging),
      title: `${this.t("Then choose the class that this sample gets")} (C)`,
    }, [this.t("Change class")]);
    change.onclick = () => this.change(!this.isChanging);
    this.chosen.replaceChildren(
      ...lines.map((line) => make("div", {}, [line])),
      make("div", { class: "sample-map-row" }, [change, fly, own("undo", this.t("Undo this one")), own("redo", this.t("Redo this one"))]),
    );
  }

  time(text) {
    const when = new Date(text);
    return Number.isNaN(when.getTime()) ? "?" : when.toLocaleString(this.language, { dateStyle: "medium", timeStyle: "short" });
  }

  showList() {
    if (!this.listPart?.open) return;
    const all = [...this.samples.values()].reverse();
    const rows = all.slice(0, ROWS).map(({ feature }) => this.listRow(feature));
    const more = all.length > ROWS ? [this.t("{shown} of {count} are listed; all are on the map.", { shown: ROWS, count: this.number(all.length) })] : [];
    this.list.replaceChildren(...rows, ...more);
  }

  listRow(feature) {
    const row = make("button", { type: "button", class: "sample-map-listed", "aria-pressed": String(feature.id === this.selected) }, [
      make("span", { class: "sample-map-swatch", style: `background:${this.color(feature.properties.class)}` }),
      `${feature.properties.class || this.t("no class")} · ${feature.properties.author} · ${this.time(feature.properties.drawn)}`,
    ]);
    row.onclick = () => {
      this.choosePlace(feature.id);
      this.fly(feature.id);
    };
    return row;
  }

  fly(id) {
    const placedSample = this.samples.get(id);
    if (!placedSample) return;
    const [west, south, east, north] = placedSample.bounds;
    this.map.flyToBounds([[south, west], [north, east]], { maxZoom: 17, padding: [80, 80], duration: 0.6 });
  }

  showConflicts() {
    const pairs = [...this.samples.values()].filter(({ feature }) => feature.properties.rival && this.samples.has(feature.properties.rival));
    const single = this.conflicts.filter((one) => one.what !== "both");
    this.disputes.replaceChildren(
      ...pairs.map(({ feature }) => this.disputeRow(feature)),
      ...single.map((one) => this.noticeRow(one)),
    );
  }

  disputeRow(feature) {
    const other = this.samples.get(feature.properties.rival).feature;
    const [one, two] = [feature, other].map(({ properties }) => properties.editor || properties.author);
    const row = make("div", { class: "sample-map-conflict" }, [
      this.t("{one} and {two} changed one sample at the same time. Both are kept: delete one, or keep both.", { one, two }),
    ]);
    const buttons = [
      [this.t("That of {who}", { who: one }), () => this.show(feature.id)],
      [this.t("That of {who}", { who: two }), () => this.show(other.id)],
      [this.t("Keep both"), () => this.ask("settle", { id: feature.id, version: feature.properties.version })],
    ].map(([text, act]) => Object.assign(make("button", { type: "button" }, [text]), { onclick: act }));
    row.append(make("div", { class: "sample-map-row" }, buttons));
    return row;
  }

  noticeRow(one) {
    const text = one.what === "changed"
      ? this.t("{who} changed a sample while you deleted it. It stays.", { who: one.editor || "?" })
      : this.t("Somebody deleted a sample while you changed it. It is back, with your change.");
    const show = make("button", { type: "button" }, [this.t("Show on the map")]);
    show.onclick = () => this.show(one.id);
    const close = make("button", { type: "button" }, [this.t("Understood")]);
    close.onclick = () => {
      this.conflicts = this.conflicts.filter((other) => other !== one);
      this.showConflicts();
    };
    return make("div", { class: "sample-map-conflict" }, [text, make("div", { class: "sample-map-row" }, [show, close])]);
  }

  show(id) {
    this.select(id);
    this.fly(id);
  }

  // ---- scenes

  image() {
    return this.scenes[0]?.name ?? "";
  }

  addScene(scene) {
    if (this.layers.has(scene.name)) return;
    const look = { scene, bands: scene.natural.slice(), stretch: "2,98", opacity: 1, shown: true, layer: null };
    this.layers.set(scene.name, look);
    this.drawScene(look);
  }

  drawScene(look) {
    look.layer?.remove();
    if (!look.shown) return;
    const [south, west, north, east] = look.scene.bounds;
    const query = new URLSearchParams({ scene: look.scene.name, bands: look.bands.join(","), stretch: look.stretch, v: look.scene.stamp });
    look.layer = this.L.tileLayer(`${baseUrl()}sample_map/tiles/{z}/{x}/{y}.png?${query}`, {
      bounds: [[south, west], [north, east]], maxZoom: 22, opacity: look.opacity, className: "sample-map-tile",
      zIndex: 100 - this.scenes.indexOf(look.scene), // the first one lies on top
    });
    look.layer.on("tileerror", () => this.say(this.t("A part of the scene {name} cannot be shown; is the file still there?", { name: look.scene.name }), "error"));
    let slow = null;
    look.layer.on("loading", () => {
      clearTimeout(slow);
      slow = setTimeout(() => this.tell(this.t("The scene is being read ..."), "reading"), SLOW);
    });
    look.layer.on("load remove", () => {
      clearTimeout(slow);
      if (this.message.dataset.kind === "reading") this.say("");
    });
    look.layer.addTo(this.map);
  }

  showScenes() {
    const rows = [...this.layers.values()].map((look) => this.sceneRow(look));
    const name = make("input", { type: "text", placeholder: "home/scene.tif", "aria-label": this.t("Name of another scene") });
    const form = make("form", { class: "sample-map-row" }, [name, make("button", { type: "submit" }, [this.t("Add scene")])]);
    form.onsubmit = (event) => {
      event.preventDefault();
      this.ask("add_scene", { name: name.value.trim() }).then((reply) => {
        if (reply.error) return;
        this.scenes = reply.scenes;
        for (const scene of this.scenes) this.addScene(scene);
        this.showScenes();
      });
    };
    this.sceneBox.replaceChildren(...rows, form, ...this.basemapRow());
  }

  sceneRow(look) {
    const shown = make("input", { type: "checkbox" });
    shown.checked = look.shown;
    shown.onchange = () => {
      look.shown = shown.checked;
      this.drawScene(look);
    };
    const opacity = make("input", { type: "range", min: "0", max: "100", value: String(look.opacity * 100), "aria-label": this.t("Opacity") });
    opacity.oninput = () => {
      look.opacity = opacity.value / 100;
      look.layer?.setOpacity(look.opacity);
    };
    const bands = [this.t("Red"), this.t("Green"), this.t("Blue")].map((title, i) =>
      this.choice(title, look.scene.bands.map((band, n) => [String(n + 1), band]), String(look.bands[i]), (value) => {
        look.bands[i] = Number(value);
        this.drawScene(look);
      }));
    const stretches = [["0,100", this.t("all values")], ["1,99", "1–99 %"], ["2,98", "2–98 %"], ["5,95", "5–95 %"], ["10,90", "10–90 %"]];
    const stretch = this.choice(this.t("Stretch"), stretches, look.stretch, (value) => {
      look.stretch = value;
      this.drawScene(look);
    });
    return make("div", { class: "sample-map-scene" }, [
      make("label", {}, [shown, ` ${look.scene.name}`]),
      make("div", { class: "sample-map-bands" }, [...bands, stretch]),
      make("label", { class: "sample-map-row" }, [this.t("Opacity"), opacity]),
    ]);
  }

  choice(title, options, value, chosen) {
    const select = make("select", { "aria-label": title }, options.map(([key, text]) => make("option", { value: key }, [text])));
    select.value = value;
    select.onchange = () => chosen(select.value);
    return make("label", {}, [title, select]);
  }

  basemapRow() {
    if (!this.model.get("basemap")) return [];
    const shown = make("input", { type: "checkbox", class: "sample-map-basemap" });
    shown.checked = Boolean(this.base);
    shown.onchange = () => (shown.checked ? this.showBasemap() : this.dropBasemap());
    return [make("label", {}, [shown, ` ${this.t("Background map")}`])];
  }

  showBasemap() {
    const address = this.model.get("basemap");
    if (!address) return;
    this.base = this.L.tileLayer(address, { zIndex: 1, maxZoom: 19 });
    let loaded = false;
    this.base.on("tileload", () => (loaded = true));
    this.base.on("tileerror", () => {
      if (loaded || !this.base) return;
      this.dropBasemap();
      this.showScenes();
      this.say(this.t("The background map cannot be reached, so it is off."), "error");
    });
    this.base.addTo(this.map);
  }

  dropBasemap() {
    this.base?.remove();
    this.base = null;
  }

  // ---- spectra

  askSpectraSoon() {
    if (!this.spectraPart?.open) return;
    clearTimeout(this.spectraTimer);
    this.spectraTimer = setTimeout(() => this.askSpectra(), 400);
  }

  askSpectra() {
    if (!this.spectraPart.open || !this.file) return;
    this.ask("spectra", { image: this.image() }).then((reply) => {
      if (!reply.error) this.chart.replaceChildren(...this.plot(reply.bands, reply.spectra));
    });
  }

  /** A line for the mean of each class, a band for its standard deviation to both sides. */
  plot(bands, spectra) {
    const names = Object.keys(spectra);
    if (!names.length) return [this.t("Draw samples to see their spectra.")];
    const byWave = bands.every((band) => band.wavelength);
    const order = bands.map((_, i) => i).sort((a, b) => (byWave ? bands[a].wavelength - bands[b].wavelength : a - b));
    const [width, height, left, bottom] = [310, 190, 44, 34];
    const places = order.map((band, i) => (byWave ? bands[band].wavelength : i));
    const low = Math.min(...names.flatMap((name) => spectra[name].mean.map((mean, i) => mean - spectra[name].spread[i])));
    const high = Math.max(...names.flatMap((name) => spectra[name].mean.map((mean, i) => mean + spectra[name].spread[i])));
    const x = (i) => left + ((width - left - 8) * (places[i] - places[0])) / (places[places.length - 1] - places[0] || 1);
    const y = (value) => height - bottom - ((height - bottom - 8) * (value - low)) / (high - low || 1);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.t("Mean spectrum and spread of each class") });
    for (const share of [0, 0.5, 1]) {
      const value = low + share * (high - low);
      svg.append(draw("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), class: "sample-map-grid" }));
      svg.append(draw("text", { x: left - 4, y: y(value) + 4, "text-anchor": "end" }, this.number(value, high - low < 10 ? 2 : 0)));
    }
    const ends = order.length > 1 ? [0, order.length - 1] : [0];
    for (const i of ends) {
      const anchor = i ? "end" : "start";
      svg.append(draw("text", { x: x(i), y: height - bottom + 14, "text-anchor": anchor }, byWave ? `${this.number(places[i])} ${this.t("nm")}` : bands[order[i]].name));
    }
    svg.append(draw("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, byWave ? this.t("wavelength") : this.t("band")));
    for (const name of names) {
      const { mean, spread } = spectra[name];
      const above = order.map((band, i) => `${x(i)},${y(mean[band] + spread[band])}`);
      const below = order.map((band, i) => `${x(i)},${y(mean[band] - spread[band])}`).reverse();
      const title = `${name}: ${this.t("{pixels} pixels of {samples} samples", { pixels: this.number(spectra[name].pixels), samples: spectra[name].samples })}`;
      const group = draw("g", { class: "sample-map-spectrum", "data-class-name": name });
      group.append(draw("title", {}, title));
      group.append(draw("polygon", { points: [...above, ...below].join(" "), fill: this.color(name), opacity: 0.18 }));
      group.append(draw("polyline", { points: order.map((band, i) => `${x(i)},${y(mean[band])}`).join(" "), stroke: this.color(name), fill: "none", "stroke-width": 2 }));
      svg.append(group);
    }
    return [svg];
  }

  // ---- keys

  key(event) {
    if (event.target.closest("input[type=text], select")) return event.stopPropagation();
    if (event.target.closest("input[type=range]") && /^(Arrow|Page|Home|End)/.test(event.key)) return;
    const control = event.ctrlKey || event.metaKey;
    const act = control ? this.controlKey(event) : event.altKey ? null : this.plainKey(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  controlKey(event) {
    if (event.code === "KeyZ") return () => this.use(event.shiftKey ? "redo" : "undo");
    if (event.code === "KeyY") return () => this.use("redo");
    return null;
  }

  /** By the place of the key, so that a Russian keyboard needs no switching. */
  plainKey(event) {
    const digit = /^(Digit|Numpad)([1-9])$/.exec(event.code)?.[2];
    if (digit) return this.legend[digit - 1] ? () => this.choose(this.legend[digit - 1].name) : null;
    const tools = {
      KeyS: "select", KeyP: "polygon", KeyR: "rectangle", KeyO: "point", KeyG: "grow", KeyE: "edit",
      KeyM: "move", KeyX: "split", KeyH: "cut", Delete: "delete", Backspace: "delete",
    };
    if (event.code === "Escape") return () => this.escape();
    if (event.code === "KeyC") return () => this.change(!this.isChanging);
    return tools[event.code] ? () => this.use(tools[event.code]) : null;
  }
}

// ---- drawing many samples

/** Prepare a feature for drawing: its places in Web Mercator, 0..1, and what encloses them. */
function placed(feature) {
  const { type, coordinates } = feature.geometry;
  const polygons = { Polygon: [coordinates], MultiPolygon: coordinates }[type];
  const points = { Point: [coordinates], MultiPoint: coordinates }[type];
  const rings = (polygons ? polygons.flat() : points.map((place) => [place])).map((ring) => {
    const line = new Float64Array(ring.length * 2);
    ring.forEach(([longitude, latitude], i) => {
      line[2 * i] = (longitude + 180) / 360;
      line[2 * i + 1] = (1 - Math.asinh(Math.tan((latitude * Math.PI) / 180)) / Math.PI) / 2;
    });
    return line;
  });
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const bounds = [Infinity, Infinity, -Infinity, -Infinity];
  for (const line of rings) enclose(box, line);
  for (const ring of polygons ? polygons.flat() : [points]) enclose(bounds, ring.flatMap(([x, y]) => [x, y]));
  return { feature, rings, box, bounds, isPoint: !polygons };
}

function enclose(box, line) {
  for (let i = 0; i < line.length; i += 2) {
    box[0] = Math.min(box[0], line[i]);
    box[1] = Math.min(box[1], line[i + 1]);
    box[2] = Math.max(box[2], line[i]);
    box[3] = Math.max(box[3], line[i + 1]);
  }
}

/** All samples on one canvas: shapes of the browser would be too many. */
function shapesLayer(L, panel) {
  const Shapes = L.Layer.extend({
    onAdd(map) {
      this._canvas = L.DomUtil.create("canvas", "sample-map-shapes leaflet-zoom-hide", map.getPanes().overlayPane);
      map.on("moveend resize viewreset zoomend", this.redraw, this);
      this.redraw();
    },
    onRemove(map) {
      map.off("moveend resize viewreset zoomend", this.redraw, this);
      this._canvas.remove();
    },
    redraw() {
      if (this._frame) return;
      this._frame = requestAnimationFrame(() => {
        this._frame = null;
        if (this._map) this._draw();
      });
    },
    _draw() {
      const map = this._map;
      const size = map.getSize();
      const margin = size.multiplyBy(0.25).round(); // so that dragging does not show an edge at once
      const corner = map.containerPointToLayerPoint([0, 0]).subtract(margin);
      const [width, height] = [size.x + 2 * margin.x, size.y + 2 * margin.y];
      const ratio = window.devicePixelRatio || 1;
      Object.assign(this._canvas, { width: width * ratio, height: height * ratio });
      Object.assign(this._canvas.style, { width: `${width}px`, height: `${height}px` });
      L.DomUtil.setPosition(this._canvas, corner);
      const origin = map.getPixelOrigin().add(corner);
      const pen = this._canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const frame = { pen, scale: map.options.crs.scale(map.getZoom()), x: origin.x, y: origin.y, width, height };
      let drawn = 0;
      for (const [id, sample] of panel.samples) {
        if (id !== panel.edited?.id && id !== panel.selected) drawn += paint(frame, sample, panel, false);
      }
      const chosen = panel.samples.get(panel.selected);
      if (chosen && panel.edited?.id !== panel.selected) drawn += paint(frame, chosen, panel, true);
      this._canvas.dataset.drawn = String(drawn);
    },
    /** The sample at a place; of several the smallest, which would else be out of reach. */
    at(place) {
      const scale = this._map.options.crs.scale(this._map.getZoom());
      const x = (place.lng + 180) / 360;
      const y = (1 - Math.asinh(Math.tan((place.lat * Math.PI) / 180)) / Math.PI) / 2;
      const near = 8 / scale;
      let [found, smallest] = [null, Infinity];
      for (const [id, { box, rings, isPoint }] of panel.samples) {
        if (x < box[0] - near || x > box[2] + near || y < box[1] - near || y > box[3] + near) continue;
        const extent = Math.max(box[2] - box[0], box[3] - box[1]);
        const isHit = isPoint ? rings.some(([px, py]) => Math.hypot(px - x, py - y) < near) : extent < near || isInside(rings, x, y);
        if (isHit && extent < smallest) [found, smallest] = [id, extent];
      }
      return found;
    },
  });
  return new Shapes();
}

function paint({ pen, scale, x, y, width, height }, sample, panel, isChosen) {
  const { box, rings, isPoint, feature } = sample;
  const [left, top] = [box[0] * scale - x, box[1] * scale - y];
  const [right, bottom] = [box[2] * scale - x, box[3] * scale - y];
  if (right < -8 || bottom < -8 || left > width + 8 || top > height + 8) return 0;
  const color = panel.color(feature.properties.class);
  pen.fillStyle = color;
  if (!isPoint && right - left < 3 && bottom - top < 3 && !isChosen) {
    pen.globalAlpha = 1;
    pen.fillRect((left + right) / 2 - 1.5, (top + bottom) / 2 - 1.5, 3, 3);
    return 1;
  }
  pen.beginPath();
  for (const line of rings) {
    if (isPoint) {
      pen.moveTo(line[0] * scale - x + 5, line[1] * scale - y);
      pen.arc(line[0] * scale - x, line[1] * scale - y, 5, 0, 2 * Math.PI);
      continue;
    }
    for (let i = 0; i < line.length; i += 2) {
      const [px, py] = [line[i] * scale - x, line[i + 1] * scale - y];
      if (i) pen.lineTo(px, py);
      else pen.moveTo(px, py);
    }
    pen.closePath();
  }
  pen.globalAlpha = isPoint ? 0.9 : isChosen ? 0.45 : 0.3;
  pen.fill("evenodd");
  pen.globalAlpha = 1;
  const isDisputed = Boolean(feature.properties.rival) && panel.samples.has(feature.properties.rival);
  pen.strokeStyle = isChosen || isPoint ? "#ffffff" : "rgba(0, 0, 0, 0.55)";
  pen.lineWidth = isChosen ? 6 : isPoint ? 3 : 3.5;
  pen.stroke();
  pen.strokeStyle = isDisputed ? "#d00000" : isChosen ? "#000000" : color;
  pen.setLineDash(isDisputed ? [6, 4] : []);
  pen.lineWidth = isChosen ? 3 : 2;
  if (!isPoint || isChosen || isDisputed) pen.stroke();
  pen.setLineDash([]);
  return 1;
}

function isInside(rings, x, y) {
  let inside = false;
  for (const line of rings) {
    for (let i = 0, j = line.length - 2; i < line.length; j = i, i += 2) {
      const crosses = line[i + 1] > y !== line[j + 1] > y;
      if (crosses && x < ((line[j] - line[i]) * (y - line[i + 1])) / (line[j + 1] - line[i + 1]) + line[i]) inside = !inside;
    }
  }
  return inside;
}

// ---- elements

function baseUrl() {
  const config = document.getElementById("jupyter-config-data");
  return (config && JSON.parse(config.textContent).baseUrl) || "/";
}

function make(tag, attributes = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}
