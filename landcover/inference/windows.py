"""The windows of a scene that is classified: threads read, classify and encode them.

Windows are whole blocks of the scene; a few are in memory at a time, however large it is.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from threading import Event
from typing import Any

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.cpus import cores
from landcover.inference.area import Area
from landcover.inference.block import BlockClassifier
from landcover.io.geotiff.cog import CogWriter
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Grid, open_scene, windows_of, windows_with_halo
from landcover.models.classifier import without_halo
from landcover.progress import Pace

_BYTES_AT_ONCE = 128 * 2**20
"""Pixels of the scene that are in memory, unless one block of it is larger."""
CACHE_MIB = 8
"""Windows are whole blocks, so without a halo each is read once."""
_MOST_CACHE_MIB = 96


@dataclass(frozen=True)
class MapWindow:
    """A window of the scene, and how many of its pixels are to be classified if they are valid."""

    window: Window
    pixels: int


def scene_windows(
    dataset: DatasetReader, halo: int, step: int, area: Area | None
) -> list[MapWindow]:
    """Return the windows that cover a scene, row by row."""
    windows = [*(windows_with_halo(dataset, halo, step) if halo else windows_of(dataset))]
    if area is None:
        return [MapWindow(window, window.width * window.height) for window in windows]
    counts = area.pixels_in(windows).tolist()
    return [MapWindow(window, count) for window, count in zip(windows, counts, strict=True)]


@dataclass(frozen=True)
class MapTask:
    """What is to be classified, and how the maps are described."""

    scene: Path
    blocks: BlockClassifier
    legend: Legend
    tags: dict[str, str]
    tags_of_map: dict[str, str]
    grid: Grid
    parts: list[MapWindow]
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


def classify_missing(
    task: MapTask,
    handles: Sequence[DatasetReader],
    writers: Sequence[CogWriter],
    windows: Sequence[MapWindow],
) -> None:
    """Classify those of the windows that the maps lack, on all cores."""
    missing = [p for p in windows if any(writer.lacks(p.window) for writer in writers)]
    # the one that was used last holds the blocks around what follows
    free: LifoQueue[DatasetReader] = LifoQueue()
    for handle in handles:
        free.put(handle)
    stop = Event()

    def classify_part(part: MapWindow) -> int:
        window = part.window
        found = _classified(task, free, window, stop) if part.pixels else task.nothing(window)
        for writer, values in zip(writers, found, strict=True):
            writer.write(values, window)
        return int(window.width * window.height)

    left = sum(part.window.width * part.window.height for part in missing)
    pace = Pace("classifying", task.grid.pixels, left)
    pace.report()
    with closing(few_at_once(classify_part, missing, _at_once(task, handles[0]), stop)) as ended:
        for pixels in ended:
            pace.advance(pixels)
            pace.report()


def _classified(
    task: MapTask, free: LifoQueue[DatasetReader], window: Window, stop: Event
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
def open_handles(task: MapTask) -> Iterator[list[DatasetReader]]:
    """Open a scene once for every core: a handle serves one thread at a time."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(open_scene(task.scene, task.mask, task.cache_mib))
            for _ in range(cores())
        ]


def cache_of(dataset: DatasetReader, halo: int, parts: Sequence[MapWindow]) -> int:
    """Return what GDAL should keep: with a halo, blocks that the next window looks at again."""
    if not halo or not parts:
        return CACHE_MIB
    (rows, columns), window = dataset.block_shapes[0], parts[0].window
    high = min(math.ceil((window.height + 2 * halo) / rows) + 1, math.ceil(dataset.height / rows))
    wide = min(math.ceil((window.width + 2 * halo) / columns) + 1, dataset.width // columns + 1)
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    return int(np.clip(high * rows * wide * columns * pixel >> 20, CACHE_MIB, _MOST_CACHE_MIB))


def _at_once(task: MapTask, dataset: DatasetReader) -> int:
    """Return how many windows may be in memory; one more than cores, so that none waits."""
    if not task.parts:
        return 1
    halo, first = task.blocks.classifier.halo, task.parts[0].window
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    pixel += len(task.blocks.classifier.codes) if task.with_all else 0
    copies = 2 if halo else 1  # at the scene's border: as read, and grown beyond it
    window = (first.width + 2 * halo) * (first.height + 2 * halo) * pixel * copies
    return int(np.clip(_BYTES_AT_ONCE // window, 1, cores() + 1))


def few_at_once(
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
