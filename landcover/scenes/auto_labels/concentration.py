"""Shares of classes in square tiles, such as the concentration of ice."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landcover.io.legend import Legend
from landcover.io.raster import Grid, parts_of, unique_names

_PLACED = ("scene", "row", "column", "left", "top", "right", "bottom", "valid", "labelled")
_DIGITS = 6


@dataclass(frozen=True)
class Tiles:
    """Pixels of a scene by tile.

    Attributes:
        grid: of the scene.
        side: of a tile in pixels; those at the far edges are smaller.
        legend: of the labels.
        counts: int64 (rows, columns, 256), valid pixels by code; 255 is unsure.
    """

    grid: Grid
    side: int
    legend: Legend
    counts: np.ndarray

    @classmethod
    def of(cls, grid: Grid, side: int, legend: Legend) -> "Tiles":
        """Return tiles in which nothing is counted yet."""
        rows, columns = (math.ceil(length / side) for length in (grid.height, grid.width))
        return cls(grid, side, legend, np.zeros((rows, columns, 256), np.int64))

    def add(self, codes: np.ndarray, window: Window) -> None:
        """Count the codes of a window, uint8 (H, W), 0 where invalid."""
        side = self.side
        first, start = window.row_off // side, window.col_off // side
        for row in range(first, -(-(window.row_off + window.height) // side)):
            top = max(row * side - window.row_off, 0)
            of_row = codes[top : (row + 1) * side - window.row_off]
            for column in range(start, -(-(window.col_off + window.width) // side)):
                left = max(column * side - window.col_off, 0)
                part = of_row[:, left : (column + 1) * side - window.col_off]
                self.counts[row, column] += np.bincount(part.ravel(), minlength=256)

    def rows(self, scene: str) -> Iterator[list[object]]:
        """Yield the rows of a table, tile by tile."""
        whole = Window(0, 0, self.grid.width, self.grid.height)
        for window in parts_of(whole, self.side, self.side):
            row, column = window.row_off // self.side, window.col_off // self.side
            counts = self.counts[row, column]
            labelled = int(sum(counts[code] for code in self.legend.codes))
            left, top = self.grid.transform @ (window.col_off, window.row_off)
            right, bottom = self.grid.transform @ (
                window.col_off + window.width, window.row_off + window.height
            )  # fmt: skip
            valid = int(counts[1:].sum())
            shares = (_share(counts, codes, labelled) for _, codes in columns_of(self.legend))
            yield [scene, row, column, left, top, right, bottom, valid, labelled, *shares]


def columns_of(legend: Legend) -> list[tuple[str, tuple[int, ...]]]:
    """Return the columns of a table: classes, then groups of classes, and the codes of each."""
    classes = [(entry.name, (entry.code,)) for entry in legend.classes]
    groups: dict[str, list[int]] = {}
    for entry in legend.classes:
        if entry.parent:
            groups.setdefault(entry.parent, []).append(entry.code)
    return [*classes, *((name, tuple(codes)) for name, codes in groups.items())]


def header_of(legend: Legend) -> list[str]:
    """Return the names of all columns."""
    return unique_names([*_PLACED, *(name for name, _ in columns_of(legend))])


def _share(counts: np.ndarray, codes: Sequence[int], labelled: int) -> object:
    """Return the share of the labelled pixels; nothing where none is labelled."""
    return round(float(counts[list(codes)].sum() / labelled), _DIGITS) if labelled else ""
