"""What labelled witnesses say of a map: its error rate, and the zone that can be trusted.

A witness is a window of the map (or a block of windows): pixels near one another are right or
wrong together. Its errors are a share within 0 and 1, which varies at most as a hit or miss of
the same mean does; so the binomial limits of Clopper and Pearson 1934
(doi:10.1093/biomet/26.4.404) are kept, with shares for hits and Kish's effective number of
witnesses (Kish 1965, Survey Sampling, section 11.7; Korn, Graubard 1998) for trials. With one
label a witness they are the exact ones. Points that were drawn one by one, in strata, are
witnesses by themselves.

Zones are nested, from the surest windows on, in an order that no label has a say in. Testing them
in this order and stopping at the first that fails keeps the chance that any zone is trusted
falsely below 5 % without a correction (Maurer, Hothorn, Lehmacher 1995; Angelopoulos et al. 2021,
arXiv:2110.01052, fixed sequence testing). For looking again after each label, each zone has a
test martingale in place of the p-value (Waudby-Smith, Ramdas 2024, doi:10.1093/jrsssb/qkad009).
`benchmarks/reviewing.py` measures both.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from landcover.quality.estimates import LEVEL, Interval, clopper_pearson

ALPHA = 1 - LEVEL
ZONES = 10
"""Nested zones, each a tenth of the map larger than the one before."""
SEQUENTIAL_FROM = ZONES // 2
"""The zone that the sequential test begins with: fixed, so that the number of labels at the time
of looking has no say in it."""
_STAKES = 20
_DIGITS = 9


@dataclass(frozen=True)
class Witnesses:
    """Labels by witness.

    Attributes:
        ids: int (N,), of the witness that each row is a part of.
        labelled: float (N,), labels, times what each of them stands for.
        wrong: float (N,), those of them that the map has wrong.
        order: int (N,), when the first label of the row came.
        weight: float (N,), what each label stands for.
        drawn: whether each label was drawn by itself, in strata; then it is a witness, and the
            weights differ.
    """

    ids: np.ndarray
    labelled: np.ndarray
    wrong: np.ndarray
    order: np.ndarray
    weight: np.ndarray
    drawn: bool = False

    def where(self, chosen: np.ndarray) -> "Witnesses":
        """Return the rows that are chosen, bool (N,)."""
        return replace(
            self,
            ids=self.ids[chosen],
            labelled=self.labelled[chosen],
            wrong=self.wrong[chosen],
            order=self.order[chosen],
            weight=self.weight[chosen],
        )

    def effective(self) -> float:
        """Return how many witnesses of equal weight say as much: Kish's number.

        Of a stratified sample it is fewer: as many as if each label weighed as the heaviest,
        for errors may all be where labels weigh most.
        """
        if self.drawn:
            return float(self.labelled.sum() / self.weight.max())
        sizes = np.bincount(np.unique(self.ids, return_inverse=True)[1], self.labelled)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    def shares(self) -> np.ndarray:
        """Return the share of each witness that is wrong, in the order in which they came."""
        _, first, which = np.unique(self.ids, return_index=True, return_inverse=True)
        came = np.full(len(first), np.iinfo(np.int64).max)
        np.minimum.at(came, which, self.order)
        shares = np.bincount(which, self.wrong) / np.bincount(which, self.labelled)
        return np.asarray(shares[np.argsort(came, kind="stable")])


@dataclass(frozen=True)
class Rate:
    """An error rate.

    Attributes:
        share: of the labels that are wrong; NaN without labels.
        witnesses: number of them that count in effect.
        level: of the interval.
    """

    share: float
    witnesses: float
    level: float = LEVEL

    @classmethod
    def of(cls, found: Witnesses, level: float = LEVEL) -> "Rate":
        """Sum witnesses up."""
        if not found.ids.size:
            return cls(math.nan, 0.0, level)
        share = float(found.wrong.sum() / found.labelled.sum())
        return cls(share, found.effective(), level)

    @property
    def hits(self) -> float:
        """Wrong witnesses in effect."""
        return round(self.share * self.witnesses, _DIGITS) if self.witnesses else 0.0

    @property
    def interval(self) -> Interval:
        """Limits of Clopper and Pearson; 0 and 1 without labels."""
        trials = np.round(self.witnesses, _DIGITS)
        low, high = clopper_pearson(np.array(self.hits), np.array(trials), self.level)
        return float(low), float(high)

    def doubt_that(self, tolerance: float) -> float:
        """Return the p-value of the hypothesis that the rate is above the tolerance."""
        return float(exceeding(np.array(self.hits), np.array(self.witnesses), tolerance))


def exceeding(hits: np.ndarray, trials: np.ndarray, tolerance: float) -> np.ndarray:
    """Return how likely so few hits are where the rate is the tolerance, by the binomial.

    Args:
        hits: not necessarily whole.
        trials: the same.
        tolerance: above 0 and below 1.
    """
    from scipy.special import betainc

    misses = np.maximum(trials - hits, 0)
    tail = betainc(np.where(misses > 0, misses, 1), hits + 1, 1 - tolerance)
    return np.asarray(np.where(misses > 0, tail, 1.0))


@dataclass(frozen=True)
class Zone:
    """The surest windows up to a share of the map, and what labels say of them.

    Attributes:
        share: of the map's classified pixels.
        rate: of its labels.
        p_value: that its error rate is above the tolerance.
        trusted: by one look at all labels.
        sequentially: by looking as often as one likes.
    """

    share: float
    rate: Rate
    p_value: float
    trusted: bool
    sequentially: bool


def zone_of(doubt: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return the number of the smallest zone that each window is in, int (N,), from 1.

    Args:
        doubt: (N,), of each window.
        pixels: (N,), classified ones.
    """
    order = np.argsort(doubt, kind="stable")
    covered = np.cumsum(pixels[order]) / max(1, pixels.sum())
    zones = np.empty(len(doubt), np.int64)
    zones[order] = np.clip(np.ceil(np.round(covered * ZONES, _DIGITS)), 1, ZONES)
    return zones


