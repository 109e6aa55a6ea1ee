"""Samples: labelled chips cut from a scene, and the folder of containers that holds them.

A samples folder is `samples.json`, a folder per class, and containers in it (contract, Files). It
may come from somebody else: containers are loaded without pickle, and no link in the folder is
followed out of it.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.beneath import open_beneath
from landcover.errors import InputError
from landcover.labels import NO_FEATURE, Labels, Points, open_labels
from landcover.legend import Legend
from landcover.operation import CSV, AnyPath, File, Folder, Range, WrittenFolder
from landcover.progress import report_progress
from landcover.rasters import Band, Grid, bands_of, open_raster, read_valid
from landcover.writing import write_csv, write_json, written_beside

UNLABELLED = 255
BLOCK_GROUP = 64
"""Side in pixels of the blocks that stand for places where no polygon does."""


@dataclass(frozen=True)
class Extraction:
    """Samples cut from a scene.

    Attributes:
        samples: the samples folder, one container per class.
        counts: samples per class, and what was left out and why (class, code, samples).
        total: number of samples.
    """

    samples: WrittenFolder
    counts: CSV
    total: int


@dataclass(frozen=True)
class Container:
    """One file of samples of one class.

    Attributes:
        file: its path relative to the samples folder.
        code: legend code of the class.
        chips: (N, bands, H, W) in the scene's dtype, row 0 north.
        origin: int32 (N, 3), source feature (-1: none), row and column of the centre pixel; None
            where it is not known.
        mask: uint8 (N, H, W), code per pixel, 255 unlabelled; None where every chip has one class.
    """

    file: str
    code: int
    chips: np.ndarray
    origin: np.ndarray | None
    mask: np.ndarray | None


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
        return sum(len(container.chips) for container in self.containers)

    def valid(self, chips: np.ndarray) -> np.ndarray:
        """Tell which pixels of chips (..., bands, H, W) are valid: bool (..., H, W)."""
        valid = np.ones(chips.shape, bool)
        if np.issubdtype(chips.dtype, np.floating):
            valid &= np.isfinite(chips)
        if self.nodata is not None:
            valid &= chips != self.nodata
        return np.asarray(valid.all(axis=-3))


def extract_samples(
    scene: File,
    labels: File,
    class_field: str = "class",
    chip_size: Annotated[int, Range(1, 1024)] = 1,
    max_per_class: Annotated[int, Range(0)] = 0,
    masks: bool = False,
    seed: int = 0,
    workdir: AnyPath = "",
) -> Extraction:
    """Cut labelled samples out of a scene.

    A pixel belongs to a polygon if its centre lies inside; pixels under polygons of different
    classes, on nodata, and chips that leave the scene are left out and counted.

    Args:
        scene: GeoTIFF or COG of any bands, dtype and CRS.
        labels: polygons or points (GeoJSON, GeoPackage, Shapefile, FlatGeobuf) or a label raster.
        class_field: attribute of the vector labels that holds the class.
        chip_size: side of a sample in pixels; 1 is single pixels.
        max_per_class: keep at most so many of a class, chosen at random; 0 keeps all.
        masks: also write the class of every pixel of a chip.
        seed: of the random choice.
        workdir: folder to write to.

    Raises:
        InputError: the inputs do not do, or not one sample comes of them.
    """
    with open_raster(scene) as dataset:
        grid = Grid.of(dataset)
        with open_labels(labels, class_field, grid) as labelled:
            centres, left_out = _centres(labelled, grid, chip_size)
            read = _read_chips(dataset, labelled, centres, chip_size, masks, left_out)
            kept = _choose(read, max_per_class, np.random.default_rng(seed))
            if not len(kept.codes):
                raise InputError(_why_none(Path(labels).name, left_out))
            legend = labelled.legend
            target = Path(workdir) / "samples"
            with written_beside(target) as folder:
                _write_folder(folder, kept, legend, dataset, chip_size)
    counts = _write_counts(Path(workdir) / "counts.csv", kept, legend, left_out)
    return Extraction(samples=target, counts=counts, total=len(kept.codes))


def read_samples(folder: Folder) -> Samples:
    """Open a samples folder.

    Raises:
        InputError: it holds no sample, or a container or samples.json does not do.
    """
    root = Path(folder)
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{root.name} is no folder of samples: {error.strerror}") from error
    try:
        return _read_folder(descriptor, root.name)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Chips:
    """Samples in memory: chips (N, bands, H, W), origins (N, 3), codes (N,), masks (N, H, W)."""

    chips: np.ndarray
    origins: np.ndarray
    codes: np.ndarray
    masks: np.ndarray | None

    def take(self, which: np.ndarray) -> "_Chips":
        masks = None if self.masks is None else self.masks[which]
        return _Chips(self.chips[which], self.origins[which], self.codes[which], masks)


def _centres(labels: Labels, grid: Grid, chip_size: int) -> tuple[np.ndarray, Counter[str]]:
    """Return int32 (N, 4) of feature, row, column and code of the centre pixels."""
    left_out: Counter[str] = Counter()
    if isinstance(labels, Points):
        centres = np.stack([labels.features, labels.rows, labels.columns, labels.codes], axis=1)
        return centres.astype(np.int32), left_out
    found = []
    for window in grid.windows():
        labelled = labels.read(window)
        left_out["polygons of different classes overlap"] += labelled.conflicts
        rows, columns = np.nonzero(labelled.codes)
        cells = (labelled.features[rows, columns], rows + window.row_off,
                 columns + window.col_off, labelled.codes[rows, columns])  # fmt: skip
        found.append(np.stack([np.asarray(cell, np.int32) for cell in cells], axis=1))
    centres = np.concatenate(found)
    half = chip_size // 2
    on_chip_grid = (centres[:, 1:3] % chip_size == half).all(axis=1)
    return centres[on_chip_grid], left_out


def _read_chips(
    dataset: DatasetReader,
    labels: Labels,
    centres: np.ndarray,
    size: int,
    masks: bool,
    left_out: Counter[str],
) -> _Chips:
    """Read the chips of all centres, block by block, so that each block is decoded once."""
    top_left = centres[:, 1:3] - size // 2
    inside = (top_left >= 0).all(axis=1)
    inside &= (top_left + size <= (dataset.height, dataset.width)).all(axis=1)
    left_out["chip leaves the scene"] += int((~inside).sum())
    parts = []
    groups = list(_by_block(centres[inside]))
    for done, group in enumerate(groups):
        report_progress(done / len(groups), "reading samples from the scene")
        parts.append(_read_block(dataset, labels, group, size, masks, left_out))
    if not parts:
        shape = (0, dataset.count, size, size)
        return _Chips(np.zeros(shape, dataset.dtypes[0]), np.zeros((0, 3), np.int32),
                      np.zeros(0, np.uint8), None)  # fmt: skip
    return _joined(parts)


def _by_block(centres: np.ndarray, side: int = 512) -> Iterator[np.ndarray]:
    blocks = centres[:, 1:3] // side
    order = np.lexsort((centres[:, 2], centres[:, 1], blocks[:, 1], blocks[:, 0]))
    ordered, blocks = centres[order], blocks[order]
    starts = np.flatnonzero((np.diff(blocks, axis=0) != 0).any(axis=1)) + 1
    return iter(np.split(ordered, starts) if len(ordered) else [])


def _read_block(
    dataset: DatasetReader,
    labels: Labels,
    centres: np.ndarray,
    size: int,
    masks: bool,
    left_out: Counter[str],
) -> _Chips:
    top, left = centres[:, 1:3].min(axis=0) - size // 2
    bottom, right = centres[:, 1:3].max(axis=0) - size // 2 + size
    window = Window(left, top, right - left, bottom - top)
    values, valid = read_valid(dataset, window)
    rows, columns = centres[:, 1] - top, centres[:, 2] - left
    usable = valid[rows, columns]
    left_out["centre pixel is nodata"] += int((~usable).sum())
    centres, rows, columns = centres[usable], rows[usable], columns[usable]
    offsets = np.arange(size) - size // 2
    at = (rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets)  # (N, H, W)
    chips = np.moveaxis(values[:, at[0], at[1]], 0, 1)  # (N, bands, H, W)
    mask = None
    if masks:
        codes = labels.read(window).codes[at]
        mask = np.where(codes == 0, UNLABELLED, codes).astype(np.uint8)
    return _Chips(chips, centres[:, :3], centres[:, 3].astype(np.uint8), mask)


def _joined(parts: Sequence[_Chips]) -> _Chips:
    masks = [part.masks for part in parts if part.masks is not None]
    return _Chips(
        np.concatenate([part.chips for part in parts]),
        np.concatenate([part.origins for part in parts]),
        np.concatenate([part.codes for part in parts]),
        np.concatenate(masks) if masks else None,
    )


def _choose(read: _Chips, most: int, rng: np.random.Generator) -> _Chips:
    """Keep at most so many of each class, the order unchanged."""
    kept = []
    for code in np.unique(read.codes):
        members = np.flatnonzero(read.codes == code)
        if most and len(members) > most:
            members = rng.choice(members, most, replace=False)
        kept.append(members)
    return read.take(np.sort(np.concatenate(kept)) if kept else np.zeros(0, int))


def _why_none(labels: str, left_out: Counter[str]) -> str:
    reasons = [f"{reason}: {n}" for reason, n in left_out.items() if n]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"no sample lies in the scene{why}, {labels} needs labels that cover valid pixels"


def _write_folder(
    folder: Path, kept: _Chips, legend: Legend, dataset: DatasetReader, chip_size: int
) -> None:
    classes = {}
    for entry in legend.classes:
        chosen = kept.take(np.flatnonzero(kept.codes == entry.code))
        if not len(chosen.codes):
            continue
        name = folder_name(entry.name)
        classes[name] = entry.code
        _write_container(folder / name / "samples.npy", chosen)
    # NaN needs no declaration: it is never valid
    declared = {value for value in dataset.nodatavals if value is not None}
    nodata = {value for value in declared if not np.isnan(value)}
    if len(nodata) > 1:
        raise InputError(
            f"the scene's bands have different nodata values {sorted(nodata)}, it needs one"
        )
    write_json(
        folder / "samples.json",
        {
            "version": 1,
            "scene": Path(dataset.name).name,
            "crs": dataset.crs.to_string(),
            "dtype": str(kept.chips.dtype),
            "nodata": nodata.pop() if nodata else None,
            "chip_size": chip_size,
            "bands": [asdict(band) for band in bands_of(dataset)],
            "legend": legend.to_list(),
            "classes": classes,
        },
    )


def folder_name(class_name: str) -> str:
    """Return the folder of a class: percent-encoded outside letters, digits, space, _ and -."""
    return "".join(c if c.isalnum() or c in " _-" else _percent(c) for c in class_name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _write_container(path: Path, chips: _Chips) -> None:
    path.parent.mkdir(parents=True)
    np.save(path, np.ascontiguousarray(chips.chips), allow_pickle=False)
    np.save(path.with_suffix(".origin.npy"), chips.origins, allow_pickle=False)
    if chips.masks is not None:
        np.save(path.with_suffix(".mask.npy"), chips.masks, allow_pickle=False)


def _write_counts(path: Path, kept: _Chips, legend: Legend, left_out: Counter[str]) -> Path:
    per_class = [(c.name, c.code, int((kept.codes == c.code).sum())) for c in legend.classes]
    reasons = [(f"left out: {reason}", "", n) for reason, n in left_out.items() if n]
    write_csv(path, ("class", "code", "samples"), [*per_class, *reasons])
    return path


def _read_folder(root: int, name: str) -> Samples:
    described = _read_description(root)
    folders = _class_folders(root, described, name)
    nodata = described.get("nodata")
    containers = [
        _read_container(root, folder, file, code, nodata)
        for folder, code in sorted(folders.items())
        for file in _container_files(root, folder)
    ]
    if not sum(len(container.chips) for container in containers):
        raise InputError(f"{name} holds no sample")
    first = containers[0].chips
    _check_alike(containers)
    return Samples(
        legend=_legend(described, folders),
        bands=_bands(described, first.shape[1], name),
        dtype=str(first.dtype),
        nodata=nodata,
        chip_size=int(described.get("chip_size", 0)),
        scene=str(described.get("scene", "")),
        containers=tuple(containers),
    )


def _read_description(root: int) -> dict[str, Any]:
    try:
        with _opened(root, "samples.json") as file:
            described = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError("samples.json holds no JSON") from error
    if not isinstance(described, dict) or described.get("version") != 1:
        raise InputError("samples.json needs version 1")
    return described


def _class_folders(root: int, described: dict[str, Any], name: str) -> dict[str, int]:
    """Return the code of each class folder."""
    present = sorted(e for e in _visible(root) if stat.S_ISDIR(_mode(root, e)))
    if "classes" not in described:
        return {folder: code for code, folder in enumerate(present, 1)}
    codes: dict[str, int] = described["classes"]
    missing = sorted(set(codes) - set(present))
    if missing:
        raise InputError(f"{name} has no folder {missing[0]}, which samples.json names")
    return {folder: int(codes[folder]) for folder in present if folder in codes}


def _container_files(root: int, folder: str) -> list[str]:
    descriptor = open_beneath(root, (folder,))
    try:
        files = sorted(_visible(descriptor))
    finally:
        os.close(descriptor)
    return [f for f in files if f.endswith((".npy", ".tif")) and not _is_companion(f)]


def _is_companion(file: str) -> bool:
    return file.endswith((".origin.npy", ".mask.npy"))


def _read_container(
    root: int, folder: str, file: str, code: int, nodata: float | None
) -> Container:
    name = f"{folder}/{file}"
    if file.endswith(".tif"):
        return _read_chip_file(root, folder, file, code, nodata)
    chips = _load_array(root, folder, file)
    if chips.ndim != 4:
        raise InputError(f"{name} has {chips.ndim} axes, needs 4: sample, band, row, column")
    stem = file.removesuffix(".npy")
    origin = _load_companion(root, folder, f"{stem}.origin.npy", (len(chips), 3))
    mask = _load_companion(root, folder, f"{stem}.mask.npy", (len(chips), *chips.shape[2:]))
    return Container(name, code, chips, origin, mask)


def _read_chip_file(
    root: int, folder: str, file: str, code: int, nodata: float | None
) -> Container:
    descriptor = open_beneath(root, (folder, file))
    try:
        with open_raster(f"/proc/self/fd/{descriptor}") as dataset:
            values, valid = read_valid(dataset, Window(0, 0, dataset.width, dataset.height))
            if nodata is not None:
                values[:, ~valid] = nodata
            origin = _place(dataset)
    except InputError as error:
        raise InputError(f"{folder}/{file} cannot be read as GeoTIFF") from error
    finally:
        os.close(descriptor)
    return Container(f"{folder}/{file}", code, values[None], origin, None)


def _place(dataset: DatasetReader) -> np.ndarray | None:
    """Return where a georeferenced chip lies, in pixels of its own grid laid over the world."""
    if dataset.crs is None or dataset.transform.is_identity:
        return None
    x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    row, column = -y / dataset.res[0], x / dataset.res[1]
    return np.array([[NO_FEATURE, np.floor(row), np.floor(column)]], np.int32)


def _load_companion(
    root: int, folder: str, file: str, shape: tuple[int, ...]
) -> np.ndarray | None:
    try:
        values = _load_array(root, folder, file)
    except FileNotFoundError:
        return None
    if values.shape != shape:
        raise InputError(f"{folder}/{file} has the shape {values.shape}, needs {shape}")
    return values


def _load_array(root: int, folder: str, file: str) -> np.ndarray:
    """Load a .npy without pickle, after checking that it is as long as it says."""
    name = f"{folder}/{file}"
    with _opened(root, folder, file) as handle:
        try:
            version = np.lib.format.read_magic(handle)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(handle)
            missing = handle.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
            if dtype.hasobject or dtype.kind not in "iuf":
                raise InputError(f"{name} holds {dtype}, needs numbers")
            if missing != os.fstat(handle.fileno()).st_size:
                raise InputError(f"{name} is truncated or longer than its header says")
            handle.seek(0)
            return np.asarray(np.load(handle, allow_pickle=False))
        except (KeyError, ValueError, EOFError) as error:
            raise InputError(f"{name} is no .npy file") from error


def _opened(root: int, *parts: str) -> BinaryIO:
    """Open a file of the folder for reading; no link leads out of it."""
    try:
        return os.fdopen(open_beneath(root, parts), "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{'/'.join(parts)} leads out of the samples folder") from error


def _visible(folder: int) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _mode(root: int, name: str) -> int:
    return os.stat(name, dir_fd=root, follow_symlinks=False).st_mode


def _check_alike(containers: Sequence[Container]) -> None:
    first = containers[0]
    for other in containers[1:]:
        if other.chips.shape[1] != first.chips.shape[1]:
            raise InputError(
                f"{other.file} has {other.chips.shape[1]} bands, {first.file} has "
                f"{first.chips.shape[1]}: all samples need the same bands"
            )


def _legend(described: dict[str, Any], folders: dict[str, int]) -> Legend:
    if "legend" in described:
        legend = Legend.from_list(described["legend"])
        unknown = sorted(set(folders.values()) - set(legend.codes))
        if unknown:
            raise InputError(f"samples.json has a class of code {unknown[0]} without a legend")
        return legend
    return Legend.from_list([{"code": code, "name": name} for name, code in folders.items()])


def _bands(described: dict[str, Any], count: int, name: str) -> tuple[Band, ...]:
    if "bands" not in described:
        return tuple(Band(f"b{i}", None) for i in range(1, count + 1))
    bands = tuple(Band(str(b["name"]), b.get("wavelength")) for b in described["bands"])
    if len(bands) != count:
        raise InputError(f"{name} has chips of {count} bands, samples.json names {len(bands)}")
    return bands


def group_of(container: Container) -> np.ndarray:
    """Return a text per sample that names its place: samples of one place share it.

    The source feature; else the block of 64 pixels; else, where no origin is known, the file.
    """
    if container.origin is None:
        return np.full(len(container.chips), f"file {container.file}")
    features = container.origin[:, 0]
    blocks = container.origin[:, 1:] // BLOCK_GROUP
    return np.array(
        [
            f"feature {feature}" if feature != NO_FEATURE else f"block {row} {column}"
            for feature, (row, column) in zip(features, blocks, strict=True)
        ]
    )
