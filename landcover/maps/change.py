"""What changed between two maps of one place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import writing_cog
from landcover.io.legend import MAX_CODE, NODATA, Legend, LegendClass, color_of
from landcover.io.legend_files import read_legend
from landcover.io.records.run_record import input_name, made_without
from landcover.maps.drawn_sample import DrawnSample
from landcover.maps.ground import HECTARE, Ground
from landcover.maps.opened import OpenMap, open_map
from landcover.maps.picture import draw_map
from landcover.maps.zones import listed
from landcover.operation import CSV, HTML, LabelFile, LegendFile, MapFile, MapTIFF, Range
from landcover.progress import remark, report_progress
from landcover.quality.assessment import notes_on_match
from landcover.quality.confusion import Confusion
from landcover.quality.estimates import FEWEST_POINTS, Interval, area_adjusted, estimated_share
from landcover.quality.matching import Match, Side, match_legends
from landcover.quality.naming import distinct_names
from landcover.quality.report import Note, write_page

UNCHANGED, OTHER = 1, MAX_CODE
"""Codes of a change map besides those of its transitions."""
_MOST_TRANSITIONS = OTHER - UNCHANGED - 1
_UNSPOKEN = 0.05
"""Share of the area that strata of too few points may have, for an estimate of all."""
_BETWEEN = " to "
_ANOTHER = "another change"
_COLUMNS = ("from", "to", "code", "pixels", "hectares", "share", "impossible",
            "estimated", "low", "high")  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """What changed.

    Attributes:
        changes: a map of changes: 1 unchanged, 2 to 253 the most frequent transitions by area,
            such as forest to farm, 254 all other ones, nodata where either map is not classified.
            Draw a sample from it to learn how much really changed.
        transitions: from, to, code on the change map, pixels, hectares, share of what both maps
            classify, whether it was called impossible; with a reference the estimated hectares
            and the ends of their 95 % interval.
        report: the same as a page, in English and Russian.
        changed: share of the area that changed between the maps.
    """

    changes: MapTIFF
    transitions: CSV
    report: HTML
    changed: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Transition:
    """Pixels of one class on the first map and of another, or the same, on the second.

    Attributes:
        first: name of the class on the first map.
        second: on the second.
        code: on the change map.
        pixels: their number.
        hectares: of them; NaN if the map has no place on the ground.
        share: of what both maps classify.
        impossible: whether it was called so.
        estimated: hectares by the sample; NaN without one that allows it.
        interval: ends of the 95 % interval of the estimate.
    """

    first: str
    second: str
    code: int
    pixels: int
    hectares: float
    share: float
    impossible: bool = False
    estimated: float = np.nan
    interval: Interval = (np.nan, np.nan)

    @property
    def is_change(self) -> bool:
        """Whether the class is another one."""
        return self.first != self.second


def detect_changes(
    first: MapFile,
    second: MapFile,
    reference: LabelFile | None = None,
    class_field: str = "class",
    impossible: str = "",
    legend: LegendFile | None = None,
    workdir: AnyPath = "",
) -> Changes:
    """Find what changed between two maps of one place, and how much of it is real.

    Each map errs, and where one errs and the other does not, a change is seen that never was: two
    maps of 90 % accuracy may disagree on a fifth of the area where nothing changed. Draw points
    from the change map with draw-reference-sample, label them "unchanged" or as in its legend,
    "forest to farm", "another change" for what has no name there, and give them as reference: then
    the area of change is estimated with its interval (Olofsson et al. 2014,
    doi:10.1016/j.rse.2014.02.015).

    Args:
        first: the earlier map.
        second: the later map; on another grid it is brought to the first's by nearest neighbour.
        reference: labelled points that draw-reference-sample drew from the change map of these two
            maps.
        class_field: attribute of the reference that holds the class.
        impossible: transitions that cannot be, as "town to forest; water to town": how much of
            the area has them is told, it is an error of one of the maps.
        legend: names the codes of maps that have no names: a CSV with the columns code, name and
            color, JSON, or an earlier map.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, the maps do not overlap, or their classes cannot be
            matched.
    """
    given = read_legend(legend)
    target = Path(workdir) / "changes.tif"
    paths = {"first": first, "second": second}
    files = distinct_names({name: input_name(name, path) for name, path in paths.items()})
    with _both(first, second, given) as pair:
        table, metres = _count(pair)
        unlikely = _impossible(impossible, pair.match.legend)
        code_of, shown = _legend(pair.match.legend, metres if np.isfinite(metres).all() else table)
        with made_without("reference", class_field="class", impossible=""):
            _write_map(pair, code_of, shown, target)
    transitions = list(_transitions(pair.match.legend, code_of, table, metres, unlikely))
    notes = (*_notes_on_legends(pair, table), *_notes_on_impossible(transitions))
    changed = sum(each.share for each in transitions if each.is_change)
    estimate = None
    if reference is not None:
        estimate, more, transitions = _estimated(target, reference, class_field, transitions)
        notes += more
    rows = [_row(each) for each in transitions]
    write_csv(Path(workdir) / "transitions.csv", _COLUMNS, rows)
    write_page(
        Path(workdir) / "report.html",
        "changes.html",
        room="landcover.maps",
        notes=notes,
        transitions=[each for each in transitions if each.is_change],
        names=pair.match.legend.names,
        cells={(each.first, each.second): each for each in transitions},
        changed=changed,
        estimate=estimate,
        colors={entry.name: entry.color for entry in shown.classes},
        picture=draw_map(target, shown),
        **files,
    )
    return Changes(
        target, Path(workdir) / "transitions.csv", Path(workdir) / "report.html", changed
    )


@dataclass(frozen=True)
class _Pair:
    """Two maps on the first's grid, and how their classes meet."""

    one: OpenMap
    other: OpenMap
    match: Match

    def windows(self, doing: str) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Yield codes of both in the legend of both, and square metres of a pixel."""
        for window, of_pixel in Ground.under(self.one.dataset).blocks():
            report_progress(window.row_off / self.one.grid.height, doing)
            first = self.match.of_one[self.one.read(window)]
            yield first, self.match.of_other[self.other.read(window)], of_pixel


@contextmanager
def _both(first: AnyPath, second: AnyPath, given: Legend | None) -> Iterator[_Pair]:
    with open_map(first) as one, open_map(second) as other, other.on(one.grid) as moved:
        if other.grid != one.grid:
            remark(
                f"{other.file} lay on another grid, it was brought to that of {one.file} by "
                "nearest neighbour: along edges a pixel may seem to have changed"
            )
        match = match_legends(Side(one.file, one.legend), Side(other.file, other.legend), given)
        yield _Pair(one, moved, match)


def _count(pair: _Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, int64 (256, 256), and square metres, float, by code of first and second."""
    table, metres = np.zeros((256, 256), np.int64), np.zeros((256, 256))
    only_one = 0
    for first, second, of_pixel in pair.windows("comparing the maps"):
        pairs = first.ravel().astype(np.uint16) << 8 | second.ravel()
        found = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        only_one += int(found[0, 1:].sum() + found[1:, 0].sum())
        found[0] = found[:, 0] = 0
        table += found
        metres += np.where(found > 0, found * of_pixel, 0)
    one, other = pair.one.file, pair.other.file
    if not table.any():
        raise InputError(f"no pixel is classified in both {one} and {other}: they do not overlap")
    pair.match.check(table.T)
    pair.one.remark_on_no_place(metres.ravel().tolist())
    if only_one:
        remark(counted(
            only_one, f"# pixel|pixels is|are classified in one of {one} and {other} only, and "
            "is|are nodata on the change map",
        ))  # fmt: skip
    return table, metres


