"""What is said of a scene's values: ok, shifted by what can be corrected, or foreign; and why."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["ok", "shifted", "foreign"]


@dataclass(frozen=True)
class BandRadiometry:
    """How one band compares with what the model knows.

    Attributes:
        name: of the model's band.
        offset: to be added after multiplying; None if the scene has no such band.
        gain: by which the scene's values are to be multiplied.
        outside: share of the valid pixels beyond the 1 % and 99 % quantiles of the training
            pixels, widened by a tenth.
    """

    name: str
    offset: float | None
    gain: float | None
    outside: float | None


@dataclass(frozen=True)
class Radiometry:
    """How a scene compares with what a model knows.

    Attributes:
        verdict: ok; shifted, where `bands` say what brings the scene to the model's values; or
            foreign, where they only estimate it, from medians and quartiles.
        bands: one by one, in the model's order.
        known: share of the valid pixels that resemble training pixels.
        advice: one sentence.
        remarks: on a scene that is ok, what should be known of it all the same.
    """

    verdict: Verdict
    bands: tuple[BandRadiometry, ...]
    known: float
    advice: str
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what a coverage report says of it."""
        return asdict(self)

    @property
    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset per band."""
        gains = np.array([band.gain for band in self.bands], np.float64)
        return gains, np.array([band.offset for band in self.bands], np.float64)


def share_outside(values: np.ndarray, quantiles: Sequence[float]) -> float:
    """Return the share of values beyond what a band learned, by its quantiles, the outer first."""
    low, high = quantiles[0], quantiles[-1]
    margin = 0.1 * (high - low)
    return float(((values < low - margin) | (values > high + margin)).mean())
