"""Cut labelled samples out of a scene, block by block.

What is held in memory are a row of the scene's blocks and, where `max_per_class` is given, twice
as many chips of each class and scene; the rest goes to the disk as it is read. Each block of a
scene is decoded once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.bands import MOST_LEARNED, SceneBands, choose_bands
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend
from landcover.io.raster import Band, BlockReader, Grid, open_scene
from landcover.io.records.digests import sha256_of_path
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
from landcover.samples.labels import Labels, Points, open_labels
from landcover.samples.left_out import Tally, remark_left_out, why_no_sample
from landcover.samples.several import in_order_of, measured_alike
from landcover.samples.writer import Chips, CutScene, SamplesWriter, writing_samples


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
    scene: SceneFile | list[SceneFile],
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
        scene: GeoTIFF or COG of any bands, dtype and CRS, or several with the same bands, which
            are matched by name and by the light they see; they may lie apart or be of several
            dates, and a label counts in each scene that it lies in.
        labels: polygons or points (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ, GPX, a
            zipped Shapefile, CSV with lon and lat, or with x and y in the scene's system) or a
            label raster; where polygons and points come together, a point is its pixel.
        class_field: attribute of the vector labels that holds the class.
        chip_size: side of a sample in pixels; 1 is single pixels; not for patches.
        max_per_class: keep at most so many of a class, of all scenes together, chosen at random;
            0 keeps all; not for patches, which hold many classes.
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
            clouds; all other values are valid; not with several scenes. A fill that a scene does
            not declare as nodata, one spectrum far from all others, is invalid too.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, inputs contradict one another, or no sample comes of them.
    """
    scenes = [*map(Path, scene if isinstance(scene, list) else [scene])]
    _check(chip_size, max_per_class, patches)
    rules = made_by(labels)
    if rules:
        remark(
            f"the labels were made by {rules}, not by people: what a model that learns from these "
            "samples says of its accuracy is how well it learned the rules"
        )
    _check_scenes(scenes, mask)
    how = _How(labels, class_field, layer, bands, mask, chip_size, masks, context, patches)
    target = Path(workdir) / "samples"
    with writing_samples(target) as writer:
        found = _Found(read_legend(legend))
        kept = _Kept(writer, max_per_class, np.random.default_rng(seed))
        for one in scenes:
            _cut_from(one, how, found, kept, alone=len(scenes) == 1)
        kept.finish()
        if not writer.total:
            raise InputError(why_no_sample(found.tally, Path(labels).name))
        measured_alike([one.measured for one in writer.scenes])  # or no training could take them
        classes = found.legend or Legend(())
        writer.describe(
            chip_size=how.side,
            bands=found.bands,
            legend=classes,
            context=context,
            patches=patches,
            labels_by=rules,
        )
        remark_left_out(
            found.tally,
            legend=classes,
            file=Path(labels).name,
            label=found.label,
            chip_size=chip_size,
            context=context,
            masks=masks,
            without_sample=[c.name for c in classes.classes if not writer.counts[c.code]],
        )
    counts = _write_counts(Path(workdir) / "counts.csv", writer.counts, classes, found.tally)
    return Extraction(samples=target, counts=counts, total=writer.total)


@dataclass(frozen=True)
class _How:
    """What is asked of every scene, as `extract_samples` takes it."""

    labels: LabelFile
    class_field: str
    layer: str
    bands: str
    mask: RasterFile | None
    chip_size: int
    masks: bool
    context: int
    patches: int

    @property
    def side(self) -> int:
        """Of a sample in pixels, without context."""
        return self.patches or self.chip_size


@dataclass
class _Found:
    """What is known of the scenes so far.

    Attributes:
        legend: the classes, each of which keeps its code in all scenes.
        bands: of the first scene, in whose order all chips have them.
        tally: what was left out, of all scenes.
        reached: indexes of the labels that lie in a scene.
        first: name of the first scene.
        label: what one of the labels is, for people.
    """

    legend: Legend | None
    bands: tuple[Band, ...] = ()
    tally: Tally = field(default_factory=Tally)
    reached: set[int] = field(default_factory=set)
    first: str = ""
    label: str = "polygon"

    def add(self, labels: Labels, tally: Tally, alone: bool) -> None:
        """Add what a scene showed; outside is a label that lies in no scene."""
        self.legend = labels.legend
        self.label = "point" if isinstance(labels, Points) else "polygon"
        self.tally.add(tally)
        self.reached.update(labels.reached.tolist())
        if not alone and labels.given:
            self.tally.left_out["label outside the scene"] = labels.given - len(self.reached)


