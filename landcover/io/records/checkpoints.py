"""Files in which an interrupted run leaves what it has finished, for the next one to go on from.

They lie hidden in the folder that is written to, and that folder may be a hostile user's: they are
opened below its descriptor, following no link, and what is read from them has to be verified.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from landcover.errors import InputError


@contextmanager
def resumable(
    folder: Path, names: Sequence[str], work: Mapping[str, Any]
) -> Iterator[list[BinaryIO]]:
    """Yield files that outlive an interruption; removed when the block succeeds or is refused.

    Args:
        folder: where they lie.
        names: of the files.
        work: all that decides what is written to them, JSON; files of other work are emptied.

    Yields:
        The files, open for reading and writing, at the place where the caller's part begins.

    Raises:
        InputError: another run has them, or something else has their name.
    """
    seal = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).digest()
    with ExitStack() as opened:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        files = [opened.enter_context(_locked(directory, name)) for name in names]
        try:
            for file in files:
                _begin(file, seal)
            yield files
        except InputError:
            _remove(directory, names)
            raise
        _remove(directory, names)


def _begin(file: BinaryIO, seal: bytes) -> None:
    if file.read(len(seal)) != seal:
        file.seek(0)
        file.truncate()
        file.write(seal)
        file.flush()
    file.seek(len(seal))


def _locked(directory: int, name: str) -> BinaryIO:
    """Open a file for this run alone, or make it."""
    while True:
        file = os.fdopen(_opened(directory, name), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise InputError(
                "another run writes to this folder, wait for it or name another workdir"
            ) from error
        if _is_still(directory, name, file):
            return file
        file.close()  # the run that had it has just ended and taken it away


def _opened(directory: int, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    except OSError as error:  # a link, a folder, a socket
        raise InputError(f"{name} is in the way, remove it or name another workdir") from error
    status = os.fstat(descriptor)
    # a second name could be that of a file that must not be written
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise InputError(f"{name} is in the way, remove it or name another workdir")
    return descriptor


def _is_still(directory: int, name: str, file: BinaryIO) -> bool:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file.fileno()))


def _remove(directory: int, names: Sequence[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
