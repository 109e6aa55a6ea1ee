"""The map in the notebook: a scene, a legend, and drawing tools whose samples are kept.

Needs no internet: the scene is a picture inside the notebook, below it is a plain background.
"""

import getpass
import html
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import ipyleaflet
import ipywidgets

from landcover.errors import InputError
from landcover.legend import Legend
from sample_map.features import (
    Geometry,
    Sample,
    count_classes,
    load_samples,
    local_path,
    merge,
    name_change,
    reconcile,
    samples_name,
    save_samples,
    to_frame,
)
from sample_map.imagery import Picture, picture_of
from sample_map.panel import OTHER, LegendPanel

HEIGHT = 560  # pixels
_WIDTH = 900  # about what a notebook leaves for the map


class SampleMap(ipywidgets.HBox):
    """Draw labelled samples over a scene; every change is saved at once.

    Attributes:
        scene: name of the scene.
        file: storage name of the GeoJSON file with the samples.
        legend: the classes, in the order given.
    """

    def __init__(
        self,
        scene: str,
        legend: Mapping[str, str],
        name: str | None = None,
        bands: Sequence[int | str] | None = None,
    ) -> None:
        """Open a scene and the samples that were drawn on it before.

        Args:
            scene: storage name (shared/demo/scene.tif) or path of a GeoTIFF.
            legend: colours (#rrggbb) by class name.
            name: where the samples are kept: NAME is home/samples/NAME.geojson; team/GROUP/NAME
                is shared with the group. Not given, it follows from the scene's name.
            bands: for red, green and blue, by number or description; natural colours if not given.

        Raises:
            InputError: scene, legend, bands or the file with the samples do not do.
        """
        self.scene = scene
        self.file = samples_name(scene, name)
        self.legend = _legend_of(legend)
        self._samples = load_samples(local_path(self.file))
        self._tools = _drawing_tools()
        self._panel = LegendPanel(self.legend)
        shown = _map_of(picture_of(local_path(scene), bands))
        shown.add(self._tools)
        super().__init__([shown, self._panel])
        self._show_samples()
        self._report(f"samples are kept in {self.file}")
        self._use_class()
        self._tools.observe(self._on_drawing, "data")
        self._panel.observe(self._use_class, "active")

    @property
    def samples(self) -> geopandas.GeoDataFrame:
        """The samples on the map: id, class, geometry, author, image, drawn."""
        return to_frame(self._samples)

    def _on_drawing(self, change: Mapping[str, Any]) -> None:
        samples = reconcile(change["new"], self._samples, self._new_sample)
        if samples == self._samples:
            return
        before, self._samples = self._samples, samples
        self._save(before)
        if {s.id for s in samples} - {s.id for s in before}:
            self._show_samples()  # tells the tools the new one's id and colour

    def _new_sample(self, geometry: Geometry) -> Sample:
        author = os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
        return Sample.new(self._panel.active, geometry, author, self.scene)

    def _save(self, before: Sequence[Sample]) -> None:
        path = local_path(self.file)
        try:
            save_samples(merge(load_samples(path), before, self._samples), path)
        except OSError as error:
            self._report(f"NOT SAVED in {self.file}: {error.strerror}")
        except InputError as error:
            self._report(f"NOT SAVED: {error}")
        else:
            self._report(f"{name_change(before, self._samples)}, saved in {self.file}")

    def _report(self, message: str) -> None:
        self._panel.show(count_classes(self._samples), html.escape(message))

    def _show_samples(self) -> None:
        colors = {c.name: c.color for c in self.legend.classes}
        self._tools.data = [_layer(s, colors.get(s.class_name, OTHER)) for s in self._samples]

    def _use_class(self, _: object = None) -> None:
        """Draw in the colour of the active class."""
        colors = {c.name: c.color for c in self.legend.classes}
        options = {"pathOptions": _style(colors[self._panel.active])}
        self._tools.polygon = {**options, "allowSelfIntersection": False}
        self._tools.rectangle = options
        self._tools.circlemarker = options


def _legend_of(colors: Mapping[str, str]) -> Legend:
    if not colors:
        raise InputError("the legend is empty, needs at least one class with its colour")
    entries = enumerate(colors.items(), 1)
    return Legend.from_list([{"code": i, "name": n, "color": c} for i, (n, c) in entries])


def _map_of(picture: Picture) -> ipyleaflet.Map:
    (south, west), (north, east) = picture.bounds
    return ipyleaflet.Map(
        layers=(ipyleaflet.ImageOverlay(url=picture.url, bounds=picture.bounds),),
        center=((south + north) / 2, (west + east) / 2),
        zoom=_zoom_to(picture),
        zoom_snap=0.25,
        max_zoom=22,
        scroll_wheel_zoom=True,
        attribution_control=False,
        layout={"height": f"{HEIGHT}px", "flex": "1 1 auto"},
    )


def _zoom_to(picture: Picture) -> float:
    """Return the zoom at which the picture fits; at zoom 0 the world is 256 pixels wide."""
    (south, west), (north, east) = picture.bounds
    width = (east - west) / 360
    height = (_mercator(north) - _mercator(south)) / (2 * math.pi)
    fitting = min(_WIDTH / width, HEIGHT / height) / 256
    return math.floor(math.log2(fitting) * 4) / 4


def _mercator(latitude: float) -> float:
    return math.asinh(math.tan(math.radians(latitude)))


def _drawing_tools() -> ipyleaflet.GeomanDrawControl:
    """Offer polygons, rectangles and points, to draw, change, move and delete."""
    return ipyleaflet.GeomanDrawControl(
        position="topleft", marker={}, circle={}, polyline={}, text={}, cut=False, rotate=False
    )


def _layer(sample: Sample, color: str) -> dict[str, Any]:
    """Return the feature by which the drawing tools show a sample."""
    kind = "circlemarker" if sample.geometry["type"] == "Point" else "polygon"
    style = _style(color)
    return {
        "type": "Feature",
        "geometry": dict(sample.geometry),
        "properties": {"id": sample.id, "type": kind, "style": style, "options": style},
    }


def _style(color: str) -> dict[str, Any]:
    return {"color": color, "fillColor": color, "weight": 2, "fillOpacity": 0.3, "radius": 6}
