// The jobs: how far each is, what it says, and what comes of it.

import { make, makeButton, wpsUrl } from "./elements.js";
import { layersOf } from "./fits.js";
import { Part } from "./part.js";

export const isOver = ({ state }) => !["accepted", "running"].includes(state);

export class RunJobs extends Part {
  build() {
    this.box = make("div", { class: "sample-map-jobs" });
    this.rows = new Map(); // id: {told, row}
    this.show([], []);
  }

  /** Show jobs and running chains; a row that says the same stays as it is. */
  show(jobs, chains) {
    const rows = [
      ...chains.map((chain) => this.kept(chain, () => this.chainRow(chain))),
      ...jobs.map((job) => this.kept(job, () => this.row(job))),
    ];
    this.rows = new Map(rows.map((one) => [one.id, one]));
    const shown = rows.map(({ row }) => row);
    const isSame = shown.length === this.box.children.length;
    if (isSame && shown.every((row, place) => row === this.box.children[place])) return;
    this.box.replaceChildren(...shown);
  }

  kept(told, make) {
    const text = JSON.stringify(told);
    const known = this.rows.get(told.id);
    return known?.text === text ? known : { id: told.id, text, row: make() };
  }

  row(job) {
    const attributes = {
      class: "sample-map-job",
      "data-state": job.state,
      "data-operation": job.operation,
      "data-job": job.id,
    };
    return make("div", attributes, [this.head(job), ...this.body(job)]);
  }

  head(job) {
    const href = `${wpsUrl()}jobs/${encodeURIComponent(job.id)}.html`;
    const link = make("a", { href, target: "_blank", rel: "noopener" }, [this.t("Log")]);
    const name = make("span", { class: "sample-map-job-name" }, [
      this.panel.words.name(job.operation),
    ]);
    const state = make("span", { class: "sample-map-job-state" }, [this.stateOf(job)]);
    const time = this.panel.words.time(job.finished ?? job.created);
    return make("div", { class: "sample-map-job-head", title: time }, [name, state, link]);
  }

  stateOf({ state }) {
    return {
      accepted: this.t("waits"),
      running: this.t("runs"),
      successful: this.t("done"),
      failed: this.t("failed"),
      dismissed: this.t("dismissed"),
    }[state];
  }

  body(job) {
    if (!isOver(job)) return [this.progress(job)];
    if (job.state !== "successful") return [make("div", {}, [job.error || job.message || ""])];
    return [...this.figures(job), ...this.remarks(job), this.acts(job)];
  }

  progress({ id, progress, message }) {
    const { runs } = this.panel;
    const dismiss = makeButton([this.t("Dismiss")], { class: "sample-map-dismiss" }, () =>
      runs.tell("DELETE", `jobs/${id}`),
    );
    const label = this.t("Progress");
    const bar = make("progress", { max: "100", value: String(progress), "aria-label": label });
    return make("div", { class: "sample-map-row" }, [
      bar,
      make("span", { class: "sample-map-job-message" }, [message || ""]),
      dismiss,
    ]);
  }

  /** What came out that is no file: accuracy, verdict, total. */
  figures({ outputs }) {
    const { words } = this.panel;
    const shown = ([name, { value }]) =>
      `${words.name(name)} ${typeof value === "number" ? words.number(value, 3) : value}`;
    const told = Object.entries(outputs).filter(([, { value }]) => value !== null);
    return told.length ? [make("div", {}, [told.map(shown).join(" · ")])] : [];
  }

  remarks({ remarks }) {
    if (!remarks.length) return [];
    const summary = make("summary", {}, [this.t("Remarks: {count}", { count: remarks.length })]);
    const items = remarks.map((remark) => make("li", {}, [remark]));
    return [
      make("details", { class: "sample-map-remarks", open: "" }, [summary, make("ul", {}, items)]),
    ];
  }

  acts(job) {
    const { runs } = this.panel;
    const acts = [makeButton([this.t("Use as input")], {}, () => runs.use(job))];
    if (layersOf(job).length) {
      acts.push(makeButton([this.t("Show on the map")], {}, () => runs.lay(job)));
      acts.push(makeButton([this.t("Repeat on ...")], {}, () => runs.repeat.open(job)));
    }
    return make("div", { class: "sample-map-row sample-map-job-acts" }, acts);
  }

  chainRow(chain) {
    const { runs } = this.panel;
    const { steps, jobs, scene, state } = chain;
    const step = { scene, step: Math.max(1, jobs.length), steps: steps.length };
    const parts = [
      this.t("{scene}: step {step} of {steps}", step),
      make("span", { class: "sample-map-job-state" }, [this.stateOf(chain)]),
    ];
    if (state === "running") {
      parts.push(
        makeButton([this.t("Dismiss")], { class: "sample-map-dismiss" }, () =>
          runs.tell("DELETE", `chains/${chain.id}`),
        ),
      );
    }
    const row = { class: "sample-map-chain", "data-state": state };
    const said = chain.message ? [make("div", {}, [chain.message])] : [];
    return make("div", row, [make("div", { class: "sample-map-job-head" }, parts), ...said]);
  }
}
