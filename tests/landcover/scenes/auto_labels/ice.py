"""Pictures of sea ice whose answer is known: three brightnesses with noise, in blobs."""

import numpy as np
from scipy.ndimage import gaussian_filter

from tests.scenes import write_raster

RGB = ("red", "green", "blue")
WATER, THIN, THICK = 1, 2, 3
LEVELS = np.array([0, 70, 150, 225])
_TINT = np.array([-12, -4, 0])[:, None, None]


def classes(side=128, seed=0):
    """Return codes, uint8 (side, side), about a third of each class."""
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 6)
    low, high = np.quantile(rough, (1 / 3, 2 / 3))
    return (1 + (rough > low) + (rough > high)).astype(np.uint8)


def picture(codes, seed=0, noise=8):
    """Return red, green and blue, uint8 (3, H, W), bluish, with the noise of a sensor."""
    grain = np.random.default_rng(seed).normal(size=codes.shape) * noise
    return np.clip(LEVELS[codes] + grain + _TINT, 0, 255).astype(np.uint8)


def overcast(shape=(128, 128), seed=0):
    """Return a picture of cloud alone, light and dark."""
    rng = np.random.default_rng(seed)
    cloud = gaussian_filter(rng.normal(size=shape), 8)
    cloud = 205 + 18 * cloud / cloud.std() + rng.normal(size=shape) * 3
    return np.clip(cloud + _TINT, 0, 255).astype(np.uint8)


def write_picture(path, values, **more):
    """Write a picture that names its bands."""
    return write_raster(path, values, names=RGB, **more)
