"""How the pixels of a scene are stored, by what its bands are stored as."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from rasterio.enums import Interleaving, MaskFlags
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import MOST_BANDS, Grid
from landcover.io.upright import upright
from landcover.progress import remark
from landcover.scenes.formats.opening import Raster
from landcover.scenes.placing import Placed
from landcover.scenes.products.product import SourceBand

_WIDER = {"uint8": "int16", "int8": "int16", "uint16": "int32", "int16": "int32"}


@dataclass(frozen=True)
class Look:
    """What is known of a band before it is read.

    Attributes:
        band: the band.
        raster: the file it lies in.
        grid: of the file, its first row in the north.
        dtype: of its values.
        nodata: by the product or the file, if its values can be it.
        has_mask: whether its file has a mask besides.
        blocks: rows and columns of a block.
        together: how many bands one block holds.
        dataset: open, to compare grids by.
    """

    band: SourceBand
    raster: Raster
    grid: Grid
    dtype: np.dtype
    nodata: float | None
    has_mask: bool
    blocks: tuple[int, int]
    together: int
    dataset: DatasetReader

    def is_warped_to(self, grid: Grid) -> bool:
        """Return whether its values are interpolated on a grid."""
        placed = Placed(self.dataset, grid, self.nodata)
        placed.close()
        return not placed.is_exact

    def covers(self, grid: Grid) -> bool:
        """Return whether it has a value for every pixel of a grid."""
        placed = Placed(self.dataset, grid, self.nodata)
        placed.close()
        return placed.is_exact and placed.covers(grid)

    def is_coarser_than(self, grid: Grid) -> bool:
        """Return whether its pixels are larger than those of a grid in its system."""
        own, other = (abs(each.transform.determinant) for each in (self.grid, grid))
        return self.grid.crs == grid.crs and own > 1.5 * other


def look_at(
    bands: Sequence[SourceBand], rasters: Sequence[Raster], opened: ExitStack
) -> list[Look]:
    """Open the files of bands, each once, and find out how they are stored.

    Args:
        bands: of the product.
        rasters: their files.
        opened: closes the files.

    Raises:
        InputError: a file is damaged or has no grid, or there are too many bands.
    """
    if len(bands) > MOST_BANDS:
        raise InputError(f"{len(bands)} bands are more than {MOST_BANDS}: choose some", "bands")
    datasets = {raster: opened.enter_context(raster.open(8)) for raster in dict.fromkeys(rasters)}
    return [
        _look(band, raster, datasets[raster]) for band, raster in zip(bands, rasters, strict=True)
    ]


def _look(band: SourceBand, raster: Raster, dataset: DatasetReader) -> Look:
    dtype = np.dtype(dataset.dtypes[band.index - 1])
    flags = dataset.mask_flag_enums[band.index - 1]
    nodata = dataset.nodatavals[band.index - 1] if band.nodata is None else band.nodata
    is_pixel = dataset.interleaving == Interleaving.pixel
    return Look(
        band=band, raster=raster, grid=Grid.of(upright(dataset)), dtype=dtype,
        nodata=nodata if nodata is not None and _can_hold(dtype, nodata) else None,
        has_mask=not flags or MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
        blocks=dataset.block_shapes[band.index - 1],
        together=dataset.count if is_pixel else 1, dataset=dataset,
    )  # fmt: skip


def stored_as(looks: list[Look], *, can_hide: bool, grid: Grid) -> Pixels:
    """Return type and nodata of a scene; a wider type where no value is free for nodata.

    Args:
        looks: its bands.
        can_hide: whether pixels become invalid that are not so in the files.
        grid: of the scene.
    """
    dtype = np.result_type(*(look.dtype for look in looks))
    if dtype.kind == "f":
        return Pixels.of_scene(dtype, np.nan)
    told = {look.nodata for look in looks}
    if len(told) == 1 and (nodata := told.pop()) is not None:
        return Pixels.of_scene(dtype, nodata)
    can_lack = can_hide or any(
        look.nodata is not None or look.has_mask or not look.covers(grid) for look in looks
    )
    if not can_lack:
        return Pixels.of_scene(dtype, None)
    wider = np.dtype(_WIDER.get(dtype.name, "float64"))
    free = np.nan if wider.kind == "f" else int(np.iinfo(wider).min)
    remark(
        f"the bands declare no common nodata, and every value of {dtype.name} may be measured: "
        f"the scene is stored as {wider.name} with nodata {free}"
    )
    return Pixels.of_scene(wider, free)


def _can_hold(dtype: np.dtype, nodata: float) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return bool(float(nodata).is_integer() and limits.min <= nodata <= limits.max)
