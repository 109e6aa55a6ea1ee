"""A labelled sample that was drawn from a map: what it says of parts of the map."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.raster import windows_of
from landcover.maps.opened import OpenMap
from landcover.maps.zones import Zones
from landcover.quality.assessment import notes_on_match, notes_on_one_side, side_of
from landcover.quality.confusion import WINDOW, Confusion, read_codes, tabulate
from landcover.quality.drawn_points import drawn_only, notes_on_returned
from landcover.quality.estimates import FEWEST_POINTS
from landcover.quality.matching import Side, match_legends
from landcover.quality.report import Note
from landcover.samples.labels import Points, open_labels


@dataclass(frozen=True)
class DrawnSample:
    """Labelled points of a map, as draw-reference-sample drew them.

    Attributes:
        rows: int64 (N,), of the pixels.
        columns: int64 (N,).
        pairs: uint8 (N, 2), code in the reference and on the map, both of the legend.
        legend: the classes of both.
        code_of: uint8 (256,), the legend's code for each code of the map.
        notes: what the reader must know of the sample.
    """

    rows: np.ndarray
    columns: np.ndarray
    pairs: np.ndarray
    legend: Legend
    code_of: np.ndarray
    notes: tuple[Note, ...]

    @classmethod
    def of(
        cls, opened: OpenMap, map: AnyPath, reference: AnyPath, class_field: str
    ) -> "DrawnSample":
        """Read a sample.

        Args:
            opened: the map.
            map: its file, from which the points were drawn.
            reference: the points, labelled.
            class_field: attribute that holds the class.

        Raises:
            InputError: the points were not drawn from this map, or none has a class of it.
        """
        with open_labels(reference, class_field, opened.grid, partly=True) as labels:
            points, returned = drawn_only(labels, reference, "", map)
            side = Side(opened.file, opened.legend)
            match = match_legends(side, side_of(labels, Path(reference).name))
        found = np.concatenate([np.zeros((0, 4), np.int64), *_at_points(opened, points)])
        pairs = np.stack(
            [match.of_other[found[:, 2]], match.of_one[found[:, 3]]], axis=1
        )  # fmt: skip
        table = tabulate(pairs[:, 0], pairs[:, 1])
        match.check(table)
        return cls(
            found[:, 0], found[:, 1], pairs, match.legend, match.of_one,
            (
                *notes_on_returned(returned, opened.legend),
                *notes_on_match(match),
                *notes_on_one_side(table, match),
            ),
        )  # fmt: skip

    def within(self, zones: Zones) -> Iterator[Confusion]:
        """Yield the confusion of the points in each zone."""
        for inside in zones.holding(self.rows, self.columns):
            reference, mapped = self.pairs[inside].T
            yield Confusion.of(tabulate(reference, mapped), self.legend)

    def sizes(self, by_code: np.ndarray, confusion: Confusion) -> list[float] | None:
        """Return the size of each stratum; None if one has too few points to speak for it.

        Args:
            by_code: float (256,), how much of each code the map has.
            confusion: of the points.
        """
        sizes = np.bincount(self.code_of, by_code, minlength=256)
        codes = {entry.name: entry.code for entry in self.legend.classes}
        points = dict(zip(confusion.names, confusion.counts.sum(axis=0).tolist(), strict=True))
        poor = [n for n, c in codes.items() if sizes[c] and points.get(n, 0) < FEWEST_POINTS]
        return None if poor else [float(sizes[codes[name]]) for name in confusion.names]


def _at_points(opened: OpenMap, points: Points) -> Iterator[np.ndarray]:
    """Yield row, column, code of the reference and of the map, window by window."""
    for window in windows_of(opened.dataset, WINDOW):
        inside, _ = points.inside(window)
        if len(inside):
            codes = read_codes(opened.dataset, window)
            _, rows, columns, labelled = inside.astype(np.int64).T
            mapped = codes[rows - window.row_off, columns - window.col_off]
            yield np.stack([rows, columns, labelled, mapped], axis=1)
