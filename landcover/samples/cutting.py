"""Cut chips or patches out of a scene, window by window; each block of it is decoded once.

What is held in memory are a row of the scene's blocks, what the chips of the next row reach back
to, and some megabytes of chips, which may lie upon each other.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landcover.io.raster import BlockReader, Grid
from landcover.progress import report_progress
from landcover.samples.containers import MIXED, UNLABELLED, valid_pixels
from landcover.samples.labels import NO_FEATURE, Labelled, Labels, Points, Polygons
from landcover.samples.left_out import Tally
from landcover.samples.writer import Chips

_CHIPS_AT_ONCE = 16 * 2**20
"""Bytes of chips cut at a time."""


class LabelReader:
    """Reads the labels of windows that cover a scene, and counts what is wrong with them."""

    def __init__(self, labels: Labels, tally: Tally) -> None:
        """Read labels; `tally` is added to."""
        self.labels = labels
        self._tally = tally
        tally.left_out["label outside the scene"] += labels.outside
        polygons = len(labels.geometries) if isinstance(labels, Polygons) else 0
        self._seen = np.zeros(polygons + 1, bool)  # the last stands for no feature, -1

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window, which no other window that is read overlaps."""
        found = self.labels.read(window)
        labelled = int(np.count_nonzero(found.codes))
        self._tally.labelled += labelled
        self._tally.left_out["code 0 is never a class"] += found.zeros
        if isinstance(self.labels, Points):
            points, conflicts = self.labels.inside(window)
            self._tally.left_out["points of different classes on one pixel"] += conflicts
            double = len(points) - labelled
            self._tally.left_out["point on the pixel of another of its class"] += double
        else:
            self._tally.left_out["polygons of different classes overlap"] += found.conflicts
        if labelled and isinstance(self.labels, Polygons):
            self._seen[found.features] = True
        return found

    def points(self, window: Window) -> np.ndarray | None:
        """Return int32 (N, 4) of feature, row, column and code; None if the labels are none."""
        if not isinstance(self.labels, Points):
            return None
        points, conflicts = self.labels.inside(window)
        self._tally.left_out["points of different classes on one pixel"] += conflicts
        return points

    def finish(self) -> None:
        """Count the polygons that none of the windows showed, once they covered the scene."""
        if isinstance(self.labels, Polygons):
            missed = self.labels.without_centre(self._seen[:-1])
            self._tally.left_out["polygon holds no pixel centre"] += len(missed)
            self._tally.without_centre.update(self.labels.codes[missed].tolist())


