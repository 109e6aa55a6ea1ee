"""A map as the operations on maps read it: codes by windows, each named by its legend."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.raster import Grid, legend_of, on_grid, open_raster
from landcover.models.footprint import footprints_of_map, places_tag
from landcover.progress import remark
from landcover.quality.confusion import need_named, read_codes
from landcover.samples.labels import raster_legend

_KEPT_TAGS = ("DATE", "SENSOR", "RADIOMETRY")
"""Of a map, that hold for what is made of it as well."""


@dataclass(frozen=True)
class OpenMap:
    """A map that is open for reading.

    Attributes:
        dataset: the raster.
        legend: its own, or one that names the codes it holds.
        grid: where its pixels lie; of one that was moved, the grid it was moved to.
        file: its name.
    """

    dataset: DatasetReader
    legend: Legend
    grid: Grid
    file: str

    def read(self, window: Window) -> np.ndarray:
        """Return codes, uint8 (H, W), 0 where nothing is classified.

        Raises:
            InputError: it is no map, or holds a code that its legend does not name.
        """
        codes = read_codes(self.dataset, window)
        need_named(np.bincount(codes.ravel(), minlength=256), self.legend, self.file)
        return codes

    def remark_on_no_place(self, square_metres: Iterable[float]) -> None:
        """Say that there are no hectares, where the area of some pixel is not known.

        Args:
            square_metres: of pixels, NaN where the map lies nowhere on the ground.
        """
        if any(map(math.isnan, square_metres)):
            remark(f"{self.file} lies nowhere on the ground, so there are pixels and no hectares")

    @contextmanager
    def on(self, grid: Grid) -> Iterator["OpenMap"]:
        """Yield it on another grid, by nearest neighbour."""
        with on_grid(self.dataset, grid) as moved:
            yield replace(self, dataset=moved, grid=grid)

    def tags(self) -> dict[str, str]:
        """Return what a map made of this one must tell too: its date, where it was trained."""
        own = self.dataset.tags()
        kept = {name: own[name] for name in _KEPT_TAGS if name in own}
        return kept | places_tag(footprints_of_map(self.dataset))


@contextmanager
def open_map(path: AnyPath) -> Iterator[OpenMap]:
    """Open a map of this or another program.

    Raises:
        InputError: it cannot be read, or is no map.
    """
    with open_raster(path) as dataset:
        legend = legend_of(dataset) or raster_legend(dataset, "a map")
        yield OpenMap(dataset, legend, Grid.of(dataset), Path(path).name)
