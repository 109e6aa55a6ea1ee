"""Measure a classifier on places it has not seen: folds never share one.

The figure of a random split stands beside it; the gap is what neighbouring pixels pretend. The
importance of a band is the loss of accuracy in unseen places when its values are exchanged for
those of other samples (Breiman, Machine Learning 45 (2001), section 10).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from landcover.io.legend import Legend
from landcover.models.classifier import Classifier
from landcover.models.forest.window_features import KINDS
from landcover.models.training_set import TrainingSet
from landcover.progress import progress_between, report_progress
from landcover.training.fold_parts import Draw, Fit, Fold, Told, told_by_others
from landcover.training.folds import at_random, main_class, partitions_by_place
from landcover.training.intervals import accuracy_interval
from landcover.training.reliability import reliability_of

FEATURES = ("band", "importance", "deviation")
MAX_SHUFFLED, LEAST_SHUFFLED = 5_000, 1_000
"""Labelled pixels of a fold on which the importance of few and of very many bands is measured."""
_MOST_LOOKS = 50_000
"""Times that a fold's pixels are classified to measure the importance of all bands."""
_TRAINING = 0.6
"""Share of a fold's progress; the rest is looking at what was trained."""

Importance = list[tuple[str, float, float]]
"""Band or kind of feature, mean loss of accuracy and its deviation over folds; greatest first."""


@dataclass(frozen=True)
class Unseen:
    """What a method told of places that it had not seen, in the first partition.

    Attributes:
        tested: bool (M,), the labelled pixels that were tested.
        folds: int (N,), the fold of each tested pixel.
        codes: uint8 (N,), its class.
        places: int (N,), its place.
        classes: uint8 (classes,), ascending codes.
        probability: float32 (N, classes).
    """

    tested: np.ndarray
    folds: np.ndarray
    codes: np.ndarray
    places: np.ndarray
    classes: np.ndarray
    probability: np.ndarray

    def told(self, probability: np.ndarray) -> np.ndarray:
        """Return the most probable classes, uint8 (N,)."""
        return np.asarray(self.classes[probability.argmax(axis=1)])


@dataclass(frozen=True)
class Validation:
    """What is known of a method after it was tried on places it had not seen.

    Attributes:
        report: the figures of the report of train-classifier; accuracies are NaN where fewer
            than two classes lie in two places or more.
        importance: of each band in unseen places; empty where there is no accuracy.
        places: number of places that were tested.
        right: float (M,), in which share of the partitions a labelled pixel of an unseen place
            got its class; NaN of classes that were not tested.
        unseen: what was told of them; None where there is no accuracy.
    """

    report: dict[str, Any]
    importance: Importance
    places: int
    right: np.ndarray
    unseen: Unseen | None = None


