"""Write a map or a scene as a cloud-optimized GeoTIFF in one go: each tile is compressed once.

GDAL's COG driver needs the whole raster first and then reads it again for the overviews, which is
as dear as decoding the scene. Here a tile that is complete is compressed, put on a spool, and
thinned into the next level of the pyramid; at the end the spools are joined behind a header.
Parts of a tile that wait for the others lie in a file too: memory does not grow with the raster.

A spool holds records: row and column of the tile, then its bytes as in the file, between the size
and the last four bytes repeated. A record can be verified, so a spool is a checkpoint as well.

A raster may be written in parts, by several writers that each know some of its pixels: what one of
them has finished, and what waits in it for the pixels of others, is handed over to another one.
"""

import os
import struct
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

from landcover.io.files.atomic import written_beside
from landcover.io.gdal_drivers import RASTER_ENV
from landcover.io.geotiff.cog_header import LEADER, TILE, TRAILER, Tag, Tiles, details, header
from landcover.io.geotiff.pixels import CODES, Pixels
from landcover.io.legend import LEGEND_TAG, NODATA, Legend
from landcover.io.raster import Grid
from landcover.io.records.run_record import recipe_tag
from landcover.io.sidecars.legend_beside import (
    metadata_item,
    remove_stale_beside,
    write_legend_beside,
)

Thinning = Callable[[np.ndarray], np.ndarray]
_KEY = struct.Struct("<II")
_ROOM = 4096
"""Bytes by which a tile that does not compress at all may be larger than its pixels."""
_CLASSIC_END = 1 << 32
_COUNT = struct.Struct("<Q")
_HANDED = struct.Struct("<BBIIHHHHIQ")
"""Of a tile or piece: whether it is a whole tile, level, row, column; of a piece its first row and
column, height and width; size in bytes, and of a tile how many of its pixels are known."""


class CogWriter:
    """Takes the pixels of bands, from several threads if need be, and becomes a COG."""

    def __init__(
        self,
        grid: Grid,
        spools: Iterator[BinaryIO],
        thinning: Thinning,
        bands: int = 1,
        pixels: Pixels = CODES,
    ) -> None:
        """Read what the first spool holds from its position on.

        Args:
            grid: where the pixels lie.
            spools: files, open for reading and writing; taken as needed. The first one takes the
                tiles of the full size.
            thinning: makes a quarter (256, 256) of a tile (512, 512).
            bands: their number.
            pixels: how they are stored.
        """
        self._levels: list[_Level] = []
        first, waiting = next(spools), _Waiting(next(spools))
        for number, (width, height) in enumerate(_sizes(grid.width, grid.height)):
            spool = next(spools) if number else first
            self._levels.append(_Level(width, height, bands, spool, thinning, pixels, waiting))
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

    def write(self, values: np.ndarray, window: Window, first: int = 0) -> None:
        """Write a window, each pixel once, in any order; finished tiles are kept.

        Args:
            values: (bands, H, W); of a single band (H, W) too.
            window: where they lie.
            first: the band, from 0, that they begin with.
        """
        for band, of_band in enumerate(values.reshape(-1, *values.shape[-2:]), first):
            self._levels[0].write(of_band, window, band)

    def hand_over(self, file: BinaryIO) -> None:
        """Write all that was written here for another writer of the same raster to take over."""
        handed = [(n, *one) for n, level in enumerate(self._levels) for one in level.handed()]
        file.write(_COUNT.pack(len(handed)))
        for level, is_tile, place, piece, known, packed in handed:
            row, column, size = *place, len(packed)
            file.write(_HANDED.pack(is_tile, level, row, column, *piece, size, known) + packed)

    def take_over(self, file: BinaryIO) -> None:
        """Take what `hand_over` wrote there; no pixel may be written by both.

        Raises:
            ValueError: it is of another raster.
        """
        for _ in range(_COUNT.unpack(file.read(_COUNT.size))[0]):
            is_tile, number, row, column, *piece, size, known = _HANDED.unpack(
                file.read(_HANDED.size)
            )
            level = self._levels[number] if number < len(self._levels) else None
            if level is None or not level.has(row, column, size):
                raise ValueError("tiles of another raster")
            packed = file.read(size)
            if is_tile:
                level.take_tile(row, column, packed, known)
            else:
                level.take_piece(row, column, piece, packed)

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


