// Sends files by tus 1.0.0, one after the other, in pieces that pass every proxy. What a piece
// that breaks off held is sent again; what has arrived is asked for and never guessed.

const SMALLEST = 64 << 10;
const LONGEST_WAIT = 30_000; // ms
const root = document.getElementById("uploads");
const { prefix, token, most } = root.dataset;
const headers = { "Tus-Resumable": "1.0.0", "X-Form-Token": token };
const list = document.getElementById("list");
const waiting = [];
let isSending = false;

class Refused extends Error {
  constructor(sentence, told = {}) {
    super(sentence);
    this.told = told;
  }
}

/** Uploads that are not whole, by what is dragged: the same file goes on where it was. */
const unfinished = new Map(
  [...document.querySelectorAll(".unfinished")].map(({ dataset }) => [
    keyOf(dataset.name, dataset.length, dataset.modified),
    dataset.id,
  ]),
);

function keyOf(...parts) {
  return JSON.stringify(parts.map(String));
}

/** Return an answer; one that has a body is null if the service or the network is away. */
async function ask(path, options, item) {
  for (;;) {
    if (item.isStopped) throw new Refused("stopped");
    const told = { ...options, headers: { ...headers, ...options.headers } };
    const answer = await fetch(path, told).catch(() => null);
    if (answer && answer.status < 500 && answer.status !== 423) return answer;
    await item.failed();
    if (options.body) return null; // how far it is has to be asked for
  }
}

async function need(answer) {
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const ended = "your session has ended: load this page again, and drag the file here again";
  throw new Refused(answer.status === 401 ? ended : (told.error ?? answer.statusText), told);
}

function encoded(text) {
  return btoa(String.fromCodePoint(...new TextEncoder().encode(text)));
}

/** One file: its row on the page, and how it is sent. */
class Item {
  constructor(file, name) {
    [this.file, this.name, this.size] = [file, name, Number(most)];
    this.modified = new Date(file.lastModified).toISOString();
    this.key = keyOf(name, file.size, this.modified);
    this.failures = 0;
    this.row = document.createElement("li");
    this.said = text("p", "waits");
    this.bar = Object.assign(document.createElement("progress"), {
      max: file.size || 1,
      value: 0,
    });
    this.bar.ariaLabel = `progress of ${name}`;
    const stop = text("button", "Stop", "quiet");
    stop.ariaLabel = `Stop ${name}`;
    stop.onclick = () => this.stop();
    const head = text("div", "", "row");
    head.append(text("h3", name), stop);
    this.row.append(head, this.bar, this.said);
    list.append(this.row);
  }

  async send() {
    this.began = performance.now();
    const path = await this.path();
    let offset = await this.arrived(path);
    const before = offset;
    while (offset < this.file.size) {
      offset = await this.sendPiece(path, offset);
      this.show(offset, before);
    }
    const whole = await need(await ask(path, {}, this));
    return whole.json();
  }

  /** Return where the file is sent: to what has arrived of it already, or to a new upload. */
  async path() {
    const known = unfinished.get(this.key);
    if (known) {
      removeRow(document.querySelector(`[data-id="${known}"]`));
      const path = `${prefix}uploads/${known}`;
      if ((await ask(path, {}, this)).status !== 404) return path;
    }
    const told = `filename ${encoded(this.name)},modified ${encoded(this.modified)}`;
    const announced = { "Upload-Length": this.file.size, "Upload-Metadata": told };
    const answer = await need(
      await ask(`${prefix}uploads`, { method: "POST", headers: announced }, this),
    );
    const path = answer.headers.get("Location");
    unfinished.set(this.key, path.split("/").at(-1));
    return path;
  }

  async arrived(path) {
    const answer = await need(await ask(path, {}, this));
    return Number(answer.headers.get("Upload-Offset"));
  }

  async sendPiece(path, offset) {
    const body = await this.read(offset);
    const about = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": offset };
    const answer = await ask(path, { method: "PATCH", headers: about, body }, this);
    if (!answer || answer.status === 409) return this.arrived(path);
    await need(answer);
    this.failures = 0;
    this.size = Math.min(2 * this.size, Number(most));
    return Number(answer.headers.get("Upload-Offset"));
  }

  /** Read a piece now: a file that has changed since it was chosen must not be sent on. */
  async read(offset) {
    try {
      return await this.file.slice(offset, offset + this.size).arrayBuffer();
    } catch {
      throw new Refused(
        "the file was changed, moved or removed while it was sent: drag it here again",
      );
    }
  }

  async failed() {
    this.failures += 1;
    this.size = Math.max(this.size / 2, SMALLEST); // a slow line gets smaller pieces through in time
    this.said.textContent =
      "The service does not answer, it is tried again. What has arrived stays.";
    const wait = Math.min(500 * 2 ** this.failures, LONGEST_WAIT);
    await new Promise((done) => setTimeout(done, wait));
  }

  show(offset, before) {
    this.bar.value = offset;
    const speed = (offset - before) / (performance.now() - this.began); // bytes a ms
    const left = Math.ceil((this.file.size - offset) / speed / 1000);
    const pace = speed > 0 ? `, ${mib(1000 * speed)} a second, ${left} s left` : "";
    this.said.textContent = `${mib(offset)} of ${mib(this.file.size)}${pace}`;
  }

