"""How many processors this process may use, and which code uses one only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Return the number of cores this process may run on, at least 1.

    A container sees all cores of its machine: there OMP_NUM_THREADS, which libraries obey too,
    says how many are its own.
    """
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(wanted)) if wanted.isdecimal() and int(wanted) else usable


@contextmanager
def one_openmp_thread() -> Iterator[None]:
    """Run the loops of scikit-learn in the block, which must be imported before, by one thread.

    Threads of OpenMP spin while they wait for one another, hundreds of times a second. Beside
    other work, two of them took fifty times the CPU time of one (benchmarks/openmp.py).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        yield


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Multiply the small matrices of the block by one thread: others would spin, as above."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
