"""Find and end what a geoportal started, however it came loose from its parents.

Servers, kernels, jobs and what they start inherit a variable that names their geoportal; process
groups do not suffice, because a kernel leads its own.
"""

import os
from collections.abc import Iterator, Mapping

import psutil

_GRACE_SECONDS = 5.0


def stop_marked(mark: Mapping[str, str]) -> int:
    """Stop every process that carries all these variables, and wait until they are gone.

    The calling process and its ancestors are spared.

    Args:
        mark: names and values in the environment that the process was started with.

    Returns:
        How many there were.
    """
    found = list(marked(mark))
    for process in found:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(found, timeout=_GRACE_SECONDS)
    while alive:
        for process in alive:
            _signal(process, "kill")
        psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
        alive = list(marked(mark))  # some may have started others meanwhile
    return len(found)


def marked(mark: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Yield the processes that carry these variables, but not the caller and its ancestors."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid not in spared and mark.items() <= _environment(process).items():
            yield process


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}  # gone, or another user's


def _signal(process: psutil.Process, method: str) -> None:
    try:
        getattr(process, method)()
    except psutil.NoSuchProcess:
        return  # it ended by itself
