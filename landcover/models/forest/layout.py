"""Trees laid out for the kernels: they compare ranks instead of values.

The rank of a value is the number of thresholds of its band that lie below it, so for the k-th
threshold t from 0, x <= t is rank(x) <= k, exactly. Pixels of any type become small integers, of
which a processor compares many at once. A band of more thresholds than ranks becomes several
columns, each with a part of the thresholds; a rank beyond that part is its lowest or highest.

The top of a tree is a list of choices, children before parents: each takes what one of its
children chose, for many pixels at once and without a branch. It ends at exits. Where the whole of
every tree is a top, ranks are bytes, twice as many at once; else they are words, and nodes below
the top are walked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from landcover.errors import ModelError

TILE = 4096
"""Pixels that share one look at a tree."""
EXITS = 64
"""At most so many in a tree; choices hold their answers in slots that follow."""
MAX_COLUMNS = 4096
"""Their numbers, times LANES, fill 16 bits."""
TOP = 5
"""Levels of a deep tree that are its top: 31 choices and at most 62 exits."""
ONE_SCORE, ALL_SCORES, WALK = range(3)
"""Forms of trees: small ones whose leaves all say one score, as boosting's; small ones; others."""
CHOICE = np.dtype([("column", "u2"), ("left", "u2"), ("right", "u2"), ("cut", "i2")])
LANES = 16
"""Pixels that are walked in turns; their ranks in a column lie side by side."""
LEAF = np.dtype([("score", "i4"), ("weight", "f4")])


@dataclass(frozen=True)
class Columns:
    """What pixels are ranked by.

    Attributes:
        band: int32 (columns,), whose values are ranked.
        thresholds: float32, of all columns one after another, each sorted and filled up with
            infinity to a power of two less one.
        first: int64 (columns,), where a column's thresholds begin.
        steps: int32 (columns,), of a search in halves.
        rank: int8 or int16, the lowest stands for rank 0.
    """

    band: np.ndarray
    thresholds: np.ndarray
    first: np.ndarray
    steps: np.ndarray
    rank: np.dtype

    def of(self, column: int) -> np.ndarray:
        """Return the thresholds of a column, filled up."""
        size = (1 << int(self.steps[column])) - 1
        return self.thresholds[self.first[column] : self.first[column] + size]

    def table(self, dtype: np.dtype) -> np.ndarray:
        """Return the rank of every value of an integer type of one or two bytes.

        Returns:
            (columns, 256 or 65536), to be looked up with the value's bits.
        """
        bits = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
        order = np.argsort(bits.view(dtype), kind="stable")
        values = bits.view(dtype)[order].astype(np.float32)
        table = np.empty((len(self.band), len(bits)), self.rank)
        for column in range(len(self.band)):
            above = np.searchsorted(values, self.of(column), side="right")
            ranks = np.bincount(above, minlength=len(bits) + 1)[:-1].cumsum()
            table[column, order] = ranks + np.iinfo(self.rank).min
        return table


@dataclass(frozen=True)
class RankedTrees:
    """The arrays that a kernel takes; nothing in them leads out of them.

    Attributes:
        columns: what pixels are ranked by; at least one.
        form: what follows a tree's top: ONE_SCORE and ALL_SCORES nothing, ranks are bytes; WALK.
        scores: number of sums of a pixel.
        codes: uint8 (classes,).
        first_choice: int64 (trees + 1,), where a tree's choices begin.
        choices: CHOICE records; left and right are exits of the tree, or EXITS + one of its
            choices.
        first_exit: int64 (trees + 1,), where a tree's exits begin.
        score: int32 (trees,), which grows; of ONE_SCORE.
        weights: float64 (exits,), by how much; of ONE_SCORE.
        rows: float64 (exits + 1, padded), how much every score grows, last of all by 0; of WALK
            (rows, padded).
        exits: int32 (exits,), nodes; of WALK, as all that follows.
        nodes: int64 (nodes,), child * 2^32 + cut * 2^16 + column * LANES. The child is the left
            one, the right one lies before it; a leaf is its own child.
        blind: int32 (trees,), steps below the top before one asks whether all have arrived.
        leaf: int32 (nodes,).
        leaves: LEAF records: one score and what it grows by; or, below 0, ~row.
    """

    columns: Columns
    form: int
    scores: int
    codes: np.ndarray
    first_choice: np.ndarray
    choices: np.ndarray
    first_exit: np.ndarray
    score: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    exits: np.ndarray
    nodes: np.ndarray
    blind: np.ndarray
    leaf: np.ndarray
    leaves: np.ndarray

    @cached_property
    def tables(self) -> dict[np.dtype, np.ndarray]:
        """Ranks by type of pixels, filled as types come."""
        return {}

    def table(self, dtype: np.dtype) -> np.ndarray:
        """Return `columns.table`, made once for each type."""
        if dtype not in self.tables:
            self.tables[dtype] = self.columns.table(dtype)
        return self.tables[dtype]


