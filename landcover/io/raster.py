"""Scenes, maps and label rasters: GeoTIFF read by windows; `geotiff.cog` writes them."""

import datetime
import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Interleaving, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.gdal_drivers import RASTER, RASTER_ENV
from landcover.io.legend import LEGEND_TAG, Legend
from landcover.io.sensors import measured_by, wavelength_in, wavelengths_of
from landcover.io.sidecars.category_names import names_beside
from landcover.io.sidecars.validity import masked, plain, with_validity_beside
from landcover.io.vector_formats.formats import need_geotiff

_NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
            "float64")  # fmt: skip
BLOCK = 512
_MASK_VALUES = (0, 1, 255, 65535)
"""What programs write for transparent and for opaque."""
_SOFT_EDGES = 0.01
"""Of a mask's pixels may lie between transparent and opaque, where a mosaic was resampled."""
_WINDOWS_OF_MASK = 256

# bounds by which a file of few bytes keeps a job within the memory that `operation.Needs` grants
MOST_BLOCK_MIB = 128
"""Of one decoded block; a reading thread holds two of them at a time."""
MOST_BANDS = 4096
"""GDAL itself takes minutes over many more."""
MOST_PIXELS = 1 << 38
"""A square of 5,000 km at 10 m; its windows are still listed in memory."""
_MOST_DIRECTORIES = 64
_MOST_VALUES = 1 << 26
"""Pixels times bands of one window."""


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
        if dataset.transform.is_identity and (dataset.gcps[0] or dataset.rpcs):
            raise InputError(
                f"{name} has control points and no geotransform, its pixels need places: "
                f"gdalwarp {name} placed.tif"
            )
        if dataset.crs is None:
            raise InputError(f"{name} has no coordinate system, it needs one: assign it in QGIS")
        area = dataset.transform.determinant
        if not (np.isfinite(dataset.transform).all() and np.isfinite(area) and area != 0):
            raise InputError(f"{name} has a geotransform by which pixels have no size")
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    def windows(self, height: int = BLOCK, width: int = BLOCK) -> Iterator[Window]:
        """Cover the grid with windows of at most this size, row by row, each once."""
        return parts_of(Window(0, 0, self.width, self.height), height, width)

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

    @property
    def date(self) -> datetime.date | None:
        """The date of a band of a date stack, which is named YYYY-MM-DD:NAME; else None."""
        stem, is_dated, _ = self.name.partition(":")
        try:
            return datetime.date.fromisoformat(stem) if is_dated and len(stem) == 10 else None
        except ValueError:
            return None


def parts_of(whole: Window, height: int = BLOCK, width: int = BLOCK) -> Iterator[Window]:
    """Cut a window into windows of at most this size, row by row."""
    for top in range(0, whole.height, height):
        for left in range(0, whole.width, width):
            yield Window(
                whole.col_off + left,
                whole.row_off + top,
                min(width, whole.width - left),
                min(height, whole.height - top),
            )


@contextmanager
def open_raster(path: AnyPath, cache_mib: int = 64) -> Iterator[DatasetReader]:
    """Open a GeoTIFF or COG for reading, whatever the file is called.

    Args:
        path: of the file.
        cache_mib: blocks that GDAL keeps, MiB; whoever reads each block once needs few.

    Raises:
        InputError: it is missing or no readable GeoTIFF, or becomes unreadable while read; or it
            is larger than MOST_PIXELS, MOST_BANDS or MOST_BLOCK_MIB.
    """
    name = Path(path).name
    need_geotiff(Path(path))  # GDAL would take a name for an address or an archive
    try:
        with (
            rasterio.Env(**RASTER_ENV | {"GDAL_CACHEMAX": cache_mib * 2**20}),
            _opened_whole(path) as dataset,
        ):
            need_readable(dataset, name)
            if any(MaskFlags.per_dataset in flags for flags in dataset.mask_flag_enums):
                _check_directories(path)
            with with_validity_beside(dataset) as completed:
                yield completed
    except RasterioIOError as error:
        raise InputError(f"{name} cannot be read as GeoTIFF, it may be damaged") from error
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name} cannot be read: {error}") from error


@contextmanager
def open_scene(
    path: AnyPath, mask: AnyPath | None, cache_mib: int = 64
) -> Iterator[DatasetReader]:
    """Open a GeoTIFF whose pixels are also invalid where a mask is 0 or nodata.

    Args:
        path: of the scene.
        mask: raster of one band on any grid, as GDAL writes masks: 0 is invalid, all else valid;
            pixels beyond it are invalid.
        cache_mib: blocks that GDAL keeps, MiB.

    Raises:
        InputError: either is no readable GeoTIFF, or the mask has several bands.
    """
    with open_raster(path, cache_mib) as dataset:
        if mask is None:
            yield dataset
            return
        with open_raster(mask, cache_mib) as opened:
            if opened.count != 1:
                raise InputError(f"{Path(mask).name} has {opened.count} bands, a mask needs one")
            with on_grid(opened, Grid.of(dataset)) as moved:
                yield masked(dataset, moved)


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


