"""The walk of pixels through trees in numpy, where the kernel in C is not.

The same arrays and the same sums, to the last bit, as tree_walk.c, which explains the method.
"""

import numpy as np

from landcover.models.forest.layout import EXITS, LANES, ONE_SCORE, WALK, RankedTrees


class NumpyKernel:
    """Passes pixels through trees with numpy."""

    def __init__(self, ranked: RankedTrees) -> None:
        """Store the arrays."""
        self._ranked = ranked
        parts = np.split(ranked.choices, ranked.first_choice[1:-1])
        self._choices = [part.tolist() for part in parts]
        add = {ONE_SCORE: self._add_weights, WALK: self._add_walk}
        self._add = add.get(ranked.form, self._add_rows)

    def sums(self, values: np.ndarray, ranks: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
        """Return the sums of valid pixels, float64 (valid, scores); see `kernel.Kernel`."""
        ranked = self._ranks(values[:, valid], ranks)
        sums = np.zeros((ranked.shape[1], self._ranked.rows.shape[1]))
        for tree, choices in enumerate(self._choices):
            self._add(tree, _exits(ranked, choices), ranked, sums)
        return sums[:, : self._ranked.scores]

    def choose(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        codes: np.ndarray,
        confidence: np.ndarray,
    ) -> None:
        """Write codes and confidence where pixels are valid; see `kernel.Kernel`."""
        sums = self.sums(values, ranks, valid)
        if sums.shape[1] == 1:  # the second class's
            sums = np.hstack([1 - sums, sums])
        codes[valid] = self._ranked.codes[sums.argmax(axis=1)]
        confidence[valid] = np.rint((sums.max(axis=1) * 100).clip(0, 100))

    def _ranks(self, values: np.ndarray, table: np.ndarray | None) -> np.ndarray:
        """Return the ranks (columns, N) of pixels (bands, N)."""
        columns = self._ranked.columns
        if table is not None:
            return np.stack([row[values[band]]
                             for row, band in zip(table, columns.band, strict=True)])  # fmt: skip
        lowest = np.iinfo(columns.rank).min
        # what is no number lies beyond all thresholds, so it goes right
        found = [np.searchsorted(columns.of(column), values[band]) + lowest
                 for column, band in enumerate(columns.band)]  # fmt: skip
        return np.stack(found).astype(columns.rank)

    def _add_weights(self, tree: int, exit_: np.ndarray, _: np.ndarray, sums: np.ndarray) -> None:
        """Add what a small tree says of one score."""
        weights = self._ranked.weights[self._ranked.first_exit[tree] :]
        sums[:, self._ranked.score[tree]] += weights.take(exit_, mode="clip")

    def _add_rows(self, tree: int, exit_: np.ndarray, _: np.ndarray, sums: np.ndarray) -> None:
        """Add what a small tree says of all scores."""
        rows = self._ranked.rows[self._ranked.first_exit[tree] :]
        sums += rows.take(exit_, axis=0, mode="clip")

    def _add_walk(self, tree: int, exit_: np.ndarray, ranks: np.ndarray, sums: np.ndarray) -> None:
        """Walk from the exits of a large tree's top to its leaves, and add what they say."""
        trees = self._ranked
        start = trees.exits[trees.first_exit[tree] + exit_]
        node = _leaves(trees.nodes, start, ranks, int(trees.blind[tree]))
        self._add_leaves(trees.leaves[trees.leaf[node]], sums)

    def _add_leaves(self, leaves: np.ndarray, sums: np.ndarray) -> None:
        score = leaves["score"]
        one = np.flatnonzero(score >= 0)
        sums[one, score[one]] += leaves["weight"][one]
        if len(one) < len(score):
            several = np.flatnonzero(score < 0)
            sums[several] += self._ranked.rows[~score[several]]


def _exits(ranks: np.ndarray, choices: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Return the exit, int8 (N,), at which each pixel leaves a tree's top."""
    slots = [np.full(1, exit_, np.int8) for exit_ in range(EXITS)]
    for column, left, right, cut in choices:
        beyond = -(ranks[column] > cut).view(np.int8)  # all bits, or none
        slots.append(slots[left] ^ (slots[left] ^ slots[right]) & beyond)
    return slots[-1] if choices else np.zeros(ranks.shape[1], np.int8)


def _leaves(nodes: np.ndarray, start: np.ndarray, ranks: np.ndarray, blind: int) -> np.ndarray:
    """Return the leaves, int64 (N,), that pixels of ranks (columns, N) reach from nodes."""
    at, pixel = start.astype(np.int64), np.arange(len(start))
    for _ in range(blind):
        at = _step(nodes, at, ranks, pixel)
    walking = pixel
    while walking.size:
        before = at.take(walking)
        after = _step(nodes, before, ranks, walking)
        at[walking] = after
        walking = walking[after != before]
    return at


def _step(nodes: np.ndarray, at: np.ndarray, ranks: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Return the children that pixels choose; a leaf is its own."""
    node = nodes.take(at)
    column = (node & 0xFFFF) // LANES
    rank = ranks.take(column * ranks.shape[1] + pixel).astype(np.int64)
    return np.asarray((node - (rank << 16)) >> 32)
