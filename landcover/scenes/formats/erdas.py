"""ERDAS Imagine: a file may keep its pixels and overviews in others, which it names.

The tree of entries is walked before GDAL opens the file.

Source: ERDAS, "HFA file format" (Ehfa_File, Ehfa_Entry), as published with the Field Guide.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from landcover.errors import InputError

_ENTRY = struct.Struct("<IIIIII64s32s")
_MOST_ENTRIES = 200_000
_MOST_BYTES = 1 << 16
_NAMING = ("DependentFile", "RRDNamesList")


class _Entry(NamedTuple):
    following: int
    child: int
    data: int
    size: int
    name: str
    type: str


def need_own_pixels(path: Path, name: str) -> None:
    """Refuse a file whose pixels lie in another one.

    Raises:
        InputError: it names other files, or its entries are damaged.
    """
    with path.open("rb") as file:
        for entry in _entries(file, name):
            if entry.name == "ExternalRasterDMS" or entry.type == "ImgExternalRaster":
                raise InputError(
                    f"{name} keeps its pixels in another file (.ige), other files are not "
                    f"followed: gdal_translate {name} scene.tif"
                )
            if entry.name in _NAMING and _leads_elsewhere(file, entry):
                raise InputError(
                    f"{name} names a file in another folder, which is not followed: "
                    f"gdal_translate {name} scene.tif"
                )


def _entries(file: BinaryIO, name: str) -> Iterator[_Entry]:
    """Yield all entries, each once."""
    try:
        file.seek(16)
        (header,) = struct.unpack("<I", file.read(4))
        file.seek(header + 8)
        (root,) = struct.unpack("<I", file.read(4))
        waiting, seen = [root], {0}
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MOST_ENTRIES:
                raise InputError(f"{name} has more than {_MOST_ENTRIES:,} entries")
            entry = _entry(file, place)
            waiting += [entry.following, entry.child]
            yield entry
    except struct.error as error:
        raise InputError(f"{name} is no whole ERDAS Imagine file, it may be damaged") from error


def _entry(file: BinaryIO, place: int) -> _Entry:
    file.seek(place)
    following, _, _, child, data, size, name, kind = _ENTRY.unpack(file.read(_ENTRY.size))
    return _Entry(following, child, data, size, *(_text(each) for each in (name, kind)))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("latin-1")


def _leads_elsewhere(file: BinaryIO, entry: _Entry) -> bool:
    file.seek(entry.data)
    named = file.read(min(entry.size, _MOST_BYTES))
    return entry.size > _MOST_BYTES or b"/" in named or b"\\" in named
