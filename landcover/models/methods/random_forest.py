"""Random forest of extremely randomised trees over the bands of pixels and of their windows.

Breiman (2001) with the splits of Geurts, Ernst and Wehenkel (2006), trained by scikit-learn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from landcover.models.classifier import Classifier, Method
from landcover.models.forest.ensemble import Tree, TreeEnsemble, joined, round_down
from landcover.models.forest.windowed import Windows, forest_over, uses_windows
from landcover.models.training_set import TrainingSet
from landcover.operation import Needs, Range

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.tree import BaseDecisionTree

FEW_PIXELS = 20_000
"""Below, threads cost more than they save."""


@dataclass(frozen=True)
class Options:
    """Options of the random forest.

    Attributes:
        trees: number of trees.
        leaf_pixels: pixels that a leaf holds at least, by weight.
        max_depth: of a tree; 0 is no limit.
        max_features: share of the bands, and of what windows add to them, that is looked at for
            a split; 0 is the square root of their number.
        class_weight: the exponent by which a rare class weighs more; 0 is by its number of
            pixels, 0.5 by the square root of it, 1 the same for all classes.
        windows: whether trees look at mean and deviation of each band in windows of 3 and 7
            pixels around a pixel too; auto is yes where samples have a context of 3 pixels.
    """

    trees: Annotated[int, Range(1, 2000)] = 150
    leaf_pixels: Annotated[int, Range(1, 10_000)] = 3
    max_depth: Annotated[int, Range(0, 64)] = 0
    max_features: Annotated[float, Range(0, 1)] = 0.0
    class_weight: Annotated[float, Range(0, 1)] = 0.5
    windows: Windows = "auto"


def fit(training_set: TrainingSet, options: Options, seed: int) -> Classifier:
    """Train a forest on the labelled pixels, and on the windows around them if they are known.

    Args:
        training_set: two classes at least.
        options: of the forest.
        seed: of splits.
    """
    pixels, codes = training_set.features, training_set.codes
    threads = 1 if len(codes) < FEW_PIXELS else -1
    forest = trainer(codes, seed, threads, options).fit(pixels, codes)
    trees = forest_of(forest.estimators_, forest.classes_, pixels.shape[1])
    return forest_over(trees, training_set)


def fit_seconds(training_set: TrainingSet, options: Options) -> float:
    """Return about how long `fit` computes, as measured on 700 to 100,000 pixels."""
    count = len(training_set)
    wider = math.sqrt(training_set.width / len(training_set.bands))
    return options.trees * (1e-3 + 4e-8 * wider * count * math.log2(count + 1))


def forest_of(
    estimators: Sequence["BaseDecisionTree"], codes: np.ndarray, bands: int
) -> TreeEnsemble:
    """Return the mean of scikit-learn's decision trees as a classifier.

    Args:
        estimators: fitted trees, all of the same classes.
        codes: (classes,), legend codes in the order of the trees' classes.
        bands: number of bands of a pixel.
    """
    share = 1.0 / len(estimators)
    trees = [_tree(estimator.tree_, share) for estimator in estimators]
    return joined(trees, codes, transform="NONE", bands=bands)


def trainer(
    codes: np.ndarray, seed: int, threads: int = -1, options: Options = Options()
) -> "ExtraTreesClassifier":
    """Return what trains, still empty.

    Thresholds are drawn at random too, so that trees follow single polygons less, and a leaf
    holds about three pixels at least, by weight, so that fewer can make a leaf of a rare class.
    Both, and class weights between none and equal ones, raise the accuracy in places not trained
    on, most where polygons are few.

    Args:
        codes: uint8 (N,), legend codes of what it will be trained on.
        seed: of splits.
        threads: -1 is all cores.
        options: of the forest.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    classes, counts = np.unique(codes, return_counts=True)
    weights = counts**-options.class_weight
    return ExtraTreesClassifier(
        n_estimators=options.trees,
        class_weight=dict(zip(classes.tolist(), weights.tolist(), strict=True)),
        min_weight_fraction_leaf=min(options.leaf_pixels / len(codes), 0.1 / len(classes)),
        max_depth=options.max_depth or None,
        max_features=options.max_features or "sqrt",
        n_jobs=threads,
        random_state=seed,
    )


def _tree(fitted: object, share: float) -> Tree:
    tree = fitted
    left = tree.children_left  # type: ignore[attr-defined]
    leaf = left < 0
    # (nodes, 1, classes) -> (nodes, classes), each row the shares of classes in that node
    values = tree.value[:, 0, :]  # type: ignore[attr-defined]
    values = values / values.sum(axis=1, keepdims=True) * share
    if values.shape[1] == 2:
        values = values[:, 1:]  # the first one's share is the rest
    return Tree(
        feature=np.where(leaf, 0, tree.feature),  # type: ignore[attr-defined]
        threshold=round_down(np.where(leaf, 0, tree.threshold)),  # type: ignore[attr-defined]
        left=left,
        right=tree.children_right,  # type: ignore[attr-defined]
        values=np.where(leaf[:, None], values, 0).astype(np.float32),
    )


METHOD = Method("random-forest", Options, fit, Needs(cores=2, memory_mib=4096), fit_seconds,
                uses_windows=uses_windows)  # fmt: skip
