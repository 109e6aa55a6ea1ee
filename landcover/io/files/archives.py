"""Zip and tar archives from outside, within bounds and without surprises in their names.

An archive can name paths outside, hold links and devices, and a small one can unpack to
terabytes. Members are listed and checked first; each is then copied under the caller's bounds.
"""

import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from landcover.errors import InputError

# RuntimeError: it asks for a password
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
MOST_MEMBERS = 20_000
MOST_BYTES = 64 << 30
"""Unpacked, of all members together."""
MOST_RATIO = 200
"""Unpacked bytes for a packed one, of archives that unpack to more than _SMALL."""
_SMALL = 256 << 20
_PART = 1 << 20
_LONGEST_NAME, _LONGEST_PART = 1000, 255
_ENCRYPTED = 0x1


class Archive(Protocol):
    """Members of an archive by their names, which are relative and plain."""

    sizes: dict[str, int]

    def copy(self, member: str, target: IO[bytes]) -> None:
        """Copy the bytes of a member."""


def copy_bounded(source: IO[bytes], target: IO[bytes], most: int, name: str) -> int:
    """Copy a file; return its bytes, which its header may tell wrongly.

    Raises:
        InputError: it has more bytes than may be.
    """
    copied = 0
    while part := source.read(_PART):
        copied += len(part)
        if copied > most:
            raise InputError(f"{name} unpacks to more than {most:,} bytes")
        target.write(part)
    return copied


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip, a tar or a compressed tar, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    return _is_zip(start) or _is_tar(start) or _is_gzip(start)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip or tar (.tar.gz too) whose members have been checked.

    Raises:
        InputError: it is damaged or locked, has too many or too large members, or one whose name
            leads elsewhere or that is no plain file.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        with _refusing_broken(path.name):
            archive = _opened(file, start)
        with archive:
            with _refusing_broken(path.name):
                checked = (_Zip if _is_zip(start) else _Tar)(archive, path)
            yield checked


def _opened(file: IO[bytes], start: bytes) -> Any:
    if _is_zip(start):
        return zipfile.ZipFile(file)
    if _is_gzip(start):
        return tarfile.open(fileobj=file, mode="r:gz")
    return tarfile.open(fileobj=file, mode="r:")


@contextmanager
def _refusing_broken(name: str) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise InputError(f"{name} cannot be unpacked, it may be damaged: {error}") from error


def _is_zip(start: bytes) -> bool:
    return start[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"


def _is_gzip(start: bytes) -> bool:
    return start[:2] == b"\x1f\x8b"


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._name = archive, path.name
        found = [m for m in archive.infolist() if not m.is_dir()]
        for member in found:
            if member.flag_bits & _ENCRYPTED:
                raise InputError(f"{self._name} is locked by a password, unpack it first")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise InputError(_no_file(self._name, member.filename))
        listed = ((m.filename, m.file_size) for m in found)
        self.sizes = _checked(listed, path)

    def copy(self, member: str, target: IO[bytes]) -> None:
        with _refusing_broken(self._name), self._archive.open(member) as source:
            copy_bounded(source, target, self.sizes[member], f"{member} in {self._name}")


class _Tar:
    def __init__(self, archive: tarfile.TarFile, path: Path) -> None:
        self._archive, self._name = archive, path.name
        self._members: dict[str, tarfile.TarInfo] = {}
        self.sizes = _checked(self._listed(), path)

    def copy(self, member: str, target: IO[bytes]) -> None:
        with _refusing_broken(self._name):
            source = self._archive.extractfile(self._members[member])
            if source is not None:  # it is a plain file
                copy_bounded(source, target, self.sizes[member], f"{member} in {self._name}")

    def _listed(self) -> Iterator[tuple[str, int]]:
        """Yield members one by one, so that the bounds end a list without an end."""
        for member in self._archive:
            if member.isdir():
                continue
            if not member.isreg():
                raise InputError(_no_file(self._name, member.name))
            name = member.name.removeprefix("./")
            self._members[name] = member
            yield name, member.size


def _no_file(archive: str, member: str) -> str:
    return f"{archive} holds {member}, which is a link or a device: unpack it and give the files"


def _checked(listed: Iterable[tuple[str, int]], path: Path) -> dict[str, int]:
    """Return sizes by name.

    Raises:
        InputError: a bound is passed, or a name is not plain or stands twice.
    """
    sizes: dict[str, int] = {}
    total = 0
    packed = max(path.stat().st_size, 1)
    for name, size in listed:
        _need_plain(name, path.name)
        if name in sizes:
            raise InputError(f"{path.name} holds {name} twice, each name may stand once")
        sizes[name] = size
        total += size
        if len(sizes) > MOST_MEMBERS:
            raise InputError(f"{path.name} holds more than {MOST_MEMBERS:,} files")
        if total > MOST_BYTES:
            raise InputError(f"{path.name} unpacks to more than {MOST_BYTES >> 30} GiB")
        if total > _SMALL and total > MOST_RATIO * packed:
            raise InputError(
                f"{path.name} unpacks to more than {MOST_RATIO} times its size, no image does "
                "that: unpack it and give the files"
            )
    return sizes


def _need_plain(name: str, archive: str) -> None:
    parts = PurePosixPath(name).parts
    plain = (
        0 < len(name) <= _LONGEST_NAME
        and not name.startswith("/")
        and not re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", name)
        and all(part not in ("", ".", "..") and len(part) <= _LONGEST_PART for part in parts)
    )
    if not plain:
        raise InputError(f"{archive} holds the name {name}, which leads elsewhere or is no name")
