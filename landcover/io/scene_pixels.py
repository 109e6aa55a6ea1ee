"""Some thousand pixels from all over a scene, which stand for the whole of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import read_valid, windows_of

ENOUGH = 1000
"""Pixels; of a scene that is mostly invalid, windows are read until so many are found."""
_PER_WINDOW = 512
_OF_FEW = 4096
"""Pixels of a scene that is stored in few windows, or in one."""
_WINDOWS = 36
_SIDE = 128


class Part(Protocol):
    """A part of a scene, such as an area that is to be mapped."""

    @property
    def name(self) -> str:
        """For people."""

    def meets(self, window: Window) -> bool:
        """Return whether a pixel of a window may lie inside."""

    def inside(self, window: Window) -> np.ndarray:
        """Return which pixels of a window lie inside, bool (H, W)."""


@dataclass(frozen=True)
class ScenePixels:
    """Valid pixels of a scene.

    Attributes:
        values: float64 (N, bands).
        at: int64 (N, 2), row and column of each, row 0 in the north.
    """

    values: np.ndarray
    at: np.ndarray

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self.values)

    def some(self, most: int) -> "ScenePixels":
        """Return at most so many of them, drawn evenly."""
        if len(self) <= most:
            return self
        chosen = np.random.default_rng(0).choice(len(self), most, replace=False)
        return ScenePixels(self.values[chosen], self.at[chosen])


def sample_pixels(
    dataset: DatasetReader, indexes: Sequence[int], part: Part | None = None
) -> ScenePixels:
    """Return some thousand valid pixels from all over a scene.

    A scene without overviews would have to be decoded whole to be thinned evenly, so a few
    windows are read instead, and more only where they hold little.

    Args:
        dataset: the scene.
        indexes: the bands to read, from 1.
        part: of the scene, all of it by default.

    Raises:
        InputError: no pixel is valid, or none inside the part.
    """
    windows = [w for w in windows_of(dataset, _SIDE) if part is None or part.meets(w)]
    # evenly over the scene first; then anywhere, until enough valid pixels are found
    order = np.random.default_rng(0).permutation(len(windows))
    spread = np.linspace(0, len(windows) - 1, min(_WINDOWS, len(windows))).round().astype(int)
    parts = [np.empty((0, len(indexes)))]
    places = [np.empty((0, 2), np.int64)]
    read, most = 0, max(_PER_WINDOW, _OF_FEW // max(len(spread), 1))
    for number, index in enumerate([*spread, *order[~np.isin(order, spread)]]):
        if number >= len(spread) and read >= ENOUGH:
            break
        window = windows[index]
        values, valid = read_valid(dataset, window, indexes)
        if part is not None:
            valid &= part.inside(window)
        every = max(1, int(valid.sum()) // most)
        parts.append(values[:, valid].T[::every].astype(np.float64))
        corner = np.array([window.row_off, window.col_off], np.int64)
        places.append(corner + np.argwhere(valid)[::every])
        read += len(parts[-1])
    at = np.concatenate(places)
    if dataset.transform.e > 0:  # the first row of the file lies in the south
        at[:, 0] = dataset.height - 1 - at[:, 0]
    found = ScenePixels(np.concatenate(parts), at)
    if not len(found):
        raise InputError(no_valid_pixel(dataset, part))
    return found


def no_valid_pixel(dataset: DatasetReader, part: Part | None) -> str:
    """Return why there is nothing to work with."""
    where = "" if part is None else f" inside {part.name}"
    return f"{Path(dataset.name).name} holds no valid pixel{where}: is its nodata value right?"