def rank_trees(
    roots: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    values: np.ndarray,
    codes: np.ndarray,
) -> RankedTrees:
    """Lay out checked trees; arguments are attributes of `TreeEnsemble`."""
    branch = left >= 0
    sizes = np.diff(np.append(roots, len(feature)))
    tree = np.repeat(np.arange(len(roots)), sizes)
    leaves_of = np.bincount(tree[~branch], minlength=len(roots))
    small = bool((leaves_of <= EXITS).all() and (sizes - leaves_of < EXITS).all())
    columns, column, cut = _columns(feature, threshold, branch, np.int8 if small else np.int16)
    inside = branch & branch[roots][tree] if small else _top(roots, left, right)
    exit_ = _exits(roots, left, right, inside)
    first_exit = np.append(0, np.cumsum(np.bincount(tree[exit_], minlength=len(roots))))
    first_choice = np.append(0, np.cumsum(np.bincount(tree[inside], minlength=len(roots))))
    # exits are numbered from the first node of a tree, choices from the last
    slot = np.cumsum(exit_) - 1 - first_exit[tree]
    slot[inside] = (EXITS + first_choice[tree + 1] - np.cumsum(inside))[inside]
    order = np.flatnonzero(inside)
    order = order[np.lexsort((slot[order], tree[order]))]
    choices = np.zeros(len(order), CHOICE)
    choices["column"], choices["cut"] = column[order], cut[order]
    choices["left"], choices["right"] = slot[left[order]], slot[right[order]]
    trees = RankedTrees(
        columns=columns,
        form=ALL_SCORES,
        scores=values.shape[1],
        codes=codes,
        first_choice=first_choice,
        choices=choices,
        first_exit=first_exit,
        score=np.zeros(0, np.int32),
        weights=np.zeros(0),
        rows=_padded(values[:0]),
        exits=np.zeros(0, np.int32),
        nodes=np.zeros(0, np.int64),
        blind=np.zeros(0, np.int32),
        leaf=np.zeros(0, np.int32),
        leaves=np.zeros(0, LEAF),
    )
    if small:
        return _with_scores(trees, values[exit_])
    leaves, rows, leaf = _leaves(values, branch)
    nodes, place, source = _nodes(roots, left, right, column, cut, tree)
    depth = np.log2(np.maximum(leaves_of, 1))  # less than what pixels pass on average
    return replace(
        trees,
        form=WALK,
        exits=place[exit_].astype(np.int32),
        nodes=nodes,
        blind=np.maximum(depth - TOP, 0).astype(np.int32),
        leaf=leaf[source].astype(np.int32),
        leaves=leaves,
        rows=rows,
    )


def _with_scores(trees: RankedTrees, values: np.ndarray) -> RankedTrees:
    """Return the scores of exits, from values (exits, scores)."""
    grows = np.logical_or.reduceat(values != 0, trees.first_exit[:-1])  # (trees, scores)
    if (grows.sum(axis=1) > 1).any():
        return replace(trees, rows=_padded(np.append(values, 0 * values[:1], axis=0)))
    score = grows.argmax(axis=1)
    weights = values[np.arange(len(values)), np.repeat(score, np.diff(trees.first_exit))]
    return replace(trees, form=ONE_SCORE, score=score.astype(np.int32),
                   weights=weights.astype(np.float64))  # fmt: skip


