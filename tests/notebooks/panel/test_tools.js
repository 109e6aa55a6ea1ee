import { Tools } from "/panel/tools.js";
import { equal } from "./expect.js";

function drawing(name) {
  const nothing = () => {};
  const tools = new Tools({
    words: { t: (text) => text },
    legend: { active: "water" },
    selection: { change: nothing },
    growing: { show: nothing },
  });
  tools.buttons = {};
  tools.use(name);
  return tools;
}

export function toolIsTakenAgainWhenTheKernelAnswers() {
  const tools = drawing("rectangle");
  tools.stopDrawing();
  equal(tools.name, "select");
  tools.resumeDrawing();
  equal(tools.name, "rectangle");
}

export function toolThatWasChosenMeanwhileStays() {
  const tools = drawing("rectangle");
  tools.stopDrawing();
  tools.use("grow");
  tools.resumeDrawing();
  equal(tools.name, "grow");
}

export function toolThatOnlyLooksIsNotPutAway() {
  const tools = drawing("grow");
  tools.stopDrawing();
  tools.resumeDrawing();
  equal(tools.name, "grow");
}