def validate(
    fit: Fit,
    training_set: TrainingSet,
    legend: Legend,
    seed: int,
    partitions: int,
    folder: Path | None = None,
) -> Validation:
    """Measure a method on folds by place and, beside it, on random ones.

    Args:
        fit: trains a classifier.
        training_set: what it learns from.
        legend: names the classes.
        seed: of folds, draws and shuffling.
        partitions: into folds by place; with one, the random figure is that of one fold, so that
            all together trains less than five times on all.
        folder: for files of folds that others compute (`landcover.executors`).
    """
    skipped = _classes_of_one_place(training_set)
    tested = ~np.isin(training_set.codes, list(skipped))
    usable = training_set.take(tested)
    right = np.full(len(training_set), math.nan)
    names = {entry.code: entry.name for entry in legend.classes}
    report: dict[str, Any] = {
        "accuracy_spatial": math.nan,
        "accuracy_spatial_interval": None,
        "partition_spread": None,
        "accuracy_random": math.nan,
        "gap": math.nan,
        "macro_f1": math.nan,
        "per_class": {},
        "reliability": None,
        "groups": len(np.unique(training_set.places)),
        "partitions": 0,
        "skipped": {names[c]: "fewer than two places" for c in sorted(skipped)},
    }
    if len(np.unique(usable.codes)) < 2:
        return Validation(report, [], places=0, right=right)
    folds = partitions_by_place(usable.codes, usable.places, partitions, seed)
    by_place = _folds_by_place(usable, folds, seed)
    by_chance = _random_folds(usable, seed, only_one=partitions == 1)
    heard = _told_of([*chain.from_iterable(by_place), *by_chance], fit, usable, folder)
    spatial, confidence, importance, told = _in_unseen_places(heard, usable, by_place)
    random = _by_random_split(heard, usable, by_chance)
    report |= _figures(usable, spatial, seed)
    report["reliability"] = reliability_of(spatial == usable.codes, confidence)
    report["accuracy_random"] = random
    report["gap"] = random - report["accuracy_spatial"]
    report["per_class"] = {
        names[code]: _class_figures(usable, spatial, code) for code in np.unique(usable.codes)
    }
    report["macro_f1"] = float(
        np.mean([figures["f1"] for figures in report["per_class"].values()])
    )
    right[tested] = (spatial == usable.codes).mean(axis=0)
    classes = np.unique(usable.codes)
    unseen = Unseen(tested, folds[0], usable.codes, usable.places, classes, told)
    return Validation(report, importance, len(np.unique(usable.places)), right, unseen)


def accuracy_by_place(fit: Fit, training_set: TrainingSet, seed: int) -> dict[str, Any]:
    """Return the accuracy in unseen places as `validate` measures it, in one partition and alone.

    Args:
        fit: trains a classifier.
        training_set: what it learns from.
        seed: of folds and draws.

    Returns:
        accuracy_spatial and accuracy_spatial_interval, None where fewer than two classes lie in
        two places; places, the number tested; skipped, the codes of classes of a single place.
    """
    skipped = _classes_of_one_place(training_set)
    usable = training_set.take(~np.isin(training_set.codes, list(skipped)))
    told = {"places": len(np.unique(usable.places)), "skipped": sorted(skipped)}
    if len(np.unique(usable.codes)) < 2:
        return told | {"accuracy_spatial": None, "accuracy_spatial_interval": None}
    (folds,) = partitions_by_place(usable.codes, usable.places, 1, seed)
    alone = [Fold(test) for test in _tests(folds)]
    predicted, *_ = _in_unseen_places(_told_here(alone, fit, usable), usable, [alone])
    figures = _figures(usable, predicted, seed)
    return told | {k: figures[k] for k in ("accuracy_spatial", "accuracy_spatial_interval")}


