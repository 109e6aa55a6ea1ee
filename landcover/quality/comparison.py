"""Which of two maps of one place is better, and is the difference more than chance?"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend
from landcover.io.raster import Grid, legend_of, on_grid, open_raster, windows_of
from landcover.io.records.run_record import input_name
from landcover.operation import HTML, LabelFile, LegendFile, MapFile
from landcover.progress import report_progress
from landcover.quality.assessment import (
    notes_on_grid,
    notes_on_left_out,
    notes_on_match,
    notes_on_one_side,
    side_of,
)
from landcover.quality.clustered_test import (
    SIGNIFICANT,
    Verdict,
    Witnesses,
    mcnemar,
    of_cells,
    of_places,
)
from landcover.quality.confusion import (
    WINDOW,
    Confusion,
    LeftOut,
    need_named,
    read_codes,
    statistics_of,
    tabulate,
)
from landcover.quality.matching import Match, Side, match_legends
from landcover.quality.naming import distinct_names
from landcover.quality.report import Note, draw_difference, draw_matrix, write_page
from landcover.samples.labels import Codes, Labelled, Labels, open_labels, raster_legend

_CELLS = 512
"""Cells along the longer side by which differences are drawn and tested."""


@dataclass(frozen=True)
class Comparison:
    """Which of two maps agrees better with a reference.

    Attributes:
        better: first or second if one agrees better and p_value is below 0.05, else neither.
        p_value: probability of a difference at least as large if both maps were equally good;
            McNemar's test clustered by reference polygon or point, or by blocks that are wider
            than differences reach.
        report: both matrices side by side, and where the maps differ.
    """

    better: Literal["first", "second", "neither"]
    p_value: float
    report: HTML


def compare_maps(
    first: MapFile,
    second: MapFile,
    reference: LabelFile,
    class_field: str = "class",
    legend: LegendFile | None = None,
    layer: str = "",
    workdir: AnyPath = "",
) -> Comparison:
    """Test which of two maps agrees better with a reference, and whether by chance.

    Only pixels count that are labelled in the reference and classified in both maps. Classes of
    maps and reference meet by name, as in assess-quality; codes without names meet codes.

    Args:
        first: a classified scene.
        second: another map of the same place; on another grid it is brought to the first's.
        reference: polygons, points or a raster of what is really there; any grid and CRS. A
            random sample, or polygons that neither map was trained on.
        class_field: attribute of a vector reference that holds the class.
        legend: names the codes of maps or of a reference that has no names: a CSV with the
            columns code, name and color, JSON, or an earlier map.
        layer: of a vector reference that holds several.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, no labelled pixel is classified in both maps, or the
            classes cannot be matched.
    """
    given = read_legend(legend)
    paths = {"first": first, "second": second, "reference": reference}
    files = distinct_names({name: input_name(name, path) for name, path in paths.items()})
    with open_raster(first) as one, open_raster(second) as other:
        grid = Grid.of(one)
        notes = (*_moved(Grid.of(other), grid), *notes_on_grid(reference, grid))
        maps = match_legends(_side(one, files["first"]), _side(other, files["second"]), given)
        both = Side(f"{files['first']} with {files['second']}", maps.legend)
        with (
            on_grid(other, grid) as moved,
            open_labels(reference, class_field, grid, layer=layer, partly=True) as labels,
        ):
            with_reference = match_legends(both, side_of(labels, files["reference"]), given)
            codes_of = _CodesOf(
                first=with_reference.of_one[maps.of_one],
                second=with_reference.of_one[maps.of_other],
                reference=with_reference.of_other,
            )
            counted = _count(one, moved, labels, codes_of)
    _check(maps, with_reference, counted)
    tables = [
        Confusion.of(table, with_reference.legend, sum(counted.tables)) for table in counted.tables
    ]
    if not tables[0].total:
        raise InputError(
            f"no pixel is classified in both {files['first']} and {files['second']} and labelled "
            f"in {files['reference']}: they do not overlap"
        )
    witnesses = _witnesses(counted)
    verdict = mcnemar(witnesses, *counted.discordant)
    block = witnesses.block * counted.cell
    notes += (
        *_notes_on_test(verdict, block, joined=not counted.is_raster),
        *notes_on_left_out(labels.outside, counted.left_out),
        *notes_on_match(maps),
        *notes_on_match(with_reference),
        *notes_on_one_side(sum(counted.tables, np.zeros(1, int)), with_reference),
    )
    page = write_page(
        Path(workdir) / "report.html",
        "comparison.html",
        verdict=verdict,
        block=block,
        significant=SIGNIFICANT,
        tables=tables,
        statistics=[statistics_of(table) for table in tables],
        pictures=[draw_matrix(table) for table in tables],
        notes=notes,
        **_drawn(counted, with_reference.legend),
        **files,
    )
    return Comparison(verdict.better, verdict.p_value, page)


def _drawn(counted: "_Counted", legend: Legend) -> dict[str, Any]:
    """Return what the report shows of where the maps differ."""
    names = {entry.code: entry.name for entry in legend.classes}
    return {
        "difference": draw_difference(counted.differs, counted.seen),
        "changes": [
            (names.get(a, str(a)), names.get(b, str(b)), int(counted.changes[a, b]))
            for a, b in _largest(counted.changes)
        ],
        "share": float(counted.differs.sum() / max(1, counted.seen.sum())),
        "colors": {entry.name: entry.color for entry in legend.classes},
    }


@dataclass
class _Counted:
    """What both maps and the reference say, summed over windows.

    Attributes:
        cell: side in pixels of the cells.
        is_raster: whether the reference is one; then cells are summed, else places.
        differs: int (rows, columns), pixels that differ in each cell.
        seen: pixels classified in both, in each cell.
        advantage: pixels only the first map has right less those only the second has, in each.
        labelled: compared pixels in each cell.
        places: float (4, N), of each place the compared pixels, the advantage, and the sums of
            rows and of columns of these pixels.
        tables: confusion by code (256, 256) of the first and of the second map.
        changes: pixels by code (256, 256) of the first map and of the second, labelled or not.
        discordant: pixels only the first has right, and only the second.
        left_out: what of the reference does not count.
    """

    cell: int
    is_raster: bool
    differs: np.ndarray
    seen: np.ndarray
    advantage: np.ndarray
    labelled: np.ndarray
    places: np.ndarray
    tables: tuple[np.ndarray, np.ndarray]
    changes: np.ndarray
    discordant: tuple[int, int] = (0, 0)
    left_out: LeftOut = field(default_factory=LeftOut)

    @classmethod
    def nothing(cls, grid: Grid, is_raster: bool) -> "_Counted":
        """Create an empty one."""
        cell = max(1, math.ceil(max(grid.width, grid.height) / _CELLS))
        shape = (math.ceil(grid.height / cell), math.ceil(grid.width / cell))
        differs, seen, advantage, labelled = np.zeros((4, *shape), np.int64)
        first, second, changes = np.zeros((3, 256, 256), np.int64)
        return cls(
            cell, is_raster, differs, seen, advantage, labelled, np.zeros((4, 0)),
            (first, second), changes,
        )  # fmt: skip


@dataclass(frozen=True)
class _CodesOf:
    """The code in the legend of all, uint8 (256,), for each code of each."""

    first: np.ndarray
    second: np.ndarray
    reference: np.ndarray


def _count(
    one: DatasetReader, other: DatasetReader, labels: Labels, codes_of: _CodesOf
) -> _Counted:
    counted = _Counted.nothing(Grid.of(one), isinstance(labels, Codes))
    counted.left_out.unlabelled = len(labels.unlabelled)
    legends = legend_of(one), legend_of(other)
    windows = list(windows_of(one, WINDOW))
    for done, window in enumerate(windows):
        report_progress(done / len(windows), "comparing the two maps")
        maps = read_codes(one, window), read_codes(other, window)
        for dataset, held, legend in zip((one, other), maps, legends, strict=True):
            counts = np.bincount(held.ravel(), minlength=256)
            need_named(counts, legend, Path(dataset.name).name)
        labelled = labels.read(window)
        labelled = replace(labelled, codes=codes_of.reference[labelled.codes])
        first, second = codes_of.first[maps[0]], codes_of.second[maps[1]]
        _add(counted, first, second, labelled, window)
    return counted


def _add(
    counted: _Counted, first: np.ndarray, second: np.ndarray, labelled: Labelled, window: Window
) -> None:
    counted.changes += tabulate(first, second)
    both = (first != 0) & (second != 0)
    compared = both & (labelled.codes != 0)
    counted.left_out.conflicts += labelled.conflicts
    counted.left_out.zeros += labelled.zeros
    counted.left_out.unclassified += int(np.count_nonzero((labelled.codes != 0) & ~both))
    _add_cells(counted.seen, both, window, counted.cell)
    _add_cells(counted.differs, both & (first != second), window, counted.cell)
    if compared.any():
        truth = np.where(compared, labelled.codes, 0)
        for table, mapped in zip(counted.tables, (first, second), strict=True):
            table += tabulate(truth, mapped)
        advantage = np.where(compared, (first == truth).astype(np.int8) - (second == truth), 0)
        _add_advantage(counted, advantage, compared, labelled.features, window)


def _add_advantage(
    counted: _Counted,
    advantage: np.ndarray,
    compared: np.ndarray,
    features: np.ndarray,
    window: Window,
) -> None:
    only_first, only_second = counted.discordant
    counted.discordant = (
        only_first + int(np.count_nonzero(advantage > 0)),
        only_second + int(np.count_nonzero(advantage < 0)),
    )
    if counted.is_raster:
        _add_cells(counted.advantage, advantage, window, counted.cell)
        _add_cells(counted.labelled, compared, window, counted.cell)
    else:
        rows, columns = np.nonzero(compared)
        at = advantage[rows, columns], rows + window.row_off, columns + window.col_off
        which = features[rows, columns]
        sums = [np.bincount(which), *(np.bincount(which, weights) for weights in at)]
        counted.places = _added(counted.places, np.stack(sums))


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the sum of two tables (4, N); the columns that one lacks are 0."""
    total = np.zeros((len(one), max(one.shape[1], other.shape[1])))
    total[:, : one.shape[1]] += one
    total[:, : other.shape[1]] += other
    return total


