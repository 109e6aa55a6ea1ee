"""What can go wrong with a scene on its way to a user, planted in real ones.

Every plant takes the values of a scene, float64 (bands, H, W) in its own unit, and returns others.
Offsets, haze and clouds are given as reflectance, and turned into the scene's unit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

Plant = Callable[[np.ndarray], np.ndarray]

GAINS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.65)
_BLUE = 483.0


@dataclass(frozen=True)
class Unit:
    """Of a scene: counts per reflectance, largest value, and wavelengths in nm of its bands."""

    per_reflectance: float
    dtype: str
    wavelengths: tuple[float, ...]

    @property
    def is_reflectance(self) -> bool:
        """Whether values are reflectance times 10000, not counts of 8 bits."""
        return self.dtype != "uint8"

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Return values as a file of this unit would hold them: whole, and cut off at its ends."""
        kept = np.iinfo(self.dtype)
        return np.clip(np.rint(values), kept.min, kept.max).astype(self.dtype)


@dataclass(frozen=True)
class Case:
    """One plant: its kind and name, what it does, and whether the file keeps its dtype."""

    kind: str
    name: str
    plant: Plant
    keeps_dtype: bool = True


def cases(unit: Unit, seed: int) -> Iterator[Case]:
    """Yield every plant for scenes of one unit."""
    bands = len(unit.wavelengths)
    rng = np.random.default_rng(seed)
    one = unit.per_reflectance
    for gain in GAINS:
        yield Case("gain", f"times {gain:g}", partial(np.multiply, gain))
    for number in range(3):
        per_band = np.clip(rng.normal(1, 0.12, bands), 0.6, 1.65)
        yield Case("gain per band", f"per band, draw {number}", partial(_gains, per_band))
    rising = np.linspace(0.85, 1.15, bands)
    yield Case("gain per band", "rising from 0.85 to 1.15", partial(_gains, rising))
    yield Case("gain per band", "falling from 1.15 to 0.85", partial(_gains, rising[::-1]))
    for band in sorted({0, bands // 2, bands - 1}):
        for gain in (0.8, 1.2):
            yield Case("gain per band", f"band {band + 1} times {gain:g}",
                       partial(_one_band, band, partial(np.multiply, gain)))  # fmt: skip
    for haze in (0.02, 0.05, 0.1):
        path = one * haze * (_BLUE / np.array(unit.wavelengths)) ** 2
        yield Case("haze", f"haze of {haze:g} in blue", partial(_added, path))
    for offset in (-0.1, -0.03, 0.02, 0.05, 0.1):
        yield Case("offset", f"{offset:+g} reflectance", partial(np.add, offset * one))
    yield from _units(unit)
    for band in sorted({0, bands // 2, bands - 1}):
        yield from _broken(band, bands, seed)
    for share in (0.1, 0.25):
        yield Case("noise", f"noise of {share:g} deviations in all bands",
                   partial(_all_noisy, share, seed))  # fmt: skip
    for first, second in ((0, 1), (0, 2), (bands - 2, bands - 1), (bands // 2, bands - 1)):
        if first != second:
            yield Case("exchanged", f"bands {first + 1} and {second + 1} exchanged",
                       partial(_exchanged, first, second))  # fmt: skip
    yield Case("exchanged", "bands in reverse order", lambda values: values[::-1])
    yield Case("inverted", "all bands inverted", _inverted)
    for share in (0.3, 0.6):
        yield Case("cloud", f"cloud over {share:.0%}", partial(_cloud, share, 0.7 * one))
    for share, fill in ((0.05, 0), (0.3, 0), (0.1, None)):
        named = "the largest value" if fill is None else f"{fill}"
        value = float(np.iinfo(unit.dtype).max) if fill is None else fill
        yield Case("fill", f"{share:.0%} filled with {named}", partial(_filled, share, value))
    yield Case("mosaic", "the left half times 1.2", partial(_part, 0.5, partial(np.multiply, 1.2)))
    yield Case("mosaic", "the left third times 0.8",
               partial(_part, 1 / 3, partial(np.multiply, 0.8)))  # fmt: skip
    yield Case("mosaic", "the left quarter plus 0.1 reflectance",
               partial(_part, 0.25, partial(np.add, 0.1 * one)))  # fmt: skip


def _units(unit: Unit) -> Iterator[Case]:
    """Yield the scene in other units, and stretched for display."""
    one = unit.per_reflectance
    yield Case("unit", "reflectance from 0 to 1", lambda v: v / one, keeps_dtype=False)
    yield Case("unit", "reflectance plus 0.1", lambda v: v / one + 0.1, keeps_dtype=False)
    yield Case("unit", "percent", lambda v: 100 * v / one, keeps_dtype=False)
    yield Case("unit", "Landsat Collection 2 counts",
               lambda v: np.rint((v / one + 0.2) / 2.75e-5), keeps_dtype=False)  # fmt: skip
    if unit.is_reflectance:
        yield Case("unit", "8 bit", lambda v: np.rint(np.clip(v / one * 255, 0, 255)),
                   keeps_dtype=False)  # fmt: skip
    else:
        yield Case("unit", "counts to 10000", lambda v: np.rint(v * 1e4 / 255),
                   keeps_dtype=False)  # fmt: skip
    yield Case("stretch", "all bands stretched alike", partial(_stretched, None),
               keeps_dtype=False)  # fmt: skip
    yield Case("stretch", "each band stretched", partial(_stretched, (1, 2)), keeps_dtype=False)


def _broken(band: int, bands: int, seed: int) -> Iterator[Case]:
    """Yield one band broken in every way."""
    name = f"band {band + 1}"
    other = (band + 1) % bands
    yield Case("dead", f"{name} all 0", partial(_one_band, band, np.zeros_like))
    yield Case("dead", f"{name} all its median", partial(_one_band, band, _median))
    yield Case("doubled", f"{name} holds band {other + 1}", partial(_doubled, band, other))
    yield Case("replaced", f"{name} of another place", partial(_one_band, band, _turned))
    yield Case("inverted", f"{name} inverted", partial(_one_band, band, _inverted_band))
    for share in (0.25, 0.5, 1.0):
        yield Case("noise", f"noise of {share:g} deviations in {name}",
                   partial(_one_band, band, partial(_noisy, share, seed)))  # fmt: skip


def _gains(gains: np.ndarray, values: np.ndarray) -> np.ndarray:
    return gains[:, None, None] * values


def _added(path: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values + path[:, None, None]


def _one_band(band: int, change: Plant, values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed[band] = change(values[band])
    return changed


def _median(band: np.ndarray) -> np.ndarray:
    return np.full_like(band, np.median(band))


def _doubled(band: int, other: int, values: np.ndarray) -> np.ndarray:
    return _one_band(band, lambda _: values[other], values)


def _turned(band: np.ndarray) -> np.ndarray:
    return band[::-1, ::-1]


def _inverted_band(band: np.ndarray) -> np.ndarray:
    low, high = np.quantile(band, (0.01, 0.99))
    return low + high - band


def _inverted(values: np.ndarray) -> np.ndarray:
    return np.stack([_inverted_band(band) for band in values])


def _noisy(share: float, seed: int, band: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return band + rng.normal(0, share * band.std(), band.shape)


def _all_noisy(share: float, seed: int, values: np.ndarray) -> np.ndarray:
    return np.stack([_noisy(share, seed + i, band) for i, band in enumerate(values)])


def _exchanged(first: int, second: int, values: np.ndarray) -> np.ndarray:
    order = np.arange(len(values))
    order[[first, second]] = second, first
    return values[order]


def _stretched(axes: tuple[int, int] | None, values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, (0.02, 0.98), axis=axes, keepdims=True)
    return np.rint(255 * np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1))


def _part(share: float, change: Plant, values: np.ndarray) -> np.ndarray:
    """Change the left part of a scene."""
    width = round(share * values.shape[2])
    return np.concatenate([change(values[:, :, :width]), values[:, :, width:]], axis=2)


def _cloud(share: float, white: float, values: np.ndarray) -> np.ndarray:
    """Cover the left of a scene with cloud that lets 40 % through."""
    return _part(share, lambda v: 0.4 * v + 0.6 * white, values)


def _filled(share: float, fill: float, values: np.ndarray) -> np.ndarray:
    return _part(share, lambda v: np.full_like(v, fill), values)
