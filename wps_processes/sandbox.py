"""What the process of a job may touch: its user's folders, what is shared, and Python.

Everything in there works on files from outside; whatever a crafted one makes of the process, the
kernel keeps from it, by Landlock (man 7 landlock):

- reading, writing, making and removing files elsewhere: other users' folders, the ledger, the
  hub's secrets (Linux 5.13; cutting a file short from 6.2 on);
- starting the machine's programs, and looking into other processes or their environment (5.13);
- TCP, in and out (6.7);
- signals to other processes, and abstract Unix sockets that are not its own (6.12).

It does not keep from it UDP and other sockets, Unix sockets that lie in the file system, what
changes no content (mode, owner, times and attributes of files that its system user owns, and
whether a file is there), and /dev/shm, which all jobs share because thread pools need it. Against
these, and where a kernel has no Landlock, users are kept apart by containers and their network
policies, or by system users.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from landlockpy import AccessFS, Ruleset, Scope, supported

import landcover
import wps_processes

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
_SYSTEM = ("/bin", "/lib", "/lib64", "/usr", "/etc", "/sys", "/proc/cpuinfo", "/proc/meminfo")
_PYTHON = (sys.prefix, sys.base_prefix)
_OURS = (*landcover.__path__, *wps_processes.__path__)


def is_supported() -> bool:
    """Whether this kernel can confine a process."""
    try:
        return bool(supported())
    except OSError:  # a container's filter refuses the question
        return False


def confine(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Refuse this process all but these folders, and the machine's programs, for ever.

    Args:
        readable: besides Python's own and the system's; those that are not there are left out.
        writable: read, write, make, rename and remove.
    """
    if not is_supported():
        return
    with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
        # of processes its own: a privileged one could read the environment of others
        own = Path("/proc", str(os.getpid()))
        for path in (own, *map(Path, (*_SYSTEM, *_PYTHON, *_OURS)), *readable):
            if path.exists():
                rules.allow_path(path, _READ if path.is_dir() else AccessFS.READ_FILE)
        rules.allow_path("/dev", _READ | AccessFS.WRITE_FILE)
        rules.allow_path("/dev/shm", _WRITE)  # the semaphores of thread pools are files there
        for path in writable:
            rules.allow_path(path, _WRITE)
        rules.restrict()
