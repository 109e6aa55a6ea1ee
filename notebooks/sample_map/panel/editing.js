// The one sample that is an editable shape: its corners, or its place.

import { POLYGONS } from "./geometry.js";
import { Part } from "./part.js";

const CHANGES = "pm:edit pm:dragend pm:markerdragend pm:vertexremoved";

export class Editing extends Part {
  constructor(panel) {
    super(panel);
    this.edited = null; // {id, layer, sending, queued}
  }

  get id() {
    return this.edited?.id ?? null;
  }

  start() {
    const { selection, tools, status, shapes } = this.panel;
    const sample = selection.sample;
    this.stop();
    if (!sample) return;
    if (sample.geometry.type === "MultiPoint") {
      return status.say(this.t("Several points in one sample cannot be moved here"), "error");
    }
    const layer = this.layerOf(sample);
    this.edited = { id: sample.id, layer, sending: false, queued: false };
    const isDragged = tools.name === "move" || !POLYGONS.includes(sample.geometry.type);
    if (isDragged) layer.pm.enableLayerDrag();
    else layer.pm.enable({ snappable: false, allowSelfIntersection: false });
    layer.on(CHANGES, () => this.reshaped());
    shapes.redraw();
  }

  layerOf(sample) {
    const { L, map, samples } = this.panel;
    const color = samples.color(sample.properties.class);
    const style = { color, fillColor: color, weight: 3, fillOpacity: 0.25, radius: 7 };
    const pointToLayer = (_, place) => L.circleMarker(place, style);
    return L.geoJSON(sample, { style, pointToLayer }).getLayers()[0].addTo(map);
  }

  stop() {
    if (!this.edited) return;
    const { layer } = this.edited;
    this.edited = null;
    layer.pm.disable();
    layer.pm.disableLayerDrag?.();
    layer.remove();
    this.panel.shapes?.redraw();
  }

  /** Begin anew with what a sample became, unless it is our own change that comes back. */
  refresh(touched, cause) {
    if (!this.edited || !touched.includes(this.edited.id) || cause?.verb === "reshape") return;
    const isThere = this.panel.samples.has(this.edited.id);
    this.stop();
    if (isThere) this.start();
  }

  /** Send the outline as it is now; while one is on its way, only the latest waits. */
  async reshaped() {
    const edited = this.edited;
    if (!edited) return;
    if (edited.sending) {
      edited.queued = true;
      return;
    }
    const sample = this.panel.samples.get(edited.id);
    const geometry = edited.layer.toGeoJSON(false).geometry;
    if (JSON.stringify(geometry) === JSON.stringify(sample.geometry)) return;
    edited.sending = true;
    const content = { id: edited.id, version: sample.properties.version, geometry };
    const reply = await this.ask("reshape", content, { remove() {} });
    edited.sending = false;
    if (reply.error || reply.selected !== edited.id) this.refused(reply);
    else if (edited.queued) {
      edited.queued = false;
      this.reshaped();
    }
  }

  /** Show what is there instead: the old outline, or the second sample of a conflict. */
  refused(reply) {
    this.stop();
    if (reply.selected) this.panel.selection.select(reply.selected, false);
    this.start();
    if (reply.error) this.panel.status.sayError(this.t(reply.error));
  }
}
