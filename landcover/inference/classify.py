"""Classify a scene: every valid pixel gets a class, and the coverage report proves it.

Windows are whole blocks of the scene. Threads read, classify and encode them, a few at a time, so
memory does not grow with the scene. What is finished survives an interruption.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import LifoQueue
from threading import Event
from typing import Any, BinaryIO

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.cpus import cores
from landcover.errors import InputError
from landcover.inference.area import Area, read_area
from landcover.inference.averaging import mean_of, reach_of
from landcover.inference.block import BlockClassifier
from landcover.inference.fitted import (
    Fitted,
    Treatment,
    fit,
    load_models,
    remark_on_fit,
    worst_of,
)
from landcover.io.bands import choose_bands
from landcover.io.files.atomic import write_json
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import CogWriter, writing_cog
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Grid, open_scene, windows_of, windows_with_halo
from landcover.io.records.checkpoints import resumable
from landcover.io.records.run_record import DISTRIBUTION, input_digest, input_digests, with_recipe
from landcover.io.scene_pixels import no_valid_pixel
from landcover.models.classifier import without_halo
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
from landcover.progress import Pace, remark, report_progress

UNFINISHED = (".map.tif.tiles", ".confidence.tif.tiles", ".probabilities.tif.tiles")
"""Names of the files in which an interrupted run leaves what it has classified."""
_BYTES_AT_ONCE = 128 * 2**20
"""Pixels of the scene that are in memory, unless one block of it is larger."""
_CACHE_MIB = 8
"""Windows are whole blocks, so without a halo each is read once."""
_MOST_CACHE_MIB = 96


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
    with open_scene(scene, mask, _CACHE_MIB) as dataset:
        grid = Grid.of(dataset)
        part = _area(area, grid, layer)
        halo, step = reach_of([one.classifier for _, one in models])
        windows = _windows(dataset, halo, step, part)
        cache_mib = _cache_mib(dataset, halo, windows)
        chosen = choose_bands(dataset, bands, about_pixels=True)
        fitted = [fit(name, one, dataset, chosen, radiometry, part) for name, one in models]
    for one in fitted:
        remark_on_fit(one)
    for slowness in sorted({one.model.classifier.slowness() for one in fitted} - {""}):
        remark(slowness)
    tags = _tags(fitted, radiometry)
    cards = [one.model.card for one in fitted]
    task = _Task(
        Path(scene), mean_of([one.blocks for one in fitted], cards), cards[0].legend, tags,
        tags | places_tag([card.places for card in cards]), grid, windows,
        cache_mib, None if mask is None else Path(mask), part, probabilities,
    )  # fmt: skip
    if any((folder / name).exists() for name in UNFINISHED):
        report_progress(0, "comparing scene and model with an unfinished run")
    seal = _seal(task, fitted, paths, (area, layer))
    with resumable(folder, UNFINISHED, seal) as spools:
        classified = _write_maps(task, folder, spools)
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


def _coverage(task: "_Task", classified: int) -> dict[str, Any]:
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


@dataclass(frozen=True)
class _Part:
    """A window of the scene, and how many of its pixels are to be classified if they are valid."""

    window: Window
    pixels: int


def _windows(dataset: DatasetReader, halo: int, step: int, area: Area | None) -> list[_Part]:
    windows = [*(windows_with_halo(dataset, halo, step) if halo else windows_of(dataset))]
    if area is None:
        return [_Part(window, window.width * window.height) for window in windows]
    counts = area.pixels_in(windows).tolist()
    return [_Part(window, count) for window, count in zip(windows, counts, strict=True)]


@dataclass(frozen=True)
class _Task:
    """What is to be classified, and how the maps are described."""

    scene: Path
    blocks: BlockClassifier
    legend: Legend
    tags: dict[str, str]
    tags_of_map: dict[str, str]
    grid: Grid
    parts: list[_Part]
    cache_mib: int
    mask: Path | None = None
    area: Area | None = None
    with_all: bool = False

    @property
    def class_names(self) -> list[str]:
        """The names of the classes that have probabilities, in their order."""
        by_code = {entry.code: entry.name for entry in self.legend.classes}
        return [by_code[int(code)] for code in self.blocks.classifier.codes]

    @property
    def pixels(self) -> int:
        """The number of pixels that are to be classified if they are valid."""
        return sum(part.pixels for part in self.parts)

    def nothing(self, window: Window) -> tuple[np.ndarray, ...]:
        """Return what the maps hold where no pixel is to be classified."""
        bands = (1, 1, len(self.blocks.classifier.codes)) if self.with_all else (1, 1)
        shape = (window.height, window.width)
        return tuple(np.full((count, *shape), NODATA, np.uint8) for count in bands)


def _seal(
    task: _Task,
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


def _write_maps(task: _Task, folder: Path, spools: Sequence[BinaryIO]) -> int:
    """Classify window by window; return the number of classified pixels."""
    with ExitStack() as opened:
        writers = [opened.enter_context(one) for one in _writers(task, folder, spools)]
        with _handles(task) as handles:
            _classify_missing(task, handles, writers)
            classified = writers[0].filled
            if not classified:  # before the files are whole: nothing is left of them
                raise InputError(no_valid_pixel(handles[0], task.area))
        report_progress(1, "writing map and confidence")
    return classified


def _writers(
    task: _Task, folder: Path, spools: Sequence[BinaryIO]
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


def _classify_missing(
    task: _Task, handles: Sequence[DatasetReader], writers: Sequence[CogWriter]
) -> None:
    """Classify the windows that the maps lack, on all cores."""
    missing = [p for p in task.parts if any(writer.lacks(p.window) for writer in writers)]
    # the one that was used last holds the blocks around what follows
    free: LifoQueue[DatasetReader] = LifoQueue()
    for handle in handles:
        free.put(handle)
    stop = Event()

    def classify_part(part: _Part) -> int:
        window = part.window
        found = _classified(task, free, window, stop) if part.pixels else task.nothing(window)
        for writer, values in zip(writers, found, strict=True):
            writer.write(values, window)
        return int(window.width * window.height)

    left = sum(part.window.width * part.window.height for part in missing)
    pace = Pace("classifying", task.grid.pixels, left)
    pace.report()
    with closing(_few_at_once(classify_part, missing, _at_once(task, handles[0]), stop)) as ended:
        for pixels in ended:
            pace.advance(pixels)
            pace.report()


def _classified(
    task: _Task, free: LifoQueue[DatasetReader], window: Window, stop: Event
) -> tuple[np.ndarray, ...]:
    """Read and classify a window with one of the handles that are free."""
    halo = task.blocks.classifier.halo
    handle = free.get()
    try:
        values, grown, scene = task.blocks.read(handle, window)
    finally:
        free.put(handle)
    inside = None if task.area is None else task.area.inside(window)
    if inside is not None and not halo:  # what surrounds it is looked at by no pixel
        grown &= inside
    found = task.blocks.classify(values, grown, scene, stop.is_set, task.with_all)
    valid = without_halo(grown, halo)
    if inside is not None and halo:
        valid = valid & inside
        found = tuple(np.where(inside, each, NODATA).astype(np.uint8) for each in found)
    if not np.array_equal(found[0] != NODATA, valid):
        raise RuntimeError(f"a valid pixel has no class, or another has one, in {window}")
    return found


@contextmanager
def _handles(task: _Task) -> Iterator[list[DatasetReader]]:
    """Open a scene once for every core: a handle serves one thread at a time."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(open_scene(task.scene, task.mask, task.cache_mib))
            for _ in range(cores())
        ]