class _Waiting:
    """Where parts of tiles wait for the others, in a file: many of a wide raster do."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = self._count = 0
        self._lock = Lock()

    def put(self, packed: bytes) -> int:
        """Keep some bytes; return where they lie."""
        with self._lock:
            place = self._end
            os.pwrite(self._file.fileno(), packed, place)
            self._end += len(packed)
            self._count += 1
        return place

    def look(self, place: int, size: int) -> bytes:
        """Return bytes that are kept."""
        return os.pread(self._file.fileno(), size, place)

    def take(self, place: int, size: int) -> bytes:
        """Return bytes that were kept, once."""
        found = self.look(place, size)
        with self._lock:
            self._count -= 1
            self._end = self._end if self._count else 0
        return found


@dataclass(frozen=True)
class _Piece:
    """A part of a tile that waits for the others: where it belongs, and where its bytes are."""

    row: int
    column: int
    shape: tuple[int, ...]
    place: int
    size: int


class _Level:
    """One level of the pyramid: tiles that fill, and where the finished ones are on the spool.

    The tiles of all bands are one table, that of each below that of the one before, as TIFF lists
    tiles of bands that are stored apart.
    """

    def __init__(
        self,
        width: int,
        height: int,
        bands: int,
        spool: BinaryIO,
        thinning: Thinning,
        pixels: Pixels,
        waiting: _Waiting,
    ) -> None:
        self.above: _Level | None = None
        self._pixels, self._waiting = pixels, waiting
        self._width, self._height = width, height
        self._spool, self._thinning = spool, thinning
        self._rows = -(-height // TILE)
        shape = (bands * self._rows, -(-width // TILE))
        self.sizes = np.zeros(shape, np.uint32)  # 0: not finished
        self._places = np.zeros(shape, np.int64)
        self._known = np.zeros(shape, np.int64)  # pixels that are not nodata
        self._begun: dict[tuple[int, int], tuple[list[_Piece], int]] = {}
        self._lock = Lock()

    @property
    def filled(self) -> int:
        """The number of pixels in finished tiles that are not nodata."""
        return int(self._known.sum())

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
            self._note(row, column, self._pixels.filled(tile), place, len(packed))
            self._hand_up(row, column, tile)
            place += _KEY.size + LEADER + len(packed) + TRAILER
        self._spool.seek(place)
        self._spool.truncate()

    def handed(self) -> Iterator[tuple[bool, tuple[int, int], tuple[int, ...], int, bytes]]:
        """Yield what is here: whether it is a tile, its place, where in the tile, known, bytes."""
        for row, column in np.argwhere(self.sizes).tolist():
            self._spool.seek(int(self._places[row, column]) + _KEY.size + LEADER)
            packed = self._spool.read(int(self.sizes[row, column]))
            yield True, (row, column), (0, 0, 0, 0), int(self._known[row, column]), packed
        for place, (pieces, _) in sorted(self._begun.items()):
            for piece in pieces:
                packed = self._waiting.look(piece.place, piece.size)
                yield False, place, (piece.row, piece.column, *piece.shape), 0, packed

    def has(self, row: int, column: int, size: int) -> bool:
        """Return whether there is such a tile, of which so many bytes can be."""
        inside = row < self.sizes.shape[0] and column < self.sizes.shape[1]
        return inside and size <= self._pixels.bytes_of_tile + _ROOM

    def take_tile(self, row: int, column: int, packed: bytes, known: int) -> None:
        """Take a tile of which others have handed up what belongs to the level above."""
        with self._lock:
            self._append(row, column, packed, known)

    def take_piece(self, row: int, column: int, piece: Sequence[int], packed: bytes) -> None:
        """Take a part of a tile: first row and column, height and width in it."""
        top, left, *shape = piece
        tile = self._joined(row, column, top, left, tuple(shape), packed)
        if tile is not None:
            self._keep(row, column, tile)

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
        tile = self._pixels.empty()
        if part.size == height * width:
            tile[:height, :width] = part
            return None if self.sizes[row, column] else tile
        return self._joined(row, column, first, start, part.shape, self._pixels.pack(part))

    def _joined(
        self, row: int, column: int, top: int, left: int, shape: tuple[int, ...], packed: bytes
    ) -> np.ndarray | None:
        """Add a packed part to its tile; return the tile if that completes it."""
        height, width = self._shape(row, column)
        piece = _Piece(top, left, shape, self._waiting.put(packed), len(packed))
        pieces = self._complete(row, column, piece, height * width)
        if not pieces:
            return None
        tile = self._pixels.empty()
        for known in pieces:
            self._put_into(tile, known)
        return tile

    def _put_into(self, tile: np.ndarray, piece: _Piece) -> None:
        height, width = piece.shape
        packed = self._waiting.take(piece.place, piece.size)
        part = tile[piece.row : piece.row + height, piece.column : piece.column + width]
        part[:] = self._pixels.unpack(packed, piece.shape)

    def _complete(self, row: int, column: int, piece: "_Piece", size: int) -> list["_Piece"]:
        """Add a piece to its tile; return all if it was the last, else none."""
        with self._lock:
            if self.sizes[row, column]:
                self._waiting.take(piece.place, 0)
                return []
            pieces, missing = self._begun.pop((row, column), ([], size))
            pieces.append(piece)
            missing -= piece.shape[0] * piece.shape[1]
            if missing:
                self._begun[row, column] = (pieces, missing)
                return []
            return pieces

    def _keep(self, row: int, column: int, tile: np.ndarray) -> None:
        packed, known = self._pixels.pack(tile), self._pixels.filled(tile)
        with self._lock:
            self._append(row, column, packed, known)
            self._spool.flush()  # to the system: what is killed now keeps it
        self._hand_up(row, column, tile)

    def _append(self, row: int, column: int, packed: bytes, known: int) -> None:
        record = _KEY.pack(row, column) + struct.pack("<I", len(packed)) + packed + packed[-4:]
        place = self._spool.seek(0, os.SEEK_END)
        self._spool.write(record)
        self._note(row, column, known, place, len(packed))

    def _note(self, row: int, column: int, known: int, place: int, size: int) -> None:
        self._known[row, column] = known
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
        largest = self._pixels.bytes_of_tile + _ROOM
        if not inside or size > largest or self.sizes[row, column]:
            return None
        body = self._spool.read(size + TRAILER)
        tile = self._pixels.unpack(body[:size], (TILE, TILE))
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


def mean_of_known(pixels: Pixels) -> Thinning:
    """Return what takes the mean of each 2 x 2 pixels of a scene that are not nodata."""

    def mean(tile: np.ndarray) -> np.ndarray:
        four = _four(tile)
        known = pixels.known(four)
        count = known.sum(axis=0)
        total = np.where(known, four, 0).sum(axis=0, dtype=np.float64)
        means = total / np.maximum(count, 1)
        rounded = means if pixels.dtype.kind == "f" else np.rint(means)
        nothing = pixels.empty()[::2, ::2]
        return np.where(count > 0, rounded.astype(pixels.dtype), nothing)

    return mean


@contextmanager
def writing_scene(
    target: Path,
    grid: Grid,
    bands: Sequence[tuple[str, Mapping[str, str]]],
    pixels: Pixels,
    tags: Mapping[str, str],
    spool: BinaryIO | None,
    units: Sequence[tuple[float, float]] = (),
) -> Iterator[CogWriter]:
    """Write a scene as a COG, window by window; it appears when the block ends well.

    Args:
        target: where it appears, whole.
        grid: where its pixels lie.
        bands: name and tags of each.
        pixels: how they are stored.
        tags: of the dataset.
        spool: for finished tiles; those from its position on are taken over. The caller keeps it.
            None is a file without a name.
        units: scale and offset of each band, if any.
    """
    with rasterio.Env(**RASTER_ENV):
        described = details(
            {**tags, **recipe_tag()}, None, [name for name, _ in bands],
            tags_of_bands=[own for _, own in bands], units=units, dtype=pixels.dtype.name,
            predictor=pixels.predictor, crs=grid.crs, transform=grid.transform,
            nodata=pixels.nodata,
        )  # fmt: skip
    with ExitStack() as opened:
        spools = _spools(spool, target.parent, opened)
        writer = CogWriter(grid, spools, _thinning(False, pixels), len(bands), pixels)
        yield writer
        with written_beside(target) as beside:
            writer.finish(beside, described)
            remove_stale_beside(target, has_legend=False)


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
        spools = _spools(spool, target.parent, opened)
        thinning = _thinning(legend is not None, CODES)
        writer = CogWriter(grid, spools, thinning, len(names))
        yield writer
        with written_beside(target) as beside:
            writer.finish(beside, described)
            remove_stale_beside(target, has_legend=legend is not None)
        if legend is not None:
            write_legend_beside(target, legend)


@contextmanager
def writing_part(
    folder: Path, grid: Grid, is_map: bool, bands: int = 1, pixels: Pixels = CODES
) -> Iterator[CogWriter]:
    """Write some pixels of what `writing_cog` or `writing_scene` writes, to be handed over.

    Args:
        folder: for files without a name.
        grid: of the whole.
        is_map: whether they are classes.
        bands: of the whole.
        pixels: how they are stored.
    """
    thinning = _thinning(is_map, pixels)
    with ExitStack() as opened:
        yield CogWriter(grid, _spools(None, folder, opened), thinning, bands, pixels)


def _thinning(is_map: bool, pixels: Pixels) -> Thinning:
    """Return what makes the overviews of a map, of quantities in bytes, or of a scene."""
    if is_map:
        return mode_of_four
    return mean_of_four if pixels is CODES else mean_of_known(pixels)


def _spools(spool: BinaryIO | None, folder: Path, opened: ExitStack) -> Iterator[BinaryIO]:
    """Yield the spool that is given, then files without a name: nothing is left of them."""
    if spool is not None:
        yield spool
    while True:
        yield opened.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115


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