def need_readable(dataset: DatasetReader, name: str) -> None:
    """Refuse a raster that memory could not hold, or whose pixels are no numbers.

    Args:
        dataset: an open raster of any format.
        name: by which people know it.

    Raises:
        InputError: it is larger than MOST_PIXELS, MOST_BANDS or MOST_BLOCK_MIB, or complex.
    """
    _check_size(dataset, name)
    strange = {str(dtype) for dtype in dataset.dtypes} - set(_NUMBERS)
    if strange:
        raise InputError(f"{name} holds {strange.pop()}, needs {', '.join(_NUMBERS)}")
    _check_blocks(dataset, name)


def _check_size(dataset: DatasetReader, name: str) -> None:
    if not 0 < dataset.count <= MOST_BANDS:
        raise InputError(f"{name} holds {dataset.count or 'no'} bands, needs 1 to {MOST_BANDS}")
    if dataset.width * dataset.height > MOST_PIXELS:
        raise InputError(
            f"{name} has {dataset.width} x {dataset.height} pixels, more than the {MOST_PIXELS} "
            "that can be read: cut it into parts"
        )


def _check_blocks(dataset: DatasetReader, name: str) -> None:
    """Refuse a raster of which a single block, the unit that GDAL decodes, would fill memory."""
    rows, columns = dataset.block_shapes[0]
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    mib = rows * columns * together * np.dtype(dataset.dtypes[0]).itemsize / 2**20
    if mib > MOST_BLOCK_MIB:
        raise InputError(
            f"{name} is stored in blocks of {columns} x {rows} pixels, "
            f"{mib:.0f} MiB each, and needs ones of at most {MOST_BLOCK_MIB} MiB: write it anew "
            "with gdal_translate -co TILED=YES -co INTERLEAVE=BAND"
        )


