"""The reflectances by which clouds are found, read block by block."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.bands import choose_bands
from landcover.io.raster import Grid, read_grown
from landcover.io.sensors import measured_by
from landcover.progress import remark
from landcover.scenes.features.indices import bands_for_roles

_METRES_OF_DEGREE = 111_320.0
_SURFACE = ("l2a", "l2sp", "sr", "surface", "boa", "l2")
_TOP = ("l1c", "l1tp", "l1gt", "toa", "top", "l1")


@dataclass(frozen=True)
class Reflectance:
    """Reads reflectances of a scene by role (blue, green, red, nir, swir1, swir2).

    Attributes:
        at: band of the file, from 1, for each role.
        scale: reflectance for each count.
        offset: added after scaling.
        is_surface: whether the atmosphere was taken off.
    """

    dataset: DatasetReader
    at: Mapping[str, int]
    scale: float
    offset: float
    is_surface: bool

    @property
    def metres(self) -> float:
        """Side of a pixel, about."""
        grid = Grid.of(self.dataset)
        side = math.sqrt(abs(grid.transform.determinant))
        if grid.crs.is_geographic:
            return side * _METRES_OF_DEGREE
        return float(side * grid.crs.linear_units_factor[1])

    def read(self, window: Window, halo: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return reflectances by role, float32 (H + 2 halo, W + 2 halo); and their validity."""
        values, valid = read_grown(self.dataset, window, list(self.at.values()), halo)
        scaled = self.scale * values.astype(np.float32) + np.float32(self.offset)
        return dict(zip(self.at, np.where(valid, scaled, 0), strict=True)), valid


def reflectance_of(dataset: DatasetReader, needed: tuple[str, ...]) -> Reflectance:
    """Return the reflectances of a scene.

    Raises:
        InputError: its units or a band that is needed are not known, or it is a stack of dates.
    """
    name, measured = Path(dataset.name).name, measured_by(dataset)
    used = choose_bands(dataset, about_pixels=True)
    if any(band.date for band in used.bands):
        raise InputError(f"{name} is a stack of dates, clouds are found in scenes of one date")
    roles = {role: used.indexes[i] for role, i in bands_for_roles(used.bands).items()}
    missing = [role for role in needed if role not in roles]
    if missing:
        raise InputError(
            f"{name} has no {' and '.join(missing)} band that is known by its name or wavelength, "
            "clouds are found by it"
        )
    if measured.scale is None:
        raise InputError(
            f"{name} does not say its units, clouds are found by reflectance: write them into its "
            "tags, as in gdal_edit.py -mo SCALE=0.0001 -mo OFFSET=0 FILE"
        )
    words = f"{measured.level or ''} {measured.sensor or ''}".casefold().split()
    return Reflectance(
        dataset, roles, measured.scale, measured.offset or 0.0, _is_surface(words, name)
    )


def _is_surface(words: list[str], name: str) -> bool:
    if any(word in _SURFACE for word in words):
        return True
    if not any(word in _TOP for word in words):
        remark(
            f"{name} does not say its level (LEVEL): it was taken to be measured at the top of "
            "the atmosphere; of surface reflectance fewer clouds are found then"
        )
    return False
