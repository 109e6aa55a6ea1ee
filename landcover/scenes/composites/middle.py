"""The middle of several dates: median and medoid of what is valid.

Sources: Batcher, AFIPS 32 (1968), odd-even merge sort; Flood, Remote Sensing 5 (2013) 6481,
medoid.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np


def median_of(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the median over the first axis of what is valid, NaN where nothing is.

    Equal to numpy's nanmedian to the last bit.

    Args:
        values: (dates, H, W), of any dtype.
        valid: bool (dates, H, W).
    """
    ordered = np.where(valid, values, _last(values.dtype))
    _sort(ordered)
    count = valid.sum(axis=0, dtype=np.int32)
    upper = _at(ordered, count // 2)
    lower = _at(ordered, np.maximum(count - 1, 0) // 2)
    fraction = np.result_type(values.dtype, np.float32 if values.dtype.itemsize < 4 else values)
    if fraction.kind != "f":
        fraction = np.dtype(np.float64)
    middle = (lower.astype(fraction) + upper.astype(fraction)) / fraction.type(2)
    return np.where(count > 0, middle, np.nan)


def medoid_of(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the spectrum of the date that is nearest to those of all others, in the sum.

    Args:
        values: (dates, bands, H, W).
        valid: bool (dates, H, W).

    Returns:
        (bands, H, W), float64; NaN where nothing is valid. Of equal sums the earliest date counts.
    """
    sums = np.where(valid, 0.0, np.inf)
    for one in range(len(values)):
        for other in range(one + 1, len(values)):
            apart = _distance(values[one], values[other])
            sums[one] += np.where(valid[other], apart, 0.0)
            sums[other] += np.where(valid[one], apart, 0.0)
    chosen = sums.argmin(axis=0)
    spectra = np.take_along_axis(values, chosen[None, None], axis=0)[0]
    return np.where(valid.any(axis=0), spectra, np.nan)


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of two spectra (bands, H, W) in each pixel."""
    total = np.zeros(one.shape[1:])
    for first, second in zip(one, other, strict=True):
        apart = first.astype(np.float64) - second
        total += apart * apart
    return np.sqrt(total)


def _last(dtype: np.dtype) -> np.ndarray:
    """Return what stands behind all values of a dtype."""
    return np.array(np.inf if dtype.kind == "f" else np.iinfo(dtype).max, dtype)


def _at(ordered: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return from each column the value at its index; the last one where it lies beyond."""
    within = np.minimum(index, len(ordered) - 1).ravel()
    place = within * index.size + np.arange(index.size)
    return np.asarray(ordered.reshape(-1)[place].reshape(index.shape))


def _sort(rows: np.ndarray) -> None:
    """Sort along the first axis, in place: whole images are compared at a time."""
    smaller = np.empty_like(rows[0])
    for low, high in _comparisons(len(rows)):
        np.minimum(rows[low], rows[high], out=smaller)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low] = smaller


@cache
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Return which rows are compared, in order, so that any `count` of them are sorted."""
    return tuple(_merges(count))


def _merges(count: int) -> Iterator[tuple[int, int]]:
    step = 1
    while step < count:
        reach = step
        while reach:
            for start in range(reach % step, count - reach, 2 * reach):
                for low in range(start, min(start + reach, count - reach)):
                    if low // (2 * step) == (low + reach) // (2 * step):
                        yield low, low + reach
            reach //= 2
        step *= 2
