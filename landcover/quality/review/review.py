"""Look where a map is likely wrong, and say which part of it labels show to be right."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.raster import Grid, legend_of, on_grid, open_raster
from landcover.io.records.run_record import input_name
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.operation import CSV, GPKG, HTML, LabelFile, MapFile, Range, RasterFile
from landcover.progress import holding_remarks
from landcover.quality.assessment import (
    notes_on_grid,
    notes_on_left_out,
    notes_on_match,
    notes_on_one_side,
    notes_on_rules,
    side_of,
)
from landcover.quality.drawn_points import (
    MAP,
    MapDigest,
    drawn_only,
    notes_on_returned,
)
from landcover.quality.matching import Match, Side, match_legends
from landcover.quality.naming import distinct_names
from landcover.quality.report import Note, write_page
from landcover.quality.review.evidence import Evidence, Judged, judged
from landcover.quality.review.plan import COLUMNS, Part, Row, planned
from landcover.quality.review.ranking import Ranking, write_windows
from landcover.quality.review.scan import SURE, Scan, Sources, scale_of, scan_map
from landcover.quality.review.trust import SEQUENTIAL_FROM, ZONES
from landcover.quality.training_places import InsideTraining, TrainingPlaces
from landcover.samples.labels import Labels, Points, open_labels, raster_legend

_PRIOR = 10
"""Labels that the expected errors weigh as much as, where a plan guesses an error rate."""
_SHOWN = 10


@dataclass(frozen=True)
class Review:
    """Where a map is likely wrong, and what of it can be trusted.

    Attributes:
        windows: by rank, the first to look at first: the share of expected errors (doubt), the
            cluster of doubtful windows it belongs to, the smallest zone of surest windows it is
            in (1 to 10), and whether it lies in the trusted zone.
        plan: how many labels answer which question.
        report: all of it to read, with a paragraph for a methods section.
        trusted: share of the classified pixels in the largest zone whose error rate the reference
            shows to be at most the tolerance, 0 without a reference.
    """

    windows: GPKG
    plan: CSV
    report: HTML
    trusted: float


def review_map(
    map: MapFile,
    confidence: RasterFile | None = None,
    other: MapFile | None = None,
    reference: LabelFile | None = None,
    window: Annotated[int, Range(4, 2048)] = 32,
    tolerance: Annotated[float, Range(0.001, 0.5)] = 0.05,
    workdir: AnyPath = "",
) -> Review:
    """Show where a map is likely wrong, and which part of it can be trusted.

    Errors are expected where the confidence is low, where the other map differs, and where a
    pixel was left open; without both, at edges between classes, which says little. Windows of
    doubt that touch are one cluster, and one window of each is looked at first. With labels at
    places drawn at random the error rate gets an interval that counts windows, not pixels, and
    zones are tested from the surest on.

    Args:
        map: a classified scene, of this or another program.
        confidence: of its pixels, 0 to 100 percent or shares in floating point, as classify-scene
            writes it.
        other: another map of the same place; on another grid it is brought to the map's.
        reference: points drawn at random in the map or in windows of it, polygons, or a raster,
            with what is really there in the attribute class; any grid and CRS. Points of
            draw-reference-sample are weighted by the area of their class.
        window: side of a window in pixels.
        tolerance: error rate that what is trusted has at most.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, nothing is classified or labelled, or the classes cannot
            be matched.
    """
    paths = {"map": map, "confidence": confidence, "other": other, "reference": reference}
    files = distinct_names(
        {name: input_name(name, path) for name, path in paths.items() if path is not None}
    )
    with (
        holding_remarks() as remark_first,
        _opened(map, confidence, other, reference, files) as it,
    ):
        scan = scan_map(it.sources, window)
        notes = _notes(scan, it, files, reference)
        leads = [note for note in notes if note.leads]
        for note in leads:
            remark_first(note.en)
    ranking = Ranking.of(scan)
    evidence = None
    if it.sources.labels is not None:
        evidence = Evidence.of(scan, it.drawn, it.sources.labels)
    found = judged(scan, ranking, evidence, it.legend, tolerance)
    folder = Path(workdir)
    rows = list(_planned(scan, ranking, found, it.legend, tolerance))
    write_csv(folder / "plan.csv", COLUMNS, [row.cells() for row in rows])
    write_windows(folder / "windows.gpkg", scan, ranking, found.trusted_zone)
    notes += _notes_on(found, evidence)
    _write_report(folder / "report.html", scan, ranking, found, rows, tolerance, notes, files)
    return Review(
        folder / "windows.gpkg", folder / "plan.csv", folder / "report.html", found.trusted
    )


@dataclass(frozen=True)
class _Opened:
    """All that is read, and how their classes meet.

    Attributes:
        sources: rasters and labels.
        legend: of all.
        places: where the map's model was trained, if that is known.
        drawn: whether the labels are a sample drawn from this map.
        maps: how the classes of the maps meet; None without another one.
        with_reference: how those of maps and reference do; None without one.
        notes: so far.
    """

    sources: Sources
    legend: Legend
    places: TrainingPlaces | None
    drawn: bool
    maps: Match | None
    with_reference: Match | None
    notes: tuple[Note, ...]


@contextmanager
def _opened(
    map: AnyPath,
    confidence: AnyPath | None,
    other: AnyPath | None,
    reference: AnyPath | None,
    files: dict[str, str],
) -> Iterator[_Opened]:
    with ExitStack() as stack:
        one = stack.enter_context(open_raster(map))
        grid = Grid.of(one)
        side = _side(one, files["map"])
        sure, scale = None, 1.0
        if confidence is not None:
            raw = stack.enter_context(open_raster(confidence))
            _need_one_band(raw, files["confidence"])
            scale, sure = scale_of(raw), stack.enter_context(on_grid(raw, grid))
        second, maps, legend = None, None, side.legend
        notes: tuple[Note, ...] = ()
        if other is not None:
            raw = stack.enter_context(open_raster(other))
            maps = match_legends(side, _side(raw, files["other"]))
            second, legend = stack.enter_context(on_grid(raw, grid)), maps.legend
            notes = notes_on_match(maps)
        labels, drawn, joint = None, False, None
        if reference is not None:
            labels = stack.enter_context(open_labels(reference, "class", grid, partly=True))
            labels, drawn, more = _as_drawn(labels, reference, map, side.legend)
            joint = match_legends(
                Side(" with ".join(files[name] for name in ("map", "other") if name in files),
                     legend), side_of(labels, files["reference"]),
            )  # fmt: skip
            legend = joint.legend
            notes += (*more, *notes_on_match(joint), *notes_on_rules(Path(reference)))
            notes += notes_on_grid(reference, grid)
        same = np.arange(256, dtype=np.uint8)
        common = same if joint is None else joint.of_one
        places = TrainingPlaces.of_map(one) if labels is not None else None
        sources = Sources(
            map=one, confidence=sure, scale=scale, other=second,
            of_map=common[same if maps is None else maps.of_one],
            of_other=common[same if maps is None else maps.of_other],
            of_reference=same if joint is None else joint.of_other,
            labels=labels, training=None if places is None else places.cells,
        )  # fmt: skip
        yield _Opened(sources, legend, places, drawn, maps, joint, notes)


def _side(dataset: DatasetReader, name: str) -> Side:
    return Side(name, legend_of(dataset) or raster_legend(dataset, "a map"))


def _need_one_band(dataset: DatasetReader, name: str) -> None:
    if dataset.count != 1:
        raise InputError(f"{name} has {dataset.count} bands, a confidence has one")


def _as_drawn(
    labels: Labels, reference: AnyPath, map: AnyPath, legend: Legend
) -> tuple[Labels, bool, tuple[Note, ...]]:
    """Keep the points of a sample drawn from this very map; leave others as they are."""
    if not isinstance(labels, Points):
        return labels, False, ()
    from landcover.io.vector import read_columns

    path = Path(reference)
    columns = read_columns(path, need_labels(path), [MAP], "")
    of_maps = {str(value) for value in columns.get(MAP, ()) if value}
    if MapDigest.of(map).shown in of_maps:
        kept, returned = drawn_only(labels, reference, "", map)
        return kept, True, notes_on_returned(returned, legend)
    return labels, False, (_OF_ANOTHER_MAP,) if of_maps else ()


_OF_ANOTHER_MAP = Note(
    "The points were drawn from another map, by its classes: here they are no simple random "
    "sample, and the error rate and the zone may be wrong. Draw points from this map.",
    "Точки выбраны по классам другой карты: для этой карты они не простая случайная выборка, и "
    "доля ошибок и зона могут быть неверны. Выберите точки по этой карте.",
    leads=True,
)


def _notes(
    scan: Scan, it: _Opened, files: dict[str, str], reference: AnyPath | None
) -> tuple[Note, ...]:
    """Return what must be known of the inputs.

    Raises:
        InputError: they do not overlap, or equal codes mean different classes.
    """
    return (
        *_notes_on_evidence(scan, it, files),
        *it.notes,
        *(() if reference is None else _notes_on_labels(scan, it, files, Path(reference))),
    )


def _notes_on_evidence(scan: Scan, it: _Opened, files: dict[str, str]) -> tuple[Note, ...]:
    total, notes = int(scan.of_class.sum()), []
    if it.maps is not None:
        if not scan.sums["both"].any():
            raise InputError(
                f"no pixel is classified in both {files['map']} and {files['other']}: they do "
                "not overlap"
            )
        moved = np.arange(256) if it.with_reference is None else it.with_reference.of_one
        replace(
            it.maps,
            guessed=tuple(int(moved[code]) for code in it.maps.guessed),
            bare=tuple(int(moved[code]) for code in it.maps.bare),
        ).check(scan.changes.T)
    missing = int(scan.sums["unsure"].sum())
    if it.sources.confidence is not None and missing:
        if missing == total:
            raise InputError(
                f"{files['confidence']} has a value at no classified pixel of {files['map']}: "
                "they do not overlap"
            )
        notes.append(
            Note(
                f"{missing:,} classified pixels have no confidence and count as wholly unsure.",
                f"Классифицированных пикселей без уверенности: {missing:,}, они считаются "
                "полностью неуверенными.",
            )
        )
    unknown = int(scan.sums["unknown"].sum())
    if unknown:
        notes.append(
            Note(
                f"{unknown:,} pixels are left open on the map though something is there; they "
                "count as doubtful in the ranking, and are no part of the error rate.",
                f"Пикселей, которые карта оставила без класса, хотя там что-то есть: "
                f"{unknown:,}; в порядке просмотра они сомнительны, в доле ошибок не учтены.",
            )
        )
    if it.sources.confidence is None and it.maps is None:
        notes.append(_ONLY_EDGES)
    return tuple(notes)


_ONLY_EDGES = Note(
    "Without a confidence or another map windows are ranked by edges between classes only, which "
    "says little of where errors are. Give one of both.",
    "Без уверенности и второй карты окна упорядочены только по границам классов, а это мало "
    "говорит о том, где ошибки. Укажите одну из них.",
)


def _notes_on_labels(
    scan: Scan, it: _Opened, files: dict[str, str], reference: Path
) -> tuple[Note, ...]:
    labels, joint = it.sources.labels, it.with_reference
    if labels is None or joint is None:
        return ()
    if not scan.table.any():
        raise InputError(
            f"no pixel of {files['map']} is both classified and labelled in "
            f"{files['reference']}: they do not overlap"
        )
    joint.check(scan.table + scan.table_of_other)
    inside = InsideTraining.of(it.places, scan.table, scan.inside, joint.legend, it.drawn)
    scan.left_out.unlabelled = len(labels.unlabelled)
    notes = (
        *inside.notes(files["map"]),
        *notes_on_left_out(labels.outside, scan.left_out),
        *notes_on_one_side(scan.table, joint),
    )
    if need_labels(reference) != GEOTIFF and isinstance(labels, Points):
        return notes
    return (_NOT_RANDOM, *notes)


_NOT_RANDOM = Note(
    "The reference is no set of points: error rate and zone hold if its places were drawn at "
    "random. Places chosen because they are easy to label make a map look better than it is.",
    "Эталон – не точки: доля ошибок и зона верны, если его места выбраны случайно. Места, "
    "выбранные потому, что их легко разметить, делают карту лучше, чем она есть.",
)


def _planned(
    scan: Scan, ranking: Ranking, found: Judged, legend: Legend, tolerance: float
) -> Iterator[Row]:
    zones = [
        _part(f"surest {100 * number // ZONES} %", pixels, doubt, rate.hits, rate.witnesses)
        for number, (pixels, doubt, rate) in enumerate(
            zip(ranking.pixels_within, ranking.doubt_within, found.rates, strict=True), 1
        )
    ]
    whole = replace(zones[-1], name="map")
    classes = []
    for entry in legend.classes:
        sure = int(scan.sure[entry.code])
        if sure:
            rate = found.classes[entry.code].rate
            doubt = scan.doubt_of_sure[entry.code] / sure
            classes.append(_part(entry.name, sure, doubt, rate.hits, rate.witnesses))
    return planned(whole, zones, classes, tolerance)


def _part(name: str, pixels: float, doubt: float, hits: float, have: float) -> Part:
    return Part(name, int(pixels), float((hits + _PRIOR * doubt) / (have + _PRIOR)), have)


def _notes_on(found: Judged, evidence: Evidence | None) -> tuple[Note, ...]:
    """Return what must be known of the outcome."""
    if evidence is None:
        return (_NO_REFERENCE,)
    notes = []
    if evidence.elsewhere:
        notes.append(_ELSEWHERE)
    if evidence.without:
        names = ", ".join(found.classes[code].name for code in evidence.without)
        notes.append(
            Note(
                f"The drawn points say nothing of these classes of the map: {names}. The error "
                "rate is of the others.",
                f"О некоторых классах карты выборка ничего не говорит: {names}. Доля ошибок – "
                "без них.",
            )
        )
    if not found.trusted:
        rate = found.rates[-1]
        notes.append(
            Note(
                f"No zone can be trusted at the tolerance with these labels ({rate.witnesses:.0f} "
                "witnesses); plan.csv says how many labels would do.",
                f"С этими метками (свидетелей: {rate.witnesses:.0f}) ни одной зоне нельзя "
                "доверять при таком допуске; сколько меток нужно, сказано в plan.csv.",
            )
        )
    return tuple(notes)


_NO_REFERENCE = Note(
    "No reference was given, so nothing of the map is shown to be right: trusted is 0. Confidence "
    "alone proves nothing; plan.csv says how many labels are needed.",
    "Эталон не указан, поэтому ни о какой части карты не известно, что она верна: trusted равно "
    "0. Сама по себе уверенность ничего не доказывает; сколько нужно меток, сказано в plan.csv.",
)
_ELSEWHERE = Note(
    "The labels lie in windows of another doubt than the map has on average, by more than chance: "
    "they are no random sample of it, and the error rate is that of those windows.",
    "Метки лежат в окнах, сомнение в которых иное, чем в среднем по карте, и это не случайность: "
    "они не случайная выборка, и доля ошибок относится к этим окнам.",
    leads=True,
)


def _write_report(
    target: Path,
    scan: Scan,
    ranking: Ranking,
    found: Judged,
    rows: list[Row],
    tolerance: float,
    notes: tuple[Note, ...],
    files: dict[str, str],
) -> None:
    total = float(scan.sums["pixels"].sum())
    compared = float(scan.sums["both"].sum())
    zone = found.zones[found.trusted_zone - 1] if found.trusted_zone else None
    write_page(
        target,
        "review.html",
        notes=notes,
        files=files,
        side=scan.side,
        tolerance=tolerance,
        sure=SURE,
        expected=float(ranking.doubt_within[-1]),
        windows=int(np.count_nonzero(ranking.rank)),
        clusters=int(ranking.cluster.max()),
        first=ranking.first(_SHOWN),
        differs=scan.sums["differs"].sum() / compared if compared else math.nan,
        pixels=int(total),
        rows=rows,
        found=found,
        zone=zone,
        sequential=max((each.share for each in found.zones if each.sequentially), default=0.0),
        sequential_from=SEQUENTIAL_FROM / ZONES,
        verdict=found.verdict,
    )
