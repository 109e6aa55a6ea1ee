"""What is given to be imported: a folder, an archive, or files, as names that lead to files.

Links in folders are not followed, and only what is asked for leaves an archive.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from landcover.disk import room_on
from landcover.errors import InputError
from landcover.io.files.archives import MOST_MEMBERS, Archive, is_archive, open_archive
from landcover.io.files.plain_files import read_plain_file
from landcover.io.gdal_drivers import parts_beside
from landcover.progress import remark

_MOST_TEXT = 64 << 20
"""Bytes of a product's metadata; that of a large product has 1 MiB."""


class Delivery(Protocol):
    """Files by their names, which are relative and have `/` between their parts.

    Attributes:
        title: by which people know it.
        names: of all files, sorted.
    """

    title: str
    names: list[str]

    def path(self, name: str) -> Path:
        """Return where a file lies; one of an archive is unpacked for it."""

    def folder(self) -> Path | None:
        """Return the folder that all files lie in under their own names, if there is one."""


def text_of(delivery: Delivery, name: str) -> bytes:
    """Return the bytes of a small file.

    Raises:
        InputError: it is no plain file, or has more than 64 MiB.
    """
    return read_plain_file(delivery.path(name), _MOST_TEXT)


@contextmanager
def opened_delivery(source: Sequence[Path], scratch: Path) -> Iterator[Delivery]:
    """Open what was given: one folder, one archive, or files that belong together.

    Args:
        source: the paths.
        scratch: folder below which archives are unpacked, which the caller removes.

    Raises:
        InputError: something is missing, or several products are given at once.
    """
    for path in source:
        if not path.exists():
            raise InputError(f"{path.name} is not there", "source")
    if len(source) > 1:
        yield _Files(source)
    elif source[0].is_dir():
        yield _Folder(source[0])
    elif source[0].is_file() and is_archive(source[0]):
        with open_archive(source[0]) as archive:
            (scratch / "unpacked").mkdir()
            yield _Unpacked(source[0].name, archive, scratch / "unpacked")
    else:
        yield _Files(source)


class _Folder:
    def __init__(self, root: Path) -> None:
        self.title, self._root = root.name, root
        self.names = sorted(_files_below(root))

    def path(self, name: str) -> Path:
        return self._root / name

    def folder(self) -> Path | None:
        return self._root


class _Files:
    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = _by_name(paths) | _headers_beside(paths)
        self.title = paths[0].name if len(paths) == 1 else f"{paths[0].name} and others"
        self.names = list(self._paths)

    def path(self, name: str) -> Path:
        return self._paths[name]

    def folder(self) -> Path | None:
        return None


class _Unpacked:
    def __init__(self, title: str, archive: Archive, folder: Path) -> None:
        self.title, self._archive, self._folder = title, archive, folder
        self.names = sorted(archive.sizes)
        self._done: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        if name not in self._done:
            _need_room(self._folder, self._archive.sizes[name], name)
            # a name of our own: its ending is all that a reader may want of the archive's
            target = self._folder / f"{len(self._done)}{_ending(name)}"
            with target.open("xb") as file:
                self._archive.copy(name, file)
            self._done[name] = target
        return self._done[name]

    def folder(self) -> Path | None:
        return None


def unpack_below(delivery: Delivery, folder: str, target: Path) -> None:
    """Copy what lies below a folder of a delivery, such as a Zarr store, under its own names."""
    for name in delivery.names:
        if name.startswith(f"{folder}/") or not folder:
            place = target / PurePosixPath(name).relative_to(folder or ".")
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(delivery.path(name), place)


def _need_room(folder: Path, size: int, name: str) -> None:
    room = room_on(folder)
    if size > room:
        raise InputError(
            f"{name} unpacks to {size >> 20:,} MiB and the disk has room for {room >> 20:,}: "
            "delete what is not needed"
        )


def _by_name(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path.name} is a folder, and other paths are given beside it: import one "
                "product at a time; stack-scenes puts scenes together",
                "source",
            )
        if path.name in found:
            raise InputError(f"source names two files {path.name}, each needs another name")
        found[path.name] = path
    return found


def _headers_beside(paths: Sequence[Path]) -> dict[str, Path]:
    """Return headers of ENVI files, which are given by their data file."""
    parts = [Path(part) for path in paths for part in parts_beside(PurePosixPath(path))]
    return {part.name: part for part in parts if part.suffix == ".hdr" and part.is_file()}


def _files_below(root: Path) -> Iterator[str]:
    links = count = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        links += sum(Path(folder, name).is_symlink() for name in (*folders, *files))
        for name in files:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MOST_MEMBERS:
                raise InputError(f"{root.name} holds more than {MOST_MEMBERS:,} files")
            yield path.relative_to(root).as_posix()
    if links:
        remark(f"{links} links in {root.name} were not followed, they may lead elsewhere")


def _ending(name: str) -> str:
    ending = PurePosixPath(name).suffix.lower()
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) < 9 else ""
