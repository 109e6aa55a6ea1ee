// All samples on one canvas: shapes of the browser would be too many.

import { mercator, smallestAt } from "./geometry.js";

const MARGIN = 0.25; // share of the map drawn beside it, so that dragging shows no edge at once
const REACH = 8; // pixels around a click
const DOT = 3; // pixels below which an outline is drawn as one
const EVENTS = "moveend resize viewreset zoomend";

/** The layer of Leaflet; panel: whose samples, selection and editing it shows. */
export function shapesLayer(L, panel) {
  const Shapes = L.Layer.extend({
    onAdd(map) {
      const pane = map.getPanes().overlayPane;
      this._canvas = L.DomUtil.create("canvas", "sample-map-shapes leaflet-zoom-hide", pane);
      map.on(EVENTS, this.redraw, this);
      this.redraw();
    },
    onRemove(map) {
      map.off(EVENTS, this.redraw, this);
      this._canvas.remove();
    },
    redraw() {
      if (this._frame) return;
      this._frame = requestAnimationFrame(() => {
        this._frame = null;
        if (this._map) this._draw();
      });
    },
    _draw() {
      const { samples, selection, editing } = panel;
      const frame = this._frameOf(this._map);
      frame.isFilled = panel.layers.outlines === "filled";
      let drawn = 0;
      const others = panel.layers.outlines === "hidden" ? [] : samples.placed;
      for (const [id, sample] of others) {
        if (id !== editing.id && id !== selection.id)
          drawn += paint(frame, sample, samples, false);
      }
      const chosen = samples.placed.get(selection.id);
      if (chosen && editing.id !== selection.id) drawn += paint(frame, chosen, samples, true);
      this._canvas.dataset.drawn = String(drawn);
    },
    /** Lay the canvas over what the map shows; return where to draw, and with what. */
    _frameOf(map) {
      const size = map.getSize();
      const margin = size.multiplyBy(MARGIN).round();
      const corner = map.containerPointToLayerPoint([0, 0]).subtract(margin);
      const [width, height] = [size.x + 2 * margin.x, size.y + 2 * margin.y];
      const ratio = window.devicePixelRatio || 1;
      Object.assign(this._canvas, { width: width * ratio, height: height * ratio });
      Object.assign(this._canvas.style, { width: `${width}px`, height: `${height}px` });
      L.DomUtil.setPosition(this._canvas, corner);
      const { x, y } = map.getPixelOrigin().add(corner);
      const pen = this._canvas.getContext("2d");
      pen.scale(ratio, ratio);
      return { pen, scale: map.options.crs.scale(map.getZoom()), x, y, width, height };
    },
    /** The id of the sample at a place; of several the smallest. */
    at(place) {
      const near = REACH / this._map.options.crs.scale(this._map.getZoom());
      return smallestAt(panel.samples.placed, mercator(place.lng, place.lat), near);
    },
  });
  return new Shapes();
}

/** Draw one sample; return how many were drawn, which is none beside the frame. */
function paint(frame, sample, samples, isChosen) {
  const { pen, scale, x, y, width, height } = frame;
  const { box, isPoint, feature } = sample;
  const [left, top] = [box[0] * scale - x, box[1] * scale - y];
  const [right, bottom] = [box[2] * scale - x, box[3] * scale - y];
  if (right < -8 || bottom < -8 || left > width + 8 || top > height + 8) return 0;
  const color = samples.color(feature.properties.class);
  pen.fillStyle = color;
  if (!isPoint && right - left < DOT && bottom - top < DOT && !isChosen) {
    pen.globalAlpha = 1;
    pen.fillRect((left + right - DOT) / 2, (top + bottom - DOT) / 2, DOT, DOT);
    return 1;
  }
  trace(frame, sample);
  pen.globalAlpha = isPoint ? 0.9 : isChosen ? 0.45 : 0.3;
  if (frame.isFilled || isPoint) pen.fill("evenodd");
  pen.globalAlpha = 1;
  outline(pen, { color, isPoint, isChosen, isDisputed: samples.isDisputed(feature) });
  return 1;
}

function trace({ pen, scale, x, y }, { rings, isPoint }) {
  pen.beginPath();
  for (const line of rings) {
    if (isPoint) {
      const [px, py] = [line[0] * scale - x, line[1] * scale - y];
      pen.moveTo(px + 5, py);
      pen.arc(px, py, 5, 0, 2 * Math.PI);
      continue;
    }
    for (let i = 0; i < line.length; i += 2) {
      const [px, py] = [line[i] * scale - x, line[i + 1] * scale - y];
      if (i) pen.lineTo(px, py);
      else pen.moveTo(px, py);
    }
    pen.closePath();
  }
}

/** A light line for the chosen and a dark one for the others, and the class's own upon it. */
function outline(pen, { color, isPoint, isChosen, isDisputed }) {
  pen.strokeStyle = isChosen || isPoint ? "#ffffff" : "rgba(0, 0, 0, 0.55)";
  pen.lineWidth = isChosen ? 6 : isPoint ? 3 : 3.5;
  pen.stroke();
  pen.strokeStyle = isDisputed ? "#d00000" : isChosen ? "#000000" : color;
  pen.setLineDash(isDisputed ? [6, 4] : []);
  pen.lineWidth = isChosen ? 3 : 2;
  if (!isPoint || isChosen || isDisputed) pen.stroke();
  pen.setLineDash([]);
}
