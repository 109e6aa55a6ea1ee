"""Gradient-boosted trees over the bands of single pixels (Friedman 2001), by scikit-learn."""

from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from landcover.classifiers.tree_ensemble import Transform, Tree, TreeEnsemble, joined, round_down

FEW_PIXELS = 20_000


def fit(pixels: np.ndarray, codes: np.ndarray, seed: int) -> TreeEnsemble:
    """Train 100 rounds; classes weigh the same however many samples they have.

    Args:
        pixels: float32 (N, bands).
        codes: uint8 (N,), legend codes.
        seed: of binning.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    boosted = HistGradientBoostingClassifier(
        max_iter=100, class_weight="balanced", early_stopping=False, random_state=seed
    )
    # threads that wait for each other cost more than they save where there is little to do
    with threadpool_limits(1 if len(pixels) < FEW_PIXELS else None, user_api="openmp"):
        boosted.fit(pixels, codes)
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
    return joined([*first, *trees[scores:]], boosted.classes_, transform, pixels.shape[1])


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
