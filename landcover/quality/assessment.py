"""Compare a map with a reference: confusion matrix, accuracy measures, and a report to read."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from landcover.errors import InputError
from landcover.labels import RASTER_KIND, open_labels, raster_legend, sniff
from landcover.legend import Legend, unnamed
from landcover.operation import CSV, HTML, JSON, PNG, AnyPath, LabelFile, RasterFile
from landcover.quality.confusion import (
    Confusion,
    accumulate,
    mapped_pixels,
    need_named,
    statistics_of,
)
from landcover.quality.estimates import AreaEstimates, area_adjusted
from landcover.quality.report import Note, draw_matrix, write_page
from landcover.rasters import Grid, legend_of, open_raster
from landcover.writing import write_csv, write_json, written_beside


@dataclass(frozen=True)
class Assessment:
    """How well a map agrees with a reference.

    Attributes:
        report: everything on one page, for people.
        statistics: PyCM's statistics, overall and per class; of a stratified design also the
            area-adjusted estimates, each with half of its 95 % interval.
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
    map: RasterFile,
    reference: LabelFile,
    class_field: str = "class",
    design: Literal["none", "stratified"] = "none",
    workdir: AnyPath = "",
) -> Assessment:
    """Compare a map with a reference, pixel by pixel.

    Args:
        map: a classified scene.
        reference: polygons, points or a raster of what is really there; any grid and CRS.
        class_field: attribute of a vector reference that holds the class.
        design: stratified if the reference is a random sample stratified by the map's classes, as
            draw-reference-sample draws it; then accuracy and class areas are adjusted for area
            and get 95 % intervals.
        workdir: folder to write to.

    Raises:
        InputError: an input does not do, or no labelled pixel is classified.
    """
    with open_raster(map) as dataset:
        grid = Grid.of(dataset)
        own = legend_of(dataset)
        notes = notes_on(reference, grid)
        with open_labels(reference, class_field, grid, own or raster_legend(dataset)) as labels:
            legend = united(own, labels.legend, Path(map).name)
            table, conflicts = accumulate(dataset, labels)
            need_named(table.sum(axis=0), own, Path(map).name)
            notes += notes_on_left_out(labels.outside, conflicts)
        confusion = Confusion.of(table, legend)
        if not confusion.total:
            raise InputError(
                f"no pixel of {Path(map).name} is both classified and labelled in "
                f"{Path(reference).name}: they do not overlap"
            )
        estimates = None
        if design == "stratified":
            mapped = mapped_pixels(dataset)
            need_named(mapped, own, Path(map).name)
            estimates = _estimate(mapped, grid, confusion, legend)
    return _write(
        confusion,
        estimates,
        legend,
        {"map": Path(map).name, "reference": Path(reference).name},
        notes,
        Path(workdir),
    )


def united(of_map: Legend | None, of_reference: Legend, map_name: str) -> Legend:
    """Return the map's legend with the classes that only the reference knows.

    Raises:
        InputError: a code means one class on the map and another in the reference.
    """
    if of_map is None:
        return of_reference
    known = {entry.code: entry.name for entry in of_map.classes}
    for entry in of_reference.classes:
        name = known.get(entry.code, entry.name)
        if entry.name not in (name, unnamed(entry.code)):
            raise InputError(
                f"code {entry.code} is {name} on {map_name} and {entry.name} in the reference: "
                "both need one legend"
            )
    extra = [entry for entry in of_reference.classes if entry.code not in known]
    return Legend(tuple(sorted((*of_map.classes, *extra), key=lambda entry: entry.code)))


def notes_on(reference: AnyPath, grid: Grid) -> tuple[Note, ...]:
    """Say what a reader must know of a raster reference, in English and Russian."""
    if sniff(Path(reference)) != RASTER_KIND:
        return ()
    notes = []
    with open_raster(reference) as dataset:
        if Grid.of(dataset) != grid:
            notes.append(
                Note(
                    "The reference lay on another grid or in another coordinate system; it was "
                    "brought to the map's grid by nearest neighbour.",
                    "Эталон был на другой сетке или в другой системе координат; он приведён к "
                    "сетке карты методом ближайшего соседа.",
                )
            )
        if legend_of(dataset) is None:
            notes.append(
                Note(
                    "The reference names no classes: its codes were taken to mean what they mean "
                    "on the map. If the accuracy surprises you, compare the two legends first.",
                    "В эталоне нет названий классов: считалось, что его коды значат то же, что на "
                    "карте. Если точность удивляет, сначала сравните обе легенды.",
                )
            )
    return tuple(notes)


def notes_on_left_out(outside: int, conflicts: int) -> tuple[Note, ...]:
    """Say how much of the reference was not compared."""
    notes = []
    if outside:
        notes.append(
            Note(
                f"{outside:,} features of the reference lie outside the map and do not count.",
                f"Объектов эталона вне карты: {outside:,}, они не учтены.",
            )
        )
    if conflicts:
        notes.append(
            Note(
                f"{conflicts:,} pixels are labelled as two classes in the reference and do not "
                "count.",
                f"Пикселей, которые в эталоне отнесены к двум классам: {conflicts:,}, они не "
                "учтены.",
            )
        )
    return tuple(notes)


def _estimate(
    mapped: np.ndarray, grid: Grid, confusion: Confusion, legend: Legend
) -> AreaEstimates:
    """Adjust for area.

    Raises:
        InputError: the sample misses a class of the map.
    """
    codes = {entry.name: entry.code for entry in legend.classes}
    missed = [n for n in legend.names if mapped[codes[n]] and n not in confusion.names]
    if missed:
        raise InputError(
            f"a stratified design needs two pixels of each class of the map, {missed[0]} has none"
        )
    sizes = [int(mapped[codes[name]]) for name in confusion.names]
    return area_adjusted(confusion, sizes, _hectares(grid, sum(sizes)))


def _hectares(grid: Grid, pixels: int) -> float | None:
    if not grid.crs.is_projected:
        return None
    _, metres = grid.crs.linear_units_factor
    return float(abs(grid.transform.determinant) * metres**2 / 10_000 * pixels)


def _write(
    confusion: Confusion,
    estimates: AreaEstimates | None,
    legend: Legend,
    files: dict[str, str],
    notes: tuple[Note, ...],
    folder: Path,
) -> Assessment:
    statistics = statistics_of(confusion)
    if estimates is not None:
        statistics["area_adjusted"] = asdict(estimates)
    header = ("reference\\map", *confusion.names)
    rows = zip(confusion.names, confusion.counts.tolist(), strict=True)
    write_csv(folder / "matrix.csv", header, [(name, *row) for name, row in rows])
    write_json(folder / "statistics.json", statistics)
    picture = draw_matrix(confusion)
    with written_beside(folder / "figure.png") as beside:
        beside.write_bytes(picture)
    write_page(
        folder / "report.html",
        "assessment.html",
        confusion=confusion,
        confused=_most_confused(confusion),
        statistics=statistics,
        estimates=estimates,
        colors={entry.name: entry.color for entry in legend.classes},
        notes=notes,
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
