"""What rasters hold at one place: bands with their wavelengths, a class, a confidence."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyproj
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.io.legend import unnamed
from landcover.io.raster import bands_of, legend_of, open_raster
from landcover.storage import readable_at_home
from sample_map.data.tiles import DEGREES, has_place


@dataclass(frozen=True)
class BandValue:
    """The value of a band; its centre wavelength in nm where known; None is nodata."""

    name: str
    wavelength: float | None
    value: float | None


@dataclass(frozen=True)
class Reading:
    """What a raster holds at a place.

    Attributes:
        name: storage name.
        is_inside: whether the place lies in the raster.
        bands: in the file's order; none if it does not.
        class_name: of a map, the class there; empty if there is none.
        color: of that class, #rrggbb.
    """

    name: str
    is_inside: bool
    bands: tuple[BandValue, ...] = ()
    class_name: str = ""
    color: str = ""


def read_at(names: Iterable[str], longitude: float, latitude: float) -> tuple[Reading, ...]:
    """Read the pixel of each raster that a place lies in.

    Args:
        names: storage names.
        longitude: degrees.
        latitude: degrees.

    Raises:
        InputError: a raster cannot be read.
    """
    return tuple(_read(name, longitude, latitude) for name in names)


def _read(name: str, longitude: float, latitude: float) -> Reading:
    with readable_at_home(name) as path, open_raster(path) as dataset:
        pixel = _pixel_at(dataset, longitude, latitude)
        if pixel is None:
            return Reading(name, False)
        values = _values(dataset, pixel)
        bands = tuple(
            BandValue(band.name, band.wavelength, value)
            for band, value in zip(bands_of(dataset), values, strict=True)
        )
        return Reading(name, True, bands, *_class_of(dataset, values))


def _pixel_at(dataset: DatasetReader, longitude: float, latitude: float) -> Window | None:
    if not has_place(dataset):
        return None
    to_scene = pyproj.Transformer.from_crs(DEGREES, dataset.crs, always_xy=True)
    column, row = ~dataset.transform @ to_scene.transform(longitude, latitude)
    if not (0 <= column < dataset.width and 0 <= row < dataset.height):  # nor if it is infinite
        return None
    return Window(int(column), int(row), 1, 1)


def _values(dataset: DatasetReader, pixel: Window) -> list[float | None]:
    read = dataset.read(window=pixel)[:, 0, 0]
    valid = (dataset.read_masks(window=pixel)[:, 0, 0] > 0) & np.isfinite(read)
    return [float(v) if ok else None for v, ok in zip(read, valid, strict=True)]


def _class_of(dataset: DatasetReader, values: list[float | None]) -> tuple[str, str]:
    legend = legend_of(dataset) if dataset.count == 1 and dataset.dtypes[0] == "uint8" else None
    if legend is None or values[0] is None:
        return "", ""
    found = legend.at(int(values[0]))
    return (found.name, found.color) if found else (unnamed(int(values[0])), "")
