"""`python -m benchmarks.workers [SIDE [ROUNDS]]`: one worker, two, and sixteen in virtual time.

Two workers can be no better than two busy loops on the same machine in the same minute, each in a
session of its own: that is what their speed-up is divided by. Sixteen are simulated, from the CPU
seconds that each part, the dispatching and the joining took when one process did it all.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # of a worker; before anything reads it

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from heapq import heapreplace
from pathlib import Path
from typing import Any

from landcover.executors.workers import ForkedWorkers

SIDE = 4096
TILE = 10980
ROUNDS = 3
LOOPS = 8_000_000
WORKERS = 16
DEPTH = 12


class Measured(Executor):
    """Computes here, and notes the CPU seconds of each part and of what a process reads once."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.parts: list[float] = []
        self.reading = 0.0
        self.first = self.last = 0.0

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """Call it now."""
        from landcover.inference import map_parts

        start = time.process_time()
        self.first = self.first or start
        map_parts._known(args[0].work)
        began = time.process_time()
        self.reading += began - start
        future: Future[Any] = Future()
        future.set_result(function(*args, **named))
        self.last = time.process_time()
        self.parts.append(self.last - began)
        return future


def busy(loops: int = LOOPS) -> int:
    """Compute something for a second or so."""
    total = 0
    for number in range(loops):
        total += number & 3
    return total


def finished(parts: list[float], workers: int, reading: float) -> float:
    """Return when so many workers have computed parts, each taking the next one when free."""
    free = [reading] * workers
    for part in parts:
        heapreplace(free, free[0] + part)
    return max(free)


def main() -> None:
    """Print two tables."""
    given = [*map(int, sys.argv[1:])]
    side, rounds = given + [SIDE, ROUNDS][len(given) :]
    pools = {count: ForkedWorkers(count) for count in (1, 2)}  # before anything computes
    with tempfile.TemporaryDirectory() as folder_name, pools[1], pools[2]:
        folder = Path(folder_name)
        scene = _made(folder, side)
        _one_and_two(scene, folder, pools, rounds)
        _sixteen(scene, folder, side)


def _made(folder: Path, side: int) -> Path:
    from sklearn.ensemble import RandomForestClassifier

    from benchmarks import forests, made

    forest = RandomForestClassifier(100, max_depth=DEPTH, random_state=0, n_jobs=1)
    forest.fit(*made.spectra(20_000, 1))
    made.model(folder / "model.onnx", forests.of_sklearn(forest))
    return made.spectral_scene(folder / "scene.tif", side)


def _classify(scene: Path, folder: Path, executor: Executor) -> float:
    """Return the seconds that it took."""
    from landcover import classify_scene

    start = time.monotonic()
    classify_scene(
        scene, scene.with_name("model.onnx"), radiometry="ignore", workdir=folder,
        overwrite=True, executor=executor,
    )  # fmt: skip
    return time.monotonic() - start


def _one_and_two(scene: Path, folder: Path, pools: dict[int, ForkedWorkers], rounds: int) -> None:
    print("| round | loops, 1 -> 2 | workers, 1 -> 2 | of what there was | CPU of 2 / of 1 |")
    print("|---|---|---|---|---|")
    found = []
    for number in range(rounds):
        loops = {count: _seconds_of_loops(pool, count) for count, pool in pools.items()}
        taken = {count: _parts_alone(scene, folder, pool) for count, pool in pools.items()}
        again = {count: _seconds_of_loops(pool, count) for count, pool in pools.items()}
        possible = 2 * (loops[1] + again[1]) / (loops[2] + again[2])
        reached, cpu = (taken[1][n] / taken[2][n] for n in (0, 1))
        found.append(reached / possible)
        figures = (possible, reached, found[-1], 1 / cpu)
        print(f"| {number + 1} | {' | '.join(f'{one:.2f}' for one in figures)} |", flush=True)
    if found:
        print(f"\nmedian {statistics.median(found):.2f}\n")


def _seconds_of_loops(pool: ForkedWorkers, count: int) -> float:
    start = time.monotonic()
    for future in [pool.submit(busy) for _ in range(count)]:
        future.result()
    return time.monotonic() - start


def _parts_alone(scene: Path, folder: Path, pool: ForkedWorkers) -> tuple[float, float]:
    """Return seconds from the first part to the last one, and CPU seconds of the workers."""
    timed = _Timed(pool)
    before = _cpu_of(pool)
    _classify(scene, folder / "out", timed)
    return timed.last - timed.first, _cpu_of(pool) - before


class _Timed(Executor):
    """Notes when the first part is submitted and the last one has ended."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self.first = self.last = 0.0

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        self.first = self.first or time.monotonic()
        future = self._pool.submit(function, *args, **named)
        future.add_done_callback(lambda _: setattr(self, "last", time.monotonic()))
        return future


def _cpu_of(pool: ForkedWorkers) -> float:
    """Return the CPU seconds of all workers so far."""
    asked = [pool.submit(_own_cpu) for _ in range(pool.count)]
    return sum(dict(one.result() for one in asked).values())


def _own_cpu() -> tuple[int, float]:
    time.sleep(0.2)  # so that each worker is asked
    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), used.ru_utime + used.ru_stime


def _sixteen(scene: Path, folder: Path, side: int) -> None:
    measured = Measured()
    start = time.process_time()
    _classify(scene, folder / "out", measured)
    before, after = measured.first - start, time.process_time() - measured.last
    scale = (TILE / side) ** 2
    parts, joining = _of_a_tile(measured.parts), after * scale
    one = sum(parts) + measured.reading + joining
    many = finished(parts, WORKERS, measured.reading) + joining
    mean = statistics.mean(measured.parts)
    print(
        f"measured, {side}²: {len(measured.parts)} parts of {mean:.2f} CPU s, model read in "
        f"{measured.reading:.2f}, joined in {after:.2f}, before the first part {before:.2f}"
    )
    print(
        f"simulated, {TILE}²: {len(parts)} parts on {WORKERS} workers, reading and joining "
        f"included: {one / many:.1f}x; with all that comes before the first part "
        f"{(one + before) / (many + before):.1f}x"
    )


def _of_a_tile(measured: list[float]) -> list[float]:
    """Return the seconds of the parts of a tile, row by row; those at its end are smaller."""
    from landcover.inference.map_parts import SIDE as SIDE_OF_PART

    whole, rest = divmod(TILE, SIDE_OF_PART)
    sides = [1.0] * whole + [rest / SIDE_OF_PART]
    shares = [high * wide for high in sides for wide in sides]
    return [share * measured[n % len(measured)] for n, share in enumerate(shares)]


if __name__ == "__main__":
    main()
