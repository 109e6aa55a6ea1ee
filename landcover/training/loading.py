"""Samples folders as one training set: labelled, valid pixels, of one legend and one unit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Band
from landcover.io.sensors import Measured
from landcover.models.footprint import Footprint
from landcover.models.forest.window_features import REACH, features_at
from landcover.models.training_set import TrainingSet
from landcover.progress import remark
from landcover.samples import places
from landcover.samples.containers import Container, is_raster
from landcover.samples.folder import Batch, Samples
from landcover.samples.selection import ChipsDigest, Selection, Selections
from landcover.samples.several import bands_in_order, measured_by_all, open_folders
from landcover.training.ground import Ground, Located, footprint_of, join_folders

_OTHER_UNIT = 30
"""So many times as large in every band are values in another unit, not of another season."""
_LOOKED_AT = 10_000
"""Pixels of a batch that tell how large the values of a folder are."""
_NOTHING_CHOSEN = "the selection leaves no sample to train on: balance these samples anew"
_NOTHING_VALID = (
    "no labelled pixel of the samples is valid: all are nodata, is the nodata value right?"
)


@dataclass(frozen=True)
class Labelled:
    """A training set with what its samples say of themselves.

    Attributes:
        ground: where the pixels lie, and their places.
        in_blocks: bool (M,), whether the place of a pixel is a block of its scene, for want of a
            feature.
        legend: the classes of all folders; names that several have are one class.
        dtype: of the scene, or one that holds the values of all scenes.
        nodata: of the first scene.
        chip_size: side of a sample in pixels.
        measured: sensor, level and unit; None where the scenes differ.
        centres_only: whether of chips of several pixels only the centre has a class.
        footprint: where on the ground the labelled pixels lie; None if unknown.
        scene_pixels: (N, bands), drawn from all over the scenes; None if unknown.
        scenes: names of the scenes of all folders, by number of folder.
        labels_by: the rules that made labels, each once; people made the others.
    """

    training_set: TrainingSet
    ground: Ground
    in_blocks: np.ndarray
    legend: Legend
    dtype: str
    nodata: float | None
    chip_size: int
    measured: Measured
    centres_only: bool
    footprint: Footprint | None
    scene_pixels: np.ndarray | None
    scenes: tuple[str, ...]
    labels_by: tuple[str, ...] = ()

    @property
    def without_sample(self) -> list[str]:
        """The classes of the legend of which nothing is learned."""
        present = set(np.unique(self.training_set.codes).tolist())
        return [entry.name for entry in self.legend.classes if entry.code not in present]


def load_samples(
    folders: Sequence[AnyPath],
    chosen: Selections | None,
    with_context: bool,
    uses_windows: Callable[[int], bool] = lambda context: False,
) -> Labelled:
    """Read the labelled, valid pixels of samples folders.

    Args:
        folders: one, or several of the same bands and unit.
        chosen: which samples to use, of all folders; all by default.
        with_context: read whole chips, not the labelled pixels alone.
        uses_windows: asked with the context of the samples whether labelled pixels alone are
            read with means and deviations of the windows around them.

    Raises:
        InputError: a folder is invalid, the folders do not fit together, the selection is of
            other samples, or nothing remains.
    """
    opened = open_folders(folders)
    selections = [None] * len(opened) if chosen is None else chosen.of(opened)
    first = opened[0]
    with_windows = uses_windows(min(map(_context_of, opened)))
    legend = first.legend
    parts: list[TrainingSet] = []
    located: list[Located] = []
    levels: list[dict[int, np.ndarray]] = []
    for samples, selection in zip(opened, selections, strict=True):
        legend, code_of = legend.united(samples.legend)
        bands = bands_in_order(samples, first)
        of_folder = list(_parts(samples, selection, with_context, with_windows, bands, code_of))
        parts += [part for part, _ in of_folder]
        levels.append(_levels_of([part for part, _ in of_folder]))
        located.append(_located(samples, of_folder))
    training_set = _joined(parts, first.bands)
    if not len(training_set):
        raise InputError(_NOTHING_VALID if chosen is None else _NOTHING_CHOSEN)
    ground = join_folders(located)
    if len(opened) > 1:
        _need_alike_units(opened, levels)
        _remark_on_differences(opened)
    footprint = footprint_of(located)
    _remark_on_unknown_places(footprint)
    return Labelled(
        training_set=replace(training_set, places=ground.places),
        ground=ground,
        in_blocks=places.is_block(training_set.places),
        legend=legend,
        dtype=str(np.result_type(*(samples.dtype for samples in opened))),
        nodata=first.nodata,
        chip_size=first.chip_size,
        measured=measured_by_all(opened),
        centres_only=any(map(_room, opened)),
        footprint=footprint,
        scene_pixels=_scene_pixels(opened),
        scenes=tuple(samples.scene for samples in opened),
        labels_by=tuple(dict.fromkeys(s.labels_by for s in opened if s.labels_by)),
    )


def _levels_of(parts: Sequence[TrainingSet]) -> dict[int, np.ndarray]:
    """Return the median magnitude of each band (bands,) in each class, by its code."""
    pixels = [part.pixels[:_LOOKED_AT] for part in parts if len(part)]
    if not pixels:
        return {}
    values = np.abs(np.concatenate(pixels))
    codes = np.concatenate([part.codes[:_LOOKED_AT] for part in parts if len(part)])
    return {int(code): np.median(values[codes == code], axis=0) for code in np.unique(codes)}


def _need_alike_units(opened: Sequence[Samples], levels: Sequence[dict[int, np.ndarray]]) -> None:
    """Refuse folders whose classes differ many times in every band, as counts and reflectance do.

    Raises:
        InputError: they do, while their scenes declare no unit.
    """
    for samples, level in zip(opened[1:], levels[1:], strict=True):
        shared = sorted(level.keys() & levels[0].keys())
        if not shared:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.array([level[code] / levels[0][code] for code in shared])
        if (times > _OTHER_UNIT).all() or (times < 1 / _OTHER_UNIT).all():
            raise InputError(
                f"the values of {samples.scene or 'one folder'} are some {np.median(times):.1g} "
                f"times those of {opened[0].scene or 'the first'} in every band of the same "
                "classes, they seem to be in another unit: bring the scenes to one unit first"
            )


def _scene_pixels(opened: Sequence[Samples]) -> np.ndarray | None:
    """Return pixels of all scenes, their bands in the order of the first folder."""
    parts = [
        samples.scene_pixels[:, bands_in_order(samples, opened[0])]
        for samples in opened
        if samples.scene_pixels is not None
    ]
    return np.concatenate(parts) if parts else None


def _located(samples: Samples, parts: Sequence[tuple[TrainingSet, np.ndarray | None]]) -> Located:
    positions = [at for part, at in parts if at is not None and len(part)]
    is_known = all(at is not None for part, at in parts if len(part)) and positions
    return Located(
        np.concatenate([part.places for part, _ in parts]),
        np.concatenate(positions) if is_known else None,
        samples.transform,
        samples.crs,
    )


def _remark_on_unknown_places(footprint: Footprint | None) -> None:
    """Remark that maps of the model will not know whether their reference trained it."""
    if footprint is None or not footprint.complete:
        which = "these" if footprint is None else "some"
        remark(
            f"it is not known where {which} samples lie, samples.json of extract-samples says it: "
            "assess-quality cannot know whether a reference was used for training"
        )


def _remark_on_differences(opened: Sequence[Samples]) -> None:
    """Remark on what the model card can record of one folder only."""
    first = opened[0]
    for what in ("dtype", "nodata", "chip_size"):
        values = dict.fromkeys(str(getattr(samples, what)) for samples in opened)
        if len(values) > 1:
            remark(
                f"the samples folders differ in {what} ({', '.join(values)}); the model card "
                f"names one that holds all, or that of {first.scene or 'the first'}"
            )


def _parts(
    samples: Samples,
    chosen: Selection | None,
    with_context: bool,
    with_windows: bool,
    bands: list[int],
    code_of: np.ndarray,
) -> Iterator[tuple[TrainingSet, np.ndarray | None]]:
    """Yield the labelled pixels of each batch, and where they lie if that is known."""
    digest = ChipsDigest()
    for batch in samples.batches():
        file = batch.container.file
        kept = np.ones(len(batch.indexes), bool)
        if chosen is not None:
            digest.add(batch)
            kept = np.array([(file, i) in chosen.kept for i in batch.indexes], bool)
        labelled = (batch.codes != NODATA) & batch.valid & kept[:, None, None]
        at = np.argwhere(labelled)
        codes, place = code_of[batch.codes[labelled]], batch.places[labelled]
        if with_context:
            part = _whole_chips(batch, at, codes, place, bands)
        else:
            part = _pixels_alone(batch, at, codes, place, bands, with_windows)
        yield part, batch.positions(at)
    if chosen is not None:
        chosen.check_digest(digest)


def _pixels_alone(
    batch: Batch,
    at: np.ndarray,
    codes: np.ndarray,
    place: np.ndarray,
    bands: list[int],
    with_windows: bool,
) -> TrainingSet:
    """Return the labelled pixels of a batch, and what is asked for of those around them."""
    chip, row, column = at.T
    values = batch.chips[chip, :, row, column][:, bands].astype(np.float32)
    around = None
    if with_windows:
        _need_inside(batch, at)
        around = features_at(batch.chips, batch.valid, at)[..., bands]
    return TrainingSet.of_pixels(values, codes, place, around=around)


def _need_inside(batch: Batch, at: np.ndarray) -> None:
    """Refuse labels so near to the edge of a chip that windows around them are not known whole."""
    height, width = batch.valid.shape[1:]
    inside = (at[:, 1:] >= REACH) & (at[:, 1:] < np.array([height, width]) - REACH)
    if not inside.all():
        raise InputError(
            f"{batch.container.file} has labels nearer than {REACH} pixels to the edge of a chip, "
            "windows reach beyond it: extract with more context, or set the option windows to none"
        )


def _whole_chips(
    batch: Batch, at: np.ndarray, codes: np.ndarray, place: np.ndarray, bands: list[int]
) -> TrainingSet:
    """Return the chips of a batch in which a pixel is labelled."""
    used, chip = np.unique(at[:, 0], return_inverse=True)
    at = np.column_stack([chip, at[:, 1:]])
    chips = batch.chips[used][:, bands]
    return TrainingSet(chips, batch.valid[used], at, codes, place, ())


def _joined(parts: Sequence[TrainingSet], bands: tuple[Band, ...]) -> TrainingSet:
    sizes = {part.chips.shape[2:] for part in parts if len(part)}
    if len(sizes) > 1:
        shown = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
        raise InputError(f"the samples have chips of {shown} pixels, all need the same size")
    parts = [part for part in parts if len(part)] or list(parts[:1])
    before = np.cumsum([0, *(len(part.chips) for part in parts)])
    at = np.concatenate([part.at for part in parts])
    at[:, 0] += np.repeat(before[:-1], [len(part) for part in parts])
    return TrainingSet(
        chips=np.concatenate([part.chips for part in parts]),
        valid=np.concatenate([part.valid for part in parts]),
        at=at,
        codes=np.concatenate([part.codes for part in parts]),
        places=np.concatenate([part.places for part in parts]),
        bands=bands,
        around=_joined_around(parts),
    )


def _joined_around(parts: Sequence[TrainingSet]) -> np.ndarray | None:
    around = [part.around for part in parts if part.around is not None]
    return np.concatenate(around) if around else None


def _context_of(samples: Samples) -> int:
    """Return how many pixels there are on each side of a labelled one, at least."""
    return max(samples.context, _room(samples))


def _room(samples: Samples) -> int:
    """Return how many pixels there are on each side of a centre; 0 if other pixels have classes.

    A GeoTIFF has no mask, and all of them need one size.
    """
    first = next(container for container in samples.containers if len(container))
    arrays = [c for c in samples.containers if len(c) and not is_raster(c.file)]
    return 0 if samples.patches else min(map(_room_in, [first, *arrays]))


def _room_in(container: Container) -> int:
    sides = container.read(0, 1)[1].shape[1:]
    return 0 if container.mask(0, 1, sides) is not None else (min(sides) - 1) // 2
