"""Bring bands of several pixel sizes to one grid.

Where pixels of one grid are whole multiples of those of the other, values are repeated, or the
mean of the valid ones is taken; nothing is interpolated. Other grids are warped, bilinear.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.enums import MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import MOST_PIXELS, Grid, alpha_bands
from landcover.io.sidecars.validity import plain
from landcover.io.upright import upright

_EXACT = 1e-6
_WARP_MIB = 64
_MOST_FACTOR = 64
Reducer = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Makes one pixel of (bands, H, k, W, k) values and their validity."""


def common_grid(grids: Sequence[Grid], resolution: float) -> Grid:
    """Return the grid of the finest band, or one of pixels of a given size over the same place.

    Args:
        grids: of all bands; those in the system of the first decide.
        resolution: side of a pixel in units of the coordinate system; 0 is the finest there is.
    """
    same = [grid for grid in grids if grid.crs == grids[0].crs]
    finest = min(same, key=lambda grid: abs(grid.transform.determinant))
    if not resolution:
        return finest
    across = math.hypot(finest.transform.a, finest.transform.d)
    down = math.hypot(finest.transform.b, finest.transform.e)
    x, y = resolution / across, resolution / down
    width, height = math.ceil(finest.width / x - _EXACT), math.ceil(finest.height / y - _EXACT)
    if width * height > MOST_PIXELS:
        raise InputError(
            f"resolution is {resolution:g}, which makes {width} x {height} pixels, more than the "
            f"{MOST_PIXELS} that can be read",
            "resolution",
        )
    if min(width, height) < 1:
        raise InputError(f"resolution is {resolution:g}, larger than the scene", "resolution")
    return Grid(finest.crs, finest.transform @ Affine.scale(x, y), width, height)


def part_within(grid: Grid, shapes: np.ndarray) -> Window:
    """Return the smallest window of a grid that holds what lies of polygons on it."""
    at = shapely.get_coordinates(shapes)
    columns, rows = ~grid.transform @ (at[:, 0], at[:, 1])
    left, top = max(0, math.floor(columns.min())), max(0, math.floor(rows.min()))
    right = min(grid.width, math.ceil(columns.max()))
    bottom = min(grid.height, math.ceil(rows.max()))
    return Window(left, top, max(1, right - left), max(1, bottom - top))


