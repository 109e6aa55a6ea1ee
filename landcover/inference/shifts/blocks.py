"""Parts of a scene by where its pixels lie: a grid of blocks, and words for some of them."""

import numpy as np

_SIDE = 4
"""Blocks along each side of a scene."""
_WIDE = 0.25
"""Of a scene's width or height a part lies off the middle, to be said to lie on one side."""


def blocks_of(at: np.ndarray, fewest: int) -> list[np.ndarray]:
    """Part pixels into a grid of blocks.

    Args:
        at: (N, 2), row and column of each.
        fewest: pixels of a block; others are left out.

    Returns:
        The indexes of the pixels of each block.
    """
    low, high = at.min(axis=0), at.max(axis=0)
    cell = np.minimum((at - low) * _SIDE // np.maximum(high - low + 1, 1), _SIDE - 1)
    number = cell[:, 0] * _SIDE + cell[:, 1]
    parts = [np.flatnonzero(number == one) for one in np.unique(number)]
    return [part for part in parts if len(part) >= fewest]


def where_of(at: np.ndarray, part: np.ndarray) -> str:
    """Say in which part of a scene some of its pixels lie, as in `its north-west`.

    Args:
        at: (N, 2), row and column of all pixels, row 0 in the north.
        part: indexes of the pixels in question.
    """
    low, size = at.min(axis=0), np.maximum(np.ptp(at, axis=0), 1)
    middle = (at[part].mean(axis=0) - low) / size - 0.5
    down = _side(float(middle[0]), "north", "south")
    across = _side(float(middle[1]), "west", "east")
    return f"its {'-'.join(filter(None, (down, across))) or 'middle'}"


def _side(off: float, first: str, second: str) -> str:
    if abs(off) < _WIDE / 2:
        return ""
    return first if off < 0 else second
