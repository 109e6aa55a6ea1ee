"""Scenes and their labels as small pictures, and histograms with thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landcover.io.figures import label_of, new_figure, to_png
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Grid
from landcover.scenes.auto_labels.quantities import span_of
from landcover.scenes.auto_labels.thresholds import LEVELS, class_of_level

_SIDE = 420
"""Pixels of the longer side."""
_UNSURE = (255, 0, 255)


@dataclass(frozen=True)
class Picture:
    """A scene and its labels, every so many pixels.

    Attributes:
        scene: uint8 (h, w) or (h, w, 3).
        codes: uint8 (h, w).
    """

    scene: np.ndarray
    codes: np.ndarray


class Sketch:
    """Takes every so many pixels of windows."""

    def __init__(self, grid: Grid) -> None:
        """Choose how many."""
        self._step = max(1, -(-max(grid.height, grid.width) // _SIDE))
        self._shape = (-(-grid.height // self._step), -(-grid.width // self._step))
        self._codes = np.full(self._shape, NODATA, np.uint8)
        self._scene: np.ndarray | None = None

    def add(self, shown: np.ndarray, codes: np.ndarray, window: Window) -> None:
        """Take what a window holds of it.

        Args:
            shown: uint8 (H, W) or (3, H, W).
            codes: uint8 (H, W).
            window: where they lie.
        """
        image = shown if shown.ndim == 2 else np.moveaxis(shown, 0, -1)
        if self._scene is None:
            self._scene = np.zeros((*self._shape, *image.shape[2:]), np.uint8)
        rows, columns = -window.row_off % self._step, -window.col_off % self._step
        taken = codes[rows :: self._step, columns :: self._step]
        top = (window.row_off + rows) // self._step
        left = (window.col_off + columns) // self._step
        place = np.s_[top : top + taken.shape[0], left : left + taken.shape[1]]
        self._codes[place] = taken
        self._scene[place] = image[rows :: self._step, columns :: self._step]

    def picture(self) -> Picture:
        """Return what was taken."""
        empty = np.zeros(self._shape, np.uint8)
        return Picture(empty if self._scene is None else self._scene, self._codes)


def draw_picture(picture: Picture, legend: Legend) -> bytes:
    """Draw a scene beside its labels: a PNG. What is unsure or invalid is magenta."""
    colors = np.full((256, 3), _UNSURE, np.uint8)
    for entry in legend.classes:
        colors[entry.code] = entry.rgb
    height, width = picture.codes.shape
    figure = new_figure(11, min(max(5.5 * height / width, 1.5), 11))
    scene, labels = figure.subplots(1, 2)
    scene.imshow(picture.scene, cmap="gray", vmin=0, vmax=255)
    labels.imshow(colors[picture.codes], interpolation="nearest")
    for axes in (scene, labels):
        axes.set(xticks=[], yticks=[])
    return to_png(figure)


def draw_histogram(
    histogram: np.ndarray, quantity: str, legend: Legend, codes: Sequence[int], cuts: Sequence[int]
) -> bytes:
    """Draw pixels by level in the colours of the classes, with the thresholds between: a PNG."""
    low, high = span_of(quantity)
    at = low + (np.arange(LEVELS) + 0.5) * (high - low) / LEVELS
    figure = new_figure(9, 3.2)
    axes = figure.subplots()
    where = class_of_level(cuts)
    by_code: Mapping[int, str] = {entry.code: entry.name for entry in legend.classes}
    colors = {entry.code: entry.color for entry in legend.classes}
    for number, code in enumerate(codes):
        own = where == number
        axes.bar(
            at[own], histogram[own], width=(high - low) / LEVELS, color=colors[code],
            edgecolor="#444444", linewidth=0.2, label=label_of(by_code[code]),
        )  # fmt: skip
    for cut in cuts:
        axes.axvline(low + (cut + 1) * (high - low) / LEVELS, color="#222222", linestyle="--")
    axes.set(xlabel=quantity, ylabel="pixels · пиксели", xlim=(low, high))
    if codes:
        legend_of_axes = axes.legend(loc="upper left")
        for text in legend_of_axes.get_texts():
            text.set_parse_math(False)
    else:
        axes.bar(at, histogram, width=(high - low) / LEVELS, color="#888888")
    return to_png(figure)
