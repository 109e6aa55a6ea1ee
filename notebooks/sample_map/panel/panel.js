// The map and the panel beside it, as they live in the browser. The kernel keeps the samples; what
// it says is shown, what is drawn is sent to it. Leaflet and Geoman come with ipyleaflet.

import { Classes } from "./classes.js";
import { Compare } from "./compare.js";
import { Conflicts } from "./conflicts.js";
import { Editing } from "./editing.js";
import { makeButton } from "./elements.js";
import { Growing } from "./growing.js";
import { Inspector } from "./inspector.js";
import { Kernel } from "./kernel.js";
import { Keys } from "./keys.js";
import { Layers } from "./layers.js";
import { Legend } from "./legend.js";
import { Measure } from "./measure.js";
import { Preview } from "./preview.js";
import { Printing } from "./printing.js";
import { Runs } from "./runs.js";
import { Samples } from "./samples.js";
import { Selection } from "./selection.js";
import { shapesLayer } from "./shapes.js";
import { Spectra } from "./spectra.js";
import { Status } from "./status.js";
import { Tabs } from "./tabs.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";
import { WhereNext } from "./where_next.js";
import { Words } from "./words.js";

// what is asked by the panel itself, or what may say more before it is answered (a background that
// cannot be reached): the answer leaves the message alone
const UNASKED = [
  "open",
  "spectra",
  "preview",
  "change_layer",
  "change_view",
  "add_background",
  "see",
  "leave",
];
const LOOK = 50; // ms between two looks for the map
const LOOKS = 600;

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
  for (let looks = 0; looks < LOOKS; looks++) {
    const box = el.closest(".sample-map");
    for (const promise of Object.values(shown.views ?? {})) {
      const view = await promise;
      if (box && view.obj && box.contains(view.el)) return view.obj;
    }
    await new Promise((done) => setTimeout(done, LOOK));
  }
  return null;
}

