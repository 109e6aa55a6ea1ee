"""A Shapefile or KML in a zip archive, unpacked within bounds and under names of our own.

A zip can name paths outside, and a small one can hold terabytes: only what belongs together is
unpacked, and counted while it is.
"""

import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from landcover.errors import InputError
from landcover.io.files.archives import BROKEN, copy_bounded
from landcover.io.gdal_drivers import SHAPEFILE_PARTS

MAX_BYTES = 512 * 2**20
"""Unpacked."""
_MAX_MEMBERS = 2000
_MAIN = (".shp", ".kml")


@contextmanager
def unpacked(path: Path, layer: str = "") -> Iterator[Path]:
    """Yield the path of the one Shapefile or KML of an archive, unpacked for the while.

    Args:
        path: of the zip.
        layer: name of the file to take, without its ending, where there are several; with its
            folders where that name stands twice.

    Raises:
        InputError: it is damaged, locked or too large, or does not hold one.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                main = _unpack(archive, Path(folder), path.name, layer)
        except BROKEN as error:
            raise InputError(f"{path.name} cannot be unpacked: {error}") from error
        yield main


def _unpack(archive: zipfile.ZipFile, folder: Path, name: str, layer: str) -> Path:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise InputError(f"{name} holds {len(members)} files, it may hold {_MAX_MEMBERS:,}")
    main = _main_of(members, name, layer)
    room = MAX_BYTES
    for member in _together(members, main):
        target = folder / (_plain(main) + PurePosixPath(member.filename).suffix.lower())
        with archive.open(member) as source, target.open("xb") as file:
            room -= copy_bounded(source, file, room, name)
    return folder / (_plain(main) + PurePosixPath(main.filename).suffix.lower())


def _main_of(members: list[zipfile.ZipInfo], name: str, layer: str) -> zipfile.ZipInfo:
    found = [
        member for member in members
        if _suffix(member) in _MAIN and not member.filename.startswith("__MACOSX/")
    ]  # fmt: skip
    if not found:
        raise InputError(f"{name} holds no Shapefile or KML, labels in a zip need to be one")
    stems = [PurePosixPath(member.filename).stem for member in found]
    if len(set(stems)) < len(stems):  # in folders
        stems = [_bare(member) for member in found]
    main = [m for m, stem in zip(found, stems, strict=True) if stem == layer] or found
    if len(main) == 1:
        return main[0]
    top = [member for member in main if member.filename == "doc.kml"]  # of a KMZ
    if top:
        return top[0]
    raise InputError(f"{name} holds {', '.join(stems)}: say with the input layer which to read")


def _together(members: list[zipfile.ZipInfo], main: zipfile.ZipInfo) -> Iterator[zipfile.ZipInfo]:
    """Yield a file and the parts of a Shapefile that belong to it, one of each ending."""
    yield main
    if _suffix(main) != ".shp":
        return
    parts = {_suffix(member): member for member in members if _bare(member) == _bare(main)}
    yield from (parts[ending] for ending in SHAPEFILE_PARTS if ending in parts)


def _bare(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(PurePosixPath(member.filename).suffix)


def _suffix(member: zipfile.ZipInfo) -> str:
    return "" if member.is_dir() else PurePosixPath(member.filename).suffix.lower()


def _plain(member: zipfile.ZipInfo) -> str:
    """Return a file's name without its ending, as it can be called anywhere."""
    return re.sub(r"[^\w .-]", "_", PurePosixPath(member.filename).stem)[:60] or "labels"
