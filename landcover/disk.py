"""A disk that cannot be written: how it is recognised, and what is kept free for when it is full.

Two reserves are made while there is room. A SQLite database keeps free pages in itself and a long
write-ahead log, which nobody else can fill (`keep_pages`). What is written as small files has a
`Reserve`: a file that is cut by what is needed, and made whole again when there is room.

Both hold where a file is written in place (ext4, XFS, tmpfs, NFS on these); a file system that
copies on write (Btrfs, ZFS) takes new blocks for old ones, and there only the second one helps.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from landcover.errors import LandcoverError

FULL = "the disk is full: delete what is not needed, then start it again"
READ_ONLY = "the storage is read-only at the moment: start it again when that is mended"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_AS_GOOD_AS_FULL = 1 << 20
"""Bytes: GDAL hides why it could not write, and what it had begun may be removed already."""

_PAGES = 6 << 20
"""Bytes: thousands of jobs or tokens; SQLite begins its log anew after a thousand pages, 4 MiB."""


class Unwritable(LandcoverError):
    """The disk is full or read-only; the sentence says what to do."""


def room_on(folder: Path) -> int:
    """Return how many bytes may be written to the file system of a folder.

    Raises:
        OSError: the folder is not there.
    """
    known = os.statvfs(folder)
    return known.f_bavail * known.f_frsize


def is_read_only(folder: Path) -> bool:
    """Return whether nothing can be written to the file system of a folder.

    Raises:
        OSError: the folder is not there.
    """
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def why_unwritable(error: BaseException, folder: Path) -> str | None:
    """Return what to say of a failure that the disk is to blame for; None if it is not.

    Args:
        error: what was raised.
        folder: where files were written.
    """
    numbers = {each.errno for each in _causes(error) if isinstance(each, OSError)}
    if numbers & _NO_ROOM:
        return FULL
    try:
        if is_read_only(folder):
            return READ_ONLY
        return FULL if room_on(folder) < _AS_GOOD_AS_FULL else None
    except OSError:
        return None


@contextmanager
def explaining_unwritable(folder: Path) -> Iterator[None]:
    """Turn whatever fails in the block because the disk is full or read-only into a sentence.

    Raises:
        Unwritable: it is.
    """
    try:
        yield
    except LandcoverError:
        raise
    except Exception as error:  # of GDAL, OGR, Arrow ...: each has errors of its own
        sentence = why_unwritable(error, folder)
        if sentence is None:
            raise
        raise Unwritable(sentence) from error


def keep_pages(connection: sqlite3.Connection) -> None:
    """Reserve 6 MiB inside a SQLite database, to be written when the disk is full.

    For a database with a write-ahead log: it grows to this size too, and stays so long until the
    last connection is closed. On a full disk nothing happens.

    Args:
        connection: outside of a transaction.
    """
    with suppress(sqlite3.OperationalError):
        connection.execute("DROP TABLE IF EXISTS reserve")
        # committed by itself, else the pages would never reach the log
        connection.execute(f"CREATE TABLE reserve AS SELECT zeroblob({_PAGES:d}) AS room")
    with suppress(sqlite3.OperationalError):
        connection.execute("DROP TABLE IF EXISTS reserve")


def is_full_for_sqlite(error: BaseException | None) -> bool:
    """Return whether SQLite refused to write because the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


@dataclass(frozen=True)
class Reserve:
    """Room on a disk that is occupied by a file until it is needed.

    Attributes:
        file: the file; its folder is on that disk.
        size: bytes that it has when it is whole.
    """

    file: Path
    size: int = 64 << 20

    @property
    def left(self) -> int:
        """Bytes that it can still give."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def give(self, room: int) -> int:
        """Cut the file so that `room` bytes are free on the disk, as far as it can.

        Returns:
            How many bytes are free then.
        """
        lacking = room - room_on(self.file.parent)
        if lacking > 0 and self.left:
            os.truncate(self.file, max(0, self.left - lacking))
        return room_on(self.file.parent)

    def make_whole(self) -> None:
        """Occupy the room again, if at least as much is free besides."""
        missing = self.size - self.left
        if missing <= 0 or room_on(self.file.parent) < missing + self.size:
            return
        with suppress(OSError):  # others were faster
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
            finally:
                os.close(descriptor)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
