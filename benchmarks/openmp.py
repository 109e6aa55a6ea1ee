"""What do the threads of scikit-learn's OpenMP cost where other programs run too?

    [OMP_WAIT_POLICY=passive] python -m benchmarks.openmp [BUSY ...]

Times boosting (10 rounds, 20,000 pixels of 8 classes), k-means as balance-samples runs it and the
mixtures of a model card, each with one thread and with all cores, beside so many processes that
keep a core busy (by default none, one a core, and 16). Threads spin while they wait for one
another unless the policy, which must be set before the program starts, is passive.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks import made
from landcover.cpus import cores

PIXELS, CODES = made.spectra(20_000, 0)


def boosting() -> None:
    """Boost; threads meet a hundred times a tree."""
    HistGradientBoostingClassifier(max_iter=10, early_stopping=False).fit(PIXELS, CODES)


def k_means() -> None:
    """Cluster all pixels; threads meet once an iteration."""
    KMeans(8, n_init=10, random_state=0).fit(PIXELS)


def mixtures() -> None:
    """Find the clusters of each class, which begin as those of k-means."""
    for code in np.unique(CODES):
        mixture = GaussianMixture(4, reg_covar=1e-4, max_iter=50, random_state=0, tol=0.01)
        mixture.fit(PIXELS[np.flatnonzero(code == CODES)[:2000]])


def main() -> None:
    """Print a row per load and number of threads."""
    policy = os.environ.get("OMP_WAIT_POLICY", "default")
    works = (boosting, k_means, mixtures)
    print(f"| waiting {policy}: busy processes, threads | ", end="")
    print(" | ".join(f"{work.__name__}, CPU s / s" for work in works) + " |\n|---|---|---|---|")
    for busy in [int(word) for word in sys.argv[1:]] or [0, cores(), 16]:
        for threads in (1, cores()):
            with busy_processes(busy):
                cells = [_time_of(work, threads) for work in works]
            print(f"| {busy}, {threads} | " + " | ".join(cells) + " |", flush=True)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy."""
    running = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in running:
        process.start()
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


def _time_of(work: Callable[[], None], threads: int) -> str:
    with threadpool_limits(threads, user_api="openmp"):
        spent, began = time.process_time(), time.perf_counter()
        work()
        spent, waited = time.process_time() - spent, time.perf_counter() - began
    return f"{spent:.1f} / {waited:.1f}"


if __name__ == "__main__":
    main()
