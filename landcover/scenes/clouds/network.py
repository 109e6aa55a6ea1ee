"""Clouds by the trained network of the package ukis-csmask, as a tool of its own.

The package (Apache-2.0, 145 MB) brings networks for four and six bands, at the top of the
atmosphere and at the surface, which were trained on Sentinel-2 and Landsat at about 30 m. Its
graphs are not those that a user's model may have, so it is never loaded as one.

Source: Wieland, Fichtner, Martinis, Remote Sensing 14 (2022) 3665; github.com/dlr-eoc/ukis-csmask.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.legend import NODATA
from landcover.scenes.clouds.detection import CLEAR, CLOUDY
from landcover.scenes.clouds.reflectance import Reflectance

NEEDED = ("blue", "green", "red", "nir")
_NAMES = {"swir1": "swir16", "swir2": "swir22"}
_METRES = 30.0
_CONTEXT = 32
"""Pixels of about 30 m around a window, which the network sees too."""
_LEAST = 256
"""Pixels that it sees at a time."""
_GROWN = 2
"""Pixels of about 30 m: the edges of clouds are soft."""


@dataclass(frozen=True)
class Network:
    """Finds clouds and their shadows by a trained network."""

    reflectance: Reflectance
    side: int = 1536

    def detect(self, window: Window) -> tuple[np.ndarray, ...]:
        """Return the mask of a window."""
        every = int(np.clip(_METRES // self.reflectance.metres, 1, 16))
        halo = _CONTEXT * every
        of, valid = self.reflectance.read(window, halo)
        coarse = np.stack([_coarser(values, every) for values in of.values()], axis=-1)
        found = _grown(self._classes(coarse) != 0)
        fine = np.repeat(np.repeat(found, every, axis=0), every, axis=1)
        own = (slice(halo, halo + window.height), slice(halo, halo + window.width))
        mask = np.where(fine[own], CLOUDY, CLEAR)
        return (np.where(valid[own], mask, NODATA).astype(np.uint8),)

    def _classes(self, image: np.ndarray) -> np.ndarray:
        """Return 0 for clear, 1 for cloud, 2 for shadow, of an image (H, W, bands)."""
        lacking = [(0, max(0, _LEAST - side)) for side in image.shape[:2]]
        whole = np.pad(image, (*lacking, (0, 0)), "symmetric").astype(np.float32)
        found = need_network()(
            whole,
            [_NAMES.get(role, role) for role in self.reflectance.at],
            product_level="l2a" if self.reflectance.is_surface else "l1c",
            providers=["CPUExecutionProvider"],
        )
        return np.asarray(found.csm[: image.shape[0], : image.shape[1], 0])


def need_network() -> Any:
    """Return what runs the network.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from ukis_csmask.mask import CSmask
    except ImportError as error:
        raise InputError(
            "the network for clouds is not installed, 145 MB: pip install "
            "landcover-geoportal[clouds], or use method rule",
            "method",
        ) from error
    return CSmask


def _coarser(values: np.ndarray, every: int) -> np.ndarray:
    """Return the means of squares; those at the far edges are of what is there, repeated."""
    lacking = [(0, -side % every) for side in values.shape]
    whole = np.pad(values, lacking, "edge")
    rows, columns = (side // every for side in whole.shape)
    return np.asarray(whole.reshape(rows, every, columns, every).mean(axis=(1, 3)))


def _grown(found: np.ndarray) -> np.ndarray:
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(found, 2 * _GROWN + 1))
