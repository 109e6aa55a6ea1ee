"""Copy the pixels of a delivery into a scene, window by window, in a few threads."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import BinaryIO

import numpy as np
from rasterio.windows import Window

from landcover.cpus import cores
from landcover.inference.area import Area
from landcover.io.geotiff.cog import CogWriter
from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import Grid
from landcover.progress import Pace
from landcover.scenes.formats.opening import Raster
from landcover.scenes.placing import Placed, Reducer, first_of_valid, mean_of_valid
from landcover.scenes.quality import LAYERS, shown_by
from landcover.scenes.storing import Look

_SIDE = 2048
"""Of a window, in pixels: two tiles of Sentinel-2's images at 10 m, one of those at 20 m."""
_MOST_BYTES = 64 << 20
"""Of the values that one thread reads at a time, unless one block is larger."""
_CACHE_MIB = 96


@dataclass(frozen=True)
class Hiding:
    """The quality band by which pixels become invalid, and for which causes."""

    raster: Raster
    kind: str
    index: int
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What is to be copied.

    Attributes:
        looks: the bands, in the scene's order.
        grid: of the scene.
        shift: rows and columns of the uncut grid above and left of it.
        pixels: of the scene.
        inside: the area, if there is one.
        hiding: what hides pixels besides, if anything does.
    """

    looks: list[Look]
    grid: Grid
    shift: tuple[int, int]
    pixels: Pixels
    inside: Area | None
    hiding: Hiding | None

    def groups(self) -> list[list[int]]:
        """Return bands, by their place in the scene, that are read together.

        Bands that lie pixel by pixel in one file are decoded together whatever is asked for.
        """
        found: dict[object, list[int]] = {}
        for place, look in enumerate(self.looks):
            key = (look.raster, look.nodata) if look.together > 1 else place
            found.setdefault(key, []).append(place)
        return list(found.values())

    def windows(self) -> list[Window]:
        """Cover the grid with windows of whole blocks of the finest band, row by row."""
        finest = min(self.looks, key=lambda look: abs(look.grid.transform.determinant))
        side, steps = self._side(), _steps(finest, self.grid)
        rows, columns = (max(1, length // steps) for length in finest.blocks)
        width = columns if columns >= self.grid.width else max(columns, side // columns * columns)
        height = max(rows, side * side // max(width, side) // rows * rows)
        return [*_windows(self.grid, self.shift, height, width)]

    def _side(self) -> int:
        bands = max(len(group) for group in self.groups())
        wide = bands * self.pixels.dtype.itemsize
        steps = max(_steps(look, self.grid) for look in self.looks)
        return max(256, min(_SIDE, int((_MOST_BYTES / wide) ** 0.5)) // steps)

    def threads(self) -> int:
        """Return how many threads memory allows."""
        block = max(
            look.blocks[0] * look.blocks[1] * look.together * look.dtype.itemsize
            for look in self.looks
        )
        return max(1, min(cores(), 2 * _MOST_BYTES // max(block, 1)))


@dataclass
class Copied:
    """Where the pixels went.

    Attributes:
        pixels: of the scene, inside the area if there is one.
        valid: of these, those that are valid in all bands.
        hidden: of these, by cause; a pixel may have several.
    """

    pixels: int = 0
    valid: int = 0
    hidden: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Share of valid pixels, 0 to 1."""
        return self.valid / self.pixels if self.pixels else 0.0

    def add(self, other: "Copied") -> None:
        """Count the pixels of a window."""
        self.pixels += other.pixels
        self.valid += other.valid
        for cause, count in other.hidden.items():
            self.hidden[cause] = self.hidden.get(cause, 0) + count


def copy_pixels(task: Task, writer: CogWriter, record: BinaryIO) -> Copied:
    """Copy all pixels that an earlier run has not copied.

    Args:
        task: what is to be copied.
        writer: takes them.
        record: file in which each finished window leaves a line.
    """
    windows = task.windows()
    done = _done(record, windows, task, writer)
    whole = Copied()
    for counted in done.values():
        whole.add(counted)
    left = [number for number in range(len(windows)) if number not in done]
    pace = Pace("importing", task.grid.pixels, sum(_pixels(windows[n]) for n in left))
    pace.report()
    with ExitStack() as opened:
        readers: SimpleQueue[_Reader] = SimpleQueue()
        threads = max(1, min(task.threads(), len(left)))
        for _ in range(threads):
            readers.put(_Reader(task, opened))
        for number, counted in _in_threads(readers, threads, writer, windows, left):
            whole.add(counted)
            line = [number, counted.pixels, counted.valid, counted.hidden]
            record.write(json.dumps(line).encode() + b"\n")
            record.flush()
            pace.advance(_pixels(windows[number]))
            pace.report()
    return whole