def _impossible(text: str, legend: Legend) -> set[tuple[int, int]]:
    """Return the pairs of codes that were called impossible."""
    named = filter(None, (part.strip() for part in text.split(";")))
    return {_pair_named(part, legend) for part in named}


def _pair_named(text: str, legend: Legend) -> tuple[int, int]:
    words = text.split(_BETWEEN)
    for at in range(1, len(words)):
        first, second = _BETWEEN.join(words[:at]), _BETWEEN.join(words[at:])
        pair = legend.code_of_name(first), legend.code_of_name(second)
        if None not in pair and pair[0] != pair[1]:
            return pair  # type: ignore[return-value]
    raise InputError(
        f"impossible holds {text}, needs two classes as in town to forest; the maps have "
        f"{', '.join(legend.names)}",
        "impossible",
    )


def _legend(classes: Legend, extent: np.ndarray) -> tuple[np.ndarray, Legend]:
    """Return the code of each pair of classes, uint8 (256, 256), and the legend of a change map.

    Args:
        classes: of both maps.
        extent: (256, 256), how much there is of each pair.
    """
    code_of = np.full((256, 256), NODATA, np.uint8)
    code_of[1:, 1:] = OTHER
    code_of[range(1, 256), range(1, 256)] = UNCHANGED
    off = np.where(code_of == OTHER, extent, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:_MOST_TRANSITIONS]
    pairs = [pair for at in order.tolist() if off[pair := divmod(at, 256)]]
    entries = [LegendClass(UNCHANGED, "unchanged", "#e6e6e6")]
    names = _names_of(pairs, classes)
    for code, pair in enumerate(pairs, UNCHANGED + 1):
        code_of[pair] = code
        entries.append(LegendClass(code, names[pair], color_of("", code - UNCHANGED)))
    if np.count_nonzero(off) > len(pairs):
        entries.append(LegendClass(OTHER, _ANOTHER, "#000000"))
    return code_of, Legend(tuple(entries))


