// The pictures of the tools: lines in a square of 24.

import { draw } from "./elements.js";

const LINES = {
  select: "M6 3l12 9-6 1 3 7-3 1-3-7-3 4z",
  polygon: "M12 3l8 6-3 11H7L4 9z",
  rectangle: "M4 6h16v12H4z",
  point: "M12 21s-6-6-6-11a6 6 0 0112 0c0 5-6 11-6 11zM12 8a2 2 0 100 4 2 2 0 000-4z",
  grow: "M12 9a3 3 0 100 6 3 3 0 000-6zM12 2v4M12 18v4M2 12h4M18 12h4",
  edit: "M6 6h12v12H6zM4 4h4v4H4zM16 4h4v4h-4zM4 16h4v4H4zM16 16h4v4h-4z",
  move: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  split: "M5 5h14v14H5zM3 21L21 3",
  cut: "M4 4h16v16H4zM9 9h6v6H9z",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  undo: "M9 5L4 10l5 5M4 10h10a6 6 0 010 10h-3",
  redo: "M15 5l5 5-5 5M20 10H10a6 6 0 000 10h3",
  inspect: "M10 4a6 6 0 100 12 6 6 0 000-12zM15 15l6 6M10 7v6M7 10h6",
  measure: "M3 16L16 3l5 5L8 21zM7 12l2 2M10 9l3 3M13 6l2 2",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5M9 9h6v6H9z",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  remove: "M6 6l12 12M18 6L6 18",
};

export function icon(name) {
  const svg = draw("svg", {
    viewBox: "0 0 24 24",
    class: "sample-map-icon",
    "aria-hidden": "true",
  });
  svg.append(draw("path", { d: LINES[name] }));
  return svg;
}
