"""What is done to one scene: count what thresholds follow from, then label.

Both are functions of values that are pickled, and return such values, remarks and refusals among
them: they are spread over scenes by `map` of anything, threads, processes or a cluster, and what
they return is added up (`landcover.scenes.auto_labels.join`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.geotiff.cog import writing_cog
from landcover.io.legend import NODATA
from landcover.io.raster import windows_of
from landcover.progress import collecting_notes, report_progress
from landcover.samples.labels import Labels, open_labels
from landcover.scenes.auto_labels.checking import Checked, PlacesOf
from landcover.scenes.auto_labels.colours import (
    COLOURS,
    codes_by_colour,
    codes_by_level,
    hsv_of,
)
from landcover.scenes.auto_labels.concentration import Tiles
from landcover.scenes.auto_labels.filters import Filter, View, view_of
from landcover.scenes.auto_labels.pictures import Picture, Sketch
from landcover.scenes.auto_labels.quantities import Source, levels_of, open_source
from landcover.scenes.auto_labels.rules import (
    OF_COLOUR,
    RuleSet,
    codes_of_colours,
    holds_any,
    table_of_colours,
)
from landcover.scenes.auto_labels.thresholds import LEVELS, class_of_level

_WORTH_A_TABLE = COLOURS // 4
"""Pixels of a scene from which on the table of all colours pays."""


@dataclass(frozen=True)
class Task:
    """A scene, and what is to be done to it.

    Attributes:
        scene: the file.
        mask: of it, if any.
        bands: what its bands are, if it does not say so.
        rules: for its labels.
        filter: before colours are compared.
        reference: labels that people made, if any.
        class_field: of a vector reference.
        known_as: the path by which people know the scene; that of the file by default.
    """

    scene: Path
    mask: Path | None
    bands: str
    rules: RuleSet
    filter: Filter = "none"
    reference: Path | None = None
    class_field: str = "class"
    known_as: str = ""


@dataclass(frozen=True)
class Counts:
    """What thresholds follow from.

    Attributes:
        histograms: of each quantity of the rules (256,), by level, behind the filter.
        unfiltered: of V, where there is a filter.
        halves: reference pixels by half of the places, code and level, (2, 256, 256); None where
            there is no reference or no ladder.
        refusal: why the scene cannot be labelled; "" if it can.
        remarks: of this scene.
    """

    histograms: Mapping[str, np.ndarray]
    unfiltered: np.ndarray | None = None
    halves: np.ndarray | None = None
    refusal: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """How a scene is to be labelled.

    Attributes:
        task: the scene.
        target: the label raster to write.
        cuts: levels up to which the classes of the ladder reach; None to take the rules as they
            stand.
        margin: levels on both sides of a threshold where no class is certain.
        tile: pixels a side of which the shares of classes are told.
        tags: of the label raster.
        is_drawn: whether a picture is wanted.
    """

    task: Task
    target: Path
    cuts: tuple[int, ...] | None
    margin: int
    tile: int
    tags: Mapping[str, str]
    is_drawn: bool


@dataclass(frozen=True)
class SceneLabels:
    """What was labelled.

    Attributes:
        counts: valid pixels by code (256,); 255 is unsure.
        tiles: shares of classes.
        checked: the labels beside the reference; None where it does not reach.
        picture: scene and labels, small.
        without_unsure: conditions of doubt that could not be looked at, for want of bands.
        remarks: of this scene.
    """

    counts: np.ndarray
    tiles: Tiles
    checked: Checked | None
    picture: Picture | None
    without_unsure: int
    remarks: tuple[str, ...] = ()


def count(task: Task) -> Counts:
    """Count levels of a scene, and of its reference (the map step that comes first)."""
    with collecting_notes(lambda sentence: None) as notes:
        try:
            found = _count(task)
        except InputError as error:
            return Counts({}, refusal=str(error), remarks=tuple(notes.remarks))
    return replace(found, remarks=tuple(notes.remarks))


def label(order: Order) -> SceneLabels:
    """Label a scene and write its label raster (the map step that comes second).

    Raises:
        InputError: the scene has changed since it was counted, and cannot be read any more.
    """
    with collecting_notes(lambda sentence: None) as notes:
        found = _label(order)
    return replace(found, remarks=tuple(notes.remarks))


def _count(task: Task) -> Counts:
    rules, ladder = task.rules, task.rules.ladder
    histograms = {name: np.zeros(LEVELS, np.int64) for name in rules.quantities}
    unfiltered = np.zeros(LEVELS, np.int64) if task.filter != "none" else None
    with _open(task) as (source, view, labels):
        halves = np.zeros((2, 256, LEVELS), np.int64) if labels and ladder else None
        for window in _windows(source, "counting"):
            levels, valid = _levels(source, view, rules, window)
            for name, of_one in levels.items():
                histograms[name] += np.bincount(of_one[valid], minlength=LEVELS)
            if unfiltered is not None:
                raw, known = view_of(source, "none").brightness(window)
                unfiltered += np.bincount(raw[known], minlength=LEVELS)
            if halves is not None and labels and ladder:
                _add_halves(halves, labels, levels[ladder.quantity], valid, window, source)
    if not any(of_one.any() for of_one in histograms.values()):
        raise InputError(f"{task.scene.name} holds no valid pixel: is its nodata value right?")
    return Counts(histograms, unfiltered, halves)


def _add_halves(
    halves: np.ndarray,
    labels: Labels,
    levels: np.ndarray,
    valid: np.ndarray,
    window: Window,
    source: Source,
) -> None:
    """Count reference pixels by half, code and level: polygons in turn, rasters left and right."""
    found = labels.read(window)
    columns = window.col_off + np.arange(window.width)
    of_raster = np.broadcast_to(columns >= source.grid.width // 2, found.codes.shape)
    half = np.where(found.features >= 0, found.features % 2 == 1, of_raster)
    counted = valid & (found.codes != 0)
    at = (half[counted].astype(np.int64) << 8 | found.codes[counted]) << 8 | levels[counted]
    halves += np.bincount(at, minlength=halves.size).reshape(halves.shape)


def _label(order: Order) -> SceneLabels:
    task = order.task
    counts = np.zeros(256, np.int64)
    with _open(task) as (source, view, labels):
        codes_of = _labeller(source, view, order)
        tiles = Tiles.of(source.grid, order.tile, task.rules.legend)
        checked = PlacesOf(labels, source.grid, task.rules.legend) if labels else None
        sketch = Sketch(source.grid) if order.is_drawn else None
        legend = task.rules.legend
        with writing_cog(order.target, source.grid, "label", legend, order.tags) as writer:
            for window in _windows(source, "labelling"):
                codes, valid, shown = codes_of(window)
                writer.write(codes, window)
                counts += np.bincount(codes[valid], minlength=256)
                tiles.add(np.where(valid, codes, 0), window)
                if checked:
                    checked.add(np.where(valid, codes, 0), window)
                if sketch:
                    sketch.add(shown, codes, window)
        without = len(_unknown_conditions(source, task.rules))
        return SceneLabels(
            counts,
            tiles,
            checked.result() if checked else None,
            sketch.picture() if sketch else None,
            without,
        )


@contextmanager
def _open(task: Task) -> Iterator[tuple[Source, View, Labels | None]]:
    """Open scene and reference; the reference on the scene's grid, in the codes of the rules."""
    with open_source(task.scene, task.mask, task.bands, task.rules) as source:
        if task.filter != "none" and not task.rules.is_of_colour:
            raise InputError(
                f"filter {task.filter} is one of colours, {task.rules.name} has rules of "
                f"{', '.join(task.rules.quantities)}: use filter none",
                "filter",
            )
        view = view_of(source, task.filter)
        if task.reference is None:
            yield source, view, None
            return
        with open_labels(
            task.reference, task.class_field, source.grid, task.rules.legend, partly=True
        ) as labels:
            yield source, view, labels


