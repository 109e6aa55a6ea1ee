"""Hue, saturation and value of 8-bit colours, and classes of colours by a table.

The conversion is that of OpenCV to the bit, whole numbers with tables of 12 fractional bits, since
published thresholds are in its units: H is half the angle, 0 to 179, S and V are 0 to 255. A
table of all 2^24 colours gives any set of rules exactly, at the cost of one look-up a pixel.
"""

import ctypes

import numpy as np

from landcover.models.forest.kernel_c import library

COLOURS = 1 << 24
_SHIFT = 12
_HALF = 1 << (_SHIFT - 1)
_HUES = 180


def _quotients(numerator: float) -> np.ndarray:
    """Return numerator / i for i 0 to 255, in whole parts of 2^-12; 0 for 0."""
    whole = np.arange(256)
    parts = np.rint((numerator * (1 << _SHIFT)) / np.maximum(whole, 1))
    return np.where(whole > 0, parts, 0).astype(np.int32)


_OF_VALUE = _quotients(255)
_OF_RANGE = _quotients(_HUES / 6)


def hsv_of(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hue (0 to 179), saturation and value (0 to 255), uint8 each, of (3, ...), uint8."""
    red, green, blue = (band.astype(np.int32) for band in rgb)
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    saturation = (spread * _OF_VALUE[value] + _HALF) >> _SHIFT
    sixths = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = (sixths * _OF_RANGE[spread] + _HALF) >> _SHIFT
    hue += np.where(hue < 0, _HUES, 0)
    return hue.astype(np.uint8), saturation.astype(np.uint8), value.astype(np.uint8)


def all_colours(red: int) -> np.ndarray:
    """Return the 65,536 colours of one red, uint8 (3, 65536), in the order of a table."""
    both = np.arange(1 << 16)
    parts = (np.full(1 << 16, red), both >> 8, both & 0xFF)
    return np.stack(parts).astype(np.uint8)


def codes_by_colour(rgb: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look up the code of each pixel.

    Args:
        rgb: uint8 (3, H, W).
        table: uint8 (2^24,), at red << 16 | green << 8 | blue.

    Returns:
        uint8 (H, W).
    """
    red, green, blue = (np.ascontiguousarray(band) for band in rgb)
    loaded = library()
    if loaded is None:
        at = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue
        return np.asarray(table[at])
    codes = np.empty(red.shape, np.uint8)
    loaded.code_colours(*map(_address, (red, green, blue, table, codes)), codes.size)
    return codes


def codes_by_level(levels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look up the code of each pixel, uint8 (H, W), by its level and a table, uint8 (256,)."""
    loaded = library()
    if loaded is None:
        return np.asarray(table[levels])
    levels, table = np.ascontiguousarray(levels), np.ascontiguousarray(table)
    codes = np.empty(levels.shape, np.uint8)
    loaded.code_levels(*map(_address, (levels, table, codes)), codes.size)
    return codes


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
