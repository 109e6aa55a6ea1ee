"""What a map, its confidence and another map show in each window, and labels in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import Grid, legend_of, parts_of, read_valid
from landcover.progress import report_progress
from landcover.quality.confusion import WINDOW, LeftOut, need_named, read_codes, tabulate
from landcover.samples.labels import Labels, Polygons

SURE = 0.9
"""Confidence from which a pixel is called sure."""
_BETWEEN_MAPS = 0.5
"""Where two maps differ one is wrong at least, and either as likely as the other."""
_AT_EDGES = 0.5
"""What an edge between classes counts where nothing better is known: mixed pixels."""
_MOST_WINDOWS = 1_000_000
_SUMS = ("pixels", "unknown", "doubt", "confidence", "unsure", "both", "differs")


class Group(NamedTuple):
    """Labelled pixels of one window that have one class on the map and are alike sure.

    Attributes are int64 (N,): the window's number, the code on the map, whether sure, labels,
    wrong ones, those that only the map and only the other one has right, and when the first came.
    """

    window: np.ndarray
    code: np.ndarray
    sure: np.ndarray
    labelled: np.ndarray
    wrong: np.ndarray
    only_map: np.ndarray
    only_other: np.ndarray
    order: np.ndarray

    @classmethod
    def none(cls) -> "Group":
        """Return an empty one."""
        return cls(*np.zeros((8, 0), np.int64))

    @classmethod
    def joined(cls, groups: Sequence["Group"]) -> "Group":
        """Put several together."""
        return cls(*(np.concatenate(each) for each in zip(cls.none(), *groups, strict=True)))


@dataclass
class Scan:
    """A map by windows (rows, columns).

    Attributes:
        grid: of the map.
        side: of a window in pixels.
        sums: by name: classified `pixels`; `unknown` ones, which the map leaves open though
            something is there; `doubt`, the errors expected among both; `confidence` of the
            classified, and how many of them are `unsure` as it is missing; pixels that `both`
            maps classify and where it `differs`.
        of_class: int64 (256,), classified pixels by code.
        sure: int64 (256,), sure ones.
        doubt_of_sure: float (256,), errors expected among these.
        changes: int64 (256, 256), pixels by the codes of the map and of the other one.
        table: int64 (256, 256), labelled pixels by code of reference and map.
        inside: those of them in the training places.
        table_of_other: those by the other map.
        left_out: labels that do not count.
        groups: labelled pixels.
    """

    grid: Grid
    side: int
    sums: dict[str, np.ndarray]
    of_class: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    sure: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    doubt_of_sure: np.ndarray = field(default_factory=lambda: np.zeros(256))
    changes: np.ndarray = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    table: np.ndarray = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    inside: np.ndarray = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    table_of_other: np.ndarray = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    left_out: LeftOut = field(default_factory=LeftOut)
    groups: Group = field(default_factory=Group.none)

    @classmethod
    def of(cls, grid: Grid, side: int) -> "Scan":
        """Create an empty one.

        Raises:
            InputError: there are too many windows.
        """
        shape = math.ceil(grid.height / side), math.ceil(grid.width / side)
        if shape[0] * shape[1] > _MOST_WINDOWS:
            raise InputError(
                f"windows of {side} pixels are {shape[0] * shape[1]:,}, more than "
                f"{_MOST_WINDOWS:,}: give a larger window"
            )
        return cls(grid, side, {name: np.zeros(shape) for name in _SUMS})

    @property
    def mean_doubt(self) -> np.ndarray:
        """Expected share of errors of each window, (rows, columns)."""
        seen = self.sums["pixels"] + self.sums["unknown"]
        return np.asarray(self.sums["doubt"] / np.maximum(seen, 1))


@dataclass(frozen=True)
class Sources:
    """What is read, all on the map's grid.

    Attributes:
        map: the map.
        confidence: of its pixels; None if there is none.
        scale: what the confidence is divided by to be a share: 100 or 1.
        other: another map; None if there is none.
        of_map: uint8 (256,), the common code of each of its codes.
        of_other: the same.
        of_reference: the same.
        labels: the reference; None if there is none.
        training: where the map's model was trained, if that is known.
    """

    map: DatasetReader
    confidence: DatasetReader | None
    scale: float
    other: DatasetReader | None
    of_map: np.ndarray
    of_other: np.ndarray
    of_reference: np.ndarray
    labels: Labels | None
    training: Polygons | None


def scan_map(sources: Sources, side: int) -> Scan:
    """Read everything once.

    Args:
        sources: what to read.
        side: of a window in pixels.

    Raises:
        InputError: a raster is no map, the confidence is none, or nothing is classified.
    """
    grid = Grid.of(sources.map)
    scan = Scan.of(grid, side)
    step = side * max(1, WINDOW // side)  # no window is cut
    groups = []
    parts = list(parts_of(Window(0, 0, grid.width, grid.height), step, step))
    for done, part in enumerate(parts):
        report_progress(done / len(parts), "reading the map")
        groups += _add(scan, _Seen.of(sources, part), sources, part)
    scan.groups = Group.joined(groups)
    if not scan.of_class.any():
        raise InputError(f"{Path(sources.map.name).name} holds no classified pixel")
    return scan


@dataclass(frozen=True)
class _Seen:
    """A part of the map: codes uint8 (H, W) as they are, and what is known of each pixel."""

    map: np.ndarray
    other: np.ndarray | None
    unknown: np.ndarray
    confidence: np.ndarray | None
    missing: np.ndarray
    doubt: np.ndarray

    @classmethod
    def of(cls, sources: Sources, part: Window) -> "_Seen":
        own = _codes(sources.map, part)
        other = None if sources.other is None else _codes(sources.other, part)
        unknown = _left_open(sources.map, part)
        missing, confidence = np.zeros(own.shape, bool), None
        if sources.confidence is not None:
            confidence, there = _confidence(sources.confidence, part, sources.scale)
            missing = (own != 0) & ~there
            unknown |= there
        if other is not None:
            unknown |= other != 0
        unknown &= own == 0
        differs = _differs(sources, own, other)
        doubt = _doubt(own, confidence, None if other is None else differs)
        return cls(own, other, unknown, confidence, missing, np.where(unknown, 1.0, doubt))


def _codes(dataset: DatasetReader, part: Window) -> np.ndarray:
    codes = read_codes(dataset, part)
    counts = np.bincount(codes.ravel(), minlength=256)
    need_named(counts, legend_of(dataset), Path(dataset.name).name)
    return codes


def _left_open(dataset: DatasetReader, part: Window) -> np.ndarray:
    """Return where a map that declares another nodata holds 0, bool (H, W)."""
    if dataset.nodata in (None, 0):
        return np.zeros((int(part.height), int(part.width)), bool)
    (values,), valid = read_valid(dataset, part, [1])
    return np.asarray(valid & (values == 0))


def _confidence(
    dataset: DatasetReader, part: Window, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return shares 0..1 (H, W), 0 where there is none, and where there are some."""
    (values,), valid = read_valid(dataset, part, [1])
    shares = np.where(valid, values, 0) / scale
    if (shares < 0).any() or (shares > 1).any():
        strange = values[valid & ((shares < 0) | (shares > 1))][0]
        raise InputError(
            f"{Path(dataset.name).name} holds {strange}: a confidence is 0 to 100 percent, or a "
            "share from 0 to 1 in floating point"
        )
    return shares, valid


