import { spreadOf } from "/panel/legend.js";
import { equal } from "./expect.js";

export function largestIsHeldAgainstTheSmallestThatHasAny() {
  const areas = { water: 20, forest: 5, farm: 0 };
  const found = spreadOf(["forest", "water", "farm", "ice"], areas);
  equal(found, { large: "water", small: "forest", ratio: 4 });
}

export function oneClassIsNotHeldAgainstItself() {
  equal(spreadOf(["water", "farm"], { water: 20 }), null);
}
