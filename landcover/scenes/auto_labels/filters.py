"""Filters against thin cloud and shadow, before colours are compared with thresholds.

`stretch` brings the brightness of each neighbourhood to that of the scene: the lowest and highest
within about 124 pixels become the scene's 2nd and 99th percentile. Open water may not be lifted
by much, nor may a neighbourhood without bright ice be stretched as if it had some. Its numbers
were chosen on two scenes of 250 m (benchmarks/sea_ice.py says what they give).

`published` is the filter of Iqrah et al., arXiv 2403.13135, as OpenCV's users write it: each band
is divided from its background, the median over 21 pixels of the maximum over 7, as 255 less the
absolute difference, stretched to 0 to 255. At 250 m it takes out floes and open water too.
"""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from rasterio.windows import Window

from landcover.io.raster import windows_of
from landcover.models.forest.kernel_c import library
from landcover.scenes.auto_labels.quantities import Source
from landcover.scenes.auto_labels.thresholds import otsu

Filter = Literal["none", "stretch", "published"]
_COARSE = 4
"""Pixels a side that the neighbourhoods are summed up in."""
_NEIGHBOURHOOD = 31
"""Coarse pixels a side: 124 pixels."""
_BLUR = 40.0
"""Standard deviation in coarse pixels."""
_LIFT = 60.0
"""Levels by which the lowest may lie above the scene's own."""
_PERCENTILES = (2, 99)
_DILATED, _MEDIAN = 7, 21
HALO = _DILATED // 2 + _MEDIAN // 2
_SIDE = 1024
_Sides = tuple[tuple[int, int], tuple[int, int]]