@dataclass(frozen=True)
class Squares:
    """Cuts squares out of a scene, with a margin on every side.

    Attributes:
        reader: of the scene.
        side: of a square in pixels.
        context: margin in pixels; it may reach beyond the scene.
        nodata: value of invalid pixels, None if there is none.
    """

    reader: BlockReader
    side: int
    context: int
    nodata: float | None

    @property
    def at_once(self) -> int:
        """The number of squares that may be cut at a time."""
        pixels = (self.side + 2 * self.context) ** 2
        size = self.reader.count * pixels * self.reader.dtype.itemsize
        return max(1, _CHIPS_AT_ONCE // int(size))

    def window(self, corners: np.ndarray) -> Window:
        """Return the window of squares without their margins, by their upper left pixels."""
        (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0) + self.side
        return Window(int(left), int(top), int(right - left), int(bottom - top))

    def read(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the window of some squares.

        Returns:
            Values (bands, H, W) and validity (H, W) of the window with its margin, and the
            upper left pixels (N, 2) of the squares with theirs, in that window.
        """
        inner, c = self.window(corners), self.context
        window = Window(inner.col_off - c, inner.row_off - c, inner.width + 2 * c,
                        inner.height + 2 * c)  # fmt: skip
        values, valid = self.reader.read(window)
        return values, valid, corners - (inner.row_off, inner.col_off)

    def cut(self, array: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return squares (N, ..., side, side) of an array (..., H, W), margins and all."""
        return cut(array, at, self.side + 2 * self.context)

    def marked(self, chips: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Write invalid pixels as nodata or NaN: a container has no mask band to say so.

        Returns:
            The chips, and None; or, if the dtype has no value for it, which of their pixels are
            valid, uint8 (N, H, W).
        """
        if valid.all():
            return chips, None
        hidden = ~valid & valid_pixels(chips, self.nodata)
        if not hidden.any():
            return chips, None
        filler = _filler(chips.dtype, self.nodata)
        if filler is None:
            return chips, valid.astype(np.uint8)
        return np.where(hidden[:, None], filler, chips), None

    def with_margin(self, inner: np.ndarray, fill: int) -> np.ndarray:
        """Return (N, side, side) with a margin of one value around each."""
        c = self.context
        return np.pad(inner, ((0, 0), (c, c), (c, c)), constant_values=fill)


def cut(array: np.ndarray, at: np.ndarray, side: int) -> np.ndarray:
    """Return squares (N, ..., side, side) of an array (..., H, W), by their upper left pixels."""
    views = np.lib.stride_tricks.sliding_window_view(array, (side, side), axis=(-2, -1))
    return np.asarray(np.moveaxis(views, (-4, -3), (0, 1))[at[:, 0], at[:, 1]])


def _filler(dtype: np.dtype, nodata: float | None) -> np.ndarray | None:
    """Return the value of an invalid pixel, of no axes; None if the dtype has none."""
    if np.issubdtype(dtype, np.floating):
        return np.array(np.nan, dtype)
    limits = np.iinfo(dtype)
    if nodata is None or nodata % 1 or not limits.min <= nodata <= limits.max:
        return None
    return np.array(int(nodata), dtype)


@dataclass(frozen=True)
class ChipCutter:
    """Cuts a chip around each labelled pixel on the grid of chips, or around each point.

    Attributes:
        squares: of the size of a chip.
        grid: of the scene.
        labels: of it.
        masks: whether to cut the class of each pixel too.
        tally: of what was left out.
    """

    squares: Squares
    grid: Grid
    labels: LabelReader
    masks: bool
    tally: Tally

    def cut(self) -> Iterator[Chips]:
        """Yield chips of any class, in the order of the scene's blocks, then rows and columns."""
        held = 0
        for fraction, window in self.squares.reader.windows():
            report_progress(fraction, "reading samples from the scene")
            centres = self._inside(self._centres(window))
            for start in range(0, len(centres), self.squares.at_once):
                chips = self._read(centres[start : start + self.squares.at_once])
                held += self._labelled(chips)
                yield chips
        self.labels.finish()
        if self.squares.side > 1:
            lost = max(0, self.tally.labelled - held)  # 0 labelled: points, of which none is lost
            self.tally.left_out["labelled pixel in no chip"] += lost

    def _centres(self, window: Window) -> np.ndarray:
        """Return int32 (N, 4) of feature, row, column and code of the centres in a window."""
        points = self.labels.points(window)
        if points is not None:
            return points
        labelled = self.labels.read(window)
        rows, columns = np.nonzero(labelled.codes)
        side, half = self.squares.side, self.squares.side // 2
        if side > 1:
            on_chip_grid = ((rows + window.row_off) % side == half) & (
                (columns + window.col_off) % side == half
            )
            rows, columns = rows[on_chip_grid], columns[on_chip_grid]
        cells = (labelled.features[rows, columns], rows + window.row_off,
                 columns + window.col_off, labelled.codes[rows, columns])  # fmt: skip
        return np.stack([np.asarray(cell, np.int32) for cell in cells], axis=1)

    def _inside(self, centres: np.ndarray) -> np.ndarray:
        side = self.squares.side
        if side == 1:
            return centres
        top_left = centres[:, 1:3] - side // 2
        inside = (top_left >= 0).all(axis=1)
        inside &= (top_left + side <= (self.grid.height, self.grid.width)).all(axis=1)
        self.tally.left_out["chip leaves the scene"] += int((~inside).sum())
        return centres[inside]

    def _read(self, centres: np.ndarray) -> Chips:
        corners = centres[:, 1:3] - self.squares.side // 2
        values, valid, at = self.squares.read(corners)
        middle = at + self.squares.side // 2 + self.squares.context
        usable = valid[middle[:, 0], middle[:, 1]]
        if not usable.all():
            self.tally.left_out["centre pixel is nodata"] += int((~usable).sum())
            centres, corners, at = centres[usable], corners[usable], at[usable]
        valid = self.squares.cut(valid, at)
        chips, told = self.squares.marked(self.squares.cut(values, at), valid)
        if told is not None and not self.squares.context:
            whole = valid.all(axis=(1, 2))
            self.tally.left_out["chip holds masked pixels"] += int((~whole).sum())
            chips, centres, corners, told = chips[whole], centres[whole], corners[whole], None
        masks, places = self._labels_of(corners) if self.masks and len(corners) else (None, None)
        return Chips(chips, centres[:, :3], centres[:, 3].astype(np.uint8), masks, places, told)

    def _labels_of(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return code and feature of each pixel of some chips; none in their context."""
        window = self.squares.window(corners)
        labelled = self.labels.labels.read(window)  # counted when their windows were
        at = corners - (window.row_off, window.col_off)
        codes = cut(labelled.codes, at, self.squares.side)
        masks = np.where(codes == 0, UNLABELLED, codes).astype(np.uint8)
        places = cut(labelled.features, at, self.squares.side)
        return (
            self.squares.with_margin(masks, UNLABELLED),
            self.squares.with_margin(places, NO_FEATURE),
        )

    @staticmethod
    def _labelled(chips: Chips) -> int:
        """Return how many labelled pixels some chips hold."""
        if chips.masks is None:
            return len(chips.codes)
        return int(np.count_nonzero(chips.masks != UNLABELLED))


@dataclass(frozen=True)
class PatchCutter:
    """Cuts the squares of a grid that hold a labelled valid pixel; each such pixel is in one.

    Attributes:
        squares: of the size of a patch.
        grid: of the scene.
        labels: of it.
        tally: of what was left out.
    """

    squares: Squares
    grid: Grid
    labels: LabelReader
    tally: Tally

    def cut(self) -> Iterator[Chips]:
        """Yield patches in the order of the scene's blocks, then rows and columns."""
        for fraction, window in self.squares.reader.windows():
            report_progress(fraction, "reading patches from the scene")
            yield from self._of_window(window)
        self.labels.finish()

    def _of_window(self, window: Window) -> Iterator[Chips]:
        """Yield the patches whose upper left pixel lies in a window."""
        side = self.squares.side
        tops, lefts = (
            np.arange(math.ceil(start / side) * side, start + extent, side)
            for start, extent in (
                (window.row_off, window.height), (window.col_off, window.width)
            )
        )  # fmt: skip
        if not tops.size or not lefts.size:
            return
        corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
        codes, features = self._labels_of(corners)
        found = np.flatnonzero(codes.any(axis=(1, 2)))
        for start in range(0, len(found), self.squares.at_once):
            some = found[start : start + self.squares.at_once]
            patches = self._read(corners[some], codes[some], features[some])
            if len(patches.codes):
                yield patches

    def _labels_of(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and features (N, side, side) of neighbouring patches; none outside."""
        window = self.squares.window(corners)
        inside = Window(window.col_off, window.row_off,
                        min(window.width, self.grid.width - window.col_off),
                        min(window.height, self.grid.height - window.row_off))  # fmt: skip
        labelled = self.labels.read(inside)
        beyond = ((0, window.height - inside.height), (0, window.width - inside.width))
        at = corners - corners[0]
        codes = np.pad(labelled.codes, beyond)
        features = np.pad(labelled.features, beyond, constant_values=NO_FEATURE)
        return cut(codes, at, self.squares.side), cut(features, at, self.squares.side)

    def _read(self, corners: np.ndarray, codes: np.ndarray, features: np.ndarray) -> Chips:
        values, valid, at = self.squares.read(corners)
        inner = cut(valid, at + self.squares.context, self.squares.side)
        lost = (codes != 0) & ~inner
        self.tally.left_out["labelled pixel is nodata"] += int(np.count_nonzero(lost))
        masks = np.where((codes != 0) & inner, codes, UNLABELLED).astype(np.uint8)
        kept = (masks != UNLABELLED).any(axis=(1, 2))
        masks, at, corners = masks[kept], at[kept], corners[kept]
        places = np.where(masks == UNLABELLED, NO_FEATURE, features[kept]).astype(np.int32)
        chips, told = self.squares.marked(
            self.squares.cut(values, at), self.squares.cut(valid, at)
        )
        centres = corners + self.squares.side // 2
        none = np.full(len(corners), NO_FEATURE)
        return Chips(
            chips,
            np.column_stack([none, centres]).astype(np.int32),
            np.full(len(corners), MIXED, np.uint8),
            self.squares.with_margin(masks, UNLABELLED),
            self.squares.with_margin(places, NO_FEATURE),
            told,
        )
