"""What a raster file is, for whoever opens it: in words, and as a picture of the whole.

A scene, a map or a raster of labels is told apart by what it carries, never by its name.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from rasterio.enums import Resampling
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.raster import legend_of, open_raster
from landcover.storage import readable_at_home
from sample_map.data.tiles import band_indexes, has_place, palette_of, stretch
from sample_map.texts import Say, saying, text

SIDE = 640  # pixels of the picture
_BANDS_NAMED = 16


@dataclass(frozen=True)
class Look:
    """What is said of a raster.

    Attributes:
        name: storage name.
        kind: "map" if it carries a legend, else "scene".
        has_place: whether it lies somewhere on the Earth, so that one can draw on it.
        facts: sentences, the most important first.
        classes: name and colour (#rrggbb) of each class of a map.
    """

    name: str
    kind: str
    has_place: bool
    facts: tuple[str, ...]
    classes: tuple[tuple[str, str], ...]


def look_at(name: str, language: str = "en") -> Look:
    """Say what a raster file is.

    Args:
        name: storage name.
        language: of the facts; English where there is no catalogue of it.

    Raises:
        InputError: there is none, or it is no GeoTIFF.
    """
    with readable_at_home(name) as path, open_raster(path) as dataset:
        legend = legend_of(dataset)
        classes = tuple((c.name, c.color) for c in legend.classes) if legend else ()
        return Look(
            name,
            "map" if legend else "scene",
            has_place(dataset),
            _facts(dataset, saying(language)),
            classes,
        )


def picture_of(name: str) -> bytes:
    """Return a PNG of the whole of a raster, at most SIDE pixels wide and high.

    Raises:
        InputError: there is none, or it is no GeoTIFF.
    """
    with readable_at_home(name) as path, open_raster(path) as dataset:
        scale = min(1.0, SIDE / max(dataset.width, dataset.height))
        shape = (max(1, round(dataset.height * scale)), max(1, round(dataset.width * scale)))
        values = dataset.read(
            list(band_indexes(dataset, None)), out_shape=(3, *shape), resampling=Resampling.nearest
        )
        valid = dataset.dataset_mask(out_shape=shape) > 0
        palette = palette_of(dataset)
        if palette is not None:
            return _png(palette[values[0].astype("uint8")])
        if not valid.any():
            raise InputError(f"{name} holds no valid pixel")
        colors = np.moveaxis(stretch(values, valid), 0, -1)
        return _png(np.dstack([colors, np.where(valid, 255, 0).astype("uint8")]))


def _facts(dataset: DatasetReader, say: Say) -> tuple[str, ...]:
    tags = dataset.tags()
    told = [tags[key] for key in ("SENSOR", "LEVEL", "DATE") if key in tags]
    return (
        _bands_in_words(dataset, say),
        _size_in_words(dataset, say),
        _place_in_words(dataset, say),
        *([", ".join(told)] if told else []),
    )


def _bands_in_words(dataset: DatasetReader, say: Say) -> str:
    names = _band_names(dataset, say)
    if dataset.count == 1:
        return say(text("1 band: {names}"), names=names)
    return say(text("{count} bands: {names}"), count=dataset.count, names=names)


def _band_names(dataset: DatasetReader, say: Say) -> str:
    names = [name for name in dataset.descriptions if name]
    if not names:
        return say(text("without names, so models take them in the order of the file"))
    first, more = ", ".join(names[:_BANDS_NAMED]), len(names) - _BANDS_NAMED
    return say(text("{names} and {count} more"), names=first, count=more) if more > 0 else first


def _size_in_words(dataset: DatasetReader, say: Say) -> str:
    known = {
        "width": f"{dataset.width:,}", "height": f"{dataset.height:,}",
        "size": f"{dataset.res[0]:g}", "dtype": dataset.dtypes[0],
    }  # fmt: skip
    if dataset.crs is None:
        return say(text("{width} x {height} pixels, {dtype}"), **known)
    if dataset.crs.is_geographic:
        return say(text("{width} x {height} pixels of {size} degrees, {dtype}"), **known)
    return say(text("{width} x {height} pixels of {size} m, {dtype}"), **known)


def _place_in_words(dataset: DatasetReader, say: Say) -> str:
    if dataset.crs is None:
        return say(
            text(
                "It has no coordinate system, so it lies nowhere: give it one first, in QGIS by "
                "Raster, Projections, Assign Projection"
            )
        )
    if not has_place(dataset):
        return say(
            text(
                "Its coordinate system is a local one, so it lies nowhere on the Earth: give it "
                "another, in QGIS by Raster, Projections, Assign Projection"
            )
        )
    return say(text("Coordinate system {name}"), name=dataset.crs.to_string()[:80])


def _png(pixels: np.ndarray) -> bytes:
    """Return a PNG of (H, W, 4)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()
