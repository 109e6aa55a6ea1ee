"""The journal of one session: changes on the disk before anybody is told that they are saved.

One file beside the samples, one line of JSON for each stroke, synced to the disk. The session
holds a lock on it as long as it lives, by which others see that it still lives; the journal of a
session that died is taken over by whoever opens the samples next.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from landcover.errors import InputError
from sample_map.data.features import Change

ENDING = ".journal"
_NEW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_FOUND = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """One stroke: its number in the session, and what it changed."""

    number: int
    changes: tuple[Change, ...]

    @property
    def line(self) -> bytes:
        """The line of the journal."""
        content = {"number": self.number, "changes": [c.to_json() for c in self.changes]}
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class Journal:
    """The journal that a living session writes.

    Attributes:
        session: a random id, part of the file's name.
        number: of the last stroke, saved or not.
        unsaved: strokes that are not on the disk yet, because it could not be written.
    """

    def __init__(self, stem: str) -> None:
        """Begin a session.

        Args:
            stem: name of the samples' file; the journal is called after it.
        """
        self.session = uuid4().hex
        self.number = 0
        self.unsaved: list[Entry] = []
        self.name = f".{stem}.{self.session}{ENDING}"
        self._file: int | None = None
        self._entries: list[Entry] = []

    def add(self, changes: Sequence[Change]) -> None:
        """Take up the changes of a stroke, to be written by `flush`."""
        self.number += 1
        self.unsaved.append(Entry(self.number, tuple(changes)))

    def flush(self, folder: Path) -> None:
        """Write what is not on the disk yet.

        Args:
            folder: where the samples' file lies.

        Raises:
            OSError: the disk is full or gone.
        """
        if not self.unsaved:
            return
        if self._file is not None and not self._is_there(folder):
            self._lose()
        if self._file is None:
            self._file = _opened_and_locked(folder / self.name, _NEW)
            _sync_folder(folder)
        _write(self._file, b"".join(entry.line for entry in self.unsaved))
        self._entries += self.unsaved
        self.unsaved = []

    def check(self, folder: Path) -> None:
        """Look whether the journal is still where it was written.

        Raises:
            OSError: it is not; what was in it counts as unsaved from now on.
        """
        if self._file is not None and not self._is_there(folder):
            self._lose()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name)

    def forget(self, number: int) -> None:
        """Empty the journal up to a stroke, which the samples' file holds by now."""
        self._entries = [entry for entry in self._entries if entry.number > number]
        self.unsaved = [entry for entry in self.unsaved if entry.number > number]
        if self._file is not None and not self._entries:
            os.ftruncate(self._file, 0)

    def close(self, folder: Path) -> None:
        """End the session; a journal with nothing in it goes."""
        if self._file is not None and not self._entries and self._is_there(folder):
            (folder / self.name).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of the file, as the end of the process would."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lose(self) -> None:
        self.unsaved = [*self._entries, *self.unsaved]
        self._entries = []
        self.release()

    def _is_there(self, folder: Path) -> bool:
        assert self._file is not None
        with suppress(OSError):
            return os.path.samestat(os.lstat(folder / self.name), os.fstat(self._file))
        return False


@dataclass(frozen=True)
class Orphan:
    """The journal of a session that died.

    Attributes:
        session: its id.
        entries: the strokes in it.
        path: where it lies.
    """

    session: str
    entries: tuple[Entry, ...]
    path: Path


@contextmanager
def adopted(folder: Path, stem: str) -> Iterator[list[Orphan]]:
    """Lend the journals whose sessions died; they are removed if the block succeeds.

    A journal that cannot be read stays where it is, for a person to look at.
    """
    orphans, held = [], []
    try:
        for path in sorted(folder.glob(f".{_escaped(stem)}.*{ENDING}")):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
                held.append(_opened_and_locked(path, _FOUND))
                session = path.name.removeprefix(f".{stem}.").removesuffix(ENDING)
                orphans.append(Orphan(session, _read(held[-1]), path))
        yield orphans
        for orphan in orphans:
            orphan.path.unlink(missing_ok=True)
    finally:
        for descriptor in held:
            os.close(descriptor)


def _read(file: int) -> tuple[Entry, ...]:
    with os.fdopen(os.dup(file), "rb") as lines:
        lines.seek(0)
        # a line without its end was never said to be saved
        whole = [line for line in lines.read().split(b"\n")[:-1] if line]
    return tuple(_entry(json.loads(line)) for line in whole)


def _entry(found: dict[str, Any]) -> Entry:
    changes = tuple(Change.from_json(change) for change in found["changes"])
    return Entry(int(found["number"]), changes)


def _opened_and_locked(path: Path, flags: int) -> int:
    """Open a file whose lock nobody else holds.

    Raises:
        OSError: somebody holds it, or it is a link.
    """
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.lstat(path), os.fstat(descriptor)):  # removed meanwhile
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path.name)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write(file: int, content: bytes) -> None:
    """Append to a file and sync it; if that fails, leave it as it was."""
    length = os.fstat(file).st_size
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(file, content[written:], length + written)
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, length)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)
