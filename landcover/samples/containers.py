"""Containers of samples: a .npy of many chips, or a GeoTIFF of one, in a samples folder.

They may hold more than fits in memory, so they are written and read in parts. And they may come
from somebody else: nothing is unpickled, and no link in the folder is followed out of it.
"""

import errno
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.safe_open import open_beneath
from landcover.io.geotiff.chip_tiff import LARGEST_CHIP, Chip, parse_chip
from landcover.io.raster import open_raster, read_valid
from landcover.samples.chip_bands import ChipBands, indexes_of, look_at, said_in
from landcover.samples.labels import NO_FEATURE

_BATCH = 32 * 2**20
"""Bytes of chips read at a time, and of the number that each of their pixels has for its place."""
_LARGEST_INDEX = 2**31 - 1
"""Of features, rows and columns."""
COMPANIONS = (".origin.npy", ".mask.npy", ".place.npy", ".valid.npy")
"""Endings of the files that stand beside a container and are none."""
UNLABELLED = 255
"""In masks."""
PATCHES = "patches"
"""The folder of patches."""
MIXED = 0
"""In place of the code of a class: a container of patches, whose masks tell it."""


@dataclass(frozen=True)
class Container:
    """One file of samples of one class, or of patches.

    Attributes:
        root: the samples folder.
        file: its path relative to the samples folder.
        code: legend code of the class; 0 for patches, whose masks tell the class of each pixel.
        count: number of samples.
        at_once: number of samples that fit a batch.
        nodata: value of invalid pixels, None if there is none.
        chip_bands: what all GeoTIFFs of the folder say of their bands; None for a .npy.
    """

    root: Path
    file: str
    code: int
    count: int
    at_once: int
    nodata: float | None
    chip_bands: ChipBands | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.count

    @property
    def chips(self) -> np.ndarray:
        """All chips (N, bands, H, W) in the scene's dtype, row 0 north; read anew each time."""
        return self.read(0, self.count)[0]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return chips (n, bands, H, W) of some samples, and which pixels are valid (n, H, W).

        A pixel is invalid by its value, or by 0 in the companion `.valid.npy`.

        Raises:
            InputError: the file or its companion is invalid.
        """
        if self._is_raster:
            return self._read_raster()
        with _opening_array(self.root, self.file) as array:
            _need_four_axes(self.file, array.shape)
            chips = array.read(start, stop)
        valid = valid_pixels(chips, self.nodata)
        told = self._companion(".valid.npy", (self.count, *chips.shape[2:]), start, stop)
        return chips, valid if told is None else valid & (told != 0)

    def origin(self, start: int, stop: int) -> np.ndarray | None:
        """Return int32 (n, 3): source feature (-1: none), row and column of the centre pixel.

        The centre pixel of a chip is the one at (H // 2, W // 2). None where it is not known.
        """
        if self._is_raster:
            with _opened_raster(self.root, self.file) as dataset:
                return _place(dataset)
        origin = self._companion(".origin.npy", (self.count, 3), start, stop)
        if origin is not None:
            self._need_between(origin[:, :1], NO_FEATURE, _LARGEST_INDEX, ".origin.npy")
            self._need_between(origin[:, 1:], -_LARGEST_INDEX, _LARGEST_INDEX, ".origin.npy")
        return origin

    def mask(self, start: int, stop: int, chip: tuple[int, int]) -> np.ndarray | None:
        """Return uint8 (n, H, W), the code of every pixel of chips of this height and width.

        255 is unlabelled. None where every chip has one class.
        """
        if self._is_raster:
            return None
        return self._companion(".mask.npy", (self.count, *chip), start, stop)

    def place(self, start: int, stop: int, chip: tuple[int, int]) -> np.ndarray | None:
        """Return int (n, H, W), the source feature of every pixel of chips of this shape.

        -1 is none. None where it is not known.
        """
        if self._is_raster:
            return None
        place = self._companion(".place.npy", (self.count, *chip), start, stop)
        if place is not None:
            self._need_between(place, NO_FEATURE, _LARGEST_INDEX, ".place.npy")
        return place

    @property
    def _is_raster(self) -> bool:
        return is_raster(self.file)

    def _companion(
        self, suffix: str, shape: tuple[int, ...], start: int, stop: int
    ) -> np.ndarray | None:
        file = self.file.removesuffix(".npy") + suffix
        try:
            with _opening_array(self.root, file) as array:
                if array.shape != shape or array.dtype.kind not in "iu":
                    raise InputError(
                        f"{file} holds {array.dtype} of the shape {array.shape}, needs whole "
                        f"numbers of the shape {shape}"
                    )
                return array.read(start, stop)
        except FileNotFoundError:
            return None

    def _need_between(self, values: np.ndarray, low: int, high: int, suffix: str) -> None:
        strange = values[(values < low) | (values > high)]
        if strange.size:
            file = self.file.removesuffix(".npy") + suffix
            raise InputError(f"{file} holds {strange[0]}, needs {low} to {high}")

    def _read_raster(self) -> tuple[np.ndarray, np.ndarray]:
        expected = self.chip_bands or ChipBands()
        chip = _parsed(self.root, self.file)
        if chip is not None and said_in(chip.metadata) == expected.said:
            values, valid = chip.values, valid_pixels(chip.values, chip.nodata)
        else:
            with _opened_raster(self.root, self.file) as dataset:
                window = Window(0, 0, dataset.width, dataset.height)
                indexes = indexes_of(dataset, expected.skips_alpha)
                values, valid = read_valid(dataset, window, indexes)
                own = ChipBands.of(dataset, expected.skips_alpha)
            if len(own.bands) == len(expected.bands):  # else their number is refused
                expected.check(own, self.file)
        valid = valid & valid_pixels(values, self.nodata)
        return values[None], valid[None]


def is_raster(file: str) -> bool:
    """Return whether a container is a GeoTIFF by its name."""
    return file.endswith(".tif")


def look_at_rasters(root: Path, files: Sequence[str]) -> ChipBands:
    """Return what the GeoTIFFs of a samples folder say of their bands.

    Raises:
        InputError: one that is looked at cannot be read.
    """

    def metadata_of(file: str) -> str | None:
        chip = _parsed(root, file)
        return None if chip is None else chip.metadata

    return look_at(files, partial(_opened_raster, root), metadata_of)


def _parsed(root: Path, file: str) -> Chip | None:
    """Read a GeoTIFF without GDAL if it is an ordinary one."""
    try:
        with opened_beneath(root, file) as handle:
            return parse_chip(handle.read(LARGEST_CHIP))
    except FileNotFoundError as error:
        raise InputError(f"{file} is a link to nowhere") from error


@contextmanager
def _opened_raster(root: Path, file: str) -> Iterator[DatasetReader]:
    try:
        with (
            opened_beneath(root, file) as handle,
            open_raster(f"/proc/self/fd/{handle.fileno()}") as dataset,
        ):
            yield dataset
    except FileNotFoundError as error:
        raise InputError(f"{file} is a link to nowhere") from error
    except InputError as error:
        raise InputError(f"{file} cannot be read as GeoTIFF") from error


def open_container(
    root: Path, file: str, code: int, nodata: float | None, chip_bands: ChipBands | None = None
) -> Container:
    """Inspect a container of a samples folder.

    Raises:
        InputError: a .npy is invalid; a GeoTIFF is opened with its chip.
    """
    if is_raster(file):
        return Container(root, file, code, 1, 1, nodata, chip_bands)
    try:
        with _opening_array(root, file) as array:
            _need_four_axes(file, array.shape)
            count = array.shape[0]
            place_bytes = 8 * math.prod(array.shape[2:])
            at_once = max(1, _BATCH // max(array.row_bytes, place_bytes))
    except FileNotFoundError as error:
        raise InputError(f"{file} is a link to nowhere") from error
    return Container(root, file, code, count, at_once, nodata)


def valid_pixels(chips: np.ndarray, nodata: float | None) -> np.ndarray:
    """Return which pixels of chips (..., bands, H, W) are valid: bool (..., H, W)."""
    valid = np.ones((*chips.shape[:-3], *chips.shape[-2:]), bool)
    if np.issubdtype(chips.dtype, np.floating):
        valid &= np.isfinite(chips).all(axis=-3)
    if nodata is not None:
        with np.errstate(over="ignore"):  # it may be more than the dtype can hold
            valid &= (chips != nodata).all(axis=-3)
    return valid


class GrowingArray:
    """A .npy that grows along its first axis: numpy's headers leave room for its length.

    The file is open while rows are written only: there may be more of them than a process may
    hold open.
    """

    def __init__(self, path: Path) -> None:
        """Name the file, which the first rows make."""
        self._path = path
        self._shape: tuple[int, ...] = (0,)
        self._dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._shape[0]

    def append(self, rows: np.ndarray) -> None:
        """Write more rows, of the shape and dtype of the first."""
        if not len(rows):
            return
        if not len(self):
            self._shape, self._dtype = (0, *rows.shape[1:]), rows.dtype
            with self._path.open("xb") as file:
                self._write_header(file)
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows).data)
        self._shape = (self._shape[0] + len(rows), *self._shape[1:])

    def close(self) -> None:
        """Write the length into the header."""
        if len(self):
            with self._path.open("r+b") as file:
                self._write_header(file)

    def _write_header(self, file: BinaryIO) -> None:
        described = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": described, "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(file, header)


@dataclass(frozen=True)
class _Array:
    """An open .npy of numbers in C order, as long as its header says."""

    file: BinaryIO
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """The size of what lies at one index of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start to stop."""
        self.file.seek(start * self.row_bytes, os.SEEK_CUR)
        content = self.file.read((stop - start) * self.row_bytes)
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])


@contextmanager
def _opening_array(root: Path, name: str) -> Iterator[_Array]:
    """Open a .npy without pickle.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is something else.
    """
    with opened_beneath(root, name) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran_order, dtype = read_header(file)
        except Exception as error:  # numpy evaluates the header, and raises whatever comes of it
            raise InputError(f"{name} is no .npy file") from error
        if dtype.hasobject or dtype.kind not in "iuf":
            raise InputError(f"{name} holds {dtype}, needs numbers")
        if fortran_order and len(shape) > 1:
            raise InputError(f"{name} is in Fortran order, needs C order")
        expected = file.tell() + math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or expected != os.fstat(file.fileno()).st_size:
            raise InputError(f"{name} is truncated or longer than its header says")
        yield _Array(file, shape, dtype)


@contextmanager
def opened_beneath(root: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file of the folder for reading; no link leads out of it."""
    with folder_descriptor(root) as folder:
        try:
            descriptor = open_beneath(folder, name.split("/"))
        except FileNotFoundError:
            raise
        except OSError as error:
            what = (
                "is no file" if error.errno == errno.EINVAL else "leads out of the samples folder"
            )
            raise InputError(f"{name} {what}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{name} is no file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


@contextmanager
def folder_descriptor(root: Path) -> Iterator[int]:
    """Open a samples folder itself.

    Raises:
        InputError: there is none.
    """
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{root.name} is no folder of samples: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _need_four_axes(file: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
        raise InputError(f"{file} has {len(shape)} axes, needs 4: sample, band, row, column")
    if 0 in shape[1:]:
        raise InputError(f"{file} holds chips of the shape {shape[1:]}, needs at least one pixel")


def _place(dataset: DatasetReader) -> np.ndarray | None:
    """Return where a georeferenced chip lies, in pixels of its own grid laid over the world."""
    if dataset.crs is None or dataset.transform.is_identity:
        return None
    x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    row, column = -y / dataset.res[0], x / dataset.res[1]
    return np.array([[NO_FEATURE, np.floor(row), np.floor(column)]], np.int32)
