"""Places: pixels of one place are alike, so that they are learned from or tested with together.

A place is a source feature, a block of the scene, or, of samples that come from nowhere known, a
file. It is written as a number, what it is in the upper bits and which one in the lower ones:
equal numbers are equal places, within one samples folder.
"""

from collections.abc import Sequence

import numpy as np

BLOCK_GROUP = 64
"""Side in pixels of the blocks that stand for places where no polygon does."""
_FEATURE, _BLOCK, _FILE = range(3)
_KIND_BIT, _ROW_BIT = 56, 28
_HALF = 1 << 27
"""Added to rows and columns of blocks, which may be negative."""


def of_feature(feature: np.ndarray) -> np.ndarray:
    """Return the places of source features, whole numbers from 0 to 2^31 - 1."""
    return (_FEATURE << _KIND_BIT) + feature


def of_blocks(origin: np.ndarray, chip: tuple[int, ...]) -> np.ndarray:
    """Return the block of 64 pixels that each pixel of each chip lies in.

    Args:
        origin: int32 (N, 3), the last two are row and column of the pixel at (H // 2, W // 2).
        chip: height and width.

    Returns:
        int64 (N, H, W).
    """
    rows, columns = (
        (origin[:, axis, None].astype(np.int64) + np.arange(side) - side // 2) // BLOCK_GROUP
        for axis, side in zip((1, 2), chip, strict=True)
    )
    which = ((rows[:, :, None] + _HALF) << _ROW_BIT) + columns[:, None, :] + _HALF
    return np.asarray((_BLOCK << _KIND_BIT) + which)


def is_block(place: np.ndarray) -> np.ndarray:
    """Return whether places are blocks of the scene."""
    return np.asarray(place >> _KIND_BIT == _BLOCK)


def of_file(number: int) -> int:
    """Return the place of all pixels of a container, by its number in the folder."""
    return (_FILE << _KIND_BIT) + number


def name_of(place: int, files: Sequence[str]) -> str:
    """Return what a number stands for.

    >>> name_of(7, []), name_of(of_file(1), ["a/x.npy", "b/x.npy"])
    ('feature 7', 'file b/x.npy')
    """
    kind, which = divmod(int(place), 1 << _KIND_BIT)
    if kind == _FEATURE:
        return f"feature {which}"
    if kind == _FILE:
        return f"file {files[which]}"
    row, column = divmod(which, 1 << _ROW_BIT)
    return f"block {row - _HALF} {column - _HALF}"
