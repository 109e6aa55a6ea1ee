import { lookOf } from "/panel/server.js";
import { equal } from "./expect.js";

const LAYER = {
  name: "home/a.tif",
  colors: [3, 2, 1],
  stretch: [2, 98],
  limits: [],
  below: 40,
  stamp: "s",
};
const styleOf = (kind) => lookOf({ ...LAYER, kind }).style;

export function percentHasColoursOfItsOwn() {
  equal(["scene", "map"].map(styleOf), [undefined, undefined]);
  equal(["confidence", "probabilities", "unknown"].map(styleOf), [
    "percent",
    "percent",
    "below:40",
  ]);
}

export function limitsOfTheViewAreAskedForWhereThereAreAny() {
  const plain = { scene: "home/a.tif", bands: "3,2,1", stretch: "2,98", v: "s" };
  equal(lookOf({ ...LAYER, kind: "scene" }), plain);
  const found = lookOf({ ...LAYER, kind: "scene", limits: [1, 2, 3, 4, 5, 6] });
  equal(found.limits, "1,2,3,4,5,6");
}
