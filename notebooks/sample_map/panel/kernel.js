// Questions to the kernel, and whether it is there to answer them.

const PING = 500; // ms between two questions whether the kernel and the storage are there
const SILENT = 1500; // ms without an answer after which nothing counts as saved
const STALLED = 700; // ms between two looks of 200 after which it was the page that was late
const LOOK = 200; // ms
const ENDED = ["restarting", "autorestarting", "terminating", "dead"]; // states of a kernel

export class Kernel {
  constructor(model) {
    this.model = model;
    this.view = Math.random().toString(36).slice(2);
    this.asked = new Map(); // request: {since, done, ghost, verb}
    this.requests = 0;
    this.lastAnswer = this.lastTick = performance.now();
    this.pinging = null;
    this.trouble = "";
    this.connection = null; // {status, connectionStatus} where the page knows it
    this.isExecuting = false; // whether it runs a cell
    this.isEnded = false; // whether it was ended or begun anew
  }

  /** Begin to listen; hears: what to call with samples, news, answers, and every LOOK. */
  begin(el, hears) {
    this.hears = hears;
    this.onMessage = (message, buffers) => this.hear(message, buffers);
    this.model.on("msg:custom", this.onMessage);
    this.watch(el);
    this.timer = setInterval(() => this.tick(), LOOK);
  }

  end() {
    clearInterval(this.timer);
    this.model.off("msg:custom", this.onMessage);
    this.connection?.iopubMessage?.disconnect(this.onStatus);
    this.connection?.statusChanged?.disconnect(this.onEnd);
  }

  /** Know when the kernel runs a cell: then no answer does not mean that it is gone. */
  watch(el) {
    this.el = el;
    this.connection = this.model.widget_manager?.kernel ?? null;
    this.isExecuting = this.connection?.status === "busy"; // an answer beside the cell may hide it
    this.onStatus = (_, message) => {
      const isOfCell = message.parent_header?.msg_type === "execute_request";
      if (message.header.msg_type !== "status" || !isOfCell) return;
      this.isExecuting = message.content.execution_state === "busy";
    };
    // another kernel knows nothing of this map, whatever it runs
    this.onEnd = (_, status) => {
      this.isEnded ||= ENDED.includes(status);
    };
    this.connection?.iopubMessage?.connect(this.onStatus);
    this.connection?.statusChanged?.connect(this.onEnd);
  }

  /** Whether the kernel lives and is reached, and only runs a cell. */
  isBusy() {
    const kernel = this.connection;
    if (!kernel || kernel.isDisposed || this.isEnded) return false;
    if (!["busy", "idle"].includes(kernel.status)) this.isExecuting = false;
    return kernel.connectionStatus === "connected" && (this.isExecuting || this.hasCellWaiting());
  }

  /**
   * Whether a cell of the notebook was started and has not ended: one that holds Python's lock from
   * its first line on keeps the kernel from saying that it is busy.
   */
  hasCellWaiting() {
    const prompts = this.el.closest(".jp-Notebook")?.querySelectorAll(".jp-InputPrompt") ?? [];
    return [...prompts].some((prompt) => prompt.textContent.includes("*"));
  }

  isGone() {
    return performance.now() - this.lastAnswer > SILENT;
  }

  /** The strokes that are not saved yet. */
  waiting() {
    return [...this.asked.values()].filter((asked) => asked.ghost);
  }

  /** Ask for something; a ghost is what stands on the map until the answer is there. */
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
    if (message.kind === "news") this.hears.news(message, this.causeOf(message));
    if (message.kind === "layers") this.hears.layers(message);
    if (message.to !== this.view) return;
    if (message.kind === "samples") this.hears.samples(message, buffers);
    if (message.kind === "preview") this.hears.preview(message, buffers);
    if (message.kind === "reply") this.answered(message);
  }

  /** The question of this view that news are about, if it was one of this view. */
  causeOf(news) {
    return (news.view === this.view && this.asked.get(news.by)) || null;
  }

  answered(reply) {
    this.lastAnswer = performance.now();
    this.trouble = reply.trouble;
    const asked = this.asked.get(reply.request);
    if (!asked) return;
    this.asked.delete(reply.request);
    asked.ghost?.remove();
    if (reply.request === this.pinging) this.pinging = null;
    else this.hears.answer(asked, reply);
    asked.done(reply);
    this.hears.tick();
  }

  tick() {
    const now = performance.now();
    // a page that stood still itself has answers waiting, and hears them only after this
    if (now - this.lastTick > STALLED) {
      this.lastAnswer = Math.max(this.lastAnswer, now - SILENT / 2);
    }
    this.lastTick = now;
    const lately = this.asked.get(this.pinging)?.since ?? -Infinity;
    const isDue = now - Math.max(lately, this.lastPing ?? -Infinity) >= PING;
    if (isDue && (this.pinging === null || now - lately > 3000)) {
      this.asked.delete(this.pinging);
      this.lastPing = now;
      this.ask("ping");
      this.pinging = this.requests;
    }
    this.hears.tick();
  }
}
