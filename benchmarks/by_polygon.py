"""Predictions in polygons that were not trained on, by folds that do not depend on the bands.

train-classifier joins places that are alike, and how far that reaches depends on the bands: two
of its figures may be of other folds. Here a place is a polygon, so that figures compare.
"""

from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from landcover.models.methods.random_forest import Options, fit
from landcover.training.cross_validation import predict
from landcover.training.folds import FOLDS, partitions_by_place
from landcover.training.loading import Labelled, load_samples

TREES = Options(trees=50)


def load(samples: Path) -> Labelled:
    """Load a samples folder of single pixels."""
    return load_samples([samples], None, with_context=False)


def predicted(labelled: Labelled, used: np.ndarray, seed: int) -> np.ndarray:
    """Return the class of each pixel by a forest that knew no pixel of its polygon, uint8 (M,).

    Args:
        labelled: pixels.
        used: bool (M,), which of them are trained on; all are predicted.
        seed: of folds and forests.
    """
    known, places = labelled.training_set, labelled.ground.places
    (fold,) = partitions_by_place(known.codes, places, 1, seed)
    found = np.zeros(len(known.codes), np.uint8)
    for number in range(FOLDS):
        forest = fit(known.take((fold != number) & used), TREES, seed)
        tested = fold == number
        found[tested] = predict(forest, known.take(tested))
    return found


def scores(codes: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return accuracy and macro F1."""
    return float((codes == found).mean()), float(f1_score(codes, found, average="macro"))
