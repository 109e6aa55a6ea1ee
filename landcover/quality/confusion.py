"""The confusion matrix: pixels by class of reference and map, and the statistics of it.

Only pixels labelled in the reference and classified in the map count. The statistics are PyCM's
(Haghighi et al. 2018, doi:10.21105/joss.00729).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.legend import Legend, unnamed
from landcover.io.raster import read_valid, windows_of
from landcover.progress import report_progress
from landcover.samples.labels import Labels, Polygons, need_one_band, whole_codes

WINDOW = 2048
"""Side in pixels of the windows a map is read by: one byte a pixel is little."""
FIRST = ("ACC", "PPV")
"""The statistics that stand first, as in Avramenko et al. 2021."""


@dataclass(frozen=True)
class Confusion:
    """Pixels by class of reference (rows) and map (columns); names in the order of both."""

    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def total(self) -> int:
        """The number of compared pixels."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share that agrees."""
        return float(np.trace(self.counts) / self.total)

    @classmethod
    def of(cls, table: np.ndarray, legend: Legend, beside: np.ndarray | int = 0) -> "Confusion":
        """Cut the classes that occur on either side out of a table of all codes (256, 256).

        Those that occur in the table of another map, `beside`, are kept too.
        """
        both = table + beside
        present = np.flatnonzero(both.sum(axis=0) + both.sum(axis=1))
        names = {entry.code: entry.name for entry in legend.classes}
        return cls(
            names=tuple(names.get(code, unnamed(code)) for code in present.tolist()),
            counts=table[np.ix_(present, present)],
        )


def read_codes(dataset: DatasetReader, window: Window) -> np.ndarray:
    """Return a window of a map of any number type, uint8 (H, W), 0 where it is not classified.

    Raises:
        InputError: it is no map.
    """
    need_one_band(dataset, "a map")
    (values,), valid = read_valid(dataset, window, [1])
    return whole_codes(values, valid, Path(dataset.name).name, "a map")


def need_named(counts: np.ndarray, legend: Legend | None, name: str) -> None:
    """Refuse a map that holds a code its own legend does not name.

    Args:
        counts: (256,), pixels of each code.
        legend: the map's own; None names none.
        name: of the file.
    """
    if legend is not None:
        unnamed_codes = sorted(set(np.flatnonzero(counts).tolist()) - {0, *legend.codes})
        if unnamed_codes:
            raise InputError(
                f"{name} holds code {unnamed_codes[0]}, which its legend does not name"
            )


def tabulate(reference: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Count pairs of codes, int64 (256, 256), rows reference; where either is 0, nothing counts.

    Args:
        reference: uint8 of any shape.
        codes: uint8 of the same shape.
    """
    labelled = reference != 0
    if np.count_nonzero(labelled) < reference.size // 4:
        reference, codes = reference[labelled], codes[labelled]
    pairs = reference.ravel().astype(np.uint16) << 8 | codes.ravel()
    table = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    table[0] = 0
    table[:, 0] = 0
    return table


@dataclass
class LeftOut:
    """Pixels of a reference that do not count.

    Attributes:
        conflicts: labelled as two classes.
        zeros: of code 0 in a raster that declares another nodata.
        unclassified: labelled where the map is not classified.
        unlabelled: features, not pixels, without a class.
    """

    conflicts: int = 0
    zeros: int = 0
    unclassified: int = 0
    unlabelled: int = 0


def accumulate(
    dataset: DatasetReader, labels: Labels, training: Polygons | None
) -> tuple[np.ndarray, np.ndarray, LeftOut]:
    """Count the pixels that are labelled and classified.

    Args:
        dataset: a map.
        labels: the reference, on the map's grid.
        training: where the map's model was trained, of any code.

    Returns:
        Counts (256, 256) by code of reference and map; those of them in the training places; and
        what does not count.
    """
    left_out = LeftOut(unlabelled=len(labels.unlabelled))
    table = np.zeros((256, 256), np.int64)
    inside = np.zeros_like(table)
    windows = list(windows_of(dataset, WINDOW))
    for done, window in enumerate(windows):
        report_progress(done / len(windows), "comparing map and reference")
        labelled = labels.read(window)
        left_out.conflicts += labelled.conflicts
        left_out.zeros += labelled.zeros
        if labelled.codes.any():  # where nothing is labelled, the map need not be decoded
            codes = read_codes(dataset, window)
            counts = tabulate(labelled.codes, codes)
            left_out.unclassified += int(np.count_nonzero(labelled.codes) - counts.sum())
            table += counts
            if training is not None:
                trained = training.read(window).codes != 0
                inside += tabulate(np.where(trained, labelled.codes, 0), codes)
    return table, inside, left_out


def recoded(table: np.ndarray, of_rows: np.ndarray, of_columns: np.ndarray) -> np.ndarray:
    """Return a table of counts (256, 256) by other codes.

    Args:
        table: (256, 256), counts by code.
        of_rows: uint8 (256,), the new code of each code of a row.
        of_columns: the same of columns.
    """
    moved = np.zeros_like(table)
    np.add.at(moved, (of_rows[:, None], of_columns[None, :]), table)
    return moved


def mapped_pixels(dataset: DatasetReader) -> np.ndarray:
    """Return how many pixels of each code a map holds, int64 (256,); none are of code 0."""
    counts = np.zeros(256, np.int64)
    for window in windows_of(dataset, WINDOW):
        counts += np.bincount(read_codes(dataset, window).ravel(), minlength=256)
    counts[0] = 0
    return counts


def statistics_of(confusion: Confusion) -> dict[str, Any]:
    """Return PyCM's statistics as {classes, overall, class}; null where PyCM has no number."""
    from pycm import ConfusionMatrix

    names = list(confusion.names)
    if len(names) == 1:
        return {"classes": names, "overall": {"Overall ACC": 1.0, "Kappa": None}, "class": {}}
    matrix = ConfusionMatrix(matrix=confusion.counts.tolist())
    overall = {key: _number(value) for key, value in matrix.overall_stat.items()}
    per_class = {
        key: {name: _number(values[index]) for index, name in enumerate(names)}
        for key, values in matrix.class_stat.items()
        if isinstance(values, dict) and len(values) == len(names)
    }
    numeric = {
        key: {name: value for name, (value, _) in values.items()}
        for key, values in per_class.items()
        if all(is_one for _, is_one in values.values())  # others are words, as "Good"
    }
    return {
        "classes": names,
        "overall": {"Overall ACC": None}
        | {key: value for key, (value, is_one) in overall.items() if is_one},
        "class": {key: numeric[key] for key in FIRST} | numeric,
    }


def _number(value: object) -> tuple[float | None, bool]:
    """Return a number or None, and whether PyCM means a number at all."""
    if value == "None":
        return None, True
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        return (number if math.isfinite(number) else None), True
    return None, False