class View(Protocol):
    """Colours of a scene, filtered."""

    def colours(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return red, green and blue, uint8 (3, H, W), and where they are valid, (H, W)."""

    def brightness(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return V, uint8 (H, W), and where it is valid, (H, W)."""


def view_of(source: Source, name: Filter) -> View:
    """Return a scene's colours behind a filter."""
    if name == "stretch":
        return Stretched(source)
    return Published(source) if name == "published" else Plain(source)


def brightest(rgb: np.ndarray) -> np.ndarray:
    """Return V, uint8 (H, W), of colours (3, H, W)."""
    return np.asarray(np.maximum(np.maximum(rgb[0], rgb[1]), rgb[2]))


@dataclass(frozen=True)
class Plain:
    """Colours as they are."""

    source: Source

    def colours(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return what the scene holds."""
        return self.source.colours(window)

    def brightness(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest of the three."""
        rgb, valid = self.source.colours(window)
        return brightest(rgb), valid


@dataclass(frozen=True)
class Stretched:
    """Colours whose brightness is brought to that of the scene; hue and saturation stay."""

    source: Source

    def colours(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return colours that are as bright as the stretch says."""
        rgb, valid = self.source.colours(window)
        before = brightest(rgb)
        factor = self._stretched(before, window) / np.maximum(before, 1).astype(np.float32)
        return np.rint(rgb * factor).astype(np.uint8), valid

    def brightness(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the brightness that it is stretched to."""
        rgb, valid = self.source.colours(window)
        return self._stretched(brightest(rgb), window), valid

    def _stretched(self, values: np.ndarray, window: Window) -> np.ndarray:
        low, high, (least, most) = self._ends
        below, above = (_finer(ends, window) for ends in (low, high))
        share = (values - below) / np.maximum(above - below, 1)
        levels = np.rint(np.clip(least + share * (most - least), 0, 255))
        return np.asarray(levels.astype(np.uint8))

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
        """Lowest and highest brightness around each coarse pixel; the scene's own ends."""
        from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

        coarse, histogram = _coarse_brightness(self.source)
        least, most = _percentiles(histogram)
        known = np.isfinite(coarse)
        lowest = minimum_filter(np.where(known, coarse, np.inf), _NEIGHBOURHOOD, mode="nearest")
        highest = maximum_filter(np.where(known, coarse, -np.inf), _NEIGHBOURHOOD, mode="nearest")
        bright = otsu(histogram, 3)[1]
        highest = np.where(highest < bright, most, highest)  # no bright ice, or nothing at all
        lowest = np.minimum(lowest, least + _LIFT)
        low, high = (gaussian_filter(ends, _BLUR, mode="nearest") for ends in (lowest, highest))
        return low, high, (least, most)


def _coarse_brightness(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean V of squares, NaN where none is valid, and the histogram of V (256,)."""
    height, width = (-(-side // _COARSE) for side in (source.grid.height, source.grid.width))
    coarse, histogram = np.full((height, width), np.nan, np.float32), np.zeros(256, np.int64)
    for window in source.grid.windows(_SIDE, _SIDE):
        rgb, valid = source.colours(window)
        values = brightest(rgb)
        histogram += np.bincount(values[valid], minlength=256)
        means = _means_of_squares(np.where(valid, values, np.nan))
        top, left = window.row_off // _COARSE, window.col_off // _COARSE
        coarse[top : top + means.shape[0], left : left + means.shape[1]] = means
    return coarse, histogram


def _means_of_squares(values: np.ndarray) -> np.ndarray:
    """Return the means of what is no NaN in squares, the last ones as large as there is room."""
    lacking = [(0, -side % _COARSE) for side in values.shape]
    whole = np.pad(values.astype(np.float32), lacking, constant_values=np.nan)
    rows, columns = (side // _COARSE for side in whole.shape)
    squares = whole.reshape(rows, _COARSE, columns, _COARSE)
    known = np.isfinite(squares).sum(axis=(1, 3))
    total = np.nansum(squares, axis=(1, 3))
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _percentiles(histogram: np.ndarray) -> tuple[float, float]:
    total = np.cumsum(histogram)
    low, high = (int(np.searchsorted(total, share * total[-1] / 100)) for share in _PERCENTILES)
    return float(low), float(high)


def _finer(coarse: np.ndarray, window: Window) -> np.ndarray:
    """Return the values of coarse pixels at those of a window, linearly between their centres."""
    rows = (window.row_off + np.arange(window.height) + 0.5) / _COARSE - 0.5
    columns = (window.col_off + np.arange(window.width) + 0.5) / _COARSE - 0.5
    return _between(_between(coarse, rows).T, columns).T


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return rows of (N, M) at fractional places, those beyond the ends as the ends."""
    place = np.clip(at, 0, len(values) - 1)
    first = np.minimum(place.astype(int), max(len(values) - 2, 0))
    last = np.minimum(first + 1, len(values) - 1)
    share = (place - first).astype(np.float32)[:, None]
    return np.asarray(values[first] * (1 - share) + values[last] * share)


@dataclass(frozen=True)
class Published:
    """Colours less their background."""

    source: Source

    def colours(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return each band as 255 less its difference from the background, stretched."""
        foreground, valid = self._foreground(window)
        low, high = self._ends
        scale = 255 / np.maximum(high - low, 1)
        return np.rint((foreground - low) * scale).astype(np.uint8), valid

    def brightness(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest of the three."""
        rgb, valid = self.colours(window)
        return brightest(rgb), valid

    def _foreground(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        around, lacking = _grown(window, self.source)
        rgb, valid = self.source.colours(around)
        top, left = window.row_off - around.row_off, window.col_off - around.col_off
        own = np.s_[top : top + window.height, left : left + window.width]
        return foreground(rgb, lacking), valid[own]

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest of each band, (3, 1, 1)."""
        low, high = np.full((3, 1, 1), 255.0), np.zeros((3, 1, 1))
        for window in windows_of(self.source.dataset):
            bands, valid = self._foreground(window)
            if valid.any():
                low = np.minimum(low, bands[:, valid].min(axis=1)[:, None, None])
                high = np.maximum(high, bands[:, valid].max(axis=1)[:, None, None])
        return low, high


def _grown(window: Window, source: Source) -> tuple[Window, _Sides]:
    """Return a window with its halo, as far as the scene goes, and what lacks on each side."""
    top, left = max(window.row_off - HALO, 0), max(window.col_off - HALO, 0)
    bottom = min(window.row_off + window.height + HALO, source.grid.height)
    right = min(window.col_off + window.width + HALO, source.grid.width)
    rows = (HALO - window.row_off + top, window.row_off + window.height + HALO - bottom)
    columns = (HALO - window.col_off + left, window.col_off + window.width + HALO - right)
    return Window(left, top, right - left, bottom - top), (rows, columns)


def foreground(bands: np.ndarray, lacking: _Sides = ((0, 0), (0, 0))) -> np.ndarray:
    """Return 255 less the difference of each band from its background.

    Args:
        bands: uint8 (N, rows, columns), with HALO pixels more on each side than are returned.
        lacking: how many of these lie beyond the scene, above and below, left and right: there
            the background is that of the edge, as OpenCV has it.

    Returns:
        uint8 (N, H, W).
    """
    (above, below), (left, right) = lacking
    rows = slice(HALO - above, bands.shape[1] - HALO + below)
    columns = slice(HALO - left, bands.shape[2] - HALO + right)
    reach = _DILATED // 2
    found = []
    for band in bands:
        dilated = np.pad(_dilated(band), lacking, "edge")
        background = medians(dilated[reach:-reach, reach:-reach], _MEDIAN)
        found.append(255 - _difference(band[rows, columns], background))
    return np.stack(found)


def _dilated(band: np.ndarray) -> np.ndarray:
    """Return the maximum of the 7 x 7 pixels around each pixel, along one axis after the other."""
    rows = _maxima_of_seven(np.pad(band, _DILATED // 2, "edge"))
    return np.ascontiguousarray(_maxima_of_seven(np.ascontiguousarray(rows.T)).T)


def _maxima_of_seven(values: np.ndarray) -> np.ndarray:
    """Return the maxima of 7 rows each, (H - 6, W): of 2, then of 4, then of 7."""
    two = np.maximum(values[:-1], values[1:])
    four = np.maximum(two[:-2], two[2:])
    return np.asarray(np.maximum(four[:-3], four[3:]))


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(one, other) - np.minimum(one, other))


def medians(values: np.ndarray, side: int) -> np.ndarray:
    """Return the median of the square around each pixel that has a whole one.

    Args:
        values: uint8 (H + side - 1, W + side - 1).
        side: odd, up to 255.

    Returns:
        uint8 (H, W).
    """
    reach = side // 2
    shape = (values.shape[0] - 2 * reach, values.shape[1] - 2 * reach)
    loaded = library()
    if loaded is None:
        from scipy.ndimage import median_filter

        return np.asarray(median_filter(values, side)[reach:-reach, reach:-reach])
    padded, found = np.ascontiguousarray(values), np.empty(shape, np.uint8)
    addresses = (ctypes.c_void_p(array.ctypes.data) for array in (padded, found))
    if loaded.medians_of_windows(*addresses, *shape, reach) < 0:
        raise MemoryError("no memory for medians of windows")
    return found
