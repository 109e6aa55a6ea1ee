import { enclose, isInside, mercator, placed, placesAt, smallestAt } from "/panel/geometry.js";
import { close, equal } from "./expect.js";

const SQUARE = [
  [0, 0],
  [4, 0],
  [4, 4],
  [0, 4],
  [0, 0],
];
const HOLE = [
  [1, 1],
  [3, 1],
  [3, 3],
  [1, 3],
  [1, 1],
];

const polygon = (...rings) => ({ geometry: { type: "Polygon", coordinates: rings } });

export function worldIsOneWideAndItsMiddleIsTheEquator() {
  equal(mercator(-180, 0), [0, 0.5]);
  equal(mercator(180, 0), [1, 0.5]);
  close(mercator(0, 85.0511287798066)[1], 0);
}

export function boxEnclosesWhatIsInIt() {
  const box = [0, 0, 1, 1];
  enclose(box, [0.5, -2, 3, 0.5]);
  equal(box, [0, -2, 3, 1]);
}

export function holeIsOutside() {
  const { rings } = placed(polygon(SQUARE, HOLE));
  equal(isInside(rings, ...mercator(0.5, 0.5)), true);
  equal(isInside(rings, ...mercator(2, 2)), false);
  equal(isInside(rings, ...mercator(5, 2)), false);
}

export function boundsAreDegreesAndIgnoreHeights() {
  const flat = { geometry: { type: "MultiPolygon", coordinates: [[SQUARE], [HOLE]] } };
  equal(placed(flat).bounds, [0, 0, 4, 4]);
  equal(placed(polygon(SQUARE.map((place) => [...place, 500]))).bounds, [0, 0, 4, 4]);
}

export function pointsHaveNoInside() {
  const found = placed({
    geometry: {
      type: "MultiPoint",
      coordinates: [
        [1, 1],
        [2, 2],
      ],
    },
  });
  equal(found.isPoint, true);
  equal(found.rings.length, 2);
  equal(found.bounds, [1, 1, 2, 2]);
}

export function ofSeveralTheSmallestIsFound() {
  const samples = new Map([
    ["small", placed(polygon(HOLE))],
    ["large", placed(polygon(SQUARE))],
    ["point", placed({ geometry: { type: "Point", coordinates: [3.5, 3.5] } })],
  ]);
  equal(placesAt(samples, mercator(2, 2), 1e-6), ["small", "large"]);
  equal(smallestAt(samples, mercator(2, 2), 1e-6), "small");
  equal(smallestAt(samples, mercator(0.5, 0.5), 1e-6), "large");
  equal(smallestAt(samples, mercator(3.5, 3.5), 1e-6), "point");
  equal(smallestAt(samples, mercator(9, 9), 1e-6), null);
}
