"""Features of the neighbourhood: mean and deviation of every band in windows around each pixel.

Windows are of 3 x 3 and 7 x 7 pixels. Of a window count the pixels that lie in the scene and are
valid. Sums are of 64 bits and added in one order for each pixel, rows from above and then columns
from the left, so that a pixel has the same features wherever its block begins and in whichever
samples it was cut. The kernel in C (window_features.c), numpy and the ONNX graph
(`landcover.models.forest.windowed`) give the same bytes.
"""

import ctypes

import numpy as np

from landcover.models.forest.kernel_c import library

WINDOWS = (3, 7)
"""Sides in pixels."""
REACH = max(WINDOWS) // 2
"""Pixels on each side of a pixel that its features depend on."""
KINDS = ("value", *(f"{what} {side}x{side}" for side in WINDOWS for what in ("mean", "deviation")))
"""Of features, in their order; there is one of each for every band, in the order of the bands."""

_AT_ONCE = 4096
"""Pixels of samples whose surroundings are copied at once."""


class _Block(ctypes.Structure):
    """The struct Block of window_features.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "valid", "features")),
        *((name, ctypes.c_int64) for name in ("bands", "rows", "width")),
    )


def window_features(block: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the features of the pixels in the middle of a block.

    Args:
        block: (bands, H, W) of any real type; taken as float32.
        valid: bool (H, W), False beyond the scene.

    Returns:
        float32 (len(KINDS) * bands, H - 2 REACH, W - 2 REACH): the bands, then their means and
        deviations (of the pixels in the window, as of a whole population) by window. Features of
        invalid pixels mean nothing.
    """
    values = np.ascontiguousarray(block, np.float32)
    counted = np.ascontiguousarray(valid, bool)
    bands, height, width = values.shape
    rows, columns = height - 2 * REACH, width - 2 * REACH
    loaded = library()
    if loaded is None:
        return _by_numpy(values, counted).reshape(-1, rows, columns)
    features = np.empty((len(KINDS) * bands, rows, columns), np.float32)
    task = _Block(values.ctypes.data, counted.ctypes.data, features.ctypes.data,
                  bands, rows, columns)  # fmt: skip
    if loaded.window_features(ctypes.addressof(task)) < 0:
        raise MemoryError("no memory for features of windows")
    return features


def features_at(chips: np.ndarray, valid: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the features of some pixels of chips, to the bit as in a block of their scene.

    Args:
        chips: (N, bands, H, W).
        valid: bool (N, H, W).
        at: int (M, 3), chip, row and column, at least REACH pixels from the edges of the chip.

    Returns:
        float32 (M, len(KINDS) - 1, bands): all kinds but the value itself.
    """
    parts = [
        _of_patches(*_patches(chips, valid, at[start : start + _AT_ONCE]))
        for start in range(0, max(len(at), 1), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _patches(
    chips: np.ndarray, valid: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut out the windows around pixels: (M, side, side, bands) and validity (M, side, side)."""
    around = np.arange(-REACH, REACH + 1)
    chip = at[:, 0, None, None]
    rows, columns = at[:, 1, None, None] + around[:, None], at[:, 2, None, None] + around
    return chips[chip, :, rows, columns], valid[chip, rows, columns]


def _of_patches(patches: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the features of the middle of each patch, which lie side by side in one block."""
    count, side, _, bands = patches.shape
    block = patches.transpose(3, 1, 0, 2).reshape(bands, side, -1)
    if not count:
        return np.empty((0, len(KINDS) - 1, bands), np.float32)
    features = window_features(block, valid.transpose(1, 0, 2).reshape(side, -1))
    middles = features[bands:, 0, ::side]  # (kinds * bands, M)
    return np.ascontiguousarray(middles.T).reshape(count, -1, bands)


def _by_numpy(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the features, float32 (kinds, bands, H - 2 REACH, W - 2 REACH)."""
    known = np.where(valid, values, 0)
    exact = known.astype(np.float64)
    inner = slice(REACH, -REACH)
    features = [known[:, inner, inner]]
    for side in WINDOWS:
        share = 1 / np.maximum(_sums(valid[None].astype(np.float64), side), 1)
        mean = _sums(exact, side) * share
        variance = _sums(exact * exact, side) * share - mean * mean
        features += [mean, np.sqrt(np.where(variance > 0, variance, 0))]
    return np.stack([kind.astype(np.float32) for kind in features])


def _sums(values: np.ndarray, side: int) -> np.ndarray:
    """Return the sums of windows (..., H - 2 REACH, W - 2 REACH)."""
    first, last = REACH - side // 2, REACH + side // 2
    height, width = (whole - 2 * REACH for whole in values.shape[-2:])
    of_rows = values[..., first : first + height, :].copy()
    for row in range(first + 1, last + 1):
        of_rows += values[..., row : row + height, :]
    sums = of_rows[..., first : first + width].copy()
    for column in range(first + 1, last + 1):
        sums += of_rows[..., column : column + width]
    return np.asarray(sums)
