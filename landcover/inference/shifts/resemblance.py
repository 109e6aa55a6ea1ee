"""A layer of how much each pixel of a scene resembles the training pixels, in percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from landcover.cpus import one_blas_thread
from landcover.io.geotiff.cog import writing_cog
from landcover.io.legend import NODATA
from landcover.io.raster import Grid, read_valid, windows_of
from landcover.models.spectra import Mixed, Spectra
from landcover.progress import Pace

_PIXELS_AT_ONCE = 16384
"""So that what is computed of them stays in the processor's cache."""
_WHOLLY_KNOWN = 199.0
"""So many times as likely known as strange is 99.5 %: more clusters only add to it."""
_LARGEST = np.float32(80)
"""Logarithm that float32 can raise to a power."""


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
        """Add cluster to cluster, the commonest first, for the pixels that are not known yet."""
        looked_at = self.spectra.looked_at(pixels)
        strange = self.spectra.log_density_of(-1, looked_at) + self._log_shares[-1]
        known, left = np.zeros(len(pixels), np.float32), np.arange(len(pixels))
        for cluster in np.argsort(-self.shares[:-1], kind="stable"):
            likely = self.spectra.log_density_of(cluster, looked_at) + self._log_shares[cluster]
            known[left] += np.exp(np.minimum(likely - strange, _LARGEST))
            unsure = np.flatnonzero(known[left] < _WHOLLY_KNOWN)
            left, looked_at, strange = left[unsure], looked_at.take(unsure, 1), strange[unsure]
        return np.asarray(np.rint(100 * known / (1 + known)).astype(np.uint8))

    @cached_property
    def _log_shares(self) -> np.ndarray:
        return np.asarray(np.log(self.shares), np.float32)


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
    written = writing_cog(target, grid, "resemblance in percent", None, {})
    with one_blas_thread(), written as layer:
        for window in windows_of(dataset):
            values, valid = read_valid(dataset, window, indexes)
            percent = np.full(valid.shape, NODATA, np.uint8)
            percent[valid] = 0 if found is None else found.percent(values[:, valid].T)
            layer.write(percent, window)
            pace.advance(valid.size)
            pace.report()
    return target
