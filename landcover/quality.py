"""Compare a map with a reference: confusion matrix, accuracy measures, and a report to read.

Only pixels labelled in the reference and classified in the map count. The statistics are PyCM's
(Haghighi et al. 2018, doi:10.21105/joss.00729); area-adjusted figures follow Olofsson et al. 2014
(doi:10.1016/j.rse.2014.02.015), equations 4 to 11.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from pycm import ConfusionMatrix
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.labels import RASTER_KIND, Labels, open_labels, raster_legend, sniff
from landcover.legend import NODATA, Legend, unnamed
from landcover.operation import CSV, HTML, JSON, PNG, AnyPath, File
from landcover.progress import report_progress
from landcover.rasters import Grid, legend_of, open_raster
from landcover.writing import write_csv, write_json, written_beside

# of the normal distribution, for 95 % intervals
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Assessment:
    """How well a map agrees with a reference.

    Attributes:
        report: everything on one page, for people.
        statistics: PyCM's statistics, overall and per class.
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


@dataclass(frozen=True)
class Confusion:
    """Pixels by class of reference (rows) and map (columns); names in the order of both."""

    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def total(self) -> int:
        """The number of compared pixels."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share that agrees."""
        return float(np.trace(self.counts) / self.total)


@dataclass(frozen=True)
class AreaEstimate:
    """Area-adjusted figures of a stratified sample, each with the half of its 95 % interval.

    Attributes:
        accuracy: overall, and half interval.
        shares: per class name, its share of the mapped area, and half interval.
    """

    accuracy: tuple[float, float]
    shares: dict[str, tuple[float, float]]


def assess_quality(
    map: File,
    reference: File,
    class_field: str = "class",
    design: Literal["none", "stratified"] = "none",
    workdir: AnyPath = "",
) -> Assessment:
    """Compare a map with a reference, pixel by pixel.

    Args:
        map: a classified scene.
        reference: polygons, points or a raster of what is really there; any grid and CRS.
        class_field: attribute of a vector reference that holds the class.
        design: stratified if the reference is a random sample stratified by the map's classes;
            then accuracy and class areas are adjusted for area and get 95 % intervals.
        workdir: folder to write to.

    Raises:
        InputError: an input does not do, or no labelled pixel is classified.
    """
    with open_raster(map) as dataset:
        grid = Grid.of(dataset)
        own = legend_of(dataset)
        notes = _notes(reference, grid)
        with open_labels(reference, class_field, grid, own or raster_legend(dataset)) as labels:
            legend = _union(own, labels.legend, Path(map).name)
            table, mapped = _accumulate(dataset, labels, grid)
    confusion = _confusion(table, legend)
    if not confusion.total:
        raise InputError(
            f"no pixel of {Path(map).name} is both classified and labelled in "
            f"{Path(reference).name}: they do not overlap"
        )
    area = _area_estimate(confusion, mapped, legend) if design == "stratified" else None
    statistics = statistics_of(confusion)
    names = {"map": Path(map).name, "reference": Path(reference).name}
    return _write(confusion, statistics, area, legend, names, notes, Path(workdir))


def statistics_of(confusion: Confusion) -> dict[str, Any]:
    """Return PyCM's statistics as {classes, overall, class}; null where PyCM has no number."""
    names = list(confusion.names)
    if len(names) == 1:
        return {"classes": names, "overall": {"Overall ACC": 1.0, "Kappa": None}, "class": {}}
    matrix = ConfusionMatrix(matrix=confusion.counts.tolist())
    overall = {key: _number(value) for key, value in matrix.overall_stat.items()}
    per_class = {
        key: {name: _number(values[index]) for index, name in enumerate(names)}
        for key, values in matrix.class_stat.items()
        if isinstance(values, dict) and len(values) == len(names)
    }
    return {
        "classes": names,
        "overall": {key: value for key, (value, is_one) in overall.items() if is_one},
        "class": {
            key: {name: value for name, (value, _) in values.items()}
            for key, values in per_class.items()
            if any(is_one for _, is_one in values.values())
        },
    }


def area_adjusted(confusion: Confusion, mapped: Sequence[int]) -> AreaEstimate:
    """Adjust accuracy and class areas for how much of the map each class covers.

    Args:
        confusion: of a random sample stratified by the map's classes.
        mapped: pixels of each class on the whole map, in the order of the names.

    Raises:
        InputError: a class of the map has fewer than two sampled pixels.
    """
    by_map = confusion.counts.T.astype(float)  # rows map, columns reference
    sampled = by_map.sum(axis=1)
    weight = np.asarray(mapped, float) / sum(mapped)
    present = weight > 0
    if (sampled[present] < 2).any():
        poor = confusion.names[int(np.flatnonzero(present & (sampled < 2))[0])]
        raise InputError(f"a stratified design needs two pixels of each class, {poor} has fewer")
    by_map, sampled, weight = by_map[present], sampled[present], weight[present]
    share = by_map / sampled[:, None]
    users = share[np.arange(len(share)), np.flatnonzero(present)]
    accuracy = float((weight * users).sum())
    variance = (weight**2 * users * (1 - users) / (sampled - 1)).sum()
    areas = (weight[:, None] * share).sum(axis=0)
    spread = (weight[:, None] ** 2 * share * (1 - share) / (sampled - 1)[:, None]).sum(axis=0)
    return AreaEstimate(
        accuracy=(accuracy, Z95 * math.sqrt(variance)),
        shares={
            name: (float(a), Z95 * math.sqrt(v))
            for name, a, v in zip(confusion.names, areas, spread, strict=True)
        },
    )


