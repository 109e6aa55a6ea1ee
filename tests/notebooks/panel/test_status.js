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
