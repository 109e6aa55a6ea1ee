"""A fill that a scene does not declare as nodata: margins and gaps that all hold one spectrum.

A model that is to be applied knows what land looks like (`landcover.inference.radiometry`);
before there is one, a fill is told by being one and the same spectrum on many pixels and outside
what all other pixels hold, in every band.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.io.raster import read_valid, windows_of
from landcover.io.sidecars.validity import without_values
from landcover.progress import remark

OFTENER = 5
"""So many times as often as any other a spectrum occurs that is a fill."""
LEAST_SHARE = 0.01
"""Of the pixels looked at."""
_WINDOWS = 16
_SIDE = 128
_MOST_FILLS = 3
_CUSTOMARY = (0.0, -9999.0, -999.0, 9999.0, 1e20, -1e20)
"""What programs write besides the ends of a dtype. 0 only where several bands hold it alone."""


@dataclass(frozen=True)
class _Look:
    """Pixels of a scene: spectra (N, bands), and the window that each comes from (N,)."""

    pixels: np.ndarray
    windows: np.ndarray


def without_fill(dataset: DatasetReader, indexes: Sequence[int]) -> DatasetReader:
    """Return a scene in which fills that nobody declared are invalid, with a remark; else itself.

    Args:
        dataset: the scene.
        indexes: bands that are used, from 1.
    """
    fills = _fills_of(dataset, indexes)
    if not len(fills):
        return dataset
    values = np.unique(fills)
    shown = ", ".join(f"{value:g}" for value in values[:3]) + (" ..." if len(values) > 3 else "")
    remark(
        f"many pixels of {Path(dataset.name).name} all hold {shown}, which no other pixel comes "
        "near: they are taken for missing ones; declare it as the scene's nodata"
    )
    return without_values(dataset, dict(zip(indexes, map(tuple, fills.T.tolist()), strict=True)))


def _fills_of(dataset: DatasetReader, indexes: Sequence[int]) -> np.ndarray:
    """Return the spectra (fills, bands) that are fills."""
    windows = list(windows_of(dataset, _SIDE))
    chosen = np.linspace(0, len(windows) - 1, min(_WINDOWS, len(windows))).round().astype(int)
    some = sorted({indexes[i] for i in (0, len(indexes) // 2, -1)})
    parts = [read_valid(dataset, windows[window], some) for window in chosen]
    pixels = [values[:, valid].T for values, valid in parts]
    look = _Look(np.concatenate(pixels), np.repeat(chosen, [len(part) for part in pixels]))
    whole = [
        _whole(fill, look, dataset, windows, indexes, [indexes.index(i) for i in some])
        for fill in _repeated(look.pixels)
    ]
    return np.array([spectrum for spectrum in whole if spectrum is not None])


def _whole(
    fill: np.ndarray,
    look: _Look,
    dataset: DatasetReader,
    windows: Sequence[Window],
    indexes: Sequence[int],
    known: list[int],
) -> np.ndarray | None:
    """Return all bands of a fill of which some are known, None if it is none in the others."""
    here = windows[look.windows[(look.pixels == fill).all(axis=1).argmax()]]
    values, valid = read_valid(dataset, here, indexes)
    pixels = values[:, valid].T
    pixels = pixels[(pixels[:, known] == fill).all(axis=1)]
    return np.asarray(pixels[0]) if (pixels == pixels[0]).all() else None


def _repeated(pixels: np.ndarray) -> np.ndarray:
    """Return the spectra (fills, bands) that many pixels have and that are far from all others."""
    spectra, counts = np.unique(pixels, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for fills in range(1, min(_MOST_FILLS + 1, len(order))):
        rarest, following = counts[order[fills - 1]], counts[order[fills]]
        often = rarest >= max(OFTENER * following, LEAST_SHARE * len(pixels))
        chosen, others = spectra[order[:fills]], spectra[order[fills:]]
        if often and all(_is_beyond(fill, others) for fill in chosen):
            return chosen
    return spectra[:0]


def _is_beyond(fill: np.ndarray, others: np.ndarray) -> bool:
    """Return whether a spectrum lies outside all others in every band, and looks like a fill."""
    low, high = others.min(axis=0).astype(float), others.max(axis=0).astype(float)
    value = fill.astype(float)
    gap = np.maximum(low - value, value - high)
    far = bool((gap > high - low).any())
    return bool((gap > 0).all()) and (far or _is_customary(fill))


def _is_customary(fill: np.ndarray) -> bool:
    if (fill != fill[0]).any():
        return False
    kind = np.finfo if np.issubdtype(fill.dtype, np.floating) else np.iinfo
    ends = {float(kind(fill.dtype).min), float(kind(fill.dtype).max)}
    value = float(fill[0])
    return value in ends - {0.0} | set(_CUSTOMARY) and (value != 0 or len(fill) > 1)
