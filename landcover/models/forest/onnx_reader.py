"""Read trees from a model file, hostile until checked.

The kernel checks no bounds and follows children until it meets a leaf. So every node but a root
is the child of exactly one node of its own tree, which stands before it; bands and classes are
those of the card; numbers are finite; and what a pixel may cost is bounded. A forest is read only
in the form in which `TreeEnsemble.to_node` writes it: whatever else ONNX allows, other systems
might read otherwise than we do.
"""

from collections.abc import Sequence
from itertools import islice
from typing import get_args

import numpy as np

from landcover.errors import ModelError
from landcover.io.legend import MAX_CODE
from landcover.models.forest.ensemble import Transform, TreeEnsemble
from landcover.models.forest.protobuf import (
    BYTES,
    MAX_FIELDS,
    count_integers,
    fields,
    floats,
    integers,
    walk,
)

MAX_NODES = 50_000_000
MAX_VALUES = 4 * MAX_NODES
"""Leaves hold a weight of each class: at most 800 MB."""
MAX_TREES = 100_000
MAX_DEPTH = 4_096
"""Trees of pure noise have some 300 levels."""
MAX_STEPS = 1_000_000
"""Comparisons that one pixel may cost."""
_BRANCH, _LEAF = b"BRANCH_LEQ", b"LEAF"
_TREES = b"TreeEnsembleClassifier"
# of onnx.proto: nodes of a graph and the operator of one; the fields of a NodeProto but for the
# attributes, the types of an AttributeProto, and the tags of its values
_NODE, _OPERATOR = (1, BYTES), (4, BYTES)
_FOREST = {
    (2, BYTES): [b"code", b"probability"],
    _OPERATOR: [_TREES],
    (7, BYTES): [b"ai.onnx.ml"],
}
_STRING, _FLOATS, _INTS, _STRINGS = 3, 6, 7, 8
_FLOAT, _INT = 0x3D, 0x40
_KINDS = {
    "nodes_treeids": _INTS,
    "nodes_nodeids": _INTS,
    "nodes_featureids": _INTS,
    "nodes_values": _FLOATS,
    "nodes_modes": _STRINGS,
    "nodes_truenodeids": _INTS,
    "nodes_falsenodeids": _INTS,
    "class_treeids": _INTS,
    "class_nodeids": _INTS,
    "class_ids": _INTS,
    "class_weights": _FLOATS,
    "classlabels_int64s": _INTS,
    "post_transform": _STRING,
}


def is_forest(graph: memoryview) -> bool:
    """Return whether a graph, as it stands in a file, holds trees."""
    nodes = [value for field, value in islice(walk(graph), MAX_FIELDS) if field == _NODE]
    return any(
        (field, value) == (_OPERATOR, _TREES)
        for node in nodes
        for field, value in islice(walk(node), MAX_FIELDS)
    )


def from_node(
    node: memoryview, codes: Sequence[int], bands: int, source: str = "pixels"
) -> TreeEnsemble:
    """Read and check a TreeEnsembleClassifier.

    Args:
        node: the operator as it stands in a file, from anybody.
        codes: the legend's codes; every class of the node must be one.
        bands: number of bands of the model's card, or of their features.
        source: name of what it takes.

    Raises:
        ModelError: anything in it could lead the kernel astray, cost without end, or be read
            otherwise by other systems.
    """
    runs = _attributes(node, source)
    _check_counts(runs)
    labels = _labels(runs, codes)
    tree, nodes = _ints(runs, "nodes_treeids"), _ints(runs, "nodes_nodeids")
    roots = _roots(tree, nodes)
    sizes = np.diff(np.append(roots, len(tree)))
    leaf = _leaves(runs["nodes_modes"], len(tree))
    feature = _ints(runs, "nodes_featureids")
    _need((leaf | (feature < bands)).all(), "compares a band it lacks")
    threshold = floats(runs["nodes_values"], _FLOAT)
    _need(np.isfinite(threshold).all(), "has a threshold that is no number")
    left, right = (
        _children(_ints(runs, f"nodes_{side}nodeids"), nodes, leaf, roots[tree], sizes[tree])
        for side in ("true", "false")
    )
    _check_trees(left, right, roots)
    values = _leaf_values(runs, roots, sizes, leaf, 1 if len(labels) == 2 else len(labels))
    return TreeEnsemble(
        roots=roots.astype(np.int32),
        feature=np.where(leaf, 0, feature).astype(np.int32),
        threshold=threshold,
        left=left,
        right=right,
        values=values,
        codes=labels.astype(np.uint8),
        transform=_transform(runs["post_transform"], values),
        bands=bands,
    )


