"""Samples: labelled chips, and the folder that holds them.

A samples folder is `samples.json`, a folder per class, and containers in it (contract, Files); or,
instead of the folders of classes, one folder `patches` of squares of a scene in which every
labelled pixel has a class. It may hold more than fits in memory, so it is read in batches.
"""

import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.bands import match_named
from landcover.io.files.safe_open import open_beneath
from landcover.io.legend import MAX_CODE, Legend
from landcover.io.raster import Band, unique_names
from landcover.io.sensors import UNKNOWN, Measured
from landcover.operation import Folder
from landcover.progress import remark
from landcover.samples import places
from landcover.samples.automatic import short
from landcover.samples.chip_bands import ChipBands
from landcover.samples.containers import (
    COMPANIONS,
    MIXED,
    PATCHES,
    UNLABELLED,
    Container,
    folder_descriptor,
    is_raster,
    look_at_rasters,
    open_container,
    opened_beneath,
)
from landcover.samples.labels import NO_FEATURE

_MOST_SCENES = 1000
"""Of one folder."""
_OF_SCENE = re.compile(r"samples-([1-9]\d{0,4})\.npy")
"""Name of a container of another scene than the first; the second has the number 2."""
MOST_SCENE_PIXELS, MOST_SCENE_NUMBERS = 2000, 40_000
"""Pixels from all over a scene in samples.json, and values of all their bands."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Batch:
    """Consecutive samples of one container.

    Attributes:
        samples: the folder they come from.
        number: of their container, in the order of the folder.
        start: index of the first in it.
        chips: (n, bands, H, W) in the container's dtype, row 0 north, context and all.
        valid: bool (n, H, W), False where any band is nodata, NaN or masked.
    """

    samples: "Samples"
    number: int
    start: int
    chips: np.ndarray
    valid: np.ndarray

    @property
    def container(self) -> Container:
        """Where they come from."""
        return self.samples.containers[self.number]

    @property
    def indexes(self) -> range:
        """The indexes of the samples in their container."""
        return range(self.start, self.start + len(self.chips))

    @property
    def middle(self) -> tuple[np.ndarray, np.ndarray]:
        """The samples without their context: chips (n, bands, h, w), and validity (n, h, w)."""
        height, width = self._sides
        context = self.samples.context
        inner = (..., slice(context, height - context), slice(context, width - context))
        return self.chips[inner], self.valid[inner]

    @cached_property
    def codes(self) -> np.ndarray:
        """uint8 (n, H, W): the code of each labelled pixel, 255 elsewhere and in the context.

        Without masks the label is the centre pixel's. Patches need masks.
        """
        mask = self._mask
        if mask is not None:
            return self._known(mask)
        if self.container.code == MIXED:
            raise InputError(f"{self.container.file} has no mask beside it, patches need one")
        codes: np.ndarray = np.full(self.valid.shape, UNLABELLED, np.uint8)
        codes[:, codes.shape[1] // 2, codes.shape[2] // 2] = self.container.code
        return codes

    @cached_property
    def places(self) -> np.ndarray:
        """int64 (n, H, W): the place that each pixel lies in, as a number.

        Pixels of one place share its number, and no two places of the folder have the same: the
        source feature of a labelled pixel, where it is known; else the block of 64 pixels that
        the pixel itself lies in; else, where no origin is known, the file.
        `Samples.name_of_place` puts a number into words.
        """
        origin = self.container.origin(self.start, self.indexes.stop)
        if origin is None:
            elsewhere = np.full(self.valid.shape, places.of_file(self.number))
        else:
            elsewhere = places.of_blocks(origin, self.valid.shape[1:])
        features = self._features(origin)
        return np.where(features == NO_FEATURE, elsewhere, places.of_feature(features))

    def positions(self, at: np.ndarray) -> np.ndarray | None:
        """Return row and column in the scene of pixels of these samples, int64 (M, 2).

        Args:
            at: int (M, 3), sample, row and column in it.

        Returns:
            None where no origin is known.
        """
        origin = self.container.origin(self.start, self.indexes.stop)
        if origin is None:
            return None
        centre = np.array(self.valid.shape[1:]) // 2
        return np.asarray(origin[at[:, 0], 1:].astype(np.int64) + at[:, 1:] - centre)

    @property
    def _sides(self) -> tuple[int, int]:
        _, _, height, width = self.chips.shape
        return height, width

    @cached_property
    def _mask(self) -> np.ndarray | None:
        return self.container.mask(self.start, self.indexes.stop, self._sides)

    def _known(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask as uint8; every code in it needs a name."""
        known = np.isin(mask, (*self.samples.legend.codes, UNLABELLED))
        if not known.all():
            raise InputError(
                f"the mask of {self.container.file} holds {mask[~known][0]}, which is no code of "
                f"the legend and not {UNLABELLED} for unlabelled"
            )
        return mask.astype(np.uint8)

    def _features(self, origin: np.ndarray | None) -> np.ndarray:
        """Return int64 (n, H, W), the source feature of each pixel; -1 where none is known.

        A mask without places beside it may hold pixels of several features: none is known then.
        """
        told = self.container.place(self.start, self.indexes.stop, self._sides)
        if told is not None:
            return told.astype(np.int64)
        features: np.ndarray = np.full(self.valid.shape, NO_FEATURE, np.int64)
        if origin is not None and self._mask is None:
            features[:, features.shape[1] // 2, features.shape[2] // 2] = origin[:, 0]
        return features


@dataclass(frozen=True)
class Samples:
    """A samples folder, opened.

    Attributes:
        legend: the classes.
        bands: names and wavelengths, in the order of the chips.
        dtype: of the chips, of the first where they differ.
        nodata: value of invalid pixels, None if there is none.
        chip_size: side of a sample in pixels, without context; 0 if the folder does not say.
        scene: name of the scene they were cut from, "" if unknown.
        measured: sensor, processing level and unit of that scene, where known.
        containers: in the order of class folder, then file name.
        context: pixels around each sample on every side, in the chips but not of the sample.
        patches: side of a patch in pixels, without context; 0: samples of one class each.
        crs: of that scene, "" if unknown.
        transform: of that scene, from column and row to its CRS; None if unknown.
        says_dtype: whether samples.json says the dtype, which all chips need then.
        scene_pixels: float64 (N, bands), drawn from all over that scene; None if unknown.
        labels_by: which rules made the labels, "" where people did or nothing is known of it.
    """

    legend: Legend
    bands: tuple[Band, ...]
    dtype: str
    nodata: float | None
    chip_size: int
    scene: str
    measured: Measured
    containers: tuple[Container, ...]
    context: int = 0
    patches: int = 0
    crs: str = ""
    transform: Affine | None = None
    says_dtype: bool = False
    scene_pixels: np.ndarray | None = None
    labels_by: str = ""

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(len(container) for container in self.containers)

    def batches(self) -> Iterator[Batch]:
        """Read all samples, a few megabytes at a time, in the order of the containers.

        Raises:
            InputError: a container is invalid, or its bands are not those of the others.
        """
        for number, container in enumerate(self.containers):
            for start in range(0, len(container), container.at_once):
                stop = min(start + container.at_once, len(container))
                chips, valid = container.read(start, stop)
                self._check(container.file, chips)
                yield Batch(self, number, start, chips, valid)

    def name_of_place(self, number: int) -> str:
        """Return what a number of `Batch.places` stands for, as in `feature 7`, `block 0 3`."""
        return places.name_of(number, [container.file for container in self.containers])

    def _check_dtype(self, file: str, dtype: str) -> None:
        if dtype == self.dtype:
            return
        if self.says_dtype:
            raise InputError(f"{file} holds {dtype}, by samples.json the samples are {self.dtype}")
        remark(
            f"some samples are {self.dtype} and some {dtype}: equal values need to mean the same"
        )

    def _check(self, file: str, chips: np.ndarray) -> None:
        _, bands, *sides = chips.shape
        self._check_dtype(file, _name_of(chips.dtype))
        if bands != len(self.bands):
            raise InputError(
                f"{file} has {counted(bands, '# band|bands')}, the samples have "
                f"{len(self.bands)}: all need the same"
            )
        margin = 2 * self.context
        if self.patches and sides != [self.patches + margin] * 2:
            raise InputError(
                f"{file} holds patches of {sides[0]} x {sides[1]} pixels, by samples.json they "
                f"are {self.patches} with a context of {self.context}"
            )
        declared = self.chip_size and not self.patches
        if min(sides) <= margin or (declared and sides != [self.chip_size + margin] * 2):
            raise InputError(
                f"{file} holds chips of {sides[0]} x {sides[1]} pixels, which do not fit the "
                f"chip_size {self.chip_size} and context {self.context} of samples.json"
            )


def read_samples(folder: Folder) -> Samples:
    """Open a samples folder of one scene.

    Raises:
        InputError: it holds no sample, or a container or samples.json is invalid, or there are
            several scenes.
    """
    first, *others = read_scenes(folder)
    if others:
        raise InputError(
            f"{Path(folder).name} holds samples of {len(others) + 1} scenes, read them one by one"
        )
    return first


def read_scenes(folder: Folder) -> list[Samples]:
    """Open a samples folder, the samples of each scene by themselves.

    Raises:
        InputError: it holds no sample, or a container or samples.json is invalid.
    """
    root = Path(folder)
    described = _read_description(root)
    folders = _folder_of_patches(root, described) or _class_folders(root, described)
    _check_known(root, described, folders)
    files = [
        (f"{name}/{file}", code)
        for name, code in sorted(folders.items())
        for file in _container_files(root, name)
    ]
    rasters = [file for file, _ in files if is_raster(file)]
    chip_bands = look_at_rasters(root, rasters) if rasters else None
    opened = [
        _opened(root, of_scene, some, folders, chip_bands)
        for of_scene, some in zip(described.scenes, _by_scene(files, described), strict=True)
    ]
    _remark_on_guesses(root, described, opened[0].bands)
    return opened


def _by_scene(
    files: Sequence[tuple[str, int]], described: "_Description"
) -> list[list[tuple[str, int]]]:
    """Return the containers of each scene; those that name none are of the first."""
    found: list[list[tuple[str, int]]] = [[] for _ in described.scenes]
    for file, code in files:
        named = _OF_SCENE.fullmatch(file.rpartition("/")[2])
        number = int(named[1]) if named else 1
        found[number - 1 if number <= len(found) else 0].append((file, code))
    return found


def _opened(
    root: Path,
    described: "_Description",
    files: Sequence[tuple[str, int]],
    folders: dict[str, int],
    chip_bands: ChipBands | None,
) -> Samples:
    """Open the containers of one scene."""
    containers = tuple(
        open_container(root, file, code, described.nodata, chip_bands) for file, code in files
    )
    if not sum(len(container) for container in containers):
        of_scene = f" of {described.scene}" if described.more_scenes else ""
        raise InputError(f"{root.name} holds no sample{of_scene}")
    first = next(container for container in containers if len(container))
    chips, _ = first.read(0, 1)
    bands = _bands(described, chip_bands or ChipBands(), chips.shape[1], first.file)
    of_chips = UNKNOWN if chip_bands is None else chip_bands.measured
    return Samples(
        legend=_legend(described, folders),
        bands=bands,
        dtype=described.dtype or _name_of(chips.dtype),
        nodata=described.nodata,
        chip_size=described.chip_size,
        scene=described.scene,
        measured=of_chips if described.measured == UNKNOWN else described.measured,
        containers=containers,
        context=described.context,
        patches=described.patches,
        crs=described.crs,
        transform=described.transform,
        says_dtype=bool(described.dtype),
        scene_pixels=_of_width(described.scene_pixels, len(bands)),
        labels_by=described.labels_by,
    )


def _of_width(scene_pixels: np.ndarray | None, bands: int) -> np.ndarray | None:
    if scene_pixels is not None and scene_pixels.shape[1] != bands:
        raise InputError(
            f"samples.json has scene_pixels of {scene_pixels.shape[1]} bands, the samples have "
            f"{bands}"
        )
    return scene_pixels


def _check_known(root: Path, described: "_Description", folders: dict[str, int]) -> None:
    """Refuse what lies there and would be left out without a word.

    Raises:
        InputError: there is a link, or a folder that samples.json does not know.
    """
    with folder_descriptor(root) as descriptor:
        links = [n for n in _visible(descriptor) if stat.S_ISLNK(_mode(n, descriptor))]
    links = sorted(set(links) - {"samples.json"})
    if links:
        raise InputError(
            f"{root.name} holds the link {links[0]}, links are not followed: copy what it leads to"
        )
    extra = sorted(set(_folders(root)) - set(folders))
    if extra:
        raise InputError(
            f"{root.name} holds the folder {extra[0]}, which samples.json does not know: move it "
            "away, or give its class a code in samples.json"
        )


def _mode(name: str, folder: int) -> int:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode


def _name_of(dtype: np.dtype) -> str:
    """Return what a dtype is called in either byte order."""
    return str(dtype.newbyteorder("="))


def _remark_on_guesses(root: Path, described: "_Description", bands: tuple[Band, ...]) -> None:
    """Fill in the defaults."""
    if bands == _numbered(len(bands)):
        remark(
            f"{root.name} does not name its bands: they are called b1, b2 ..., and a scene needs "
            "bands of these names"
        )
    if described.classes is None and not described.patches:
        remark(f"{root.name} does not say its classes: they are named and numbered by its folders")


@dataclass(frozen=True)
class _Description:
    """What samples.json says; None where it is silent."""

    nodata: float | None = None
    dtype: str = ""
    chip_size: int = 0
    scene: str = ""
    bands: tuple[Band, ...] | None = None
    legend: Legend | None = None
    classes: dict[str, int] | None = None
    measured: Measured = UNKNOWN
    context: int = 0
    patches: int = 0
    crs: str = ""
    transform: Affine | None = None
    scene_pixels: np.ndarray | None = None
    labels_by: str = ""
    more_scenes: tuple["_Description", ...] = ()

    @property
    def scenes(self) -> list["_Description"]:
        """What is said of each scene; of all alike is what does not belong to one."""
        return [self, *(self._but_of(other) for other in self.more_scenes)]

    def _but_of(self, other: "_Description") -> "_Description":
        own = ("nodata", "dtype", "scene", "measured", "crs", "transform", "scene_pixels")
        return replace(self, **{name: getattr(other, name) for name in own})


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
    return _parsed(described)


def _parsed(described: dict[str, Any]) -> _Description:
    known: dict[str, Callable[[Any], Any]] = {
        "nodata": _nodata,
        "dtype": str,
        "chip_size": lambda value: _whole(value, 0, 2**31),
        "scene": str,
        "bands": _bands_described,
        "legend": Legend.from_list,
        "context": lambda value: _whole(value, 0, 2**31),
        "patches": lambda value: _whole(value, 0, 2**31),
        "crs": str,
        "transform": _transform,
        "scene_pixels": _scene_pixels,
        "labels_by": short,
        "classes": lambda classes: {str(k): _whole(v, 1, MAX_CODE) for k, v in classes.items()},
        "more_scenes": _more_scenes,
    }
    read = {}
    for key, parse in known.items():
        if key in described:
            try:
                read[key] = parse(described[key])
            except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
                raise InputError(f"samples.json has an invalid {key}") from error
    return _Description(**read, measured=Measured.declared(described))


def _more_scenes(value: Any) -> tuple[_Description, ...]:
    if not isinstance(value, list) or len(value) >= _MOST_SCENES:
        raise ValueError("no scenes, or too many")
    if not all(isinstance(one, dict) and "more_scenes" not in one for one in value):
        raise ValueError("scenes in scenes")
    return tuple(map(_parsed, value))


def _transform(value: Any) -> Affine:
    transform = Affine(*(float(number) for number in value))
    if not all(map(math.isfinite, transform)) or not transform.determinant:
        raise ValueError("pixels have no size by it")
    return transform


def _scene_pixels(value: Any) -> np.ndarray:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_SCENE_PIXELS:
        raise ValueError("no pixels")
    pixels = np.array(value, np.float64)  # refuses rows of different lengths
    if pixels.ndim != 2 or not pixels.size or not (np.abs(pixels) <= _LARGEST).all():
        raise ValueError("no pixels of bands")
    return pixels


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


def _bands_described(value: Any) -> tuple[Band, ...]:
    bands = [_band(band) for band in value]
    names = unique_names([band.name for band in bands])
    return tuple(Band(name, band.wavelength) for name, band in zip(names, bands, strict=True))


def _band(described: Any) -> Band:
    name, wavelength = described["name"], described.get("wavelength")
    if not isinstance(name, str):
        raise ValueError(f"{name} is no name")
    return Band(name, None if wavelength is None else float(wavelength))


def _folder_of_patches(root: Path, described: _Description) -> dict[str, int]:
    """Return the folder of patches, without a code of its own; empty if there are none."""
    if not described.patches:
        return {}
    if described.classes:
        raise InputError("samples.json has classes beside patches, it needs one of them")
    if described.legend is None:
        raise InputError("samples.json has patches and no legend, which tells their classes")
    if PATCHES not in _folders(root):
        raise InputError(f"{root.name} has no folder {PATCHES}, which samples.json tells of")
    return {PATCHES: MIXED}


def _folders(root: Path) -> list[str]:
    with folder_descriptor(root) as descriptor:
        return sorted(
            name for name in _visible(descriptor) if stat.S_ISDIR(_mode(name, descriptor))
        )


def _class_folders(root: Path, described: _Description) -> dict[str, int]:
    """Return the code of each class folder."""
    present = _folders(root)
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
    return [f for f in files if f.endswith((".npy", ".tif")) and not f.endswith(COMPANIONS)]


def _visible(folder: int) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _legend(described: _Description, folders: dict[str, int]) -> Legend:
    if described.legend is None:
        return Legend.from_list([{"code": code, "name": name} for name, code in folders.items()])
    unknown = sorted(set(folders.values()) - set(described.legend.codes) - {MIXED})
    if unknown:
        raise InputError(f"samples.json has a class of code {unknown[0]} without a legend")
    return described.legend


def _bands(
    described: _Description, chip_bands: ChipBands, count: int, file: str
) -> tuple[Band, ...]:
    """Return the bands by samples.json, else as the chips name them, else b1, b2 ..."""
    if described.bands is None:
        return chip_bands.bands if len(chip_bands.bands) == count else _numbered(count)
    if len(described.bands) != count:
        raise InputError(
            f"{file} has chips of {counted(count, '# band|bands')}, samples.json names "
            f"{len(described.bands)}"
        )
    found = match_named(described.bands, chip_bands.bands, chip_bands.described).at
    if any(at not in (None, i) for i, at in enumerate(found)):
        raise InputError(
            f"the chips have the bands {', '.join(chip_bands.names)} by their own names, by "
            f"samples.json {', '.join(band.name for band in described.bands)}: bring samples.json "
            "into their order"
        )
    return described.bands


def _numbered(count: int) -> tuple[Band, ...]:
    return tuple(Band(f"b{i}", None) for i in range(1, count + 1))
