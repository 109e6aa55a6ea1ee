"""A scene beside its map, with the legend: what one wants to see first."""

from pathlib import Path

import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from landcover.io.legend import NODATA, Legend
from landcover.io.raster import bands_of, legend_of, open_raster

# near infrared, short-wave infrared, red: water dark, forest and fields apart
_COMPOSITES = (("B08", "B11", "B04"), ("nir", "swir1", "red"))


def draw(scene: Path, classified: Path, target: Path) -> None:
    """Draw a scene and its map side by side.

    Args:
        scene: of Sentinel-2 or Landsat, bands named.
        classified: the map of it.
        target: PNG to write.
    """
    with open_raster(scene) as dataset:
        image = _composite(dataset)
    with open_raster(classified) as dataset:
        codes, legend = dataset.read(1), legend_of(dataset)
    if legend is None:
        raise ValueError(f"{classified.name} carries no legend")
    height, width = codes.shape
    stacked = width > 1.3 * height
    figure = Figure(figsize=(9, 10) if stacked else (11, 5.4), layout="constrained")
    above, below = figure.subplots(*((2, 1) if stacked else (1, 2)))
    above.imshow(image)
    above.set_title("scene: near infrared, short-wave infrared, red")
    below.imshow(_colored(codes, legend))
    below.set_title("map")
    handles = [Patch(color=entry.color, label=entry.name) for entry in legend.classes]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    for axes in (above, below):
        axes.set_axis_off()
    figure.savefig(target, dpi=90)


def _composite(dataset: rasterio.io.DatasetReader) -> np.ndarray:
    """Return uint8 (H, W, 3), each band stretched between its 2nd and 98th percentile."""
    names = [band.name for band in bands_of(dataset)]
    chosen = next(c for c in _COMPOSITES if set(c) <= set(names))
    indexes = [names.index(name) + 1 for name in chosen]
    values = dataset.read(indexes, masked=True).astype(float).filled(np.nan)
    low, high = np.nanpercentile(values, [2, 98], axis=(1, 2), keepdims=True)
    stretched = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))
    return np.asarray(np.moveaxis(stretched * 255, 0, 2).astype(np.uint8))


def _colored(codes: np.ndarray, legend: Legend) -> np.ndarray:
    """Return uint8 (H, W, 4)."""
    table = np.zeros((256, 4), np.uint8)
    for code, color in legend.colormap().items():
        table[code] = color
    table[NODATA] = (255, 255, 255, 0)
    return table[codes]
