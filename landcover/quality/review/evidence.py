"""What the labels of a review say."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from landcover.io.legend import Legend
from landcover.quality import clustered_test
from landcover.quality.clustered_test import BLOCK_SIDE, Verdict, mcnemar, reach_of
from landcover.quality.review.ranking import Ranking
from landcover.quality.review.scan import Scan
from landcover.quality.review.trust import (
    ALPHA,
    ZONES,
    Rate,
    Witnesses,
    Zone,
    trusted_zones,
)
from landcover.samples.labels import Labels, Points

_SIGMAS = 3.0
"""Standard errors from which labels lie in windows of another doubt than the map has."""

Answer = Literal["yes", "no", "open"]


@dataclass(frozen=True)
class Evidence:
    """Labels as witnesses.

    Attributes:
        witnesses: a row for each group of labels.
        block: side of a witness in windows.
        reach: how far errors are alike, in windows; 0 where windows are witnesses.
        drawn: whether they are a stratified sample of this map.
        labels: number of labelled pixels.
        elsewhere: whether they lie in windows of another doubt than the map has on average.
        without: codes of the map's classes that a drawn sample misses.
    """

    witnesses: Witnesses
    block: int
    reach: float
    drawn: bool
    labels: int
    elsewhere: bool
    without: tuple[int, ...]

    @classmethod
    def of(cls, scan: Scan, drawn: bool, labels: Labels) -> "Evidence":
        """Sum labels up by witness.

        Points count by window, those drawn one by one in strata by themselves. Of polygons and
        rasters, whose places are seldom drawn, windows are joined in blocks that are wider than
        errors reach.
        """
        groups, shape = scan.groups, scan.sums["pixels"].shape
        reach = 0.0 if isinstance(labels, Points) else _reach(scan)
        block = max(1, math.ceil(BLOCK_SIDE * reach))
        rows, columns = np.divmod(groups.window, shape[1])
        ids = rows // block * shape[1] + columns // block
        seen = np.bincount(groups.code, groups.labelled, minlength=256)
        each = scan.of_class / np.maximum(seen, 1) if drawn else np.ones(256)
        weight = each[groups.code]
        without = np.flatnonzero((scan.of_class > 0) & (seen == 0)) if drawn else np.zeros(0, int)
        return cls(
            Witnesses(
                ids, weight * groups.labelled, weight * groups.wrong, groups.order, weight, drawn
            ),
            block, reach, drawn, int(groups.labelled.sum()),
            not drawn and _elsewhere(scan), tuple(without.tolist()),
        )  # fmt: skip


def _reach(scan: Scan) -> float:
    shape = scan.sums["pixels"].shape
    labelled, wrong = (
        np.bincount(scan.groups.window, each, minlength=shape[0] * shape[1]).reshape(shape)
        for each in (scan.groups.labelled, scan.groups.wrong)
    )
    return reach_of(wrong, labelled, labelled > 0)


def _elsewhere(scan: Scan) -> bool:
    """Return whether labelled windows are more or less doubtful than the map, beyond chance."""
    pixels, doubt = scan.sums["pixels"].ravel(), scan.mean_doubt.ravel()
    mean = np.average(doubt, weights=pixels)
    spread = math.sqrt(np.average((doubt - mean) ** 2, weights=pixels))
    labelled = np.bincount(scan.groups.window, scan.groups.labelled, minlength=pixels.size)
    there = float(np.average(doubt, weights=labelled))
    effective = labelled.sum() ** 2 / (labelled**2).sum()
    return bool(abs(there - mean) > _SIGMAS * spread / math.sqrt(effective) + 1e-9)


@dataclass(frozen=True)
class SureClass:
    """Whether the sure calls of a class can be trusted.

    Attributes:
        name: of the class.
        pixels: sure ones on the map.
        rate: of their labels; its level is shared by all classes (Bonferroni).
        trusted: yes or no if the whole interval is on one side of the tolerance.
    """

    name: str
    pixels: int
    rate: Rate
    trusted: Answer


@dataclass(frozen=True)
class Judged:
    """What is known of a map.

    Attributes:
        evidence: None without a reference.
        rates: of each zone and the surer ones; the last is the map's.
        zones: tested; none without a reference.
        trusted_zone: number of the largest trusted one, 0 for none.
        trusted: its share of the classified pixels.
        classes: by code.
        verdict: whether the other map is better; None without one or without labels.
    """

    evidence: Evidence | None
    rates: list[Rate]
    zones: list[Zone]
    trusted_zone: int
    trusted: float
    classes: dict[int, SureClass]
    verdict: Verdict | None


def judged(
    scan: Scan, ranking: Ranking, evidence: Evidence | None, legend: Legend, tolerance: float
) -> Judged:
    """Judge a map by its labels.

    Args:
        scan: the map.
        ranking: of its windows.
        evidence: its labels.
        legend: of map and labels.
        tolerance: error rate that what is trusted has at most.
    """
    if evidence is None:
        nothing = Rate(math.nan, 0.0)
        return Judged(None, [nothing] * ZONES, [], 0, 0.0,
                      _classes(scan, None, legend, tolerance), None)  # fmt: skip
    of_window = ranking.zone.ravel()[scan.groups.window]
    shares = ranking.pixels_within / ranking.pixels_within[-1]
    zones = trusted_zones(evidence.witnesses, of_window, shares, tolerance)
    number = max((at for at, zone in enumerate(zones, 1) if zone.trusted), default=0)
    verdict = _better(scan, evidence) if scan.sums["both"].any() else None
    return Judged(
        evidence, [zone.rate for zone in zones], zones, number,
        zones[number - 1].share if number else 0.0,
        _classes(scan, evidence, legend, tolerance), verdict,
    )  # fmt: skip


def _classes(
    scan: Scan, evidence: Evidence | None, legend: Legend, tolerance: float
) -> dict[int, SureClass]:
    present = [entry for entry in legend.classes if scan.of_class[entry.code]]
    level = 1 - ALPHA / max(1, len(present))
    found = {}
    for entry in present:
        rate = Rate(math.nan, 0.0, level)
        if evidence is not None:
            chosen = (scan.groups.code == entry.code) & (scan.groups.sure == 1)
            rate = Rate.of(evidence.witnesses.where(chosen), level)
        answer = _answer(rate, tolerance)
        found[entry.code] = SureClass(entry.name, int(scan.sure[entry.code]), rate, answer)
    return found


def _answer(rate: Rate, tolerance: float) -> Answer:
    if not rate.witnesses:
        return "open"
    low, high = rate.interval
    if low > tolerance:
        return "no"
    return "yes" if high <= tolerance else "open"


def _better(scan: Scan, evidence: Evidence) -> Verdict:
    """Test which map is right more often where they differ, by the same witnesses."""
    groups = scan.groups
    _, which = np.unique(evidence.witnesses.ids, return_inverse=True)
    advantages = np.bincount(which, groups.only_map - groups.only_other).astype(np.int64)
    witnesses = clustered_test.Witnesses(
        advantages, evidence.block, 1 - evidence.reach / evidence.block
    )
    return mcnemar(witnesses, int(groups.only_map.sum()), int(groups.only_other.sum()))