  stop() {
    this.isStopped = true;
    this.end("Stopped. What has arrived stays: drag the same file here again to go on.");
  }

  arrivedAs(told, sentence) {
    this.bar.value = this.bar.max;
    this.end(sentence);
    const isAlone = told.importable && !this.name.includes("/");
    if (isAlone) this.row.append(offer("Import as scene", [told.file]));
    return told;
  }

  end(sentence, isWrong = false) {
    this.row.querySelector("button")?.remove();
    this.said.textContent = sentence;
    this.said.className = isWrong ? "wrong" : "";
  }
}

/** Remove an upload from those that are not whole, and their part of the page with the last. */
function removeRow(row) {
  const section = row?.closest("section");
  row?.remove();
  if (section && !section.querySelector("li")) section.remove();
}

function text(tag, content, name = "") {
  return Object.assign(document.createElement(tag), { textContent: content, className: name });
}

function mib(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** Offer the form of import-scene, filled in. */
function offer(label, names) {
  const link = text("a", label);
  link.href = `${prefix}processes/import-scene?source=${encodeURIComponent(names.join("\n"))}`;
  return link;
}

/** Send all that waits; what was dragged together may be one scene. */
async function sendAll() {
  if (isSending) return;
  isSending = true;
  addEventListener("beforeunload", warn);
  while (waiting.length) await sendTogether(waiting.shift());
  removeEventListener("beforeunload", warn);
  isSending = false;
}

async function sendTogether(items) {
  const whole = [];
  for (const item of items) {
    if (item.isStopped) continue;
    const told = await sendOne(item);
    if (told) whole.push(told);
  }
  offerTogether(items, whole);
}

/** Send a file, and return what became of it; null if it did not arrive. */
async function sendOne(item) {
  try {
    const told = await item.send();
    unfinished.delete(item.key);
    return item.arrivedAs(told, `Is whole: ${told.file}`);
  } catch (error) {
    if (error.told?.file) return item.arrivedAs(error.told, `Nothing was sent: ${error.message}`);
    if (!item.isStopped) item.end(error.message, true);
    return null;
  }
}

/** Offer to import a folder, or files of a band each; archives are products of their own. */
function offerTogether(items, whole) {
  const isFolder = items[0].name.includes("/");
  const hasArchives = !isFolder && whole.some(({ file }) => /\.(zip|tar|t?gz)$/i.test(file));
  if (whole.length < (isFolder ? 1 : 2) || hasArchives) return;
  if (!whole.some((told) => told.importable)) return;
  const missing = items.length - whole.length;
  const note = text("p", missing ? `${missing} of ${items.length} files did not arrive. ` : "");
  const names = whole.map(({ file }) => file);
  if (isFolder) note.append(offer("Import the folder as scene", [topOf(names[0], 3)]));
  else note.append(offer("Import these files together as one scene", names));
  items.at(-1).row.after(note);
}

/** Return the first parts of a name. */
function topOf(name, parts) {
  return name.split("/").slice(0, parts).join("/");
}

function warn(event) {
  event.preventDefault();
}

/** Take files with their names below the folder that was dragged or chosen. */
function take(found) {
  const shown = found.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".")));
  const hidden = found.length - shown.length;
  document.getElementById("said").textContent = hidden ? `Hidden files left out: ${hidden}.` : "";
  const isInside = ({ name }) => name.includes("/");
  const folders = new Set(shown.filter(isInside).map(({ name }) => topOf(name, 1)));
  const together = [...folders].map((folder) =>
    shown.filter((each) => isInside(each) && topOf(each.name, 1) === folder),
  );
  for (const found of [shown.filter((each) => !isInside(each)), ...together])
    if (found.length) waiting.push(found.map(({ file, name }) => new Item(file, name)));
  sendAll();
}

async function below(entry, path = "") {
  const name = `${path}${entry.name}`;
  if (entry.isFile)
    return [{ file: await new Promise((done, failed) => entry.file(done, failed)), name }];
  const [reader, inside] = [entry.createReader(), []];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break; // browsers give a hundred at a time
    inside.push(...some);
  }
  return (await Promise.all(inside.map((each) => below(each, `${name}/`)))).flat();
}

const drop = document.getElementById("drop");
drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add("over");
};
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const entries = [...event.dataTransfer.items]
    .map((item) => item.webkitGetAsEntry())
    .filter(Boolean);
  take((await Promise.all(entries.map((entry) => below(entry)))).flat());
};
document.getElementById("files").onchange = ({ target }) =>
  take([...target.files].map((file) => ({ file, name: file.name })));
document.getElementById("folder").onchange = ({ target }) =>
  take([...target.files].map((file) => ({ file, name: file.webkitRelativePath })));

for (const button of document.querySelectorAll(".remove")) {
  button.onclick = async () => {
    const row = button.closest("li");
    const answer = await fetch(`${prefix}uploads/${row.dataset.id}`, {
      method: "DELETE",
      headers,
    });
    if (answer.ok || answer.status === 404) removeRow(row);
    else document.getElementById("said").textContent = "It was not removed, try again.";
  };
}
