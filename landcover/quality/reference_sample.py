"""Draw the places at which a map shall be checked.

A random sample, stratified by the map's classes, is the design that lets a few hundred labelled
points speak for a whole map (Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015, section 5).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import shapely
from rasterio.io import DatasetReader

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.raster import Grid, legend_of, open_raster, windows_of
from landcover.operation import CSV, GPKG, MapFile, Range, Seed
from landcover.progress import remark, report_progress
from landcover.quality.confusion import WINDOW, mapped_pixels, need_named, read_codes
from landcover.quality.drawn_points import MAP, STRATUM, DrawnPoint, MapDigest
from landcover.quality.estimates import FEWEST_POINTS
from landcover.samples.labels import raster_legend


@dataclass(frozen=True)
class ReferenceSample:
    """Points to be labelled.

    Attributes:
        points: a point in the middle of each drawn pixel, in random order; fill the field class
            with what is really there, then give the file to assess-quality. The fields map and
            stratum say, sealed, of which map and class each point speaks: leave them as they are.
        counts: pixels on the map and points drawn of each class (class, code, pixels, points).
        total: number of points.
    """

    points: GPKG
    counts: CSV
    total: int


def draw_reference_sample(
    map: MapFile,
    per_class: Annotated[int, Range(0, 100_000)] = 50,
    counts: str = "",
    seed: Seed = 0,
    workdir: AnyPath = "",
) -> ReferenceSample:
    """Draw random points of each class of a map, to be labelled as its reference.

    The points do not say what the map shows there, so that whoever labels them is not led. Label
    them where they are: assess-quality with design stratified then gives accuracy and class areas
    of the whole map with their 95 % intervals. Leave empty what cannot be decided; such points
    are counted. Fifty points a class are a usual choice, never fewer than two.

    Args:
        map: a classified scene.
        per_class: number of points of each class; all pixels of a class that has fewer.
        counts: other numbers for some classes, as "water=100; town=30".
        seed: of the choice.
        workdir: folder to write to.

    Raises:
        InputError: the map holds no classified pixel, or counts names no class of it.
    """
    from landcover.io.vector import write_points

    with open_raster(map) as dataset:
        grid = Grid.of(dataset)
        legend = legend_of(dataset) or raster_legend(dataset, "a map")
        report_progress(0, "counting the pixels of each class")
        mapped = mapped_pixels(dataset)
        need_named(mapped, legend, Path(map).name)
        wanted = _wanted(per_class, counts, legend)
        rng = np.random.default_rng(seed)
        ranks = {
            code: np.sort(rng.choice(mapped[code], min(wanted[code], mapped[code]), replace=False))
            for code in legend.codes
        }
        rows, columns, codes = _find(dataset, ranks)
    if not len(rows):
        raise InputError(f"{Path(map).name} holds no pixel to draw: it needs classified ones")
    _remark_on_few(wanted, mapped, legend)
    order = rng.permutation(len(rows))
    rows, columns, codes = rows[order], columns[order], codes[order]
    digest = MapDigest.of(map)
    seals = [
        digest.seal(DrawnPoint(seed, code, len(ranks[code]), row, column))
        for code, row, column in zip(codes.tolist(), rows.tolist(), columns.tolist(), strict=True)
    ]
    folder = Path(workdir)
    write_points(
        folder / "points.gpkg",
        _centres(grid, rows, columns),
        grid.crs.to_wkt(),
        [
            ("id", np.arange(1, len(rows) + 1)),
            ("class", np.full(len(rows), None, object)),
            (MAP, np.full(len(rows), digest.shown, object)),
            (STRATUM, np.array(seals, object)),
        ],
    )
    table = [(c.name, c.code, int(mapped[c.code]), len(ranks[c.code])) for c in legend.classes]
    write_csv(folder / "counts.csv", ("class", "code", "pixels", "points"), table)
    return ReferenceSample(folder / "points.gpkg", folder / "counts.csv", len(rows))


def _remark_on_few(wanted: dict[int, int], mapped: np.ndarray, legend: Legend) -> None:
    """Name the classes that give fewer points than asked for, or too few for an accuracy."""
    for entry in legend.classes:
        there = int(mapped[entry.code])
        if there < wanted[entry.code]:
            remark(
                f"{entry.name} has {counted(there, '# pixel|pixels')} on the map, fewer than the "
                f"{wanted[entry.code]:,} points asked for: all were taken"
            )
        elif there and wanted[entry.code] < FEWEST_POINTS:
            remark(
                f"{counted(wanted[entry.code], '# point|points')} of {entry.name} "
                f"{counted(wanted[entry.code], 'gives|give')} it no accuracy with an interval, "
                f"{FEWEST_POINTS} are the least"
            )


def _wanted(per_class: int, counts: str, legend: Legend) -> dict[int, int]:
    """Return the number of points of each code."""
    wanted = dict.fromkeys(legend.codes, per_class)
    for part in filter(None, (part.strip() for part in counts.split(";"))):
        name, _, number = (word.strip() for word in part.rpartition("="))
        if not name or not number.isdecimal():
            raise InputError(f"counts holds {part}, needs a class and a number as in water=100")
        wanted[legend.match([name])[name]] = int(number)
    return wanted


def _find(
    dataset: DatasetReader, ranks: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and codes of the pixels that are the n-th of their code on the map."""
    before = dict.fromkeys(ranks, 0)
    found: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    windows = list(windows_of(dataset, WINDOW))
    for done, window in enumerate(windows):
        report_progress(done / len(windows), "drawing points")
        codes = read_codes(dataset, window).ravel()
        sizes = np.bincount(codes, minlength=256)
        for code, wanted in ranks.items():
            first, last = np.searchsorted(wanted, (before[code], before[code] + sizes[code]))
            if last > first:
                at = np.flatnonzero(codes == code)[wanted[first:last] - before[code]]
                row, column = np.divmod(at, window.width)
                place = row + window.row_off, column + window.col_off
                found.append(np.stack([*place, np.full(len(at), code)], axis=1))
            before[code] += int(sizes[code])
    rows, columns, drawn = np.concatenate(found).T
    return rows, columns, drawn


def _centres(grid: Grid, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return shapely points (N,) in the middle of pixels."""
    centres: Any = (columns + 0.5, rows + 0.5)
    x, y = grid.transform @ centres
    return np.asarray(shapely.points(x, y))