def trusted_zones(
    found: Witnesses, zones: np.ndarray, shares: np.ndarray, tolerance: float
) -> list[Zone]:
    """Test the zones one after the other, from the surest on.

    The first is the smallest that could be trusted if none of its labels was wrong. That depends
    on how many labels there are, not on what they say.

    Args:
        found: all witnesses.
        zones: int (N,), the smallest zone that each row of them is in, from 1.
        shares: (ZONES,), of the map's pixels in each zone and the surer ones.
        tolerance: error rate that a trusted zone has at most.
    """
    within = [found.where(zones <= number) for number in range(1, ZONES + 1)]
    rates = [Rate.of(each) for each in within]
    p_values = [rate.doubt_that(tolerance) for rate in rates]
    able = [(1 - tolerance) ** rate.witnesses <= ALPHA for rate in rates]
    first = able.index(True) if any(able) else ZONES
    holds = _unbroken(np.array(p_values) <= ALPHA, first)
    grown = np.array([most_evidence(each.shares(), tolerance) >= 1 / ALPHA for each in within])
    # labels of strata of different weight are no row of equal bets
    at_any_time = _unbroken(grown & (not found.drawn), SEQUENTIAL_FROM - 1)
    return [
        Zone(*each)
        for each in zip(shares.tolist(), rates, p_values, holds, at_any_time, strict=True)
    ]


def _unbroken(passed: np.ndarray, first: int) -> list[bool]:
    """Return what is passed, in a row from the first on."""
    failed = np.flatnonzero(~passed[first:])
    last = first + (int(failed[0]) if failed.size else len(passed) - first)
    return [first <= number < last for number in range(len(passed))]


def most_evidence(shares: np.ndarray, tolerance: float) -> float:
    """Return the most evidence so far, after any witness, that the rate is below the tolerance.

    It is the mean of the wealth of gamblers who stake fixed parts on each next witness being
    right; at a rate above the tolerance it ever reaches x with a chance of at most 1 / x.

    Args:
        shares: (N,), of each witness that is wrong, in their order.
        tolerance: above 0 and below 1.
    """
    stakes = np.arange(1, _STAKES + 1) / (_STAKES + 1) / (1 - tolerance)
    gains = np.log1p(stakes[:, None] * (tolerance - shares[None, :]))
    wealth = np.exp(np.minimum(np.cumsum(gains, axis=1), 300)).mean(axis=0)
    return float(wealth.max(initial=1.0))
