"""Random forest of extremely randomised trees over the bands of single pixels.

Breiman (2001) with the splits of Geurts, Ernst and Wehenkel (2006), trained by scikit-learn.
"""

from typing import TYPE_CHECKING

import numpy as np

from landcover.classifiers.tree_ensemble import Tree, TreeEnsemble, joined, round_down

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier

TREES = 150
LEAF_PIXELS = 3


def fit(pixels: np.ndarray, codes: np.ndarray, seed: int) -> TreeEnsemble:
    """Train 150 trees; a class weighs as the square root of the number of its samples.

    Args:
        pixels: float32 (N, bands).
        codes: uint8 (N,), legend codes.
        seed: of splits.
    """
    forest = trainer(codes, seed).fit(pixels, codes)
    share = 1.0 / len(forest.estimators_)
    trees = [_tree(estimator.tree_, share) for estimator in forest.estimators_]
    return joined(trees, forest.classes_, transform="NONE", bands=pixels.shape[1])


def trainer(codes: np.ndarray, seed: int, threads: int = -1) -> "ExtraTreesClassifier":
    """Return what trains, still empty.

    Thresholds are drawn at random too, so that trees follow single polygons less, and a leaf
    holds about three pixels at least, by weight, so that fewer can make a leaf of a rare class.
    Both, and class weights between none and equal ones, raise the accuracy in places not trained
    on, most where polygons are few.

    Args:
        codes: uint8 (N,), legend codes of what it will be trained on.
        seed: of splits.
        threads: -1 is all cores.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    classes, counts = np.unique(codes, return_counts=True)
    return ExtraTreesClassifier(
        n_estimators=TREES,
        class_weight=dict(zip(classes.tolist(), (counts**-0.5).tolist(), strict=True)),
        min_weight_fraction_leaf=min(LEAF_PIXELS / len(codes), 0.1 / len(classes)),
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