def _attributes(node: memoryview, source: str) -> dict[str, memoryview]:
    """Return the attributes of a node that has all of ours and no others, still encoded."""
    found = fields(node)
    attributes = found.pop((5, BYTES), [])
    of_node = _FOREST | {(1, BYTES): [source.encode()]}
    _need(found == of_node, "is not one forest, other models are not run")
    runs: dict[str, memoryview] = {}
    for attribute in attributes:
        # first its name after its length, then the run of its values, last its type
        end = 2 + int.from_bytes(attribute[1:2])
        name = bytes(attribute[2:end]).decode(errors="replace")
        _need(name in _KINDS, f"has the attribute {name}, which is not read here")
        _need(name not in runs, f"has the attribute {name} twice")
        ours = attribute[:1] == b"\n" and attribute[-3:] == bytes((0xA0, 1, _KINDS[name]))
        _need(ours and len(attribute) >= end + 3, f"has {name} in a form that is not read here")
        runs[name] = attribute[end:-3]
    missing = [name for name in _KINDS if name not in runs]
    _need(not missing, f"lacks {', '.join(missing)}")
    return runs


def _check_counts(runs: dict[str, memoryview]) -> None:
    """Refuse lists that do not fit together before they become arrays."""
    counts = {name: count_integers(runs[name]) for name, kind in _KINDS.items() if kind == _INTS}
    nodes = counts["nodes_treeids"]
    _need(0 < nodes <= MAX_NODES, f"has {nodes} nodes, 1 to {MAX_NODES} are run")
    alike = {n for name, n in counts.items() if name.startswith("nodes_")}
    _need(alike == {nodes} and len(runs["nodes_values"]) == 5 * nodes,
          "has node lists of different lengths")  # fmt: skip
    weights = counts["class_ids"]
    alike = {n for name, n in counts.items() if name.startswith("class_")}
    _need(alike == {weights} and len(runs["class_weights"]) == 5 * weights,
          "has class lists of different lengths")  # fmt: skip
    labels = counts["classlabels_int64s"]
    _need(2 <= labels <= MAX_CODE, f"tells {labels} classes apart, 2 to {MAX_CODE} are run")
    _need(weights <= nodes * labels and nodes * labels <= MAX_VALUES,
          "has too many nodes for its classes")  # fmt: skip


def _labels(runs: dict[str, memoryview], codes: Sequence[int]) -> np.ndarray:
    labels = _ints(runs, "classlabels_int64s")
    known = set(labels.tolist())
    _need(known <= set(codes), "names classes outside its legend")
    _need(len(known) == len(labels), "names a class twice")
    return labels


