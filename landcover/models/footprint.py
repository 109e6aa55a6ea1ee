"""Where a model was trained: the cells of its scene's grid that hold a training pixel.

A map is usually right more often where its model was trained, so a reference that lies
there flatters it. The footprint travels on the model's card and in the map's tags, so that the
reference is recognised in whatever file, CRS or kind of geometry it comes.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from landcover import strict_json
from landcover.errors import InputError

PLACES_TAG = "LANDCOVER_PLACES"
CELL = 16
"""Side of a cell in pixels of the training scene, unless the cells would be too many."""
MOST_BYTES = 64 * 1024
"""Of the JSON form; cells grow until they fit."""
MOST_FOOTPRINTS = 16
"""Of the models of one map."""
_EPSG = re.compile(r"EPSG:\d{1,9}")
_REFERRING = ("BOUNDCRS[", "PARAMETERFILE[", "EXTENSION[")
_LONGEST_CRS = 16 * 1024
FARTHEST = 1 << 40
"""Rows and columns of cells stay below: no scene has so many pixels a side."""
_BENDS = 16
"""Parts of each long side of a run, which another CRS bends."""

Run = tuple[int, int, int]
"""Cells side by side: row, first and last column."""


@dataclass(frozen=True)
class Footprint:
    """Cells that hold a training pixel.

    Attributes:
        crs: of the training scene, `EPSG:CODE` or WKT.
        transform: affine, from column and row of a cell to its upper left corner in the CRS.
        cell: side of a cell in pixels of the training scene.
        runs: the cells, by rows.
        complete: whether it is known of all training pixels where they lie.

    Raises:
        ValueError: of the wrong type or out of range, so that it describes no cells.
    """

    crs: str
    transform: tuple[float, ...]
    cell: int
    runs: tuple[Run, ...]
    complete: bool

    def __post_init__(self) -> None:
        """Check everything: a footprint may come from anybody."""
        _check_crs(self.crs)
        _check_transform(self.transform)
        _check_whole(self.cell, 1, FARTHEST)
        for run in self.runs:
            _check_run(run)
        if not 0 < len(self.runs) <= MOST_BYTES or type(self.complete) is not bool:
            raise ValueError("no cells, or not known whether they are all")

    @classmethod
    def of_cells(
        cls, cells: np.ndarray, crs: str, transform: Affine, cell: int, complete: bool
    ) -> "Footprint":
        """Describe cells, as finely as MOST_BYTES allow.

        Args:
            cells: int64 (N, 2), row and column of each cell, N at least 1; repeated at will.
            crs: of the training scene.
            transform: of that scene, from column and row of a pixel to the CRS.
            cell: side of a cell in pixels.
            complete: whether all training pixels are among them.

        Raises:
            ValueError: CRS or transform are invalid.
        """
        cells = np.unique(cells, axis=0)
        runs = _runs(cells)
        if len(runs) * len("[0, 0, 0], ") <= MOST_BYTES:
            of_cells = tuple(transform @ Affine.scale(cell))[:6]
            found = cls(crs, of_cells, cell, tuple(map(tuple, runs.tolist())), complete)
            if len(found.to_json()) <= MOST_BYTES:
                return found
        return cls.of_cells(cells // 2, crs, transform, 2 * cell, complete)

    @classmethod
    def from_plain(cls, plain: Any) -> "Footprint":
        """Read the form that JSON has; members that are not known are left alone.

        Raises:
            ValueError: it is no footprint.
        """
        try:
            return cls(
                crs=plain["crs"],
                transform=tuple(plain["transform"]),
                cell=plain["cell"],
                runs=tuple(map(tuple, plain["runs"])),
                complete=plain["complete"],
            )
        except (TypeError, KeyError, OverflowError) as error:
            raise ValueError("no footprint") from error

    def to_json(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    def outlines(self, crs: CRS) -> np.ndarray:
        """Return the runs as shapely polygons (N,) in another CRS, without those it cannot hold.

        Raises:
            InputError: nobody can bring the one CRS to the other.
        """
        try:
            transformer = pyproj.Transformer.from_crs(
                self.crs, pyproj.CRS.from_wkt(crs.to_wkt()), always_xy=True
            )
        except (pyproj.exceptions.CRSError, pyproj.exceptions.ProjError) as error:
            raise InputError(
                "the training places cannot be brought to the map's coordinate system: remove its "
                f"tag {PLACES_TAG} to assess it without them"
            ) from error
        corners: Any = _rings(np.array(self.runs, float))
        ground = Affine(*self.transform) @ corners
        rings = np.stack(transformer.transform(*ground), axis=-1)
        if crs.is_geographic:  # a ring across the antimeridian goes on beyond 180 degrees
            rings[..., 0] -= 360 * np.round((rings[..., 0] - rings[:, :1, 0]) / 360)
        return np.asarray(shapely.polygons(rings[np.isfinite(rings).all(axis=(1, 2))]))


def places_tag(footprints: Sequence[Footprint | None]) -> dict[str, str]:
    """Return the tag of a map that says where its models were trained; none if nobody knows.

    Args:
        footprints: of each model, None where it is unknown.
    """
    known = list(dict.fromkeys(each for each in footprints if each is not None))
    kept = known[:MOST_FOOTPRINTS]
    if len(kept) < len(known) or None in footprints:
        kept = [replace(each, complete=False) for each in kept]
    if not kept:
        return {}
    texts = [each.to_json() for each in kept]
    return {PLACES_TAG: texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"}


def footprints_of_map(dataset: DatasetReader) -> tuple[Footprint, ...]:
    """Return where the models of a map were trained; none if the map does not say.

    Raises:
        InputError: it says so in an invalid form.
    """
    tag = dataset.tags().get(PLACES_TAG)
    if tag is None:
        return ()
    try:
        if len(tag) > MOST_BYTES * MOST_FOOTPRINTS:
            raise ValueError("too long")
        plain = strict_json.loads(tag)
        several = plain if isinstance(plain, list) else [plain]
        if not 0 < len(several) <= MOST_FOOTPRINTS:
            raise ValueError("none, or too many")
        return tuple(map(Footprint.from_plain, several))
    except ValueError as error:
        raise InputError(
            f"the map's tag {PLACES_TAG} is damaged: classify the scene anew, or remove the tag"
        ) from error


def _runs(cells: np.ndarray) -> np.ndarray:
    """Return row, first and last column of the runs (R, 3) of cells (N, 2), sorted by both."""
    begins = np.ones(len(cells), bool)
    begins[1:] = (np.diff(cells, axis=0) != (0, 1)).any(axis=1)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(cells)) - 1
    return np.column_stack([cells[first], cells[last, 1]])


def _rings(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows of the corners around runs (N, 3), each (N, corners)."""
    row, first, last = runs[:, 0, None], runs[:, 1, None], runs[:, 2, None] + 1
    along = first + (last - first) * np.linspace(0, 1, _BENDS + 1)
    columns = np.concatenate([along, along[:, ::-1]], axis=1)
    rows = np.concatenate([row + np.zeros_like(along), row + np.ones_like(along)], axis=1)
    return columns, rows


def _check_crs(value: Any) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST_CRS:
        raise ValueError("no coordinate system")
    try:
        # by code or as WKT only: PROJ takes other texts for files and addresses
        crs = pyproj.CRS(value) if _EPSG.fullmatch(value) else pyproj.CRS.from_wkt(value)
        text = crs.to_wkt()
    except pyproj.exceptions.CRSError as error:
        raise ValueError("a coordinate system that nobody knows") from error
    if any(part in text for part in _REFERRING):
        raise ValueError("a coordinate system that may refer to files")


def _check_transform(value: tuple[Any, ...]) -> None:
    if len(value) != 6 or any(type(number) not in (int, float) for number in value):
        raise ValueError("no transform")
    transform = Affine(*map(float, value))
    area = transform.determinant
    if not (all(map(math.isfinite, transform)) and math.isfinite(area) and area != 0):
        raise ValueError("cells have no size by it")


def _check_run(run: tuple[Any, ...]) -> None:
    row, first, last = run
    for number in run:
        _check_whole(number, -FARTHEST, FARTHEST)
    if last < first:
        raise ValueError(f"the run in row {row} ends before it begins")


def _check_whole(value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError("no whole number in range")
