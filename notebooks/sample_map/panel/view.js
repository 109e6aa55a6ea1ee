// What stands on the map's edge, and how the map fills the screen.

import { make } from "./elements.js";
import { Part } from "./part.js";

export class View extends Part {
  begin(map) {
    const { L, box } = this.panel;
    this.map = map;
    this.coordinates = make("div", { class: "sample-map-coordinates" });
    const control = L.control({ position: "bottomleft" });
    control.onAdd = () => this.coordinates;
    this.control = control.addTo(map);
    this.onMove = (event) => this.showPlace(event.latlng);
    map.on("mousemove", this.onMove);
    // nobody else tells the map that the panel took a part of its width after it was drawn
    this.sized = new ResizeObserver(() => map.invalidateSize({ animate: false }));
    this.sized.observe(map.getContainer());
    this.onFull = () => this.resized();
    box.addEventListener("fullscreenchange", this.onFull);
  }

  /** Show all of it where a part is seen: JupyterLab has scrolled to the cell below by then. */
  bringIntoView() {
    const { box } = this.panel;
    const look = ([{ isIntersecting }], observer) => {
      observer.disconnect();
      if (isIntersecting) box.scrollIntoView({ block: "nearest" });
    };
    new IntersectionObserver(look).observe(box);
  }

  end() {
    if (!this.map) return;
    this.map.off("mousemove", this.onMove);
    this.sized.disconnect();
    this.panel.box.removeEventListener("fullscreenchange", this.onFull);
    this.control.remove();
  }

  showPlace(place) {
    this.coordinates.textContent = placeInWords(place.wrap(), this.panel.words);
  }

  /** Fill the screen with map and panel, or leave it again. */
  async toggleFull() {
    const { box, status } = this.panel;
    try {
      if (document.fullscreenElement === box) await document.exitFullscreen();
      else await box.requestFullscreen();
    } catch {
      status.sayError(this.t("The browser does not let the map fill the screen."));
    }
  }

  resized() {
    const isFull = document.fullscreenElement === this.panel.box;
    this.panel.box.classList.toggle("sample-map-full", isFull);
    this.panel.tools.show();
    this.map.invalidateSize();
  }
}

/** A place as people write it: 52.52011° N, 13.40495° E. */
export function placeInWords({ lat, lng }, words) {
  const t = (text) => words.t(text);
  const degrees = (value) => `${words.number(Math.abs(value), 5)}°`;
  const [north, east] = [lat < 0 ? t("S") : t("N"), lng < 0 ? t("W") : t("E")];
  return `${degrees(lat)} ${north}, ${degrees(lng)} ${east}`;
}
