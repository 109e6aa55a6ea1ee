import { isTyped, meaningOf } from "/panel/keys.js";
import { equal } from "./expect.js";

export function keysMeanToolsByTheirPlace() {
  equal(meaningOf({ code: "KeyP", key: "з" }), { tool: "polygon" });
  equal(meaningOf({ code: "Backspace" }), { tool: "delete" });
  equal(meaningOf({ code: "KeyQ" }), null);
}

export function lettersAnswerWhereSomebodyIsAsked() {
  const letters = ["V", "N", "Y", "L", "K", "U"];
  const meant = ["preview", "next", "yes", "label", "later", "untold"];
  equal(
    letters.map((letter) => meaningOf({ code: `Key${letter}` }).loop),
    meant,
  );
}

export function digitsMeanClasses() {
  equal(meaningOf({ code: "Numpad3" }), { place: 2 });
  equal(meaningOf({ code: "Digit0" }), null);
}

export function controlIsForUndoingAlone() {
  equal(meaningOf({ code: "KeyZ", ctrlKey: true }), { tool: "undo" });
  equal(meaningOf({ code: "KeyZ", metaKey: true, shiftKey: true }), { tool: "redo" });
  equal(meaningOf({ code: "KeyC", ctrlKey: true }), null);
  equal(meaningOf({ code: "KeyP", altKey: true }), null);
}

export function whoTypesHasTheLetters() {
  const [text, slider, button] = ["text", "range", "button"].map((type) =>
    Object.assign(document.createElement("input"), { type }),
  );
  for (const input of [text, slider, button]) input.setAttribute("type", input.type);
  equal(isTyped(text, "p"), true);
  equal([isTyped(slider, "ArrowLeft"), isTyped(slider, "p")], [true, false]);
  equal(isTyped(button, "ArrowLeft"), false);
}
