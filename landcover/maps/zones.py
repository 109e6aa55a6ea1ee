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

_STEP, _STEP_DEGREES = 10_000, 0.1
_LISTED = 5
_LONGEST = 40
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
        united = _densified(_united(names, shapes), source)
        moved = to_crs_of(grid, united, source, file.name)
        moved = shapely.make_valid(moved, method="structure", keep_collapsed=False)
        zones = cls((WHOLE, *dict.fromkeys(names)), moved, grid)
        if not zones.touching(_whole(grid)).size:
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
        return np.sort(self._tree.query(self._outline(window), "intersects"))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.shapes)

    def on_the_map(self) -> np.ndarray:
        """Return the share of each shape that lies on the grid."""
        inside = shapely.intersection(self.shapes, self._outline(_whole(self.grid)))
        return np.asarray(shapely.area(inside) / np.maximum(shapely.area(self.shapes), 1e-12))

    def _outline(self, window: Window) -> shapely.Geometry:
        box = shapely.box(0, 0, window.width, window.height)
        return shapely.transform(
            box, lambda at: np.column_stack(self.grid.transform_of(window) @ tuple(at.T))
        )

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
            f"{shortened(self.names[a + 1])} and {shortened(self.names[b + 1])}"
            for a, b in zip(one[pairs][shared > pixel], other[pairs][shared > pixel], strict=True)
        ]
        if names:
            remark(
                f"zones of {file} overlap, and what lies in both counts in both: {listed(names)}"
            )


def _united(names: Sequence[str], shapes: np.ndarray) -> np.ndarray:
    """Return one valid shape for each name, in the order in which the names come first."""
    by_name: dict[str, list[shapely.Geometry]] = {name: [] for name in names}
    # part by part, as parts that overlap would be taken for holes
    parts, of = shapely.get_parts(shapes, return_index=True)
    pieces, of_part = shapely.get_parts(shapely.make_valid(parts), return_index=True)
    pieces, of_piece = shapely.get_parts(pieces, return_index=True)
    for piece, at in zip(pieces, of[of_part[of_piece]].tolist(), strict=True):
        if shapely.get_dimensions(piece) == 2:  # a spike would be burned as a line
            by_name[names[at]].append(piece)
    united = np.empty(len(by_name), object)
    united[:] = [parts[0] if len(parts) == 1 else shapely.union_all(parts)
                 for parts in by_name.values()]  # fmt: skip
    return united


def _densified(shapes: np.ndarray, source: str) -> np.ndarray:
    """Return shapes with corners so close that an edge may be straight in any system.

    Shapes need to be valid, others may lose parts. A degree's tenth along a parallel at 60° north
    bends by 4 m.
    """
    try:
        step = _STEP_DEGREES if pyproj.CRS.from_user_input(source).is_geographic else _STEP
    except pyproj.exceptions.CRSError:  # none, or one that cannot be brought anywhere
        return shapes
    return np.asarray(shapely.segmentize(shapes, step))


def _whole(grid: Grid) -> Window:
    return Window(0, 0, grid.width, grid.height)


def shortened(name: str) -> str:
    """Return a name of which a sentence shows the beginning."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
