"""Places that lie close together become one, so that no fold tests what its neighbours taught.

Labels lie in clumps: points a pixel apart, the parts of one field, chips side by side. Pixels
resemble their neighbours far beyond a label's edge, as far as the range of the variogram says.
"""

from dataclasses import dataclass

import numpy as np

from landcover.samples.places import BLOCK_GROUP
from landcover.training.variogram import first_component, range_between_places

_WIDEST = 3
"""Distances that joined places may be wide; wider ones are a chain of labels, which is cut."""
_TIGHT = 4
"""Labels closer than a quarter of the distance are not parted where a chain is cut."""
_SHARE_OF_SCENE = 10


@dataclass(frozen=True)
class Joined:
    """Places that lie at least `distance` apart, but where a chain of them was cut.

    Attributes:
        places: int64 (M,), numbered from 0.
        distance: in pixels; None where it is not known where the pixels lie.
        is_cut: whether labels form chains so wide that they had to be cut: places on both sides
            of a cut are closer than `distance`.
    """

    places: np.ndarray
    distance: float | None
    is_cut: bool


def join_places(
    places: np.ndarray,
    at: np.ndarray,
    pixels: np.ndarray,
    codes: np.ndarray,
    in_blocks: np.ndarray,
    spacing: float,
    scenes: np.ndarray | None = None,
) -> Joined:
    """Join places that lie closer than the range of the variogram.

    The parts of a place that do not touch are places of their own at first. A chain of places
    wider than three distances is cut along blocks of that distance; only what is tighter than a
    quarter of it stays whole there.

    Args:
        places: int (M,), of each labelled pixel.
        at: float (M, 2), column and row of its centre.
        pixels: (M, bands), its values.
        codes: uint8 (M,), its class.
        in_blocks: bool (M,), whether a label raster told it: its place is no polygon's.
        spacing: side of a sample in pixels.
        scenes: int (M,), only pixels of one tell how far apart they are alike; all by default.
    """
    extent = float(np.ptp(at, axis=0).max()) + spacing
    limits = float(spacing), max(float(spacing), extent / _SHARE_OF_SCENE)
    owner = np.where(in_blocks, codes, places + 256)  # regions of a raster are of one class
    parts = _touching(owner, at, spacing)
    distance = range_between_places(first_component(pixels), at, parts, limits, scenes)
    block = max(distance, BLOCK_GROUP) if in_blocks.any() else distance
    parts = _cut(parts, at, in_blocks & _is_wide(parts, at, block), block)
    near = _Neighbours.of(parts, at, max(spacing, distance / 8))
    joined = near.within(distance)
    wide = _is_wide(joined, at, _WIDEST * block) & ~_is_whole(joined, parts)
    if not wide.any():
        return Joined(_numbered(joined), distance, is_cut=False)
    tight = near.within(max(distance / _TIGHT, 2 * spacing))
    tight = np.where(_is_wide(tight, at, block), parts, len(parts) + tight)
    blocks = _block_of_middle(tight, at, block)
    cut = np.where(wide, len(joined) + blocks, joined)
    return Joined(_numbered(cut), distance, is_cut=True)


def _numbered(values: np.ndarray) -> np.ndarray:
    """Return values, or rows of values, as numbers from 0."""
    columns = values.reshape(len(values), -1).T
    order = np.lexsort(columns[::-1])  # far quicker than np.unique of rows
    ordered = columns[:, order]
    is_new = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    numbers = np.empty(len(values), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(is_new)])
    return numbers


def _touching(owner: np.ndarray, at: np.ndarray, spacing: float) -> np.ndarray:
    """Return the parts (M,) in which the pixels of one owner touch, numbered from 0."""
    cells = np.column_stack([owner, np.floor(at / spacing)]).astype(np.int64)
    cells[:, 1:] -= cells[:, 1:].min(axis=0)
    wide = cells[:, 2].max() + 3
    rows = cells[:, 1].max() + 3
    owners = _numbered(cells[:, 0])
    key = (owners * rows + cells[:, 1] + 1) * wide + cells[:, 2] + 1
    there, cell = np.unique(key, return_inverse=True)
    pairs = []
    for step in (1, wide - 1, wide, wide + 1):
        found = np.searchsorted(there, there + step)
        found[found == len(there)] = 0
        touching = np.flatnonzero(there[found] == there + step)
        pairs.append(np.column_stack([touching, found[touching]]))
    return np.asarray(_components(len(there), np.concatenate(pairs))[cell])


