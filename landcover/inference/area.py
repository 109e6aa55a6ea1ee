"""The part of a scene that is to be mapped: polygons, in any file and CRS that labels may have.

A pixel belongs to an area if its centre lies inside a polygon, as a training pixel does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.raster import Grid
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.progress import remark
from landcover.samples.labels import NO_FEATURE, Polygons, to_crs_of

_BEYOND = 1e-6
"""Pixels that a vertex may lie outside by rounding alone."""


@dataclass(frozen=True)
class Area:
    """Polygons on the grid of a scene.

    Attributes:
        name: of the file.
        polygons: in the CRS of the grid, of one code.
    """

    name: str
    polygons: Polygons

    def inside(self, window: Window) -> np.ndarray:
        """Return which pixels of a window lie inside, bool (H, W)."""
        return np.asarray(self.polygons.read(window).features != NO_FEATURE)

    def meets(self, window: Window) -> bool:
        """Return whether a pixel of a window may lie inside."""
        return bool(self.polygons.touching(window).size)

    def pixels_in(self, windows: Sequence[Window]) -> np.ndarray:
        """Return how many pixels of each window lie inside, int64 (N,).

        Args:
            windows: that cover the grid, each pixel once.

        Raises:
            InputError: no pixel centre of the whole grid lies inside.
        """
        seen = np.zeros(len(self.polygons.geometries) + 1, bool)  # the last stands for none, -1
        counts = np.zeros(len(windows), np.int64)
        for number, window in enumerate(windows):
            if self.meets(window):
                features = self.polygons.read(window).features
                counts[number] = np.count_nonzero(features != NO_FEATURE)
                seen[features] = True
        if not counts.any():
            raise InputError(
                f"{self.name} lies in the scene and holds no centre of its pixels: draw it larger"
            )
        missed = len(self.polygons.without_centre(seen[:-1]))
        if missed:
            remark(
                f"{missed:,} polygons of {self.name} hold no pixel centre, nothing is mapped there"
            )
        return counts


def read_area(path: AnyPath, grid: Grid, layer: str = "") -> Area:
    """Read polygons as they lie on a grid; their attributes are ignored.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ or a zipped Shapefile.
        grid: of the scene.
        layer: of a file that holds several.

    Raises:
        InputError: the file or its CRS is invalid, holds something else than polygons, or lies
            outside the grid.
    """
    from landcover.io.vector import read_shapes

    name = Path(path).name
    kind = need_labels(Path(path))
    if kind == GEOTIFF:
        raise InputError(f"{name} is a raster, an area needs polygons: give it as mask instead")
    crs, shapes = read_shapes(Path(path), kind, layer)
    _need_polygons(shapes, name)
    moved = to_crs_of(grid, shapes, crs, name)
    _need_inside(moved, grid, name)
    return Area(name, Polygons(Legend(()), grid, moved, np.ones(len(moved), np.uint8)))


def _need_polygons(shapes: np.ndarray, name: str) -> None:
    kinds = shapely.get_type_id(shapes)
    other = np.flatnonzero(
        ~np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    )
    if other.size:
        what = shapes[other[0]].geom_type
        raise InputError(f"{name}: feature {other[0] + 1} is a {what}, an area needs polygons")


def _need_inside(shapes: np.ndarray, grid: Grid, name: str) -> None:
    """Refuse an area outside the scene, and say how much of one reaches beyond."""
    at, owners = shapely.get_coordinates(shapes, return_index=True)
    columns, rows = ~grid.transform @ (at[:, 0], at[:, 1])
    beyond = (columns < -_BEYOND) | (columns > grid.width + _BEYOND)
    beyond |= (rows < -_BEYOND) | (rows > grid.height + _BEYOND)
    scene = shapely.box(0, 0, grid.width, grid.height)
    on_grid = shapely.transform(shapes, lambda at: np.column_stack(~grid.transform @ at.T))
    if not shapely.intersects(shapely.convex_hull(on_grid), scene).any():
        raise InputError(
            f"{name} lies outside the scene, nothing would be mapped: check its coordinate system"
        )
    reaching = len(np.unique(owners[beyond]))
    if reaching:
        remark(
            f"{reaching:,} of {len(shapes):,} polygons of {name} reach beyond the scene: only "
            "what lies in it is mapped"
        )
