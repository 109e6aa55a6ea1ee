"""How many processors this process may use."""

import os


def cores() -> int:
    """Return the number of cores this process may run on, at least 1.

    A container sees all cores of its machine: there OMP_NUM_THREADS, which libraries heed too,
    says how many are its own.
    """
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(wanted)) if wanted.isdecimal() and int(wanted) else usable
