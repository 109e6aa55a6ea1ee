"""How noisy labels are, from a sample that people have checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landcover.io.legend import Legend
from landcover.io.raster import Grid
from landcover.quality.confusion import Confusion, tabulate
from landcover.samples.labels import Codes, Labels
from landcover.training.intervals import accuracy_interval

_BLOCK = 64
"""Pixels a side of a place of a raster, as in training."""
_FEW = 10
"""Places: with fewer the interval is too narrow."""


@dataclass(frozen=True)
class Checked:
    """Labels beside a reference, of one scene.

    Attributes:
        table: (256, 256), pixels by code of reference and label.
        right: pixels of each place that agree, (places,).
        sizes: its pixels.
        main: the code of one of its reference pixels.
        unsure: reference pixels that have no label.
        legend: of the reference.
        by_code: whether the reference has codes and no names.
    """

    table: np.ndarray
    right: np.ndarray
    sizes: np.ndarray
    main: np.ndarray
    unsure: int
    legend: Legend
    by_code: bool


class PlacesOf:
    """Counts labels beside a reference, window by window."""

    def __init__(self, labels: Labels, grid: Grid, legend: Legend) -> None:
        """Begin with nothing.

        Args:
            labels: the reference, on the grid.
            grid: of the scene.
            legend: of the rules; what the reference has besides counts in no place.
        """
        self._labels = labels
        self._known = np.isin(np.arange(256), legend.codes)
        self._columns = -(-grid.width // _BLOCK)
        self._table = np.zeros((256, 256), np.int64)
        self._by_place: dict[int, np.ndarray] = {}
        self._unsure = 0

    def add(self, codes: np.ndarray, window: Window) -> None:
        """Count a window of labels, uint8 (H, W), 0 where invalid and 255 where unsure."""
        found = self._labels.read(window)
        counted = (found.codes != 0) & (codes != 0)
        self._unsure += int((counted & (codes == 255)).sum())
        counted &= codes != 255
        if not counted.any():
            return
        reference, own = found.codes[counted], codes[counted]
        self._table += tabulate(reference, own)
        places = np.where(found.features >= 0, found.features, self._blocks(window))[counted]
        is_known = self._known[reference]
        self._add_places(places[is_known], reference[is_known], own[is_known])

    def _add_places(self, places: np.ndarray, reference: np.ndarray, own: np.ndarray) -> None:
        known, first, index = np.unique(places, return_index=True, return_inverse=True)
        right = np.bincount(index, reference == own, len(known))
        sizes = np.bincount(index, minlength=len(known))
        for place, main, *counts in zip(
            known.tolist(), reference[first].tolist(), right.tolist(), sizes.tolist(), strict=True
        ):
            row = self._by_place.setdefault(place, np.array([0, 0, main], np.int64))
            row[:2] += np.array(counts, np.int64)

    def _blocks(self, window: Window) -> np.ndarray:
        rows = (window.row_off + np.arange(window.height)) // _BLOCK
        columns = (window.col_off + np.arange(window.width)) // _BLOCK
        return np.asarray(rows[:, None] * self._columns + columns)

    def result(self) -> Checked | None:
        """Return the counts, None where no reference pixel lies on a valid pixel."""
        if not self._by_place and not self._unsure:
            return None
        rows = np.array([*self._by_place.values()], np.int64).reshape(-1, 3)
        return Checked(
            self._table, rows[:, 0], rows[:, 1], rows[:, 2], self._unsure, self._labels.legend,
            isinstance(self._labels, Codes),
        )  # fmt: skip


@dataclass(frozen=True)
class Noise:
    """The share of labels that are wrong.

    Attributes:
        confusion: rows reference, columns labels.
        wrong: share of the checked pixels.
        interval: its 95 % interval over places.
        places: of them.
        unsure: reference pixels that were left unlabelled.
        strangers: classes of the reference that the rules do not have.
        by_code: whether classes met by code alone.
    """

    confusion: Confusion
    wrong: float
    interval: tuple[float, float]
    places: int
    unsure: int
    strangers: tuple[str, ...]
    by_code: bool

    @property
    def is_vague(self) -> bool:
        """Whether there are so few places that the interval is too narrow."""
        return self.places < _FEW


def noise_of(parts: Sequence[Checked], legend: Legend) -> Noise | None:
    """Add up what was checked in all scenes; None if nothing was labelled and checked."""
    if not parts:
        return None
    table = sum((part.table for part in parts), np.zeros((256, 256), np.int64))
    strange = {entry.name for part in parts for entry in part.legend.classes
               if entry.code not in legend.codes and table[entry.code].any()}  # fmt: skip
    own = np.zeros(256, bool)
    own[list(legend.codes)] = True
    confusion = Confusion.of(np.where(own[:, None], table, 0), legend)
    if not confusion.total:
        return None
    right, sizes, main = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("right", "sizes", "main")
    )
    ends = accuracy_interval(right, sizes, main, 0.0, 0)
    return Noise(
        confusion,
        1 - confusion.accuracy,
        (1 - ends[1], 1 - ends[0]),
        len(sizes),
        sum(part.unsure for part in parts),
        tuple(sorted(strange)),
        any(part.by_code for part in parts),
    )


def better_by_other_codes(table: np.ndarray, codes: Sequence[int]) -> bool:
    """Return whether another assignment of the codes agrees in more pixels.

    Args:
        table: (256, 256), pixels by code of reference and label.
        codes: of the classes.
    """
    from scipy.optimize import linear_sum_assignment

    pixels = table[np.ix_(list(codes), list(codes))]
    best = pixels[linear_sum_assignment(pixels, maximize=True)].sum()
    return bool(best > np.trace(pixels))
