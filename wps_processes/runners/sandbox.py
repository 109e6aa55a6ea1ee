"""What the process of a job may touch: its user's folders, what is shared, and Python.

Everything in there works on files from outside; whatever a crafted one makes of the process, the
kernel keeps from it, by four walls that stand as far as the kernel has them:

- Landlock (man 7 landlock): files elsewhere, such as other users', the ledger, the hub's secrets,
  devices and other processes (Linux 5.13); cutting them short (6.2); signals to other
  processes and abstract Unix sockets (6.12).
- seccomp (`wps_processes.runners.seccomp`): sockets of every kind but pairs between its own
  processes, programs, and calls that nobody computing needs.
- a network without interfaces (`wps_processes.runners.privileges`), and a /dev/shm of its own.
- no privileges, also where the service runs as the administrator.

They do not keep from it whether a file is there, nor, without seccomp, mode, owner, times and
attributes of files that its system user owns. Landlock and privileges are of a
thread, and those that it makes: a process has one thread when it is confined.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from landlockpy import AccessFS, Ruleset, Scope, abi_version

import landcover
import wps_processes
from wps_processes.runners.privileges import drop_capabilities, leave_network
from wps_processes.runners.seccomp import filter_calls

_READ = AccessFS.READ_FILE | AccessFS.READ_DIR
_WRITE = (
    _READ
    | AccessFS.WRITE_FILE
    | AccessFS.TRUNCATE
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_DIR
    | AccessFS.MAKE_SYM
    | AccessFS.REMOVE_FILE
    | AccessFS.REMOVE_DIR
    | AccessFS.REFER
)
_SYSTEM = (
    "/bin", "/lib", "/lib64", "/usr", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd",
    "/etc/group", "/etc/nsswitch.conf", "/etc/fonts", "/sys/devices/system", "/sys/fs/cgroup",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
_OF_GPUS = ("/sys", "/proc/devices", "/proc/modules", "/proc/driver/nvidia")
_DEV = Path("/dev")
_GPUS = ("nvidia*", "dri/*", "kfd")
_COMPUTE = ("nvidia[0-9]*", "kfd")
"""Those of them that compute: NVIDIA's cards, and AMD's driver."""
_PYTHON = (sys.prefix, sys.base_prefix)
_OURS = (*landcover.__path__, *wps_processes.__path__)

_TRUNCATES, _TCP, _SCOPES = 3, 4, 6
"""Versions of Landlock."""


@dataclass(frozen=True)
class Confinement:
    """What stands around a job.

    Attributes:
        landlock: version of the kernel's Landlock, 0 if it has none.
        namespace: whether jobs have a network of their own, without interfaces.
        seccomp: whether they can make no socket.
    """

    landlock: int
    namespace: bool
    seccomp: bool

    def holes(self) -> Iterator[str]:
        """Yield what this kernel does not keep jobs from, in sentences."""
        if not self.landlock:
            yield "no Landlock: jobs are not confined to their user's folders"
        elif self.landlock < _TRUNCATES:
            yield "an early Landlock: jobs can cut short what the service's system user may write"
        if not (self.seccomp or self.namespace):
            left = "UDP and other sockets" if self.landlock >= _TCP else "all protocols"
            yield f"neither seccomp nor network namespaces: jobs reach the network by {left}"
        if not self.seccomp:
            yield "no seccomp: jobs reach Unix sockets in the file system, and set modes of files"
        if not self.namespace:
            yield "no namespaces for the service: all jobs share one /dev/shm"
        if self.landlock < _SCOPES:
            yield "no scopes of Landlock (Linux 6.12): jobs can signal the service's processes"

    def __str__(self) -> str:
        """Return what stands, in a few words."""
        named = {
            f"files by Landlock {self.landlock}": self.landlock,
            "a network without interfaces": self.namespace,
            "no sockets by seccomp": self.seccomp,
        }
        return ", ".join([*(name for name, stands in named.items() if stands), "no privileges"])


def confine(readable: Iterable[Path], writable: Iterable[Path], gpus: bool = False) -> Confinement:
    """Refuse this process all but these folders, and what the machine offers, for ever.

    Args:
        readable: besides Python's own and the system's; those that are not there are left out.
        writable: read, write, make, rename and remove.
        gpus: whether it computes on them: their devices remain, and Unix sockets, one of which
            the driver names.

    Returns:
        What stands around it now.
    """
    namespace = leave_network()
    drop_capabilities()
    landlock = abi_version_here()
    if landlock:
        _confine_to_files(readable, writable, gpus)
    return Confinement(landlock, namespace, filter_calls(gpus=gpus))


def abi_version_here() -> int:
    """Return the version of Landlock, 0 if there is none or a container's filter refuses it."""
    try:
        return int(abi_version())
    except OSError:
        return 0


@cache
def confinement_here() -> Confinement:
    """Return what would stand around a job here, as a process has found that tried it."""
    tried = subprocess.run(
        [sys.executable, "-m", "wps_processes.runners.sandbox"], stdout=subprocess.PIPE, check=True
    )
    return Confinement(**json.loads(tried.stdout))


def _confine_to_files(readable: Iterable[Path], writable: Iterable[Path], gpus: bool) -> None:
    with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
        # of processes its own: a privileged one could read the environment of others
        own = Path("/proc", str(os.getpid()))
        known = (*_SYSTEM, *_PYTHON, *_OURS, *(_OF_GPUS if gpus else ()))
        for path in (own, *map(Path, known), *readable):
            if path.exists():
                rules.allow_path(path, _READ if path.is_dir() else AccessFS.READ_FILE)
        for device in _devices(gpus):
            rules.allow_path(device, AccessFS.READ_FILE | AccessFS.WRITE_FILE)
        # the semaphores of thread pools are files there
        for path in (Path("/dev/shm"), *writable):
            rules.allow_path(path, _WRITE)
        rules.restrict()


def has_gpus() -> bool:
    """Return whether this machine has a GPU that a job could compute on."""
    return any(chain.from_iterable(map(_DEV.glob, _COMPUTE)))


def _devices(gpus: bool) -> Iterator[Path]:
    named = chain.from_iterable(map(_DEV.glob, _GPUS if gpus else ()))
    return chain((_DEV / "null",), (path for path in named if not path.is_dir()))


if __name__ == "__main__":
    print(json.dumps(asdict(confine((), ()))))
