// What the keys do. By the place of the key, so that a Russian keyboard needs no switching.

const TOOLS = {
  KeyS: "select",
  KeyP: "polygon",
  KeyR: "rectangle",
  KeyO: "point",
  KeyG: "grow",
  KeyE: "edit",
  KeyM: "move",
  KeyX: "split",
  KeyH: "cut",
  KeyI: "inspect",
  KeyD: "measure",
  KeyA: "fit",
  KeyF: "full",
  Delete: "delete",
  Backspace: "delete",
};

const LOOP = {
  KeyV: "preview",
  KeyN: "next",
  KeyY: "yes",
  KeyL: "label",
  KeyK: "later",
  KeyU: "untold",
};

/**
 * What a key means: {tool}, {place} of a class in the legend, {escape}, {change}, {loop}: what is
 * done about previews and next places; null if nothing.
 */
export function meaningOf({ code, ctrlKey, metaKey, altKey, shiftKey }) {
  if (ctrlKey || metaKey) {
    if (code === "KeyZ") return { tool: shiftKey ? "redo" : "undo" };
    return code === "KeyY" ? { tool: "redo" } : null;
  }
  if (altKey) return null;
  const digit = /^(Digit|Numpad)([1-9])$/.exec(code)?.[2];
  if (digit) return { place: Number(digit) - 1 };
  if (code === "Escape") return { escape: true };
  if (code === "KeyC") return { change: true };
  if (LOOP[code]) return { loop: LOOP[code] };
  return TOOLS[code] ? { tool: TOOLS[code] } : null;
}

/** Whether a control needs a key for itself: letters where one types, arrows on a slider. */
export function isTyped(target, key) {
  if (target.closest("input[type=text], select")) return true;
  return Boolean(target.closest("input[type=range]")) && /^(Arrow|Page|Home|End)/.test(key);
}

export class Keys {
  constructor(panel) {
    this.panel = panel;
  }

  begin(box) {
    this.box = box;
    // The notebook takes the focus whenever somebody clicks into a cell's output. So the keys are
    // ours after a click on the map too, and we hear them before the notebook does.
    this.onPointer = (event) => {
      this.isAtHand = box.contains(event.target);
    };
    this.onKey = (event) => {
      const isOutside = !box.contains(event.target);
      if (!isOutside || (this.isAtHand && event.target.contains(box))) this.press(event);
    };
    window.addEventListener("pointerdown", this.onPointer, true);
    window.addEventListener("keydown", this.onKey, true);
  }

  end() {
    window.removeEventListener("pointerdown", this.onPointer, true);
    window.removeEventListener("keydown", this.onKey, true);
  }

  press(event) {
    if (isTyped(event.target, event.key)) {
      // a notebook has commands on letters
      if (!event.target.closest("input[type=range]")) event.stopPropagation();
      return;
    }
    const act = this.actOf(meaningOf(event));
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  actOf(meaning) {
    const { tools, selection, legend, samples } = this.panel;
    if (!meaning) return null;
    if (meaning.tool) return () => tools.use(meaning.tool);
    if (meaning.escape) return () => this.panel.escape();
    if (meaning.change) return () => selection.change(!selection.isChanging);
    if (meaning.loop) return this.loopOf(meaning.loop);
    const one = samples.legend[meaning.place];
    return one ? () => legend.choose(one.name) : null;
  }

  /** What a key does about the preview and the next place; null if there is no place to answer. */
  loopOf(name) {
    const { preview, whereNext, legend } = this.panel;
    if (name === "preview") return () => preview.use(!preview.isOn);
    if (name === "next") return () => whereNext.next();
    if (!whereNext.place) return null;
    return {
      yes: () => whereNext.label(whereNext.place.class),
      label: () => whereNext.label(legend.active),
      later: () => whereNext.leave("later"),
      untold: () => whereNext.leave("untold"),
    }[name];
  }
}
