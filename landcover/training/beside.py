"""What a simpler method makes of the same folds, and the mean of both: which one to use.

A network is worth its time only where it is clearly better than a forest on places that neither
has seen; often the mean of both is best, and classify-scene takes several models.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from landcover.models.classifier import Method
from landcover.models.forest.window_features import REACH, features_at
from landcover.models.training_set import TrainingSet
from landcover.progress import remark, report_progress
from landcover.training.cross_validation import Unseen, probabilities_of_classes
from landcover.training.fold_parts import Fit
from landcover.training.folds import main_class
from landcover.training.intervals import difference_interval

MEAN = "mean of both"


@dataclass(frozen=True)
class Rival:
    """Another method on the same pixels.

    Attributes:
        name: for people.
        fit: trains it.
        training_set: the same labelled pixels in the same order.
    """

    name: str
    fit: Fit
    training_set: TrainingSet


def rival_of(method: Method, training_set: TrainingSet, seed: int) -> Rival:
    """Return a method of default options on the pixels alone, with windows where chips hold them.

    Args:
        method: that looks at no chip.
        training_set: in chips.
        seed: of its training.
    """
    has_windows = method.uses_windows is not None and _has_windows(training_set)
    around = None
    if has_windows:
        around = features_at(training_set.chips, training_set.valid, training_set.at)
    pixels = TrainingSet.of_pixels(
        training_set.pixels, training_set.codes, training_set.places, training_set.bands, around
    )
    name = f"{method.name} with windows" if has_windows else method.name
    return Rival(name, lambda some: method.fit(some, method.options(), seed), pixels)


def _has_windows(training_set: TrainingSet) -> bool:
    """Return whether the windows around all labelled pixels lie in their chips."""
    sides = np.array(training_set.chips.shape[2:])
    at = training_set.at[:, 1:]
    return bool(((at >= REACH) & (at < sides - REACH)).all())


def compare(unseen: Unseen, name: str, rival: Rival, seed: int) -> dict[str, Any]:
    """Train a rival on the folds of a method, and say in a remark which one to use.

    Args:
        unseen: what the method told of places that it had not seen.
        name: of the method.
        rival: the other one.
        seed: of the draws of places.

    Returns:
        accuracy and macro_f1 of the method, of the rival and of the mean of both, and by how much
        the best one is better than the rival, with a 95 % interval (gain, gain_interval).
    """
    theirs = _probabilities_of(rival, unseen)
    candidates = {name: unseen.probability, rival.name: theirs}
    candidates[MEAN] = unseen.probability + theirs
    right = {one: unseen.told(given) == unseen.codes for one, given in candidates.items()}
    best = max(right, key=lambda one: float(right[one].mean()))
    gained = right[best].astype(np.float64) - right[rival.name]
    interval = _interval(gained, unseen, seed)
    remark(_advice({one: float(r.mean()) for one, r in right.items()}, best, rival.name, interval))
    return {
        "methods": {
            one: {"accuracy": float(right[one].mean()),
                  "macro_f1": _macro_f1(unseen.codes, unseen.told(given))}
            for one, given in candidates.items()
        },
        "best": best,
        "gain": float(gained.mean()),
        "gain_interval": list(interval),
    }  # fmt: skip


def _probabilities_of(rival: Rival, unseen: Unseen) -> np.ndarray:
    usable = rival.training_set.take(unseen.tested)
    found = np.zeros_like(unseen.probability)
    numbers = np.unique(unseen.folds)
    for done, number in enumerate(numbers):
        report_progress(done / len(numbers), f"{rival.name} on the same folds")
        test = unseen.folds == number
        train = usable.take(~test)
        several = len(np.unique(train.codes)) > 1
        classifier = rival.fit(train) if several else None
        found[test] = probabilities_of_classes(classifier, usable, test, unseen.classes)
    return found


def _interval(gained: np.ndarray, unseen: Unseen, seed: int) -> tuple[float, float]:
    _, place = np.unique(unseen.places, return_inverse=True)
    main = main_class(unseen.codes, place)
    return difference_interval(np.bincount(place, gained), np.bincount(place), main, seed)


def _macro_f1(codes: np.ndarray, told: np.ndarray) -> float:
    def f1(code: int) -> float:
        hits = int(((codes == code) & (told == code)).sum())
        return 2 * hits / (int((codes == code).sum()) + int((told == code).sum()))

    return float(np.mean([f1(code) for code in np.unique(codes)]))


def _advice(
    accuracies: dict[str, float], best: str, rival: str, interval: tuple[float, float]
) -> str:
    """Return the figures in words, and which method to use."""
    figures = ", ".join(f"{one} {100 * share:.1f} %" for one, share in accuracies.items())
    said = f"on the same folds: {figures}"
    if best == rival:
        return f"{said}: use {rival}, which was best here"
    low, high = (100 * end for end in interval)
    by = f"{100 * (accuracies[best] - accuracies[rival]):.1f} points"
    if low <= 0:
        return (
            f"{said}: the {by} more of {best} may be chance ({low:.1f} to {high:.1f}); {rival} is "
            "simpler and maps faster"
        )
    how = (
        f"train {rival} too and give both models to classify-scene"
        if best == MEAN
        else f"use {best}"
    )
    return f"{said}: {how}, which is better by {by} ({low:.1f} to {high:.1f})"
