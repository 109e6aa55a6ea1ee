"""Which pixels are invalid by what lies beside a raster: NAME.msk, and nodata in NAME.aux.xml.

GDAL reads neither here (`drivers.RASTER_ENV`), as files beside a raster can move it or name
others. This takes a mask that is itself a GeoTIFF of the same size, and nodata values; a raster
that has its place beside it is refused.

Sources: gdal.org/drivers/raster/gtiff.html (.msk), and "Raster Data Model" (.aux.xml).
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast
from xml.etree.ElementTree import Element

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.gdal_drivers import RASTER, WORLD_FILES
from landcover.io.sidecars.aux_xml import MAX_BYTES, root_of
from landcover.io.vector_formats.formats import need_geotiff


@contextmanager
def with_validity_beside(dataset: DatasetReader) -> Iterator[DatasetReader]:
    """Yield a raster whose nodata and masks are also those that lie beside it.

    Raises:
        InputError: the mask is none of this raster, or its place lies beside it.
    """
    path = Path(dataset.name)
    aux = _beside(path, ".aux.xml")
    nodata = {} if aux is None else _nodata_in(aux)
    nodata = {i: v for i, v in nodata.items() if i <= dataset.count and _undeclared(dataset, i)}
    mask = _beside(path, ".msk")
    _need_own_place(dataset, path)
    if not nodata and mask is None:
        yield dataset
        return
    with ExitStack() as stack:
        opened = None if mask is None else stack.enter_context(_opened(mask, dataset))
        yield cast(DatasetReader, _Completed(dataset, nodata, opened))


def masked(dataset: DatasetReader, mask: DatasetReader) -> DatasetReader:
    """Return a raster that is also invalid where a mask on its grid is 0 or nodata."""
    return cast(DatasetReader, _Completed(dataset, {}, mask))


def without_values(dataset: DatasetReader, values: dict[int, tuple[float, ...]]) -> DatasetReader:
    """Return a raster that is also invalid where a band, from 1, holds one of its values."""
    each = set(values.values())
    declared = any(MaskFlags.nodata in dataset.mask_flag_enums[index - 1] for index in values)
    if len(each) == 1 and len(alone := each.pop()) == 1 and not declared:
        return cast(DatasetReader, _Completed(dataset, dict.fromkeys(values, alone[0]), None))
    return cast(DatasetReader, _Completed(dataset, {}, None, values))


def files_of_validity(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield ending and path of the files beside a raster by which its pixels are valid."""
    mask, aux = _beside(path, ".msk"), _beside(path, ".aux.xml")
    if mask is not None:
        yield ".msk", mask
    if aux is not None and _nodata_in(aux):
        yield ".aux.xml", aux


def plain(dataset: DatasetReader) -> tuple[DatasetReader, float | None]:
    """Return the raster itself, as GDAL knows it, and its nodata, for GDAL to be told.

    Raises:
        InputError: it has a mask beside it, which GDAL cannot be told.
    """
    if not isinstance(dataset, _Completed):
        return dataset, dataset.nodata
    if dataset.mask is not None:
        name = Path(dataset.name).name
        raise InputError(
            f"{name} lies on another grid and has its mask beside it, in {name}.msk: write its "
            "invalid pixels as nodata"
        )
    return dataset.inner, dataset.nodata