def _cut_from(path: Path, how: _How, found: _Found, kept: "_Kept", alone: bool) -> None:
    """Cut the samples of one scene."""
    with open_scene(path, how.mask) as opened:
        raster = upright(opened)
        grid = Grid.of(raster)
        used = _bands_alike(choose_bands(raster, how.bands), path.name, found)
        dataset = without_fill(raster, used.indexes)
        nodata = dataset.nodata if dataset.nodata == dataset.nodata else None  # NaN needs none
        tally = Tally()
        with open_labels(how.labels, how.class_field, grid, found.legend, how.layer) as labelled:
            squares = _squares(dataset, used, how, nodata)
            reader = LabelReader(labelled, tally)
            if how.patches:
                kept.add_patches(PatchCutter(squares, grid, reader, tally).cut())
            else:
                kept.add(ChipCutter(squares, grid, reader, how.masks, tally).cut())
            found.add(labelled, tally, alone)
        cut = CutScene(
            name=path.name,
            crs=grid.crs.to_string(),
            transform=grid.transform,
            dtype=dataset.dtypes[0],
            nodata=nodata,
            measured=measured_by(dataset),
            pixels=_of_scene(opened, used),
        )
    if not kept.end_scene(cut) and not alone:
        remark(f"{path.name}: {why_no_sample(tally, Path(how.labels).name)}")


def _bands_alike(used: SceneBands, name: str, found: _Found) -> SceneBands:
    """Return the bands of a scene in the order of those of the first one.

    Raises:
        InputError: they are not the same bands.
    """
    if not found.bands:
        _remark_on_many(used)
        found.bands, found.first = used.bands, name
        return used
    order = in_order_of(used.bands, found.bands, f"the scene {name} has", found.first)
    indexes = tuple(used.indexes[i] for i in order)
    return SceneBands(indexes, found.bands, tuple(used.described[i] for i in order))


def _check_scenes(scenes: Sequence[Path], mask: RasterFile | None) -> None:
    if mask is not None and len(scenes) > 1:
        raise InputError(
            f"mask belongs to one scene, and scene names {len(scenes)}: mask them one by one, by "
            "mask-clouds and extract-samples of each, and train on all their samples",
            "mask",
        )
    there = [path for path in scenes if path.is_file()] if len(scenes) > 1 else []
    for one, other in combinations(there, 2):
        if one.samefile(other) or sha256_of_path(one) == sha256_of_path(other):
            raise InputError(
                f"{one.name} and {other.name} are the same scene: every sample would count twice",
                "scene",
            )


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
    dataset: DatasetReader, bands: SceneBands, how: _How, nodata: float | None
) -> Squares:
    """Return what cuts chips, which lie around their centre, or patches, which begin at it."""
    reach = how.context + (0 if how.patches else how.side // 2)
    return Squares(BlockReader(dataset, reach, bands.indexes), how.side, how.context, nodata)


class _Kept:
    """Writes all chips, or at most so many of each class, every choice equally likely.

    Those that are chosen among are in memory until the last scene was read.
    """

    def __init__(self, writer: SamplesWriter, most: int, rng: np.random.Generator) -> None:
        self._writer, self._most, self._rng = writer, most, rng
        self._chosen: dict[int, _Chosen] = {}
        self._of_scenes: list[tuple[CutScene, dict[int, _Chosen]]] = []

    def add_patches(self, parts: Iterator[Chips]) -> None:
        """Write patches."""
        for part in parts:
            self._writer.append_patches(part)

    def add(self, parts: Iterator[Chips]) -> None:
        """Write chips, or choose among them."""
        for part in parts:
            for code in np.unique(part.codes).tolist():
                of_class = part.codes == code
                chips = part if of_class.all() else part.take(np.flatnonzero(of_class))
                if self._most:
                    self._chosen.setdefault(code, _Chosen(self._most)).add(chips, self._rng)
                else:
                    self._writer.append(code, chips)

    def end_scene(self, scene: CutScene) -> bool:
        """Tell which scene the chips were from; return whether there were any."""
        if self._most:
            self._of_scenes.append((scene, self._chosen))
            chosen, self._chosen = self._chosen, {}
            return bool(chosen)
        before = len(self._writer.scenes)
        self._writer.end_scene(scene)
        return len(self._writer.scenes) > before

    def finish(self) -> None:
        """Write what was chosen."""
        keys: dict[int, list[np.ndarray]] = {}
        for _, of_scene in self._of_scenes:
            for code, chosen in of_scene.items():
                keys.setdefault(code, []).append(chosen.keys)
        for scene, of_scene in self._of_scenes:
            for code, chosen in sorted(of_scene.items()):
                smallest = np.sort(np.concatenate(keys[code]))[: self._most]
                chips = chosen.chips(smallest[-1])
                if len(chips.codes):
                    self._writer.append(code, chips)
            self._writer.end_scene(scene)


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

    @property
    def keys(self) -> np.ndarray:
        """The keys of the chosen, in the order they came."""
        self._thin()
        return self._keys

    def chips(self, largest: float) -> Chips:
        """Return the chosen whose key is no larger, in the order they came."""
        self._thin()
        return self._parts[0].take(np.flatnonzero(self._keys <= largest))

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
