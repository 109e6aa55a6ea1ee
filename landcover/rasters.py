"""Scenes, maps and label rasters: GeoTIFF read by windows; `landcover.cog` writes them."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from landcover.drivers import RASTER, RASTER_ENV
from landcover.errors import InputError
from landcover.legend import Legend
from landcover.operation import AnyPath
from landcover.sensors import wavelength_of

_NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
            "float64")  # fmt: skip
LEGEND_TAG = "LANDCOVER_LEGEND"
BLOCK = 512


@dataclass(frozen=True)
class Grid:
    """Where pixels lie: CRS, affine transform, width and height in pixels."""

    crs: CRS
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, dataset: DatasetReader) -> "Grid":
        """Return the grid of an open raster.

        Raises:
            InputError: the raster has no CRS, or its pixels have no size.
        """
        name = Path(dataset.name).name
        if dataset.crs is None:
            raise InputError(f"{name} has no coordinate system, it needs one: assign it in QGIS")
        area = dataset.transform.determinant
        if not (np.isfinite(dataset.transform).all() and np.isfinite(area) and area != 0):
            raise InputError(f"{name} has a geotransform by which pixels have no size")
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    def windows(self, height: int = BLOCK, width: int = BLOCK) -> Iterator[Window]:
        """Cover the grid with windows of at most this size, row by row, each once."""
        for top in range(0, self.height, height):
            for left in range(0, self.width, width):
                yield Window(
                    left, top, min(width, self.width - left), min(height, self.height - top)
                )

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def transform_of(self, window: Window) -> Affine:
        """Return the affine transform of a window."""
        return self.transform @ Affine.translation(window.col_off, window.row_off)


@dataclass(frozen=True)
class Band:
    """One band of a scene: its name, and its centre wavelength in nm where known."""

    name: str
    wavelength: float | None


@contextmanager
def open_raster(path: AnyPath, cache_mib: int = 64) -> Iterator[DatasetReader]:
    """Open a GeoTIFF or COG for reading, whatever the file is called.

    Args:
        path: of the file.
        cache_mib: blocks that GDAL keeps, MiB; whoever reads each block once needs few.

    Raises:
        InputError: it is missing or no readable GeoTIFF, or becomes unreadable while read.
    """
    name = Path(path).name
    if not Path(path).is_file():  # GDAL would take a name for an address or an archive
        raise InputError(f"there is no file {name}")
    try:
        with (
            rasterio.Env(**RASTER_ENV | {"GDAL_CACHEMAX": cache_mib * 2**20}),
            _opened_whole(path) as dataset,
        ):
            if dataset.count == 0:
                raise InputError(f"{name} holds no band")
            strange = {str(dtype) for dtype in dataset.dtypes} - set(_NUMBERS)
            if strange:
                raise InputError(f"{name} holds {strange.pop()}, needs {', '.join(_NUMBERS)}")
            yield dataset
    except RasterioIOError as error:
        raise InputError(f"{name} cannot be read as GeoTIFF, it may be damaged") from error
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name} cannot be read: {error}") from error


def _opened_whole(path: AnyPath) -> DatasetReader:
    """Open a GeoTIFF; one that lost a tag is refused, which libtiff only mentions in passing.

    Without its nodata or its legend a file would be read, and mean something else.
    """
    heard: list[str] = []
    ear = logging.Handler()
    ear.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("rasterio._env")
    log.addHandler(ear)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver=RASTER, sharing=False)
    finally:
        log.removeHandler(ear)
    if any("tag ignored" in message for message in heard):
        dataset.close()
        raise InputError(f"{Path(path).name} has lost a part of its header, it may be damaged")
    return dataset


def bands_of(dataset: DatasetReader) -> tuple[Band, ...]:
    """Return the bands of a raster; without descriptions they are called b1, b2 ..."""
    names = [name or f"b{i}" for i, name in enumerate(dataset.descriptions, 1)]
    return tuple(Band(name, wavelength_of(name)) for name in names)


def read_valid(
    dataset: DatasetReader, window: Window, indexes: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a window and tell which of its pixels are valid.

    Args:
        dataset: an open raster.
        window: part of it.
        indexes: bands to read, from 1; all by default.

    Returns:
        Values (bands, H, W) in the raster's dtype; and a bool array (H, W), False where any of
        the bands is its nodata, NaN, infinite or masked.
    """
    indexes = list(indexes or dataset.indexes)
    values = dataset.read(indexes, window=window)
    valid = np.ones(values.shape[1:], bool)
    if np.issubdtype(values.dtype, np.floating):
        valid &= np.isfinite(values).all(axis=0)
    for band, index in zip(values, indexes, strict=True):
        flags = dataset.mask_flag_enums[index - 1]
        if MaskFlags.nodata in flags:
            valid &= band != _as_stored(dataset.nodatavals[index - 1], band.dtype)
        elif MaskFlags.all_valid not in flags:
            valid &= dataset.read_masks(index, window=window) != 0
    return values, valid


def _as_stored(nodata: float, dtype: np.dtype) -> float | np.floating:
    """Return nodata as a pixel holds it; one that no integer pixel can hold matches none."""
    return dtype.type(nodata) if np.issubdtype(dtype, np.floating) else nodata


