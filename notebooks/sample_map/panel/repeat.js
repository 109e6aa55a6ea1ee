// The steps that led to a map, done again on other scenes.

import { make, makeButton } from "./elements.js";
import { Part } from "./part.js";
import { askServer } from "./server.js";

export class Repeat extends Part {
  build() {
    this.steps = make("div", { class: "sample-map-steps" });
    this.scenes = make("input", {
      type: "text",
      "aria-label": this.t("Scenes, with commas"),
      placeholder: this.t("Scenes, with commas"),
    });
    this.train = make("input", { type: "checkbox" });
    this.train.onchange = () => this.showSteps();
    const training = make("label", { class: "sample-map-row" }, [
      this.train,
      this.t("Train anew on each scene"),
    ]);
    const buttons = [
      make("button", { type: "submit" }, [this.t("Repeat")]),
      makeButton([this.t("Cancel")], {}, () => this.close()),
    ];
    this.box = make("form", { class: "sample-map-repeat" }, [
      this.steps,
      make("div", { class: "sample-map-row" }, [this.scenes]),
      training,
      make("div", { class: "sample-map-row" }, buttons),
    ]);
    this.box.onsubmit = (event) => {
      event.preventDefault();
      this.start();
    };
    this.box.hidden = true;
  }

  open(job) {
    this.job = job;
    this.box.hidden = false;
    this.scenes.value = this.others().join(", ");
    this.scenes.focus();
    this.showSteps();
  }

  close() {
    this.box.hidden = true;
  }

  /** The scenes on the map that this job did not read. */
  others() {
    const read = Object.values(this.job.inputs).flat();
    const scenes = this.panel.layers.all.filter((layer) => layer.kind === "scene");
    return scenes.map((layer) => layer.name).filter((name) => !read.includes(name));
  }

  async showSteps() {
    const query = { train: String(this.train.checked) };
    const found = await askServer(`jobs/${this.job.id}/chain`, query);
    if (found.error) return this.steps.replaceChildren(this.t(found.error));
    const names = found.steps.map((step) => this.panel.words.name(step.operation)).join(" → ");
    const data = make("pre", {}, [JSON.stringify(found.steps, null, 1)]);
    const details = make("details", {}, [make("summary", {}, [names]), data]);
    const scenes = { scene: found.scenes.join(", ") };
    this.steps.replaceChildren(this.t("What was done with {scene}, again:", scenes), details);
  }

  async start() {
    const scenes = this.scenes.value.split(",").map((name) => name.trim());
    const asked = { job: this.job.id, scenes, train: this.train.checked };
    const reply = await this.panel.runs.tell("POST", "chains", asked);
    if (reply.error) return;
    this.panel.runs.mine.addChains(reply.chains);
    this.close();
  }
}
