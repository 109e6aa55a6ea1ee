"""A layer of how much each pixel of a scene resembles the training pixels, in percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from landcover.io.cog import writing_cog
from landcover.io.legend import NODATA
from landcover.io.raster import Grid, read_valid, windows_of
from landcover.models.spectra import Mixed, Spectra
from landcover.progress import Pace

_PIXELS_AT_ONCE = 8192
"""So that what is computed of them stays in the processor's cache."""


@dataclass(frozen=True)
class Resemblance:
    """How likely a pixel comes of the clusters of the classes, and not of anything else.

    Attributes:
        spectra: that the model knows; the clusters of its whole scene are left aside.
        shares: (clusters of classes + 1,), of the scene's pixels, the last that of anything else.
    """

    spectra: Spectra
    shares: np.ndarray

    @classmethod
    def of(cls, spectra: Spectra, pixels: np.ndarray) -> "Resemblance":
        """Estimate the shares from some pixels (N, bands) of a scene."""
        return cls(spectra.of_training, Mixed.of(spectra.of_training.log_density(pixels)).shares)

    def percent(self, pixels: np.ndarray) -> np.ndarray:
        """Return uint8 (N,), 0 to 100, of pixels (N, bands)."""
        parts = range(0, len(pixels), _PIXELS_AT_ONCE)
        found = [self._percent(pixels[start : start + _PIXELS_AT_ONCE]) for start in parts]
        return np.concatenate(found) if found else np.zeros(0, np.uint8)

    def _percent(self, pixels: np.ndarray) -> np.ndarray:
        density = self.spectra.log_density(pixels) + np.log(self.shares)
        likely = np.exp(density - density.max(axis=1)[:, None])
        known = 1 - likely[:, -1] / likely.sum(axis=1)
        return np.asarray(np.rint(100 * known).astype(np.uint8))


def write_resemblance(
    dataset: DatasetReader, indexes: Sequence[int], found: Resemblance | None, target: Path
) -> Path:
    """Write the layer, uint8 in percent, 255 where the scene is invalid.

    Args:
        dataset: the scene.
        indexes: its bands, from 1, in the model's order.
        found: how it resembles the training pixels; None if its bands are not those of the model,
            so that nothing does.
        target: where to.
    """
    grid = Grid.of(dataset)
    pace = Pace("looking at every pixel", grid.pixels, grid.pixels)
    with writing_cog(target, grid, "resemblance in percent", None, {}) as layer:
        for window in windows_of(dataset):
            values, valid = read_valid(dataset, window, indexes)
            percent = np.full(valid.shape, NODATA, np.uint8)
            percent[valid] = 0 if found is None else found.percent(values[:, valid].T)
            layer.write(percent, window)
            pace.advance(valid.size)
            pace.report()
    return target
