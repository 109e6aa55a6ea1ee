"""What a random sample, stratified by the map's classes, says of the whole map.

Estimates and their variances: Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015, equations 1
to 11. Half a normal interval has no width where every point of a stratum agrees, and covers too
little near 0 and 1, so the intervals are made of the strata's Clopper-Pearson limits: for sums of
strata by the method of variance estimates recovery (Zou, Huang, Zhang 2009,
doi:10.1016/j.csda.2008.09.033), for the producer's accuracy, a function of the ratio of two
independent sums, by its extension to ratios (Donner, Zou 2012, doi:10.1177/0962280210383082).
`benchmarks/intervals.py` measures how often they hold the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landcover.errors import InputError
from landcover.quality.confusion import Confusion

# of the normal distribution, for 95 % intervals
Z95 = 1.959963984540054
LEVEL = 0.95
FEWEST_POINTS = 2
"""Of a class, for an interval."""

Estimate = tuple[float, float]
"""A share 0..1 and half of its symmetric 95 % interval by Olofsson et al.; where that has no
width, the longer side of the interval in `Intervals`. NaN where the sample says nothing."""
Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval, within 0..1; NaN where the sample says nothing."""


@dataclass(frozen=True)
class Intervals:
    """The 95 % interval of each figure, as reports show it.

    Attributes:
        accuracy: overall.
        users: per class name.
        producers: per class name.
        shares: per class name.
    """

    accuracy: Interval
    users: dict[str, Interval]
    producers: dict[str, Interval]
    shares: dict[str, Interval]


@dataclass(frozen=True)
class AreaEstimates:
    """Area-adjusted figures of a stratified sample.

    Attributes:
        accuracy: overall.
        users: per class name, of the mapped area the share that is right.
        producers: per class name, of the true area the share that is mapped.
        shares: per class name, the true share of the mapped area.
        area: of the whole map in hectares, None if the map's system has no lengths.
        intervals: of all shares.
    """

    accuracy: Estimate
    users: dict[str, Estimate]
    producers: dict[str, Estimate]
    shares: dict[str, Estimate]
    area: float | None
    intervals: Intervals


def area_adjusted(
    confusion: Confusion, mapped: Sequence[float], area: float | None = None
) -> AreaEstimates:
    """Adjust accuracy and class areas for how much of the map each class covers.

    Args:
        confusion: of a random sample stratified by the map's classes.
        mapped: pixels of each class on the whole map, or their area, in the order of the names.
        area: of the whole map in hectares.

    Raises:
        InputError: a class of the map has fewer than two sampled pixels.
    """
    by_map = confusion.counts.T.astype(float)  # rows map, columns reference
    sampled, size = by_map.sum(axis=1), np.asarray(mapped, float)
    on_map = size > 0
    if (sampled[on_map] < FEWEST_POINTS).any():
        poor = confusion.names[int(np.flatnonzero(on_map & (sampled < FEWEST_POINTS))[0])]
        raise InputError(f"a stratified design needs two pixels of each class, {poor} has fewer")
    strata = _Shares.of(by_map, np.where(on_map, sampled, np.inf))  # what is not mapped has none
    weighted = strata.times(size[:, None] / size.sum())
    right = weighted.diagonal()
    missed = weighted.only(~np.eye(len(size), dtype=bool)).sum()
    figures = {
        "users": strata.diagonal().only(on_map, otherwise=np.nan),
        "producers": _producers(right, missed),
        "shares": weighted.sum(),
    }
    accuracy = right.sum()
    return AreaEstimates(
        accuracy=accuracy.estimates()[0],
        area=area,
        intervals=Intervals(
            accuracy=accuracy.intervals()[0],
            **{name: _named(confusion, figure.intervals()) for name, figure in figures.items()},
        ),
        **{name: _named(confusion, figure.estimates()) for name, figure in figures.items()},
    )


def estimated_share(
    hits: np.ndarray, trials: np.ndarray, sizes: np.ndarray
) -> tuple[float, Interval]:
    """Estimate which share of a map is so, and the 95 % interval of it.

    Args:
        hits: (strata,), points that are so.
        trials: (strata,), points, at least two of each stratum.
        sizes: (strata,), how large the strata are, in any unit.
    """
    strata = _Shares.of(np.asarray(hits, float)[:, None], np.asarray(trials, float))
    total = strata.times(sizes[:, None] / sizes.sum()).sum()
    return total.estimates()[0][0], total.intervals()[0]


