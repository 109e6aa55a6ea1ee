"""Write a samples folder: chips are appended to containers, and need not fit in memory at once."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from landcover.errors import InputError
from landcover.io.files.atomic import write_json, written_beside
from landcover.io.legend import Legend
from landcover.io.raster import Band
from landcover.io.records.run_record import with_recipe
from landcover.io.sensors import UNKNOWN, Measured
from landcover.samples.containers import COMPANIONS, PATCHES, UNLABELLED, GrowingArray

_OURS = re.compile(rf"samples(-\d+)?({'|'.join(map(re.escape, (*COMPANIONS, '.npy')))})")
_LONGEST_NAME = 255
_SHOWN = 40
"""Letters of a long name that a message gives."""
_ONES = 2**22
"""Bytes of validity written at a time."""


@dataclass(frozen=True)
class Chips:
    """Samples in memory; H and W include the context.

    Attributes:
        chips: (N, bands, H, W).
        origins: int32 (N, 3), source feature (-1: none), row and column of the centre pixel.
        codes: uint8 (N,), 0 for patches.
        masks: uint8 (N, H, W), code per pixel, 255 unlabelled; None where not asked for.
        places: int32 (N, H, W), source feature per pixel, -1 none; None as the masks.
        valid: uint8 (N, H, W), 1 where a pixel is valid; None where the values tell.
    """

    chips: np.ndarray
    origins: np.ndarray
    codes: np.ndarray
    masks: np.ndarray | None = None
    places: np.ndarray | None = None
    valid: np.ndarray | None = None

    def take(self, which: np.ndarray) -> "Chips":
        """Return the chips of these indexes."""
        taken: dict[str, Any] = {
            name: None if part is None else part[which] for name, part in self._parts().items()
        }
        return Chips(**taken)

    @classmethod
    def joined(cls, parts: "Sequence[Chips]") -> "Chips":
        """Return all parts as one."""
        told = any(part.valid is not None for part in parts)
        rows = [part._parts() | ({"valid": part.validity} if told else {}) for part in parts]
        joined: dict[str, Any] = {
            name: None if first is None else np.concatenate([part[name] for part in rows])
            for name, first in rows[0].items()
        }
        return cls(**joined)

    def _parts(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def validity(self) -> np.ndarray:
        """The array `valid`, of ones where there is none."""
        if self.valid is not None:
            return self.valid
        n, _, height, width = self.chips.shape
        return np.ones((n, height, width), np.uint8)


@dataclass(frozen=True)
class CutScene:
    """What samples.json says of a scene that samples were cut from.

    Attributes:
        name: of its file.
        crs: of it.
        transform: from its columns and rows to the CRS.
        dtype: of its values.
        nodata: of it.
        measured: its sensor, level and unit.
        pixels: (N, bands) drawn from all over it, labelled or not: they tell a model's card what
            its scene looks like.
    """

    name: str
    crs: str
    transform: Affine
    dtype: str
    nodata: float | None
    measured: Measured = UNKNOWN
    pixels: np.ndarray | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return it as samples.json has it."""
        return {
            "scene": self.name,
            "crs": self.crs,
            "transform": list(self.transform)[:6],
            "dtype": self.dtype,
            "nodata": self.nodata,
            **({} if self.pixels is None else {"scene_pixels": self.pixels.tolist()}),
            **asdict(self.measured),
        }


