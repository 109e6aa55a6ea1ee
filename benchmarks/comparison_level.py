"""How often compare-maps calls one of two equally good maps better, and how often a better one.

`python -m benchmarks.comparison_level [RUNS]` (400), one process, an hour or two. Both maps of a
pair are wrong in 15 % of the pixels in expectation, in patches of one size; the reference knows
all pixels, some, or some places. Then the second map is wrong in 2 or 5 points more.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.special import ndtri
from scipy.stats import binomtest

from landcover.quality.clustered_test import SIGNIFICANT, Verdict, mcnemar, of_cells, of_places

CELLS = 512
"""Cells along a side, as compare-maps sums them."""
WRONG = 0.15
"""Expected share of wrong pixels of either map."""

Errors = Callable[[np.random.Generator, float], np.ndarray]
"""Returns bool (side, side), where a map is wrong, of an expected share."""
Reference = Callable[[np.random.Generator, np.ndarray, np.ndarray], Verdict]
"""Tests two maps by where they are wrong."""


def pixels(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return errors in single pixels."""
    return rng.random((side, side)) < share


def squares(side: int, patch: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return errors in square patches at random places, which may overlap."""
    number = rng.poisson(-math.log1p(-share) * (side + patch - 1) ** 2 / patch**2)
    rows, columns = rng.integers(0, side + patch - 1, (2, number))
    edges = np.zeros((side + 2 * patch, side + 2 * patch), np.int32)
    for down, along, step in ((0, 0, 1), (patch, 0, -1), (0, patch, -1), (patch, patch, 1)):
        np.add.at(edges, (rows + down, columns + along), step)
    covered = edges.cumsum(axis=0).cumsum(axis=1) > 0
    return covered[patch - 1 : patch - 1 + side, patch - 1 : patch - 1 + side]


def blobs(side: int, sigma: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return errors where noise, smoothed by a Gaussian of sigma pixels, is low."""
    whole = fft.next_fast_len(side + 6 * sigma, real=True)
    lags = np.minimum(np.arange(whole), whole - np.arange(whole))
    kernel = np.exp(-(lags**2) / (2 * sigma**2))
    kernel /= math.sqrt((kernel**2).sum())
    spectrum = fft.rfft2(rng.standard_normal((whole, whole)))
    smooth = fft.irfft2(spectrum * np.outer(fft.fft(kernel).real, fft.rfft(kernel).real),
                        (whole, whole))  # fmt: skip
    return np.asarray(smooth[:side, :side] < ndtri(share))


def mixed(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return errors in single pixels and in patches of 12 and 64 pixels."""
    each = 1 - (1 - share) ** (1 / 3)
    return pixels(side, each, rng) | squares(side, 12, each, rng) | squares(side, 64, each, rng)


def whole_raster(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> Verdict:
    """Test by a reference that knows every pixel."""
    return _by_raster(first, second, np.ones(first.shape, bool))


def sparse_raster(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> Verdict:
    """Test by a raster that knows one pixel in 200, at random."""
    return _by_raster(first, second, rng.random(first.shape) < 0.005)


def raster_of_polygons(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> Verdict:
    """Test by a raster of 60 squares of 20 pixels."""
    labelled = np.zeros(first.shape, bool)
    for row, column in rng.integers(0, len(first) - 20, (60, 2)).tolist():
        labelled[row : row + 20, column : column + 20] = True
    return _by_raster(first, second, labelled)


def places(number: int, side: int) -> Reference:
    """Return a test by squares at random places; of side 1 they are points."""

    def test(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> Verdict:
        rows, columns = rng.integers(0, len(first) - side + 1, (2, number))
        only_first, only_second = (
            _sums_of_squares(only, rows, columns, side)
            for only in (second & ~first, first & ~second)
        )
        cell = math.ceil(len(first) / CELLS)
        witnesses = of_places(
            only_first - only_second,
            (rows + side // 2) // cell,
            (columns + side // 2) // cell,
            _cells(first ^ second),
            _cells(np.ones(first.shape, bool)),
        )
        return mcnemar(witnesses, int(only_first.sum()), int(only_second.sum()))

    return test


def _by_raster(first: np.ndarray, second: np.ndarray, labelled: np.ndarray) -> Verdict:
    only_first, only_second = labelled & second & ~first, labelled & first & ~second
    witnesses = of_cells(_cells(only_first) - _cells(only_second), _cells(labelled))
    return mcnemar(witnesses, np.count_nonzero(only_first), np.count_nonzero(only_second))


def _cells(marked: np.ndarray) -> np.ndarray:
    starts = np.arange(0, len(marked), math.ceil(len(marked) / CELLS))
    rows = np.add.reduceat(marked, starts, axis=0, dtype=np.int64)
    return np.asarray(np.add.reduceat(rows, starts, axis=1))


def _sums_of_squares(
    marked: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int
) -> np.ndarray:
    table = np.pad(marked.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below, right = rows + side, columns + side
    return np.asarray(
        table[below, right] - table[rows, right] - table[below, columns] + table[rows, columns]
    )


@dataclass(frozen=True)
class Outcome:
    """Counts over pairs of maps.

    Attributes:
        runs: pairs.
        first: the first map was called better.
        second: the second map was.
        undecided: no decision was possible.
        pixelwise: the test by pixels would have called one better.
    """

    runs: int
    first: int
    second: int
    undecided: int
    pixelwise: int

    @property
    def alarms(self) -> int:
        """Pairs of which one map was called better."""
        return self.first + self.second


def run_pairs(
    errors: Errors,
    runs: int,
    seed: int,
    reference: Reference = whole_raster,
    more: float = 0.0,
) -> Outcome:
    """Test pairs of maps.

    Args:
        errors: makes those of one map.
        runs: number of pairs.
        seed: of the errors and of the reference.
        reference: tests two maps.
        more: share of pixels that the second map has wrong beyond those of the first.
    """
    rng = np.random.default_rng(seed)
    verdicts = [reference(rng, errors(rng, WRONG), errors(rng, WRONG + more)) for _ in range(runs)]
    return Outcome(
        runs,
        sum(verdict.better == "first" for verdict in verdicts),
        sum(verdict.better == "second" for verdict in verdicts),
        sum(not verdict.decidable for verdict in verdicts),
        sum(verdict.pixelwise < SIGNIFICANT for verdict in verdicts),
    )


REFERENCES: dict[str, Reference] = {
    "whole raster": whole_raster,
    "1 pixel in 200": sparse_raster,
    "raster of 60 polygons": raster_of_polygons,
    "300 points": places(300, 1),
    "40 polygons": places(40, 15),
    "200 polygons": places(200, 15),
}


def _errors(side: int) -> dict[str, Errors]:
    made: dict[str, Errors] = {f"pixels, {side}²": lambda rng, share: pixels(side, share, rng)}
    for patch in (12, 32, 64):
        made[f"squares of {patch}, {side}²"] = (
            lambda rng, share, patch=patch: squares(side, patch, share, rng)
        )  # fmt: skip
    for sigma in (12, 32, 64):
        made[f"blobs, σ {sigma}, {side}²"] = (
            lambda rng, share, sigma=sigma: blobs(side, sigma, share, rng)
        )  # fmt: skip
    made[f"1, 12 and 64 mixed, {side}²"] = lambda rng, share: mixed(side, share, rng)
    return made


ERRORS = _errors(512) | {name: make for name, make in _errors(1024).items() if "64" in name}


def main(runs: int = 400) -> None:
    """Print a row of each case."""
    print("| errors | reference | false alarms | 95 % interval | pixel by pixel | no decision "
          "| 2 points found | 5 points found |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for errors, make in ERRORS.items():
        for name, reference in REFERENCES.items():
            null = run_pairs(make, runs, 1, reference)
            found = [
                run_pairs(make, runs // 4, 2, reference, more).first / (runs // 4)
                for more in (0.02, 0.05)
            ]
            low, high = binomtest(null.alarms, runs).proportion_ci(method="exact")
            print(
                f"| {errors} | {name} | {null.alarms / runs:.1%} | {low:.1%} to {high:.1%} "
                f"| {null.pixelwise / runs:.0%} | {null.undecided / runs:.1%} "
                f"| {found[0]:.0%} | {found[1]:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