def windows_of(dataset: DatasetReader, side: int = BLOCK) -> Iterator[Window]:
    """Cover a raster with windows of whole blocks, row by row, each block in one window.

    Tiles are put together to about `side` x `side` pixels, strips to as many pixels.
    """
    return Grid.of(dataset).windows(*_window_shape(dataset, side))


def _window_shape(dataset: DatasetReader, side: int = BLOCK) -> tuple[int, int]:
    rows, columns = dataset.block_shapes[0]
    width = min(math.ceil(side / columns) * columns, dataset.width)
    height = max(1, side * side // (width * rows)) * rows
    return min(height, dataset.height), width


class BlockReader:
    """Reads windows that reach over the edges of blocks, yet decodes each block once.

    Blocks stay in memory as long as a later window can reach into them.
    """

    def __init__(self, dataset: DatasetReader, reach: int) -> None:
        """Read a raster; `reach` pixels beyond the current window may be asked for."""
        self._dataset = dataset
        self._height, self._width = _window_shape(dataset)
        self._rows, self._columns = (math.ceil(reach / s) for s in (self._height, self._width))
        self._held: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self.count: int = dataset.count
        self.dtype = np.dtype(dataset.dtypes[0])

    def windows(self) -> Iterator[tuple[float, Window]]:
        """Yield the windows of the raster, row by row, each with the fraction that went before."""
        windows = list(windows_of(self._dataset))
        for done, window in enumerate(windows):
            yield done / len(windows), window
            self._forget(window.row_off // self._height, window.col_off // self._width)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return values (bands, H, W) and validity (H, W) of a window, as `read_valid` does."""
        top, left = window.row_off, window.col_off
        values = np.empty((self.count, window.height, window.width), self.dtype)
        valid = np.empty((window.height, window.width), bool)
        for row in range(top // self._height, (top + window.height - 1) // self._height + 1):
            for column in range(left // self._width, (left + window.width - 1) // self._width + 1):
                source, target = self._overlap(row, column, window)
                block, block_valid = self._block(row, column)
                values[:, *target], valid[target] = block[:, *source], block_valid[source]
        return values, valid

    def _block(self, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        if (row, column) not in self._held:
            top, left = row * self._height, column * self._width
            window = Window(left, top, min(self._width, self._dataset.width - left),
                            min(self._height, self._dataset.height - top))  # fmt: skip
            self._held[row, column] = read_valid(self._dataset, window)
        return self._held[row, column]

    def _overlap(
        self, row: int, column: int, window: Window
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where block and window overlap, within the block and within the window."""
        sides = ((row * self._height, self._height, window.row_off, window.height),
                 (column * self._width, self._width, window.col_off, window.width))  # fmt: skip
        source, target = [], []
        for block, block_side, start, side in sides:
            first, last = max(block, start), min(block + block_side, start + side)
            source.append(slice(first - block, last - block))
            target.append(slice(first - start, last - start))
        return (source[0], source[1]), (target[0], target[1])

    def _forget(self, row: int, column: int) -> None:
        """Drop the blocks that no window after this one reaches."""
        self._held = {
            (r, c): block
            for (r, c), block in self._held.items()
            if r > row - self._rows or (r == row - self._rows and c > column - self._columns)
        }


def legend_of(dataset: DatasetReader) -> Legend | None:
    """Return the legend that a map carries in its tags, if any."""
    tag = dataset.tags().get(LEGEND_TAG)
    return None if tag is None else Legend.from_tag(tag)


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """Bring a raster of codes to another grid by nearest neighbour; itself if it is on it.

    Outside the raster the result is nodata: its own, or 0.
    """
    own = Grid.of(dataset)
    if own == grid:
        yield dataset
        return
    with ExitStack() as opened:
        views = [
            opened.enter_context(
                WarpedVRT(
                    dataset,
                    src_transform=Affine.translation(shift, 0) @ own.transform,
                    crs=grid.crs,
                    transform=grid.transform,
                    width=grid.width,
                    height=grid.height,
                    resampling=Resampling.nearest,
                    tolerance=1e-6,  # of a pixel; GDAL's 0.125 takes some neighbours for nearest
                    nodata=0 if dataset.nodata is None else dataset.nodata,
                )
            )
            for shift in _turns(own, grid)
        ]
        yield _Overlaid(views) if len(views) > 1 else views[0]


def _turns(own: Grid, other: Grid) -> tuple[int, ...]:
    """Return by how many degrees a raster is moved: beyond the antimeridian it has two names."""
    crosses = any(
        abs(x) > 180
        for grid in (own, other)
        if grid.crs.is_geographic
        for x in (grid.transform.c, (grid.transform @ (grid.width, grid.height))[0])
    )
    return (0, -360, 360) if own.crs.is_geographic and crosses else (0,)


class _Overlaid:
    """Views of one raster of codes, read as one: the first that holds something counts."""

    def __init__(self, views: Sequence[WarpedVRT]) -> None:
        self._views = views

    def __getattr__(self, name: str) -> Any:
        return getattr(self._views[0], name)

    def read(self, index: int, window: Window) -> np.ndarray:
        values = self._views[0].read(index, window=window)
        for view in self._views[1:]:
            values = np.where(values == view.nodata, view.read(index, window=window), values)
        return np.asarray(values)
