"""Places of several samples folders, told apart by where their pixels lie on the ground.

Labels of one area may have been cut from several scenes, in any order and number: what lies on
the same pixels is one place in all folders, or a model would be tested where it was trained.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from landcover.models.footprint import CELL, FARTHEST, Footprint

_EPSG = re.compile(r"EPSG:\d{1,9}")


@dataclass(frozen=True)
class Located:
    """The labelled pixels of one samples folder.

    Attributes:
        places: int64 (M,), as the folder numbers them.
        positions: int64 (M, 2), row and column in the folder's scene; None if unknown.
        transform: of the scene, from column and row to the ground; None if unknown.
        crs: of the scene, "" if unknown.
    """

    places: np.ndarray
    positions: np.ndarray | None
    transform: Affine | None
    crs: str


@dataclass(frozen=True)
class Ground:
    """The labelled pixels of all folders, folder by folder.

    Attributes:
        places: int64 (M,), numbered from 0.
        at: float (M, 2), column and row of their centres in the scene of the first folder; None
            unless it is known of all.
        spacing: the largest distance between neighbouring pixels there, 1 for a single folder.
    """

    places: np.ndarray
    at: np.ndarray | None
    spacing: float


def join_folders(folders: Sequence[Located]) -> Ground:
    """Number the places of all folders; those that share ground are one.

    Of a folder of which it is not known where it lies, every place is taken to be another than
    those of the others.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sizes = [len(folder.places) for folder in folders]
    owner = np.repeat(np.arange(len(folders)), sizes)
    pairs = np.stack([owner, np.concatenate([folder.places for folder in folders])], axis=1)
    _, place = np.unique(pairs, axis=0, return_inverse=True)
    if len(folders) == 1:
        return Ground(place, _centres(folders[0]), 1.0)
    on_ground = [_in_pixels_of(folders[0], folder) for folder in folders]
    known = [part for part in on_ground if part is not None]
    if len(known) < 2:
        return Ground(place, None, 1.0)
    side = max(1, int(np.ceil(max(spacing for _, spacing in known) - 1e-6)))
    at = np.concatenate([at for at, _ in known])
    which = np.flatnonzero(np.repeat([part is not None for part in on_ground], sizes))
    cells = np.floor(at / side).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    nodes = int(place.max()) + 1
    count = nodes + int(cell.max()) + 1
    edges = coo_array((np.ones(len(which)), (place[which], nodes + cell)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    return Ground(component[place], at if len(known) == len(folders) else None, float(side))


def _centres(folder: Located) -> np.ndarray | None:
    """Return column and row of the pixels' centres in their own scene."""
    return None if folder.positions is None else folder.positions[:, ::-1] + 0.5


def footprint_of(folders: Sequence[Located]) -> Footprint | None:
    """Return the cells of the ground that hold a labelled pixel of samples folders.

    Returns:
        On the grid of the first folder of which it is known where it lies; None if there is none.
    """
    base = next((folder for folder in folders if _in_pixels_of(folder, folder)), None)
    if base is None or base.transform is None:
        return None
    on_base = [_in_pixels_of(base, folder) for folder in folders]
    known = [part for part in on_base if part is not None]
    # a pixel of a coarser scene is no larger than a cell
    side = CELL * max(1, int(np.ceil(max(spacing for _, spacing in known) - 1e-6)))
    cells = np.floor(np.concatenate([at[:, ::-1] for at, _ in known]) / side)
    if np.abs(cells).max() > FARTHEST:
        return None
    complete = len(known) == len(folders)
    try:
        return Footprint.of_cells(cells.astype(np.int64), base.crs, base.transform, side, complete)
    except ValueError:  # a CRS or transform that nobody knows, in somebody's samples.json
        return None


def _in_pixels_of(first: Located, folder: Located) -> tuple[np.ndarray, float] | None:
    """Return the pixels' centres in columns and rows of the first scene, and their spacing."""
    if first.transform is None or folder.transform is None or folder.positions is None:
        return None
    move = _between(folder.crs, first.crs)
    if move is None or not len(folder.positions):
        return None
    columns, rows = (folder.positions[:, ::-1] + 0.5).T
    beside = np.append(columns, columns[0] + 1), np.append(rows, rows[0])
    to_ground, to_first = folder.transform, ~first.transform
    x, y = move(*(to_ground @ beside))  # type: ignore[operator]  # arrays do as numbers do
    at = np.stack(to_first @ (x, y), axis=1)
    if not np.isfinite(at).all():
        return None
    return at[:-1], float(np.abs(at[-1] - at[0]).max())


def _between(source: str, target: str) -> Callable[..., Any] | None:
    """Return what moves coordinates between two systems; None where that is not known."""
    if source == target:
        return lambda x, y: (x, y)
    if not (_EPSG.fullmatch(source) and _EPSG.fullmatch(target)):
        return None
    try:
        transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.CRSError:
        return None
    move: Callable[..., Any] = transformer.transform
    return move
