"""Measure a classifier on places it has not seen: folds never share a polygon or block.

The figure of a random split stands beside it; the gap is what neighbouring pixels pretend.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from landcover.progress import progress_between, report_progress
from landcover.samples import Samples

FOLDS = 5


@dataclass(frozen=True)
class Pixels:
    """What a classifier learns from.

    Attributes:
        values: float32 (N, bands), valid pixels only.
        codes: uint8 (N,).
        groups: text (N,), the place of each.
    """

    values: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    def take(self, which: np.ndarray) -> "Pixels":
        """Return some of them."""
        return Pixels(self.values[which], self.codes[which], self.groups[which])


def validate(fit: Any, pixels: Pixels, samples: Samples, seed: int) -> dict[str, Any]:
    """Measure a method on folds by place and, beside it, on random folds.

    Args:
        fit: a classifier's fit.
        pixels: what it learns from.
        samples: whose legend names the classes.
        seed: of training and folds.

    Returns:
        The report of train-classifier; accuracies are NaN where fewer than two classes lie in
        two places or more.
    """
    skipped = _classes_of_one_place(pixels)
    usable = pixels.take(np.flatnonzero(~np.isin(pixels.codes, list(skipped))))
    names = {entry.code: entry.name for entry in samples.legend.classes}
    report: dict[str, Any] = {
        "accuracy_spatial": math.nan,
        "accuracy_random": math.nan,
        "gap": math.nan,
        "per_class": {},
        "groups": len(np.unique(pixels.groups)),
        "skipped": {names[c]: "fewer than two places" for c in sorted(skipped)},
    }
    if len(np.unique(usable.codes)) < 2:
        return report
    with progress_between(0, 0.5):
        spatial = _cross_validate(fit, usable, _folds_by_place(usable, seed), seed)
    with progress_between(0.5, 1):
        random = _cross_validate(fit, usable, _folds_at_random(usable, seed), seed)
    report["accuracy_spatial"] = float((spatial == usable.codes).mean())
    report["accuracy_random"] = float((random == usable.codes).mean())
    report["gap"] = report["accuracy_random"] - report["accuracy_spatial"]
    report["per_class"] = {
        names[code]: _class_figures(usable.codes, spatial, code)
        for code in np.unique(usable.codes)
    }
    return report


def _classes_of_one_place(pixels: Pixels) -> set[int]:
    return {
        int(code)
        for code in np.unique(pixels.codes)
        if len(np.unique(pixels.groups[pixels.codes == code])) < 2
    }


def _folds_by_place(pixels: Pixels, seed: int) -> np.ndarray:
    """Return int (N,), the fold of each pixel; a place lies in one, classes spread over all."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups, group = np.unique(pixels.groups, return_inverse=True)
    largest_class = int(np.unique(pixels.codes, return_counts=True)[1].max())
    splitter = StratifiedGroupKFold(
        min(FOLDS, len(groups), largest_class), shuffle=True, random_state=seed
    )
    fold = np.zeros(len(pixels.codes), int)
    with warnings.catch_warnings():
        # a class of fewer places than folds is missing in some, which the report counts as such
        warnings.filterwarnings("ignore", "The least populated class")
        for number, (_, test) in enumerate(splitter.split(pixels.values, pixels.codes, group)):
            fold[test] = number
    return fold


def _folds_at_random(pixels: Pixels, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(pixels.codes)) % FOLDS


def _cross_validate(fit: Any, pixels: Pixels, folds: np.ndarray, seed: int) -> np.ndarray:
    """Return uint8 (N,), the class of each pixel as told by a model that did not see its fold."""
    predicted = np.zeros(len(pixels.codes), np.uint8)
    numbers = np.unique(folds)
    for done, number in enumerate(numbers):
        report_progress(done / len(numbers), f"validating, fold {done + 1} of {len(numbers)}")
        test = folds == number
        train = pixels.take(np.flatnonzero(~test))
        if len(np.unique(train.codes)) < 2:
            predicted[test] = train.codes[0]  # one class is all that could be learned
            continue
        predicted[test] = fit(train.values, train.codes, seed).predict(pixels.values[test])
    return predicted


def _class_figures(truth: np.ndarray, predicted: np.ndarray, code: int) -> dict[str, Any]:
    hits = int(((truth == code) & (predicted == code)).sum())
    in_truth, in_map = int((truth == code).sum()), int((predicted == code).sum())
    ppv = hits / in_map if in_map else math.nan
    tpr = hits / in_truth if in_truth else math.nan
    f1 = 2 * hits / (in_map + in_truth) if in_map + in_truth else math.nan
    return {"ppv": ppv, "tpr": tpr, "f1": f1, "n": in_truth}
