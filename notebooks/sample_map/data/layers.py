"""The pictures of the map, from the top down: scenes, maps and what belongs to them, backgrounds.

What a raster is, is told by what it carries: a legend, the name of its band. Beside a map the
classification's confidence.tif and probabilities.tif are found, which become layers too.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from rasterio.io import DatasetReader

from landcover.errors import InputError, LandcoverError
from landcover.io.raster import bands_of, legend_of, open_raster
from landcover.storage import readable_at_home
from sample_map.data.tiles import Indexes, Look, Scene, describe

Kind = Literal["scene", "map", "confidence", "unknown", "probabilities", "background"]

CONFIDENCE, PROBABILITIES, RECORD = "confidence.tif", "probabilities.tif", "run.json"
UNKNOWN_BELOW = 50  # percent of confidence
_CONFIDENCE_BAND, _RESEMBLANCE_BAND = "confidence in percent", "resemblance in percent"
_LONGEST_RECORD = 2**20  # bytes
_CHANGES = ("shown", "opacity", "colors", "stretch", "limits", "below")


@dataclass(frozen=True)
class LayerBand:
    """A band, and its centre wavelength in nm where known."""

    name: str
    wavelength: float | None


@dataclass(frozen=True)
class Layer:
    """A picture on the map, and how it is shown.

    Attributes:
        key: names it among the layers.
        kind: scene, map, confidence, unknown, probabilities or background.
        name: storage name; of a background its address.
        title: what people read: scene and date.
        bands: of the file.
        bounds: south, west, north, east in degrees; None of a background.
        stamp: another one when the file was written anew.
        shown: whether it is.
        opacity: 0 to 1.
        colors: numbers of the bands shown as red, green and blue; of probabilities one, thrice.
        stretch: percentiles shown as black and white.
        limits: instead of those, values for each colour: low, high, low, high, low, high.
        below: percent of confidence below which a class counts as unknown.
        attribution: of a background.
        wms: layers asked of a WMS; empty if the address is one of tiles.
    """

    key: str
    kind: Kind
    name: str
    title: str
    bands: tuple[LayerBand, ...] = ()
    bounds: tuple[float, float, float, float] | None = None
    stamp: str = ""
    shown: bool = True
    opacity: float = 1.0
    colors: Indexes = (1, 1, 1)
    stretch: tuple[float, float] = (2.0, 98.0)
    limits: tuple[float, ...] = ()
    below: int = UNKNOWN_BELOW
    attribution: str = ""
    wms: str = ""

    def changed(self, changes: dict[str, Any]) -> "Layer":
        """Return the layer shown otherwise, by what a browser or a cell asks.

        Args:
            changes: of shown, opacity, colors, stretch, limits, below.

        Raises:
            InputError: there is no such band, or a number is out of its range.
        """
        if unknown := set(changes) - set(_CHANGES):
            raise InputError(f"a layer has no {sorted(unknown)[0]} to change")
        try:
            return replace(self, **dict(self._read(changes)))
        except (TypeError, ValueError) as error:
            raise InputError(f"the layer {self.title} cannot be shown so: {error}") from error

    def _read(self, changes: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        if "shown" in changes:
            yield "shown", bool(changes["shown"])
        if "opacity" in changes:
            yield "opacity", _within(float(changes["opacity"]), 0, 1, "opacity")
        if "colors" in changes:
            count = len(self.bands)
            red, green, blue = (_within(int(b), 1, count, "band") for b in changes["colors"])
            yield "colors", (red, green, blue)
        if "stretch" in changes:
            low, high = (_within(float(p), 0, 100, "percentile") for p in changes["stretch"])
            yield "stretch", (low, high)
        if "limits" in changes:
            limits = tuple(float(value) for value in changes["limits"])
            if len(limits) not in (0, 6):
                raise ValueError("limits are six numbers or none")
            yield "limits", limits
        if "below" in changes:
            yield "below", _within(int(changes["below"]), 0, 100, "percent")

    @property
    def look(self) -> Look:
        """How its tiles are drawn."""
        styles = {"confidence": "percent", "probabilities": "percent"}
        style = f"below:{self.below}" if self.kind == "unknown" else styles.get(self.kind, "scene")
        return Look(self.colors, self.stretch, self.limits, style)

    def to_json(self) -> dict[str, Any]:
        """Return what the panel is told."""
        return asdict(self)


@dataclass(frozen=True)
class View:
    """How the layers are looked at, in every tab.

    Attributes:
        polygons: how training polygons are shown: filled, outlines or hidden.
        compare: off, swipe (a curtain between two layers) or beside (a second map).
        left, right: keys of the layers that are compared; empty while none were chosen.
    """

    polygons: Literal["filled", "outlines", "hidden"] = "filled"
    compare: Literal["off", "swipe", "beside"] = "off"
    left: str = ""
    right: str = ""

    def changed(self, changes: dict[str, Any]) -> "View":
        """Return another view, by what a browser asks.

        Raises:
            InputError: there is no such way to look at them.
        """
        for key, value in changes.items():
            needed = _LOOKED_AT.get(key)
            if needed is None or not isinstance(value, str) or (needed and value not in needed):
                raise InputError(f"the map cannot be looked at with {key} {value}")
        return replace(self, **changes)


_LOOKED_AT: dict[str, tuple[str, ...]] = {
    "polygons": ("filled", "outlines", "hidden"),
    "compare": ("off", "swipe", "beside"),
    "left": (),
    "right": (),
}


class Layers:
    """The layers of one map, the topmost first. What is removed can be brought back.

    Attributes:
        view: how they are looked at.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._layers: list[Layer] = []
        self._removed: list[tuple[int, Layer]] = []
        self._count = 0
        self.view = View()

    def __iter__(self) -> Any:
        """Iterate from the top down."""
        return iter(tuple(self._layers))

    def __len__(self) -> int:
        """Count them."""
        return len(self._layers)

    @property
    def removed(self) -> Layer | None:
        """What was removed last and can be brought back."""
        return self._removed[-1][1] if self._removed else None

    def scene(self) -> str | None:
        """Return the storage name of the topmost scene."""
        return next((layer.name for layer in self._layers if layer.kind == "scene"), None)

    def add(self, found: Sequence[Layer], below: bool = False) -> tuple[Layer, ...]:
        """Lay layers on top, or below all but backgrounds; those that are there already stay.

        Returns:
            The layers that were added, with keys of their own.
        """
        known = {(layer.kind, layer.name) for layer in self._layers}
        added = tuple(self._keyed(one) for one in found if (one.kind, one.name) not in known)
        backgrounds = [layer for layer in self._layers if layer.kind == "background"]
        place = len(self._layers) - len(backgrounds) if below else 0
        self._layers[place:place] = added
        return added

    def _keyed(self, layer: Layer) -> Layer:
        self._count += 1
        return replace(layer, key=f"layer{self._count}")

    def change(self, key: str, changes: dict[str, Any]) -> None:
        """Show a layer otherwise, see `Layer.changed`.

        Raises:
            InputError: there is no such layer, or it cannot be shown so.
        """
        place = self._place(key)
        self._layers[place] = self._layers[place].changed(changes)

    def move(self, key: str, place: int) -> None:
        """Put a layer at a place, 0 is the top.

        Raises:
            InputError: there is no such layer.
        """
        layer = self._layers.pop(self._place(key))
        self._layers.insert(max(0, place), layer)

    def remove(self, key: str) -> None:
        """Take a layer away; its file stays.

        Raises:
            InputError: there is no such layer.
        """
        place = self._place(key)
        self._removed.append((place, self._layers.pop(place)))

    def swap(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Bring back those that were removed, to where they were; remove those that are there.

        Returns:
            The keys that are none of a layer.
        """
        return tuple(key for key in keys if not self._swapped(key))

    def _swapped(self, key: str) -> bool:
        if any(layer.key == key for layer in self._layers):
            self.remove(key)
            return True
        found = next((one for one in self._removed if one[1].key == key), None)
        if found is not None:
            self._removed.remove(found)
            self._layers.insert(*found)
        return found is not None

    def _place(self, key: str) -> int:
        for place, layer in enumerate(self._layers):
            if layer.key == key:
                return place
        raise InputError("this layer was removed meanwhile")


def layers_of(
    name: str, bands: Sequence[int | str] | None = None, title: str = ""
) -> tuple[Layer, ...]:
    """Return the layers that a raster gives, the topmost first.

    Args:
        name: storage name of a GeoTIFF. Of a map, what the classification wrote beside it comes
            too, hidden: where it is unknown, its confidence and the probabilities.
        bands: of a scene to show as red, green and blue, by number or description.
        title: instead of scene and date.

    Raises:
        InputError: the file cannot be read, has no CRS, or lacks a band.
    """
    layer = _layer(name, bands)
    if title:
        layer = replace(layer, title=title)
    if layer.kind != "map":
        return (layer,)
    beside = (_beside(name, file) for file in (CONFIDENCE, PROBABILITIES))
    more = (replace(one, title=layer.title) for found in beside for one in found)
    return (*more, layer)


def background(title: str, address: str, attribution: str, wms: str = "") -> Layer:
    """Return the layer of a background map that comes from elsewhere.

    Args:
        title: what people read.
        address: with {z}, {x} and {y}, or of a WMS.
        attribution: who is to be named for it.
        wms: names of the layers to ask a WMS for, with commas; empty for tiles.

    Raises:
        InputError: the address is none of http or https, or lacks {z}, {x} and {y}.
    """
    if not address.startswith(("https://", "http://", "/")):
        raise InputError("a background map needs an address that begins with https://")
    if not wms and not all(part in address for part in ("{z}", "{x}", "{y}")):
        raise InputError("a background map needs {z}, {x} and {y} in its address, or WMS layers")
    if not title.strip():
        raise InputError("a background map needs a name")
    return Layer("", "background", address, title.strip(), attribution=attribution, wms=wms)


def _layer(name: str, bands: Sequence[int | str] | None = None) -> Layer:
    scene = describe(name, bands)
    with readable_at_home(name) as path, open_raster(path) as dataset:
        kind = _kind_of(dataset, name)
        found = tuple(LayerBand(band.name, band.wavelength) for band in bands_of(dataset))
        title = _title(name, kind, dataset)
    colors = (1, 1, 1) if kind == "probabilities" else scene.natural
    return _pictured(kind, scene, found, title, colors)


def _pictured(
    kind: Kind, scene: Scene, bands: tuple[LayerBand, ...], title: str, colors: Indexes
) -> Layer:
    return Layer(
        "", kind, scene.name, title, bands, scene.bounds, scene.stamp, colors=colors
    )  # fmt: skip


def _kind_of(dataset: DatasetReader, name: str) -> Kind:
    if dataset.dtypes[0] != "uint8":
        return "scene"
    if dataset.count == 1 and legend_of(dataset):
        return "map"
    if dataset.descriptions == (_CONFIDENCE_BAND,):
        return "confidence"
    if dataset.descriptions == (_RESEMBLANCE_BAND,):
        return "unknown"  # as check-radiometry tells it, pixel by pixel
    is_of_map = PurePosixPath(name).name == PROBABILITIES and dataset.nodata == 255
    return "probabilities" if is_of_map else "scene"


def _beside(name: str, file: str) -> tuple[Layer, ...]:
    """Return the layers of a file beside a map, hidden; none if it is not what its name says."""
    try:
        layer = replace(_layer(str(PurePosixPath(name).with_name(file))), shown=False)
    except LandcoverError:
        return ()
    if layer.kind == "confidence":
        return replace(layer, kind="unknown"), layer
    return (layer,) if layer.kind == "probabilities" else ()


def _title(name: str, kind: Kind, dataset: DatasetReader) -> str:
    """Name a layer by scene and date; a map by the scene that it was made of, where known."""
    path = PurePosixPath(name)
    scene = "" if kind == "scene" else _classified(name)
    date = _date_of(dataset) or (_date_in(scene) if scene else "")
    known = PurePosixPath(scene).name if scene else path.name
    if kind != "scene" and not scene:
        known = str(PurePosixPath(*path.parts[-2:]))  # many maps are called map.tif
    return f"{known} · {date}" if date else known


def _classified(name: str) -> str:
    """Return the storage name of the scene that a map was made of, empty if nobody knows."""
    try:
        with readable_at_home(str(PurePosixPath(name).with_name(RECORD))) as path:
            if path.stat().st_size > _LONGEST_RECORD:
                return ""
            scene = json.loads(path.read_text(encoding="utf-8"))["run"]["files"]["scene"]
    except (LandcoverError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return scene if isinstance(scene, str) else ""


def _date_in(scene: str) -> str:
    try:
        with readable_at_home(scene) as path, open_raster(path) as dataset:
            return _date_of(dataset)
    except LandcoverError:
        return ""


def _date_of(dataset: DatasetReader) -> str:
    tags = {key.upper(): value for key, value in dataset.tags().items()}
    return next((tags[key][:10] for key in ("DATE", "ACQUISITION_DATE") if tags.get(key)), "")


def _within(value: Any, low: int, high: int, what: str) -> Any:
    if not low <= value <= high:
        raise ValueError(f"{what} is {value:g}, needs {low} to {high}")
    return value
