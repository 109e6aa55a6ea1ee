"""Gradient-boosted trees over the bands of single pixels (Friedman 2001), by scikit-learn."""

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from landcover.classifiers.tree_ensemble import Tree, TreeEnsemble, joined, round_down


def fit(pixels: np.ndarray, codes: np.ndarray, seed: int) -> TreeEnsemble:
    """Train 100 rounds; classes weigh the same however many samples they have.

    Args:
        pixels: float32 (N, bands).
        codes: uint8 (N,), legend codes.
        seed: of binning.
    """
    boosted = HistGradientBoostingClassifier(
        max_iter=100, class_weight="balanced", early_stopping=False, random_state=seed
    )
    boosted.fit(pixels, codes)
    classes = len(boosted.classes_)
    # two classes share one tree a round: its sum is the second one's, the first one's is 0
    columns = range(classes) if classes > 2 else (1,)
    trees = [
        _tree(predictor.nodes, column, classes)
        for rounds in boosted._predictors
        for column, predictor in zip(columns, rounds, strict=True)
    ]
    base = np.zeros(classes, np.float32)
    base[list(columns)] = np.ravel(boosted._baseline_prediction)
    return joined(trees, boosted.classes_, softmax=True, bands=pixels.shape[1], base=base)


def _tree(nodes: Any, column: int, classes: int) -> Tree:
    """Read one tree off scikit-learn's record array of nodes."""
    leaf = nodes["is_leaf"].astype(bool)
    values = np.zeros((len(nodes), classes), np.float32)
    values[:, column] = np.where(leaf, nodes["value"], 0)
    return Tree(
        feature=np.where(leaf, 0, nodes["feature_idx"]),
        threshold=round_down(np.where(leaf, 0, nodes["num_threshold"])),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        values=values,
    )