def _figures(training_set: TrainingSet, predicted: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the accuracy in unseen places, and how far it may be from the truth.

    Args:
        training_set: what was predicted.
        predicted: uint8 (partitions, M).
        seed: of the draws of places.
    """
    right = predicted == training_set.codes
    accuracies = right.mean(axis=1)
    spread = float(accuracies.std(ddof=1)) if len(accuracies) > 1 else None
    _, place = np.unique(training_set.places, return_inverse=True)
    interval = accuracy_interval(
        np.bincount(place, right.mean(axis=0)),
        np.bincount(place),
        main_class(training_set.codes, place),
        spread or 0.0,
        seed,
    )
    return {
        "accuracy_spatial": float(accuracies.mean()),
        "accuracy_spatial_interval": list(interval),
        "partition_spread": spread,
        "partitions": len(predicted),
    }


def predict(classifier: Classifier, training_set: TrainingSet) -> np.ndarray:
    """Return the class that a classifier gives each labelled pixel: uint8 (M,), legend codes."""
    return np.asarray(classifier.codes[classifier.probabilities_at(training_set).argmax(axis=0)])


def importance_of(classifier: Classifier, tested: TrainingSet, seed: int) -> Importance:
    """Return the importance of each band for a classifier on labelled pixels."""
    draw = _drawn(tested, tested, np.random.default_rng(seed))
    return _ranked(tested, [_losses(classifier, tested, tested, draw)])


def _folds_by_place(
    training_set: TrainingSet, partitions: Sequence[np.ndarray], seed: int
) -> list[list[Fold]]:
    """Return the folds of each partition; of the first one with what the importance needs."""
    rng = np.random.default_rng(seed)
    first = [_with_draw(training_set, test, rng) for test in _tests(partitions[0])]
    return [first, *([Fold(test) for test in _tests(folds)] for folds in partitions[1:])]


def _tests(folds: np.ndarray) -> list[np.ndarray]:
    return [folds == number for number in np.unique(folds)]


def _with_draw(training_set: TrainingSet, test: np.ndarray, rng: np.random.Generator) -> Fold:
    if len(np.unique(training_set.codes[~test])) < 2:
        return Fold(test)
    return Fold(test, _drawn(training_set.take(test), training_set, rng))


def _random_folds(training_set: TrainingSet, seed: int, only_one: bool) -> list[Fold]:
    tests = _tests(at_random(len(training_set), seed))
    return [*map(Fold, tests[: 1 if only_one else None])]


def _told_of(
    folds: Sequence[Fold], fit: Fit, training_set: TrainingSet, folder: Path | None
) -> Iterator[Told]:
    """Return what is told of each fold: by others, or here, one after another."""
    told = None
    if folder is not None:
        told = told_by_others(measure_fold, fit, training_set, folds, folder)
    return _told_here(folds, fit, training_set) if told is None else iter(told)


def _told_here(folds: Sequence[Fold], fit: Fit, training_set: TrainingSet) -> Iterator[Told]:
    for number, fold in enumerate(folds):
        report_progress(number / len(folds), f"validating, fold {number + 1} of {len(folds)}")
        with progress_between(number / len(folds), (number + 1) / len(folds)):
            told = measure_fold(fit, training_set, fold)
        yield told


def measure_fold(fit: Fit, training_set: TrainingSet, fold: Fold) -> Told:
    """Train on all but a fold, and tell its pixels.

    What was trained on is of one class at times, which is all that could be learned.
    """
    train = training_set.take(~fold.test)
    with progress_between(0, _TRAINING):
        classifier = fit(train) if len(np.unique(train.codes)) > 1 else None
    with progress_between(_TRAINING, 1 - _TRAINING / 3):
        classes = np.unique(training_set.codes)
        told = probabilities_of_classes(classifier, training_set, fold.test, classes)
    losses = np.zeros(0)
    if classifier is not None and len(fold.draw[0]):
        with progress_between(1 - _TRAINING / 3, 1):
            tested = training_set.take(fold.test)
            losses = _losses(classifier, tested, training_set, fold.draw)
    return Told(told, losses)


def _in_unseen_places(
    heard: Iterator[Told], training_set: TrainingSet, partitions: Sequence[Sequence[Fold]]
) -> tuple[np.ndarray, np.ndarray, Importance, np.ndarray]:
    """Return what models tell that did not see the place.

    Returns:
        Classes, uint8 (partitions, M), and their confidence, float32 (partitions, M), 0..1; the
        importance of bands and the probability of every class, float32 (M, classes), in the
        first partition.
    """
    classes = np.unique(training_set.codes)
    predicted = np.zeros((len(partitions), len(training_set)), np.uint8)
    confidence = np.zeros(predicted.shape, np.float32)
    first = np.zeros((len(training_set), len(classes)), np.float32)
    losses = []
    for number, folds in enumerate(partitions):
        for fold in folds:
            told = next(heard)
            predicted[number, fold.test] = classes[told.probability.argmax(axis=1)]
            confidence[number, fold.test] = told.probability.max(axis=1)
            if not number:
                first[fold.test] = told.probability
            if len(told.losses):
                losses.append(told.losses)
    return predicted, confidence, _ranked(training_set, losses), first


def _by_random_split(
    heard: Iterator[Told], training_set: TrainingSet, folds: Sequence[Fold]
) -> float:
    """Return the accuracy in pixels that were not trained on, neighbours of which were."""
    classes = np.unique(training_set.codes)
    right = [
        classes[next(heard).probability.argmax(axis=1)] == training_set.codes[fold.test]
        for fold in folds
    ]
    return float(np.concatenate(right).mean())


def probabilities_of_classes(
    classifier: Classifier | None, training_set: TrainingSet, test: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the probability of each class for the tested pixels, float32 (N, classes).

    Args:
        classifier: trained on the others; None where those are of one class.
        training_set: holds both.
        test: bool (M,), those that are tested.
        classes: uint8 (classes,), ascending, of all pixels.
    """
    found = np.zeros((int(test.sum()), len(classes)), np.float32)
    if classifier is None:
        found[:, classes == training_set.codes[~test][0]] = 1
    else:
        found[:, np.isin(classes, classifier.codes)] = classifier.probabilities_at(
            training_set.take(test)
        ).T
    return found


def _drawn(tested: TrainingSet, known: TrainingSet, rng: np.random.Generator) -> Draw:
    """Draw the pixels on which the importance is measured, and chips whose values they get.

    Those are drawn from all chips: those of a fold may be of one class.
    """
    most = min(MAX_SHUFFLED, max(LEAST_SHUFFLED, _MOST_LOOKS // len(tested.bands)))
    if len(tested) > most:
        chosen = rng.choice(len(tested), most, replace=False)
    else:
        chosen = np.arange(len(tested))
    chips = len(np.unique(tested.at[chosen, 0]))
    return chosen, rng.integers(len(known.chips), size=chips)


def _losses(
    classifier: Classifier, tested: TrainingSet, known: TrainingSet, draw: Draw
) -> np.ndarray:
    """Return the loss of accuracy when a band, or a kind of feature, is that of any chips."""
    chosen, others = draw
    tested = tested.take(chosen).alone()
    kinds = 0 if tested.around is None else tested.around.shape[1]
    looks = 1 + len(tested.bands) + kinds
    right = []
    for done, changed in enumerate(chain([tested], _changed(tested, known, others))):
        with progress_between(done / looks, (done + 1) / looks):
            report_progress(0, "measuring the importance of bands")
            right.append(float((predict(classifier, changed) == tested.codes).mean()))
    return right[0] - np.array(right[1:])


def _changed(tested: TrainingSet, known: TrainingSet, others: np.ndarray) -> Iterator[TrainingSet]:
    """Yield pixels with the values of others, one band after another; then by kind of feature."""
    for band in range(len(tested.bands)):
        yield tested.with_band(band, known, others)
    if tested.around is not None:
        for kind in range(tested.around.shape[1]):
            yield tested.with_kind(kind, known, others)


def _ranked(training_set: TrainingSet, losses: list[np.ndarray]) -> Importance:
    if not losses:
        return []
    mean, deviation = np.mean(losses, axis=0), np.std(losses, axis=0)
    names = [band.name for band in training_set.bands]
    if training_set.around is not None:
        names += [f"{kind} of all bands" for kind in KINDS[1:]]
    order = np.argsort(-mean, kind="stable")
    return [(names[which], float(mean[which]), float(deviation[which])) for which in order]


def _classes_of_one_place(training_set: TrainingSet) -> set[int]:
    return {
        int(code)
        for code in np.unique(training_set.codes)
        if len(np.unique(training_set.places[training_set.codes == code])) < 2
    }


def _class_figures(
    training_set: TrainingSet, predicted: np.ndarray, code: int
) -> dict[str, float | int]:
    """Return the figures of a class, over all partitions; `n` are its pixels."""
    of_class, told = training_set.codes == code, predicted == code
    hits = int((of_class & told).sum())
    in_truth, in_map = int(of_class.sum()) * len(predicted), int(told.sum())
    return {
        "ppv": hits / in_map if in_map else math.nan,
        "tpr": hits / in_truth,
        "f1": 2 * hits / (in_map + in_truth),
        "n": int(of_class.sum()),
        "places": len(np.unique(training_set.places[of_class])),
    }
