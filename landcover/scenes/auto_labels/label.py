"""Label scenes by rules: ranges of colour, bands and indices, calibrated by the scenes themselves.

Sources: Iqrah et al., arXiv 2303.12719 and 2403.13135 (thresholds of colour for sea ice, over
many scenes at once); Otsu 1979 (thresholds without labels).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from landcover.counts import counted
from landcover.cpus import cores
from landcover.errors import InputError
from landcover.io.files.atomic import write_csv, written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.records.run_record import input_names, recipe_tag
from landcover.operation import (
    CSV,
    HTML,
    Given,
    LabelFile,
    Range,
    RasterFile,
    SceneFile,
    WrittenFolder,
)
from landcover.progress import progress_between, remark, report_progress
from landcover.samples.automatic import AUTOMATIC_TAG
from landcover.scenes.auto_labels import join
from landcover.scenes.auto_labels.concentration import header_of
from landcover.scenes.auto_labels.filters import Filter
from landcover.scenes.auto_labels.join import Calibrated, Calibration
from landcover.scenes.auto_labels.one_scene import (
    Counts,
    Order,
    Task,
    count,
    label,
)
from landcover.scenes.auto_labels.report import Labelling, write_report
from landcover.scenes.auto_labels.rules import NAMED, RuleSet, read_rules

_PICTURES = 12
"""Scenes of which the report has a picture."""
_TILE = 256

RulesFile = Annotated[AnyPath, Given("file", (".json",), named=tuple(NAMED))]
_Out = TypeVar("_Out")
Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""As `map`, or the `map` of any executor."""


@dataclass(frozen=True)
class ColorLabels:
    """Labels of scenes, made by rules.

    Attributes:
        labels: one label raster for each scene that was labelled, called as the scene; 255 where
            no class is certain or nothing was measured.
        report: histograms, thresholds, pictures, and how noisy the labels are, for people.
        concentration: of each tile the shares of classes and of groups of classes, such as ice,
            among the labelled pixels.
        labelled: share of the valid pixels that have a label, of the scenes that were labelled.
    """

    labels: WrittenFolder
    report: HTML
    concentration: CSV
    labelled: Annotated[float, Range(0, 1)]


def label_by_color(
    scenes: list[SceneFile],
    rules: RulesFile = "sea-ice",
    calibrate: Calibration = "otsu",
    filter: Filter = "none",
    reference: LabelFile | None = None,
    class_field: str = "class",
    bands: str = "",
    masks: list[RasterFile] | None = None,
    margin: Annotated[int, Range(0, 64)] = 0,
    tile: Annotated[int, Range(8, 65536)] = _TILE,
    workdir: AnyPath = "",
) -> ColorLabels:
    """Label scenes by rules, without a labeller.

    A pixel gets a class where the ranges of that class alone hold. Labels are noisy: a small
    reference that people have checked says how noisy, and is all that a model trained on the
    labels should be judged by.

    Args:
        scenes: GeoTIFF or COG; pictures of 8 bits, or reflectances, of which pictures are made.
        rules: sea-ice for open water, young or thin ice, and thick or snow-covered ice by
            brightness; or a JSON file with ranges of H, S, V, of bands (blue, green, red, nir,
            swir1, swir2) and of indices for each class.
        calibrate: otsu finds the thresholds of each scene in its own histogram, and refuses a
            scene that has fewer modes than there are classes; reference fits one set of
            thresholds for all scenes to the reference; none takes the rules as they stand, for
            sea-ice those of the literature. Only rules that part one quantity have thresholds.
        filter: before colours are compared; stretch brings the brightness of each neighbourhood
            to that of the scene, against thin cloud and shadow; published is the filter of the
            literature, which takes out large floes as well.
        reference: labels that people have made or checked, a few dozen points will do; for the
            noise of the labels, and for calibrate reference.
        class_field: attribute of a vector reference that holds the class.
        bands: what the scenes' bands are, if they do not say so, as in red=B4,nir=B5.
        masks: one for each scene, in their order, as mask-clouds writes them: pixels of 0 or
            nodata get no label and no part in thresholds, such as land.
        margin: levels (of 256) on both sides of a threshold where no class is certain.
        tile: pixels a side of the tiles in the table of concentrations.
        workdir: folder to write to.

    Raises:
        InputError: no scene can be labelled, or the rules or the reference are invalid.
    """
    chosen, folder = read_rules(rules), Path(workdir)
    _check(chosen, calibrate, filter, reference, margin)
    tasks = _tasks(scenes, masks, bands, chosen, filter, reference, class_field)
    with written_beside(folder / "labels") as beside:
        beside.mkdir()
        done = label_scenes(
            tasks, calibrate, beside, margin=margin, tile=tile, spread=_spread(len(tasks))
        )
    rows = (row for one in done.labelled for row in one.made.tiles.rows(one.name))
    write_csv(folder / "concentration.csv", header_of(chosen.legend), rows)
    report = write_report(folder / "report.html", done)
    return ColorLabels(
        folder / "labels", report, folder / "concentration.csv", done.share_labelled
    )


