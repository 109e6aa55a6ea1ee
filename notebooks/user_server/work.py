"""What runs in a user's server outside of kernels, and must not be taken away.

Only the server itself can know: Jupyter's API tells which kernels are busy, and of terminals
only that they are there.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

_OWN = ("JUPYTERHUB_SERVICE_PREFIX", "GEOPORTAL_INSTANCE")
"""By these variables everything is known that was started from this server."""


@dataclass(frozen=True)
class Shell:
    """The program of a terminal.

    Attributes:
        pid: its process.
        program: what was started in it, as a name or a path.
    """

    pid: int
    program: str


@dataclass(frozen=True)
class Work:
    """What runs now.

    Attributes:
        terminals: how many terminals do more than wait for a command.
        loose: how many processes have outlived what started them (nohup, tmux).
    """

    terminals: int
    loose: int


def work_of(shells: Iterable[Shell], environment: Mapping[str, str]) -> Work:
    """Look at the processes of the server that calls.

    Args:
        shells: of its terminals.
        environment: what it was started with; without a hub nothing counts as loose.
    """
    marks = {name: environment[name] for name in _OWN if name in environment}
    loose = sum(1 for _ in _loose(marks)) if _OWN[0] in marks else 0
    return Work(sum(_is_at_work(shell) for shell in shells), loose)


def _is_at_work(shell: Shell) -> bool:
    try:
        process = psutil.Process(shell.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return any(map(_is_alive, process.children())) or _gave_way(process, shell.program)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # another user's, by sudo: something that we do not see


def _gave_way(process: psutil.Process, program: str) -> bool:
    """Return whether another program has taken the place of the shell (exec)."""
    found = shutil.which(program)
    return found is None or Path(process.exe()) != Path(found).resolve()


def _loose(marks: Mapping[str, str]) -> Iterator[psutil.Process]:
    server = psutil.Process()
    family = {server, *server.parents(), *server.children(recursive=True)}
    for process in psutil.process_iter():
        is_ours = process not in family and marks.items() <= _environment(process).items()
        if is_ours and _is_alive(process) and not _is_newly_below(process, server):
            yield process


def _is_newly_below(process: psutil.Process, server: psutil.Process) -> bool:
    """Return whether a process was started by the server while the others were looked at."""
    try:
        return server in process.parents()
    except psutil.NoSuchProcess:
        return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}  # gone, or another user's


def own_environment() -> dict[str, str]:
    """Return the variables of this process that `work_of` looks at."""
    return {name: os.environ[name] for name in _OWN if name in os.environ}
