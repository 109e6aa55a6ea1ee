"""Samples: labelled chips, and the folder of containers that holds them.

A samples folder is `samples.json`, a folder per class, and containers in it (contract, Files). It
may hold more than fits in memory, so it is written and read in batches. And it may come from
somebody else: containers are loaded without pickle, and no link in the folder is followed out of
it.
"""

import json
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.beneath import open_beneath
from landcover.chip_files import LARGEST_CHIP, parse_chip
from landcover.errors import InputError
from landcover.labels import NO_FEATURE
from landcover.legend import MAX_CODE, Legend
from landcover.operation import Folder
from landcover.rasters import Band, open_raster, read_valid
from landcover.writing import write_json, written_beside

UNLABELLED = 255
BLOCK_GROUP = 64
"""Side in pixels of the blocks that stand for places where no polygon does."""
_LONGEST_NAME = 255
_BATCH = 32 * 2**20
"""Bytes of chips read at a time."""


@dataclass(frozen=True)
class Chips:
    """Samples in memory.

    Attributes:
        chips: (N, bands, H, W).
        origins: int32 (N, 3), source feature (-1: none), row and column of the centre pixel.
        codes: uint8 (N,).
        masks: uint8 (N, H, W), code per pixel, 255 unlabelled; None where not asked for.
    """

    chips: np.ndarray
    origins: np.ndarray
    codes: np.ndarray
    masks: np.ndarray | None

    def take(self, which: np.ndarray) -> "Chips":
        """Return the chips of these indexes."""
        masks = None if self.masks is None else self.masks[which]
        return Chips(self.chips[which], self.origins[which], self.codes[which], masks)

    @classmethod
    def joined(cls, parts: "Sequence[Chips]") -> "Chips":
        """Return all parts as one."""
        masks = [part.masks for part in parts if part.masks is not None]
        return cls(
            np.concatenate([part.chips for part in parts]),
            np.concatenate([part.origins for part in parts]),
            np.concatenate([part.codes for part in parts]),
            np.concatenate(masks) if masks else None,
        )


def valid_pixels(chips: np.ndarray, nodata: float | None) -> np.ndarray:
    """Tell which pixels of chips (..., bands, H, W) are valid: bool (..., H, W)."""
    valid = np.ones((*chips.shape[:-3], *chips.shape[-2:]), bool)
    if np.issubdtype(chips.dtype, np.floating):
        valid &= np.isfinite(chips).all(axis=-3)
    if nodata is not None:
        with np.errstate(over="ignore"):  # it may be more than the dtype can hold
            valid &= (chips != nodata).all(axis=-3)
    return valid


class SamplesWriter:
    """Appends samples to the containers of a folder, one container per class."""

    def __init__(self, folder: Path) -> None:
        """Write into a folder, which need not exist."""
        self._folder = folder
        self._legend: Legend | None = None
        self._arrays: dict[tuple[int, str], _GrowingArray] = {}
        self.counts: Counter[int] = Counter()
        """Samples written, by code."""

    @property
    def total(self) -> int:
        """The number of samples written."""
        return self.counts.total()

    def append(self, code: int, chips: Chips) -> None:
        """Write samples of one class."""
        self.counts[code] += len(chips.codes)
        self._array(code, "").append(chips.chips)
        self._array(code, ".origin").append(chips.origins)
        if chips.masks is not None:
            self._array(code, ".mask").append(chips.masks)

    def describe(
        self,
        *,
        scene: str,
        crs: str,
        dtype: str,
        nodata: float | None,
        chip_size: int,
        bands: Sequence[Band],
        legend: Legend,
    ) -> None:
        """Give each class its folder, and write samples.json."""
        self.close()
        folders = {
            entry.code: folder_name(entry.name)
            for entry in legend.classes
            if self.counts[entry.code]
        }
        for code, name in folders.items():
            if len(name.encode()) > _LONGEST_NAME:
                raise InputError(
                    f"class {name} has a name too long for a folder, {_LONGEST_NAME} bytes do"
                )
            (self._folder / f".{code}").rename(self._folder / name)
        write_json(
            self._folder / "samples.json",
            {
                "version": 1,
                "scene": scene,
                "crs": crs,
                "dtype": dtype,
                "nodata": nodata,
                "chip_size": chip_size,
                "bands": [asdict(band) for band in bands],
                "legend": legend.to_list(),
                "classes": {name: code for code, name in folders.items()},
            },
        )

    def close(self) -> None:
        """Finish all containers."""
        for array in self._arrays.values():
            array.close()
        self._arrays.clear()

    def _array(self, code: int, companion: str) -> "_GrowingArray":
        key = (code, companion)
        if key not in self._arrays:
            folder = self._folder / f".{code}"
            folder.mkdir(parents=True, exist_ok=True)
            self._arrays[key] = _GrowingArray(folder / f"samples{companion}.npy")
        return self._arrays[key]


