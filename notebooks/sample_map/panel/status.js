// Whether all is saved, and what the panel has to say.

import { make } from "./elements.js";
import { Part } from "./part.js";

export const SLOW = 1000; // ms after which what is not done yet is mentioned

export class Status extends Part {
  build() {
    const opening = this.t("Opening the map ...");
    this.state = make("div", { class: "sample-map-state", role: "status" }, [opening]);
    this.message = make("div", { class: "sample-map-message", role: "status" });
  }

  show() {
    const { kernel, samples, tools } = this.panel;
    const [kind, text] = this.stateOf(kernel, samples.file);
    if (this.state.textContent === text) return;
    this.state.textContent = text;
    this.state.dataset.kind = kind;
    this.state.setAttribute("role", kind === "lost" ? "alert" : "status");
    if (kind === "lost" && kernel.isGone()) tools.stopDrawing();
    else tools.resumeDrawing();
  }

  /** Say whether all is saved in a file: a kind (saved, waiting, lost), and a sentence. */
  stateOf(kernel, file) {
    const waiting = kernel.waiting();
    const strokes = waiting.length
      ? ` ${this.t("Strokes not saved: {count}.", { count: waiting.length })}`
      : "";
    if (kernel.isGone() && kernel.isBusy()) {
      const busy = file
        ? this.t("The kernel is busy. What you draw now is saved when it is free.") + strokes
        : this.t("The kernel is busy. The map opens when it is free.");
      return ["waiting", busy];
    }
    if (kernel.isGone()) {
      const gone = this.t(
        "NOT SAVED: the kernel does not answer. Do not draw now; if it stays so, run the cell again.",
      );
      return ["lost", gone + strokes];
    }
    if (kernel.trouble) {
      const trouble = this.t("NOT SAVED: {reason}", { reason: this.t(kernel.trouble) });
      return ["lost", trouble + strokes];
    }
    const now = performance.now();
    if (waiting.some((asked) => now - asked.since > SLOW)) {
      return ["waiting", this.t("Saving ...") + strokes];
    }
    if (!file) return ["waiting", this.t("Opening the map ...")];
    return ["saved", this.t("Saved in {file}", { file })];
  }

  /** Say something; nothing to say gives way to the hint of the tool. */
  say(text, kind = "hint") {
    this.message.textContent = text || this.panel.tools.hint();
    this.message.dataset.kind = kind;
  }

  sayError(text) {
    this.say(text, "error");
  }

  /** Say what comes unasked, and never in the place of an error. */
  tell(text, kind = "hint") {
    if (this.message.dataset.kind !== "error") this.say(text, kind);
  }

  /** Take back what was said, if it is of this kind. */
  unsay(kind) {
    if (this.message.dataset.kind === kind) this.say("");
  }
}
