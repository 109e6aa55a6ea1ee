"""Are a scene's spectra such as the model was trained on?

A classifier answers for every pixel, also for spectra it never saw: a model trained on foreign
spectra once called a whole region water (Avramenko et al. 2021). So before a scene is classified,
each band is compared with the training pixels on the model's card.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import DatasetReader

from landcover.models import Card

Verdict = Literal["ok", "shifted", "foreign"]
SAMPLE_SIDE = 512
# a band is foreign when less than this share of the scene lies where the model learned
LEAST_KNOWN = 0.2


@dataclass(frozen=True)
class Radiometry:
    """How a scene compares with what a model knows.

    Attributes:
        verdict: ok or foreign; a shift is not yet told apart from foreign spectra.
        outside: per band name, the share of valid pixels outside the training pixels' range.
        advice: one sentence.
    """

    verdict: Verdict
    outside: dict[str, float]
    advice: str


def compare(dataset: DatasetReader, indexes: list[int], card: Card) -> Radiometry:
    """Compare a scene, thinned to at most 512 x 512 pixels, with a model's card.

    Args:
        dataset: the scene.
        indexes: its bands, from 1, in the model's order.
        card: of the model.
    """
    pixels = _thinned(dataset, indexes)
    outside = {
        band.name: _outside(values, band.quantiles[0], band.quantiles[-1])
        for band, values in zip(card.bands, pixels, strict=True)
    }
    foreign = [name for name, share in outside.items() if share > 1 - LEAST_KNOWN]
    if not foreign:
        return Radiometry("ok", outside, "the scene's values are such as the model has learned")
    return Radiometry("foreign", outside, _advice(foreign, outside, len(card.bands)))


def _thinned(dataset: DatasetReader, indexes: list[int]) -> np.ndarray:
    """Return valid pixels, float64 (bands, N), of an evenly thinned scene."""
    height, width = min(dataset.height, SAMPLE_SIDE), min(dataset.width, SAMPLE_SIDE)
    shape = (len(indexes), height, width)
    values = dataset.read(indexes, out_shape=shape, resampling=Resampling.nearest, masked=True)
    known = ~np.ma.getmaskarray(values).any(axis=0)
    plain = values.data.astype(np.float64)
    return np.asarray(plain[:, known & np.isfinite(plain).all(axis=0)])


def _outside(values: np.ndarray, low: float, high: float) -> float:
    """Return the share outside the training range, widened by a tenth at each end."""
    margin = 0.1 * (high - low)
    beyond = (values < low - margin) | (values > high + margin)
    return float(beyond.mean()) if values.size else 0.0


def _advice(foreign: list[str], outside: dict[str, float], bands: int) -> str:
    worst = max(foreign, key=lambda name: outside[name])
    return (
        f"{len(foreign)} of {bands} bands hold values that the model never saw, most of all "
        f"{worst} with {outside[worst]:.0%} of the pixels: use a scene of the same sensor, "
        "processing level and scale, or train a model on this one"
    )
