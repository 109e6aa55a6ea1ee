"""The spectra of the samples, class by class: mean and spread in each band of a scene."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from sample_map.data.features import CRS, Sample

MOST_SAMPLES = 200  # of a class; more change the mean little and cost reading
_SIDE = 256  # pixels; of a larger sample every n-th is read


@dataclass(frozen=True)
class Spectrum:
    """What the pixels of a class hold.

    Attributes:
        mean: in each band, in the unit of the scene.
        spread: standard deviation in each band.
        pixels: how many were read.
        samples: of how many samples.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    pixels: int
    samples: int


def spectra_of(
    dataset: DatasetReader, samples: Iterable[Sample], most: int = MOST_SAMPLES, seed: int = 0
) -> dict[str, Spectrum]:
    """Return the spectrum of each class of which a pixel lies in the scene.

    Args:
        dataset: the open scene.
        samples: of any classes; a pixel belongs to one if its centre lies inside.
        most: samples read of a class; of more, these many are drawn at random.
        seed: of the draw.
    """
    to_scene = pyproj.Transformer.from_crs(CRS, dataset.crs, always_xy=True)
    found = {}
    for name, chosen in _drawn(samples, most, seed).items():
        outlines = shapely.transform(
            np.array([sample.shape for sample in chosen], dtype=object),
            lambda xy: np.column_stack(to_scene.transform(*xy.T)),
        )
        pixels = [values for outline in outlines if (values := _pixels(dataset, outline)).size]
        if pixels:
            found[name] = _spectrum(np.concatenate(pixels, axis=1), len(pixels))
    return found


def _drawn(samples: Iterable[Sample], most: int, seed: int) -> dict[str, list[Sample]]:
    by_class: dict[str, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.class_name, []).append(sample)
    rng = np.random.default_rng(seed)
    return {
        name: [all_of_it[i] for i in sorted(_choice(rng, len(all_of_it), most))]
        for name, all_of_it in by_class.items()
    }


def _choice(rng: np.random.Generator, count: int, most: int) -> Sequence[int]:
    return range(count) if count <= most else list(rng.choice(count, most, replace=False))


def _pixels(dataset: DatasetReader, outline: BaseGeometry) -> np.ndarray:
    """Return the valid pixels under an outline in the scene's CRS, shape (bands, N)."""
    window = _window_of(dataset, outline)
    if window is None:
        return np.empty((dataset.count, 0))
    scale = min(1.0, _SIDE / max(window.width, window.height))
    size = tuple(max(1, round(n * scale)) for n in (window.height, window.width))
    read = dataset.read(window=window, out_shape=(dataset.count, *size))
    masks = dataset.read_masks(window=window, out_shape=read.shape)
    corner = Affine.translation(window.col_off, window.row_off)
    step = Affine.scale(window.width / size[1], window.height / size[0])
    grid = dataset.transform @ corner @ step
    inside = rasterize([outline], out_shape=size, transform=grid, dtype="uint8") > 0
    valid = inside & (masks > 0).all(axis=0) & np.isfinite(read).all(axis=0)
    return np.asarray(read[:, valid], dtype="float64")


def _window_of(dataset: DatasetReader, outline: BaseGeometry) -> Window | None:
    if not np.isfinite(outline.bounds).all():
        return None
    corners = shapely.get_coordinates(shapely.box(*outline.bounds))
    columns, rows = ~dataset.transform @ tuple(corners.T)
    left, top = max(0, int(np.floor(columns.min()))), max(0, int(np.floor(rows.min())))
    right = min(dataset.width, int(np.floor(columns.max())) + 1)
    bottom = min(dataset.height, int(np.floor(rows.max())) + 1)
    return (
        None if right <= left or bottom <= top else Window(left, top, right - left, bottom - top)
    )


def _spectrum(pixels: np.ndarray, samples: int) -> Spectrum:
    mean, spread = pixels.mean(axis=1), pixels.std(axis=1)
    return Spectrum(tuple(map(float, mean)), tuple(map(float, spread)), pixels.shape[1], samples)
