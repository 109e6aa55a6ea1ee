"""The walk of pixels through trees, compiled by numba when it is first needed.

The same arrays and the same sums, to the last bit, as tree_walk.c, which explains the method.
Numba keeps what it compiled beside this file, or in the user's cache if that is not writable.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from landcover.classifiers.ranked_trees import (
    EXITS,
    LANES,
    ONE_SCORE,
    TILE,
    WALK,
    RankedTrees,
)

STRIP = 256
TURNS = 32
"""Pixels walked in turns: so many reads of memory can be under way."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep it in: it is compiled in every process
        return numba.njit(nogil=True)(function)


class NumbaKernel:
    """Passes pixels through trees with numba."""

    def __init__(self, ranked: RankedTrees) -> None:
        """Take the arrays."""
        self._ranked = ranked

    def sums(self, values: np.ndarray, ranks: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
        """Return the sums of valid pixels, float64 (valid, scores); see `kernels.Kernel`."""
        return self._sums(values, ranks, np.flatnonzero(valid))

    def choose(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        codes: np.ndarray,
        confidence: np.ndarray,
    ) -> None:
        """Write codes and confidence where pixels are valid; see `kernels.Kernel`."""
        index = np.flatnonzero(valid)
        choose(self._sums(values, ranks, index), self._ranked.codes, index, codes, confidence)

    def _sums(self, values: np.ndarray, ranks: np.ndarray | None, index: np.ndarray) -> np.ndarray:
        trees, columns = self._ranked, self._ranked.columns
        length = -(-len(index) // STRIP) * STRIP  # tops take whole strips
        ranked = np.zeros((len(columns.band), length), columns.rank)
        if ranks is None:
            search_values(values, columns.band, columns.thresholds, columns.first, columns.steps,
                          index, ranked)  # fmt: skip
        else:
            rank_values(values, columns.band, ranks, index, ranked)
        sums = np.zeros((length, trees.rows.shape[1]))
        if trees.form == WALK:
            add_walks(ranked, trees.first_choice, trees.choices, trees.first_exit, trees.exits,
                      trees.nodes, trees.blind, trees.leaf, trees.leaves, trees.rows,
                      sums)  # fmt: skip
        elif trees.form == ONE_SCORE:
            add_weights(ranked, trees.first_choice, trees.choices, trees.first_exit, trees.score,
                        trees.weights, sums)  # fmt: skip
        else:
            add_rows(ranked, trees.first_choice, trees.choices, trees.first_exit, trees.rows,
                     sums)  # fmt: skip
        return np.asarray(sums[: len(index), : trees.scores])


@_compiled
def rank_values(
    values: np.ndarray, band: np.ndarray, table: np.ndarray, index: np.ndarray, ranks: np.ndarray
) -> None:
    """Look up the ranks of chosen pixels in every column."""
    for column in range(band.size):
        of_band = band[column]
        for i in range(index.size):
            ranks[column, i] = table[column, values[of_band, index[i]]]


@_compiled
def search_values(
    values: np.ndarray,
    band: np.ndarray,
    thresholds: np.ndarray,
    first: np.ndarray,
    steps: np.ndarray,
    index: np.ndarray,
    ranks: np.ndarray,
) -> None:
    """Search the ranks of chosen pixels among the thresholds of every column."""
    lowest = -(1 << (8 * ranks.itemsize - 1))
    for column in range(band.size):
        of_band, start = band[column], first[column]
        for i in range(index.size):
            value = values[of_band, index[i]]
            rank = 0
            for bit in range(steps[column] - 1, -1, -1):
                step = 1 << bit
                # what is no number is not <= and goes right
                rank += 0 if value <= thresholds[start + rank + step - 1] else step
            ranks[column, i] = lowest + rank


@_compiled
def pass_top(
    ranks: np.ndarray,
    start: int,
    choices: np.ndarray,
    first: int,
    last: int,
    slots: np.ndarray,
) -> np.ndarray:
    """Return the exits of a strip of pixels; slots are (EXITS and more, STRIP)."""
    slot = EXITS
    for number in range(first, last):
        choice = choices[number]
        cut = slots.dtype.type(choice.cut)
        rank = ranks[choice.column, start : start + STRIP]
        left, right, target = slots[choice.left], slots[choice.right], slots[slot]
        for i in range(STRIP):
            # both are read, whichever is chosen: else the loop would not become vectors
            one, other = left[i], right[i]
            target[i] = other if rank[i] > cut else one
        slot += 1
    found: np.ndarray = slots[slot - 1 if last > first else 0]
    return found


@_compiled
def add_weights(
    ranks: np.ndarray,
    first_choice: np.ndarray,
    choices: np.ndarray,
    first_exit: np.ndarray,
    score: np.ndarray,
    weights: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add what small trees say of all pixels, each tree of one score."""
    slots = exit_slots(np.int8(0))
    for start in range(0, ranks.shape[1], STRIP):
        for tree in range(score.size):
            found = pass_top(ranks, start, choices, first_choice[tree], first_choice[tree + 1],
                             slots)  # fmt: skip
            base, grows = first_exit[tree], np.uint64(score[tree])
            for i in range(STRIP):
                sums[np.uint64(start + i), grows] += weights[np.uint64(base + found[i])]


@_compiled
def add_rows(
    ranks: np.ndarray,
    first_choice: np.ndarray,
    choices: np.ndarray,
    first_exit: np.ndarray,
    rows: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add what small trees say of all pixels, four of them with one look at the sums.

    The last row is of zeros: what trees say that are not there.
    """
    slots = exit_slots(np.int8(0))
    row = np.empty((4, STRIP), np.uint64)
    for start in range(0, ranks.shape[1], STRIP):
        for first in range(0, first_exit.size - 1, 4):
            row[:] = rows.shape[0] - 1
            for tree in range(first, min(first + 4, first_exit.size - 1)):
                found = pass_top(ranks, start, choices, first_choice[tree],
                                 first_choice[tree + 1], slots)  # fmt: skip
                for i in range(STRIP):
                    row[tree - first, i] = first_exit[tree] + found[i]
            for i in range(STRIP):
                add_four(rows, row[0, i], row[1, i], row[2, i], row[3, i], sums[start + i])


@_compiled
def add_four(
    rows: np.ndarray, first: int, second: int, third: int, fourth: int, sums: np.ndarray
) -> None:
    """Add four rows to the sums of a pixel, in this order."""
    for score in range(rows.shape[1]):
        total = sums[score] + rows[first, score] + rows[second, score]
        sums[score] = total + rows[third, score] + rows[fourth, score]


@_compiled
def exit_slots(zero: int) -> np.ndarray:
    """Return slots (2 EXITS, STRIP) of the type of `zero`, the first half each exit's number."""
    slots = np.empty((2 * EXITS, STRIP), type(zero))
    for exit_ in range(EXITS):
        slots[exit_] = exit_
    return slots


@_compiled
def add_walks(
    ranks: np.ndarray,
    first_choice: np.ndarray,
    choices: np.ndarray,
    first_exit: np.ndarray,
    exits: np.ndarray,
    nodes: np.ndarray,
    blind: np.ndarray,
    leaf: np.ndarray,
    leaves: np.ndarray,
    rows: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add what large trees say of all pixels."""
    slots = exit_slots(np.int16(0))
    at = np.empty(STRIP, np.int64)
    for first in range(0, ranks.shape[1], TILE):
        for tree in range(first_exit.size - 1):
            for start in range(first, min(first + TILE, ranks.shape[1]), STRIP):
                found = pass_top(ranks, start, choices, first_choice[tree],
                                 first_choice[tree + 1], slots)  # fmt: skip
                for i in range(STRIP):
                    at[i] = exits[first_exit[tree] + found[i]]
                walk(ranks, start, nodes, blind[tree], at)
                for i in range(STRIP):
                    said = leaves[np.uint64(leaf[np.uint64(at[i])])]
                    pixel = np.uint64(start + i)
                    if said.score >= 0:
                        sums[pixel, np.uint64(said.score)] += said.weight
                    else:
                        row = rows[np.uint64(~said.score)]
                        for score in range(row.size):
                            sums[pixel, score] += row[score]


@_compiled
def walk(ranks: np.ndarray, start: int, nodes: np.ndarray, blind: int, at: np.ndarray) -> None:
    """Take a strip of pixels from nodes to leaves, in place."""
    for turn in range(0, STRIP, TURNS):
        step = 0
        moved = np.int64(1)
        while moved:
            moved = np.int64(step < blind)
            for i in range(turn, turn + TURNS):
                node = nodes[np.uint64(at[i])]
                column = (np.uint64(node) & np.uint64(65535)) // np.uint64(LANES)
                rank = np.int64(ranks[column, np.uint64(start + i)])
                following = (node - (rank << 16)) >> 32
                moved |= following ^ at[i]
                at[i] = following
            step += 1


@_compiled
def choose(
    sums: np.ndarray,
    legend: np.ndarray,
    index: np.ndarray,
    codes: np.ndarray,
    confidence: np.ndarray,
) -> None:
    """Write code and percentage of the greatest sum; a single one is the second class's."""
    for i in range(index.size):
        best, most = 0, sums[i, 0]
        if sums.shape[1] == 1:
            most = 1 - most
            if sums[i, 0] > most:
                best, most = 1, sums[i, 0]
        for score in range(1, sums.shape[1]):
            if sums[i, score] > most:
                best, most = score, sums[i, score]
        codes[index[i]] = legend[best]
        confidence[index[i]] = np.uint8(np.rint(min(max(most * 100, 0.0), 100.0)))
