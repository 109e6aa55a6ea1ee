"""Mean and standard deviation of what is valid around each pixel."""

import numpy as np


def mean_and_deviation(values: np.ndarray, valid: np.ndarray, side: int) -> np.ndarray:
    """Return mean and population standard deviation in a square around each pixel.

    What is invalid, or lies beyond the scene, does not count; where the pixel itself is invalid,
    both are NaN.

    Args:
        values: (H + 2 r, W + 2 r), with r = side // 2.
        valid: bool, alike.
        side: of the square, odd.

    Returns:
        float64 (2, H, W).
    """
    reach = side // 2
    known = np.where(valid, values, 0).astype(np.float64)
    # taken off and added again: squares of large values would lose the small differences
    middle = float(known[valid].mean()) if valid.any() else 0.0
    known = np.where(valid, known - middle, 0)
    count = np.maximum(_sums(valid.astype(np.float64), side), 1)
    mean = _sums(known, side) / count
    variance = np.maximum(_sums(known * known, side) / count - mean * mean, 0)
    own = valid[reach : valid.shape[0] - reach, reach : valid.shape[1] - reach]
    return np.where(own, np.stack([mean + middle, np.sqrt(variance)]), np.nan)


def _sums(values: np.ndarray, side: int) -> np.ndarray:
    """Return the sum in each square, from running sums down and along."""
    for axis in (0, 1):
        total = np.cumsum(values, axis=axis)
        first = np.zeros_like(np.take(total, [0], axis=axis))
        total = np.concatenate([first, total], axis=axis)
        length = total.shape[axis]
        upper = np.take(total, range(side, length), axis=axis)
        values = upper - np.take(total, range(length - side), axis=axis)
    return values