def label_scenes(
    tasks: Sequence[Task],
    how: Calibration,
    folder: Path,
    margin: int = 0,
    tile: int = _TILE,
    spread: Spread = map,
) -> Labelling:
    """Count, calibrate and label scenes: map, reduce, map.

    Args:
        tasks: the scenes.
        how: thresholds are found.
        folder: for label rasters; it must be there for whoever labels.
        margin: levels around thresholds where no class is certain.
        tile: pixels a side of tiles.
        spread: applies a function to all scenes, in their order; `map`, or the `map` of an
            executor of threads, processes or a cluster.

    Raises:
        InputError: no scene can be labelled.
    """
    rules = tasks[0].rules
    with progress_between(0, 0.4):
        counts = list(_watched(spread(count, tasks), len(tasks), "counting"))
    plans, fit = join.calibrate(counts, rules, how)
    _remark_on(tasks, counts, plans)
    names = _file_names([task.scene for task in tasks])
    kept = [i for i, plan in enumerate(plans) if not plan.refusal]
    orders = [
        Order(
            tasks[i],
            folder / names[i],
            plans[i].cuts,
            margin,
            tile,
            _tags(rules, how, tasks[i], plans[i]),
            number < _PICTURES,
        )
        for number, i in enumerate(kept)
    ]
    with progress_between(0.4, 1):
        made = list(_watched(spread(label, orders), len(orders), "labelling"))
    done = Labelling.of(tasks, counts, plans, dict(zip(kept, made, strict=True)), how, fit)
    _remark_on_labels(done)
    return done


def _check(
    rules: RuleSet, how: Calibration, filter: Filter, reference: AnyPath | None, margin: int
) -> None:
    """Refuse what contradicts itself, and say what has no effect."""
    has_ladder = rules.ladder is not None
    if how == "reference" and reference is None:
        raise InputError("calibrate reference needs the input reference", "reference")
    if how == "reference" and not has_ladder:
        raise InputError(
            f"{rules.name} does not part one quantity into 2 to 5 classes: it has no thresholds "
            "to fit, use calibrate none",
            "calibrate",
        )
    if how == "otsu" and not has_ladder:
        remark(
            f"{rules.name} does not part one quantity into 2 to 5 classes: its ranges were taken "
            "as they stand, calibrate otsu has no effect"
        )
    if margin and not has_ladder:
        raise InputError("margin is one of thresholds, which these rules do not have", "margin")
    if filter == "published":
        remark(
            "filter published divides large bright and dark areas out with clouds and shadows: "
            "at 250 m floes and open water as well"
        )


def _tasks(
    scenes: Sequence[AnyPath],
    masks: Sequence[AnyPath] | None,
    bands: str,
    rules: RuleSet,
    filter: Filter,
    reference: AnyPath | None,
    class_field: str,
) -> list[Task]:
    if masks and len(masks) != len(scenes):
        raise InputError(
            f"{counted(len(masks), '# mask|masks')} for {counted(len(scenes), '# scene|scenes')}: "
            "each scene needs one, in their order",
            "masks",
        )
    names = input_names("scenes", [Path(scene) for scene in scenes])
    by_scene: Sequence[AnyPath | None] = masks or [None] * len(scenes)
    return [
        Task(
            Path(scene),
            None if mask is None else Path(mask),
            bands,
            rules,
            filter,
            None if reference is None else Path(reference),
            class_field,
            known_as,
        )
        for scene, mask, known_as in zip(scenes, by_scene, names, strict=True)
    ]


def _spread(scenes: int) -> Spread:
    """Return what spreads work over the cores; one scene reports its own progress."""
    if scenes == 1:
        return map

    def over_cores(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        with ThreadPoolExecutor(min(cores(), scenes)) as threads:
            yield from threads.map(function, items)

    return over_cores


def _watched(results: Iterable[_Out], whole: int, what: str) -> Iterator[_Out]:
    for done, result in enumerate(results, 1):
        yield result
        report_progress(done / whole, f"{what}, {counted(done, '# scene|scenes')} of {whole}")


def _file_names(scenes: Sequence[Path]) -> list[str]:
    """Return a name for the labels of each scene; those of one name are numbered."""
    taken: set[str] = set()
    names = []
    for scene in scenes:
        stem = scene.stem.lstrip(".") or "scene"
        name, number = f"{stem}.tif", 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}.tif", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _tags(rules: RuleSet, how: Calibration, task: Task, plan: Calibrated) -> dict[str, str]:
    thresholds = " ".join(f"{value:g}" for value in plan.values(rules.ladder))
    return {
        AUTOMATIC_TAG: f"label-by-color, rules {rules.name}",
        "CALIBRATE": how,
        "FILTER": task.filter,
        **({"THRESHOLDS": thresholds} if thresholds else {}),
        **recipe_tag(),  # which threads and processes do not know
    }


def _remark_on(
    tasks: Sequence[Task], counts: Sequence[Counts], plans: Sequence[Calibrated]
) -> None:
    """Say which scenes were refused, and what was said of the others.

    Raises:
        InputError: all were refused.
    """
    refused = [(t.scene.name, p.refusal) for t, p in zip(tasks, plans, strict=True) if p.refusal]
    if len(refused) == len(tasks):
        others = f" (and so are {len(tasks) - 1} others)" if len(tasks) > 1 else ""
        raise InputError(f"{refused[0][0]} cannot be labelled{others}: {refused[0][1]}", "scenes")
    for each in counts:
        for sentence in each.remarks:
            remark(sentence)
    for name, why in refused:
        remark(f"{name} was not labelled: {why}")


def _remark_on_labels(done: Labelling) -> None:
    for one in done.labelled:
        for sentence in one.made.remarks:
            remark(sentence)