def _witnesses(counted: _Counted) -> Witnesses:
    if counted.is_raster:
        return of_cells(counted.advantage, counted.labelled)
    pixels, advantages, rows, columns = counted.places[:, counted.places[0] > 0]
    row, column = ((along / pixels // counted.cell).astype(int) for along in (rows, columns))
    return of_places(advantages.astype(np.int64), row, column, counted.differs, counted.seen)


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


def _side(dataset: DatasetReader, name: str) -> Side:
    return Side(name, legend_of(dataset) or raster_legend(dataset, "a map"))


def _notes_on_test(verdict: Verdict, block: int, joined: bool) -> tuple[Note, ...]:
    """Return notes on joined places, and on too few of them to decide anything."""
    notes = []
    if block and joined:
        notes.append(
            Note(
                f"Places near one another are right or wrong together, so they were joined in "
                f"blocks of {block:,} pixels.",
                f"Соседние места верны или неверны вместе, поэтому они объединены в блоки по "
                f"{block:,} пикселей.",
            )
        )
    if verdict.alike:
        notes.append(
            Note(
                "No decision is possible: on each of the compared pixels both maps are right, or "
                "both are wrong.",
                "Решение невозможно: на каждом из сравнённых пикселей обе карты верны или обе "
                "неверны.",
            )
        )
    elif not verdict.decidable:
        notes.append(
            Note(
                "No decision is possible: the maps differ in too few independent places "
                f"({verdict.discordant}) to tell a better map from chance. Compare them on a "
                "larger reference, or one with more places.",
                f"Решение невозможно: независимых мест, где карты различаются: "
                f"{verdict.discordant}; этого мало, чтобы отличить лучшую карту от случайности. "
                "Нужен эталон большей площади или с большим числом мест.",
            )
        )
    return tuple(notes)


def _check(maps: Match, with_reference: Match, counted: _Counted) -> None:
    """Refuse codes that met by code and do not mean the same.

    The maps are compared where they are labelled or not, each reference pixel with both maps.
    """
    moved = with_reference.of_one
    in_all = replace(
        maps,
        guessed=tuple(moved[list(maps.guessed)].tolist()),
        bare=tuple(moved[list(maps.bare)].tolist()),
    )
    in_all.check(counted.changes.T)
    with_reference.check(counted.tables[0] + counted.tables[1])


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
