"""A map in parts: squares of its windows, each classified by whoever is there, and joined.

A part finishes its tiles and their overviews; joining copies them, and makes only those overviews
that lie across parts. The bytes are those of one process.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from landcover.errors import InputError
from landcover.executors.parts import Parts, computed_parts, is_begun, is_carried
from landcover.inference.area import read_area
from landcover.inference.averaging import mean_of, reach_of
from landcover.inference.block import BlockClassifier, Correction
from landcover.inference.fitted import Fitted
from landcover.inference.windows import (
    CACHE_MIB,
    MapTask,
    MapWindow,
    cache_of,
    classify_missing,
    open_handles,
    scene_windows,
)
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import writing_part
from landcover.io.raster import Grid, open_scene
from landcover.io.records.digests import sha256_of_path
from landcover.models.file import load_model

NAME = "classifying"
SIDE = 1024
"""Of the square that holds a part's windows: so many pixels take a second or so."""
_MOST_PARTS = 512


@dataclass(frozen=True)
class _Work:
    """What whoever computes a part needs to know: files, and what was found out of them.

    Attributes:
        key: digest of all that decides the maps.
        digests: of the models, which are read again.
    """

    key: str
    scene: Path
    mask: Path | None
    models: tuple[Path, ...]
    digests: tuple[str, ...]
    bands: tuple[list[int], ...]
    corrections: tuple[Correction | None, ...]
    area: Path | None
    layer: str
    with_all: bool
    side: int
    folder: Path


def map_parts(
    task: MapTask,
    models: Sequence[Fitted],
    paths: Sequence[Path],
    area: tuple[AnyPath | None, str],
    folder: Path,
    seal: dict[str, Any],
) -> AbstractContextManager[Any]:
    """Compute a map in parts, if somebody was named for that or has begun it.

    Args:
        task: the map.
        models: as they fit the scene.
        paths: of the models.
        area: file and layer of the area.
        folder: that the map is written to.
        seal: all that decides the map.

    Returns:
        What yields the files of the parts, or None where all is to be done here at once.
    """
    if not (is_carried() or is_begun(folder, NAME)):
        return nullcontext()
    side = _side(task.grid)
    parts = Parts(
        _classify_part, None, len(_groups(task.parts, side)), folder.absolute(), NAME, seal
    )
    file, layer = area
    work = _Work(
        parts.digest, task.scene.absolute(), task.mask and task.mask.absolute(),
        tuple(path.absolute() for path in paths),
        tuple(str(model["model"]) for model in seal["models"]),
        tuple(one.indexes for one in models), tuple(one.blocks.correction for one in models),
        None if file is None else Path(file).absolute(), layer, task.with_all, side, parts.folder,
    )  # fmt: skip
    return computed_parts(parts.of(work))


def _side(grid: Grid) -> int:
    side = SIDE
    while -(-grid.width // side) * -(-grid.height // side) > _MOST_PARTS:
        side *= 2
    return side


def _groups(windows: Sequence[MapWindow], side: int) -> list[list[MapWindow]]:
    """Return the windows that begin in each square of the scene, row by row."""
    groups = defaultdict(list)
    for one in windows:
        groups[one.window.row_off // side, one.window.col_off // side].append(one)
    return [groups[key] for key in sorted(groups)]


def _classify_part(work: _Work, number: int, file: BinaryIO) -> None:
    """Classify the windows of a part and hand them over."""
    task, groups = _known(work)
    with ExitStack() as opened:
        writers = [
            opened.enter_context(writing_part(work.folder, task.grid, is_map, bands))
            for is_map, bands in _maps(task)
        ]
        with open_handles(task) as handles:
            classify_missing(task, handles, writers, groups[number])
        for writer in writers:
            writer.hand_over(file)


def _maps(task: MapTask) -> list[tuple[bool, int]]:
    """Return of each raster that is written whether it holds classes, and its bands."""
    all_classes = [(False, len(task.class_names))] if task.with_all else []
    return [(True, 1), (False, 1), *all_classes]


_last: dict[str, tuple[MapTask, list[list[MapWindow]]]] = {}
_lock = Lock()


def _known(work: _Work) -> tuple[MapTask, list[list[MapWindow]]]:
    """Return the task, which a process reads once for all parts that it computes."""
    with _lock:
        if work.key not in _last:
            _last.clear()
            task = _task(work)
            _last[work.key] = task, _groups(task.parts, work.side)
        return _last[work.key]


def _task(work: _Work) -> MapTask:
    for path, digest in zip(work.models, work.digests, strict=True):
        if sha256_of_path(path) != digest:
            raise InputError(f"the model {path.name} was changed while a scene was classified")
    models = [load_model(path) for path in work.models]
    classifiers = [model.classifier for model in models]
    fitted = zip(classifiers, work.bands, work.corrections, strict=True)
    blocks = [BlockClassifier(one, bands, correction) for one, bands, correction in fitted]
    cards = [model.card for model in models]
    with open_scene(work.scene, work.mask, CACHE_MIB) as dataset:
        grid = Grid.of(dataset)
        area = None if work.area is None else read_area(work.area, grid, work.layer)
        windows = scene_windows(dataset, *reach_of(classifiers), area)
        cache_mib = cache_of(dataset, reach_of(classifiers)[0], windows)
    return MapTask(
        work.scene, mean_of(blocks, cards), cards[0].legend, {}, {}, grid, windows, cache_mib,
        work.mask, area, work.with_all,
    )  # fmt: skip
