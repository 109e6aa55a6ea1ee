import { Status } from "/panel/status.js";
import { equal } from "./expect.js";

const status = new Status({ words: { t: (text) => text } });
const kernel = (given) => ({
  isGone: () => false,
  isBusy: () => false,
  waiting: () => [],
  trouble: "",
  ...given,
});
const kindOf = (given, file = "a") => status.stateOf(kernel(given), file)[0];

export function silenceOfAKernelThatWorksIsNoLoss() {
  equal(kindOf({ isGone: () => true }), "lost");
  equal(kindOf({ isGone: () => true, isBusy: () => true }), "waiting");
}

export function troubleIsLossEvenIfTheKernelAnswers() {
  equal(kindOf({ trouble: "the disk is full" }), "lost");
}

export function onlyStrokesThatTakeLongAreMentioned() {
  const since = (ms) => ({ waiting: () => [{ since: performance.now() - ms }] });
  equal(kindOf(since(100)), "saved");
  equal(kindOf(since(1500)), "waiting");
  equal(kindOf({}, ""), "waiting");
}

export function whatComesUnaskedLeavesAnErrorStanding() {
  const shown = new Status({ words: { t: (text) => text }, tools: { hint: () => "a hint" } });
  shown.build();
  shown.tell("being read", "reading");
  equal(shown.message.textContent, "being read");
  shown.unsay("reading");
  equal(shown.message.textContent, "a hint");
  shown.sayError("no such file");
  shown.tell("being read", "reading");
  shown.unsay("reading");
  equal(shown.message.textContent, "no such file");
}
