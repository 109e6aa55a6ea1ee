"""How much of each class a map holds: whole, by district, year by year."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.figures import label_of, new_figure, to_png
from landcover.io.files.atomic import write_csv, written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.records.run_record import input_names
from landcover.maps.drawn_sample import DrawnSample
from landcover.maps.ground import HECTARE, Ground
from landcover.maps.opened import OpenMap, open_map
from landcover.maps.zones import WHOLE, Zones
from landcover.operation import CSV, HTML, PNG, LabelFile, MapFile
from landcover.progress import remark, report_progress
from landcover.quality.estimates import AreaEstimates, Interval, area_adjusted
from landcover.quality.naming import distinct_names
from landcover.quality.report import Note, write_page

_COLUMNS = ("map", "date", "zone", "class", "code", "pixels", "hectares", "share",
            "estimated", "low", "high")  # fmt: skip
_COVERED = 0.99
"""Share of a zone's ground below which it is said that the map does not cover it."""
_MOST_BARS = 24


@dataclass(frozen=True)
class Areas:
    """How much of each class there is.

    Attributes:
        areas: a line for each map, zone and class: pixels, hectares on the ellipsoid, share of
            what is classified there; and where a sample allows, the estimated area in hectares
            with the ends of its 95 % interval. The first zone, without a name, is the whole map.
        report: the same as a page, with a picture, in English and Russian.
        figure: the picture.
    """

    areas: CSV
    report: HTML
    figure: PNG


@dataclass(frozen=True)
class ClassArea:
    """A class in a zone of a map.

    Attributes:
        name: of the class.
        code: of the class.
        pixels: that hold it.
        hectares: of them; NaN if the map has no place on the ground.
        share: of what is classified in the zone.
        estimated: hectares of it by the sample; NaN without one that allows it.
        interval: ends of the 95 % interval of the estimate.
    """

    name: str
    code: int
    pixels: int
    hectares: float
    share: float
    estimated: float = np.nan
    interval: Interval = (np.nan, np.nan)


@dataclass(frozen=True)
class ZoneAreas:
    """A zone of a map with its classes."""

    map: str
    date: str
    zone: str
    classes: tuple[ClassArea, ...]

    @property
    def hectares(self) -> float:
        """What is classified in it."""
        return sum(each.hectares for each in self.classes)

    @property
    def is_estimated(self) -> bool:
        """Whether a sample speaks for it."""
        return any(each.estimated == each.estimated for each in self.classes)


def tabulate_areas(
    map: list[MapFile],
    zones: LabelFile | None = None,
    name_field: str = "",
    reference: LabelFile | None = None,
    class_field: str = "class",
    workdir: AnyPath = "",
) -> Areas:
    """Measure the area of each class on a map, in districts, or over several years.

    Areas are on the ellipsoid, whatever the map's projection. Counted pixels carry the map's
    errors: where one class is often taken for another, its area is wrong. A sample drawn from the
    map with draw-reference-sample and labelled gives areas free of that, with intervals (Olofsson
    et al. 2014, doi:10.1016/j.rse.2014.02.015); in a district where each class has points enough.

    Args:
        map: one or more classified scenes, as of several years.
        zones: polygons, such as districts; a pixel belongs to a polygon if its centre lies inside.
        name_field: attribute with the names of the zones; polygons of one name are one zone.
            Without it they are numbered.
        reference: labelled points that draw-reference-sample drew from this very map.
        class_field: attribute of the reference that holds the class.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, or a reference is given for several maps.
    """
    if reference is not None and len(map) > 1:
        raise InputError(
            f"a reference speaks for the one map it was drawn from, {len(map)} maps were given"
        )
    known = input_names("map", map)
    names = distinct_names({f"{n}": path for n, path in enumerate(known, 1)})
    found: list[ZoneAreas] = []
    notes: tuple[Note, ...] = ()
    legend = Legend(())
    for path, name in zip(map, names.values(), strict=True):
        with open_map(path) as opened:
            parts = Zones.whole(opened.grid) if zones is None else Zones.read(
                zones, name_field, opened.grid
            )  # fmt: skip
            measured = _measure(opened, parts, name)
            if reference is not None:
                sample = DrawnSample.of(opened, path, reference, class_field)
                measured = list(_estimated(measured, sample, parts))
                notes += (*sample.notes, *_notes_on_unestimated(measured))
            found += measured
            legend, _ = legend.united(opened.legend)
    return _write(found, legend, notes, Path(workdir))


