"""How much of a folder is used, and where most of it lies: measured within bounds.

Counted is what files occupy on the disk (sparse files less than they seem), a file with several
names once. No link is followed, so nothing outside the folder is counted or even seen.
"""

import heapq
import os
import stat
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from landcover.io.files.safe_open import walk_beneath

MOST_ENTRIES = 500_000
MOST_SECONDS = 20.0
DEEPEST = 64
_BLOCK = 512  # bytes, the unit of st_blocks whatever the file system (man 2 stat)

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A file or a folder, and what it occupies.

    Attributes:
        name: its path below the measured folder.
        is_folder: whether it is a folder; its size is then that of all below it.
        size: bytes on the disk.
    """

    name: str
    is_folder: bool
    size: int


@dataclass(frozen=True)
class Usage:
    """What a folder holds.

    Attributes:
        used: bytes on the disk; of a measurement that is not whole, at least so many.
        is_whole: whether all was counted within the bounds.
        biggest: places that hold most, none inside another, the biggest first.
        is_countable: whether more time would do. If not, there are too many files and folders, or
            folders too deep in one another, and any amount may lie behind them.
    """

    used: int
    is_whole: bool
    biggest: tuple[Place, ...]
    is_countable: bool = True


def measure(
    folder: Path,
    *,
    most_entries: int = MOST_ENTRIES,
    most_seconds: float = MOST_SECONDS,
    places: int = 5,
    leave_out: Collection[str] = (),
) -> Usage:
    """Measure a folder that its user may change meanwhile.

    Args:
        folder: what is measured; it may be a link, nothing below it is followed.
        most_entries: after so many files and folders the rest is left out.
        most_seconds: after so many seconds likewise.
        places: how many of the biggest places to name.
        leave_out: names directly in the folder that are not counted.

    Raises:
        OSError: the folder itself cannot be read.
    """
    walk = _Walk(most_entries, time.monotonic() + most_seconds, places)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        walk.run(top, leave_out)
    finally:
        os.close(top)
    return walk.usage()


@dataclass
class _Walk:
    """Counts folder by folder, those nearest to the top first."""

    entries_left: int
    deadline: float
    places: int
    is_late: bool = False
    is_too_much: bool = False
    folders: dict[Parts, int] = field(default_factory=dict)
    files: list[tuple[int, Parts]] = field(default_factory=list)  # a heap of the biggest
    linked: set[tuple[int, int]] = field(default_factory=set)

    def run(self, top: int, leave_out: Collection[str]) -> None:
        waiting: deque[Parts] = deque([()])
        while waiting:
            parts = waiting.popleft()
            self.folders[parts] = 0
            for name, known in self._entries(top, parts):
                if self._is_over():
                    return
                if not parts and name in leave_out:
                    continue
                if not stat.S_ISDIR(known.st_mode):
                    self._add(parts, name, known)
                elif len(parts) < DEEPEST:
                    waiting.append((*parts, name))
                else:
                    self.is_too_much = True

    def usage(self) -> Usage:
        totals = dict(self.folders)
        for parts in sorted(totals, key=len, reverse=True):
            if parts:
                totals[parts[:-1]] += totals[parts]
        is_whole = not (self.is_late or self.is_too_much)
        sizes = {parts: (size, False) for size, parts in self.files}
        sizes |= {parts: (size, True) for parts, size in totals.items()}
        biggest = tuple(_biggest(sizes, self.places))
        return Usage(totals[()], is_whole, biggest, is_countable=not self.is_too_much)

    def _entries(self, top: int, parts: Parts) -> Iterator[tuple[str, os.stat_result]]:
        # a folder may be closed to us, be gone, or have become a link since its parent was read
        with suppress(OSError):
            descriptor = walk_beneath(top, parts, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        with suppress(OSError):
                            yield entry.name, entry.stat(follow_symlinks=False)
            finally:
                os.close(descriptor)

    def _is_over(self) -> bool:
        self.entries_left -= 1
        self.is_too_much |= self.entries_left < 0
        self.is_late = time.monotonic() > self.deadline
        return self.entries_left < 0 or self.is_late

    def _add(self, parts: Parts, name: str, known: os.stat_result) -> None:
        if known.st_nlink > 1:
            identity = (known.st_dev, known.st_ino)
            if identity in self.linked:
                return
            self.linked.add(identity)
        size = known.st_blocks * _BLOCK
        self.folders[parts] += size
        push = heapq.heappush if len(self.files) < self.places else heapq.heappushpop
        push(self.files, (size, (*parts, name)))


def _biggest(sizes: dict[Parts, tuple[int, bool]], places: int) -> Iterator[Place]:
    """Yield the biggest places; a folder gives way to what holds at least half of it."""
    heirs = {
        parts[:-1]
        for parts, (size, _) in sizes.items()
        if parts and size and 2 * size >= sizes[parts[:-1]][0]
    }
    named: list[Parts] = []
    for parts, (size, is_folder) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        is_inside = any(parts[: len(above)] == above for above in named)
        if not parts or not size or parts in heirs or is_inside:
            continue
        if len(named) == places:
            return
        named.append(parts)
        yield Place("/".join(parts), is_folder, size)
