"""Cut labelled samples out of a scene, block by block.

What is held in memory are a row of the scene's blocks and, where `max_per_class` is given, twice
as many chips of each class; the rest goes to the disk as it is read. Each block of the scene is
decoded once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.atomic import write_csv
from landcover.io.bands import MOST_LEARNED, SceneBands, choose_bands
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend
from landcover.io.paths import AnyPath
from landcover.io.raster import BlockReader, Grid, open_scene
from landcover.io.scene_pixels import sample_pixels
from landcover.io.sensors import measured_by
from landcover.io.undeclared_fill import without_fill
from landcover.io.upright import upright
from landcover.operation import (
    CSV,
    LabelFile,
    LegendFile,
    Range,
    RasterFile,
    SceneFile,
    Seed,
    WrittenFolder,
)
from landcover.progress import remark
from landcover.samples.automatic import made_by
from landcover.samples.cutting import ChipCutter, LabelReader, PatchCutter, Squares
from landcover.samples.folder import MOST_SCENE_NUMBERS, MOST_SCENE_PIXELS
from landcover.samples.labels import Points, open_labels
from landcover.samples.left_out import Tally, remark_left_out, why_no_sample
from landcover.samples.writer import Chips, SamplesWriter, writing_samples


@dataclass(frozen=True)
class Extraction:
    """Samples cut from a scene.

    Attributes:
        samples: the samples folder, one container per class, or one of patches.
        counts: samples per class (of patches, labelled pixels), and what was left out and why
            (class, code, samples).
        total: number of samples; of patches, of labelled pixels.
    """

    samples: WrittenFolder
    counts: CSV
    total: int


def extract_samples(
    scene: SceneFile,
    labels: LabelFile,
    class_field: str = "class",
    chip_size: Annotated[int, Range(1, 1024)] = 1,
    max_per_class: Annotated[int, Range(0)] = 0,
    masks: bool = False,
    context: Annotated[int, Range(0, 256)] = 0,
    patches: Annotated[int, Range(0, 1024)] = 0,
    seed: Seed = 0,
    layer: str = "",
    legend: LegendFile | None = None,
    bands: str = "",
    mask: RasterFile | None = None,
    workdir: AnyPath = "",
) -> Extraction:
    """Cut labelled samples out of a scene.

    A pixel belongs to a polygon if its centre lies inside; pixels under polygons of different
    classes, on nodata, and chips that leave the scene are left out and counted. For methods that
    look at the neighbourhood of a pixel ask for context; for those that map whole squares, as
    U-Net does, for patches: they hold every labelled pixel once.

    Args:
        scene: GeoTIFF or COG of any bands, dtype and CRS.
        labels: polygons or points (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ, GPX, a
            zipped Shapefile, CSV with lon and lat, or with x and y in the scene's system) or a
            label raster; where polygons and points come together, a point is its pixel.
        class_field: attribute of the vector labels that holds the class.
        chip_size: side of a sample in pixels; 1 is single pixels; not for patches.
        max_per_class: keep at most so many of a class, chosen at random; 0 keeps all; not for
            patches, which hold many classes.
        masks: also write the class of every pixel of a chip; patches always have it.
        context: pixels to keep around each sample on every side, unlabelled; pixels beyond the
            scene are invalid.
        patches: side in pixels of squares that together hold every labelled pixel once; 0 cuts
            samples of one class each.
        seed: of the random choice.
        layer: of vector labels that hold several; of a KML a folder, of a zip a file in it.
        legend: from before, whose classes keep their codes and colours while new ones get free
            codes: an earlier map, samples.json, a CSV with the columns code, name and color, or
            JSON.
        bands: of the scene to keep, in their order, renamed where that helps, as in
            B04,red=B4,B8A; all by default. Bands that are masks (alpha) are never kept.
        mask: raster of one band whose pixels of 0 or nodata are invalid in the scene, such as
            clouds; all other values are valid. A fill that the scene does not declare as nodata,
            one spectrum far from all others, is invalid too.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, inputs contradict one another, or no sample comes of them.
    """
    _check(chip_size, max_per_class, patches)
    known, rules = read_legend(legend), made_by(labels)
    if rules:
        remark(
            f"the labels were made by {rules}, not by people: what a model that learns from these "
            "samples says of its accuracy is how well it learned the rules"
        )
    target = Path(workdir) / "samples"
    with open_scene(scene, mask) as opened:
        raster = upright(opened)
        grid = Grid.of(raster)
        used = choose_bands(raster, bands)
        _remark_on_many(used)
        dataset = without_fill(raster, used.indexes)
        nodata = dataset.nodata if dataset.nodata == dataset.nodata else None  # NaN needs none
        tally = Tally()
        with (
            open_labels(labels, class_field, grid, known, layer) as labelled,
            writing_samples(target) as writer,
        ):
            squares = _squares(dataset, used, patches or chip_size, context, bool(patches), nodata)
            reader = LabelReader(labelled, tally)
            if patches:
                for part in PatchCutter(squares, grid, reader, tally).cut():
                    writer.append_patches(part)
            else:
                chips = ChipCutter(squares, grid, reader, masks, tally).cut()
                _write(chips, writer, max_per_class, np.random.default_rng(seed))
            if not writer.total:
                raise InputError(why_no_sample(tally, Path(labels).name))
            writer.describe(
                scene=Path(scene).name,
                crs=grid.crs.to_string(),
                transform=grid.transform,
                dtype=dataset.dtypes[0],
                nodata=nodata,
                chip_size=squares.side,
                bands=used.bands,
                legend=labelled.legend,
                measured=measured_by(dataset),
                context=context,
                patches=patches,
                scene_pixels=_of_scene(opened, used),
                labels_by=rules,
            )
            classes = labelled.legend
            remark_left_out(
                tally,
                legend=classes,
                file=Path(labels).name,
                label="point" if isinstance(labelled, Points) else "polygon",
                chip_size=chip_size,
                context=context,
                masks=masks,
                without_sample=[c.name for c in classes.classes if not writer.counts[c.code]],
            )
    counts = _write_counts(Path(workdir) / "counts.csv", writer.counts, classes, tally)
    return Extraction(samples=target, counts=counts, total=writer.total)


def _check(chip_size: int, max_per_class: int, patches: int) -> None:
    if patches and chip_size != 1:
        raise InputError(
            f"chip_size is {chip_size} and patches is {patches}, give one of them: patches have "
            "the side that patches says"
        )
    if patches and max_per_class:
        raise InputError(
            f"max_per_class is {max_per_class}, which cannot be kept for patches, as they hold "
            "many classes: leave max_per_class or patches out"
        )


def _of_scene(dataset: DatasetReader, used: SceneBands) -> np.ndarray | None:
    """Return pixels from all over a scene, (N, bands), in its dtype; few where bands are many.

    Values that no training pixel may have are left out; None if there are no others.
    """
    most = min(MOST_SCENE_PIXELS, MOST_SCENE_NUMBERS // len(used.indexes))
    values = sample_pixels(dataset, used.indexes).some(max(most, 1)).values
    values = values[(np.abs(values) <= np.finfo(np.float32).max).all(axis=1)]
    if not len(values):
        return None
    dtype = np.result_type(*dataset.dtypes)
    # as float64 they may lie just beyond what 64 bits hold
    return np.asarray(values if np.abs(values).max() > 2**53 else values.astype(dtype))


def _remark_on_many(used: SceneBands) -> None:
    if len(used.bands) > MOST_LEARNED:
        remark(
            f"the samples get {len(used.bands)} bands, and train-classifier takes at most "
            f"{MOST_LEARNED}: choose some with bands"
        )


def _squares(
    dataset: DatasetReader,
    bands: SceneBands,
    side: int,
    context: int,
    patches: bool,
    nodata: float | None,
) -> Squares:
    """Return what cuts chips, which lie around their centre, or patches, which begin at it."""
    reach = context + (0 if patches else side // 2)
    return Squares(BlockReader(dataset, reach, bands.indexes), side, context, nodata)


def _write(
    parts: Iterator[Chips], writer: SamplesWriter, most: int, rng: np.random.Generator
) -> None:
    """Write all chips, or at most so many of each class, every choice equally likely."""
    chosen: dict[int, _Chosen] = {}
    for part in parts:
        for code in np.unique(part.codes).tolist():
            of_class = part.codes == code
            chips = part if of_class.all() else part.take(np.flatnonzero(of_class))
            if most:
                chosen.setdefault(code, _Chosen(most)).add(chips, rng)
            else:
                writer.append(code, chips)
    for code, kept in sorted(chosen.items()):
        writer.append(code, kept.chips())


class _Chosen:
    """The chips with the smallest random keys: a fair choice from a stream of any length."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Chips] = []
        self._keys = np.zeros(0)
        self._limit = 1.0

    def add(self, chips: Chips, rng: np.random.Generator) -> None:
        keys = rng.random(len(chips.codes))
        candidates = np.flatnonzero(keys < self._limit)
        if not candidates.size:
            return
        self._parts.append(chips.take(candidates))
        self._keys = np.concatenate([self._keys, keys[candidates]])
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
        if len(self._keys) == self._most:
            self._limit = float(self._keys.max())  # no larger key can be chosen any more


def _write_counts(path: Path, counts: Counter[int], legend: Legend, tally: Tally) -> Path:
    per_class = [(entry.name, entry.code, counts[entry.code]) for entry in legend.classes]
    reasons = [(f"left out: {reason}", "", n) for reason, n in tally.left_out.items() if n]
    write_csv(path, ("class", "code", "samples"), [*per_class, *reasons])
    return path