def measured_whole(opened: OpenMap) -> list[ClassArea]:
    """Measure the classes of a whole map."""
    (whole,) = _measure(opened, Zones.whole(opened.grid), opened.file)
    return list(whole.classes)


def _measure(opened: OpenMap, zones: Zones, name: str) -> list[ZoneAreas]:
    ground = Ground.under(opened.dataset)
    counts = np.zeros((len(zones.names), 256), np.int64)
    metres = np.zeros((len(zones.names), 256))
    for window, of_pixel in ground.blocks():
        report_progress(window.row_off / opened.grid.height, f"measuring {name}")
        codes = opened.read(window)
        for zone, part, inside in zones.within(window):
            found = np.bincount(codes[part][inside], minlength=256)
            counts[zone] += found
            metres[zone] += np.where(found > 0, found * of_pixel, 0)
    counts[:, 0] = metres[:, 0] = 0
    if not counts.any():
        raise InputError(f"{opened.file} holds no classified pixel in any zone")
    opened.remark_on_no_place(metres.ravel().tolist())
    _remark_on_uncovered(zones, metres, ground, name)
    date = opened.dataset.tags().get("DATE", "")
    return [
        ZoneAreas(name, date, zone, tuple(_classes(opened.legend, *of_zone)))
        for zone, *of_zone in zip(zones.names, counts, metres / HECTARE, strict=True)
    ]


def _classes(legend: Legend, counts: np.ndarray, hectares: np.ndarray) -> Iterator[ClassArea]:
    total = counts.sum() if np.isnan(hectares).any() else hectares.sum()
    parts = counts if np.isnan(hectares).any() else hectares
    for entry in legend.classes:
        share = float(parts[entry.code] / total) if total else np.nan
        yield ClassArea(
            entry.name, entry.code, int(counts[entry.code]), float(hectares[entry.code]), share
        )


def _estimated(
    measured: Sequence[ZoneAreas], sample: DrawnSample, zones: Zones
) -> Iterator[ZoneAreas]:
    """Yield the zones with what the sample says, where it has points of each of their classes."""
    for zone, confusion in zip(measured, sample.within(zones), strict=True):
        by_code = np.zeros(256)
        for each in zone.classes:
            by_code[each.code] = each.pixels
        sizes = sample.sizes(by_code, confusion) if confusion.total else None
        if sizes is None or np.isnan(zone.hectares):
            yield zone
            continue
        estimates = area_adjusted(confusion, sizes, zone.hectares)
        known = [_with_estimate(each, estimates, zone.hectares) for each in zone.classes]
        yield replace(zone, classes=tuple(known))


def _with_estimate(each: ClassArea, estimates: AreaEstimates, total: float) -> ClassArea:
    if each.name not in estimates.shares:
        return each
    low, high = estimates.intervals.shares[each.name]
    share, _ = estimates.shares[each.name]
    return replace(each, estimated=share * total, interval=(low * total, high * total))


def _notes_on_unestimated(measured: Sequence[ZoneAreas]) -> tuple[Note, ...]:
    without = [zone for zone in measured if not zone.is_estimated]
    if not without:
        return ()
    names = ", ".join(zone.zone or "the whole map" for zone in without[:5])
    return (
        Note(
            f"{counted(len(without), '# zone|zones has|have')} no estimate, as the sample has "
            f"fewer than two points of some class there: {names}. Draw more points.",
            f"Зон без оценки: {len(without)}, в них меньше двух точек выборки какого-то класса: "
            f"{names}. Нужно больше точек.",
        ),
    )


def _remark_on_uncovered(zones: Zones, metres: np.ndarray, ground: Ground, name: str) -> None:
    """Say which zones lie partly where nothing is classified."""
    to_degrees = ground.to_degrees()
    if to_degrees is None or not zones.shapes.size or np.isnan(metres).any():
        return
    whole = zones.square_metres(to_degrees)
    covered = metres[1:].sum(axis=1) / np.maximum(whole, 1e-9)
    partly = np.flatnonzero(covered < _COVERED)
    if partly.size:
        listed = ", ".join(
            f"{zones.names[at + 1]} ({100 * covered[at]:.0f} %)" for at in partly[:5].tolist()
        )
        remark(
            f"{name} does not cover {counted(len(partly), '# zone|zones')} wholly, areas are of "
            f"what is classified: {listed}"
        )