def _cache_mib(dataset: DatasetReader, halo: int, parts: Sequence[_Part]) -> int:
    """Return what GDAL should keep: with a halo, blocks that the next window looks at again."""
    if not halo or not parts:
        return _CACHE_MIB
    (rows, columns), window = dataset.block_shapes[0], parts[0].window
    high = min(math.ceil((window.height + 2 * halo) / rows) + 1, math.ceil(dataset.height / rows))
    wide = min(math.ceil((window.width + 2 * halo) / columns) + 1, dataset.width // columns + 1)
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    return int(np.clip(high * rows * wide * columns * pixel >> 20, _CACHE_MIB, _MOST_CACHE_MIB))


def _at_once(task: _Task, dataset: DatasetReader) -> int:
    """Return how many windows may be in memory; one more than cores, so that none waits."""
    if not task.parts:
        return 1
    halo, first = task.blocks.classifier.halo, task.parts[0].window
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    pixel += len(task.blocks.classifier.codes) if task.with_all else 0
    copies = 2 if halo else 1  # at the scene's border: as read, and grown beyond it
    window = (first.width + 2 * halo) * (first.height + 2 * halo) * pixel * copies
    return int(np.clip(_BYTES_AT_ONCE // window, 1, cores() + 1))


def _few_at_once(
    work: Callable[[Any], int], parts: Sequence[Any], at_once: int, stop: Event
) -> Generator[int, None, None]:
    """Yield the results of `work` in order; a failure or interruption stops what is under way."""
    pool = ThreadPoolExecutor(cores())
    try:
        under_way: deque[Future[int]] = deque()
        for part in parts:
            if len(under_way) >= at_once:
                yield under_way.popleft().result()
            under_way.append(pool.submit(work, part))
        while under_way:
            yield under_way.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
