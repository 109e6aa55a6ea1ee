"""Compare a map with a reference: confusion matrix, accuracy measures, and a report to read."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.io import DatasetReader

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.atomic import write_csv, write_json, written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend
from landcover.io.raster import Grid, legend_of, open_raster
from landcover.io.records.run_record import with_recipe
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.operation import CSV, HTML, JSON, PNG, LabelFile, LegendFile, MapFile
from landcover.progress import holding_remarks
from landcover.quality.confusion import (
    Confusion,
    LeftOut,
    accumulate,
    mapped_pixels,
    need_named,
    recoded,
    statistics_of,
)
from landcover.quality.drawn_points import Returned, drawn_only, notes_on_returned
from landcover.quality.estimates import AreaEstimates, area_adjusted
from landcover.quality.matching import Match, Side, match_legends
from landcover.quality.report import Note, draw_matrix, write_page
from landcover.quality.training_places import InsideTraining, TrainingPlaces
from landcover.samples.automatic import made_by
from landcover.samples.labels import Codes, Labels, open_labels, raster_legend


@dataclass(frozen=True)
class Assessment:
    """How well a map agrees with a reference.

    Attributes:
        report: everything on one page, for people.
        statistics: how much of the reference lies where the map's model was trained, and what
            holds without it; PyCM's statistics, overall and per class; of a stratified design
            also what became of the drawn points, and the area-adjusted estimates, each with half
            of its symmetric 95 % interval, and under intervals with the ends of a better one.
        matrix: confusion matrix in pixels, rows reference, columns map.
        figure: the matrix as a picture.
        accuracy: overall accuracy, the share of compared pixels that agree.
        kappa: Cohen's kappa; NaN if only one class occurs.
        labelled: number of compared pixels.
    """

    report: HTML
    statistics: JSON
    matrix: CSV
    figure: PNG
    accuracy: float
    kappa: float
    labelled: int


def assess_quality(
    map: MapFile,
    reference: LabelFile,
    class_field: str = "class",
    design: Literal["none", "stratified"] = "none",
    legend: LegendFile | None = None,
    layer: str = "",
    workdir: AnyPath = "",
) -> Assessment:
    """Compare a map with a reference, pixel by pixel.

    Classes meet by name. Codes without names meet codes; where only one side has names and equal
    codes may mean different classes, the legend must say what the codes mean. Features without a
    class are left out and counted. How much of the reference lies where the map's model was
    trained is told first, with what holds elsewhere: there the figures are usually too good.

    Args:
        map: a classified scene, of this or another program.
        reference: polygons, points or a raster of what is really there; any grid and CRS.
        class_field: attribute of a vector reference that holds the class.
        design: stratified for the points that draw-reference-sample drew from this very map; then
            accuracy and class areas are adjusted for area and get 95 % intervals. Points that
            were moved, added, or left without a class do not count and are told.
        legend: names the codes of a map or reference that has no names: a CSV with the columns
            code, name and color, JSON, or an earlier map.
        layer: of a vector reference that holds several.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, no labelled pixel is classified, the classes of map and
            reference cannot be matched, or a stratified design is given other points.
    """
    given = read_legend(legend)
    with (
        holding_remarks() as remark_first,
        open_raster(map) as dataset,
        open_labels(reference, class_field, Grid.of(dataset), layer=layer, partly=True) as labels,
    ):
        returned = None
        if design == "stratified":
            labels, returned = drawn_only(labels, reference, layer, map)
        compared = _compare(dataset, labels, Path(reference), given, returned)
        for note in compared.inside.notes(Path(map).name):
            remark_first(note.en)
    files = {"map": Path(map).name, "reference": Path(reference).name}
    return _write(compared, files, Path(workdir))


@dataclass(frozen=True)
class _Compared:
    """A map and its reference, compared.

    Attributes:
        confusion: pixels by class of both.
        legend: the classes of both.
        inside: what of it lies where the map's model was trained.
        sample: what became of a drawn sample, as JSON has it; None of other references.
        estimates: for the whole map; None without a drawn sample.
        notes: what the reader must know besides.
    """

    confusion: Confusion
    legend: Legend
    inside: InsideTraining
    sample: dict[str, Any] | None
    estimates: AreaEstimates | None
    notes: tuple[Note, ...]


def _compare(
    dataset: DatasetReader,
    labels: Labels,
    reference: Path,
    given: Legend | None,
    returned: Returned | None,
) -> _Compared:
    """Compare pixel by pixel.

    Raises:
        InputError: nothing is compared, or the classes do not match.
    """
    own = legend_of(dataset)
    side = Side(Path(dataset.name).name, own or raster_legend(dataset, "a map"))
    match = match_legends(side, side_of(labels, reference.name), given)
    places = TrainingPlaces.of_map(dataset)
    by_code, inside, left_out = accumulate(
        dataset, labels, None if places is None else places.cells
    )
    need_named(by_code.sum(axis=0), own, side.file)
    table, inside = (recoded(one, match.of_other, match.of_one) for one in (by_code, inside))
    match.check(table)
    confusion = Confusion.of(table, match.legend)
    if not confusion.total:
        raise InputError(
            f"no pixel of {side.file} is both classified and labelled in {reference.name}: they "
            "do not overlap"
        )
    unseen = _unseen(dataset, by_code, side.legend, match)
    return _Compared(
        confusion,
        match.legend,
        InsideTraining.of(places, table, inside, match.legend, drawn=returned is not None),
        None if returned is None else returned.to_dict(side.legend),
        None if returned is None else _estimate(dataset, own, confusion, match),
        (
            *(() if returned is None else notes_on_returned(returned, side.legend)),
            *_notes_on_rules(reference),
            *notes_on_grid(reference, Grid.of(dataset)),
            *notes_on_left_out(labels.outside, left_out),
            *notes_on_match(match),
            *notes_on_one_side(table, match),
            *_notes_on_unseen(unseen),
        ),
    )


def _unseen(
    dataset: DatasetReader, table: np.ndarray, legend: Legend, match: Match
) -> tuple[str, ...]:
    """Return the classes of the map of which no pixel was compared.

    Args:
        dataset: the map.
        table: (256, 256), compared pixels by the codes of reference and map.
        legend: of the map.
        match: of map and reference.
    """
    doubtful = [code for code in legend.codes if not table[:, code].any()]
    if not doubtful:  # else the whole map need not be decoded
        return ()
    mapped = mapped_pixels(dataset)
    entries = (match.legend.at(int(match.of_one[code])) for code in doubtful if mapped[code])
    return tuple(entry.name for entry in entries if entry is not None)


def _notes_on_unseen(names: Sequence[str]) -> tuple[Note, ...]:
    if not names:
        return ()
    listed = ", ".join(names)
    return (
        Note(
            f"No reference pixel lies on what is mapped as {listed}: nothing is known of the "
            "user's accuracy there.",
            f"Ни один пиксель эталона не лежит на том, что на карте отнесено к {listed}: о "
            "точности пользователя там ничего не известно.",
        ),
    )


def side_of(labels: Labels, name: str) -> Side:
    """Return a reference of this name as a side of a match."""
    return Side(name, labels.legend, numbered=not isinstance(labels, Codes))


def _notes_on_rules(reference: Path) -> tuple[Note, ...]:
    """Return a sentence on a reference that rules made: agreement with it is no accuracy."""
    rules = made_by(reference)
    if not rules:
        return ()
    return (
        Note(
            f"{reference.name} was made by {rules}, not by people: these figures say how well the "
            "map agrees with the rules, not how good it is. A model that learned from such labels "
            "needs a reference that people made.",
            f"Эталон {reference.name} создан правилами ({rules}), а не людьми: эти показатели "
            "говорят о согласии карты с правилами, а не о её качестве. Модели, обученной на таких "
            "метках, нужен эталон, созданный людьми.",
            leads=True,
        ),
    )


def notes_on_grid(reference: AnyPath, grid: Grid) -> tuple[Note, ...]:
    """Return a sentence on whether a raster reference was resampled, in English and Russian."""
    if need_labels(Path(reference)) != GEOTIFF:
        return ()
    with open_raster(reference) as dataset:
        if Grid.of(dataset) == grid:
            return ()
    return (
        Note(
            "The reference lay on another grid or in another coordinate system; it was brought to "
            "the map's grid by nearest neighbour.",
            "Эталон был на другой сетке или в другой системе координат; он приведён к сетке карты "
            "методом ближайшего соседа.",
        ),
    )


def notes_on_match(match: Match) -> tuple[Note, ...]:
    """Remark that codes were taken to mean the same on both sides, though one has no names."""
    if not match.guessed:
        return ()
    one, other = match.sides
    named, bare = (other, one) if other.has_names_only else (one, other)
    names_en, names_ru = "names no classes", "нет названий классов"
    if bare.has_names:
        names_en, names_ru = "does not name all classes", "названы не все классы"
    return (
        Note(
            f"{bare.file} {names_en}: its codes were taken to mean what they mean in "
            f"{named.file}. If the accuracy surprises you, compare the two legends first.",
            f"В {bare.file} {names_ru}: считалось, что коды значат то же, что в "
            f"{named.file}. Если точность удивляет, сначала сравните обе легенды.",
        ),
    )


def notes_on_one_side(table: np.ndarray, match: Match) -> tuple[Note, ...]:
    """Name the classes among the compared pixels that one side has and the other does not know.

    Args:
        table: (256, 256), compared pixels by code of reference and map.
        match: of map and reference.
    """
    known = (set(match.of_one.tolist()), set(match.of_other.tolist()))
    only_reference = _names(
        match.legend, set(np.flatnonzero(table.any(axis=1)).tolist()) - known[0]
    )
    only_map = _names(match.legend, set(np.flatnonzero(table.any(axis=0)).tolist()) - known[1])
    notes = []
    if only_reference:
        notes.append(
            Note(
                f"Classes of the reference that the map does not know count as wrong: "
                f"{only_reference}.",
                f"Классы эталона, которых нет в легенде карты, считаются ошибкой: "
                f"{only_reference}.",
            )
        )
    if only_map:
        notes.append(
            Note(
                f"Classes of the map that the reference does not know count as wrong: {only_map}.",
                f"Классы карты, которых нет в эталоне, считаются ошибкой: {only_map}.",
            )
        )
    return tuple(notes)


def _names(legend: Legend, codes: set[int]) -> str:
    return ", ".join(entry.name for entry in legend.classes if entry.code in codes)


def notes_on_left_out(outside: int, left_out: LeftOut) -> tuple[Note, ...]:
    """Return notes on how much of the reference was not compared."""
    notes = []
    if left_out.unlabelled:
        notes.append(
            Note(
                counted(
                    left_out.unlabelled,
                    "# feature|features of the reference has|have no class and does|do not count.",
                ),
                f"Объектов эталона без класса: {left_out.unlabelled:,}, они не учтены.",
            )
        )
    if outside:
        notes.append(
            Note(
                counted(
                    outside,
                    "# feature|features of the reference lies|lie outside the map and does|do not "
                    "count.",
                ),
                f"Объектов эталона вне карты: {outside:,}, они не учтены.",
            )
        )
    if left_out.conflicts:
        notes.append(
            Note(
                counted(
                    left_out.conflicts,
                    "# pixel|pixels is|are labelled as two classes in the reference and does|do "
                    "not count.",
                ),
                f"Пикселей, которые в эталоне отнесены к двум классам: {left_out.conflicts:,}, "
                "они не учтены.",
            )
        )
    if left_out.zeros:
        notes.append(
            Note(
                counted(
                    left_out.zeros,
                    "# pixel|pixels of the reference holds|hold code 0 and does|do not count, "
                    "though it declares another nodata: 0 is never a class, give it a code from "
                    "1 to 254.",
                ),
                f"Пикселей эталона с кодом 0: {left_out.zeros:,}, они не учтены, хотя для "
                "отсутствия данных указан другой код: 0 не бывает классом, нужен код от 1 до 254.",
            )
        )
    if left_out.unclassified:
        notes.append(
            Note(
                counted(
                    left_out.unclassified,
                    "# labelled pixel|pixels of the reference lies|lie where the map is not "
                    "classified and does|do not count.",
                ),
                f"Размеченных пикселей эталона там, где карта не классифицирована: "
                f"{left_out.unclassified:,}, они не учтены.",
            )
        )
    return tuple(notes)


def _estimate(
    dataset: DatasetReader, own: Legend | None, confusion: Confusion, match: Match
) -> AreaEstimates:
    """Adjust for area.

    Args:
        dataset: the map.
        own: its legend.
        confusion: of a sample that was drawn from it.
        match: of map and sample.

    Raises:
        InputError: the sample misses a class of the map.
    """
    by_code = mapped_pixels(dataset)
    need_named(by_code, own, Path(dataset.name).name)
    mapped = np.bincount(match.of_one, by_code, minlength=256).astype(np.int64)
    codes = {entry.name: entry.code for entry in match.legend.classes}
    missed = [n for n in codes if mapped[codes[n]] and n not in confusion.names]
    if missed:
        raise InputError(
            f"a stratified design needs two pixels of each class of the map, {missed[0]} has none"
        )
    sizes = [int(mapped[codes[name]]) for name in confusion.names]
    return area_adjusted(confusion, sizes, _hectares(Grid.of(dataset), sum(sizes)))


def _hectares(grid: Grid, pixels: int) -> float | None:
    if not grid.crs.is_projected:
        return None
    _, metres = grid.crs.linear_units_factor
    return float(abs(grid.transform.determinant) * metres**2 / 10_000 * pixels)


def _write(compared: _Compared, files: dict[str, str], folder: Path) -> Assessment:
    confusion, estimates = compared.confusion, compared.estimates
    statistics = compared.inside.to_dict() | statistics_of(confusion)
    if compared.sample is not None:
        statistics["sample"] = compared.sample
    if estimates is not None:
        statistics["area_adjusted"] = asdict(estimates)
    header = ("reference\\map", *confusion.names)
    rows = zip(confusion.names, confusion.counts.tolist(), strict=True)
    write_csv(folder / "matrix.csv", header, [(name, *row) for name, row in rows])
    write_json(folder / "statistics.json", with_recipe(statistics))
    picture = draw_matrix(confusion)
    with written_beside(folder / "figure.png") as beside:
        beside.write_bytes(picture)
    write_page(
        folder / "report.html",
        "assessment.html",
        confusion=confusion,
        confused=_most_confused(confusion),
        inside=compared.inside,
        statistics=statistics,
        estimates=estimates,
        colors={entry.name: entry.color for entry in compared.legend.classes},
        notes=(*compared.inside.notes(files["map"]), *compared.notes),
        picture=picture,
        **files,
    )
    kappa = statistics["overall"]["Kappa"]
    return Assessment(
        report=folder / "report.html",
        statistics=folder / "statistics.json",
        matrix=folder / "matrix.csv",
        figure=folder / "figure.png",
        accuracy=confusion.accuracy,
        kappa=math.nan if kappa is None else kappa,
        labelled=confusion.total,
    )


def _most_confused(confusion: Confusion, most: int = 3) -> list[dict[str, Any]]:
    """Return the largest cells off the diagonal, with their share of the reference class."""
    wrong = confusion.counts.copy()
    np.fill_diagonal(wrong, 0)
    cells = np.argsort(wrong, axis=None, kind="stable")[::-1][:most]
    found = []
    for row, column in zip(*np.unravel_index(cells, wrong.shape), strict=True):
        if wrong[row, column]:
            found.append(
                {
                    "reference": confusion.names[row],
                    "map": confusion.names[column],
                    "pixels": int(wrong[row, column]),
                    "share": float(wrong[row, column] / confusion.counts[row].sum()),
                }
            )
    return found
