"""Write a map as a cloud-optimized GeoTIFF in one go: each tile is compressed once.

GDAL's COG driver needs the whole raster first and then reads it again for the overviews, which is
as dear as decoding the scene. Here a tile that is complete is compressed, put on a spool, and
thinned into the next level of the pyramid; at the end the spools are joined behind a header.
Memory grows with the width of the raster only, by one tile's height.

A spool holds records: row and column of the tile, then its bytes as in the file, between the size
and the last four bytes repeated. A record can be verified, so a spool is a checkpoint as well.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO

import numpy as np
import rasterio
from rasterio.windows import Window

from landcover.io.atomic import written_beside
from landcover.io.cog_header import LEADER, TILE, TRAILER, Tag, Tiles, details, header
from landcover.io.gdal_drivers import RASTER_ENV
from landcover.io.legend import LEGEND_TAG, NODATA, Legend
from landcover.io.raster import Grid
from landcover.io.run_record import recipe_tag
from landcover.io.sidecars.legend_beside import (
    metadata_item,
    remove_stale_beside,
    write_legend_beside,
)

Thinning = Callable[[np.ndarray], np.ndarray]
_KEY = struct.Struct("<II")
_LARGEST = TILE * TILE + 4096
"""Bytes of a tile that does not compress at all, generously."""
_CLASSIC_END = 1 << 32


class CogWriter:
    """Takes the pixels of uint8 bands, from several threads if need be, and becomes a COG."""

    def __init__(
        self, grid: Grid, spools: Iterator[BinaryIO], thinning: Thinning, bands: int = 1
    ) -> None:
        """Read what the first spool holds from its position on.

        Args:
            grid: where the pixels lie.
            spools: one file per level, open for reading and writing; taken as needed.
            thinning: makes a quarter (256, 256) of a tile (512, 512).
            bands: their number.
        """
        self._bands = range(bands)
        self._levels: list[_Level] = []
        for width, height in _sizes(grid.width, grid.height):
            self._levels.append(_Level(width, height, bands, next(spools), thinning))
        for level, above in zip(self._levels, self._levels[1:], strict=False):
            level.above = above
        self._levels[0].restore()

    @property
    def filled(self) -> int:
        """The number of pixels in finished tiles that are not nodata, of all bands together."""
        return self._levels[0].filled

    def lacks(self, window: Window) -> bool:
        """Return whether a pixel of this window is still needed."""
        return self._levels[0].lacks(window)

    def write(self, values: np.ndarray, window: Window) -> None:
        """Write a window, each pixel once, in any order; finished tiles are kept.

        Args:
            values: (bands, H, W); of a single band (H, W) too.
            window: where they lie.
        """
        for band, of_band in zip(self._bands, values.reshape(-1, *values.shape[-2:]), strict=True):
            self._levels[0].write(of_band, window, band)

    def finish(self, target: Path, described: list[Tag]) -> None:
        """Write the file; every pixel must have been written."""
        end = len(header(described, self._tiles(0), True)) + sum(
            level.length for level in self._levels
        )
        big = end >= _CLASSIC_END
        begin = len(header(described, self._tiles(0), big))
        with target.open("xb") as file:
            file.write(header(described, self._tiles(begin), big))
            for level in reversed(self._levels):
                level.copy_to(file)

    def _tiles(self, begin: int) -> list[Tiles]:
        """Return where the tiles of each level are, the smallest level beginning at `begin`."""
        found = []
        for level in reversed(self._levels):
            found.append(level.tiles(begin))
            begin += level.length
        return found[::-1]


@dataclass(frozen=True)
class _Piece:
    """A part of a tile that waits for the others: packed, so that wide rasters need little."""

    row: int
    column: int
    shape: tuple[int, ...]
    packed: bytes

    def put_into(self, tile: np.ndarray) -> None:
        height, width = self.shape
        pixels = np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)
        tile[self.row : self.row + height, self.column : self.column + width] = pixels


class _Level:
    """One level of the pyramid: tiles that fill, and where the finished ones are on the spool.

    The tiles of all bands are one table, that of each below that of the one before, as TIFF lists
    tiles of bands that are stored apart.
    """

    def __init__(
        self, width: int, height: int, bands: int, spool: BinaryIO, thinning: Thinning
    ) -> None:
        self.above: _Level | None = None
        self.filled = 0
        self._width, self._height = width, height
        self._spool, self._thinning = spool, thinning
        self._rows = -(-height // TILE)
        shape = (bands * self._rows, -(-width // TILE))
        self.sizes = np.zeros(shape, np.uint32)  # 0: not finished
        self._places = np.zeros(shape, np.int64)
        self._begun: dict[tuple[int, int], tuple[list[_Piece], int]] = {}
        self._lock = Lock()

    @property
    def length(self) -> int:
        """Bytes of all tiles in the file."""
        return int(self.sizes.sum(dtype=np.int64)) + self.sizes.size * (LEADER + TRAILER)

    def lacks(self, window: Window) -> bool:
        rows, columns = _tiles_of(window)
        by_band = self.sizes.reshape(-1, self._rows, self.sizes.shape[1])
        return not by_band[:, rows.start : rows.stop, columns.start : columns.stop].all()

    def write(self, values: np.ndarray, window: Window, band: int) -> None:
        rows, columns = _tiles_of(window)
        for row in rows:
            for column in columns:
                tile = self._fill(band * self._rows + row, column, values, window)
                if tile is not None:
                    self._keep(band * self._rows + row, column, tile)

    def restore(self) -> None:
        """Recover the records of the spool up to the first incomplete one; drop the rest."""
        place = self._spool.tell()
        while (found := self._record(place)) is not None:
            row, column, packed, tile = found
            self._note(row, column, tile, place, len(packed))
            self._hand_up(row, column, tile)
            place += _KEY.size + LEADER + len(packed) + TRAILER
        self._spool.seek(place)
        self._spool.truncate()

    def tiles(self, begin: int) -> Tiles:
        """Return where the tiles are in a file in which they begin at `begin`, row by row."""
        room = self.sizes.ravel().astype(np.int64) + LEADER + TRAILER
        offsets = begin + LEADER + np.cumsum(room) - room
        return Tiles(self._width, self._height, offsets, self.sizes.ravel())

    def copy_to(self, file: BinaryIO) -> None:
        for place, size in zip(self._places.flat, self.sizes.flat, strict=True):
            self._spool.seek(int(place) + _KEY.size)
            file.write(self._spool.read(LEADER + int(size) + TRAILER))

    def _fill(
        self, row: int, column: int, values: np.ndarray, window: Window
    ) -> np.ndarray | None:
        """Copy a window into a tile; return the tile if that completes it."""
        height, width = self._shape(row, column)
        top, left = row % self._rows * TILE - window.row_off, column * TILE - window.col_off
        first, start = max(-top, 0), max(-left, 0)
        part = values[max(top, 0) : top + height, max(left, 0) : left + width]
        tile = np.full((TILE, TILE), NODATA, np.uint8)
        if part.size == height * width:
            tile[:height, :width] = part
            return None if self.sizes[row, column] else tile
        piece = _Piece(first, start, part.shape, _packed(np.ascontiguousarray(part)))
        pieces = self._complete(row, column, piece, height * width)
        for known in pieces:
            known.put_into(tile)
        return tile if pieces else None

    def _complete(self, row: int, column: int, piece: "_Piece", size: int) -> list["_Piece"]:
        """Add a piece to its tile; return all if it was the last, else none."""
        with self._lock:
            if self.sizes[row, column]:
                return []
            pieces, missing = self._begun.pop((row, column), ([], size))
            pieces.append(piece)
            missing -= piece.shape[0] * piece.shape[1]
            if missing:
                self._begun[row, column] = (pieces, missing)
                return []
            return pieces

    def _keep(self, row: int, column: int, tile: np.ndarray) -> None:
        packed = _packed(tile)
        record = _KEY.pack(row, column) + struct.pack("<I", len(packed)) + packed + packed[-4:]
        with self._lock:
            place = self._spool.seek(0, os.SEEK_END)
            self._spool.write(record)
            self._spool.flush()  # to the system: what is killed now keeps it
            self._note(row, column, tile, place, len(packed))
        self._hand_up(row, column, tile)

    def _note(self, row: int, column: int, tile: np.ndarray, place: int, size: int) -> None:
        self.filled += int(np.count_nonzero(tile != NODATA))
        self._places[row, column], self.sizes[row, column] = place, size

    def _hand_up(self, row: int, column: int, tile: np.ndarray) -> None:
        """Write a tile's quarter into the level above."""
        if self.above is not None:
            height, width = (-(-side // 2) for side in self._shape(row, column))
            half = TILE // 2
            band, own_row = divmod(row, self._rows)
            window = Window(column * half, own_row * half, width, height)
            self.above.write(self._thinning(tile)[:height, :width], window, band)

    def _shape(self, row: int, column: int) -> tuple[int, int]:
        """Return how much of a tile lies inside the raster, rows and columns."""
        top = row % self._rows * TILE
        return min(TILE, self._height - top), min(TILE, self._width - column * TILE)

    def _record(self, place: int) -> tuple[int, int, bytes, np.ndarray] | None:
        """Return row, column, bytes and pixels of the tile at `place`, None if it is not whole."""
        self._spool.seek(place)
        head = self._spool.read(_KEY.size + LEADER)
        if len(head) < _KEY.size + LEADER:
            return None
        row, column, size = struct.unpack("<III", head)
        inside = row < self.sizes.shape[0] and column < self.sizes.shape[1]
        if not inside or size > _LARGEST or self.sizes[row, column]:
            return None
        body = self._spool.read(size + TRAILER)
        tile = _unpacked(body[:size])
        if tile is None or body[size:] != body[size - TRAILER : size]:
            return None
        return row, column, body[:size], tile


def mode_of_four(tile: np.ndarray) -> np.ndarray:
    """Return the most frequent code of each 2 x 2 pixels; nodata only where all four are.

    Of equally frequent codes the first in reading order is taken: it favours no class.
    """
    a, b, c, d = _four(tile)
    third = np.where((c == d) & (c != NODATA), c, NODATA)
    second = np.where(((b == c) | (b == d)) & (b != NODATA), b, third)
    frequent = np.where(((a == b) | (a == c) | (a == d)) & (a != NODATA), a, second)
    first = np.where(a != NODATA, a, np.where(b != NODATA, b, np.where(c != NODATA, c, d)))
    return np.where(frequent != NODATA, frequent, first)


def mean_of_four(tile: np.ndarray) -> np.ndarray:
    """Return the mean of each 2 x 2 pixels that are not nodata, halves rounded up."""
    four = _four(tile)
    known = four != NODATA
    total = np.where(known, four, 0).sum(axis=0, dtype=np.uint16)
    count = known.sum(axis=0, dtype=np.uint16)
    mean = (2 * total + count) // np.maximum(2 * count, 1)
    return np.where(count > 0, mean, NODATA).astype(np.uint8)


@contextmanager
def writing_cog(
    target: Path,
    grid: Grid,
    name: str | Sequence[str],
    legend: Legend | None = None,
    tags: Mapping[str, str] | None = None,
    spool: BinaryIO | None = None,
) -> Iterator[CogWriter]:
    """Write a uint8 COG with nodata 255, window by window; it appears when the block ends well.

    Args:
        target: where it appears, whole.
        grid: where its pixels lie.
        name: description of the band, or of each.
        legend: classes of a map, whose names other programs find in it and beside it; a raster of
            quantities has none, its overviews are means.
        tags: further dataset tags.
        spool: for finished tiles; those from its position on are taken over. The caller keeps it.
    """
    named = recipe_tag() | ({LEGEND_TAG: legend.to_tag()} if legend else {})
    names = (name,) if isinstance(name, str) else tuple(name)
    with rasterio.Env(**RASTER_ENV):
        described = details(
            {**(tags or {}), **named}, legend.colormap() if legend else None, names,
            metadata_item(legend) if legend else "", crs=grid.crs, transform=grid.transform,
            nodata=NODATA,
        )  # fmt: skip
    with ExitStack() as opened:

        def spools() -> Iterator[BinaryIO]:
            if spool is not None:
                yield spool
            while True:  # files without a name: nothing is left of them
                yield opened.enter_context(TemporaryFile(dir=target.parent))

        writer = CogWriter(grid, spools(), mode_of_four if legend else mean_of_four, len(names))
        yield writer
        with written_beside(target) as beside:
            writer.finish(beside, described)
            remove_stale_beside(target, has_legend=legend is not None)
        if legend is not None:
            write_legend_beside(target, legend)


def _sizes(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield width and height of each level, until one fits into a tile."""
    yield width, height
    while width > TILE or height > TILE:
        width, height = -(-width // 2), -(-height // 2)
        yield width, height


def _tiles_of(window: Window) -> tuple[range, range]:
    """Return rows and columns of the tiles that a window touches."""
    rows = range(window.row_off // TILE, -(-(window.row_off + window.height) // TILE))
    return rows, range(window.col_off // TILE, -(-(window.col_off + window.width) // TILE))


def _four(tile: np.ndarray) -> np.ndarray:
    """Return the upper left, upper right, lower left and lower right pixels: (4, H/2, W/2)."""
    return np.stack([tile[row::2, column::2] for row in (0, 1) for column in (0, 1)])


def _packed(tile: np.ndarray) -> bytes:
    # runs only: on maps and confidences no larger than full deflate, and five times as fast
    packer = zlib.compressobj(6, strategy=zlib.Z_RLE)
    return packer.compress(tile.data) + packer.flush()


def _unpacked(packed: bytes) -> np.ndarray | None:
    """Return the pixels of a tile; None if the bytes are not exactly one, checksum and all."""
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(packed, TILE * TILE + 1)
    except zlib.error:
        return None
    if not unpacker.eof or unpacker.unused_data or len(pixels) != TILE * TILE:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(TILE, TILE)
