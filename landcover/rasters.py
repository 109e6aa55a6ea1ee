"""Scenes, maps and label rasters: GeoTIFF read by windows, written as COG with a legend."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from landcover.drivers import RASTER, RASTER_ENV
from landcover.errors import InputError
from landcover.legend import NODATA, Legend
from landcover.operation import AnyPath
from landcover.sensors import wavelength_of
from landcover.writing import written_beside

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
            InputError: the raster has no CRS.
        """
        if dataset.crs is None:
            raise InputError(f"{Path(dataset.name).name} has no coordinate system, it needs one")
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    def windows(self, size: int = BLOCK) -> Iterator[Window]:
        """Cover the grid with windows of at most `size` pixels a side, row by row, each once."""
        for top in range(0, self.height, size):
            for left in range(0, self.width, size):
                width, height = min(size, self.width - left), min(size, self.height - top)
                yield Window(left, top, width, height)

    def transform_of(self, window: Window) -> Affine:
        """Return the affine transform of a window."""
        return self.transform @ Affine.translation(window.col_off, window.row_off)


@dataclass(frozen=True)
class Band:
    """One band of a scene: its name, and its centre wavelength in nm where known."""

    name: str
    wavelength: float | None


@contextmanager
def open_raster(path: AnyPath) -> Iterator[DatasetReader]:
    """Open a GeoTIFF or COG for reading, whatever the file is called.

    Raises:
        InputError: it is missing or no readable GeoTIFF, or becomes unreadable while read.
    """
    name = Path(path).name
    try:
        with (
            rasterio.Env(**RASTER_ENV),
            rasterio.open(path, driver=RASTER, sharing=False) as dataset,
        ):
            if dataset.count == 0:
                raise InputError(f"{name} holds no band")
            yield dataset
    except RasterioIOError as error:
        if not Path(path).exists():
            raise InputError(f"there is no file {name}") from error
        raise InputError(f"{name} cannot be read as GeoTIFF, it may be damaged") from error
    except RasterioError as error:
        raise InputError(f"{name} cannot be read: {error}") from error


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


def legend_of(dataset: DatasetReader) -> Legend | None:
    """Return the legend that a map carries in its tags, if any."""
    tag = dataset.tags().get(LEGEND_TAG)
    return Legend.from_tag(tag) if tag else None


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """Bring a raster of codes to another grid by nearest neighbour; itself if it is on it.

    Outside the raster the result is nodata: its own, or 0.
    """
    if Grid.of(dataset) == grid:
        yield dataset
        return
    nodata = 0 if dataset.nodata is None else dataset.nodata
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.nearest,
        nodata=nodata,
    ) as warped:
        yield warped


class CogWriter:
    """Collects blocks of one uint8 band, then becomes a COG."""

    def __init__(self, path: Path, grid: Grid) -> None:
        """Start a plain GeoTIFF at `path`."""
        self._plain = rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype="uint8",
            count=1,
            width=grid.width,
            height=grid.height,
            crs=grid.crs,
            transform=grid.transform,
            nodata=NODATA,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            compress="deflate",
            BIGTIFF="IF_SAFER",
        )

    def write(self, values: np.ndarray, window: Window) -> None:
        """Write a block (H, W)."""
        self._plain.write(values, 1, window=window)

    def finish(self, target: Path, resampling: str) -> None:
        """Write the COG with its overviews."""
        path = self._plain.name
        self._plain.close()
        rasterio.shutil.copy(
            path,
            target,
            driver="COG",
            COMPRESS="DEFLATE",
            OVERVIEW_RESAMPLING=resampling,
            BIGTIFF="IF_SAFER",
        )
        Path(path).unlink()

    def describe(self, name: str, legend: Legend | None, tags: Mapping[str, Any]) -> None:
        """Give the band its name and, to a map, its legend and colours."""
        self._plain.set_band_description(1, name)
        self._plain.update_tags(**tags)
        if legend is not None:
            self._plain.update_tags(**{LEGEND_TAG: legend.to_tag()})
            self._plain.write_colormap(1, legend.colormap())


@contextmanager
def writing_cog(
    target: Path,
    grid: Grid,
    name: str,
    legend: Legend | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Iterator[CogWriter]:
    """Write a uint8 COG with nodata 255, block by block, beside `target`.

    Args:
        target: where it appears, whole, when the block ends well.
        grid: where its pixels lie.
        name: description of the band.
        legend: classes of a map; a raster of quantities has none.
        tags: further dataset tags.
    """
    with rasterio.Env(**RASTER_ENV), written_beside(target) as beside:
        plain = beside.with_suffix(".blocks.tif")
        try:
            writer = CogWriter(plain, grid)
            writer.describe(name, legend, tags or {})
            yield writer
            writer.finish(beside, "mode" if legend else "average")
        finally:
            plain.unlink(missing_ok=True)
