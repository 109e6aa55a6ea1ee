"""Read small, ordinary TIFF files fast: GDAL takes longer to open one than to read it.

A folder of samples may hold tens of thousands of chips, a file each. What is read here are strips
of TIFF 6.0 (Adobe 1992), little-endian, plain or deflated, with or without the horizontal
predictor. Everything else is left to GDAL: `parse_chip` answers None.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

LARGEST_CHIP = 64 * 2**20
"""Bytes of a file that is read here."""
_TAGS = {256: "width", 257: "height", 258: "bits", 259: "compression", 273: "offsets",
         277: "bands", 278: "rows", 279: "counts", 284: "planar", 317: "predictor",
         322: "tile", 338: "extra", 339: "format", 42112: "metadata", 42113: "nodata"}  # fmt: skip
_TYPES = {2: ("s", 1), 3: ("H", 2), 4: ("I", 4)}
_WHOLE, _FLOATS = (8, 16, 32, 64), (32, 64)
_KINDS = {1: "u", 2: "i", 3: "f"}
_NONE, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946


@dataclass(frozen=True)
class Chip:
    """What a file holds.

    Attributes:
        values: (bands, H, W).
        nodata: None if it declares none.
        metadata: XML of GDAL, "" if there is none.
    """

    values: np.ndarray
    nodata: float | None
    metadata: str = ""


def parse_chip(content: bytes) -> Chip | None:
    """Read a TIFF from memory; None if it is unusual, damaged, or none at all.

    Args:
        content: the whole file.
    """
    try:
        return _parse(content)
    except (struct.error, zlib.error, ValueError, KeyError, TypeError, OverflowError):
        return None


def _parse(content: bytes) -> Chip | None:
    if content[:4] != b"II*\0":
        return None
    tags = _tags(content)
    if tags is None or "tile" in tags or any(tags.get("extra", ())):
        return None  # an extra band that is alpha makes a mask
    width, height = tags["width"][0], tags["height"][0]
    bands = tags.get("bands", (1,))[0]
    (bits,), (kind,) = set(tags["bits"]), set(tags.get("format", (1,)))
    dtype = np.dtype(f"<{_KINDS[kind]}{bits // 8}")
    predictor = tags.get("predictor", (1,))[0]
    expected = width * height * bands * dtype.itemsize
    if (
        bits not in (_FLOATS if dtype.kind == "f" else _WHOLE)
        or not 0 < expected <= LARGEST_CHIP
        or predictor not in (1, 2)
        or (predictor == 2 and dtype.kind == "f")
    ):
        return None
    chunky = tags.get("planar", (1,))[0] == 1
    across = bands if chunky else 1  # values side by side in a pixel
    row = width * across * dtype.itemsize
    strips = _strips(content, tags, row, height, 1 if chunky else bands)
    if len(strips) != expected:
        return None
    values = np.frombuffer(strips, dtype).reshape(-1, height, width, across)
    if predictor == 2:
        values = np.cumsum(values, axis=2, dtype=dtype)
    values = np.moveaxis(values[0], 2, 0) if chunky else values[..., 0]
    nodata = float(tags["nodata"]) if "nodata" in tags else None
    return Chip(values, nodata, tags.get("metadata", ""))


def _tags(content: bytes) -> dict[str, Any] | None:
    """Return the tags of the only directory; None if there is another, such as a mask."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    (another,) = struct.unpack_from("<I", content, start + 2 + 12 * count)
    if another:
        return None
    tags: dict[str, Any] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number, at = struct.unpack_from("<HHII", content, entry)
        if tag in _TAGS and number <= len(content):
            code, size = _TYPES[kind]
            place = at if number * size > 4 else entry + 8
            values = struct.unpack_from(f"<{number}{code}", content, place)
            tags[_TAGS[tag]] = values if code != "s" else values[0].rstrip(b"\0 ").decode()
    return tags


def _strips(content: bytes, tags: dict[str, Any], row: int, height: int, planes: int) -> bytes:
    """Return the bytes of all strips, one after the other."""
    offsets, counts = tags["offsets"], tags["counts"]
    rows = min(tags.get("rows", (height,))[0], height)
    full, last = rows * row, (height - 1) % rows * row + row
    wanted = ([full] * (math.ceil(height / rows) - 1) + [last]) * planes
    compression = tags.get("compression", (_NONE,))[0]
    if compression == _NONE and list(counts) == wanted:
        return b"".join(content[at : at + n] for at, n in zip(offsets, counts, strict=True))
    if compression not in (_DEFLATE, _OLD_DEFLATE):
        raise ValueError(f"compression {compression}")
    return b"".join(
        zlib.decompressobj().decompress(content[at : at + n], want)  # no bomb is larger than that
        for at, n, want in zip(offsets, counts, wanted, strict=True)
    )