def _names_of(pairs: Sequence[tuple[int, int]], classes: Legend) -> Mapping[tuple[int, int], str]:
    """Name transitions; in quotes where the word between could stand in a class as well."""
    name = {entry.code: entry.name for entry in classes.classes}
    plain = [f"{name[a]}{_BETWEEN}{name[b]}" for a, b in pairs]
    return {
        (a, b): f'"{name[a]}"{_BETWEEN}"{name[b]}"' if plain.count(said) > 1 else said
        for (a, b), said in zip(pairs, plain, strict=True)
    }


def _write_map(pair: _Pair, code_of: np.ndarray, legend: Legend, target: Path) -> None:
    tags = pair.one.tags() | pair.other.tags()
    tags.pop("DATE", None)
    with writing_cog(target, pair.one.grid, "change", legend, tags) as writer:
        blocks = Ground.under(pair.one.dataset).blocks()
        windows = (window for window, _ in blocks)
        for window, (first, second, _) in zip(
            windows, pair.windows("writing the change map"), strict=True
        ):
            writer.write(code_of[first, second], window)


def _transitions(
    legend: Legend,
    code_of: np.ndarray,
    table: np.ndarray,
    metres: np.ndarray,
    unlikely: set[tuple[int, int]],
) -> Iterator[Transition]:
    """Yield what occurs, the largest changes first, then what stayed."""
    name = {entry.code: entry.name for entry in legend.classes}
    parts = metres if np.isfinite(metres).all() else table
    total = parts.sum()
    pairs = [tuple(pair) for pair in np.argwhere(table).tolist()]
    for first, second in sorted(pairs, key=lambda p: (p[0] == p[1], -parts[p], p)):
        yield Transition(
            name[first], name[second], int(code_of[first, second]), int(table[first, second]),
            float(metres[first, second] / HECTARE), float(parts[first, second] / total),
            (first, second) in unlikely,
        )  # fmt: skip


def _notes_on_legends(pair: _Pair, table: np.ndarray) -> Iterator[Note]:
    """Name the classes among the compared pixels that one map has and the other does not know."""
    yield from notes_on_match(pair.match)
    of_one, of_other = pair.match.of_one, pair.match.of_other
    sides = (
        (pair.one.file, table.any(axis=1), of_other),
        (pair.other.file, table.any(axis=0), of_one),
    )
    for file, present, known in sides:
        only = set(np.flatnonzero(present).tolist()) - set(known.tolist())
        if only:
            names = listed([e.name for e in pair.match.legend.classes if e.code in only])
            yield Note(
                f"The other map has no class as these of {file}, so all their area counts as "
                f"changed: {names}.",
                f"В другой карте нет таких классов, как в {file}, поэтому вся их площадь "
                f"считается изменившейся: {names}.",
            )


def _notes_on_impossible(transitions: Sequence[Transition]) -> tuple[Note, ...]:
    found = [each for each in transitions if each.impossible]
    if not found:
        return ()
    listed = ", ".join(
        f"{each.first} to {each.second} {100 * each.share:.2g} %" for each in found[:5]
    )
    return (
        Note(
            f"Transitions that were called impossible are there, so one of the maps errs: "
            f"{listed} of the area.",
            f"Есть переходы, названные невозможными, значит одна из карт ошибается: {listed} "
            "площади.",
        ),
    )


@dataclass(frozen=True)
class ChangeEstimate:
    """How much changed by a sample: hectares, and share with its 95 % interval."""

    hectares: float
    share: float
    interval: Interval


