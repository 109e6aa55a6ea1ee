"""A map as a picture: its classes in their colours, with a legend."""

import math
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader

from landcover.io.figures import LEGEND_LINE, label_of, new_figure, to_png
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import open_raster

_SIDE = 900
_LISTED = 24
_BLANK = (245, 245, 245)


def draw_map(path: Path, legend: Legend) -> bytes:
    """Draw a map and name its classes beside it: PNG of at most 900 pixels a side.

    Args:
        path: uint8 codes, best with overviews.
        legend: what the codes mean; of many classes the first are named.
    """
    with open_raster(path) as dataset:
        codes = _thinned(dataset)
    present = set(np.unique(codes).tolist())
    shown = [entry for entry in legend.classes if entry.code in present][:_LISTED]
    colors = np.full((256, 3), _BLANK, np.uint8)
    for entry in legend.classes:
        colors[entry.code] = entry.rgb
    colors[NODATA] = _BLANK
    least = max(2.5, 1 + LEGEND_LINE * len(shown))
    figure = new_figure(9, min(max(6 * codes.shape[0] / codes.shape[1], least), 12))
    axes = figure.subplots()
    axes.imshow(colors[codes], interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    handles = [
        axes.scatter([], [], marker="s", color=entry.color, label=label_of(entry.name))
        for entry in shown
    ]
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return to_png(figure)


def _thinned(dataset: DatasetReader) -> np.ndarray:
    """Return the codes of at most so many rows and columns, uint8 (H, W)."""
    step = max(1, math.ceil(max(dataset.width, dataset.height) / _SIDE))
    shape = (math.ceil(dataset.height / step), math.ceil(dataset.width / step))
    return np.asarray(dataset.read(1, out_shape=shape, resampling=Resampling.nearest), np.uint8)