def _accumulate(
    dataset: DatasetReader, labels: Labels, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (256, 256) by reference and map code, and (256,) of the whole map."""
    table = np.zeros(256 * 256, np.int64)
    mapped = np.zeros(256, np.int64)
    windows = list(grid.windows())
    for done, window in enumerate(windows):
        report_progress(done / len(windows), "comparing map and reference")
        codes = dataset.read(1, window=window)
        if codes.dtype != np.uint8:
            raise InputError(f"{Path(dataset.name).name} holds {codes.dtype}, a map needs uint8")
        if dataset.nodata is not None:
            codes = np.where(codes == dataset.nodata, 0, codes)
        codes = np.where(codes == NODATA, 0, codes)
        mapped += np.bincount(codes.ravel(), minlength=256)
        reference = labels.read(window).codes
        both = (reference != 0) & (codes != 0)
        pairs = reference[both].astype(np.int64) * 256 + codes[both]
        table += np.bincount(pairs, minlength=256 * 256)
    return table.reshape(256, 256), mapped


def _confusion(table: np.ndarray, legend: Legend) -> Confusion:
    """Cut the classes that occur on either side out of the table of all codes."""
    present = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    names = {entry.code: entry.name for entry in legend.classes}
    return Confusion(
        names=tuple(names.get(code, unnamed(code)) for code in present.tolist()),
        counts=table[np.ix_(present, present)],
    )


def _union(of_map: Legend | None, of_reference: Legend, map_name: str) -> Legend:
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


def _notes(reference: AnyPath, grid: Grid) -> tuple[str, ...]:
    """Say what a reader must know of a raster reference."""
    if sniff(Path(reference)) != RASTER_KIND:
        return ()
    with open_raster(reference) as dataset:
        notes = {
            "The reference lay on another grid or in another coordinate system; it was brought to "
            "the map's grid by nearest neighbour.": Grid.of(dataset) != grid,
            "The reference names no classes: its codes were taken to mean what they mean on the "
            "map. If the accuracy surprises you, compare the two legends first.": (
                legend_of(dataset) is None
            ),
        }
    return tuple(note for note, holds in notes.items() if holds)


def _area_estimate(confusion: Confusion, mapped: np.ndarray, legend: Legend) -> AreaEstimate:
    codes = {entry.name: entry.code for entry in legend.classes}
    return area_adjusted(confusion, [int(mapped[codes[name]]) for name in confusion.names])


def _number(value: object) -> tuple[float | None, bool]:
    """Return a number or None, and whether PyCM means a number at all."""
    if value == "None":
        return None, True
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        return (number if math.isfinite(number) else None), True
    return None, False


def _write(
    confusion: Confusion,
    statistics: dict[str, Any],
    area: AreaEstimate | None,
    legend: Legend,
    names: dict[str, str],
    notes: tuple[str, ...],
    folder: Path,
) -> Assessment:
    header = ("reference\\map", *confusion.names)
    rows = [
        (name, *row.tolist()) for name, row in zip(confusion.names, confusion.counts, strict=True)
    ]
    write_csv(folder / "matrix.csv", header, rows)
    write_json(folder / "statistics.json", statistics)
    picture = _draw(confusion)
    with written_beside(folder / "figure.png") as beside:
        beside.write_bytes(picture)
    page = _render(confusion, statistics, area, legend, names, notes, picture)
    with written_beside(folder / "report.html") as beside:
        beside.write_text(page, encoding="utf-8")
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


def _draw(confusion: Confusion) -> bytes:
    """Draw each row as shares of its reference class, with the pixels in the cells."""
    counts = confusion.counts
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.5, 0.7 * len(counts) + 2), 20)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    ticks = range(len(counts))
    axes.set_xticks(ticks, confusion.names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(ticks, confusion.names, parse_math=False)
    axes.set(xlabel="map", ylabel="reference")
    for row in ticks if len(counts) <= 20 else ():
        for column in ticks:
            color = "black" if share[row, column] > 0.6 else "white"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color)
    figure.colorbar(image, label="share of the reference class")
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()


def _render(
    confusion: Confusion,
    statistics: dict[str, Any],
    area: AreaEstimate | None,
    legend: Legend,
    names: dict[str, str],
    notes: tuple[str, ...],
    picture: bytes,
) -> str:
    pages = Environment(
        loader=PackageLoader("landcover"), autoescape=True, undefined=StrictUndefined
    )
    return pages.get_template("assessment.html").render(
        confusion=confusion,
        statistics=statistics,
        area=area,
        colors={entry.name: entry.color for entry in legend.classes},
        notes=notes,
        picture=base64.b64encode(picture).decode(),
        **names,
    )
