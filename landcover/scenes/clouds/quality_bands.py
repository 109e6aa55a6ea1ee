"""Clouds by the quality band that came with a scene.

Sources: ESA, Sentinel-2 Level-2A algorithm theoretical basis document, table of the scene
classification (SCL); USGS, Landsat 8-9 Collection 2 level 2 science product guide, table of the
pixel quality band (QA_PIXEL).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.legend import NODATA
from landcover.io.raster import bands_of, read_valid
from landcover.scenes.clouds.detection import CLEAR, CLOUDY

_SCL_NODATA, _SCL_LAST = 0, 11
_SCL_MASKED = (1, 3, 8, 9, 10)
"""Saturated, cloud shadow, cloud of medium and of high probability, thin cirrus. Dark areas (2)
stay: they are the shadows of mountains, and water."""
_FILL = 1 << 0
_BITS_MASKED = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
"""Dilated cloud, cirrus, cloud, cloud shadow."""

Reading = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From values of a quality band to where a pixel is masked, and where nothing was measured."""


def _of_scl(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.isin(values, _SCL_MASKED), values == _SCL_NODATA


def _of_qa_pixel(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (values & _BITS_MASKED) != 0, (values & _FILL) != 0


QUALITY_BANDS: dict[str, tuple[Reading, int]] = {
    "SCL": (_of_scl, _SCL_LAST),
    "QA_PIXEL": (_of_qa_pixel, 0xFFFF),
}
"""By name: how it is read, and its largest value."""


@dataclass(frozen=True)
class QualityBand:
    """Finds clouds by a quality band of the scene."""

    dataset: DatasetReader
    index: int
    name: str
    side: int = 512

    def detect(self, window: Window) -> tuple[np.ndarray, ...]:
        """Return the mask of a window.

        Raises:
            InputError: the band holds what a quality band of its name cannot.
        """
        values, valid = read_valid(self.dataset, window, [self.index])
        reading, largest = QUALITY_BANDS[self.name]
        told = np.where(valid, values[0], 0)
        codes = np.rint(told).astype(np.int64)
        if (codes != told).any() or codes.min() < 0 or codes.max() > largest:
            raise InputError(
                f"band {self.name} of {Path(self.dataset.name).name} holds {told.min():g} to "
                f"{told.max():g}, needs whole numbers from 0 to {largest}: was it resampled?"
            )
        masked, unknown = reading(codes)
        mask = np.where(masked, CLOUDY, CLEAR).astype(np.uint8)
        return (np.where(unknown | ~valid, NODATA, mask).astype(np.uint8),)


def quality_band_of(dataset: DatasetReader) -> QualityBand | None:
    """Return the quality band that a scene has, if it has one.

    Raises:
        InputError: it has several.
    """
    names = {name.casefold(): name for name in QUALITY_BANDS}
    found = [
        QualityBand(dataset, index, names[band.name.casefold()])
        for index, band in enumerate(bands_of(dataset), 1)
        if band.name.casefold() in names
    ]
    if len(found) > 1:
        raise InputError(
            f"{Path(dataset.name).name} has the quality bands "
            f"{' and '.join(one.name for one in found)}, which contradict one another: use a "
            "scene of one date and sensor"
        )
    return found[0] if found else None
