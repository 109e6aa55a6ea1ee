"""How pixels become the bytes of a TIFF's tile, and these become pixels again.

Sources: TIFF 6.0, section 14 (differencing predictor); Adobe Photoshop TIFF technical note 3
(floating point predictor).
"""

import zlib
from dataclasses import dataclass

import numpy as np

from landcover.io.geotiff.cog_header import TILE
from landcover.io.legend import NODATA


@dataclass(frozen=True)
class Pixels:
    """How the pixels of all bands are stored.

    Attributes:
        dtype: little-endian.
        nodata: of every band; None if there is none.
        predictor: of TIFF; 1 none, 2 differences of integers, 3 those of the bytes of floats.
    """

    dtype: np.dtype
    nodata: float | None
    predictor: int = 1

    @classmethod
    def of_scene(cls, dtype: np.dtype | str, nodata: float | None) -> "Pixels":
        """Return how quantities of a dtype are stored, which seldom repeat."""
        given = np.dtype(dtype).newbyteorder("<")
        return cls(given, nodata, 3 if given.kind == "f" else 2)

    @property
    def bytes_of_tile(self) -> int:
        """Bytes of a tile before it is compressed."""
        return TILE * TILE * self.dtype.itemsize

    def empty(self) -> np.ndarray:
        """Return a tile of nodata, or of 0 where there is none."""
        return np.full((TILE, TILE), 0 if self.nodata is None else self.nodata, self.dtype)

    def filled(self, tile: np.ndarray) -> int:
        """Return how many pixels are not nodata."""
        return tile.size if self.nodata is None else int(np.count_nonzero(self.known(tile)))

    def known(self, values: np.ndarray) -> np.ndarray:
        """Return which values are not nodata."""
        if self.nodata is None:
            return np.ones(values.shape, bool)
        return np.asarray(~np.isnan(values) if np.isnan(self.nodata) else values != self.nodata)

    def pack(self, tile: np.ndarray) -> bytes:
        """Compress a tile, or a part of one."""
        stored = self._differences(tile)
        # runs only: no larger than full deflate, and five times as fast, on codes and differences
        strategy = zlib.Z_RLE
        if self.predictor != 1 and _rows_repeat(stored):
            strategy = zlib.Z_DEFAULT_STRATEGY
        packer = zlib.compressobj(6 if strategy == zlib.Z_RLE else 1, strategy=strategy)
        return packer.compress(stored.data) + packer.flush()

    def unpack(self, packed: bytes, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the pixels; None if the bytes are not exactly these, checksum and all."""
        size = int(np.prod(shape)) * self.dtype.itemsize
        unpacker = zlib.decompressobj()
        try:
            pixels = unpacker.decompress(packed, size + 1)
        except zlib.error:
            return None
        if not unpacker.eof or unpacker.unused_data or len(pixels) != size:
            return None
        return self._summed(pixels, shape)

    def _differences(self, tile: np.ndarray) -> np.ndarray:
        """Return what is compressed: of a predictor, what each pixel adds to its left one."""
        stored = np.ascontiguousarray(tile, self.dtype)
        if self.predictor == 1:
            return stored
        rows = self._as_integers(stored)
        return np.diff(rows, axis=1, prepend=rows.dtype.type(0))

    def _as_integers(self, stored: np.ndarray) -> np.ndarray:
        """Return rows of what differs little from its neighbour, unsigned."""
        if self.predictor == 2:
            return stored.view(f"<u{self.dtype.itemsize}")
        octets = stored.view(np.uint8).reshape(*stored.shape, self.dtype.itemsize)
        # the first bytes of all numbers of a row, then their second ones ...
        return np.ascontiguousarray(octets[..., ::-1].swapaxes(1, 2)).reshape(len(stored), -1)

    def _summed(self, pixels: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """Undo `_differences`."""
        if self.predictor == 1:
            return np.frombuffer(pixels, self.dtype).reshape(shape)
        if self.predictor == 2:
            rows = np.frombuffer(pixels, f"<u{self.dtype.itemsize}").reshape(shape)
            return np.cumsum(rows, axis=1, dtype=rows.dtype).view(self.dtype)
        rows = np.frombuffer(pixels, np.uint8).reshape(shape[0], -1)
        octets = np.cumsum(rows, axis=1, dtype=np.uint8).reshape(shape[0], -1, shape[1])
        turned = np.ascontiguousarray(octets.swapaxes(1, 2)[..., ::-1])
        return turned.view(self.dtype).reshape(shape)


def _rows_repeat(stored: np.ndarray) -> bool:
    """Return whether a third of the rows is that above, as where larger pixels were repeated."""
    same = (stored[1:] == stored[:-1]).all(axis=1)
    return bool(3 * np.count_nonzero(same) > len(stored))


CODES = Pixels(np.dtype("uint8"), NODATA)
"""Of maps and confidences."""
