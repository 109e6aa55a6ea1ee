// Operations as jobs: a form to start them, and what becomes of them.

import { make } from "./elements.js";
import { layersOf, nextAfter } from "./fits.js";
import { OwnJobs } from "./own_jobs.js";
import { Part } from "./part.js";
import { Repeat } from "./repeat.js";
import { RunForm } from "./run_form.js";
import { isOver, RunJobs } from "./run_jobs.js";
import { askServer, tellServer } from "./server.js";

const LOOK = 1000; // ms between two looks at jobs that wait or run
const SHOWN = 20; // jobs
const FAR = 500; // jobs that are looked through for those that are waited for

export class Runs extends Part {
  constructor(panel) {
    super(panel);
    this.jobs = [];
    this.chains = [];
    this.names = []; // of files in the storage
    this.looksFar = false; // whether next for jobs that are not among the latest
    this.hasService = null; // whether there is one; null until the server said so
    this.mine = new OwnJobs();
    this.form = new RunForm(panel);
    this.list = new RunJobs(panel);
    this.repeat = new Repeat(panel);
  }

  build() {
    for (const part of [this.form, this.list, this.repeat]) part.build();
    this.form.form.onsubmit = (event) => {
      event.preventDefault();
      this.start();
    };
    this.said = make("div", { class: "sample-map-run-said", role: "status" });
    this.box = make("div", { class: "sample-map-runs" });
    this.show();
  }

  /** The samples are there: go on with the jobs of this map that were running. */
  begin() {
    this.mine.begin(this.panel.samples.file);
    if (this.mine.areWaitedFor) this.look();
  }

  end() {
    clearTimeout(this.timer);
    this.isEnded = true;
  }

  async opened() {
    if (this.hasService === null) await this.describe();
    this.names = (await askServer("names")).names ?? this.names;
    this.form.refill();
    if (this.hasService) this.look();
  }

  async describe() {
    const found = await askServer("operations");
    if (found.error) return this.say(found.error);
    this.hasService = found.runs;
    this.form.take(found.operations);
    this.show();
  }

  show() {
    if (this.hasService === false) {
      const alone = this.t("There is no jobs service here: operations run in Python only.");
      return this.box.replaceChildren(alone);
    }
    this.box.replaceChildren(this.form.form, this.said, this.repeat.box, this.list.box);
    this.list.show(this.jobs, this.chains);
  }

  /** What there is that an operation could read. */
  sources() {
    const { layers, samples } = this.panel;
    const file = samples.placed.size ? samples.file : "";
    return { layers: layers.all, samples: file, jobs: this.jobs, names: this.names };
  }

  async start() {
    const { form } = this;
    const inputs = form.inputs();
    form.button.disabled = true;
    const reply = (await this.fold(inputs)) ?? (await this.post(form.chosen, inputs));
    form.button.disabled = false;
    if (!reply.error) this.mine.add(reply.id);
  }

  post(operation, inputs) {
    return this.tell("POST", "jobs", { operation, inputs });
  }

  /** Bring the last strokes into the file, if it is read; return why that cannot be. */
  async fold(inputs) {
    if (!Object.values(inputs).flat().includes(this.panel.samples.file)) return null;
    const { kernel } = this.panel;
    if (kernel.isGone() && !kernel.isBusy()) {
      this.say(this.t("The kernel does not answer: the file may lack the last strokes."));
      return { error: true };
    }
    const reply = await this.ask("fold");
    return reply.error ? reply : null;
  }

  /** Have jobs do some steps, one after the other; return {error} if that cannot be. */
  async beginChain(steps) {
    if (this.hasService === null) await this.describe();
    if (!this.hasService) {
      return { error: this.t("There is no jobs service here: operations run in Python only.") };
    }
    const inputs = Object.assign({}, ...steps.map((step) => step.inputs));
    const reply = (await this.fold(inputs)) ?? (await this.tell("POST", "chains", { steps }));
    if (!reply.error) this.mine.addChains(reply.chains);
    return reply;
  }

  /** Ask the server to change something, say why it does not, and look what there is now. */
  async tell(method, name, content) {
    const reply = await tellServer(method, name, content);
    this.say(reply.error ?? "");
    this.look();
    return reply;
  }

  say(text) {
    this.said.textContent = text ? this.t(text) : "";
  }

  /** See how the jobs are, and again while something is waited for. */
  async look() {
    clearTimeout(this.timer);
    const { looksFar } = this;
    const waited = new Set([...this.mine.jobs, ...this.mine.chains]);
    const found = await askServer("jobs", { limit: looksFar ? FAR : SHOWN });
    if (this.isEnded) return;
    if (found.error) this.say(found.error);
    else this.learn(found, waited, looksFar);
    clearTimeout(this.timer);
    if (this.isWaiting(found)) this.timer = setTimeout(() => this.look(), LOOK);
  }

  /** Look further for jobs that are not told of, and after that wait for them no more. */
  miss({ jobs, chains }, waited, lookedFar) {
    const isWaited = (id) => waited.has(id);
    const missing = this.mine.missing(jobs);
    const gone = this.mine.missingChains(chains); // the server was begun anew
    this.mine.forget([...(lookedFar ? missing : []), ...gone].filter(isWaited));
    this.looksFar = !lookedFar && missing.length > 0;
  }

  isWaiting({ error, jobs = [], chains = [] }) {
    const isOpen = this.panel.tabs.isOpen("run");
    const runs = [...jobs, ...chains].some((one) => !isOver(one));
    return this.mine.areWaitedFor || (isOpen && (runs || Boolean(error)));
  }

  /** waited: ids that were waited for when the server was asked. */
  learn(found, waited, lookedFar) {
    const ended = this.mine.learn(found);
    this.miss(found, waited, lookedFar);
    const latest = found.jobs.slice(0, SHOWN);
    const isNew = statesOf(latest) !== statesOf(this.jobs);
    this.jobs = latest;
    this.chains = found.chains;
    this.list.show(this.jobs, this.chains);
    for (const job of ended) this.lay(job);
    if (isNew) this.form.refill();
  }

  /** Lay the GeoTIFFs of a job on the map. */
  async lay(job) {
    for (const name of layersOf(job)) await this.ask("add_layer", { name });
    this.form.refill();
  }

  /** Begin the next step with what a job wrote. */
  use(job) {
    this.form.choose(nextAfter(job, this.form.operations), job);
    this.form.form.scrollIntoView?.({ block: "nearest" });
  }
}

const statesOf = (jobs) => JSON.stringify(jobs.map(({ id, state }) => [id, state]));
