"""Grow a region around a pixel: what is connected to it and looks like it.

The distance of two spectra is the root mean square over the bands of their differences, each in
shares of what the band spans in the scene between its 2nd and 98th percentile. So a tolerance of
0.1 means the same in reflectances and counts, and no band outweighs the others by its unit.
"""

import math
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.features import shapes
from rasterio.io import DatasetReader
from rasterio.windows import Window
from scipy import ndimage
from shapely.geometry import shape

from landcover.errors import InputError
from sample_map.data.features import CRS, Geometry, geometry_of

REACH = 256
"""Pixels that a region may extend from its seed in each direction."""


@dataclass(frozen=True)
class Region:
    """What was grown.

    Attributes:
        geometry: outline in degrees, along the borders of pixels, with its holes.
        pixels: how many.
        reaches_limit: whether it was cut off REACH pixels from the seed.
    """

    geometry: Geometry
    pixels: int
    reaches_limit: bool


def grow(
    dataset: DatasetReader, longitude: float, latitude: float, tolerance: float, spans: np.ndarray
) -> Region:
    """Grow the region around a place.

    Args:
        dataset: the open scene, in any CRS.
        longitude: of the seed, in degrees.
        latitude: of the seed, in degrees.
        tolerance: largest spectral distance from the seed's pixel, 0..1.
        spans: (bands,), what each band spans in the scene, in its unit; above 0.

    Raises:
        InputError: the place lies outside the scene, or on a pixel without data.
    """
    to_scene = pyproj.Transformer.from_crs(CRS, dataset.crs, always_xy=True)
    column, row = ~dataset.transform @ to_scene.transform(longitude, latitude)
    window, seed = _window_around(dataset, column, row)
    values = dataset.read(window=window).astype("float32")
    masks = dataset.read_masks(window=window)
    valid = (masks > 0).all(axis=0) & np.isfinite(values).all(axis=0)
    if not valid[seed]:
        raise InputError("there is no data at this place of the scene")
    grown = region_of(values, valid, seed, tolerance, spans)
    corner = dataset.transform @ Affine.translation(window.col_off, window.row_off)
    return Region(
        _outline(grown, corner, dataset.crs), int(grown.sum()), _is_cut(grown, window, dataset)
    )


def region_of(
    values: np.ndarray,
    valid: np.ndarray,
    seed: tuple[int, int],
    tolerance: float,
    spans: np.ndarray,
) -> np.ndarray:
    """Return which pixels are connected to the seed, by their sides, and within the tolerance.

    Args:
        values: (bands, H, W), floats.
        valid: (H, W), which pixels count.
        seed: row and column.
        tolerance: largest spectral distance, in shares of `spans`.
        spans: (bands,), above 0.

    Returns:
        (H, W), bool.
    """
    differences = (values - values[:, seed[0], seed[1]][:, None, None]) / spans[:, None, None]
    with np.errstate(invalid="ignore"):  # what is not valid may not be a number
        alike = valid & (np.mean(differences**2, axis=0) <= tolerance**2)
    labels, _ = ndimage.label(alike)
    return np.asarray(labels == labels[seed])


def _window_around(
    dataset: DatasetReader, column: float, row: float
) -> tuple[Window, tuple[int, int]]:
    """Return the window that a region may fill, and where its seed lies in it."""
    inside = math.isfinite(column + row) and 0 <= column < dataset.width
    if not (inside and 0 <= row < dataset.height):
        raise InputError("this place lies outside the scene")
    left, top = max(0, int(column) - REACH), max(0, int(row) - REACH)
    right = min(dataset.width, int(column) + REACH + 1)
    bottom = min(dataset.height, int(row) + REACH + 1)
    return Window(left, top, right - left, bottom - top), (int(row) - top, int(column) - left)


def _outline(grown: np.ndarray, corner: Affine, crs: object) -> Geometry:
    ((outline, _),) = shapes(grown.astype("uint8"), mask=grown, transform=corner)
    to_degrees = pyproj.Transformer.from_crs(crs, CRS, always_xy=True)
    return geometry_of(
        shapely.transform(shape(outline), lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    )


def _is_cut(grown: np.ndarray, window: Window, dataset: DatasetReader) -> bool:
    """Return whether the region touches a border of the window that is none of the scene."""
    bottom, right = window.row_off + window.height, window.col_off + window.width
    return bool(
        (window.row_off > 0 and grown[0].any())
        or (window.col_off > 0 and grown[:, 0].any())
        or (bottom < dataset.height and grown[-1].any())
        or (right < dataset.width and grown[:, -1].any())
    )
