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
        folder: int64 (M,), the folder of each.
        regions: of folders, whose ground has nothing to do with that of other regions.
    """

    places: np.ndarray
    folder: np.ndarray
    regions: "tuple[Region, ...]"


@dataclass(frozen=True)
class Region:
    """Samples folders of scenes that lie together.

    Attributes:
        folders: their numbers.
        at: float (M, 2), column and row of the centres of their pixels in the scene of the first
            of them, folder by folder; None if unknown.
        spacing: the largest distance between neighbouring pixels there, 1 for a single folder.
    """

    folders: tuple[int, ...]
    at: np.ndarray | None
    spacing: float = 1.0


def join_folders(folders: Sequence[Located]) -> Ground:
    """Number the places of all folders; those that share ground are one.

    Of a folder of which it is not known where it lies, every place is taken to be another than
    those of the others.
    """
    sizes = [len(folder.places) for folder in folders]
    owner = np.repeat(np.arange(len(folders)), sizes)
    pairs = np.stack([owner, np.concatenate([folder.places for folder in folders])], axis=1)
    _, place = np.unique(pairs, axis=0, return_inverse=True)
    regions = _regions(folders)
    for region in regions:
        if len(region.folders) > 1 and region.at is not None:
            which = np.flatnonzero(np.isin(owner, region.folders))
            place[which] = _sharing_ground(place[which], region.at, int(region.spacing))
    _, place = np.unique(place, return_inverse=True)
    return Ground(place, owner, regions)


def _sharing_ground(place: np.ndarray, at: np.ndarray, side: int) -> np.ndarray:
    """Return places, those that hold pixels of one cell of this side by the number of one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cells = np.floor(at / side).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    known, node = np.unique(place, return_inverse=True)
    count = len(known) + int(cell.max()) + 1
    edges = coo_array((np.ones(len(at)), (node, len(known) + cell)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    _, first = np.unique(component[: len(known)], return_index=True)
    return np.asarray(known[first][component[node]])


def _regions(folders: Sequence[Located]) -> tuple[Region, ...]:
    """Return the folders by region; one of which nothing is known is a region of its own."""
    left = list(range(len(folders)))
    regions = []
    while left:
        together = _together(folders, left)
        left = [number for number in left if number not in together]
        regions.append(_region(folders, together))
    return tuple(regions)


def _together(folders: Sequence[Located], left: Sequence[int]) -> tuple[int, ...]:
    """Return the first of some folders and those that lie near it, or near those, and so on."""
    first = folders[left[0]]
    boxes = {}
    for number in left:
        found = _in_pixels_of(first, folders[number])
        if found is not None:
            boxes[number] = found[0].min(axis=0), found[0].max(axis=0)
    together = [left[0]]
    for one in together:  # which grows
        together += [n for n in boxes if n not in together and _are_near(boxes[one], boxes[n])]
    return tuple(sorted(together))


def _are_near(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    """Return whether two boxes are nearer than the larger of them is long."""
    gap = np.maximum(one[0] - other[1], other[0] - one[1]).max()
    return bool(gap <= max((one[1] - one[0]).max(), (other[1] - other[0]).max()))


def _region(folders: Sequence[Located], numbers: tuple[int, ...]) -> Region:
    first = folders[numbers[0]]
    if len(numbers) == 1:
        return Region(numbers, _centres(first))
    found = [_in_pixels_of(first, folders[number]) for number in numbers]
    known = [part for part in found if part is not None]
    side = max(1, int(np.ceil(max(spacing for _, spacing in known) - 1e-6)))
    return Region(numbers, np.concatenate([at for at, _ in known]), float(side))


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