def _columns(
    feature: np.ndarray, threshold: np.ndarray, branch: np.ndarray, rank: type
) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Return columns, and of each node its column and its cut: right if the rank is greater."""
    limit = np.iinfo(rank).max - np.iinfo(rank).min
    column, cut = np.zeros(len(feature), np.int64), np.full(len(feature), np.iinfo(rank).max)
    bands: list[int] = []
    parts: list[np.ndarray] = []
    for here in _by_band(feature, branch):
        known, number = np.unique(threshold[here], return_inverse=True)
        column[here] = len(parts) + number // limit
        cut[here] = number % limit + np.iinfo(rank).min
        parts += [known[start : start + limit] for start in range(0, len(known), limit)]
        bands += [int(feature[here[0]])] * (len(parts) - len(bands))
    if len(parts) > MAX_COLUMNS:
        raise ModelError(f"the model compares {len(parts)} bands, at most {MAX_COLUMNS} are run")
    return _search(bands or [0], parts or [np.empty(0, np.float32)], rank), column, cut


def _by_band(feature: np.ndarray, branch: np.ndarray) -> list[np.ndarray]:
    """Return the branches that compare each band that any does."""
    order = np.flatnonzero(branch)
    order = order[np.argsort(feature[order], kind="stable")]
    starts = np.flatnonzero(np.diff(feature[order])) + 1
    return [here for here in np.split(order, starts) if here.size]


def _search(bands: Sequence[int], parts: Sequence[np.ndarray], rank: type) -> Columns:
    steps = np.array([len(part).bit_length() for part in parts], np.int32)
    sizes = (1 << steps) - 1
    filled = [np.append(part, np.full(size - len(part), np.inf)) for part, size in
              zip(parts, sizes.tolist(), strict=True)]  # fmt: skip
    return Columns(
        band=np.array(bands, np.int32),
        thresholds=np.concatenate(filled).astype(np.float32),
        first=np.append(0, np.cumsum(sizes)[:-1]).astype(np.int64),
        steps=steps,
        rank=np.dtype(rank),
    )


def _top(roots: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mark the branches of the uppermost levels."""
    inside = np.zeros(len(left), bool)
    level = roots[left[roots] >= 0]
    for _ in range(TOP):
        inside[level] = True
        level = np.concatenate([left[level], right[level]])
        level = level[left[level] >= 0]
    return inside


def _exits(
    roots: np.ndarray, left: np.ndarray, right: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Mark where tops end: at children that are no choices, and at a root that is none."""
    found = np.zeros(len(left), bool)
    found[left[inside]] = found[right[inside]] = found[roots] = True
    return np.asarray(found & ~inside)


def _leaves(values: np.ndarray, branch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return different leaves, rows, and the leaf of each node; of branches it means nothing."""
    at = np.flatnonzero(~branch)
    several = np.count_nonzero(values[at], axis=1) > 1
    found = np.zeros(len(at), LEAF)
    found["score"] = (values[at] != 0).argmax(axis=1)
    found["weight"] = values[at, found["score"]]
    found["score"][several] = ~np.arange(np.count_nonzero(several), dtype=np.int32)
    # most leaves of a forest are alike; together they need little of the cache
    _, first, number = np.unique(found.view("i8"), return_index=True, return_inverse=True)
    leaf_of_node = np.zeros(len(branch), np.int64)
    leaf_of_node[at] = number
    return found[first], _padded(values[at[several]]), leaf_of_node


def _padded(rows: np.ndarray) -> np.ndarray:
    """Fill rows up to a multiple of 4 scores."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).astype(np.float64)


def _nodes(
    roots: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    column: np.ndarray,
    cut: np.ndarray,
    tree: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Store siblings side by side.

    Returns:
        Nodes, where a node was put, and from where each node came; one with two parents comes
        twice.
    """
    branch = left >= 0
    pair = tree + 1 + 2 * (np.cumsum(branch) - 1)  # where the children of a branch go
    first = np.arange(len(roots)) + 2 * (np.cumsum(branch) - branch)[roots]
    source = np.empty(len(roots) + 2 * np.count_nonzero(branch), np.int64)
    source[first] = roots
    source[pair[branch]] = right[branch]
    source[pair[branch] + 1] = left[branch]
    place = np.zeros(len(left), np.int64)
    place[source] = np.arange(len(source))
    child = np.where(branch[source], pair[source] + 1, np.arange(len(source)))
    return (child << 32) + (cut[source] << 16) + column[source] * LANES, place, source
