"""Samples: labelled chips, and the folder that holds them.

A samples folder is `samples.json`, a folder per class, and containers in it (contract, Files). It
may hold more than fits in memory, so it is written and read in batches.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from landcover.beneath import open_beneath
from landcover.containers import (
    Container,
    GrowingArray,
    folder_descriptor,
    open_container,
    opened_beneath,
)
from landcover.errors import InputError
from landcover.labels import NO_FEATURE
from landcover.legend import MAX_CODE, Legend
from landcover.operation import Folder
from landcover.rasters import Band
from landcover.sensors import UNKNOWN, Measured
from landcover.writing import write_json, written_beside

UNLABELLED = 255
BLOCK_GROUP = 64
"""Side in pixels of the blocks that stand for places where no polygon does."""
_LONGEST_NAME = 255


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


class SamplesWriter:
    """Appends samples to the containers of a folder, one container per class."""

    def __init__(self, folder: Path) -> None:
        """Write into a folder, which need not exist."""
        self._folder = folder
        self._legend: Legend | None = None
        self._arrays: dict[tuple[int, str], GrowingArray] = {}
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
        measured: Measured = UNKNOWN,
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
                **asdict(measured),
            },
        )

    def close(self) -> None:
        """Finish all containers."""
        for array in self._arrays.values():
            array.close()
        self._arrays.clear()

    def _array(self, code: int, companion: str) -> "GrowingArray":
        key = (code, companion)
        if key not in self._arrays:
            folder = self._folder / f".{code}"
            folder.mkdir(parents=True, exist_ok=True)
            self._arrays[key] = GrowingArray(folder / f"samples{companion}.npy")
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
        measured: sensor, processing level and unit of that scene, where known.
        containers: in the order of class folder, then file name.
    """

    legend: Legend
    bands: tuple[Band, ...]
    dtype: str
    nodata: float | None
    chip_size: int
    scene: str
    measured: Measured
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
        open_container(root, f"{name}/{file}", code, described.nodata)
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
        measured=described.measured,
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
    measured: Measured = UNKNOWN


def _read_description(root: Path) -> _Description:
    try:
        with opened_beneath(root, "samples.json") as file:
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
    return _Description(**read, measured=Measured.declared(described))


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
    with folder_descriptor(root) as descriptor:
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
    with folder_descriptor(root) as descriptor:
        inner = open_beneath(descriptor, (folder,))
        try:
            files = sorted(_visible(inner))
        finally:
            os.close(inner)
    companions = (".origin.npy", ".mask.npy")
    return [f for f in files if f.endswith((".npy", ".tif")) and not f.endswith(companions)]


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