class Placed:
    """A raster as it lies on another grid."""

    def __init__(
        self,
        dataset: DatasetReader,
        grid: Grid,
        nodata: float | None = None,
        nearest: bool = False,
    ) -> None:
        """Find out how the grids relate.

        Args:
            dataset: an open raster.
            grid: where it is to lie.
            nodata: that the raster does not declare itself.
            nearest: whether its values are codes, which have no mean.
        """
        self._dataset: Any = upright(dataset)
        self._close: Callable[[], None] = lambda: None
        own = Grid.of(self._dataset)
        self._steps, self._at = _relation(own, grid) if own.crs == grid.crs else (None, (0, 0))
        self.is_exact = self._steps is not None
        if self._steps is None:
            # of codes each pixel counts, so that none falls between those of the grid
            k = _own_pixels_in(own, grid) if nearest else 1
            self._dataset = _warped(dataset, _refined(grid, k), nodata, nearest)
            self._close = self._dataset.close
            self._steps = float(k)

    def close(self) -> None:
        """Close what was opened for it."""
        self._close()

    @property
    def reduction(self) -> int:
        """How many pixels of its own fit into one of the grid, along a side; at least 1."""
        return max(1, round(self._steps or 1))

    def covers(self, grid: Grid) -> bool:
        """Return whether the raster reaches over the whole grid."""
        steps = self._steps or 1.0
        top, left = (part * min(1.0, steps) for part in self._at)
        bottom, right = top + grid.height * steps, left + grid.width * steps
        width, height = self._dataset.width, self._dataset.height
        return min(top, left) >= 0 and bottom <= height + _EXACT and right <= width + _EXACT

    def read(
        self, window: Window, indexes: Sequence[int], reduce: Reducer
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return values and validity of a window of the grid, (bands, H, W) each."""
        steps = self._steps or 1.0
        if steps >= 1:
            return self._reduced(window, indexes, round(steps), reduce)
        return self._repeated(window, indexes, round(1 / steps))

    def _reduced(
        self, window: Window, indexes: Sequence[int], k: int, reduce: Reducer
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left = window.row_off * k + self._at[0], window.col_off * k + self._at[1]
        own = Window(left, top, window.width * k, window.height * k)
        values, valid = _read(self._dataset, own, indexes)
        if k == 1:
            return values, valid
        shape = (len(indexes), window.height, k, window.width, k)
        return reduce(values.reshape(shape), valid.reshape(shape))

    def _repeated(
        self, window: Window, indexes: Sequence[int], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        # the place of the window in the grid's pixels, counted from this raster's own corner
        top, left = window.row_off + self._at[0], window.col_off + self._at[1]
        first, start = top // k, left // k
        rows = -(-(top + window.height) // k) - first
        columns = -(-(left + window.width) // k) - start
        arrays = _read(self._dataset, Window(start, first, columns, rows), indexes)
        down = slice(top - first * k, top - first * k + window.height)
        across = slice(left - start * k, left - start * k + window.width)
        values, valid = (
            array.repeat(k, axis=1)[:, down].repeat(k, axis=2)[:, :, across] for array in arrays
        )
        return values, valid


def mean_of_valid(values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the mean of those pixels of (bands, H, k, W, k) that are valid; integers rounded."""
    count = valid.sum(axis=(2, 4))
    total = np.where(valid, values, 0).sum(axis=(2, 4), dtype=np.float64)
    mean = total / np.maximum(count, 1)
    rounded = mean if values.dtype.kind == "f" else np.floor(mean + 0.5)
    return rounded.astype(values.dtype), count > 0


def first_of_valid(values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the middle pixel of (bands, H, k, W, k): codes have no mean."""
    middle = values.shape[2] // 2
    return values[:, :, middle, :, middle], valid[:, :, middle, :, middle]


def _relation(own: Grid, grid: Grid) -> tuple[float | None, tuple[int, int]]:
    """Return how many own pixels one of the grid has along a side, and where the grid begins.

    The place is in own pixels, or in the grid's where these are smaller; None if neither is a
    whole multiple of the other.
    """
    moved = ~own.transform @ grid.transform
    steps = moved.a
    if steps <= 0 or abs(moved.b) + abs(moved.d) > _EXACT or abs(moved.e - steps) > _EXACT * steps:
        return None, (0, 0)
    whole = steps if steps >= 1 else 1 / steps
    row, column = (moved.f, moved.c) if steps >= 1 else (moved.f / steps, moved.c / steps)
    near = 1e-3  # of a pixel: origins are written with few digits
    off = max(abs(row - round(row)), abs(column - round(column)))
    if abs(whole - round(whole)) > _EXACT * whole or off > near or whole > _MOST_FACTOR:
        return None, (0, 0)
    return steps, (round(row), round(column))


def _own_pixels_in(own: Grid, grid: Grid) -> int:
    """Return how many own pixels, rounded up, one of the grid has along a side; at least 1."""
    if own.crs != grid.crs:
        return 1
    moved = ~own.transform @ grid.transform
    longest = max(math.hypot(moved.a, moved.d), math.hypot(moved.b, moved.e))
    return min(_MOST_FACTOR, max(1, math.ceil(longest - _EXACT)))


def _refined(grid: Grid, k: int) -> Grid:
    scaled = grid.transform @ Affine.scale(1 / k)
    return Grid(grid.crs, scaled, grid.width * k, grid.height * k)


def _warped(dataset: DatasetReader, grid: Grid, nodata: float | None, nearest: bool) -> WarpedVRT:
    bare, own_nodata = plain(dataset)
    nodata = own_nodata if nodata is None else nodata
    return WarpedVRT(
        bare, src_crs=dataset.crs, crs=grid.crs, transform=grid.transform, width=grid.width,
        height=grid.height,
        src_nodata=nodata, nodata=nodata, add_alpha=nodata is None, warp_mem_limit=_WARP_MIB,
        resampling=Resampling.nearest if nearest else Resampling.bilinear,
    )  # fmt: skip


def _read(
    dataset: DatasetReader, window: Window, indexes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Read values and validity (bands, H, W); beyond the raster 0 and False."""
    top, left = max(window.row_off, 0), max(window.col_off, 0)
    bottom = min(window.row_off + window.height, dataset.height)
    right = min(window.col_off + window.width, dataset.width)
    shape = (len(indexes), window.height, window.width)
    values = np.zeros(shape, np.result_type(*(dataset.dtypes[i - 1] for i in indexes)))
    valid = np.zeros(shape, bool)
    if bottom > top and right > left:
        rows = slice(top - window.row_off, bottom - window.row_off)
        columns = slice(left - window.col_off, right - window.col_off)
        inside = Window(left, top, right - left, bottom - top)
        values[:, rows, columns], valid[:, rows, columns] = _read_inside(dataset, inside, indexes)
    return values, valid


def _read_inside(
    dataset: DatasetReader, window: Window, indexes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Read as `raster.read_valid` does, with the validity of each band."""
    values = dataset.read(list(indexes), window=window)
    valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    flags, nodata = dataset.mask_flag_enums, dataset.nodatavals
    for number, index in enumerate(indexes):
        if MaskFlags.nodata in flags[index - 1]:
            valid[number] &= values[number] != nodata[index - 1]
        is_masked = not flags[index - 1] or MaskFlags.per_dataset in flags[index - 1]
        if is_masked and MaskFlags.alpha not in flags[index - 1]:
            valid[number] &= dataset.read_masks(index, window=window) != 0
    for alpha in set(alpha_bands(dataset)) - set(indexes):
        valid &= dataset.read(alpha, window=window) != 0
    return values, valid
