"""Thresholds of a histogram, Otsu's or those of a reference; and whether it has enough modes.

Both are exact: levels are few, so the best of all thresholds is found by dynamic programming.

Source: Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979) 62, for several classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = 256
CONTRAST = 80
"""Levels between the means of the darkest and the brightest class."""
GAP = 25
"""Levels between the means of neighbouring classes."""
SHARE = 0.02
"""Of the pixels, in every class."""
PEAK = 1.15
"""How many times the highest level has as many pixels as the mean of all."""
_OF_GAUSSIAN = {2: 0.637, 3: 0.810, 4: 0.883, 5: 0.920}
"""Share of the variance of a single normal mode that lies between classes (Max 1960)."""
_MARGIN = 0.01
_SMOOTHED = 6.0
"""Standard deviation in levels, for the highest one."""
_TAILS = (0.01, 0.99)
"""Shares of the pixels between which levels count as occupied."""


def otsu(histogram: np.ndarray, classes: int) -> tuple[int, ...]:
    """Return the levels up to which each class but the last one reaches.

    Args:
        histogram: (256,), pixels by level; at least one.
        classes: 2 or more.
    """
    pixels = _from_zero(histogram.astype(np.float64))
    sums = _from_zero(histogram * np.arange(LEVELS, dtype=np.float64))
    count, total = (cum[None, :] - cum[:, None] for cum in (pixels, sums))
    between = np.divide(total**2, count, out=np.zeros_like(total), where=count > 0)
    return _best_cuts([between] * classes)


def fitted(table: np.ndarray) -> tuple[int, ...]:
    """Return the levels that agree with the most reference pixels.

    Args:
        table: (classes, 256), reference pixels of each class by level, the lowest class first.
    """
    sums = [_from_zero(of_class.astype(np.float64)) for of_class in table]
    return _best_cuts([cum[None, :] - cum[:, None] for cum in sums])


def _from_zero(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _best_cuts(gains: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Return the cuts by which the gains of consecutive spans of levels are largest.

    Args:
        gains: of each class (257, 257), of the span from a level (row) up to before another.
    """
    forward = np.triu(np.ones((LEVELS + 1, LEVELS + 1), bool), 1)
    best, came_from = np.where(forward[0], gains[0][0], -np.inf), []
    for gain in gains[1:]:
        reached = np.where(forward, best[:, None] + gain, -np.inf)
        came_from.append(reached.argmax(axis=0))
        best = reached.max(axis=0)
    cuts, end = [], LEVELS
    for origin in reversed(came_from):
        end = int(origin[end])
        cuts.append(end - 1)
    return tuple(reversed(cuts))


def class_of_level(cuts: Sequence[int]) -> np.ndarray:
    """Return the class of each level, from 0: int (256,)."""
    return np.searchsorted(np.asarray(cuts), np.arange(LEVELS), side="left")


def agreement(table: np.ndarray, cuts: Sequence[int]) -> tuple[int, int]:
    """Return the pixels of a table (classes, 256) that thresholds put in their class, and all."""
    right = table[class_of_level(cuts), np.arange(LEVELS)].sum()
    return int(right), int(table.sum())


@dataclass(frozen=True)
class Modes:
    """What a histogram says of its classes.

    Attributes:
        means: level of each class.
        shares: of the pixels.
        separation: share of the variance that lies between the classes.
        peak: how many times the highest level has as many pixels as the mean of all that are
            occupied; 1 of a flat histogram.
    """

    means: tuple[float, ...]
    shares: tuple[float, ...]
    separation: float
    peak: float

    @classmethod
    def of(cls, histogram: np.ndarray, cuts: Sequence[int]) -> "Modes":
        """Describe a histogram (256,) that is cut into classes."""
        levels, pixels = np.arange(LEVELS), histogram.astype(np.float64)
        where = class_of_level(cuts)
        counts = np.bincount(where, pixels, len(cuts) + 1)
        means = np.bincount(where, pixels * levels, len(cuts) + 1) / np.maximum(counts, 1)
        mean = (pixels * levels).sum() / pixels.sum()
        variance = (pixels * (levels - mean) ** 2).sum()
        between = (counts * (means - mean) ** 2).sum()
        separation = float(between / variance) if variance > 0 else 0.0
        shares = counts / counts.sum()
        return cls(tuple(means.tolist()), tuple(shares.tolist()), separation, _peak(pixels))

    @property
    def contrast(self) -> float:
        """Levels between the first and the last class."""
        return self.means[-1] - self.means[0]

    @property
    def gap(self) -> float:
        """The smallest step between the means of neighbouring classes."""
        return float(min(np.diff(self.means)))

    def lacking(self, of_colour: bool) -> str:
        """Return in words why these are not so many modes; "" if they may be.

        Args:
            of_colour: whether levels are those of V, for which the steps in levels are calibrated
                (benchmarks/sea_ice.py); others are judged by what has no unit.
        """
        lowest = _OF_GAUSSIAN[len(self.means)] + _MARGIN
        if of_colour and self.contrast < CONTRAST:
            return (
                f"its darkest and brightest class are {self.contrast:.0f} levels apart, "
                f"at least {CONTRAST} are needed: it may be overcast or of one kind"
            )
        if of_colour and self.gap < GAP:
            return f"two of its classes are {self.gap:.0f} levels apart, at least {GAP} are needed"
        if min(self.shares) < SHARE:
            return (
                f"one of its classes holds {100 * min(self.shares):.1f} % of the pixels, at least "
                f"{100 * SHARE:g} % are needed"
            )
        if self.separation < lowest:
            return (
                f"its classes explain {100 * self.separation:.1f} % of the variance, as parts of "
                f"a single mode do, more than {100 * lowest:.1f} % are needed"
            )
        if self.peak < PEAK:
            return "its histogram is flat"
        return ""


def _peak(pixels: np.ndarray) -> float:
    """Return how far the highest level stands out; saturated pixels make no peak."""
    from scipy.ndimage import gaussian_filter1d

    inner = np.concatenate([[pixels[1]], pixels[1:-1], [pixels[-2]]])
    smooth = gaussian_filter1d(inner, _SMOOTHED, mode="nearest")
    below = np.cumsum(pixels) / pixels.sum()
    first, last = (int(np.searchsorted(below, share)) for share in _TAILS)
    mean = inner[first : last + 1].mean()
    return float(smooth.max() / mean) if mean > 0 else 1.0