def _windows(source: Source, what: str) -> Iterator[Window]:
    windows = list(windows_of(source.dataset))
    for done, window in enumerate(windows):
        report_progress(done / len(windows), f"{what} {source.name}")
        yield window


def _levels(
    source: Source, view: View, rules: RuleSet, window: Window
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the level of each quantity of the rules, and where all are valid."""
    if rules.quantities == ("V",):
        values, valid = view.brightness(window)
        return {"V": values}, valid
    found, valid = _values(source, view, rules, window)
    return {name: levels_of(values, name) for name, values in found.items()}, valid


def _values(
    source: Source, view: View, rules: RuleSet, window: Window
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the values of each quantity of the rules, and where all are valid."""
    found: dict[str, np.ndarray] = {}
    valid = np.ones((window.height, window.width), bool)
    others = [name for name in rules.quantities if name not in OF_COLOUR]
    if len(others) < len(rules.quantities):
        rgb, known = view.colours(window)
        of_colour = dict(zip(OF_COLOUR, hsv_of(rgb), strict=True))
        found |= {name: of_colour[name] for name in rules.quantities if name in of_colour}
        valid &= known
    if others:
        measured, known = source.measured(others, window)
        found |= measured
        valid &= known
    return found, valid


Labeller = Callable[[Window], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Returns codes, uint8 (H, W), 255 where unsure or invalid; where pixels are valid; and what is
shown of the scene, uint8 (H, W) or (3, H, W)."""


def _labeller(source: Source, view: View, order: Order) -> Labeller:
    """Return the quickest way to the codes of a window."""
    rules = order.task.rules
    coded = _by_level(source, view, order) or _by_colour(source, view, rules)

    def by_values(window: Window) -> Any:
        values, valid = _values(source, view, rules, window)
        first = rules.quantities[0]
        return rules.codes(values), valid, levels_of(values[first], first)

    unsure = [c for c in rules.unsure if c not in _unknown_conditions(source, rules)]
    names = list(dict.fromkeys(r.name for condition in unsure for r in condition))

    def codes_of(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes, valid, shown = (coded or by_values)(window)
        known = valid
        if unsure:
            values, measured = source.measured(names, window)
            known = valid & ~(measured & holds_any(unsure, values))
        return np.where(known, codes, NODATA).astype(np.uint8), valid, shown

    return codes_of


def _by_level(source: Source, view: View, order: Order) -> Labeller | None:
    """Return what looks codes up by level, where one quantity decides; else None."""
    rules, ladder = order.task.rules, order.task.rules.ladder
    if order.cuts is not None and ladder is not None:
        table = np.array(ladder.codes, np.uint8)[class_of_level(order.cuts)]
    elif rules.quantities == ("V",):
        table = rules.codes({"V": np.arange(LEVELS)})
    else:
        return None
    table = with_margin(table, order.margin)

    def coded(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        levels, valid = _levels(source, view, rules, window)
        (of_one,) = levels.values()
        return codes_by_level(of_one, table), valid, of_one

    return coded


def with_margin(table: np.ndarray, margin: int) -> np.ndarray:
    """Return codes by level (256,), 255 where another class is within so many levels."""
    levels = np.arange(LEVELS)
    below, above = (np.clip(levels + step, 0, LEVELS - 1) for step in (-margin, margin))
    is_sure = (table[below] == table) & (table[above] == table)
    return np.where(is_sure, table, NODATA).astype(np.uint8)


def _by_colour(source: Source, view: View, rules: RuleSet) -> Labeller | None:
    """Return what looks codes up by colour, where colours decide; else None."""
    if not rules.is_of_colour:
        return None
    is_large = source.grid.pixels >= _WORTH_A_TABLE

    def coded(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rgb, valid = view.colours(window)
        if is_large:
            return codes_by_colour(rgb, table_of_colours(rules)), valid, rgb
        return codes_of_colours(rules, rgb), valid, rgb

    return coded


def _unknown_conditions(source: Source, rules: RuleSet) -> list[Any]:
    """Return the conditions of doubt that the scene has no bands or units for."""
    return [
        condition
        for condition in rules.unsure
        if any(not source.measures(r.name) for r in condition)
    ]
