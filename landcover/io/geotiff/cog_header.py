"""The header of a cloud-optimized GeoTIFF: all directories before all pixels.

GDAL's own writer fills a directory of one pixel, so that coordinate system, colours and tags are
encoded by GDAL alone; here it is given its true size and its overviews.

Sources: TIFF 6.0; BigTIFF (libtiff.gitlab.io/libtiff/specification/bigtiff.html); the ghost area
(gdal.org/drivers/raster/cog.html).
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rasterio.io import MemoryFile

TILE = 512
"""Side of a tile, in pixels."""
LEADER, TRAILER = 4, 4
"""Bytes around each tile that the ghost area announces: its size before, its last four after."""
_HINTS = b"""LAYOUT=IFDS_BEFORE_DATA
BLOCK_ORDER=ROW_MAJOR
BLOCK_LEADER=SIZE_AS_UINT4
BLOCK_TRAILER=LAST_4_BYTES_REPEATED
KNOWN_INCOMPATIBLE_EDITION=NO
 """  # a program that edits the file turns the blank into a note that the layout is lost
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n%b\0" % (len(_HINTS), _HINTS)

_REDUCED, _WIDTH, _HEIGHT, _METADATA = 254, 256, 257, 42112
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _COLORS = 258, 259, 262, 277, 284, 320
_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_SIZES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_PREDICTOR, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _NODATA = 317, 338, 339, 42113
# how to read the pixels; the rest describes the whole and stands once
_OF_EVERY_LEVEL = {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _COLORS, _EXTRA_SAMPLES,
                   _PREDICTOR, _SAMPLE_FORMAT, _NODATA}  # fmt: skip
_SHORT, _LONG, _LONG8 = 3, 4, 16
_BYTES = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, 12: 8, _LONG8: 8}


class Tag(NamedTuple):
    """One entry of a directory; the value is little-endian."""

    code: int
    type: int
    length: int
    value: bytes


class Tiles(NamedTuple):
    """One level of the pyramid: its size in pixels, and offset and size of its tiles in bytes.

    Tiles are row by row, band after band.
    """

    width: int
    height: int
    offsets: np.ndarray
    sizes: np.ndarray


def details(
    tags: Mapping[str, str],
    colormap: Mapping[int, Any] | None,
    descriptions: Sequence[str],
    item: str = "",
    tags_of_bands: Sequence[Mapping[str, str]] = (),
    dtype: str = "uint8",
    units: Sequence[tuple[float, float]] = (),
    **profile: Any,
) -> list[Tag]:
    """Return the tags that say what the pixels mean.

    Args:
        tags: of the dataset.
        colormap: a colour per code, RGBA.
        descriptions: names of the bands.
        item: of GDAL's metadata, as XML, which the GDAL at hand may not know to write.
        tags_of_bands: of each band, if any.
        dtype: of the pixels.
        units: scale and offset of each band, if any, as GDAL has them: scale * value + offset.
        profile: crs, transform, nodata and predictor, as rasterio takes them.
    """
    if len(descriptions) > 1:  # bands apart, which compress better; GDAL takes three for a picture
        profile |= {"interleave": "band", "photometric": "MINISBLACK"}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", dtype=dtype, count=len(descriptions), width=1, height=1,
            compress="deflate", ENDIANNESS="LITTLE", BIGTIFF="NO", **profile,
        ) as one:  # fmt: skip
            one.descriptions = descriptions
            one.update_tags(**tags)
            for index, of_band in enumerate(tags_of_bands, 1):
                one.update_tags(index, **of_band)
            if any(unit != (1.0, 0.0) for unit in units):
                one.scales, one.offsets = zip(*units, strict=True)
            if colormap is not None:
                one.write_colormap(1, colormap)
        own = {_WIDTH, _HEIGHT, _STRIP_OFFSETS, _STRIP_ROWS, _STRIP_SIZES}
        found = [tag for tag in _read_directory(bytes(memory.getbuffer())) if tag.code not in own]
    return [_with_item(tag, item) if tag.code == _METADATA else tag for tag in found]


def _with_item(metadata: Tag, item: str) -> Tag:
    """Return GDAL's metadata, an XML text that ends in a zero byte, with one more item."""
    end = b"</GDALMetadata>"
    value = metadata.value.replace(end, item.encode() + end)
    return Tag(metadata.code, metadata.type, len(value), value)


def header(described: Sequence[Tag], levels: Sequence[Tiles], big: bool) -> bytes:
    """Return all that stands before the first tile's leader.

    Its length depends on the number of tiles only, not on where they are.

    Args:
        described: what `details` returned.
        levels: from the full one to the smallest.
        big: BigTIFF, for files of 4 GiB and more.
    """
    start = (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16 + len(_GHOST))
        if big
        else (struct.pack("<2sHI", b"II", 42, 8 + len(_GHOST)))
    )
    parts = [start, _GHOST]
    at = len(start) + len(_GHOST)
    for number, level in enumerate(levels):
        tags = _of_level(described, level, number > 0, big)
        parts.append(_directory(tags, at, number == len(levels) - 1, big))
        at += len(parts[-1])
    return b"".join(parts)


def _of_level(described: Sequence[Tag], level: Tiles, reduced: bool, big: bool) -> list[Tag]:
    kept = [tag for tag in described if tag.code in _OF_EVERY_LEVEL or not reduced]
    offset = _LONG8 if big else _LONG
    own = [
        _number(_REDUCED, int(reduced)),
        _number(_WIDTH, level.width),
        _number(_HEIGHT, level.height),
        _number(_TILE_WIDTH, TILE),
        _number(_TILE_HEIGHT, TILE),
        _numbers(_TILE_OFFSETS, offset, level.offsets),
        _numbers(_TILE_SIZES, _LONG, level.sizes),
    ]
    return sorted([*kept, *own])


def _number(code: int, value: int) -> Tag:
    return Tag(code, _LONG, 1, struct.pack("<I", value))


def _numbers(code: int, type: int, values: np.ndarray) -> Tag:
    stored = values.astype(f"<u{_BYTES[type]}").tobytes()
    return Tag(code, type, values.size, stored)


def _directory(tags: Sequence[Tag], at: int, last: bool, big: bool) -> bytes:
    """Return a directory that lies at `at`, with the values that do not fit into it."""
    count, entry, pointer, room = ("<Q", "<HHQ", "<Q", 8) if big else ("<H", "<HHI", "<I", 4)
    size = struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + room) + room
    entries, values = [], b""
    for tag in tags:
        value = tag.value.ljust(room, b"\0")
        if len(value) > room:
            value = struct.pack(pointer, at + size + len(values))
            values += tag.value + bytes(-len(tag.value) % 8)
        entries.append(struct.pack(entry, tag.code, tag.type, tag.length) + value)
    values += bytes(-(size + len(values)) % 8)  # the next directory begins at an even offset
    following = 0 if last else at + size + len(values)
    return b"".join(
        [struct.pack(count, len(tags)), *entries, struct.pack(pointer, following), values]
    )


def _read_directory(file: bytes) -> list[Tag]:
    """Return the tags of a small TIFF of our own, the first directory."""
    (at,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, at)
    tags = []
    for place in range(at + 2, at + 2 + 12 * count, 12):
        code, type, number = struct.unpack_from("<HHI", file, place)
        size = number * _BYTES[type]
        (outside,) = struct.unpack_from("<I", file, place + 8)
        begin = place + 8 if size <= 4 else outside
        tags.append(Tag(code, type, number, file[begin : begin + size]))
    return tags