def scale_of(dataset: DatasetReader) -> float:
    """Return what a confidence is divided by to be a share: 1 for shares, 100 for percent."""
    if not np.issubdtype(np.dtype(dataset.dtypes[0]), np.floating):
        return 100.0
    whole = Window(0, 0, dataset.width, dataset.height)
    for part in parts_of(whole, WINDOW, WINDOW):
        (values,), valid = read_valid(dataset, part, [1])
        if (values[valid] > 1).any():
            return 100.0
    return 1.0


def _differs(sources: Sources, own: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    if other is None:
        return np.zeros(own.shape, bool)
    differs = sources.of_map[own] != sources.of_other[other]
    return np.asarray(differs & (own != 0) & (other != 0))


def _doubt(
    own: np.ndarray, confidence: np.ndarray | None, differs: np.ndarray | None
) -> np.ndarray:
    """Return how likely each classified pixel is wrong, (H, W), 0 elsewhere.

    Confidence and disagreement are taken for independent.
    """
    if confidence is None and differs is None:
        doubt = _AT_EDGES * _edges(own)
    else:
        right = np.ones(own.shape) if confidence is None else confidence
        doubt = 1 - right * (1 - _BETWEEN_MAPS * (0 if differs is None else differs))
    return np.where(own != 0, doubt, 0.0)


def _edges(codes: np.ndarray) -> np.ndarray:
    """Return the pixels that have a neighbour of another class, bool (H, W)."""
    edges = np.zeros(codes.shape, bool)
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):  # fmt: skip
        unlike = (codes[one] != codes[other]) & (codes[one] != 0) & (codes[other] != 0)
        edges[one] |= unlike
        edges[other] |= unlike
    return edges