def clopper_pearson(
    hits: np.ndarray, trials: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of the intervals of shares of which `hits` of `trials` were seen.

    Hits need not be whole where a trial is a cluster with a share: no share within 0 and 1 varies
    more than hit or miss does, so that the interval holds the truth at least as often.

    Source: Clopper, Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    misses = trials - hits
    # at the ends the beta distribution has no mass to invert: the limit is 0 or 1
    some_hits, some_misses = np.where(hits > 0, hits, 1), np.where(misses > 0, misses, 1)
    low = np.where(hits > 0, betaincinv(some_hits, misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(hits + 1, some_misses, 1 - tail), 1.0)
    return low, high


@dataclass(frozen=True)
class _Shares:
    """Estimated shares of any shape, their variances, and the ends of their intervals."""

    values: np.ndarray
    variances: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, sampled: np.ndarray) -> "_Shares":
        """Estimate shares of strata.

        Args:
            counts: (strata, classes), sampled pixels.
            sampled: (strata,), infinite where there is no stratum.
        """
        trials = sampled[:, None]
        share = counts / trials
        low, high = clopper_pearson(counts, np.where(np.isinf(trials), counts, trials))
        there = np.isfinite(trials)
        return cls(share, share * (1 - share) / (trials - 1), low, high).only(there)

    def times(self, weight: np.ndarray) -> "_Shares":
        """Return them multiplied with fixed numbers."""
        return _Shares(
            weight * self.values, weight**2 * self.variances, weight * self.low, weight * self.high
        )

    def only(self, which: np.ndarray, otherwise: float = 0.0) -> "_Shares":
        """Return them with another number where `which` is False."""
        parts = (self.values, self.variances, self.low, self.high)
        return _Shares(*(np.where(which, part, otherwise) for part in parts))

    def diagonal(self) -> "_Shares":
        """Return those of a class in its own stratum."""
        return _Shares(*map(np.diagonal, (self.values, self.variances, self.low, self.high)))

    def sum(self) -> "_Shares":
        """Sum over strata, which are independent; limits as by Zou, Huang and Zhang 2009."""
        values = self.values.sum(axis=0)
        below = np.sqrt(((self.values - self.low) ** 2).sum(axis=0))
        above = np.sqrt(((self.high - self.values) ** 2).sum(axis=0))
        low, high = np.maximum(values - below, 0), np.minimum(values + above, 1)
        return _Shares(values, self.variances.sum(axis=0), low, high)

    def estimates(self) -> list[Estimate]:
        """Return each with half of its symmetric interval."""
        longer = np.maximum(self.values - self.low, self.high - self.values)
        half = np.where(self.variances == 0, longer, Z95 * np.sqrt(self.variances))
        return list(
            zip(*(np.atleast_1d(part).tolist() for part in (self.values, half)), strict=True)
        )

    def intervals(self) -> list[Interval]:
        """Return the ends of each interval."""
        return list(
            zip(*(np.atleast_1d(end).tolist() for end in (self.low, self.high)), strict=True)
        )


def _producers(right: _Shares, missed: _Shares) -> _Shares:
    """Return the share of each class that is mapped as it.

    Args:
        right: of the whole map, what is the class and mapped as it: one stratum.
        missed: what is the class and mapped as another: all other strata.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        area = right.values + missed.values
        value = right.values / area
        variance = (1 - value) ** 2 * right.variances + value**2 * missed.variances
        low, high = _ratio_limits(right, missed)
        producers = _Shares(value, variance / area**2, 1 - 1 / (1 + low), 1 - 1 / (1 + high))
    return producers.only(area > 0, otherwise=np.nan)


def _ratio_limits(one: _Shares, other: _Shares) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of the ratio of two independent sums, as by Donner and Zou 2012.

    At a limit t the interval of one - t other, found as in `sum`, ends at 0: t solves
    (one - t other)^2 = a^2 + t^2 b^2 with the distances a and b to the limits of both.
    """
    product = one.values * other.values
    below, above = one.values - one.low, one.high - one.values
    fewer, more = other.values - other.low, other.high - other.values

    def root(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        square = (one.values * b) ** 2 + (other.values * a) ** 2 - (a * b) ** 2
        return np.asarray(np.sqrt(np.maximum(square, 0)))

    low = (one.values**2 - below**2) / (product + root(below, more))
    high = (product + root(above, fewer)) / (other.values**2 - fewer**2)
    unbounded = np.where(one.high > 0, np.inf, 0.0)
    return np.where(one.low > 0, low, 0), np.where(other.low > 0, high, unbounded)


def _named(
    confusion: Confusion, figures: Sequence[tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    return dict(zip(confusion.names, figures, strict=True))
