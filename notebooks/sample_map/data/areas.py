"""How much of each class is on a map: pixels, and hectares on the ground."""

from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader

from landcover.io.legend import MAX_CODE, Legend
from landcover.io.raster import legend_of
from landcover.maps.ground import Ground, hectares


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
    for window, of_pixel in Ground.under(dataset).blocks():
        codes, valid = dataset.read(1, window=window), dataset.read_masks(1, window=window) > 0
        found = np.bincount(codes[valid].ravel(), minlength=256)[:256]
        counts += found
        metres += found * of_pixel
    legend = legend_of(dataset) or Legend(())
    return tuple(
        ClassArea(one.code, one.name, one.color, int(counts[one.code]), hectares(metres[one.code]))
        for one in _every(legend, counts).classes
    )


def _every(legend: Legend, counts: np.ndarray) -> Legend:
    """Return the legend with the codes that only the pixels know."""
    others = [int(code) for code in np.flatnonzero(counts) if legend.at(int(code)) is None]
    unnamed = Legend.of_codes(code for code in others if 1 <= code <= MAX_CODE)
    return Legend((*legend.classes, *unnamed.classes))
