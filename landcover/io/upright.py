"""A raster whose first row lies in the south, read as if it lay in the north."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window


def upright(dataset: DatasetReader) -> DatasetReader:
    """Return a raster with its first row in the north: itself, else a view of it."""
    has_no_place = dataset.transform.is_identity
    is_north_up = has_no_place or dataset.transform.e <= 0
    return dataset if is_north_up else cast(DatasetReader, _Turned(dataset))


class _Turned:
    """A raster with its rows in the opposite order; nothing is copied."""

    def __init__(self, dataset: DatasetReader) -> None:
        self._dataset = dataset
        last = Affine.translation(0, dataset.height) @ Affine.scale(1, -1)
        self.transform = dataset.transform @ last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, indexes: Sequence[int] | int, window: Window) -> np.ndarray:
        values = self._dataset.read(indexes, window=self._own(window))
        return np.asarray(values[..., ::-1, :])

    def read_masks(self, indexes: Sequence[int] | int, window: Window) -> np.ndarray:
        masks = self._dataset.read_masks(indexes, window=self._own(window))
        return np.asarray(masks[..., ::-1, :])

    def _own(self, window: Window) -> Window:
        """Return a window of the view as it lies in the file."""
        top = self._dataset.height - window.row_off - window.height
        return Window(window.col_off, top, window.width, window.height)