/** What the parts share, and what reaches all of them. */
class Panel {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.words = new Words(model.get("catalogs"), model.get("language"));
    this.kernel = new Kernel(model);
    this.samples = new Samples();
    this.status = new Status(this);
    this.legend = new Legend(this);
    this.classes = new Classes(this);
    this.tools = new Tools(this);
    this.growing = new Growing(this);
    this.editing = new Editing(this);
    this.selection = new Selection(this);
    this.conflicts = new Conflicts(this);
    this.layers = new Layers(this);
    this.printing = new Printing(this);
    this.preview = new Preview(this);
    this.whereNext = new WhereNext(this);
    this.runs = new Runs(this);
    this.compare = new Compare(this);
    this.spectra = new Spectra(this);
    this.inspector = new Inspector(this);
    this.measure = new Measure(this);
    this.view = new View(this);
    this.tabs = new Tabs(this);
    this.keys = new Keys(this);
  }

  build() {
    const { status, tools, growing, conflicts } = this;
    this.el.replaceChildren();
    this.el.classList.add("sample-map-panel", "geoportal");
    this.el.lang = this.words.language;
    for (const part of [
      status,
      tools,
      growing,
      conflicts,
      this.legend,
      this.classes,
      this.selection,
      this.layers,
      this.printing,
      this.runs,
      this.whereNext,
      this.preview,
      this.spectra,
      this.inspector,
    ]) {
      part.build();
    }
    this.tabs.build(this.subjects());
    // whether all is saved, and the tools, are never scrolled out of sight
    const above = [
      status.state,
      conflicts.box,
      tools.box,
      growing.box,
      status.message,
      this.tabs.bar,
    ];
    this.el.append(...above, ...this.tabs.boxes);
  }

  /** The pages of the panel: name, title, what is on it, what to do when it is opened. */
  subjects() {
    const { legend, classes, selection, layers, printing, runs, spectra, inspector } = this;
    const loop = [this.preview.box, this.whereNext.box];
    const t = (text) => this.words.t(text);
    return [
      {
        name: "classes",
        title: t("Classes"),
        children: [
          legend.box,
          legend.balance,
          ...loop,
          legend.form,
          classes.part,
          this.languageButton(),
        ],
        onopen: () => legend.balance.after(selection.box),
      },
      {
        name: "layers",
        title: t("Layers"),
        children: [layers.box, ...layers.forms, printing.part],
        onopen: () => layers.offer(),
      },
      {
        name: "inspect",
        title: t("Values"),
        children: [inspector.box, spectra.part],
        onopen: () => spectra.updateSoon(),
      },
      {
        name: "samples",
        title: t("Samples"),
        children: [selection.list],
        onopen: () => {
          selection.list.before(selection.box);
          selection.showList();
        },
      },
      {
        name: "run",
        title: t("Run"),
        children: [runs.box],
        onopen: () => runs.opened(),
      },
    ];
  }

  languageButton() {
    const { other } = this.words;
    const attributes = { class: "sample-map-language", lang: other };
    return makeButton([this.words.nameOf(other)], attributes, () => this.speak(other));
  }

  speak(language) {
    this.words.choose(language);
    const open = [...this.el.querySelectorAll("details[open]")].map((part) => part.className);
    this.build();
    for (const part of this.el.querySelectorAll("details")) {
      part.open = open.includes(part.className);
    }
    this.map?.pm.setLang(language);
    this.show();
    this.layers.show();
    this.tools.use(this.tools.name);
  }

  begin(map) {
    this.map = map;
    this.L = window.L;
    this.box = this.el.closest(".sample-map");
    this.keys.begin(this.box);
    this.kernel.begin(this.el, {
      samples: (message, buffers) => this.receive(message, buffers),
      news: (news, cause) => this.learn(news, cause),
      layers: (told) => this.layers.take(told),
      preview: (message, buffers) => this.preview.hear(message, buffers),
      answer: (asked, reply) => this.answered(asked, reply),
      tick: () => this.status.show(),
    });
    map.pm.setLang(this.words.language);
    this.tools.begin(map);
    this.layers.begin(map);
    this.preview.begin(map);
    this.view.begin(map);
    this.shapes = shapesLayer(this.L, this);
    this.shapes.addTo(map);
    this.onClick = (event) => this.clicked(event.latlng);
    map.on("click", this.onClick);
    this.view.bringIntoView();
    this.open();
  }

  end() {
    this.kernel.end();
    this.keys.end();
    if (!this.map) return;
    this.editing.stop();
    this.tools.end();
    this.compare.end();
    this.inspector.hideMark();
    this.runs.end();
    this.preview.end();
    this.whereNext.end();
    this.view.end();
    this.map.off("click", this.onClick);
    this.shapes.remove();
  }

  async open() {
    const reply = await this.kernel.ask("open");
    if (reply.layers) this.layers.take(reply);
    this.layers.fit();
    this.tools.use("select");
  }

  receive(message, buffers) {
    this.samples.receive(message, buffers);
    this.runs.begin();
    this.show();
    this.shapes.redraw();
  }

  /** Show what changed; cause: what was asked here, null if others or a cell changed it. */
  learn(news, cause) {
    const { selection, status, words } = this;
    const touched = this.samples.learn(news);
    if (news.gone.includes(selection.id)) selection.select(null);
    this.editing.refresh(touched, cause);
    this.whereNext.learn(touched);
    this.preview.see();
    if (!cause && touched.length) {
      const count = { count: words.number(touched.length) };
      status.tell(
        news.cell
          ? words.t("Added by a cell: {count}", count)
          : words.t("Changed by others or in another tab: {count}", count),
      );
    }
    this.show();
    this.shapes.redraw();
  }

  answered({ verb }, { error }) {
    if (error && verb !== "open") this.status.sayError(this.words.t(error));
    else if (!UNASKED.includes(verb)) this.status.say("");
  }

  show() {
    this.legend.show();
    this.classes.show();
    this.selection.show();
    this.conflicts.show();
    this.spectra.updateSoon();
    this.tools.show();
    this.status.show();
  }

  clicked(place) {
    const { tools, editing, selection, growing, inspector } = this;
    if (tools.draws) return;
    if (tools.name === "grow") return growing.growAt(place);
    if (tools.name === "inspect") return inspector.inspect(place);
    const hit = this.shapes.at(place);
    if (editing.id && (hit === null || hit === editing.id)) return;
    selection.choose(hit);
    if (hit !== null && tools.isEditing) editing.start();
  }

  /** Leave whatever was begun: nothing is selected any more, and nothing is drawn. */
  escape() {
    this.selection.select(null);
    this.whereNext.close();
    this.tools.use("select");
  }
}
