// The axes of a spectrum.

// pixels of the picture
export const WIDTH = 310;
export const HEIGHT = 170;
export const LEFT = 44;
export const BOTTOM = 34;
export const EDGE = 8;

/**
 * Axes for spectra ({mean, spread}): the order of the bands, by wavelength where all have one, and
 * where a band (by its place in that order) and a value lie in the picture.
 */
export function axesOf(bands, spectra) {
  const byWave = bands.every((band) => band.wavelength);
  const order = bands.map((_, i) => i);
  if (byWave) order.sort((a, b) => bands[a].wavelength - bands[b].wavelength);
  const places = order.map((band, i) => (byWave ? bands[band].wavelength : i));
  const low = Math.min(
    ...spectra.flatMap(({ mean, spread }) => mean.map((m, i) => m - spread[i])),
  );
  const high = Math.max(
    ...spectra.flatMap(({ mean, spread }) => mean.map((m, i) => m + spread[i])),
  );
  const width = places[places.length - 1] - places[0] || 1;
  const x = (i) => LEFT + ((WIDTH - LEFT - EDGE) * (places[i] - places[0])) / width;
  const y = (value) =>
    HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - EDGE) * (value - low)) / (high - low || 1);
  return { byWave, order, places, low, high, x, y };
}