def _components(count: int, pairs: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(count, count))
    return np.asarray(connected_components(edges, directed=False)[1])


def _boxes(places: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and greatest column and row of each place, (places, 2) twice."""
    low = np.full((places.max() + 1, 2), np.inf)
    high = -low
    np.minimum.at(low, places, at)
    np.maximum.at(high, places, at)
    return low, high


def _is_wide(places: np.ndarray, at: np.ndarray, side: float) -> np.ndarray:
    """Return bool (M,), whether the place of a pixel is wider than a length."""
    low, high = _boxes(places, at)
    is_wide: np.ndarray = np.max(high - low, axis=1) > side
    return np.asarray(is_wide[places])


def _is_whole(joined: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return bool (M,), whether the place of a pixel is a single part."""
    joined_of = np.empty(parts.max() + 1, np.int64)
    joined_of[parts] = joined
    is_single: np.ndarray = np.bincount(joined_of) == 1
    return np.asarray(is_single[joined])


def _cut(parts: np.ndarray, at: np.ndarray, which: np.ndarray, block: float) -> np.ndarray:
    """Cut some parts along blocks."""
    blocks = np.where(which[:, None], np.floor(at / block), 0)
    return _numbered(np.column_stack([parts, which, blocks]).astype(np.int64))


def _block_of_middle(parts: np.ndarray, at: np.ndarray, block: float) -> np.ndarray:
    """Return the block (M,) in which the middle of each pixel's part lies."""
    part = _numbered(parts)
    low, high = _boxes(part, at)
    blocks: np.ndarray = _numbered(np.floor((low + high) / 2 / block).astype(np.int64))
    return np.asarray(blocks[part])


@dataclass(frozen=True)
class _Neighbours:
    """Which parts lie next to each other, and how far apart.

    Attributes:
        parts: int (M,), of each pixel.
        pairs: int (E, 2), neighbouring parts; along them any two parts are reached in steps that
            are as short as possible.
        lengths: float (E,).
    """

    parts: np.ndarray
    pairs: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, parts: np.ndarray, at: np.ndarray, cell: float) -> "_Neighbours":
        """Look at one point for each part in each cell.

        A Delaunay triangulation holds a shortest spanning tree (Toussaint 1980).
        """
        from scipy.spatial import Delaunay

        rows = np.column_stack([parts, np.floor(at / cell).astype(np.int64)])
        which = _numbered(rows)
        sums = [np.bincount(which, at[:, axis]) for axis in (0, 1)]
        points = np.stack(sums, axis=1) / np.bincount(which)[:, None]
        part = np.empty(len(points), np.int64)
        part[which] = parts
        low, high = points.min(axis=0), points.max(axis=0)
        reach = 10 * float((high - low).max() + cell)
        # four corners far away: the points may all lie on one line
        corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * reach + (low + high) / 2
        mesh = Delaunay(np.concatenate([points, corners]))
        sides = np.concatenate([mesh.simplices[:, [a, b]] for a, b in ((0, 1), (1, 2), (0, 2))])
        # points on one spot: all but one are left out of the mesh, with the nearest corner named
        sides = np.concatenate([sides, mesh.coplanar[:, [0, 2]]])
        sides = sides[(sides < len(points)).all(axis=1)]
        lengths = np.hypot(*(points[sides[:, 0]] - points[sides[:, 1]]).T)
        return cls(parts, part[sides], lengths)

    def within(self, distance: float) -> np.ndarray:
        """Return int (M,), parts that are closer than a distance joined to one."""
        joined = _components(int(self.parts.max()) + 1, self.pairs[self.lengths < distance])
        return np.asarray(joined[self.parts])