def _check_directories(path: AnyPath) -> None:
    """Check the blocks of a mask, which lies in one of the further directories of a TIFF."""
    for number in range(1, _MOST_DIRECTORIES + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                directory = rasterio.open(f"GTIFF_DIR:{number}:{path}", driver=RASTER)
        except RasterioIOError:
            return
        with directory:
            _check_blocks(directory, Path(path).name)
    raise InputError(f"{Path(path).name} has more than {_MOST_DIRECTORIES} masks and overviews")


def bands_of(dataset: DatasetReader) -> tuple[Band, ...]:
    """Return all bands of a raster, each of another name.

    Without descriptions they are called b1, b2 ...; those of a name that stands several times are
    numbered in file order, as in B02_1 and B02_2.
    """
    told = [(description or "").strip() for description in dataset.descriptions]
    names = unique_names([name or f"b{i}" for i, name in enumerate(told, 1)])
    known = wavelengths_of(told, measured_by(dataset).sensor)
    return tuple(
        Band(name, _wavelength_declared(dataset, i) or known[i - 1])
        for i, name in enumerate(names, 1)
    )


def _wavelength_declared(dataset: DatasetReader, index: int) -> float | None:
    return wavelength_in(dataset.tags(index) | dataset.tags(index, ns="IMAGERY"))


def unique_names(names: Sequence[str]) -> list[str]:
    """Number the names that stand several times, in their order.

    >>> unique_names(["B02", "B03", "B02"])
    ['B02_1', 'B03', 'B02_2']
    """
    often = Counter(names)
    taken = {name for name, n in often.items() if n == 1}
    unique = []
    for name in names:
        given = name
        if often[name] > 1:
            given = next(n for i in count(1) if (n := f"{name}_{i}") not in taken)
        taken.add(given)
        unique.append(given)
    return unique


def mask_bands(dataset: DatasetReader) -> tuple[int, ...]:
    """Return the bands, from 1, that only say which pixels are valid.

    They are tagged alpha and hold nothing but transparent and opaque. Of a large raster some
    million pixels from all over it decide. Many programs tag the fourth of four bands alpha
    whatever it holds, such as near infrared.
    """
    masks = tuple(index for index in alpha_bands(dataset) if _only_masks(dataset, index))
    return masks if len(masks) < dataset.count else ()


def alpha_bands(dataset: DatasetReader) -> tuple[int, ...]:
    """Return the bands, from 1, that are tagged alpha."""
    colors = enumerate(dataset.colorinterp, 1)
    return tuple(index for index, color in colors if color == ColorInterp.alpha)


def _only_masks(dataset: DatasetReader, index: int) -> bool:
    """Return whether a band holds transparent and opaque alone, some soft edges apart."""
    whole = Window(0, 0, dataset.width, dataset.height)
    windows = list(parts_of(whole, *_window_shape(dataset)))
    opaque = between = 0
    for window in windows[:: math.ceil(len(windows) / _WINDOWS_OF_MASK)]:
        values = dataset.read(index, window=window)
        opaque += int(np.count_nonzero(values))
        between += int(np.count_nonzero(~np.isin(values, _MASK_VALUES)))
        if between > _SOFT_EDGES * dataset.width * dataset.height:
            return False
    return bool(between <= _SOFT_EDGES * opaque)


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
        the bands is its nodata, NaN, infinite or masked, or where a band tagged alpha, which is
        not read itself, is 0.
    """
    indexes = list(indexes or dataset.indexes)
    values = dataset.read(indexes, window=window)
    valid = np.ones(values.shape[1:], bool)
    if np.issubdtype(values.dtype, np.floating):
        valid &= np.isfinite(values).all(axis=0)
    all_flags, all_nodata = dataset.mask_flag_enums, dataset.nodatavals
    for band, index in zip(values, indexes, strict=True):
        flags = all_flags[index - 1]
        if MaskFlags.nodata in flags:
            valid &= band != _as_stored(all_nodata[index - 1], band.dtype)
        is_masked = not flags or MaskFlags.per_dataset in flags
        if is_masked and MaskFlags.alpha not in flags:
            valid &= dataset.read_masks(index, window=window) != 0
    for alpha in set(alpha_bands(dataset)) - set(indexes):
        valid &= dataset.read(alpha, window=window) != 0
    return values, valid


def read_grown(
    dataset: DatasetReader, window: Window, indexes: Sequence[int], halo: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read a window with `halo` pixels around it, as `read_valid` does.

    Returns:
        Values (bands, H + 2 halo, W + 2 halo) and validity; beyond the raster 0 and False.
    """
    if not halo:
        return read_valid(dataset, window, indexes)
    top, left = window.row_off - halo, window.col_off - halo
    bottom, right = window.row_off + window.height + halo, window.col_off + window.width + halo
    first, start = max(top, 0), max(left, 0)
    last, end = min(bottom, dataset.height), min(right, dataset.width)
    values, valid = read_valid(dataset, Window(start, first, end - start, last - first), indexes)
    around = ((first - top, bottom - last), (start - left, right - end))
    if around == ((0, 0), (0, 0)):
        return values, valid
    return np.pad(values, ((0, 0), *around)), np.pad(valid, around)


def _as_stored(nodata: float, dtype: np.dtype) -> float | np.floating:
    """Return nodata as a pixel holds it; one that no integer pixel can hold matches none."""
    return dtype.type(nodata) if np.issubdtype(dtype, np.floating) else nodata


def windows_of(dataset: DatasetReader, side: int = BLOCK) -> Iterator[Window]:
    """Cover a raster with windows of whole blocks, row by row, each block in one window.

    Tiles are put together to about `side` x `side` pixels, strips to as many pixels. Blocks of
    more than four times as many, or of very many bands, are cut: GDAL decodes them repeatedly.
    """
    return Grid.of(dataset).windows(*_window_shape(dataset, side))


def windows_with_halo(dataset: DatasetReader, halo: int, step: int) -> Iterator[Window]:
    """Cover a raster with windows that are to be read with a halo, row by row.

    Those of `windows_of`, but twice as high, so that fewer blocks are decoded again for what lies
    above and below, and high enough that a halo is no more than half of what is read; beginning at
    rows and columns that are multiples of `step`.
    """
    height, width = _window_shape(dataset)
    height = min(max(2 * height, 4 * halo), dataset.height)
    most = min(4 * BLOCK * BLOCK, max(1, _MOST_VALUES // dataset.count))
    width = min(width, max(1, most // height))
    return Grid.of(dataset).windows(*(max(1, side // step) * step for side in (height, width)))


def _window_shape(dataset: DatasetReader, side: int = BLOCK) -> tuple[int, int]:
    rows, columns = dataset.block_shapes[0]
    width = min(math.ceil(side / columns) * columns, dataset.width)
    height = min(max(1, side * side // (width * rows)) * rows, dataset.height)
    most = min(4 * side * side, max(1, _MOST_VALUES // dataset.count))
    if height * width <= most:
        return height, width
    width = min(width, math.isqrt(most))
    return min(most // width, height), width


@dataclass(frozen=True)
class _Block:
    """Pixels of a scene in memory: values (bands, H, W), validity (H, W), and where they begin."""

    top: int
    left: int
    values: np.ndarray
    valid: np.ndarray

    @property
    def bottom(self) -> int:
        return self.top + len(self.valid)

    @property
    def right(self) -> int:
        return self.left + int(self.valid.shape[1])

    def below(self, row: int) -> "_Block":
        """Return the part from a row of the scene on, without the memory of the rest."""
        if row <= self.top:
            return self
        first = row - self.top
        return _Block(row, self.left, self.values[:, first:].copy(), self.valid[first:].copy())


class BlockReader:
    """Reads windows that reach over the edges of blocks and of the scene; decodes each block once.

    What later windows can reach stays in memory: of the blocks above, their last rows; of the
    blocks below that were read ahead, the whole.
    """

    def __init__(
        self,
        dataset: DatasetReader,
        reach: int,
        indexes: Sequence[int] | None = None,
        wanted: Callable[[Window], bool] = lambda window: True,
    ) -> None:
        """Read a raster.

        Args:
            dataset: an open raster.
            reach: pixels above and left of the current window that may be asked for; any number
                may be below and right.
            indexes: bands to read, from 1; all by default.
            wanted: which windows to go through; all by default.
        """
        self._indexes = list(indexes or dataset.indexes)
        self._dataset = dataset
        self._wanted = wanted
        self._height, self._width = _window_shape(dataset)
        self._reach = reach
        self._held: dict[tuple[int, int], _Block] = {}
        self.count = len(self._indexes)
        self.dtype = np.dtype(dataset.dtypes[0])

    def windows(self) -> Iterator[tuple[float, Window]]:
        """Yield the windows of the raster, row by row, each with the fraction that went before."""
        windows = list(filter(self._wanted, windows_of(self._dataset)))
        for done, window in enumerate(windows):
            yield done / len(windows), window
            self._forget(window)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return values (bands, H, W) and validity (H, W) of a window, as `read_valid` does.

        Pixels beyond the edges of the raster are 0 and invalid.
        """
        top, left = window.row_off, window.col_off
        bottom, right = top + window.height, left + window.width
        values = np.zeros((self.count, window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        inside = (min(bottom, self._dataset.height), min(right, self._dataset.width))
        for row in range(max(top, 0) // self._height, math.ceil(inside[0] / self._height)):
            for column in range(max(left, 0) // self._width, math.ceil(inside[1] / self._width)):
                block = self._block(row, column, top)
                rows, of_block = _overlap(top, bottom, block.top, block.bottom)
                columns, across = _overlap(left, right, block.left, block.right)
                values[:, rows, columns] = block.values[:, of_block, across]
                valid[rows, columns] = block.valid[of_block, across]
        return values, valid

    def _block(self, row: int, column: int, first: int) -> _Block:
        """Return a block, at least from row `first` of the scene on."""
        top, left = row * self._height, column * self._width
        held = self._held.get((row, column))
        if held is None or held.top > max(top, first):
            window = Window(left, top, min(self._width, self._dataset.width - left),
                            min(self._height, self._dataset.height - top))  # fmt: skip
            held = _Block(top, left, *read_valid(self._dataset, window, self._indexes))
            self._held[row, column] = held
        return held

    def _forget(self, window: Window) -> None:
        """Drop the blocks, and the rows of blocks, that no window after this one reaches."""
        this_row, next_row = window.row_off, window.row_off + window.height
        next_column = window.col_off + window.width
        kept = {}
        for at, block in self._held.items():
            in_this_row = block.right > next_column - self._reach
            first = (this_row if in_this_row else next_row) - self._reach
            if block.bottom > first:
                kept[at] = block.below(first)
        self._held = kept


def _overlap(first: int, last: int, start: int, stop: int) -> tuple[slice, slice]:
    """Return where two ranges of pixels overlap, counted from the start of either."""
    low, high = max(first, start), min(last, stop)
    return slice(low - first, high - first), slice(low - start, high - start)


def legend_of(dataset: DatasetReader) -> Legend | None:
    """Return the legend that a map brings: in its tags, else as GDAL's names of categories."""
    tag = dataset.tags().get(LEGEND_TAG)
    return names_beside(Path(dataset.name)) if tag is None else Legend.from_tag(tag)


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """Resample a raster of codes to another grid by nearest neighbour; itself if it is on it.

    Outside the raster the result is nodata: its own, or 0.
    """
    own = Grid.of(dataset)
    if own == grid:
        yield dataset
        return
    dataset, nodata = plain(dataset)
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
                    src_nodata=nodata,
                    nodata=0 if nodata is None else nodata,
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
