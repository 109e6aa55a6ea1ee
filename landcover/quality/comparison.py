"""Which of two maps of one place is better, and is the difference more than chance?

The test is McNemar's, clustered: pixels of one polygon are right or wrong together, so a polygon
counts as one witness. Source: Yang, Sun, Hardin 2010, doi:10.1002/sim.4024 (the statistic);
with few witnesses its exact distribution under exchange of the two maps takes the place of
chi-square, as the binomial does in McNemar's own test.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.labels import NO_FEATURE, Labelled, Labels, open_labels, raster_legend
from landcover.legend import MAX_CODE, Legend
from landcover.operation import HTML, AnyPath, LabelFile, RasterFile
from landcover.progress import report_progress
from landcover.quality.assessment import notes_on, united
from landcover.quality.confusion import (
    WINDOW,
    Confusion,
    need_named,
    read_codes,
    statistics_of,
    tabulate,
)
from landcover.quality.report import Note, draw_difference, draw_matrix, write_page
from landcover.rasters import Grid, legend_of, on_grid, open_raster, windows_of
from landcover.samples import BLOCK_GROUP

SIGNIFICANT = 0.05
EXACT_UP_TO = 18
"""Clusters up to which all exchanges are enumerated, 2 to the power of it."""
_PICTURE = 500
"""Cells along the longer side of the picture of differences."""


@dataclass(frozen=True)
class Comparison:
    """Which of two maps agrees better with a reference.

    Attributes:
        better: first or second if one agrees better and p_value is below 0.05, else neither.
        p_value: probability of a difference at least as large if both maps were equally good;
            McNemar's test clustered by reference polygon, or 64-pixel block of a raster.
        report: both matrices side by side, and where the maps differ.
    """

    better: Literal["first", "second", "neither"]
    p_value: float
    report: HTML


@dataclass(frozen=True)
class Verdict:
    """The outcome of the test.

    Attributes:
        p_value: clustered by place.
        pixelwise: as if every pixel were a witness of its own: too optimistic.
        places: number of compared places.
        discordant: number of places where one map has more pixels right than the other.
        advantage: pixels that only the first map has right, less those of the second.
    """

    p_value: float
    pixelwise: float
    places: int
    discordant: int
    advantage: int

    @property
    def better(self) -> Literal["first", "second", "neither"]:
        """The map that agrees better, if that is more than chance."""
        if self.p_value >= SIGNIFICANT:
            return "neither"
        return "first" if self.advantage > 0 else "second"


def compare_maps(
    first: RasterFile,
    second: RasterFile,
    reference: LabelFile,
    class_field: str = "class",
    workdir: AnyPath = "",
) -> Comparison:
    """Tell which of two maps agrees better with a reference, and whether that is chance.

    Only pixels count that are labelled in the reference and classified in both maps. Classes of
    the two maps are matched by name, or by code where a map has no legend.

    Args:
        first: a classified scene.
        second: another map of the same place; on another grid it is brought to the first's.
        reference: polygons, points or a raster of what is really there; any grid and CRS. A
            random sample, or polygons that neither map was trained on.
        class_field: attribute of a vector reference that holds the class.
        workdir: folder to write to.

    Raises:
        InputError: an input does not do, or no labelled pixel is classified in both maps.
    """
    files = {"first": Path(first).name, "second": Path(second).name,
             "reference": Path(reference).name}  # fmt: skip
    with open_raster(first) as one, open_raster(second) as other:
        grid = Grid.of(one)
        notes = (*_moved(Grid.of(other), grid), *notes_on(reference, grid))
        known, as_first = _matched(one, other)
        with (
            on_grid(other, grid) as moved,
            open_labels(reference, class_field, grid, known) as labels,
        ):
            legend = united(known, labels.legend, files["first"])
            counted = _count(one, moved, labels, as_first)
    tables = [Confusion.of(table, legend, sum(counted.tables)) for table in counted.tables]
    if not tables[0].total:
        raise InputError(
            f"no pixel is classified in both {files['first']} and {files['second']} and labelled "
            f"in {files['reference']}: they do not overlap"
        )
    verdict = mcnemar(np.array(list(counted.advantage.values())), *counted.discordant)
    names = {entry.code: entry.name for entry in legend.classes}
    page = write_page(
        Path(workdir) / "report.html",
        "comparison.html",
        verdict=verdict,
        significant=SIGNIFICANT,
        tables=tables,
        statistics=[statistics_of(table) for table in tables],
        pictures=[draw_matrix(table) for table in tables],
        difference=draw_difference(counted.differs, counted.seen),
        changes=[
            (names.get(a, str(a)), names.get(b, str(b)), int(counted.changes[a, b]))
            for a, b in _largest(counted.changes)
        ],
        share=float(counted.differs.sum() / max(1, counted.seen.sum())),
        colors={entry.name: entry.color for entry in legend.classes},
        notes=notes,
        **files,
    )
    return Comparison(verdict.better, verdict.p_value, page)


def mcnemar(advantages: np.ndarray, only_first: int, only_second: int) -> Verdict:
    """Test whether two maps are equally often right.

    Args:
        advantages: int (places,), for each place the pixels that only the first map has right
            less those that only the second has.
        only_first: pixels that only the first map has right.
        only_second: pixels that only the second map has right.
    """
    moved = advantages[advantages != 0].astype(float)
    return Verdict(
        p_value=_exchange_test(moved),
        pixelwise=_chi_square((only_first - only_second) ** 2, only_first + only_second),
        places=len(advantages),
        discordant=len(moved),
        advantage=only_first - only_second,
    )


def _exchange_test(moved: np.ndarray) -> float:
    if len(moved) > EXACT_UP_TO:
        return _chi_square(float(moved.sum() ** 2), float((moved**2).sum()))
    sums = np.zeros(1)
    for advantage in np.abs(moved):  # all ways to call one map the other, place by place
        sums = np.concatenate([sums + advantage, sums - advantage])
    return float((np.abs(sums) >= abs(moved.sum())).mean())


def _chi_square(square: float, variance: float) -> float:
    """Return the upper tail of chi-square with one degree of freedom at square / variance."""
    return math.erfc(math.sqrt(square / variance / 2)) if variance else 1.0


@dataclass
class _Counted:
    """What both maps and the reference say, summed over windows.

    Attributes:
        tables: confusion by code (256, 256) of the first and of the second map.
        changes: pixels by code (256, 256) of the first map and of the second, labelled or not.
        advantage: per place, pixels only the first has right less those only the second has.
        discordant: pixels only the first has right, and only the second.
        differs: pixels that differ, per cell of the picture.
        seen: pixels classified in both, per cell of the picture.
        across: number of blocks side by side on the map.
    """

    tables: tuple[np.ndarray, np.ndarray]
    changes: np.ndarray
    advantage: Counter[int]
    discordant: tuple[int, int]
    differs: np.ndarray
    seen: np.ndarray
    across: int


def _count(
    one: DatasetReader, other: DatasetReader, labels: Labels, as_first: np.ndarray
) -> _Counted:
    cell = max(1, math.ceil(max(one.width, one.height) / _PICTURE))
    shape = (math.ceil(one.height / cell), math.ceil(one.width / cell))
    counted = _Counted(
        tables=(np.zeros((256, 256), np.int64), np.zeros((256, 256), np.int64)),
        changes=np.zeros((256, 256), np.int64),
        advantage=Counter(),
        discordant=(0, 0),
        differs=np.zeros(shape, np.int64),
        seen=np.zeros(shape, np.int64),
        across=math.ceil(one.width / BLOCK_GROUP),
    )
    windows = list(windows_of(one, WINDOW))
    for done, window in enumerate(windows):
        report_progress(done / len(windows), "comparing the two maps")
        first = read_codes(one, window)
        codes = read_codes(other, window)
        for dataset, held in ((one, first), (other, codes)):
            counts = np.bincount(held.ravel(), minlength=256)
            need_named(counts, legend_of(dataset), Path(dataset.name).name)
        second = as_first[codes]
        labelled = labels.read(window)
        _add(counted, first, second, labelled, window, cell)
    return counted


def _add(
    counted: _Counted,
    first: np.ndarray,
    second: np.ndarray,
    labelled: Labelled,
    window: Window,
    cell: int,
) -> None:
    counted.changes += tabulate(first, second)
    both = (first != 0) & (second != 0)
    _add_cells(counted.seen, both, window, cell)
    _add_cells(counted.differs, both & (first != second), window, cell)
    rows, columns = np.nonzero(both & (labelled.codes != 0))
    truth = labelled.codes[rows, columns]
    codes = first[rows, columns], second[rows, columns]
    for table, mapped in zip(counted.tables, codes, strict=True):
        table += tabulate(truth, mapped)
    right = [mapped == truth for mapped in codes]
    counted.discordant = (
        counted.discordant[0] + int((right[0] & ~right[1]).sum()),
        counted.discordant[1] + int((right[1] & ~right[0]).sum()),
    )
    place = labelled.features[rows, columns].astype(np.int64)
    if (place == NO_FEATURE).any():  # a raster: blocks stand for places
        place = (rows + window.row_off) // BLOCK_GROUP * counted.across
        place += (columns + window.col_off) // BLOCK_GROUP
    first_place = int(place.min(initial=0))
    compared = np.bincount(place - first_place)
    sums = np.bincount(place - first_place, right[0].astype(np.int8) - right[1])
    for at in np.flatnonzero(compared).tolist():
        counted.advantage[at + first_place] += int(sums[at])


def _add_cells(target: np.ndarray, marked: np.ndarray, window: Window, cell: int) -> None:
    rows, columns = window.row_off // cell, window.col_off // cell
    # where in the window a new cell begins
    down, along = (
        np.r_[0, np.arange(cell - start % cell, side, cell)]
        for start, side in ((window.row_off, window.height), (window.col_off, window.width))
    )
    rows_summed = np.add.reduceat(marked, down, dtype=np.int64)
    sums = np.add.reduceat(rows_summed, along, axis=1)
    target[rows : rows + len(down), columns : columns + len(along)] += sums


def _matched(one: DatasetReader, other: DatasetReader) -> tuple[Legend, np.ndarray]:
    """Return a legend of both maps, and uint8 (256,): the code in it of each code of the second.

    Classes are matched by name; where a map names none, codes mean the same on both.
    """
    first, second = legend_of(one), legend_of(other)
    if first is not None and second is not None:
        by_name = {entry.name: entry.code for entry in first.classes}
        new = [entry for entry in second.classes if entry.name not in by_name]
        free = [code for code in range(1, MAX_CODE + 1) if code not in first.codes]
        if len(new) > len(free):
            raise InputError(f"both maps together have more than {MAX_CODE} classes")
        added = [replace(entry, code=code) for entry, code in zip(new, free, strict=False)]
        by_name |= {entry.name: entry.code for entry in added}
        as_first = np.zeros(256, np.uint8)
        for entry in second.classes:
            as_first[entry.code] = by_name[entry.name]
        return Legend(tuple(sorted((*first.classes, *added), key=lambda c: c.code))), as_first
    if first is None:
        named, nameless = second or raster_legend(other), raster_legend(one)
    else:
        named, nameless = first, raster_legend(other)
    return united(named, nameless, Path(one.name).name), np.arange(256, dtype=np.uint8)


def _moved(of_second: Grid, grid: Grid) -> tuple[Note, ...]:
    if of_second == grid:
        return ()
    return (
        Note(
            "The second map lay on another grid or in another coordinate system; it was brought "
            "to the first's grid by nearest neighbour.",
            "Вторая карта была на другой сетке или в другой системе координат; она приведена к "
            "сетке первой методом ближайшего соседа.",
        ),
    )


def _largest(changes: np.ndarray, most: int = 8) -> list[tuple[int, int]]:
    """Return the pairs of different codes that most pixels have."""
    off = changes.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(off, axis=None, kind="stable")[::-1][:most]
    pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, off.shape)), strict=True)
    return [(a, b) for a, b in pairs if off[a, b]]
