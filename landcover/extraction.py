"""Cut labelled samples out of a scene, block by block.

What is held in memory are a row of the scene's blocks (a block, for single pixels) and, where
`max_per_class` is given, twice as many chips of each class; the rest goes to the disk as it is
read. Each block of the scene is decoded once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from rasterio.windows import Window

from landcover.containers import valid_pixels
from landcover.errors import InputError
from landcover.labels import Labels, Points, open_labels
from landcover.legend import Legend
from landcover.operation import CSV, AnyPath, LabelFile, Range, RasterFile, Seed, WrittenFolder
from landcover.progress import report_progress
from landcover.rasters import BlockReader, Grid, bands_of, open_raster
from landcover.samples import UNLABELLED, Chips, SamplesWriter, writing_samples
from landcover.sensors import measured_by
from landcover.writing import write_csv

_CHIPS_AT_ONCE = 64 * 2**20
"""Bytes of chips cut at a time: chips around points may lie upon each other."""


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


def extract_samples(
    scene: RasterFile,
    labels: LabelFile,
    class_field: str = "class",
    chip_size: Annotated[int, Range(1, 1024)] = 1,
    max_per_class: Annotated[int, Range(0)] = 0,
    masks: bool = False,
    seed: Seed = 0,
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
    target = Path(workdir) / "samples"
    with open_raster(scene) as dataset:
        grid = Grid.of(dataset)
        if chip_size > 1 and grid.transform.e > 0:
            raise InputError(f"{Path(scene).name} lies upside down, chips need row 0 in the north")
        nodata = dataset.nodata if dataset.nodata == dataset.nodata else None  # NaN needs none
        with (
            open_labels(labels, class_field, grid) as labelled,
            writing_samples(target) as writer,
        ):
            left_out = Counter({"label outside the scene": labelled.outside})
            cutter = _Cutter(BlockReader(dataset, chip_size // 2), grid, labelled, chip_size,
                             masks, nodata, left_out)  # fmt: skip
            _write(cutter.cut(), writer, max_per_class, np.random.default_rng(seed))
            if not writer.total:
                raise InputError(_why_none(Path(labels).name, left_out))
            writer.describe(
                scene=Path(scene).name,
                crs=grid.crs.to_string(),
                dtype=dataset.dtypes[0],
                nodata=nodata,
                chip_size=chip_size,
                bands=bands_of(dataset),
                legend=labelled.legend,
                measured=measured_by(dataset),
            )
            legend = labelled.legend
    counts = _write_counts(Path(workdir) / "counts.csv", writer.counts, legend, left_out)
    return Extraction(samples=target, counts=counts, total=writer.total)


@dataclass(frozen=True)
class _Cutter:
    """Cuts the chips of all labels, window by window; counts what it leaves out."""

    reader: BlockReader
    grid: Grid
    labels: Labels
    size: int
    masks: bool
    nodata: float | None
    left_out: Counter[str]

    def cut(self) -> Iterator[Chips]:
        """Yield chips of any class, in the order of the scene's blocks, then rows and columns."""
        for fraction, window in self.reader.windows():
            report_progress(fraction, "reading samples from the scene")
            centres = self._inside(self._centres(window))
            bands = self.reader.count
            at_once = max(1, _CHIPS_AT_ONCE // (bands * self.size**2 * self.reader.dtype.itemsize))
            for start in range(0, len(centres), at_once):
                yield self._read(centres[start : start + at_once])

    def _centres(self, window: Window) -> np.ndarray:
        """Return int32 (N, 4) of feature, row, column and code of the centres in a window."""
        if isinstance(self.labels, Points):
            centres, conflicts = self.labels.inside(window)
            self.left_out["points of different classes on one pixel"] += conflicts
            return centres
        labelled = self.labels.read(window)
        if not labelled.conflicts and not labelled.codes.any():
            return np.zeros((0, 4), np.int32)
        self.left_out["polygons of different classes overlap"] += labelled.conflicts
        rows, columns = np.nonzero(labelled.codes)
        half = self.size // 2
        if self.size > 1:
            on_chip_grid = ((rows + window.row_off) % self.size == half) & (
                (columns + window.col_off) % self.size == half
            )
            rows, columns = rows[on_chip_grid], columns[on_chip_grid]
        cells = (labelled.features[rows, columns], rows + window.row_off,
                 columns + window.col_off, labelled.codes[rows, columns])  # fmt: skip
        return np.stack([np.asarray(cell, np.int32) for cell in cells], axis=1)

    def _inside(self, centres: np.ndarray) -> np.ndarray:
        top_left = centres[:, 1:3] - self.size // 2
        inside = (top_left >= 0).all(axis=1)
        inside &= (top_left + self.size <= (self.grid.height, self.grid.width)).all(axis=1)
        self.left_out["chip leaves the scene"] += int((~inside).sum())
        return centres[inside]

    def _read(self, centres: np.ndarray) -> Chips:
        half = self.size // 2
        top, left = (int(side) for side in centres[:, 1:3].min(axis=0) - half)
        bottom, right = (int(side) for side in centres[:, 1:3].max(axis=0) - half + self.size)
        window = Window(left, top, right - left, bottom - top)
        values, valid = self.reader.read(window)
        rows, columns = centres[:, 1] - top, centres[:, 2] - left
        usable = valid[rows, columns]
        self.left_out["centre pixel is nodata"] += int((~usable).sum())
        centres, rows, columns = centres[usable], rows[usable], columns[usable]
        offsets = np.arange(self.size) - half
        at = (rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets)  # N, H, W
        chips = np.moveaxis(values[:, at[0], at[1]], 0, 1)  # (N, bands, H, W)
        chips, centres, at = self._marked(chips, valid[at], centres, at)
        mask = None
        if self.masks:
            codes = self.labels.read(window).codes[at]
            mask = np.where(codes == 0, UNLABELLED, codes).astype(np.uint8)
        return Chips(chips, centres[:, :3], centres[:, 3].astype(np.uint8), mask)

    def _marked(
        self,
        chips: np.ndarray,
        valid: np.ndarray,
        centres: np.ndarray,
        at: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Write masked pixels as nodata: a container has no mask band to say so.

        Chips are left out whose dtype has no value for it.
        """
        masked = ~valid & valid_pixels(chips, self.nodata)
        if not masked.any():
            return chips, centres, at
        filler = np.nan if np.issubdtype(chips.dtype, np.floating) else self.nodata
        if filler is None:
            whole = ~masked.any(axis=(1, 2))
            self.left_out["chip holds masked pixels"] += int((~whole).sum())
            return chips[whole], centres[whole], (at[0][whole], at[1][whole])
        return np.where(masked[:, None], chips.dtype.type(filler), chips), centres, at


def _write(
    parts: Iterator[Chips], writer: SamplesWriter, most: int, rng: np.random.Generator
) -> None:
    """Write all chips, or at most so many of each class, every choice equally likely."""
    chosen: dict[int, _Chosen] = {}
    for part in parts:
        for code in np.unique(part.codes).tolist():
            of_class = part.take(np.flatnonzero(part.codes == code))
            if most:
                chosen.setdefault(code, _Chosen(most)).add(of_class, rng)
            else:
                writer.append(code, of_class)
    for code, kept in sorted(chosen.items()):
        writer.append(code, kept.chips())


class _Chosen:
    """The chips with the smallest random keys: a fair choice from a stream of any length."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Chips] = []
        self._keys = np.zeros(0)

    def add(self, chips: Chips, rng: np.random.Generator) -> None:
        self._parts.append(chips)
        self._keys = np.concatenate([self._keys, rng.random(len(chips.codes))])
        if len(self._keys) > 2 * self._most:
            self._thin()

    def chips(self) -> Chips:
        """Return the chosen, in the order they came."""
        self._thin()
        return self._parts[0]

    def _thin(self) -> None:
        smallest = np.sort(np.argsort(self._keys, kind="stable")[: self._most])
        self._parts = [Chips.joined(self._parts).take(smallest)]
        self._keys = self._keys[smallest]


def _why_none(labels: str, left_out: Counter[str]) -> str:
    reasons = [f"{reason}: {n}" for reason, n in left_out.items() if n]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"no sample lies in the scene{why}, {labels} needs labels that cover valid pixels"


def _write_counts(
    path: Path, counts: Counter[int], legend: Legend, left_out: Counter[str]
) -> Path:
    per_class = [(entry.name, entry.code, counts[entry.code]) for entry in legend.classes]
    reasons = [(f"left out: {reason}", "", n) for reason, n in left_out.items() if n]
    write_csv(path, ("class", "code", "samples"), [*per_class, *reasons])
    return path
