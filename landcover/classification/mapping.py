"""Classify a scene: every valid pixel gets a class, and the coverage report proves it.

Windows are whole blocks of the scene. Threads read, classify and encode them, a few at a time, so
memory does not grow with the scene. What is finished survives an interruption.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, BinaryIO, Literal

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.cog import CogWriter, writing_cog
from landcover.errors import InputError, Stopped
from landcover.legend import NODATA
from landcover.models import Model, load_model
from landcover.operation import JSON, AnyPath, GeoTIFF, ModelFile, RasterFile
from landcover.processors import cores
from landcover.progress import Pace, report_progress
from landcover.radiometry import compare, match_bands
from landcover.rasters import Grid, open_raster, read_valid, windows_of
from landcover.resuming import resumable, sha256_of
from landcover.writing import write_json

UNFINISHED = (".map.tif.tiles", ".confidence.tif.tiles")
"""Names of the files in which an interrupted run leaves what it has classified."""
_PIXELS_AT_ONCE = 64 * 512
"""So many go through the trees between two looks whether the work is to stop."""
_BYTES_AT_ONCE = 128 * 2**20
"""Pixels of the scene that are in memory, unless one block of it is larger."""
_CACHE_MIB = 8
"""Windows are whole blocks, so each is read once."""

Correction = tuple[np.ndarray, np.ndarray]
"""Gain and offset, each (bands,), that bring a scene's values to those of the training."""


@dataclass(frozen=True)
class Classification:
    """A classified scene.

    Attributes:
        map: class codes, with legend and colours; nodata 255.
        confidence: probability of the chosen class in percent; nodata 255.
        coverage: valid, classified and masked pixels with the reason, bands and radiometry.
        classified: number of classified pixels.
    """

    map: GeoTIFF
    confidence: GeoTIFF
    coverage: JSON
    classified: int


def classify_scene(
    scene: RasterFile,
    model: ModelFile,
    radiometry: Literal["refuse", "harmonise", "ignore"] = "refuse",
    workdir: AnyPath = "",
) -> Classification:
    """Classify every valid pixel of a scene.

    Args:
        scene: GeoTIFF or COG with the model's bands.
        model: a model of train-classifier.
        radiometry: what to do with a scene whose values the model never saw: refuse it, correct
            what can be corrected, or classify it all the same and mark the map.
        workdir: folder to write to.

    Raises:
        InputError: the bands do not match, the spectra are foreign, or no pixel is valid.
    """
    trained = load_model(model)
    folder = Path(workdir)
    with open_raster(scene, _CACHE_MIB) as dataset:
        indexes, matching = match_bands(dataset, trained.card)
        compared = compare(dataset, indexes, trained.card)
        corrected = compared.verdict == "shifted" and radiometry == "harmonise"
        if compared.verdict != "ok" and radiometry != "ignore" and not corrected:
            raise InputError(f"{Path(scene).name} was not classified: {compared.advice}")
        grid = Grid.of(dataset)
    correction = compared.correction if corrected else None
    tags = {"RADIOMETRY": f"ignored:{compared.verdict}"} if radiometry == "ignore" else {}
    task = _Task(Path(scene), indexes, trained, tags, grid, correction)
    with resumable(folder, UNFINISHED, _seal(task, model)) as spools:
        classified = _write_maps(task, folder, spools)
        coverage = {
            "valid": classified,  # each window was checked
            "classified": classified,
            "masked": {"nodata in a band that the model uses": grid.pixels - classified},
            "bands": matching,
            "radiometry": compared.to_dict() | {"corrected": corrected},
        }
        write_json(folder / "coverage.json", coverage)
    return Classification(
        map=folder / "map.tif",
        confidence=folder / "confidence.tif",
        coverage=folder / "coverage.json",
        classified=classified,
    )


@dataclass(frozen=True)
class _Task:
    """What is to be classified; bands from 1, in the model's order."""

    scene: Path
    bands: list[int]
    model: Model
    tags: dict[str, str]
    grid: Grid
    correction: Correction | None


def _seal(task: _Task, model: AnyPath) -> dict[str, Any]:
    """Return all that decides the maps' pixels: only then may a run go on from another's tiles."""
    report_progress(0, "comparing scene and model with an unfinished run")
    return {
        "scene": sha256_of(task.scene),
        "model": sha256_of(model),
        "tags": task.tags,
        "correction": task.correction and [part.tolist() for part in task.correction],
        "code": version("landcover-geoportal"),
    }


