"""Districts on a map: polygons with names, and which pixels lie in each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from rasterio.features import rasterize
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.raster import Grid
from landcover.io.vector import read_features, read_shapes
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.progress import remark
from landcover.samples.labels import to_crs_of

_GEOD = pyproj.Geod(ellps="WGS84")
_LISTED = 5
WHOLE = ""
"""Name of the zone that is the whole map."""


@dataclass(frozen=True)
class Zones:
    """Named areas on a grid; the first is the whole map.

    Attributes:
        names: of each zone.
        shapes: shapely polygons (N,) of the zones after the first, in the CRS of the grid.
        grid: of the map.
    """

    names: tuple[str, ...]
    shapes: np.ndarray
    grid: Grid

    @classmethod
    def whole(cls, grid: Grid) -> "Zones":
        """Return the whole map alone."""
        return cls((WHOLE,), np.zeros(0, object), grid)

    @classmethod
    def read(cls, path: AnyPath, name_field: str, grid: Grid) -> "Zones":
        """Read polygons; those of one name are one zone.

        Args:
            path: any vector file that labels may be.
            name_field: attribute that holds their names; without one they are numbered.
            grid: of the map.

        Raises:
            InputError: the file holds other than polygons, or none that meets the map.
        """
        file = Path(path)
        kind = need_labels(file)
        if kind == GEOTIFF:
            raise InputError(f"{file.name} is a raster, zones need polygons in a vector file")
        if name_field:
            source, shapes, names = read_features(file, kind, name_field)
        else:
            source, shapes = read_shapes(file, kind)
            names = [str(number) for number in range(1, len(shapes) + 1)]
        if (shapely.get_dimensions(shapes) != 2).any():
            raise InputError(f"{file.name} holds points or lines, zones need polygons")
        names = [name or "without a name" for name in names]
        moved = shapely.make_valid(to_crs_of(grid, shapes, source, file.name))
        zones = cls((WHOLE, *dict.fromkeys(names)), _united(names, moved), grid)
        if not zones.touching(Window(0, 0, grid.width, grid.height)).size:
            raise InputError(f"no zone of {file.name} meets the map")
        zones._remark_on_overlaps(file.name)
        return zones

    def within(self, window: Window) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
        """Yield the zones that a window meets, the whole map first.

        Yields:
            The number of the zone; the part of the window that it may reach; and which pixels of
            that part have their centre inside, bool (h, w).
        """
        shape = (window.height, window.width)
        yield 0, np.s_[0 : shape[0], 0 : shape[1]], np.ones(shape, bool)
        for index in self.touching(window).tolist():
            part = self._part(self.shapes[index], window)
            if part is not None:
                rows, columns = part
                corner = Window(
                    window.col_off + columns.start, window.row_off + rows.start,
                    columns.stop - columns.start, rows.stop - rows.start,
                )  # fmt: skip
                yield index + 1, part, self._burned(self.shapes[index], corner)

    def holding(self, rows: np.ndarray, columns: np.ndarray) -> Iterator[np.ndarray]:
        """Yield for each zone which pixels have their centre inside, bool (N,)."""
        yield np.ones(len(rows), bool)
        centres: Any = (columns + 0.5, rows + 0.5)
        x, y = self.grid.transform @ centres
        for shape in self.shapes:
            shapely.prepare(shape)
            yield np.asarray(shapely.contains_xy(shape, x, y))

    def touching(self, window: Window) -> np.ndarray:
        """Return the indexes of the shapes that meet a window."""
        outline = shapely.box(0, 0, window.width, window.height)
        outline = shapely.transform(
            outline, lambda at: np.column_stack(self.grid.transform_of(window) @ tuple(at.T))
        )
        return np.sort(self._tree.query(outline, "intersects"))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.shapes)

    def square_metres(self, to_degrees: pyproj.Transformer) -> np.ndarray:
        """Return the area of each shape on the ellipsoid."""
        return np.array([abs(_GEOD.geometry_area_perimeter(shapely.transform(
            shape, lambda at: np.column_stack(to_degrees.transform(*at.T))
        ))[0]) for shape in self.shapes])  # fmt: skip

    def _part(self, shape: shapely.Geometry, window: Window) -> tuple[slice, slice] | None:
        left, bottom, right, top = shape.bounds
        corners = (np.array([left, left, right, right]), np.array([bottom, top, bottom, top]))
        columns, rows = ~self.grid.transform_of(window) @ corners
        first, last = max(0, int(rows.min())), min(window.height, int(rows.max()) + 1)
        start, stop = max(0, int(columns.min())), min(window.width, int(columns.max()) + 1)
        return None if first >= last or start >= stop else np.s_[first:last, start:stop]

    def _burned(self, shape: shapely.Geometry, window: Window) -> np.ndarray:
        return np.asarray(
            rasterize(
                [(shape, 1)], (window.height, window.width), dtype="uint8",
                transform=self.grid.transform_of(window),
            ),
            bool,
        )  # fmt: skip

    def _remark_on_overlaps(self, file: str) -> None:
        one, other = self._tree.query(self.shapes, "intersects")
        pairs = one < other
        shared = shapely.area(
            shapely.intersection(self.shapes[one[pairs]], self.shapes[other[pairs]])
        )
        pixel = abs(self.grid.transform.determinant)
        names = [
            f"{self.names[a + 1]} and {self.names[b + 1]}"
            for a, b in zip(one[pairs][shared > pixel], other[pairs][shared > pixel], strict=True)
        ]
        if names:
            remark(
                f"zones of {file} overlap, and what lies in both counts in both: {_listed(names)}"
            )


def _united(names: Sequence[str], shapes: np.ndarray) -> np.ndarray:
    """Return one shape for each name, in the order in which the names come first."""
    by_name: dict[str, list[shapely.Geometry]] = {}
    for name, shape in zip(names, shapes, strict=True):
        by_name.setdefault(name, []).append(shape)
    united = np.empty(len(by_name), object)
    united[:] = [parts[0] if len(parts) == 1 else shapely.union_all(parts)
                 for parts in by_name.values()]  # fmt: skip
    return united


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
