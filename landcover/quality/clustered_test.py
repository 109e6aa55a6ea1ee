"""McNemar's test of two maps whose errors come in patches.

Pixels are right or wrong together, so pixels are no witnesses: places are, and where differences
reach over several places, square blocks of them. The statistic is that of clustered pairs
(Durkalski et al. 2003, doi:10.1002/sim.1438; Yang, Sun, Hardin 2010, doi:10.1002/bimj.201000035):
the sum of the advantages over the places, squared, by the sum of their squares. With few places
its exact distribution under exchange of the two maps takes the place of chi-square, as the
binomial does in McNemar's own test.

How far differences reach is estimated from their spatial autocorrelation, as a block smaller than
an error patch would count it several times. Blocks also cut patches at their borders. The share of
the covariance that a grid of blocks keeps, (1 - reach / side) along each axis, is known from the
autocorrelation, and the sum is reduced by it. `benchmarks/comparison_level.py` measures the level.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SIGNIFICANT = 0.05
EXACT_UP_TO = 18
"""Witnesses up to which all exchanges are enumerated, 2 to the power of it."""
BLOCK_SIDE = 6
"""Side of a block in mean lags at which differences are still alike; twice a square patch."""
_GROWTH = 1.25
"""From one bin of lags to the next."""
_UNLIKE = 0.05
"""Share of the covariance of near pixels below which differences count as unrelated."""
_SIGMAS = 2.0
"""Standard errors below which a covariance counts as none."""
_ENOUGH = 100
"""Pairs of cells that a bin of lags holds."""


@dataclass(frozen=True)
class Witnesses:
    """What counts as right or wrong by itself.

    Attributes:
        advantages: int (N,), for each the pixels that only the first map has right less those
            that only the second has.
        block: side in cells of the blocks that witnesses are; 0 if they are places.
        kept: share of the standard deviation of the sum that shows in the advantages, above 0
            and up to 1; the rest is covariance across the borders of blocks.
    """

    advantages: np.ndarray
    block: int = 0
    kept: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """The outcome of the test.

    Attributes:
        p_value: clustered by witness.
        pixelwise: as if every pixel were a witness of its own: too optimistic.
        places: number of compared witnesses.
        discordant: number of witnesses where one map has more pixels right than the other.
        advantage: pixels that only the first map has right, less those of the second.
        decidable: whether p_value could be below 0.05 if one map were better in every place.
        alike: whether both maps are right in the same pixels.
    """

    p_value: float
    pixelwise: float
    places: int
    discordant: int
    advantage: int
    decidable: bool
    alike: bool

    @property
    def better(self) -> Literal["first", "second", "neither"]:
        """The map that agrees better, if that is more than chance."""
        if self.p_value >= SIGNIFICANT:
            return "neither"
        return "first" if self.advantage > 0 else "second"


def mcnemar(witnesses: Witnesses, only_first: int, only_second: int) -> Verdict:
    """Test whether two maps are equally often right.

    Args:
        witnesses: of the reference.
        only_first: pixels that only the first map has right.
        only_second: pixels that only the second map has right.
    """
    moved = witnesses.advantages[witnesses.advantages != 0].astype(float)
    return Verdict(
        p_value=_exchange_test(moved, witnesses.kept),
        pixelwise=_chi_square((only_first - only_second) ** 2, only_first + only_second),
        places=len(witnesses.advantages),
        discordant=len(moved),
        advantage=only_first - only_second,
        decidable=_exchange_test(np.abs(moved), witnesses.kept) < SIGNIFICANT,
        alike=only_first == only_second == 0,
    )


def of_cells(advantage: np.ndarray, pixels: np.ndarray) -> Witnesses:
    """Return the blocks of a raster reference.

    Args:
        advantage: int (rows, columns), pixels in each cell that only the first map has right less
            those that only the second has.
        pixels: int (rows, columns), compared pixels in each cell.
    """
    rows, columns = np.nonzero(pixels)
    reach = reach_of(advantage, pixels, pixels > 0)
    side = max(1, math.ceil(BLOCK_SIDE * reach))
    return _blocks(advantage[rows, columns], rows, columns, side, reach)


def of_places(
    advantages: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    differs: np.ndarray,
    seen: np.ndarray,
) -> Witnesses:
    """Return places, joined in blocks where maps differ in patches that reach over several.

    Args:
        advantages: int (N,), of each place.
        rows: int (N,), of the cell that its middle lies in.
        columns: int (N,).
        differs: int (rows, columns), pixels in each cell that differ, labelled or not.
        seen: int (rows, columns), pixels in each cell that both maps classify.
    """
    places = np.zeros(seen.shape)
    np.add.at(places, (rows, columns), 1)
    reach = reach_of(differs, seen, places)
    if reach == 0:
        return Witnesses(advantages)
    found = _blocks(advantages, rows, columns, math.ceil(BLOCK_SIDE * reach), reach)
    return found if len(found.advantages) < len(advantages) else replace(found, block=0)


def _blocks(
    advantages: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int, reach: float
) -> Witnesses:
    across = int(columns.max(initial=0)) // side + 1
    _, which = np.unique(rows // side * across + columns // side, return_inverse=True)
    sums = np.bincount(which, advantages)
    return Witnesses(sums.astype(np.int64), side, 1 - reach / side)


def reach_of(values: np.ndarray, pixels: np.ndarray, witnesses: np.ndarray) -> float:
    """Return how far apart along an axis, in cells, witnesses are that differ alike; 0 for none.

    It is the mean over pairs of witnesses, weighted by the covariance at their lag, up to the lag
    where the covariance is down to that of unrelated cells. Where every cell is a witness, it is
    a third of the side of square patches.

    Args:
        values: (rows, columns), sum over the pixels of each cell of what may be alike.
        pixels: (rows, columns), number of these.
        witnesses: (rows, columns), number of witnesses in each cell.
    """
    mean = values.sum() / max(1, pixels.sum())
    beyond = np.round(values - mean * pixels, 6)  # a constant difference leaves no noise behind
    farthest = max(values.shape) // 2
    products = _autocorrelation(beyond, farthest)
    pairs, couples = (
        np.rint(_autocorrelation(number, farthest)) for number in (pixels > 0, witnesses)
    )
    down, along = (np.abs(np.fft.fftfreq(side, 1 / side)) for side in products.shape)
    lags = np.hypot(down[:, None], along)
    bins = np.where(lags > 0, 1 + np.log(np.maximum(lags, 1)) / math.log(_GROWTH), 0).astype(int)
    near = lags <= farthest
    sums = products, pairs, couples, couples * (down[:, None] + along) / 2
    by_bin = np.array([np.bincount(bins[near], of_lag[near]) for of_lag in sums])
    product, pairs, couples, far = np.add.reduceat(by_bin, _starts(by_bin[1]), axis=1)
    covariance = product / np.maximum(pairs, 1)
    alike = slice(_first_unlike(covariance, pairs))
    total = float(covariance[alike] @ couples[alike])
    return max(0.0, float(covariance[alike] @ far[alike]) / total) if total > 0 else 0.0


def _starts(pairs: np.ndarray) -> list[int]:
    """Return where bins begin that have enough pairs to say whether cells differ alike.

    Args:
        pairs: (bins,), of narrow bins; the first, each cell with itself, stays alone.
    """
    starts, held = [0], math.inf
    for at, pair in enumerate(pairs[1:].tolist(), 1):
        if held >= _ENOUGH:
            starts.append(at)
            held = 0.0
        held += pair
    return starts


def _first_unlike(covariance: np.ndarray, pairs: np.ndarray) -> int:
    """Return the first bin of lags whose cells are not alike; bin 0 is each with itself.

    Args:
        covariance: (bins,), mean product of two cells.
        pairs: (bins,), number of these.
    """
    error = covariance[0] / np.sqrt(np.maximum(pairs[1:], 1))
    unlike = covariance[1:] <= np.maximum(_UNLIKE * covariance[1:2], _SIGMAS * error)
    return 1 + int(np.argmax(unlike)) if unlike.any() else len(covariance)


def _autocorrelation(grid: np.ndarray, farthest: int) -> np.ndarray:
    """Return the sum of products of cells at each lag, true up to the farthest along an axis."""
    from scipy import fft

    shape = [fft.next_fast_len(side + farthest, real=True) for side in grid.shape]
    spectrum = fft.rfft2(grid.astype(np.float64), shape)
    return np.asarray(fft.irfft2(np.abs(spectrum) ** 2, shape))


def _exchange_test(moved: np.ndarray, kept: float) -> float:
    total = kept * abs(moved.sum())
    if len(moved) > EXACT_UP_TO:
        return _chi_square(float(total**2), float((moved**2).sum()))
    sums = np.zeros(1)
    for advantage in np.abs(moved):  # all ways to call one map the other, place by place
        sums = np.concatenate([sums + advantage, sums - advantage])
    return float((np.abs(sums) >= total).mean())


def _chi_square(square: float, variance: float) -> float:
    """Return the upper tail of chi-square with one degree of freedom at square / variance."""
    return math.erfc(math.sqrt(square / variance / 2)) if variance else 1.0