def _write_maps(task: _Task, folder: Path, spools: Sequence[BinaryIO]) -> int:
    """Classify window by window; return the number of classified pixels."""
    classes_spool, sure_spool = spools
    legend = task.model.card.legend
    with (
        writing_cog(
            folder / "map.tif", task.grid, "class", legend, task.tags, classes_spool
        ) as classes,
        writing_cog(
            folder / "confidence.tif", task.grid, "confidence in percent", None, task.tags,
            sure_spool,
        ) as sure,
    ):  # fmt: skip
        with _handles(task.scene) as handles:
            _classify_missing(task, handles, classes, sure)
        if not classes.filled:  # before the files are whole: nothing is left of them
            raise InputError(f"{task.scene.name} holds no valid pixel: is its nodata value right?")
        report_progress(1, "writing map and confidence")
    return classes.filled


def _classify_missing(
    task: _Task, handles: Sequence[DatasetReader], classes: CogWriter, sure: CogWriter
) -> None:
    """Classify the windows that the maps lack, on all cores."""
    windows = [w for w in windows_of(handles[0]) if classes.lacks(w) or sure.lacks(w)]
    free: SimpleQueue[DatasetReader] = SimpleQueue()
    for handle in handles:
        free.put(handle)
    stop = Event()

    def classify_window(window: Window) -> int:
        values, valid = _read(free, window, task.bands)
        codes, confidence = _classify(values, valid, task, stop)
        if not np.array_equal(codes != NODATA, valid):
            raise RuntimeError(f"a valid pixel has no class, or another has one, in {window}")
        classes.write(codes, window)
        sure.write(confidence, window)
        return valid.size

    left = sum(window.width * window.height for window in windows)
    pace = Pace("classifying", task.grid.pixels, left)
    pace.report()
    at_once = _at_once(handles[0], windows)
    with closing(_few_at_once(classify_window, windows, at_once, stop)) as finished:
        for pixels in finished:
            pace.advance(pixels)
            pace.report()


@contextmanager
def _handles(scene: Path) -> Iterator[list[DatasetReader]]:
    """Open a scene once for every core: a handle serves one thread at a time."""
    with ExitStack() as opened:
        yield [opened.enter_context(open_raster(scene, _CACHE_MIB)) for _ in range(cores())]


def _at_once(dataset: DatasetReader, windows: Sequence[Window]) -> int:
    """Return how many windows may be in memory; one more than cores, so that none waits."""
    if not windows:
        return 1
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    window = windows[0].width * windows[0].height * pixel
    return int(np.clip(_BYTES_AT_ONCE // window, 1, cores() + 1))


def _few_at_once(
    work: Callable[[Window], int], windows: Sequence[Window], at_once: int, stop: Event
) -> Generator[int, None, None]:
    """Yield the results of `work` in order; a failure or interruption stops what is under way."""
    pool = ThreadPoolExecutor(cores())
    try:
        under_way: deque[Future[int]] = deque()
        for window in windows:
            if len(under_way) >= at_once:
                yield under_way.popleft().result()
            under_way.append(pool.submit(work, window))
        while under_way:
            yield under_way.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _read(
    free: SimpleQueue[DatasetReader], window: Window, bands: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    handle = free.get()
    try:
        return read_valid(handle, window, bands)
    finally:
        free.put(handle)


def _classify(
    values: np.ndarray, valid: np.ndarray, task: _Task, stop: Event
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and confidence, uint8 (H, W), of values (bands, H, W).

    Raises:
        Stopped: as soon as `stop` is set.
    """
    codes = np.full(valid.shape, NODATA, np.uint8)
    confidence = np.full(valid.shape, NODATA, np.uint8)
    step = max(1, _PIXELS_AT_ONCE // valid.shape[1])
    for top in range(0, valid.shape[0], step):
        if stop.is_set():
            raise Stopped("the classification was told to stop")
        rows = slice(top, top + step)
        corrected = _corrected(values[:, rows], task.correction)
        codes[rows], confidence[rows] = task.model.trees.classify(corrected, valid[rows])
    return codes, confidence


def _corrected(values: np.ndarray, correction: Correction | None) -> np.ndarray:
    if correction is None:
        return values
    gain, offset = (part.astype(np.float32)[:, None, None] for part in correction)
    return values.astype(np.float32) * gain + offset
