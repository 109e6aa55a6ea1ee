"""Folds as parts: what a method tells of each, trained on all others, by whoever is there.

Folds are independent of one another, so each is a part. What is learned from lies in one file
beside them, for it may be large.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from landcover.executors.parts import Parts, computed_parts, is_begun, is_carried, part_file
from landcover.executors.sealed import open_sealed, remarks_of_sealed, remove_sealed, write_sealed
from landcover.io.raster import Band
from landcover.io.records.digests import sha256_of_json
from landcover.models.classifier import Classifier
from landcover.models.training_set import TrainingSet
from landcover.progress import without_metrics

NAME = "validating"
_DATA = "validated"

Fit = Callable[[TrainingSet], Classifier]
Draw = tuple[np.ndarray, np.ndarray]
"""Which of the tested pixels are looked at for the importance of bands, and whose values they get
instead, both int; of no pixels where it is not measured."""
NO_DRAW: Draw = (np.zeros(0, int), np.zeros(0, int))


@dataclass(frozen=True)
class Fold:
    """Pixels that are tested by what was trained on all others.

    Attributes:
        test: bool (M,).
        draw: for the importance of bands.
    """

    test: np.ndarray
    draw: Draw = NO_DRAW


@dataclass(frozen=True)
class Told:
    """What a method told of a fold.

    Attributes:
        probability: float32 (N, classes).
        losses: of accuracy, of each band or kind of feature; empty where it is not measured.
    """

    probability: np.ndarray
    losses: np.ndarray


Measure = Callable[[Fit, TrainingSet, Fold], Told]
"""Trains on what is not in a fold, and tests on it; a function of a module."""


@dataclass(frozen=True)
class _Work:
    measure: Measure
    fit: Fit
    bands: tuple[Band, ...]
    data: Path
    seal: str
    folds: int


def told_by_others(
    measure: Measure, fit: Fit, training_set: TrainingSet, folds: Sequence[Fold], folder: Path
) -> list[Told] | None:
    """Return what was told of each fold, None where nobody is named to compute parts.

    Args:
        measure: measures one.
        fit: trains; it can be pickled.
        training_set: what is learned from.
        folds: that are tested.
        folder: for files, until all is told.
    """
    if not (is_carried() or is_begun(folder, NAME)):
        return None
    folder = folder.absolute()
    seal = _digest(fit, training_set, folds)
    data = part_file(folder, _DATA, 0)
    if remarks_of_sealed(data, seal) is None:
        write_sealed(data, seal, lambda file: _write(training_set, folds, file))
    work = _Work(measure, fit, training_set.bands, data, seal, len(folds))
    parts = Parts(_measure_part, work, len(folds), folder, NAME, {"data": seal})
    with computed_parts(parts) as files:
        told = [Told(*_arrays(file, 2)) for file in files]
    remove_sealed(folder, _DATA)
    return told


def _digest(fit: Fit, training_set: TrainingSet, folds: Sequence[Fold]) -> str:
    from joblib import hash as hash_of  # with scikit-learn

    by = [getattr(fit, "args", None) or repr(fit)]
    arrays = [hash_of(one) for one in (*_of(training_set), *_of_folds(folds))]
    return sha256_of_json([hash_of(by), *arrays])


def _of(training_set: TrainingSet) -> list[np.ndarray]:
    around = np.zeros(0) if training_set.around is None else training_set.around
    of = training_set
    return [of.chips, of.valid, of.at, of.codes, of.places, around]


def _of_folds(folds: Sequence[Fold]) -> Iterator[np.ndarray]:
    for fold in folds:
        yield from (fold.test, *fold.draw)


def _write(training_set: TrainingSet, folds: Sequence[Fold], file: BinaryIO) -> list[str]:
    for array in (*_of(training_set), *_of_folds(folds)):
        np.save(file, array, allow_pickle=False)
    return []


def _arrays(file: BinaryIO, count: int) -> list[np.ndarray]:
    return [np.load(file, allow_pickle=False) for _ in range(count)]


def _measure_part(work: _Work, number: int, file: BinaryIO) -> None:
    training_set, folds = _known(work)
    with without_metrics():
        told = work.measure(work.fit, training_set, folds[number])
    for array in (told.probability, told.losses):
        np.save(file, array, allow_pickle=False)


_last: dict[str, tuple[TrainingSet, list[Fold]]] = {}
_lock = Lock()


def _known(work: _Work) -> tuple[TrainingSet, list[Fold]]:
    """Return what is learned from, which a process reads once for all folds."""
    with _lock:
        if work.seal not in _last:
            _last.clear()
            _last[work.seal] = _read(work)
        return _last[work.seal]


def _read(work: _Work) -> tuple[TrainingSet, list[Fold]]:
    if remarks_of_sealed(work.data, work.seal) is None:
        raise FileNotFoundError(f"{work.data} is not what the folds are to be cut from")
    with open_sealed(work.data) as file:
        chips, valid, at, codes, places, around = _arrays(file, 6)
        training_set = TrainingSet(
            chips, valid, at, codes, places, work.bands, around if around.size else None
        )
        folds = (_arrays(file, 3) for _ in range(work.folds))
        return training_set, [Fold(test, (chosen, others)) for test, chosen, others in folds]
