"""A folder as a zip archive that is made while it is sent: in little memory, and no file.

Its owner may change the folder at any time. It is walked by descriptors and no link is followed;
what is no plain file, hidden, or nested too deep is left out.
"""

import io
import os
import stat
import time
import zipfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import PurePosixPath

from landcover.storage.tree import DEPTH
from wps_processes.jobs.text import storable

_BLOCK = 256 << 10
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that the format knows


class Archive:
    """The bytes of the archive, once."""

    def __init__(self, descriptor: int, name: str) -> None:
        """Archive an open folder, which is closed by `close`, under its name."""
        self._descriptor, self._name = descriptor, name
        self._blocks = self._archived()

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the blocks."""
        return self._blocks

    def close(self) -> None:
        """Close the folder, however much was sent."""
        self._blocks.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _archived(self) -> Generator[bytes, None, None]:
        written = _Written()
        with zipfile.ZipFile(written, "w") as archive:
            for name, file in _files_in(self._descriptor):
                with os.fdopen(file, "rb") as opened:
                    known = os.fstat(file)
                    entry = _entry(f"{self._name}/{name}", known)
                    with archive.open(entry, "w") as into:
                        left = known.st_size  # a file that grows is sent as it was
                        while left and (block := opened.read(min(_BLOCK, left))):
                            left -= len(block)
                            into.write(block)
                            yield written.taken()
                yield written.taken()
        yield written.taken()


class _Written(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _files_in(folder: int) -> Iterator[tuple[str, int]]:
    """Yield the plain files below a folder: name, and descriptor for the caller to close."""
    for root, folders, files, descriptor in os.fwalk(".", dir_fd=folder):
        depth = len(PurePosixPath(root).parts)
        folders[:] = [] if depth >= DEPTH else sorted(n for n in folders if n[0] != ".")
        for name in sorted(files):
            with suppress(OSError):  # gone meanwhile, or a link
                file = _opened(name, descriptor)
                if file is not None:
                    yield str(PurePosixPath(root, name)), file


def _opened(name: str, folder: int) -> int | None:
    """Return the descriptor of a plain file; None of what is hidden or something else."""
    if name.startswith("."):
        return None
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=folder)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _entry(name: str, known: os.stat_result) -> zipfile.ZipInfo:
    moment = max(time.gmtime(known.st_mtime)[:6], _EARLIEST)
    entry = zipfile.ZipInfo(storable(name), moment)
    entry.file_size = known.st_size  # whether it is of the large kind
    return entry