def _write(
    found: Sequence[ZoneAreas], legend: Legend, notes: tuple[Note, ...], folder: Path
) -> Areas:
    write_csv(folder / "areas.csv", _COLUMNS, _rows(found))
    picture = _draw([zone for zone in found][:_MOST_BARS], legend)
    with written_beside(folder / "figure.png") as beside:
        beside.write_bytes(picture)
    write_page(
        folder / "report.html",
        "areas.html",
        room="landcover.maps",
        notes=notes,
        zones=found,
        years=_years(found),
        maps=list(dict.fromkeys((zone.map, zone.date) for zone in found)),
        colors={entry.name: entry.color for entry in legend.classes},
        picture=picture,
        drawn=min(len(found), _MOST_BARS),
    )
    return Areas(folder / "areas.csv", folder / "report.html", folder / "figure.png")


def _rows(found: Sequence[ZoneAreas]) -> Iterator[tuple[object, ...]]:
    for zone in found:
        for each in zone.classes:
            numbers = (each.hectares, each.share, each.estimated, *each.interval)
            yield (
                zone.map, zone.date, zone.zone, each.name, each.code, each.pixels,
                *("" if number != number else number for number in numbers),
            )  # fmt: skip


def _years(found: Sequence[ZoneAreas]) -> dict[str, dict[str, list[ClassArea | None]]]:
    """Return, by zone and class, what each map has of it; nothing where there is one map."""
    maps = list(dict.fromkeys(zone.map for zone in found))
    table: dict[str, dict[str, list[ClassArea | None]]] = {}
    if len(maps) < 2:
        return table
    for zone in found:
        for each in zone.classes:
            line = table.setdefault(zone.zone, {}).setdefault(each.name, [None] * len(maps))
            line[maps.index(zone.map)] = each
    return table


def _draw(zones: Sequence[ZoneAreas], legend: Legend) -> bytes:
    """Draw the areas as stacked bars, one a zone of a map, or with intervals where known: PNG."""
    one = zones[0]
    if len(zones) == 1 and one.is_estimated:
        return _draw_estimates(one, legend)
    figure = new_figure(9, 1.5 + 0.4 * len(zones))
    axes = figure.subplots()
    names = [_bar_name(zone, zones) for zone in zones]
    left = np.zeros(len(zones))
    for entry in legend.classes:
        of_class = [{each.name: each.share for each in zone.classes} for zone in zones]
        shares = 100 * np.nan_to_num([by_name.get(entry.name, 0) for by_name in of_class])
        axes.barh(range(len(zones)), shares, left=left, color=entry.color,
                  label=label_of(entry.name), edgecolor="white", linewidth=0.4)  # fmt: skip
        left += shares
    axes.set_yticks(range(len(zones)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel="share of the area, % · доля площади, %", xlim=(0, 100))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return to_png(figure)


def _bar_name(zone: ZoneAreas, zones: Sequence[ZoneAreas]) -> str:
    several = len({each.map for each in zones}) > 1
    parts = [zone.date or zone.map] if several or zone.zone == WHOLE else []
    return label_of(" · ".join([*parts, *([zone.zone] if zone.zone else [])]))


def _draw_estimates(zone: ZoneAreas, legend: Legend) -> bytes:
    """Draw counted and estimated hectares of each class, with intervals."""
    figure = new_figure(9, 1.5 + 0.45 * len(zone.classes))
    axes = figure.subplots()
    colors = {entry.name: entry.color for entry in legend.classes}
    for row, each in enumerate(zone.classes):
        axes.barh(row, each.hectares, color=colors[each.name], edgecolor="#555555", linewidth=0.4)
        if each.estimated == each.estimated:
            low, high = each.interval
            axes.errorbar(
                each.estimated, row, xerr=[[each.estimated - low], [high - each.estimated]],
                fmt="o", color="black", capsize=4,
            )  # fmt: skip
    axes.set_yticks(
        range(len(zone.classes)), [label_of(c.name) for c in zone.classes], parse_math=False
    )
    axes.invert_yaxis()
    axes.set(xlabel="ha: bar counted on the map, dot estimated with 95 % interval · "
                    "га: столбец – по карте, точка – оценка с 95 % интервалом")  # fmt: skip
    return to_png(figure)