def _roots(tree: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return the first node of each tree; trees and nodes must be numbered 0, 1, 2 ..."""
    roots = np.flatnonzero(nodes == 0)
    _need(roots.size > 0 and roots[0] == 0, "has no first node")
    _need(roots.size <= MAX_TREES, f"has {roots.size} trees, at most {MAX_TREES} are run")
    sizes = np.diff(np.append(roots, len(nodes)))
    in_order = np.array_equal(tree, np.repeat(np.arange(len(roots)), sizes))
    in_order &= np.array_equal(nodes, np.arange(len(nodes)) - np.repeat(roots, sizes))
    _need(in_order, "does not number its trees and nodes 0, 1, 2 and so on")
    return roots


def _leaves(modes: memoryview, count: int) -> np.ndarray:
    """Return bool (nodes,), True at a leaf."""
    branch, leaf = _string(_BRANCH), _string(_LEAF)
    short = bytes(modes).replace(branch, b"\0").replace(leaf, b"\1")
    branches, leaves = short.count(0), short.count(1)
    # a byte that was 0 or 1 before would make the list longer than it is
    whole = branches + leaves == len(short)
    whole &= branches * len(branch) + leaves * len(leaf) == len(modes)
    _need(whole, "compares in another way than <=")
    _need(len(short) == count, "has node lists of different lengths")
    return np.frombuffer(short, bool)


def _children(
    child: np.ndarray, nodes: np.ndarray, leaf: np.ndarray, offset: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return one child of each node as an index of all nodes, -1 at a leaf."""
    inside = (child > nodes) & (child < size)
    _need((leaf | inside).all(), "has a child outside its tree or before its parent")
    return np.where(leaf, -1, child + offset).astype(np.int32)


def _check_trees(left: np.ndarray, right: np.ndarray, roots: np.ndarray) -> None:
    """Refuse what is no tree, and trees in which a pixel could walk for very long."""
    inner = left >= 0
    parents = np.bincount(np.append(left[inner], right[inner]), minlength=len(left))
    parents[roots] += 1  # children follow their parents, so a root had none
    _need((parents == 1).all(), "has a node that is the child of none or of two")
    depth = np.zeros(len(left), np.int32)
    level = roots
    for below in range(1, MAX_DEPTH + 2):
        level = level[inner[level]]
        if not level.size:
            break
        level = np.append(left[level], right[level])
        depth[level] = below
    deepest = np.maximum.reduceat(depth, roots)
    _need(deepest.max() <= MAX_DEPTH, f"has a tree of more than {MAX_DEPTH} levels")
    steps = int(deepest.sum())
    _need(steps <= MAX_STEPS, f"compares a pixel up to {steps} times, at most {MAX_STEPS} do")


def _leaf_values(
    runs: dict[str, memoryview],
    roots: np.ndarray,
    sizes: np.ndarray,
    leaf: np.ndarray,
    scores: int,
) -> np.ndarray:
    tree, node = _ints(runs, "class_treeids"), _ints(runs, "class_nodeids")
    column, weight = _ints(runs, "class_ids"), floats(runs["class_weights"], _FLOAT)
    _need((tree < len(roots)).all(), "has a class in a tree it lacks")
    _need((node < sizes[tree]).all(), "has a class at a node it lacks")
    _need((column < scores).all(), "has a class outside its legend")
    _need(np.isfinite(weight).all(), "has a class weight that is no number")
    where = roots[tree] + node
    _need(leaf[where].all(), "has a class at a branch")
    cell = where * scores + column
    ordered = np.sort(cell)
    _need((ordered[1:] != ordered[:-1]).all(), "weighs a class twice at one leaf")
    values = np.zeros(len(leaf) * scores, np.float32)
    values[cell] = weight
    return values.reshape(-1, scores)


def _transform(run: memoryview, values: np.ndarray) -> Transform:
    known: Transform | None = next(
        (name for name in get_args(Transform) if _string(name.encode(), 0x22) == run), None
    )
    if known is None:
        raise ModelError("the model ends in a transform that is not run here")
    # where one score speaks for two classes, others read the next two otherwise
    _need(known != "SOFTMAX" or values.shape[1] > 1, "ends in SOFTMAX of one score")
    _need(known != "NONE" or values.min() >= 0, "has a share of a class below 0")
    return known


def _ints(runs: dict[str, memoryview], name: str) -> np.ndarray:
    return integers(runs[name], _INT)


def _string(text: bytes, tag: int = 0x4A) -> bytes:
    """Return a text as an attribute holds it."""
    return bytes((tag, len(text))) + text


def _need(holds: bool | np.bool_, fault: str) -> None:
    if not holds:
        raise ModelError(f"the model {fault}")
