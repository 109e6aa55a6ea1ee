"""Outlines that contradict or repeat one another: overlaps of classes, and near-duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely

OVERLAP = 0.01
"""Share of the smaller outline from which on two of different classes overlap."""
ALIKE = 0.9
"""Common share of the ground of both (intersection over union) from which on they are alike."""


@dataclass(frozen=True)
class Pair:
    """Two outlines that lie on the same ground.

    Attributes:
        first: index of one.
        second: index of the other, the higher one.
        share: of the smaller one that both cover, or of both where they are alike, 0 to 1.
    """

    first: int
    second: int
    share: float


def overlaps(geometries: np.ndarray, codes: np.ndarray, pixel: float) -> Iterator[Pair]:
    """Yield pairs of different classes that cover the same ground.

    Args:
        geometries: shapely polygons and points (N,), in a plane.
        codes: int (N,), the class of each.
        pixel: points closer than this are at one place.
    """
    for first, second in _meeting(geometries, pixel):
        if codes[first] != codes[second]:
            share = _shared(geometries[first], geometries[second], pixel)
            if share > OVERLAP:
                yield Pair(first, second, share)


def duplicates(geometries: np.ndarray, codes: np.ndarray, pixel: float) -> Iterator[Pair]:
    """Yield pairs of one class that are nearly the same outline, as `overlaps` takes them."""
    for first, second in _meeting(geometries, pixel):
        if codes[first] == codes[second]:
            share = _alike(geometries[first], geometries[second], pixel)
            if share >= ALIKE:
                yield Pair(first, second, share)


def _meeting(geometries: np.ndarray, pixel: float) -> list[tuple[int, int]]:
    """Return the pairs of outlines that meet, or of points that lie closer than a pixel."""
    tree = shapely.STRtree(geometries)
    pairs = tree.query(geometries, predicate="dwithin", distance=pixel / 2)
    return sorted((int(a), int(b)) for a, b in pairs.T if a < b)


def _shared(one: shapely.Geometry, other: shapely.Geometry, pixel: float) -> float:
    smaller = min(one.area, other.area)
    if smaller == 0:  # a point lies in the other one, or at its place, or not
        near = max(one.area, other.area) == 0 and one.distance(other) < pixel / 2
        return float(near or one.intersects(other))
    return float(one.intersection(other).area / smaller)


def _alike(one: shapely.Geometry, other: shapely.Geometry, pixel: float) -> float:
    if one.area == 0 and other.area == 0:
        return float(one.distance(other) < pixel / 2)
    return float(one.intersection(other).area / one.union(other).area)
