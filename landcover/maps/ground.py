"""How large pixels are on the ground.

The area of a pixel is that of the geodesic polygon around its block of the raster on the
ellipsoid, by Karney (2013), doi 10.1007/s00190-012-0578-z, as pyproj computes it. So the scale of
a projection and the narrowing of degrees towards the poles are in it, and no unit is guessed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.io.raster import parts_of

HECTARE = 10_000
"""Square metres."""
_STEPS = 8  # points along a side of a block
_SIDE = 512  # pixels, and rows, of a block
_TALLEST = 0.1  # degrees of a block, over which a degree's width changes by 0.6 % at 70° north
_GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class Ground:
    """Where the pixels of a raster lie on the ground; nowhere without a CRS."""

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    @classmethod
    def under(cls, dataset: DatasetReader) -> "Ground":
        """Return the ground under an open raster."""
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    def blocks(self) -> Iterator[tuple[Window, float]]:
        """Cover the raster with windows over which the area of a pixel hardly changes.

        Yields:
            A window, and the mean area of its pixels in square metres; NaN if it lies nowhere.
        """
        to_degrees = self.to_degrees()
        is_geographic = self.crs is not None and self.crs.is_geographic
        tall = max(abs(self.transform.e), abs(self.transform.d), 1e-9)
        rows = min(_SIDE, max(1, int(_TALLEST / tall))) if is_geographic else _SIDE
        for window in parts_of(Window(0, 0, self.width, self.height), rows, 2 * _SIDE):
            yield window, self._pixel_area(window, to_degrees) if to_degrees else math.nan

    def to_degrees(self) -> pyproj.Transformer | None:
        """Return what brings x and y to longitude and latitude.

        None without a CRS, and of a local one, which ties the raster to no place.
        """
        return self._to("EPSG:4326")

    def _to(self, target: str) -> pyproj.Transformer | None:
        if self.crs is None:
            return None
        try:
            crs = pyproj.CRS.from_wkt(self.crs.to_wkt())
            return pyproj.Transformer.from_crs(crs, target, always_xy=True)
        except pyproj.exceptions.ProjError:
            return None

    def in_equal_area(self, shapes: np.ndarray) -> np.ndarray:
        """Return shapely shapes in a projection in which areas are those on the ellipsoid.

        Raises:
            ValueError: the raster lies nowhere.
        """
        to_metres = self._to("+proj=cea +ellps=WGS84")
        if to_metres is None:
            raise ValueError("the raster lies nowhere on the ground")
        return np.asarray(
            shapely.transform(shapes, lambda at: np.column_stack(to_metres.transform(*at.T)))
        )

    def _pixel_area(self, window: Window, to_degrees: pyproj.Transformer) -> float:
        along = np.linspace(0, 1, _STEPS, endpoint=False)
        across = np.concatenate([along, np.ones(_STEPS), 1 - along, np.zeros(_STEPS)])
        down = np.concatenate([np.zeros(_STEPS), along, np.ones(_STEPS), 1 - along])
        columns = window.col_off + window.width * across
        rows = window.row_off + window.height * down
        longitudes, latitudes = to_degrees.transform(*(self.transform @ (columns, rows)))
        if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
            return math.nan
        area, _ = _GEOD.polygon_area_perimeter(longitudes, latitudes)
        return float(abs(area) / (window.width * window.height))


def hectares(square_metres: float) -> float | None:
    """Return an area in hectares; None where it is not known."""
    return float(square_metres) / HECTARE if math.isfinite(square_metres) else None