@contextmanager
def writing_samples(target: Path) -> Iterator[SamplesWriter]:
    """Write a samples folder beside `target`; whole, it takes the target's place.

    Raises:
        InputError: a folder lies there that holds more than samples written by us.
    """
    if target.is_dir():
        foreign = [path for path in target.rglob("*") if not _is_written_by_us(path, target)]
        if foreign:
            raise InputError(
                f"{target.name} holds {foreign[0].relative_to(target)}, which would be lost: move "
                "it or name another workdir"
            )
    with written_beside(target) as folder:
        writer = SamplesWriter(folder)
        try:
            yield writer
        finally:
            writer.close()


def _is_written_by_us(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    if path.is_symlink() or len(parts) > 2:
        return False
    if len(parts) == 1:
        return path.is_dir() or parts[0] == "samples.json"
    return parts[1] in ("samples.npy", "samples.origin.npy", "samples.mask.npy")


class _GrowingArray:
    """A .npy that grows along its first axis: numpy's headers leave room for its length."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._shape: tuple[int, ...] = (0,)
        self._dtype = np.dtype(np.uint8)

    def append(self, rows: np.ndarray) -> None:
        if not self._file.tell():
            self._shape, self._dtype = (0, *rows.shape[1:]), rows.dtype
            self._write_header()
        self._file.write(np.ascontiguousarray(rows).data)
        self._shape = (self._shape[0] + len(rows), *self._shape[1:])

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        described = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": described, "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@dataclass(frozen=True)
class Container:
    """One file of samples of one class.

    Attributes:
        root: the samples folder.
        file: its path relative to the samples folder.
        code: legend code of the class.
        count: number of samples.
        at_once: number of samples that fit a batch.
        nodata: value of invalid pixels, None if there is none.
    """

    root: Path
    file: str
    code: int
    count: int
    at_once: int
    nodata: float | None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.count

    @property
    def chips(self) -> np.ndarray:
        """All chips (N, bands, H, W) in the scene's dtype, row 0 north; read anew each time."""
        return self.read(0, self.count)[0]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return chips (n, bands, H, W) of some samples, and which pixels are valid (n, H, W).

        Raises:
            InputError: the file does not do.
        """
        if self._is_raster:
            return self._read_raster()
        with _opened_array(self.root, self.file) as array:
            _need_four_axes(self.file, array.shape)
            chips = array.read(start, stop)
        return chips, valid_pixels(chips, self.nodata)

    def origin(self, start: int, stop: int) -> np.ndarray | None:
        """Return int32 (n, 3): source feature (-1: none), row and column of the centre pixel.

        None where it is not known.
        """
        if self._is_raster:
            with self._opened_raster() as dataset:
                return _place(dataset)
        return self._companion(".origin.npy", (self.count, 3), start, stop)

    def mask(self, start: int, stop: int, chip: tuple[int, int]) -> np.ndarray | None:
        """Return uint8 (n, H, W), the code of every pixel of chips of this height and width.

        255 is unlabelled. None where every chip has one class.
        """
        if self._is_raster:
            return None
        return self._companion(".mask.npy", (self.count, *chip), start, stop)

    @property
    def _is_raster(self) -> bool:
        return self.file.endswith(".tif")

    def _companion(
        self, suffix: str, shape: tuple[int, ...], start: int, stop: int
    ) -> np.ndarray | None:
        file = self.file.removesuffix(".npy") + suffix
        try:
            with _opened_array(self.root, file) as array:
                if array.shape != shape or array.dtype.kind not in "iu":
                    raise InputError(
                        f"{file} holds {array.dtype} of the shape {array.shape}, needs whole "
                        f"numbers of the shape {shape}"
                    )
                return array.read(start, stop)
        except FileNotFoundError:
            return None

    @contextmanager
    def _opened_raster(self) -> Iterator[DatasetReader]:
        try:
            with (
                _opened(self.root, self.file) as handle,
                open_raster(f"/proc/self/fd/{handle.fileno()}") as dataset,
            ):
                yield dataset
        except FileNotFoundError as error:
            raise InputError(f"{self.file} is a link to nowhere") from error
        except InputError as error:
            raise InputError(f"{self.file} cannot be read as GeoTIFF") from error

    def _read_raster(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            with _opened(self.root, self.file) as handle:
                chip = parse_chip(handle.read(LARGEST_CHIP))
        except FileNotFoundError as error:
            raise InputError(f"{self.file} is a link to nowhere") from error
        if chip is not None:
            values, valid = chip.values, valid_pixels(chip.values, chip.nodata)
        else:
            with self._opened_raster() as dataset:
                values, valid = read_valid(dataset, Window(0, 0, dataset.width, dataset.height))
        valid = valid & valid_pixels(values, self.nodata)
        return values[None], valid[None]


@dataclass(frozen=True)
class Batch:
    """Consecutive samples of one container.

    Attributes:
        container: where they come from.
        start: index of the first in it.
        chips: (n, bands, H, W) in the container's dtype, row 0 north.
        valid: bool (n, H, W), False where any band is nodata, NaN or masked.
    """

    container: Container
    start: int
    chips: np.ndarray
    valid: np.ndarray

    @property
    def indexes(self) -> range:
        """The indexes of the samples in their container."""
        return range(self.start, self.start + len(self.chips))

    @cached_property
    def codes(self) -> np.ndarray:
        """uint8 (n, H, W): the code of each labelled pixel, 255 elsewhere.

        Without masks the label is the centre pixel's.
        """
        n, _, height, width = self.chips.shape
        stop = self.start + n
        mask = self.container.mask(self.start, stop, (height, width))
        if mask is not None:
            return mask.astype(np.uint8)
        codes = np.full((n, height, width), UNLABELLED, np.uint8)
        codes[:, height // 2, width // 2] = self.container.code
        return codes

    @cached_property
    def groups(self) -> np.ndarray:
        """A text per sample that names its place: samples of one place share it.

        The source feature; else the block of 64 pixels; else, where no origin is known, the file.
        """
        origin = self.container.origin(self.start, self.start + len(self.chips))
        if origin is None:
            return np.full(len(self.chips), f"file {self.container.file}")
        features = origin[:, 0]
        blocks = origin[:, 1:] // BLOCK_GROUP
        return np.array(
            [
                f"feature {feature}" if feature != NO_FEATURE else f"block {row} {column}"
                for feature, (row, column) in zip(features, blocks, strict=True)
            ]
        )


@dataclass(frozen=True)
class Samples:
    """A samples folder, opened.

    Attributes:
        legend: the classes.
        bands: names and wavelengths, in the order of the chips.
        dtype: of the chips.
        nodata: value of invalid pixels, None if there is none.
        chip_size: side of a chip in pixels; 0 if the folder does not say.
        scene: name of the scene they were cut from, "" if unknown.
        containers: in the order of class folder, then file name.
    """

    legend: Legend
    bands: tuple[Band, ...]
    dtype: str
    nodata: float | None
    chip_size: int
    scene: str
    containers: tuple[Container, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(len(container) for container in self.containers)

    def batches(self) -> Iterator[Batch]:
        """Read all samples, a few megabytes at a time, in the order of the containers.

        Raises:
            InputError: a container does not do, or its bands are not those of the others.
        """
        for container in self.containers:
            for start in range(0, len(container), container.at_once):
                stop = min(start + container.at_once, len(container))
                chips, valid = container.read(start, stop)
                if chips.shape[1] != len(self.bands):
                    raise InputError(
                        f"{container.file} has {chips.shape[1]} bands, the samples have "
                        f"{len(self.bands)}: all need the same"
                    )
                yield Batch(container, start, chips, valid)


def read_samples(folder: Folder) -> Samples:
    """Open a samples folder.

    Raises:
        InputError: it holds no sample, or a container or samples.json does not do.
    """
    root = Path(folder)
    described = _read_description(root)
    folders = _class_folders(root, described)
    containers = tuple(
        _container(root, f"{name}/{file}", code, described.nodata)
        for name, code in sorted(folders.items())
        for file in _container_files(root, name)
    )
    if not sum(len(container) for container in containers):
        raise InputError(f"{root.name} holds no sample")
    first = next(container for container in containers if len(container))
    chips, _ = first.read(0, 1)
    return Samples(
        legend=_legend(described, folders),
        bands=_bands(described, chips.shape[1], first.file),
        dtype=str(chips.dtype),
        nodata=described.nodata,
        chip_size=described.chip_size,
        scene=described.scene,
        containers=containers,
    )


def folder_name(class_name: str) -> str:
    """Return the folder of a class: percent-encoded outside letters, digits, space, _ and -."""
    return "".join(c if c.isalnum() or c in " _-" else _percent(c) for c in class_name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


@dataclass(frozen=True)
class _Description:
    """What samples.json says; None where it is silent."""

    nodata: float | None = None
    chip_size: int = 0
    scene: str = ""
    bands: tuple[Band, ...] | None = None
    legend: Legend | None = None
    classes: dict[str, int] | None = None


def _read_description(root: Path) -> _Description:
    try:
        with _opened(root, "samples.json") as file:
            described = json.load(file)
    except FileNotFoundError:
        return _Description()
    except (ValueError, RecursionError) as error:
        raise InputError("samples.json holds no JSON") from error
    if not isinstance(described, dict) or described.get("version") != 1:
        raise InputError("samples.json needs version 1")
    known: dict[str, Callable[[Any], Any]] = {
        "nodata": _nodata,
        "chip_size": lambda value: _whole(value, 0, 2**31),
        "scene": str,
        "bands": lambda bands: tuple(_band(band) for band in bands),
        "legend": Legend.from_list,
        "classes": lambda classes: {str(k): _whole(v, 1, MAX_CODE) for k, v in classes.items()},
    }
    read = {}
    for key, parse in known.items():
        if key in described:
            try:
                read[key] = parse(described[key])
            except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
                raise InputError(f"samples.json has {key} in a form that does not do") from error
    return _Description(**read)


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{value} is no whole number from {low} to {high}")
    return value


def _nodata(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value} is no number")
    float(value)  # refuses a whole number that no raster could hold
    return None if value != value else value  # NaN needs no declaration: it is never valid


def _band(described: Any) -> Band:
    name, wavelength = described["name"], described.get("wavelength")
    if not isinstance(name, str):
        raise ValueError(f"{name} is no name")
    return Band(name, None if wavelength is None else float(wavelength))


def _class_folders(root: Path, described: _Description) -> dict[str, int]:
    """Return the code of each class folder."""
    with _descriptor(root) as descriptor:
        present = sorted(
            name
            for name in _visible(descriptor)
            if stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
        )
    if described.classes is None:
        if len(present) > MAX_CODE:
            raise InputError(
                f"{root.name} holds {len(present)} class folders, a legend at most {MAX_CODE}"
            )
        return {folder: code for code, folder in enumerate(present, 1)}
    missing = sorted(set(described.classes) - set(present))
    if missing:
        raise InputError(f"{root.name} has no folder {missing[0]}, which samples.json names")
    return {folder: described.classes[folder] for folder in present if folder in described.classes}


def _container_files(root: Path, folder: str) -> list[str]:
    with _descriptor(root) as descriptor:
        inner = open_beneath(descriptor, (folder,))
        try:
            files = sorted(_visible(inner))
        finally:
            os.close(inner)
    companions = (".origin.npy", ".mask.npy")
    return [f for f in files if f.endswith((".npy", ".tif")) and not f.endswith(companions)]


def _container(root: Path, file: str, code: int, nodata: float | None) -> Container:
    if file.endswith(".tif"):
        return Container(root, file, code, 1, 1, nodata)
    try:
        with _opened_array(root, file) as array:
            _need_four_axes(file, array.shape)
            count, at_once = array.shape[0], max(1, _BATCH // array.row_bytes)
    except FileNotFoundError as error:
        raise InputError(f"{file} is a link to nowhere") from error
    return Container(root, file, code, count, at_once, nodata)


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
def _opened_array(root: Path, name: str) -> Iterator[_Array]:
    """Open a .npy without pickle.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is something else.
    """
    with _opened(root, name) as file:
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
def _opened(root: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file of the folder for reading; no link leads out of it."""
    with _descriptor(root) as folder:
        try:
            descriptor = open_beneath(folder, name.split("/"))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(f"{name} leads out of the samples folder") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{name} is no file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


@contextmanager
def _descriptor(root: Path) -> Iterator[int]:
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{root.name} is no folder of samples: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _visible(folder: int) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _legend(described: _Description, folders: dict[str, int]) -> Legend:
    if described.legend is None:
        return Legend.from_list([{"code": code, "name": name} for name, code in folders.items()])
    unknown = sorted(set(folders.values()) - set(described.legend.codes))
    if unknown:
        raise InputError(f"samples.json has a class of code {unknown[0]} without a legend")
    return described.legend


def _bands(described: _Description, count: int, name: str) -> tuple[Band, ...]:
    if described.bands is None:
        return tuple(Band(f"b{i}", None) for i in range(1, count + 1))
    if len(described.bands) != count:
        raise InputError(
            f"{name} has chips of {count} bands, samples.json names {len(described.bands)}"
        )
    return described.bands
