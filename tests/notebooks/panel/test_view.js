import { placeInWords } from "/panel/view.js";
import { Words } from "/panel/words.js";
import { equal } from "./expect.js";

const words = new Words({}, "en");

export function placesHaveNoSignsButDirections() {
  equal(placeInWords({ lat: 52.5, lng: 13.40495 }, words), "52.5° N, 13.40495° E");
  equal(placeInWords({ lat: -3, lng: -60.000001 }, words), "3° S, 60° W");
}