class SamplesWriter:
    """Appends samples to containers of a folder: of each scene one per class, or of patches."""

    def __init__(self, folder: Path) -> None:
        """Write into a folder, which need not exist."""
        self._folder = folder
        self._arrays: dict[tuple[str, str], GrowingArray] = {}
        self.counts: Counter[int] = Counter()
        """Samples written, or labelled pixels of patches, by code."""
        self.scenes: list[CutScene] = []
        """Those of which samples were written, and which were ended."""

    @property
    def total(self) -> int:
        """The number of samples written, or of labelled pixels of patches."""
        return self.counts.total()

    def append(self, code: int, chips: Chips) -> None:
        """Write samples of one class."""
        self.counts[code] += len(chips.codes)
        self._write(f".{code}", chips)

    def append_patches(self, chips: Chips) -> None:
        """Write patches, whose masks hold the classes."""
        assert chips.masks is not None
        labelled = np.bincount(chips.masks.ravel(), minlength=UNLABELLED + 1)[:UNLABELLED]
        self.counts.update({int(code): int(labelled[code]) for code in np.flatnonzero(labelled)})
        self._write(PATCHES, chips)

    def end_scene(self, scene: CutScene) -> None:
        """Tell which scene the samples are from that were written since the last one."""
        if self._arrays:
            self.scenes.append(scene)
        self.close()

    def _write(self, folder: str, chips: Chips) -> None:
        self._write_validity(folder, chips)
        self._array(folder, "").append(chips.chips)
        self._array(folder, ".origin").append(chips.origins)
        if chips.masks is not None:
            self._array(folder, ".mask").append(chips.masks)
        if chips.places is not None:
            self._array(folder, ".place").append(chips.places)

    def _write_validity(self, folder: str, chips: Chips) -> None:
        """Write which pixels are valid, from the first chips on that do not say so by values."""
        if chips.valid is None and (folder, ".valid") not in self._arrays:
            return
        array, before = self._array(folder, ".valid"), len(self._array(folder, ""))
        height, width = chips.chips.shape[2:]
        at_once = max(1, _ONES // (height * width))
        while len(array) < before:
            n = min(at_once, before - len(array))
            array.append(np.ones((n, height, width), np.uint8))
        array.append(chips.validity)

    def describe(
        self,
        *,
        chip_size: int,
        bands: Sequence[Band],
        legend: Legend,
        context: int = 0,
        patches: int = 0,
        labels_by: str = "",
    ) -> None:
        """Create a folder for each class, and write samples.json, once all scenes were ended.

        `labels_by` says which rules made the labels, "" if people did.

        Of patches `classes` is empty: a reader that knows no patches finds no sample, and none
        that it would take for a class of that name.
        """
        first, *others = self.scenes
        folders = {
            entry.code: folder_name(entry.name)
            for entry in legend.classes
            if self.counts[entry.code] and not patches
        }
        for code, name in folders.items():
            if len(name.encode()) > _LONGEST_NAME:
                raise InputError(
                    f"class {name[:_SHOWN]} ... has a name too long for a folder, it may have "
                    f"{_LONGEST_NAME} bytes"
                )
            (self._folder / f".{code}").rename(self._folder / name)
        write_json(
            self._folder / "samples.json",
            with_recipe(
                {
                    "version": 1,
                    **first.to_plain(),
                    "chip_size": chip_size,
                    "bands": [asdict(band) for band in bands],
                    "legend": legend.to_list(),
                    "classes": {name: code for code, name in folders.items()},
                    **({"context": context} if context else {}),
                    **({"patches": patches} if patches else {}),
                    **({"labels_by": labels_by} if labels_by else {}),
                    **({"more_scenes": [one.to_plain() for one in others]} if others else {}),
                }
            ),
        )

    def close(self) -> None:
        """Finish all containers."""
        for array in self._arrays.values():
            array.close()
        self._arrays.clear()

    def _array(self, folder: str, companion: str) -> GrowingArray:
        key = (folder, companion)
        if key not in self._arrays:
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
            scene = f"-{len(self.scenes) + 1}" if self.scenes else ""
            path = self._folder / folder / f"samples{scene}{companion}.npy"
            self._arrays[key] = GrowingArray(path)
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
    return _OURS.fullmatch(parts[1]) is not None


def folder_name(class_name: str) -> str:
    """Return the folder of a class: percent-encoded outside letters, digits, space, _ and -."""
    return "".join(c if c.isalnum() or c in " _-" else _percent(c) for c in class_name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
