"""Is a correction certain enough to be made?"""

from collections.abc import Iterator, Sequence

import numpy as np

from landcover.inference.shifts import advice
from landcover.inference.shifts.changes import Candidate
from landcover.inference.shifts.comparison import LEAST_KNOWN, Comparison
from landcover.inference.shifts.faults import steps_of
from landcover.inference.shifts.limits import MIXED_ALIKE
from landcover.inference.shifts.registration import Change

MOST_MOVED = 0.05
"""Of the pixels may change their class between two corrections that fit alike."""
MOST_UNSURE = 0.05
"""Of the pixels may change their class by what halves of a scene differ in their correction."""
MOST_LOST = 0.04
"""Of the pixels may change their class by what rounding took away, before a correction."""
_WHOLE_STEP = 1.001  # between neighbouring values after a correction: whole numbers come back
_FEWEST_OF_HALF = 20  # pixels


def why_unsure(scene: Comparison, chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    """Say why a correction is not certain enough to be made, "" if it is."""
    for rival in _rivals(scene, chosen, candidates):
        if scene.differ(chosen.change, rival.change) > MOST_MOVED:
            return advice.on_equal(chosen, rival)
    return "" if chosen.family is None else _why_halves_differ(scene, chosen)


def _why_halves_differ(scene: Comparison, chosen: Candidate) -> str:
    """Say so if halves of the scene ask for corrections that give other maps."""
    many = scene.many
    for axis in (0, 1):
        first = many.at[:, axis] < np.median(many.at[:, axis])
        halves = [many.values[half] for half in (first, ~first)]
        if min(map(len, halves)) < _FEWEST_OF_HALF:
            continue
        one, other = (chosen.registered(scene.spectra, half) for half in halves)
        if scene.differ(one, other) / 2 > MOST_UNSURE:
            return advice.on_halves(chosen)
    return ""


def _rivals(
    scene: Comparison, chosen: Candidate, candidates: Sequence[Candidate]
) -> Iterator[Candidate]:
    """Yield the other changes as simple that fit as well; none of a unit, which is known."""
    if chosen is candidates[0]:
        return
    least = scene.limits(chosen).alike
    for other in candidates:
        is_as_simple = other.is_per_band == chosen.is_per_band
        if is_as_simple and _score(scene, other) > _score(scene, chosen) - least:
            yield other


def _score(scene: Comparison, candidate: Candidate) -> float:
    """Return a likelihood, the less the more other a mixture of land it takes."""
    other_land = candidate.other_land if scene.at_home else 0.0
    return candidate.likelihood - MIXED_ALIKE * other_land


def lost_share(scene: Comparison, change: Change) -> float:
    """Return the share of pixels whose class hangs on what rounding took from their values.

    Steps of several whole numbers were there before, rounding took at most one.
    """
    step = np.abs(change.gain) * np.minimum(steps_of(scene.pixels.values), 1)
    if scene.card.dtype.startswith(("int", "uint")):
        step = np.where(step <= _WHOLE_STEP, 0.0, step)  # rounding to whole numbers restores
    if not step.any():
        return 0.0
    corrected = change.apply(scene.many.values)
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, corrected.shape)
    before, after = (scene.spectra.classes_of(v) for v in (corrected, corrected + step * drawn))
    return float((before != after).mean())


def misleads(scene: Comparison, change: Candidate, cut: np.ndarray) -> bool:
    """Return whether pixels that are cut off leave a change unsure, or say that it is wrong.

    Where each band has a gain of its own, how bright all are together hangs on them.
    """
    known = scene.spectra.fit(change.change.apply(cut)).known
    return change.is_per_band or known < LEAST_KNOWN
