"""The scenes of a series, opened on one grid: each date of each scene is a layer."""

import datetime
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.enums import MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.bands import is_about_pixels
from landcover.io.derived_names import has_own_unit, is_deviation
from landcover.io.files.paths import AnyPath
from landcover.io.raster import Band, Grid, bands_of, mask_bands, open_raster
from landcover.io.sensors import Conversion, Measured, measured_by
from landcover.scenes.composites.dates import date_of
from landcover.scenes.composites.placing import Placed, are_smaller, common_grid, placed_on

_CACHE_MIB = 1
"""Blocks of all scenes together that GDAL keeps; each is read once or twice."""


@dataclass(frozen=True)
class Layer:
    """One date of one scene.

    Attributes:
        name: of the file.
        date: when it was taken, None if that is not known.
        measured: what the scene says of its units and sensor.
        bands: by their names without the date.
        indexes: of the bands in the file, from 1.
        scene: where its pixels are on the common grid.
        mask: where it is 0 or nodata, pixels are invalid.
        conversion: to the units of the series, where they are others.
    """

    name: str
    date: datetime.date | None
    measured: Measured
    bands: tuple[Band, ...]
    indexes: tuple[int, ...]
    scene: Placed
    mask: Placed | None
    conversion: Conversion | None = None

    @property
    def names(self) -> list[str]:
        """What its bands are called."""
        return [band.name for band in self.bands]

    @property
    def nodata(self) -> float | None:
        """The nodata value that all its bands share; None if there is none."""
        values = [self.scene.dataset.nodatavals[index - 1] for index in self.indexes]
        alike = len({str(value) for value in values}) == 1
        return float(values[0]) if alike and values[0] is not None else None

    def dtype(self, at: int) -> np.dtype:
        """Return the dtype of a band, as the file has it."""
        return np.dtype(str(self.scene.dataset.dtypes[self.indexes[at] - 1]))

    def own_unit_of(self, at: int) -> tuple[float, float]:
        """Return a band's scale and offset where bands have several, and no tag says them."""
        if self.measured.scale is not None:
            return 1.0, 0.0
        dataset, index = self.scene.dataset, self.indexes[at] - 1
        return dataset.scales[index], dataset.offsets[index]

    @property
    def read_dtype(self) -> np.dtype:
        """The dtype of what `read` returns."""
        if self.conversion is not None:
            return np.dtype(np.float64)
        return np.result_type(*(self.dtype(at) for at in range(len(self.indexes))))

    def take(self, which: Sequence[int]) -> "Layer":
        """Return the layer with some of its bands, in their order."""
        return replace(
            self,
            bands=tuple(self.bands[i] for i in which),
            indexes=tuple(self.indexes[i] for i in which),
        )

    def is_whole(self, grid: Grid) -> bool:
        """Return whether every pixel of the grid is valid without being looked at."""
        flags = self.scene.dataset.mask_flag_enums
        all_valid = all(flags[index - 1] == [MaskFlags.all_valid] for index in self.indexes)
        return self.mask is None and all_valid and self.scene.covers(grid)

    def read(self, window: Window, which: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return values (bands, H, W) of some bands and where they are valid (H, W)."""
        values, valid = self.scene.read(window, [self.indexes[i] for i in which])
        if self.mask is not None:
            clear, known = self.mask.read(window, [1])
            valid = valid & known & (clear[0] != 0)
        if self.conversion is not None:
            names = [self.names[i] for i in which]
            values = _converted(values.astype(np.float64), names, self.conversion)
        return values, valid


def _converted(values: np.ndarray, names: Sequence[str], conversion: Conversion) -> np.ndarray:
    """Convert values (bands, H, W) of those bands that are in the units of their scene."""
    for band, name in zip(values, names, strict=True):
        if not has_own_unit(name):
            band *= conversion.gain
            band += 0.0 if is_deviation(name) else conversion.offset
    return values


@dataclass(frozen=True)
class Series:
    """Layers on one grid, in the order of their dates; those without a date come last."""

    grid: Grid
    layers: tuple[Layer, ...]

    @property
    def by_date(self) -> list[list[Layer]]:
        """The layers of each date together, in the order given; each undated one by itself."""
        groups: dict[object, list[Layer]] = {}
        for number, layer in enumerate(self.layers):
            groups.setdefault(layer.date or number, []).append(layer)
        return list(groups.values())


@contextmanager
def open_series(
    paths: Sequence[AnyPath], masks: Sequence[AnyPath] | None = None
) -> Iterator[Series]:
    """Open scenes, and the masks that belong to them, on the grid of the first scene.

    Args:
        paths: of scenes of one date each, or of date stacks.
        masks: one for each scene, on any grid, as `landcover.io.raster.open_scene` takes them.

    Raises:
        InputError: one cannot be read or brought to that grid, or a mask is missing.
    """
    _need_mask_for_each(paths, masks)
    with ExitStack() as opened:
        datasets = [opened.enter_context(open_raster(path, _CACHE_MIB)) for path in paths]
        grid = common_grid(datasets)
        layers: list[Layer] = []
        for number, dataset in enumerate(datasets):
            scene = opened.enter_context(placed_on(dataset, grid))
            mask = None
            if masks:
                one = opened.enter_context(_opened_mask(masks[number]))
                # of smaller pixels one cloudy one hides the larger one, whose mean has it
                how = Resampling.min if are_smaller(Grid.of(one), grid) else None
                mask = opened.enter_context(placed_on(one, grid, how))
            layers += _layers(dataset, scene, mask)
        layers.sort(key=lambda layer: layer.date or datetime.date.max)
        yield Series(grid, tuple(layers))


def _need_mask_for_each(paths: Sequence[AnyPath], masks: Sequence[AnyPath] | None) -> None:
    if masks and len(masks) != len(paths):
        raise InputError(
            f"there are {len(paths)} scenes and {len(masks)} masks, each scene needs one, in the "
            "order of the scenes",
            "masks",
        )


@contextmanager
def _opened_mask(path: AnyPath) -> Iterator[DatasetReader]:
    with open_raster(path, _CACHE_MIB) as dataset:
        if dataset.count != 1:
            raise InputError(f"{Path(path).name} has {dataset.count} bands, a mask needs one")
        yield dataset


def _layers(dataset: DatasetReader, scene: Placed, mask: Placed | None) -> list[Layer]:
    """Return a layer for each date of a scene."""
    name, bands, no_bands = Path(dataset.name).name, bands_of(dataset), mask_bands(dataset)
    usable = [index for index in dataset.indexes if index not in no_bands]
    dates = {bands[index - 1].date: None for index in usable}
    alone = date_of(dataset.tags(), name) if None in dates else None
    found = []
    for date in dates:
        indexes = tuple(index for index in usable if bands[index - 1].date == date)
        bare = tuple(bare_band(bands[index - 1]) for index in indexes)
        found.append(Layer(name, date or alone, measured_by(dataset), bare, indexes, scene, mask))
    return found


def bare_band(band: Band) -> Band:
    """Return a band of a date stack by its name without the date, others as they are."""
    return band if band.date is None else Band(band.name.partition(":")[2], band.wavelength)


def spectral(layer: Layer) -> Layer:
    """Return a layer without the bands that say something about pixels, not about the ground."""
    kept = [i for i, band in enumerate(layer.bands) if not is_about_pixels(band.name)]
    return layer.take(kept)
