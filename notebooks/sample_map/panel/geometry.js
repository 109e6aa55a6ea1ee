// Outlines in Web Mercator, 0..1 from the north-west corner of the world.

export const POLYGONS = ["Polygon", "MultiPolygon"];

export function mercator(longitude, latitude) {
  const y = (1 - Math.asinh(Math.tan((latitude * Math.PI) / 180)) / Math.PI) / 2;
  return [(longitude + 180) / 360, y];
}

/** Prepare a feature for drawing: its places in Web Mercator, and what encloses them. */
export function placed(feature) {
  const { type, coordinates } = feature.geometry;
  const polygons = { Polygon: [coordinates], MultiPolygon: coordinates }[type];
  const points = { Point: [coordinates], MultiPoint: coordinates }[type];
  const rings = (polygons ? polygons.flat() : points.map((place) => [place])).map((ring) => {
    const line = new Float64Array(ring.length * 2);
    ring.forEach(([longitude, latitude], i) => {
      line.set(mercator(longitude, latitude), 2 * i);
    });
    return line;
  });
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const bounds = [Infinity, Infinity, -Infinity, -Infinity];
  for (const line of rings) enclose(box, line);
  for (const ring of polygons ? polygons.flat() : [points]) {
    for (const place of ring) enclose(bounds, place.slice(0, 2)); // of some the height comes along
  }
  return { feature, rings, box, bounds, isPoint: !polygons };
}

/** Widen a box (left, top, right, bottom) so that it encloses a line (x, y, x, y, ...). */
export function enclose(box, line) {
  for (let i = 0; i < line.length; i += 2) {
    box[0] = Math.min(box[0], line[i]);
    box[1] = Math.min(box[1], line[i + 1]);
    box[2] = Math.max(box[2], line[i]);
    box[3] = Math.max(box[3], line[i + 1]);
  }
}

/** Whether a place lies in an outline; rings inside of rings are holes. */
export function isInside(rings, x, y) {
  let inside = false;
  for (const line of rings) {
    for (let i = 0, j = line.length - 2; i < line.length; j = i, i += 2) {
      const crosses = line[i + 1] > y !== line[j + 1] > y;
      const at = ((line[j] - line[i]) * (y - line[i + 1])) / (line[j + 1] - line[i + 1]) + line[i];
      if (crosses && x < at) inside = !inside;
    }
  }
  return inside;
}

/** The ids of the placed samples within reach of a place, the smallest first. */
export function placesAt(samples, [x, y], near) {
  const found = [];
  for (const [id, { box, rings, isPoint }] of samples) {
    if (x < box[0] - near || x > box[2] + near || y < box[1] - near || y > box[3] + near) continue;
    const extent = Math.max(box[2] - box[0], box[3] - box[1]);
    const isHit = isPoint
      ? rings.some(([px, py]) => Math.hypot(px - x, py - y) < near)
      : extent < near || isInside(rings, x, y);
    if (isHit) found.push([extent, id]);
  }
  return found.sort(([a], [b]) => a - b).map(([, id]) => id);
}

/** The smallest of the placed samples at a place, which would else be out of reach; or null. */
export function smallestAt(samples, place, near) {
  return placesAt(samples, place, near)[0] ?? null;
}
