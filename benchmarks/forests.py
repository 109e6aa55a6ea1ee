"""Forests that others trained, as our trees: Orfeo ToolBox's, scikit-learn's and LightGBM's."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from landcover.models.forest.ensemble import Tree, TreeEnsemble, joined, round_down
from landcover.models.methods import random_forest

_OTB_NODE = re.compile(
    r"depth: (\d+)\s+value: (\S+)\s+norm_class_idx: \d+"
    r"(?:\s+splits:\s+- \{ var:(\d+), quality:\S+,\s+le:(\S+) \})?"
)


def of_sklearn(forest: Any) -> TreeEnsemble:
    """Take over a RandomForestClassifier."""
    share = 1 / len(forest.estimators_)
    trees = [random_forest._tree(estimator.tree_, share) for estimator in forest.estimators_]
    return joined(trees, forest.classes_, "NONE", forest.n_features_in_)


def of_otb(path: Path, bands: int) -> TreeEnsemble:
    """Read the model file of Orfeo ToolBox's forest, OpenCV's YAML; each tree has one vote."""
    head, *texts = path.read_text().split("nodes:\n")
    labels = re.search(r"class_labels: \[([^\]]*)\]", head)
    assert labels is not None
    codes = np.array(labels[1].split(","), int)
    return joined([_otb_tree(text, codes, 1 / len(texts)) for text in texts], codes, "NONE", bands)


def _otb_tree(text: str, codes: np.ndarray, share: float) -> Tree:
    """Read nodes that stand in the order of a walk, the left child next to its parent."""
    found = _OTB_NODE.findall(text)
    depth = [int(row[0]) for row in found]
    branch = np.array([row[2] != "" for row in found])
    left, right = np.full(len(found), -1), np.full(len(found), -1)
    open_: list[int] = []  # branches on the way to the last node
    for node, level in enumerate(depth):
        del open_[level:]
        if open_:
            side = left if left[open_[-1]] < 0 else right
            side[open_[-1]] = node
        open_.append(node)
    assert ((right >= 0) == branch).all()
    values = (np.array([float(row[1]) for row in found])[:, None] == codes) * share
    return Tree(
        feature=np.array([int(row[2] or 0) for row in found]),
        threshold=round_down(np.array([float(row[3] or 0) for row in found])),
        left=left,
        right=right,
        values=np.where(branch[:, None], 0, values).astype(np.float32),
    )


def of_lightgbm(booster: Any, codes: np.ndarray) -> TreeEnsemble:
    """Take over a LightGBM booster of more than two classes."""
    trees = [
        _lightgbm_tree(info["tree_structure"], number % len(codes), len(codes))
        for number, info in enumerate(booster.dump_model()["tree_info"])
    ]
    return joined(trees, codes, "SOFTMAX", booster.num_feature())


def _lightgbm_tree(root: dict[str, Any], score: int, scores: int) -> Tree:
    nodes: list[tuple[int, float, int, int, float]] = []

    def add(node: dict[str, Any]) -> int:
        number = len(nodes)
        nodes.append((0, 0.0, -1, -1, node.get("leaf_value", 0.0)))
        if "left_child" in node:
            left, right = add(node["left_child"]), add(node["right_child"])
            nodes[number] = (node["split_feature"], node["threshold"], left, right, 0.0)
        return number

    add(root)
    feature, threshold, left, right, value = (
        np.array(column) for column in zip(*nodes, strict=True)
    )
    values = np.zeros((len(nodes), scores), np.float32)
    values[:, score] = value
    return Tree(feature, round_down(threshold), left, right, values)
