"""Classify a scene: every valid pixel gets a class, and the coverage report proves it.

What is finished survives an interruption. Where somebody is named to compute parts of it
(`landcover.executors`), they do.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from landcover.errors import InputError
from landcover.inference.area import Area, read_area
from landcover.inference.averaging import mean_of, reach_of
from landcover.inference.fitted import (
    Fitted,
    Treatment,
    fit,
    load_models,
    remark_on_fit,
    worst_of,
)
from landcover.inference.map_parts import map_parts
from landcover.inference.windows import (
    CACHE_MIB,
    MapTask,
    cache_of,
    classify_missing,
    open_handles,
    scene_windows,
)
from landcover.io.bands import choose_bands
from landcover.io.files.atomic import write_json
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import CogWriter, writing_cog
from landcover.io.raster import Grid, open_scene
from landcover.io.records.checkpoints import resumable
from landcover.io.records.run_record import DISTRIBUTION, input_digest, input_digests, with_recipe
from landcover.io.scene_pixels import no_valid_pixel
from landcover.models.footprint import places_tag
from landcover.operation import (
    JSON,
    GeoTIFF,
    LabelFile,
    MapTIFF,
    ModelFile,
    RasterFile,
    SceneFile,
)
from landcover.progress import remark, report_progress

UNFINISHED = (".map.tif.tiles", ".confidence.tif.tiles", ".probabilities.tif.tiles")
"""Names of the files in which an interrupted run leaves what it has classified."""


@dataclass(frozen=True)
class Classification:
    """A classified scene.

    Attributes:
        map: class codes, with legend and colours; nodata 255. GDAL and QGIS find the names of the
            classes in map.tif.aux.xml and map.qml beside it.
        confidence: probability of the chosen class in percent; nodata 255.
        probabilities: probability of every class in percent, a band each of its name; nodata 255.
            Only if asked for.
        coverage: valid, classified and masked pixels with the reason, bands and radiometry.
        classified: number of classified pixels.
    """

    map: MapTIFF
    confidence: GeoTIFF
    probabilities: GeoTIFF | None
    coverage: JSON
    classified: int


def classify_scene(
    scene: SceneFile,
    model: ModelFile | list[ModelFile],
    radiometry: Treatment = "refuse",
    bands: str = "",
    mask: RasterFile | None = None,
    area: LabelFile | None = None,
    layer: str = "",
    probabilities: bool = False,
    workdir: AnyPath = "",
) -> Classification:
    """Classify every valid pixel of a scene.

    Args:
        scene: GeoTIFF or COG with the model's bands.
        model: a model of train-classifier, or several of the same classes and bands, of whose
            probabilities the mean is taken.
        radiometry: what to do with a scene whose values the model never saw: refuse it, correct
            what can be corrected, or classify it all the same and mark the map.
        bands: of the scene to use, in their order, renamed where that helps, as in
            B04,red=B4,B8A; all by default. Those of the model are taken from them by name, else
            by wavelength.
        mask: raster of one band whose pixels of 0 or nodata are invalid in the scene, such as
            clouds; all other values are valid.
        area: polygons in any coordinate system; only pixels whose centre lies inside are
            classified. The whole scene by default.
        layer: of the area, where its file holds several.
        probabilities: whether the probability of every class is written too.
        workdir: folder to write to.

    Raises:
        InputError: the bands do not match, the spectra are foreign, the area lies outside, or no
            pixel is valid.
    """
    paths = [*map(Path, model if isinstance(model, list) else [model])]
    models = load_models(paths)
    folder = Path(workdir)
    with open_scene(scene, mask, CACHE_MIB) as dataset:
        grid = Grid.of(dataset)
        part = _area(area, grid, layer)
        halo, step = reach_of([one.classifier for _, one in models])
        windows = scene_windows(dataset, halo, step, part)
        cache_mib = cache_of(dataset, halo, windows)
        chosen = choose_bands(dataset, bands, about_pixels=True)
        fitted = [fit(name, one, dataset, chosen, radiometry, part) for name, one in models]
    for one in fitted:
        remark_on_fit(one)
    for slowness in sorted({one.model.classifier.slowness() for one in fitted} - {""}):
        remark(slowness)
    tags = _tags(fitted, radiometry)
    cards = [one.model.card for one in fitted]
    task = MapTask(
        Path(scene), mean_of([one.blocks for one in fitted], cards), cards[0].legend, tags,
        tags | places_tag([card.places for card in cards]), grid, windows,
        cache_mib, None if mask is None else Path(mask), part, probabilities,
    )  # fmt: skip
    if any((folder / name).exists() for name in UNFINISHED):
        report_progress(0, "comparing scene and model with an unfinished run")
    seal = _seal(task, fitted, paths, (area, layer))
    with (
        map_parts(task, fitted, paths, (area, layer), folder, seal) as parts,
        resumable(folder, UNFINISHED, seal) as spools,
    ):
        classified = _write_maps(task, folder, spools, parts)
        write_json(
            folder / "coverage.json",
            with_recipe(_coverage(task, classified) | _of_models(fitted, paths)),
        )
    return Classification(
        map=folder / "map.tif",
        confidence=folder / "confidence.tif",
        probabilities=folder / "probabilities.tif" if probabilities else None,
        coverage=folder / "coverage.json",
        classified=classified,
    )


def _area(path: AnyPath | None, grid: Grid, layer: str) -> Area | None:
    if path is not None:
        return read_area(path, grid, layer)
    if layer:
        raise InputError(f"layer {layer} is that of an area, and no area is given", "layer")
    return None


def _coverage(task: "MapTask", classified: int) -> dict[str, Any]:
    """Return where the pixels of the scene went; each window was checked."""
    inside = task.pixels
    masked = {"nodata in a band that the model uses": inside - classified}
    if task.area is not None:
        masked["outside the area"] = task.grid.pixels - inside
    return {"valid": classified, "classified": classified, "masked": masked}


def _of_models(models: Sequence[Fitted], paths: Sequence[Path]) -> dict[str, Any]:
    """Return what a coverage report says of the models, first of that which fits least."""
    of_worst = worst_of(models).to_dict()
    if len(models) == 1:
        return of_worst
    digests = input_digests("model", paths)
    return of_worst | {
        "models": [
            {"name": path.name, "sha256": digest} | one.to_dict()
            for path, digest, one in zip(paths, digests, models, strict=True)
        ]
    }


def _tags(models: Sequence[Fitted], radiometry: Treatment) -> dict[str, str]:
    """Return the tag of a map whose scene was not refused for its values, whatever they are."""
    if radiometry != "ignore":
        return {}
    return {"RADIOMETRY": f"ignored:{worst_of(models).radiometry.verdict}"}


def _seal(
    task: MapTask,
    models: Sequence[Fitted],
    paths: Sequence[Path],
    area: tuple[AnyPath | None, str],
) -> dict[str, Any]:
    """Return all that decides the maps' pixels: only then may a run go on from another's tiles."""
    file, layer = area
    return {
        "scene": input_digest("scene", task.scene),
        "models": [
            {"model": digest, "bands": one.indexes, "correction": _as_lists(one)}
            for digest, one in zip(input_digests("model", paths), models, strict=True)
        ],
        "mask": task.mask and input_digest("mask", task.mask),
        "area": file and [input_digest("area", Path(file)), layer],
        "probabilities": task.with_all,
        "tags": task.tags,
        "code": version(DISTRIBUTION),
    }


def _as_lists(model: Fitted) -> list[list[float]] | None:
    correction = model.blocks.correction
    return None if correction is None else [correction.gain.tolist(), correction.offset.tolist()]


def _write_maps(
    task: MapTask, folder: Path, spools: Sequence[BinaryIO], parts: Iterator[BinaryIO] | None
) -> int:
    """Classify window by window, or join the parts; return the number of classified pixels."""
    kept = spools if parts is None else [None] * len(spools)  # parts are kept themselves
    with ExitStack() as opened:
        writers = [opened.enter_context(one) for one in _writers(task, folder, kept)]
        with open_handles(task) as handles:
            if parts is None:
                classify_missing(task, handles, writers, task.parts)
            for file in parts or ():
                for writer in writers:
                    writer.take_over(file)
            classified = writers[0].filled
            if not classified:  # before the files are whole: nothing is left of them
                raise InputError(no_valid_pixel(handles[0], task.area))
        report_progress(1, "writing map and confidence")
    return classified


def _writers(
    task: MapTask, folder: Path, spools: Sequence[BinaryIO | None]
) -> Iterator[AbstractContextManager[CogWriter]]:
    """Yield what writes map, confidence and, if asked for, probabilities."""
    of_map, of_confidence, of_all = spools
    yield writing_cog(
        folder / "map.tif", task.grid, "class", task.legend, task.tags_of_map, of_map
    )
    yield writing_cog(
        folder / "confidence.tif", task.grid, "confidence in percent", None, task.tags,
        of_confidence,
    )  # fmt: skip
    if task.with_all:
        yield writing_cog(
            folder / "probabilities.tif", task.grid, task.class_names, None, task.tags, of_all
        )
