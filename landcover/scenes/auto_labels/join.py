"""From the counts of scenes to thresholds (the reduce step): each scene's own, or one for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from landcover.errors import InputError
from landcover.scenes.auto_labels.one_scene import Counts
from landcover.scenes.auto_labels.quantities import value_at
from landcover.scenes.auto_labels.rules import Ladder, RuleSet
from landcover.scenes.auto_labels.thresholds import Modes, agreement, fitted, otsu

Calibration = Literal["none", "otsu", "reference"]


@dataclass(frozen=True)
class Calibrated:
    """How a scene is labelled.

    Attributes:
        cuts: levels up to which the classes of the ladder reach; None if the rules are taken as
            they stand.
        modes: of its histogram; None without a ladder.
        refusal: why it is not labelled; "" if it is.
    """

    cuts: tuple[int, ...] | None
    modes: Modes | None
    refusal: str = ""

    def values(self, ladder: Ladder | None) -> tuple[float, ...]:
        """Return the thresholds in the unit of the quantity."""
        if ladder is None or self.cuts is None:
            return ()
        return tuple(value_at(cut, ladder.quantity) for cut in self.cuts)


@dataclass(frozen=True)
class Fit:
    """Thresholds that were fitted to a reference.

    Attributes:
        cuts: fitted to all of it.
        seen: share of it that they put in its class: too good, for they were fitted to it.
        unseen: the same of each half by thresholds of the other half; None if one half lacks a
            class.
    """

    cuts: tuple[int, ...]
    seen: float
    unseen: float | None


def calibrate(
    counts: Sequence[Counts], rules: RuleSet, how: Calibration
) -> tuple[list[Calibrated], Fit | None]:
    """Return how each scene is labelled, and the fit to a reference if that was asked for.

    Raises:
        InputError: nothing can be fitted.
    """
    ladder = rules.ladder
    if ladder is None or how == "none":
        return [_as_it_stands(each, ladder) for each in counts], None
    if how == "otsu":
        return [_by_otsu(each, ladder) for each in counts], None
    fit = _fit(counts, ladder)
    return [
        Calibrated(None, None, each.refusal)
        if each.refusal
        else Calibrated(fit.cuts, Modes.of(each.histograms[ladder.quantity], fit.cuts))
        for each in counts
    ], fit


def _as_it_stands(counts: Counts, ladder: Ladder | None) -> Calibrated:
    if counts.refusal or ladder is None:
        return Calibrated(None, None, counts.refusal)
    histogram = _judged(counts, ladder)
    return Calibrated(None, Modes.of(histogram, otsu(histogram, len(ladder.codes))))


def _by_otsu(counts: Counts, ladder: Ladder) -> Calibrated:
    """Return Otsu's thresholds, refused where the scene does not have so many modes."""
    if counts.refusal:
        return Calibrated(None, None, counts.refusal)
    classes = len(ladder.codes)
    judged = _judged(counts, ladder)
    modes = Modes.of(judged, otsu(judged, classes))
    lacking = modes.lacking(of_colour=ladder.quantity == "V" and classes == 3)
    refusal = f"Otsu's thresholds need {classes} modes: {lacking}" if lacking else ""
    return Calibrated(otsu(counts.histograms[ladder.quantity], classes), modes, refusal)


def _judged(counts: Counts, ladder: Ladder) -> np.ndarray:
    """Return the histogram that modes are looked for in: a filter would make some."""
    own = counts.histograms[ladder.quantity]
    return own if counts.unfiltered is None else counts.unfiltered


def _fit(counts: Sequence[Counts], ladder: Ladder) -> Fit:
    halves = sum((c.halves for c in counts if c.halves is not None), np.zeros((2, 256, 256)))
    by_class = np.asarray(halves)[:, list(ladder.codes)]  # (2, classes, 256)
    both = by_class.sum(axis=0)
    empty = [code for code, row in zip(ladder.codes, both, strict=True) if not row.any()]
    if empty:
        raise InputError(
            f"the reference holds no pixel of class {empty[0]} on the scenes: thresholds can be "
            "fitted to one that has all classes",
            "reference",
        )
    cuts = fitted(both)
    right, total = agreement(both, cuts)
    return Fit(cuts, right / total, _unseen(by_class))


def _unseen(halves: np.ndarray) -> float | None:
    if not halves.any(axis=2).all():
        return None
    pairs = [agreement(halves[1 - half], fitted(halves[half])) for half in (0, 1)]
    return sum(right for right, _ in pairs) / sum(total for _, total in pairs)


def summed(counts: Sequence[Counts]) -> Mapping[str, np.ndarray]:
    """Return the histograms of all scenes together, by quantity."""
    known = [each.histograms for each in counts if each.histograms]
    return {name: np.sum([one[name] for one in known], axis=0) for name in known[0]}
