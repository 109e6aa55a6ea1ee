"""Labelled pixels straight from a scene: for what is shown while somebody draws.

They are those that `extract_samples` and `load_samples` give of the same labels, in the same
order; of large polygons a few hundred stand for all, so that a forest is trained within a breath.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.bands import SceneBands
from landcover.io.legend import Legend
from landcover.io.raster import BlockReader, Grid, windows_of
from landcover.io.sensors import measured_by
from landcover.models.forest.window_features import REACH, features_at
from landcover.models.training_set import TrainingSet
from landcover.samples import places
from landcover.samples.containers import valid_pixels
from landcover.samples.cutting import ChipCutter, LabelReader, Squares
from landcover.samples.labels import NO_FEATURE, Labels, Points, Polygons
from landcover.samples.labels import Labelled as LabelledWindow
from landcover.samples.left_out import Tally
from landcover.samples.writer import Chips
from landcover.training.ground import Located, join_folders
from landcover.training.loading import Labelled

MOST, MOST_OF_FEATURE, LEAST_OF_FEATURE = 3000, 100, 5
"""Pixels that are learned from, in all and of one polygon; and of one at least, if it has them."""
_MOST_WINDOWS = 4
"""That are read of one polygon."""


def label_pixels(
    dataset: DatasetReader, labels: Labels, bands: SceneBands, with_windows: bool
) -> Labelled:
    """Read the labelled, valid pixels of a scene.

    Args:
        dataset: the scene.
        labels: polygons or points on its grid; of many pixels some are drawn, always the same.
        bands: to read.
        with_windows: whether the means and deviations of the windows around them are too.

    Raises:
        InputError: no labelled pixel is valid.
    """
    nodata = dataset.nodata if dataset.nodata == dataset.nodata else None  # NaN needs none
    context = REACH if with_windows else 0
    wanted = _wanted(labels, dataset)
    reader = BlockReader(dataset, context, bands.indexes, lambda window: _corner(window) in wanted)
    squares = Squares(reader, 1, context, nodata)
    tally = Tally()
    cutter = ChipCutter(
        squares, Grid.of(dataset), LabelReader(_thinned(labels), tally), masks=False, tally=tally
    )
    parts = [_Part.of(chips, nodata, with_windows) for chips in cutter.cut() if len(chips.codes)]
    if not parts:
        raise InputError("no labelled pixel lies on valid pixels of the scene")
    return _labelled(parts, dataset, labels.legend, bands)


@dataclass(frozen=True)
class _Part:
    """Labelled pixels: values (N, bands), what is around (N, kinds, bands), codes and origins."""

    values: np.ndarray
    around: np.ndarray | None
    codes: np.ndarray
    origins: np.ndarray

    @classmethod
    def of(cls, chips: Chips, nodata: float | None, with_windows: bool) -> "_Part":
        middle = chips.chips.shape[-1] // 2
        values = chips.chips[:, :, middle, middle].astype(np.float32)
        around = None
        if with_windows:
            valid = valid_pixels(chips.chips, nodata)
            if chips.valid is not None:
                valid &= chips.valid.astype(bool)
            at = np.full((len(values), 3), middle, np.int64)
            at[:, 0] = np.arange(len(values))
            around = features_at(chips.chips, valid, at)
        return cls(values, around, chips.codes, chips.origins)


def _labelled(
    parts: Sequence[_Part], dataset: DatasetReader, legend: Legend, bands: SceneBands
) -> Labelled:
    codes = np.concatenate([part.codes for part in parts])
    order = np.argsort(codes, kind="stable")  # a samples folder holds class after class
    origins = np.concatenate([part.origins for part in parts])[order]
    place = places.of_feature(origins[:, 0].astype(np.int64))
    around = [part.around for part in parts if part.around is not None]
    training_set = TrainingSet.of_pixels(
        np.concatenate([part.values for part in parts])[order], codes[order], place, bands.bands,
        np.concatenate(around)[order] if around else None,
    )  # fmt: skip
    grid = Grid.of(dataset)
    positions = origins[:, 1:].astype(np.int64)
    ground = join_folders([Located(place, positions, grid.transform, grid.crs.to_string())])
    return Labelled(
        training_set=replace(training_set, places=ground.places),
        ground=ground,
        in_blocks=np.zeros(len(codes), bool),
        legend=legend,
        dtype=dataset.dtypes[0],
        nodata=dataset.nodata,
        chip_size=1,
        measured=measured_by(dataset),
        centres_only=False,
        footprint=None,
        scene_pixels=None,
        scenes=(Path(dataset.name).name,),
    )


def _corner(window: Window) -> tuple[int, int]:
    return window.row_off, window.col_off


def _wanted(labels: Labels, dataset: DatasetReader) -> set[tuple[int, int]]:
    """Return the corners of the windows to read; of a polygon in many windows, of a few."""
    if not isinstance(labels, Polygons | Points):
        raise TypeError(f"labels that are drawn are polygons or points, not {type(labels)}")
    at: dict[int, list[tuple[int, int]]] = {}
    for window in windows_of(dataset):
        for feature in labels.touching(window).tolist():
            at.setdefault(feature, []).append(_corner(window))
    return {corner for corners in at.values() for corner in _some(corners)}


def _some(corners: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    chosen = np.linspace(0, len(corners) - 1, min(_MOST_WINDOWS, len(corners))).round()
    return [corners[int(index)] for index in chosen]


def _thinned(labels: Labels) -> Labels:
    """Return labels of which few enough pixels are read; themselves if they are few."""
    if isinstance(labels, Points):
        return labels if len(labels.codes) <= MOST else _some_points(labels)
    assert isinstance(labels, Polygons)
    shares = _shares(shapely.area(labels.geometries) / abs(labels.grid.transform.determinant))
    return labels if (shares >= 1).all() else _Thinned(labels, shares)


def _some_points(labels: Points) -> Points:
    kept = np.sort(np.random.default_rng(0).choice(len(labels.codes), MOST, replace=False))
    return replace(
        labels,
        rows=labels.rows[kept],
        columns=labels.columns[kept],
        codes=labels.codes[kept],
        features=labels.features[kept],
    )


def _shares(pixels: np.ndarray) -> np.ndarray:
    """Return which share of the pixels of each polygon is learned from, float (N,).

    >>> _shares(np.array([10.0, 100.0, 1000.0])).tolist()
    [1.0, 1.0, 0.1]
    """
    sizes, most = np.maximum(pixels, 1.0), float(MOST_OF_FEATURE)
    while np.minimum(sizes, most).sum() > MOST and most > LEAST_OF_FEATURE:
        most = max(most * 0.8, LEAST_OF_FEATURE)
    kept = np.minimum(sizes, most)
    return np.asarray(kept / sizes * min(1.0, MOST / kept.sum()))


@dataclass(frozen=True)
class _Thinned:
    """Polygons of which only some pixels are read, by their shares (N,)."""

    labels: Polygons
    shares: np.ndarray
    outside: int = 0
    unlabelled: tuple[int, ...] = ()

    @property
    def legend(self) -> Legend:
        return self.labels.legend

    @property
    def given(self) -> int:
        return self.labels.given

    @property
    def reached(self) -> np.ndarray:
        return self.labels.reached

    def read(self, window: Window) -> LabelledWindow:
        found = self.labels.read(window)
        drawn = np.random.default_rng(_corner(window)).random(found.codes.shape)
        kept = (found.features != NO_FEATURE) & (drawn < self.shares[found.features])
        return replace(
            found,
            codes=np.where(kept, found.codes, 0).astype(np.uint8),
            features=np.where(kept, found.features, NO_FEATURE).astype(np.int32),
        )
