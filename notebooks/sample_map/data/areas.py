"""How much of each class is on a map: pixels, and hectares on the ground.

The area of a pixel is that of the geodesic polygon around its block of the file on the ellipsoid,
by Karney (2013), doi 10.1007/s00190-012-0578-z, as pyproj computes it. So the scale of a
projection and the narrowing of degrees towards the poles are in it, and no unit is guessed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyproj
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.io.legend import MAX_CODE, Legend
from landcover.io.raster import legend_of, parts_of
from sample_map.data.tiles import DEGREES, has_place

_STEPS = 8  # points along a side of a block
_SIDE = 512  # pixels, and rows, of a block
_TALLEST = 0.1  # degrees of a block, over which a degree's width changes by 0.6 % at 70° north
_GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class ClassArea:
    """A class on a map.

    Attributes:
        code: of the class.
        name: of the class.
        color: as #rrggbb.
        pixels: that hold it.
        hectares: of them; None if the map's system has no place on the Earth.
    """

    code: int
    name: str
    color: str
    pixels: int
    hectares: float | None


def class_areas(dataset: DatasetReader) -> tuple[ClassArea, ...]:
    """Count the pixels of each class of a map; codes that the legend lacks are counted too.

    Args:
        dataset: an open map, one band of codes.
    """
    counts, metres = np.zeros(256, "int64"), np.zeros(256)
    to_degrees = None
    if has_place(dataset):
        to_degrees = pyproj.Transformer.from_crs(dataset.crs, DEGREES, always_xy=True)
    for window in _parts(dataset):
        codes, valid = dataset.read(1, window=window), dataset.read_masks(1, window=window) > 0
        found = np.bincount(codes[valid].ravel(), minlength=256)[:256]
        counts += found
        metres += found * (_pixel_area(dataset, window, to_degrees) if to_degrees else math.nan)
    legend = legend_of(dataset) or Legend(())
    return tuple(
        ClassArea(
            one.code, one.name, one.color, int(counts[one.code]), _hectares(metres[one.code])
        )
        for one in _every(legend, counts).classes
    )


def _every(legend: Legend, counts: np.ndarray) -> Legend:
    """Return the legend with the codes that only the pixels know."""
    others = [int(code) for code in np.flatnonzero(counts) if legend.at(int(code)) is None]
    unnamed = Legend.of_codes(code for code in others if 1 <= code <= MAX_CODE)
    return Legend((*legend.classes, *unnamed.classes))


def _parts(dataset: DatasetReader) -> Iterator[Window]:
    """Return parts of the file over which the area of a pixel hardly changes."""
    is_geographic = dataset.crs is not None and dataset.crs.is_geographic
    rows = max(1, int(_TALLEST / max(abs(dataset.res[1]), 1e-9))) if is_geographic else _SIDE
    return parts_of(Window(0, 0, dataset.width, dataset.height), min(rows, _SIDE), 2 * _SIDE)


def _pixel_area(dataset: DatasetReader, window: Window, to_degrees: pyproj.Transformer) -> float:
    """Return the mean area of a window's pixels in square metres; nan if it lies nowhere."""
    along = np.linspace(0, 1, _STEPS, endpoint=False)
    across = np.concatenate([along, np.ones(_STEPS), 1 - along, np.zeros(_STEPS)])
    down = np.concatenate([np.zeros(_STEPS), along, np.ones(_STEPS), 1 - along])
    columns = window.col_off + window.width * across
    rows = window.row_off + window.height * down
    longitudes, latitudes = to_degrees.transform(*(dataset.transform @ (columns, rows)))
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return math.nan
    area, _ = _GEOD.polygon_area_perimeter(longitudes, latitudes)
    return abs(area) / (window.width * window.height)


def _hectares(metres: float) -> float | None:
    return float(metres) / 10_000 if math.isfinite(metres) else None