class _Completed:
    """A raster with nodata values (by band, from 1) and a mask that it does not hold itself.

    `hidden` are further values of bands that are invalid.
    """

    def __init__(
        self,
        inner: DatasetReader,
        nodata: dict[int, float],
        mask: DatasetReader | None,
        hidden: Mapping[int, tuple[float, ...]] = MappingProxyType({}),
    ) -> None:
        self.inner, self.mask, self.hidden = inner, mask, hidden
        self.nodatavals = tuple(
            nodata.get(index, own) for index, own in enumerate(inner.nodatavals, 1)
        )
        told = {value for value in self.nodatavals if value is not None}
        self.nodata = told.pop() if len(told) == 1 else None
        self.mask_flag_enums = tuple(self._flags(i, nodata) for i in inner.indexes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _flags(self, index: int, nodata: dict[int, float]) -> list[MaskFlags]:
        own = self.inner.mask_flag_enums[index - 1]
        added = [MaskFlags.nodata] if index in nodata else []
        is_masked = self.mask is not None or index in self.hidden
        added += [MaskFlags.per_dataset] if is_masked else []
        return [*(flag for flag in own if flag != MaskFlags.all_valid), *added] or own

    def read_masks(self, index: int, window: Window) -> np.ndarray:
        """Return 0 where a band is masked, by its own masks or that beside it."""
        masks = self.inner.read_masks(index, window=window)
        if index in self.hidden:
            values = self.inner.read(index, window=window)
            fills = np.array(self.hidden[index], values.dtype)
            masks = np.where(np.isin(values, fills), np.uint8(0), masks)
        if self.mask is None:
            return np.asarray(masks)
        beside = self.mask.read(min(index, self.mask.count), window=window)
        hidden = (beside == 0) | np.isnan(beside)
        if self.mask.nodata is not None:
            hidden |= beside == self.mask.nodata
        return np.where(hidden, np.uint8(0), masks)


def _beside(raster: Path, ending: str) -> Path | None:
    path = raster.with_name(f"{raster.name}{ending}") if raster.name else raster
    return path if raster.name and path.is_file() else None


def _undeclared(dataset: DatasetReader, index: int) -> bool:
    return MaskFlags.all_valid in dataset.mask_flag_enums[index - 1]


def _nodata_in(aux: Path) -> dict[int, float]:
    """Return the nodata values that an .aux.xml declares, by band, from 1."""
    if aux.stat().st_size > MAX_BYTES or b"<NoDataValue" not in read_plain_file(aux, MAX_BYTES):
        return {}
    root = root_of(aux)
    if root is None:
        raise InputError(f"{aux.name} seems to declare nodata and is no XML that can be read")
    return {
        int(band.get("band", "0")): _number(value, aux)
        for band in root.findall("./PAMRasterBand")
        if (value := band.find("./NoDataValue")) is not None
    }


def _number(value: Element, aux: Path) -> float:
    try:
        return float(value.text or "")
    except ValueError as error:
        raise InputError(f"{aux.name} declares {value.text} as nodata, needs a number") from error


@contextmanager
def _opened(mask: Path, dataset: DatasetReader) -> Iterator[DatasetReader]:
    need_geotiff(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it lies where its raster does
        opened = rasterio.open(mask, driver=RASTER, sharing=False)
    with opened:
        if opened.shape != dataset.shape or set(opened.dtypes) != {"uint8"}:
            raise InputError(
                f"{mask.name} is no mask of {Path(dataset.name).name}: it has "
                f"{opened.height} x {opened.width} pixels of {opened.dtypes[0]}, needs "
                f"{dataset.height} x {dataset.width} of uint8"
            )
        yield opened


def _need_own_place(dataset: DatasetReader, path: Path) -> None:
    """Refuse a raster whose place is told by other files than itself."""
    if not dataset.transform.is_identity or not path.name:
        return
    for beside in (
        *(path.with_suffix(ending) for ending in WORLD_FILES),
        _beside(path, ".aux.xml"),
    ):
        if beside is not None and beside.is_file() and _has_place(beside):
            raise InputError(
                f"{path.name} has its place in {beside.name}, which is not read: "
                f"gdal_translate {path.name} placed.tif writes it into the file, with -a_srs "
                "EPSG:... if it names no coordinate system"
            )


def _has_place(beside: Path) -> bool:
    if beside.suffix != ".xml":
        return True
    small = beside.stat().st_size <= MAX_BYTES
    return small and b"<GeoTransform" in read_plain_file(beside, MAX_BYTES)
