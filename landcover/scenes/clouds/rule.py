"""Clouds by a rule on reflectances, for scenes that bring no quality band.

Clouds are brighter in blue than haze-free ground is (the haze optimized transformation), white
and no snow; shadows are dark land in the infrared near a cloud.

Sources: Zhang, Guindon, Cihlar, Remote Sensing of Environment 82 (2002) 173, and Zhu, Woodcock,
ibid. 118 (2012) 83, for the tests; thresholds at the top of the atmosphere were chosen on a
Sentinel-2 scene against a trained network (benchmarks/clouds.py), which is no truth either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landcover.io.legend import NODATA
from landcover.io.scene_pixels import sample_pixels
from landcover.progress import remark
from landcover.scenes.clouds.detection import CLEAR, CLOUDY
from landcover.scenes.clouds.reflectance import Reflectance

NEEDED = ("blue", "green", "red", "nir")
_HAZE = 0.08
_THRESHOLD = {False: 0.022, True: -0.03}
"""Of blue - red / 2 - 0.08, by whether the atmosphere was taken off: clear land lies at 0.007
and at -0.056."""
_COLOURED = 0.6
"""Sum of the deviations of visible bands from their mean, by that mean: clouds have less."""
_SNOW = 0.8
_DARK = 0.12
_SMOOTH, _GROWN, _REACH = 100.0, 60.0, 2000.0
"""Metres: means are taken over, clouds are grown by, shadows lie within of a cloud."""
_MOST_PIXELS = 256
"""That any of these lengths is taken to be."""
_HAZES = (-1.0, 0.004, 0.006, 0.010, 0.014, 0.018, 0.0225, 0.0275, 0.035, 0.05)
_MASKED = (0.02, 0.03, 0.06, 0.17, 0.41, 0.46, 0.55, 0.91, 0.96, 0.98)
"""Share of pixels that the network called cloud or shadow, for each of these values at the top."""
_SNOWY = 0.05


@dataclass(frozen=True)
class Rule:
    """Finds clouds and their shadows by reflectances."""

    reflectance: Reflectance
    side: int = 512

    def detect(self, window: Window) -> tuple[np.ndarray, ...]:
        """Return the mask of a window, and in percent how likely each pixel is what it says."""
        halo = self._pixels(_REACH) + self._pixels(_GROWN) + self._pixels(_SMOOTH)
        of, valid = self.reflectance.read(window, halo)
        smooth = _means(of, valid, 2 * (self._pixels(_SMOOTH) // 2) + 1)
        haze = smooth["blue"] - 0.5 * smooth["red"] - _HAZE
        cloud = self._grown(self._is_cloud(smooth, haze) & valid, _GROWN)
        shadow = self._is_shadow(smooth) & self._grown(cloud, _REACH)
        own = (slice(halo, halo + window.height), slice(halo, halo + window.width))
        masked = (cloud | shadow)[own]
        at_top = haze[own] - self._threshold + _THRESHOLD[False]
        likely = np.interp(at_top, _HAZES, _MASKED)
        sure = np.where(masked, np.maximum(likely, 0.5), 1 - likely)
        mask = np.where(masked, CLOUDY, CLEAR)
        return tuple(
            np.where(valid[own], values, NODATA).astype(np.uint8)
            for values in (mask, np.rint(100 * sure))
        )

    def remark_on_trust(self) -> None:
        """Say how sure the rule is, and what it misses."""
        remark(
            "clouds were found by a rule on brightness, look at the mask before you use it: on a "
            "Sentinel-2 scene with thin cloud it found 78 % of what a trained network calls "
            "cloud and 26 % of its shadows, and 81 % of what it masked were either"
        )
        if self.reflectance.is_surface:
            remark(
                "of surface reflectance the rule was only tried on a clear scene, of which it "
                "masks nothing; how many clouds it finds there was not measured"
            )
        if (snowy := self._snowy()) > _SNOWY:
            remark(
                f"about {snowy:.0%} of the scene looks like snow or ice, which the rule does not "
                "tell from clouds reliably"
            )

    @property
    def _threshold(self) -> float:
        return _THRESHOLD[self.reflectance.is_surface]

    def _pixels(self, metres: float) -> int:
        return int(min(round(metres / self.reflectance.metres), _MOST_PIXELS))

    def _is_cloud(self, of: Mapping[str, np.ndarray], haze: np.ndarray) -> np.ndarray:
        visible = np.stack([of["blue"], of["green"], of["red"]])
        mean = np.maximum(visible.mean(axis=0), 1e-6)
        white = np.abs(visible - mean).sum(axis=0) < _COLOURED * mean
        found = (haze > self._threshold) & white
        if "swir1" in of:
            found &= _snow_index(of) < _SNOW
        return np.asarray(found)

    def _is_shadow(self, of: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what is dark in the infrared; water, darker there than in red, is not."""
        dark = (of["nir"] < _DARK) & (of["nir"] > of["red"])
        return dark & (of["swir1"] < _DARK) if "swir1" in of else dark

    def _grown(self, found: np.ndarray, metres: float) -> np.ndarray:
        from scipy.ndimage import maximum_filter

        return np.asarray(maximum_filter(found, 2 * self._pixels(metres) + 1))

    def _snowy(self) -> float:
        """Return the share of some pixels that snow may be."""
        reflectance = self.reflectance
        if "swir1" not in reflectance.at:
            return 0.0
        values = sample_pixels(reflectance.dataset, list(reflectance.at.values())).values
        scaled = reflectance.scale * values + reflectance.offset
        of = dict(zip(reflectance.at, scaled.T, strict=True))
        return float(((_snow_index(of) > 0.4) & (of["nir"] > 0.11) & (of["green"] > 0.1)).mean())


def _snow_index(of: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the normalised difference of green and short-wave infrared."""
    total = np.maximum(of["green"] + of["swir1"], 1e-6)
    return np.asarray((of["green"] - of["swir1"]) / total)


def _means(of: Mapping[str, np.ndarray], valid: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """Return the mean of what is valid in squares around each pixel."""
    from scipy.ndimage import uniform_filter

    known = np.maximum(uniform_filter(valid.astype(np.float32), side), 1e-3)
    return {role: uniform_filter(values, side) / known for role, values in of.items()}
