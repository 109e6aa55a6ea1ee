"""Gradient-boosted trees (Friedman 2001) over bands and their windows, by scikit-learn."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from landcover.cpus import one_openmp_thread
from landcover.models.classifier import Classifier, Method
from landcover.models.forest.ensemble import Transform, Tree, joined, round_down
from landcover.models.forest.windowed import Windows, forest_over, uses_windows
from landcover.models.training_set import TrainingSet
from landcover.operation import Needs, Range

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier


@dataclass(frozen=True)
class Options:
    """Options of the boosted trees; the defaults were tuned by benchmarks/methods.py.

    Attributes:
        rounds: of boosting; each adds a tree for every class.
        learning_rate: share of each tree's answer that is added.
        leaves: of a tree, at most.
        leaf_pixels: pixels that a leaf holds at least.
        l2: penalty of large answers.
        max_features: share of the bands, and of what windows add to them, that is looked at for
            a split, drawn anew for each.
        class_weight: the exponent by which a rare class weighs more; 0 is by its number of
            pixels, 0.5 by the square root of it, 1 the same for all classes.
        windows: whether trees look at mean and deviation of each band in windows of 3 and 7
            pixels around a pixel too; auto is yes where samples have a context of 3 pixels.
    """

    rounds: Annotated[int, Range(1, 1000)] = 50
    learning_rate: Annotated[float, Range(0.001, 1)] = 0.1
    leaves: Annotated[int, Range(2, 256)] = 31
    leaf_pixels: Annotated[int, Range(1, 10_000)] = 5
    l2: Annotated[float, Range(0, 1000)] = 10.0
    max_features: Annotated[float, Range(0.001, 1)] = 0.3
    class_weight: Annotated[float, Range(0, 1)] = 0.5
    windows: Windows = "auto"


def fit(training_set: TrainingSet, options: Options, seed: int) -> Classifier:
    """Train on the labelled pixels, and on the windows around them if known, by one thread.

    Args:
        training_set: two classes at least.
        options: of the trees.
        seed: of binning and of the choice of bands.
    """
    pixels = training_set.features
    boosted = boost(pixels, training_set.codes, options, seed)
    # of two classes, one tree a round speaks for both
    scores = len(boosted._predictors[0])
    trees = [
        _tree(predictor.nodes, score, scores)
        for rounds in boosted._predictors
        for score, predictor in enumerate(rounds)
    ]
    base = np.ravel(boosted._baseline_prediction)
    first = [_raised(tree, score, base[score]) for score, tree in enumerate(trees[:scores])]
    transform: Transform = "LOGISTIC" if scores == 1 else "SOFTMAX"
    every = joined([*first, *trees[scores:]], boosted.classes_, transform, pixels.shape[1])
    return forest_over(every, training_set)


def boost(
    pixels: np.ndarray, codes: np.ndarray, options: Options, seed: int
) -> "HistGradientBoostingClassifier":
    """Return scikit-learn's boosted trees, fitted.

    Args:
        pixels: float32 (N, bands).
        codes: uint8 (N,), legend codes.
        options: of the trees.
        seed: of binning and of the choice of bands.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    boosted = HistGradientBoostingClassifier(
        max_iter=options.rounds,
        learning_rate=options.learning_rate,
        max_leaf_nodes=options.leaves,
        min_samples_leaf=options.leaf_pixels,
        l2_regularization=options.l2,
        max_features=options.max_features,
        early_stopping=False,
        random_state=seed,
    )
    with one_openmp_thread():
        return boosted.fit(pixels, codes, weights_of(codes, options.class_weight))


def weights_of(codes: np.ndarray, exponent: float) -> np.ndarray:
    """Return the weight of each pixel, float64 (N,), 1 on average, as penalties expect.

    Args:
        codes: uint8 (N,), legend codes.
        exponent: 0 is the same weight for all pixels, 1 the same sum for all classes.
    """
    _, number, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weights = (counts**-exponent)[number]
    return np.asarray(weights / weights.mean())


def fit_seconds(training_set: TrainingSet, options: Options) -> float:
    """Return about how long `fit` computes, as measured on 700 to 100,000 pixels."""
    classes = len(np.unique(training_set.codes))
    trees = options.rounds * (1 if classes == 2 else classes)
    values = len(training_set) * training_set.width
    return trees * (2.5e-3 + 1.5e-8 * values)


def _tree(nodes: Any, score: int, scores: int) -> Tree:
    """Read one tree off scikit-learn's record array of nodes."""
    leaf = nodes["is_leaf"].astype(bool)
    values = np.zeros((len(nodes), scores), np.float32)
    values[:, score] = np.where(leaf, nodes["value"], 0)
    return Tree(
        feature=np.where(leaf, 0, nodes["feature_idx"]),
        threshold=round_down(np.where(leaf, 0, nodes["num_threshold"])),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        values=values,
    )


def _raised(tree: Tree, score: int, base: float) -> Tree:
    """Add the prediction before the first round to every leaf."""
    values = tree.values.copy()
    values[tree.left < 0, score] += base
    return replace(tree, values=values)


METHOD = Method("gradient-boosting", Options, fit, Needs(cores=1, memory_mib=4096), fit_seconds,
                uses_windows=uses_windows)  # fmt: skip