def _in_threads(
    readers: "SimpleQueue[_Reader]",
    threads: int,
    writer: CogWriter,
    windows: Sequence[Window],
    left: Sequence[int],
) -> Iterator[tuple[int, Copied]]:
    """Yield windows in their order when they are copied; a few wait at a time."""

    def copy(window: Window) -> Copied:
        reader = readers.get()
        try:
            return reader.copy(window, writer)
        finally:
            readers.put(reader)

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[int, Future[Copied]]] = deque()
        try:
            for number in left:
                waiting.append((number, pool.submit(copy, windows[number])))
                if len(waiting) > threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Reader:
    """Files of a task, opened for one thread."""

    def __init__(self, task: Task, opened: ExitStack) -> None:
        self._task = task
        self._by_raster: dict[object, Placed] = {}
        self._groups = [(group, self._placed(group, opened)) for group in task.groups()]
        self._hidden = None
        if task.hiding is not None:
            dataset = opened.enter_context(task.hiding.raster.open(_CACHE_MIB))
            self._hidden = Placed(dataset, task.grid, nearest=True)
            opened.callback(self._hidden.close)

    def _placed(self, group: Sequence[int], opened: ExitStack) -> Placed:
        look = self._task.looks[group[0]]
        key = (look.raster, look.nodata, look.band.optional)
        if key not in self._by_raster:
            dataset = opened.enter_context(look.raster.open(_CACHE_MIB))
            placed = Placed(dataset, self._task.grid, look.nodata, look.band.optional)
            opened.callback(placed.close)
            self._by_raster[key] = placed
        return self._by_raster[key]

    def copy(self, window: Window, writer: CogWriter) -> Copied:
        """Copy one window of all bands; return what became of its pixels."""
        task = self._task
        shape = (window.height, window.width)
        inside = np.ones(shape, bool) if task.inside is None else task.inside.inside(window)
        counted = Copied(pixels=int(np.count_nonzero(inside)))
        shown = inside & ~self._hide(window, inside, counted) if counted.pixels else inside
        all_valid = shown.copy()
        for group, placed in self._groups:
            values, valid = self._read(placed, [task.looks[place] for place in group], window)
            for number, place in enumerate(group):
                all_valid &= valid[number]
                writer.write(self._stored(values[number], valid[number] & shown), window, place)
        counted.valid = int(np.count_nonzero(all_valid))
        return counted

    def _read(
        self, placed: Placed, looks: Sequence[Look], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return values and validity of bands that are read together."""
        nodata = looks[0].nodata
        reduce = first_of_valid if looks[0].band.optional else _mean_without(nodata)
        with looks[0].raster.reading():
            values, valid = placed.read(window, [look.band.index for look in looks], reduce)
        return values, valid if nodata is None else valid & (values != nodata)

    def _stored(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        pixels = self._task.pixels
        if pixels.nodata is None:
            return values.astype(pixels.dtype, copy=False)
        kept = values.astype(pixels.dtype, copy=False)
        return np.where(valid, kept, pixels.dtype.type(pixels.nodata))

    def _hide(self, window: Window, inside: np.ndarray, counted: Copied) -> np.ndarray:
        """Return which pixels are hidden, and count them by cause."""
        hidden = np.zeros(inside.shape, bool)
        hiding = self._task.hiding
        if hiding is None or self._hidden is None:
            return hidden
        last = hiding.index + LAYERS[hiding.kind]
        with hiding.raster.reading():
            codes, known = self._hidden.read(window, [*range(hiding.index, last)], _as_they_are)
        for cause in hiding.causes:
            shown = shown_by(hiding.kind, codes, cause) & known[0]
            if shown.ndim > hidden.ndim:  # (H, k, W, k): one of the smaller pixels is enough
                shown = shown.any(axis=(1, 3))
            counted.hidden[cause] = int(np.count_nonzero(shown & inside))
            hidden |= shown
        return hidden


def _as_they_are(values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values, valid


def _mean_without(nodata: float | None) -> Reducer:
    """Return what takes means without the values that are nodata by the product."""
    if nodata is None:
        return mean_of_valid
    return lambda values, valid: mean_of_valid(values, valid & (values != nodata))


def _windows(grid: Grid, shift: tuple[int, int], height: int, width: int) -> Iterator[Window]:
    """Cover a grid with windows that begin where blocks of the uncut grid do."""
    for top, rows in _parts(grid.height, shift[0], height):
        for left, columns in _parts(grid.width, shift[1], width):
            yield Window(left, top, columns, rows)


def _parts(length: int, shift: int, size: int) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < length:
        size_here = min(size - (begin + shift) % size, length - begin)
        yield begin, size_here
        begin += size_here


def _steps(look: Look, grid: Grid) -> int:
    placed = Placed(look.dataset, grid, look.nodata)
    placed.close()
    return placed.reduction


def _pixels(window: Window) -> int:
    return int(window.width * window.height)


def _done(
    record: BinaryIO, windows: Sequence[Window], task: Task, writer: CogWriter
) -> dict[int, Copied]:
    """Return what an earlier run left: windows whose line is whole and whose tiles are there."""
    found: dict[int, Copied] = {}
    place = record.tell()
    for line in record:
        entry = _entry(line, windows)
        if entry is None:
            break
        place += len(line)
        if not writer.lacks(windows[entry[0]]):
            found[entry[0]] = entry[1]
    record.seek(place)
    record.truncate()
    return found


def _entry(line: bytes, windows: Sequence[Window]) -> tuple[int, Copied] | None:
    try:
        number, pixels, valid, hidden = json.loads(line)
        counts = [number, pixels, valid, *hidden.values()]
    except (ValueError, TypeError, AttributeError):
        return None
    is_whole = line.endswith(b"\n") and all(type(count) is int for count in counts)
    if not is_whole or not 0 <= number < len(windows):
        return None
    return number, Copied(pixels, valid, dict(hidden))
