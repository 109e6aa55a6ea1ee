"""How much memory a job may take on one machine, where no cgroup of its own bounds it.

Two bounds, because neither is enough: what one process may reserve (RLIMIT_DATA, man 2 setrlimit),
which the kernel keeps at once, and what all processes of a job hold, which is looked at several
times a second. Address space is not bounded: drivers of GPUs reserve more of it than there is
memory.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from landcover.operation import Needs
from wps_processes.runners.needs import MARGIN_MIB

_FOR_JOBS = 0.8
"""Of a machine's memory; the rest is for the service, users' servers and files."""

_RESERVED_MIB = 1024
"""What one process may reserve besides and not touch: stacks of threads, pools of allocators."""

_OWN = ("RssAnon:", "RssShmem:", "VmSwap:")
_SHARE = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def granted_mib(needs: Needs, at_once: int | None = None) -> int:
    """Return what a job may take on this machine, at most what there is.

    Args:
        needs: what its operation needs; the interpreter is added.
        at_once: so many jobs share the machine; a share that is larger is granted. None grants
            what is needed alone.
    """
    there = _of_this_machine_mib()
    share = int(there * _FOR_JOBS / at_once) if at_once else 0
    return min(max(needs.memory_mib + MARGIN_MIB, share), there)


def bound_data(mib: int) -> None:
    """Limit the memory of this process, and of each that it forks, to what it was granted.

    What it has already counts. Then allocations fail, in Python as MemoryError.
    """
    most = (mib + _RESERVED_MIB) << 20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def used_by_group(group: int, beyond: int = 0) -> int:
    """Return the bytes that a process group holds: memory without files, and in swap.

    Pages that several share, such as those of the server that forked them, count by shares.

    Args:
        group: its number.
        beyond: bytes; less than these are returned as an upper limit, which takes less time.
    """
    members = list(_members(group))
    most = sum(_sum(Path("/proc", member, "status"), _OWN) for member in members)
    if most <= beyond:
        return most
    # another system user's processes do not tell shares
    return sum(_sum(Path("/proc", member, "smaps_rollup"), _SHARE) for member in members) or most


def reserved_mib() -> int:
    """Return what this process has reserved."""
    return _sum(Path("/proc/self/status"), ("VmData:",)) >> 20


def _members(group: int) -> Iterator[str]:
    for name in os.listdir("/proc"):  # noqa: PTH208  # a path for each would take ten times as long
        if name.isdecimal():
            with suppress(ProcessLookupError):
                if os.getpgid(int(name)) == group:
                    yield name


def _sum(file: Path, names: tuple[str, ...]) -> int:
    """Return the bytes of some lines of a file of /proc, 0 of a process that is gone."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(names))


def _of_this_machine_mib() -> int:
    whole = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # none, or "max"
        whole = min(whole, int(_CGROUP.read_text()))
    return int(whole >> 20)
