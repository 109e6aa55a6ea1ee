import { areaOf, lengthOf } from "/panel/measure.js";
import { close } from "./expect.js";

export function degreeOfAMeridianIs111Kilometres() {
  close(
    lengthOf([
      [13, 52],
      [13, 53],
    ]),
    111195,
    1,
  );
  close(
    lengthOf([
      [13, 52],
      [13, 52.5],
      [13, 53],
    ]),
    111195,
    1,
  );
}

export function degreeOfAParallelNarrows() {
  close(
    lengthOf([
      [0, 60],
      [0.01, 60],
    ]),
    556,
    1,
  );
}

export function areaOfASquareOnTheEquator() {
  close(
    areaOf([
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]) / 1e6,
    12363,
    5,
  );
  close(
    areaOf([
      [0, 0],
      [0, 1],
      [1, 1],
      [1, 0],
    ]) / 1e6,
    12363,
    5,
  );
}
