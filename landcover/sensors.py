"""Bands of the sensors we know, and the units their scenes are delivered in.

Sources: ESA, Sentinel-2 MSI spectral responses (S2A); USGS, Landsat 7 data users handbook.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from rasterio.io import DatasetReader


@dataclass(frozen=True)
class SensorBand:
    """One band: centre wavelength in nm, ground sample distance (GSD) in m."""

    name: str
    wavelength: float
    gsd: float


SENTINEL_2 = tuple(
    SensorBand(*row)
    for row in (
        ("B01", 443, 60), ("B02", 490, 10), ("B03", 560, 10), ("B04", 665, 10), ("B05", 705, 20),
        ("B06", 740, 20), ("B07", 783, 20), ("B08", 842, 10), ("B8A", 865, 20), ("B09", 945, 60),
        ("B10", 1375, 60), ("B11", 1610, 20), ("B12", 2190, 20),
    )
)  # fmt: skip
LANDSAT_7 = tuple(
    SensorBand(*row)
    for row in (
        ("blue", 483, 30), ("green", 560, 30), ("red", 662, 30), ("nir", 835, 30),
        ("swir1", 1648, 30), ("swir2", 2206, 30),
    )
)  # fmt: skip
_WAVELENGTHS = {band.name: band.wavelength for band in (*SENTINEL_2, *LANDSAT_7)}


def wavelength_of(name: str) -> float | None:
    """Return the centre wavelength in nm of a band named as its agency names it, else None."""
    return _WAVELENGTHS.get(name)


@dataclass(frozen=True)
class Encoding:
    """A unit that scenes are delivered in: reflectance = scale * value + offset."""

    name: str
    scale: float
    offset: float


ENCODINGS = (
    Encoding("reflectance times 10000", 1e-4, 0.0),
    Encoding("reflectance times 10000 plus 1000", 1e-4, -0.1),  # Sentinel-2 since baseline 04.00
    Encoding("reflectance times 10000 less 1000", 1e-4, 0.1),  # that offset taken off twice
    Encoding("reflectance from 0 to 1", 1.0, 0.0),
    Encoding("reflectance from 0 to 1 plus 0.1", 1.0, -0.1),  # counts plus 1000, divided
    Encoding("reflectance in percent", 0.01, 0.0),
    Encoding("Landsat Collection 2 counts", 2.75e-5, -0.2),
    Encoding("reflectance in 8 bit", 1 / 255, 0.0),
)
"""Sources: ESA, Sentinel-2 products specification 14.9 (offset of baseline 04.00); USGS, Landsat
8-9 Collection 2 level 2 science product guide (scale and offset of surface reflectance)."""


@dataclass(frozen=True)
class Conversion:
    """From the unit of a scene to that of a model: gain * value + offset, for all bands."""

    gain: float
    offset: float

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Convert values of any shape."""
        return self.gain * pixels + self.offset

    def __str__(self) -> str:
        """Say what is done, in words."""
        if self.gain == 1:
            done = "adding" if self.offset > 0 else "taking off"
            return f"{done} {abs(self.offset):g} in all bands"
        added = f" and adding {self.offset:g}" if self.offset else ""
        return f"multiplying by {self.gain:.6g}{added} in all bands"


def _between(first: Encoding, second: Encoding) -> Conversion:
    """Return the conversion from one encoding to another."""
    return Conversion(first.scale / second.scale, (first.offset - second.offset) / second.scale)


def _conversions() -> tuple[Conversion, ...]:
    """Return what lies between any two encodings, each once."""
    found = {}
    for first, second in permutations(ENCODINGS, 2):
        conversion = _between(first, second)
        found[f"{conversion.gain:.6g} {conversion.offset:.6g}"] = conversion
    return tuple(found.values())


CONVERSIONS = _conversions()


_LONGEST = 80  # of a sensor's name, in characters


@dataclass(frozen=True)
class Measured:
    """What a scene says of how it was measured, in its tags; None where it is silent.

    Attributes:
        sensor: such as Sentinel-2A MSI.
        level: processing level, such as L1C.
        scale: reflectance per count.
        offset: added after scaling.
    """

    sensor: str | None = None
    level: str | None = None
    scale: float | None = None
    offset: float | None = None

    @classmethod
    def declared(cls, tags: Mapping[str, Any]) -> "Measured":
        """Take it from what a file, anybody's, declares; what does not do is as if unsaid."""
        scale = _number(tags.get("scale"))
        sensor, level = (_text(tags.get(key)) for key in ("sensor", "level"))
        return cls(
            sensor, level, scale if scale and scale > 0 else None, _number(tags.get("offset"))
        )

    def conversion_to(self, scale: float | None, offset: float | None) -> Conversion | None:
        """Return how to get to another unit, if both are declared and differ."""
        if self.scale is None or scale is None:
            return None
        own = Encoding("", self.scale, self.offset or 0.0)
        found = _between(own, Encoding("", scale, offset or 0.0))
        return None if found == Conversion(1.0, 0.0) else found

    def differs_from(self, sensor: str | None, level: str | None) -> str:
        """Say, as part of a sentence, in what the scene differs from a model by its own words."""
        pairs = ((self.sensor, sensor), (self.level, level))
        said = [f"{own} not {other}" for own, other in pairs if own and other and own != other]
        return f" (the scene is {' and '.join(said)})" if said else ""


UNKNOWN = Measured()


def measured_by(dataset: DatasetReader) -> Measured:
    """Read what a scene says of how it was measured: its tags, else its bands' scale."""
    tags: dict[str, Any] = {key.lower(): value for key, value in dataset.tags().items()}
    scales, offsets = set(dataset.scales), set(dataset.offsets)
    if len(scales) == len(offsets) == 1 and scales != {1.0}:
        tags = {"scale": scales.pop(), "offset": offsets.pop()} | tags
    return Measured.declared(tags)


def _text(value: Any) -> str | None:
    words = value.split() if isinstance(value, str) else []
    printable = "".join(c for c in " ".join(words) if c.isprintable())
    return printable[:_LONGEST] or None


def _number(value: Any) -> float | None:
    """Return the number that a tag begins with, a word of its own."""
    try:
        number = float(str(value).split()[0])
    except (IndexError, ValueError):
        return None
    return number if math.isfinite(number) else None