def _add(scan: Scan, seen: _Seen, sources: Sources, part: Window) -> list[Group]:
    codes = sources.of_map[seen.map]
    classified = codes != 0
    other = np.zeros_like(codes) if seen.other is None else sources.of_other[seen.other]
    both = classified & (other != 0)
    sure = classified & (seen.doubt <= 1 - SURE + 1e-9)
    confidence = np.zeros(codes.shape) if seen.confidence is None else seen.confidence
    marked = (
        classified, seen.unknown, seen.doubt, np.where(classified, confidence, 0), seen.missing,
        both, both & (codes != other),
    )  # fmt: skip
    for name, values in zip(_SUMS, marked, strict=True):
        _add_windows(scan.sums[name], values, part, scan.side)
    scan.of_class += np.bincount(codes[classified], minlength=256)
    scan.sure += np.bincount(codes[sure], minlength=256)
    scan.doubt_of_sure += np.bincount(codes[sure], seen.doubt[sure], minlength=256)
    if seen.other is not None:
        scan.changes += tabulate(codes, other)
    return _add_labels(scan, sources, part, codes, other, sure)


def _add_windows(target: np.ndarray, values: np.ndarray, part: Window, side: int) -> None:
    """Add a part, which begins with a window, to the sums of windows."""
    height, width = values.shape
    down, along = np.arange(0, height, side), np.arange(0, width, side)
    sums = np.add.reduceat(np.add.reduceat(values, down, axis=0, dtype=float), along, axis=1)
    row, column = part.row_off // side, part.col_off // side
    target[row : row + len(down), column : column + len(along)] += sums


def _add_labels(
    scan: Scan,
    sources: Sources,
    part: Window,
    codes: np.ndarray,
    other: np.ndarray,
    sure: np.ndarray,
) -> list[Group]:
    if sources.labels is None:
        return []
    labelled = sources.labels.read(part)
    scan.left_out.conflicts += labelled.conflicts
    scan.left_out.zeros += labelled.zeros
    rows, columns = np.nonzero((labelled.codes != 0) & (codes != 0))
    given = np.count_nonzero(labelled.codes)
    scan.left_out.unclassified += int(given - len(rows))
    if not len(rows):
        return []
    at = rows, columns
    truth, mapped, second = sources.of_reference[labelled.codes[at]], codes[at], other[at]
    scan.table += tabulate(truth, mapped)
    scan.table_of_other += tabulate(truth, second)
    if sources.training is not None:
        trained = sources.training.read(part).codes[at] != 0
        scan.inside += tabulate(np.where(trained, truth, 0), mapped)
    right, other_right = mapped == truth, second == truth
    compared = (second != 0) & (right != other_right)
    across = scan.sums["pixels"].shape[1]
    down = (rows + part.row_off) // scan.side
    window = down * across + (columns + part.col_off) // scan.side
    keys = (window * 256 + mapped) * 2 + sure[at]
    values = (np.ones(len(rows)), ~right, compared & right, compared & other_right)
    return [_grouped(keys, values, labelled.features[at])]


def _grouped(keys: np.ndarray, values: Sequence[np.ndarray], features: np.ndarray) -> Group:
    found, which = np.unique(keys, return_inverse=True)
    sums = [np.bincount(which, each).astype(np.int64) for each in values]
    order = np.full(len(found), np.iinfo(np.int64).max)
    np.minimum.at(order, which, features)
    labelled, wrong, only_map, only_other = sums
    window, code, sure = found // 512, found // 2 % 256, found % 2
    return Group(window, code, sure, labelled, wrong, only_map, only_other, order)
