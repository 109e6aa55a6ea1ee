"""Files that hold a computed part of some work: whole under their seal, or not there.

They lie hidden in the folder that is written to, and that folder may be a hostile user's: no link
is followed, and a file is believed only after its digest was found right. What was interrupted
while it wrote one leaves a draft, which nobody reads.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from landcover.errors import InputError
from landcover.io.files.atomic import written_beside

_DIGEST = hashlib.sha256().digest_size
_SIZE = 4
_MOST_TRAILER = 1 << 20
_AT_ONCE = 1 << 20


def write_sealed(path: Path, seal: str, write: Callable[[BinaryIO], list[str]]) -> None:
    """Write a file that appears whole, under a seal.

    Args:
        path: of the file.
        seal: digest of all that decides what is written.
        write: writes, and returns the remarks that belong to what it wrote.

    Raises:
        InputError: a folder has its name.
    """
    if path.is_dir() and not path.is_symlink():
        raise InputError(f"{path.name} is in the way, remove it or name another workdir")
    with written_beside(path) as beside, beside.open("x+b") as file:
        remarks = write(file)
        file.seek(0, os.SEEK_END)
        trailer = json.dumps({"seal": seal, "remarks": remarks}).encode()
        file.write(trailer + len(trailer).to_bytes(_SIZE))
        digest = _digest_of(file, file.tell())
        file.seek(0, os.SEEK_END)
        file.write(digest)


def remarks_of_sealed(path: Path, seal: str) -> list[str] | None:
    """Return the remarks of a file, None if it is not whole or was written under another seal."""
    with _opened(path) as file:
        trailer = None if file is None else _trailer(file)
    if trailer is None or trailer[0].get("seal") != seal:
        return None
    return [*map(str, trailer[0].get("remarks", []))]


@contextmanager
def open_sealed(path: Path) -> Iterator[BinaryIO]:
    """Open what `remarks_of_sealed` found whole, at its beginning."""
    with _opened(path) as file:
        if file is None:
            raise FileNotFoundError(path)
        yield file


def remove_sealed(folder: Path, name: str) -> None:
    """Remove the files of all parts of this name."""
    for found in folder.iterdir():
        if re.fullmatch(rf"\.{re.escape(name)}-\d+\.part", found.name):
            with suppress(FileNotFoundError, IsADirectoryError):
                found.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """Open a plain file; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a folder, say
        os.close(descriptor)
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _trailer(file: BinaryIO) -> tuple[dict[str, Any], int] | None:
    """Return what a file says at its end, and where that begins; None if it is not whole."""
    end = file.seek(0, os.SEEK_END) - _DIGEST
    if end < _SIZE:
        return None
    file.seek(end)
    if file.read(_DIGEST) != _digest_of(file, end):
        return None
    file.seek(end - _SIZE)
    size = int.from_bytes(file.read(_SIZE))
    if size > min(_MOST_TRAILER, end - _SIZE):
        return None
    begin = file.seek(end - _SIZE - size)
    with suppress(ValueError, RecursionError):
        said = json.loads(file.read(size))
        return (said, begin) if isinstance(said, dict) else None
    return None


def _digest_of(file: BinaryIO, size: int) -> bytes:
    """Return the digest of the first bytes of a file."""
    digest = hashlib.sha256()
    file.seek(0)
    while size and (some := file.read(min(size, _AT_ONCE))):
        digest.update(some)
        size -= len(some)
    return digest.digest()