def _estimated(
    target: Path, reference: AnyPath, class_field: str, transitions: list[Transition]
) -> tuple[ChangeEstimate | None, tuple[Note, ...], list[Transition]]:
    """Return the area of change by a sample, what the reader must know, and each transition."""
    with open_map(target) as opened:
        sample = DrawnSample.of(opened, target, reference, class_field)
    _need_transitions(sample, Path(reference).name)
    by_code = np.zeros(256)
    for each in transitions:
        by_code[each.code] += each.pixels
    total = sum(each.hectares for each in transitions)
    confusion = Confusion.of(_table_of(sample), sample.legend)
    sizes = sample.sizes(by_code, confusion)
    if sizes is not None:
        transitions = _with_estimates(transitions, confusion, sizes, total, sample)
    estimate, unspoken = _of_all(sample, by_code, total)
    return estimate, (*sample.notes, *_notes_on_unspoken(unspoken, estimate)), transitions


def _need_transitions(sample: DrawnSample, file: str) -> None:
    """Refuse labels such as "forest" or "forest to forest", which would count as changes."""
    labelled = {each.code: each.name for each in sample.legend.classes}
    known = set(sample.code_of.tolist())
    for code in set(sample.pairs[:, 0].tolist()) - known:
        first, between, second = labelled[code].partition(_BETWEEN)
        if labelled[code] == _ANOTHER:
            continue
        if not between or labelled[code] == f"{first}{_BETWEEN}{first}" or not second:
            raise InputError(
                f"{file} has points of {labelled[code]}, which is no transition: what stayed is "
                "called unchanged, what changed as in forest to town, or another change",
                "reference",
            )


def _table_of(sample: DrawnSample) -> np.ndarray:
    table = np.zeros((256, 256), np.int64)
    np.add.at(table, tuple(sample.pairs.T), 1)
    table[0] = table[:, 0] = 0
    return table


def _of_all(
    sample: DrawnSample, by_code: np.ndarray, total: float
) -> tuple[ChangeEstimate | None, float]:
    """Estimate what changed at all, and return the share of strata that have too few points.

    Of those nothing is supposed: the interval holds both that all and that nothing of them
    changed, the estimate what the change map says.
    """
    sizes = np.bincount(sample.code_of, by_code, minlength=256)
    stays = sample.code_of[UNCHANGED]
    points = np.bincount(sample.pairs[:, 1], minlength=256)
    really = np.bincount(sample.pairs[sample.pairs[:, 0] != stays, 1], minlength=256)
    heard = (points >= FEWEST_POINTS) & (sizes > 0)
    unheard = (sizes > 0) & ~heard
    unspoken = float(sizes[unheard].sum() / sizes.sum())
    if not heard.any() or unspoken > _UNSPOKEN:
        return None, unspoken
    share, (low, high) = estimated_share(really[heard], points[heard], sizes[heard])
    told = 1 - unspoken
    mapped = float(sizes[unheard].sum() - sizes[stays] * unheard[stays]) / sizes.sum()
    share = share * told + mapped
    return ChangeEstimate(share * total, share, (low * told, high * told + unspoken)), unspoken


def _notes_on_unspoken(unspoken: float, estimate: ChangeEstimate | None) -> tuple[Note, ...]:
    if not unspoken:
        return ()
    en = ("the interval holds whatever they are", "интервал верен, каковы бы они ни были")
    if estimate is None:
        en = (
            "so nothing is estimated: draw more points",
            "поэтому оценки нет: нужно больше точек",
        )
    return (
        Note(
            f"Transitions with fewer than two labelled points have {100 * unspoken:.2g} % of the "
            f"area: {en[0]}.",
            f"На переходы, у которых меньше двух размеченных точек, приходится "
            f"{100 * unspoken:.2g} % площади: {en[1]}.",
        ),
    )


def _with_estimates(
    transitions: Sequence[Transition],
    confusion: Confusion,
    sizes: Sequence[float],
    total: float,
    sample: DrawnSample,
) -> list[Transition]:
    """Add to each transition that is a class of the change map how much of it really is."""
    estimates = area_adjusted(confusion, sizes, total)
    named = {entry.code: entry.name for entry in sample.legend.classes}
    found = []
    for each in transitions:
        name = named[int(sample.code_of[each.code])]
        if each.code not in (UNCHANGED, OTHER) and name in estimates.shares:
            low, high = estimates.intervals.shares[name]
            each = replace(
                each, estimated=estimates.shares[name][0] * total,
                interval=(low * total, high * total),
            )  # fmt: skip
        found.append(each)
    return found


def _row(each: Transition) -> tuple[object, ...]:
    numbers = (each.estimated, *each.interval)
    return (
        each.first, each.second, each.code, each.pixels,
        "" if np.isnan(each.hectares) else each.hectares, each.share, int(each.impossible),
        *("" if np.isnan(number) else number for number in numbers),
    )  # fmt: skip
