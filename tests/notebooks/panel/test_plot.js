import { axesOf } from "/panel/plot.js";
import { close, equal } from "./expect.js";

const SPECTRA = [
  { mean: [10, 30], spread: [5, 5] },
  { mean: [20, 20], spread: [1, 0] },
];

export function bandsAreOrderedByWavelengthWhereAllHaveOne() {
  const axes = axesOf([{ wavelength: 865 }, { wavelength: 560 }], SPECTRA);
  equal([axes.byWave, axes.order, axes.places], [true, [1, 0], [560, 865]]);
  const without = axesOf([{ wavelength: 865 }, { wavelength: null }], SPECTRA);
  equal([without.byWave, without.order, without.places], [false, [0, 1], [0, 1]]);
}

export function spreadFitsIntoThePicture() {
  const axes = axesOf([{ name: "a" }, { name: "b" }], SPECTRA);
  equal([axes.low, axes.high], [5, 35]);
  close(axes.y(5), 136);
  close(axes.y(35), 8);
  equal([axes.x(0), axes.x(1)], [44, 302]);
}

export function oneBandOfOneValueIsDrawnToo() {
  const axes = axesOf([{ name: "a" }], [{ mean: [7], spread: [0] }]);
  equal([axes.x(0), axes.y(7)], [44, 136]);
}
