"""What every way to find clouds has in common."""

from typing import Protocol

import numpy as np
from rasterio.windows import Window

CLEAR, CLOUDY = 1, 0
"""Values of a mask; where the scene itself is nodata it is 255."""


class Detector(Protocol):
    """Finds what is no clear view of the ground."""

    @property
    def side(self) -> int:
        """Of the windows that it is given, a multiple of 512."""

    def detect(self, window: Window) -> tuple[np.ndarray, ...]:
        """Return a mask, uint8 (H, W); and how sure it is, in percent, if it knows that."""
