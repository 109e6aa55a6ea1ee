"""Bring scenes to one grid: that of the first, grown until all of them lie on it.

A scene on the same lattice of pixels is read as it is; another one is resampled, and that is
said: by nearest neighbour, so that no value is invented, or by the mean of those that are valid
where its pixels are much smaller.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import MOST_PIXELS, Grid, read_valid
from landcover.io.sidecars.validity import plain
from landcover.io.upright import upright
from landcover.progress import remark

_OFF = 0.01
"""Of a pixel: two lattices that differ by less are one."""
_MUCH_SMALLER = 1.5
_MOSTLY_EMPTY = 16
"""Times as many pixels as all scenes have: they do not belong together."""


@dataclass(frozen=True)
class Placed:
    """A raster that is read by windows of a grid that is not its own.

    Attributes:
        dataset: on the lattice of that grid.
        row: of the grid at which its first row lies.
        column: alike.
        is_moved: whether it was resampled.
    """

    dataset: DatasetReader
    row: int
    column: int
    is_moved: bool = False

    def covers(self, grid: Grid) -> bool:
        """Return whether it has all pixels of the grid."""
        below, right = self.row + self.dataset.height, self.column + self.dataset.width
        inside = self.row <= 0 and self.column <= 0
        return inside and below >= grid.height and right >= grid.width

    def read(self, window: Window, indexes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return values (bands, H, W) and validity (H, W), as `read_valid` does.

        Pixels beyond the raster are 0 and invalid.
        """
        top, left = window.row_off - self.row, window.col_off - self.column
        bottom, right = top + window.height, left + window.width
        first, start = max(top, 0), max(left, 0)
        last, end = min(bottom, self.dataset.height), min(right, self.dataset.width)
        if last <= first or end <= start:
            return self._nothing(window, indexes)
        part = Window(start, first, end - start, last - first)
        values, valid = read_valid(self.dataset, part, indexes)
        around = ((first - top, bottom - last), (start - left, right - end))
        if not any(map(any, around)):
            return values, valid
        return np.pad(values, ((0, 0), *around)), np.pad(valid, around)

    def _nothing(self, window: Window, indexes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        shape = (window.height, window.width)
        dtype = np.dtype(self.dataset.dtypes[indexes[0] - 1])
        return np.zeros((len(indexes), *shape), dtype), np.zeros(shape, bool)


def common_grid(datasets: Sequence[DatasetReader]) -> Grid:
    """Return the grid of the first raster, grown until all lie on it.

    Raises:
        InputError: one has no place, or they lie so far apart that most would be empty.
    """
    first = Grid.of(upright(datasets[0]))
    extents = [_extent(Grid.of(upright(dataset)), first) for dataset in datasets]
    top, left = (min(extent[i] for extent in extents) for i in (0, 1))
    bottom, right = (max(extent[i] for extent in extents) for i in (2, 3))
    pixels = (bottom - top) * (right - left)
    known = sum((extent[2] - extent[0]) * (extent[3] - extent[1]) for extent in extents)
    if pixels > _MOSTLY_EMPTY * known or pixels > MOST_PIXELS:
        names = ", ".join(Path(dataset.name).name for dataset in datasets[:3])
        raise InputError(
            f"the scenes lie so far apart that one grid for all would have {pixels:,} pixels, "
            f"they have {known:,}: do {names} and others belong together?"
        )
    moved = first.transform @ Affine.translation(left, top)
    return Grid(first.crs, moved, right - left, bottom - top)


def holds(own: Grid, grid: Grid) -> bool:
    """Return whether a raster reaches as far as a grid on every side."""
    top, left, bottom, right = _extent(own, grid)
    return top <= 0 and left <= 0 and bottom >= grid.height and right >= grid.width


def _extent(own: Grid, first: Grid) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of a raster in rows and columns of the first one."""
    corners = [own.transform @ (x, y) for x in (0, own.width) for y in (0, own.height)]
    xs, ys = zip(*corners, strict=True)
    if own.crs != first.crs:
        west, south, east, north = transform_bounds(
            own.crs, first.crs, min(xs), min(ys), max(xs), max(ys)
        )
        if not np.isfinite([west, south, east, north]).all():
            raise InputError("a scene lies where the first scene's coordinate system has no place")
        corners = [(x, y) for x in (west, east) for y in (south, north)]
    places = [~first.transform @ corner for corner in corners]
    columns, rows = zip(*places, strict=True)
    return (
        math.floor(min(rows) + _OFF),
        math.floor(min(columns) + _OFF),
        math.ceil(max(rows) - _OFF),
        math.ceil(max(columns) - _OFF),
    )


@contextmanager
def placed_on(
    dataset: DatasetReader, grid: Grid, resampling: Resampling | None = None
) -> Iterator[Placed]:
    """Yield a raster as it is read on a grid.

    Args:
        dataset: an open raster.
        grid: that it is brought to.
        resampling: how; by default the nearest pixel, or the mean of much smaller ones.

    Raises:
        InputError: it has to be resampled and what is valid in it cannot be resampled along.
    """
    raster = upright(dataset)
    shift = _shift(Grid.of(raster), grid)
    if shift is not None:
        yield Placed(raster, *shift)
        return
    source, nodata = plain(dataset)
    _need_one_nodata(source)
    how = resampling or _resampling(Grid.of(dataset), grid)
    with WarpedVRT(
        source, crs=grid.crs, transform=grid.transform, width=grid.width, height=grid.height,
        resampling=how, src_nodata=nodata, nodata=nodata, add_alpha=nodata is None,
        tolerance=1e-3, warp_mem_limit=16,
    ) as moved:  # fmt: skip
        _remark_on_moving(dataset, grid, how)
        yield Placed(moved, 0, 0, is_moved=True)


def _shift(own: Grid, grid: Grid) -> tuple[int, int] | None:
    """Return at which row and column of a grid a raster begins, None if its lattice is another."""
    if own.crs != grid.crs:
        return None
    relative = ~grid.transform @ own.transform
    row, column = round(relative.f), round(relative.c)
    bends = max(abs(relative.a - 1), abs(relative.b), abs(relative.d), abs(relative.e - 1))
    is_off = max(abs(relative.f - row), abs(relative.c - column)) > _OFF
    return None if is_off or bends * max(own.width, own.height) > _OFF else (row, column)


def _need_one_nodata(dataset: DatasetReader) -> None:
    if len({str(value) for value in dataset.nodatavals}) > 1:
        raise InputError(
            f"{Path(dataset.name).name} lies on another grid and its bands have different nodata "
            "values: give all bands one, or bring it to the grid of the first scene with gdalwarp"
        )


def _resampling(own: Grid, grid: Grid) -> Resampling:
    return Resampling.average if are_smaller(own, grid) else Resampling.nearest


def are_smaller(own: Grid, grid: Grid) -> bool:
    """Return whether the pixels of a raster are much smaller than those of a grid."""
    return _side_in(grid, own) * _MUCH_SMALLER < _side(grid)


def _side(grid: Grid) -> float:
    return math.sqrt(abs(grid.transform.determinant))


def _side_in(grid: Grid, own: Grid) -> float:
    """Return the side of a raster's pixels, measured in the middle, in units of a grid."""
    column, row = own.width / 2, own.height / 2
    places = [own.transform @ at for at in ((column, row), (column + 1, row), (column, row + 1))]
    xs, ys = transform(own.crs, grid.crs, *map(list, zip(*places, strict=True)))
    across, down = (xs[1] - xs[0], ys[1] - ys[0]), (xs[2] - xs[0], ys[2] - ys[0])
    return math.sqrt(abs(across[0] * down[1] - across[1] * down[0]))


def _remark_on_moving(dataset: DatasetReader, grid: Grid, how: Resampling) -> None:
    done = {
        Resampling.nearest: "by nearest neighbour, so its pixels may be moved by half a pixel",
        Resampling.average: "by the mean of its smaller pixels",
        Resampling.min: "by the least of its smaller pixels",
        Resampling.bilinear: "by linear interpolation",
    }[how]
    own = Grid.of(dataset)
    system = f" and system ({own.crs.to_string()[:40]})" if own.crs != grid.crs else ""
    remark(
        f"{Path(dataset.name).name} lies on another grid{system}: it was resampled to the common "
        f"one {done}"
    )
