"""Bands of the sensors we know, and the units their scenes are delivered in.

Sources: ESA, Sentinel-2 MSI spectral responses (S2A); USGS, Landsat 7 and Landsat 8 data users
handbooks.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from rasterio.io import DatasetReader


@dataclass(frozen=True)
class SensorBand:
    """One band: centre wavelength in nm."""

    name: str
    wavelength: float


SENTINEL_2 = tuple(
    SensorBand(*row)
    for row in (
        ("B01", 443), ("B02", 490), ("B03", 560), ("B04", 665), ("B05", 705),
        ("B06", 740), ("B07", 783), ("B08", 842), ("B8A", 865), ("B09", 945),
        ("B10", 1375), ("B11", 1610), ("B12", 2190),
    )
)  # fmt: skip
LANDSAT_7 = tuple(
    SensorBand(*row)
    for row in (
        ("blue", 483), ("green", 560), ("red", 662), ("nir", 835),
        ("swir1", 1648), ("swir2", 2206),
    )
)  # fmt: skip
LANDSAT_8 = tuple(
    SensorBand(*row)
    for row in (
        ("B1", 443), ("B2", 482), ("B3", 561), ("B4", 655), ("B5", 865),
        ("B6", 1609), ("B7", 2201), ("B9", 1373),
    )
)  # fmt: skip
_BY_NUMBER = {
    "Sentinel-2": {band.name.replace("B0", "B").lower(): band.wavelength for band in SENTINEL_2},
    "Landsat 8": {band.name.lower(): band.wavelength for band in LANDSAT_8},
    "Landsat 7": {
        name: band.wavelength
        for name, band in zip(("b1", "b2", "b3", "b4", "b5", "b7"), LANDSAT_7, strict=True)
    },
}
"""Wavelengths of numbered bands: without the panchromatic and thermal ones, which have pixels of
another size and do not stand in a stack with the others."""
_COMMON_NAMES = {band.name: band.wavelength for band in LANDSAT_7} | {
    "coastal": 443, "rededge": 705, "rededge1": 705, "rededge2": 740, "rededge3": 783,
    "rededge71": 705, "rededge75": 740, "rededge78": 783, "nir8": 865, "nir9": 945,
    "cirrus": 1375, "swir16": 1610, "swir22": 2190, "r": 662, "g": 560, "b": 483,
}  # fmt: skip
"""By `key_of`. Source: STAC, electro-optical extension, common names of bands."""
NEAR = 0.025
"""Bands whose centre wavelengths differ by no more than this share may stand for one another:
the same bands of Sentinel-2 and Landsat do, neighbouring bands of one sensor do not."""
_NUMBERED = re.compile(r"(sr_)?(b\d+a?)")
_ASIDE = re.compile(
    r"(?<![^\W_])("
    r"(19|20)\d\d(-?)(0[1-9]|1[0-2])\3(0[1-9]|[12]\d|3[01])(t\d{6})?"  # date, or time
    r"|t\d\d[a-z]{3}|[136]0m"  # tile and pixel size, in names of Sentinel-2 files
    r")(?![^\W_])"
)


def key_of(name: str) -> str:
    """Return a band's name without case, date and leading zeros.

    >>> [key_of(name) for name in ("B02", "b2", "B02_20230801", "2023-08-01:B8A")]
    ['b2', 'b2', 'b2', 'b8a']
    """
    bare = _ASIDE.sub("", name.casefold()).strip(" _-.:")
    return re.sub(r"(?<!\d)0+(?=\d)", "", bare)


def wavelengths_of(names: Sequence[str], sensor: str | None = None) -> list[float | None]:
    """Return the centre wavelengths in nm of the bands of one scene, None where not known.

    Numbers mean other bands on other sensors: all that have bands of these numbers must agree.

    Args:
        names: of the bands.
        sensor: that measured them, if the scene says so.
    """
    keys = [key_of(name) for name in names]
    numbers = {key: found for key in keys if (found := _NUMBERED.fullmatch(key))}
    tables = [
        table
        for system, table in _BY_NUMBER.items()
        if _may_be(system, sensor, names, numbers)
        and all(found[2] in table for found in numbers.values())
    ]
    return [
        _agreed([table[numbers[key][2]] for table in tables])
        if key in numbers
        else _COMMON_NAMES.get(key)
        for key in keys
    ]


def _may_be(
    system: str, sensor: str | None, names: Sequence[str], numbers: Mapping[str, Any]
) -> bool:
    """Return whether a system may have measured bands of these names."""
    is_sentinel = system == "Sentinel-2"
    if sensor is not None and system not in _systems_of(sensor):
        return False
    if any(re.search(r"B0\d", name, re.IGNORECASE) for name in names) and not is_sentinel:
        return False  # Landsat writes no leading zero
    return not (is_sentinel and any(found[1] for found in numbers.values()))


def _systems_of(sensor: str) -> tuple[str, ...]:
    """Return the systems that a scene's own words may mean."""
    words = sensor.casefold()
    if re.search(r"\bmss\b|landsat[ _-]?[123]\b", words):
        return ()  # its numbers mean other bands: B4 of Landsat 1 is green, of Landsat 5 infrared
    if "sentinel" in words or re.search(r"\b(s2|msi)", words):
        return ("Sentinel-2",)
    if re.search(r"landsat\D*[89]|oli", words):
        return ("Landsat 8",)
    if re.search(r"landsat\D*[457]|\be?tm\b", words):
        return ("Landsat 7",)
    return ("Landsat 8", "Landsat 7") if "landsat" in words else ()


def same_system(one: str | None, other: str | None) -> bool:
    """Return whether the words of two scenes may mean sensors with the same bands."""
    if one is None or other is None or one == other:
        return one == other
    return bool(set(_systems_of(one)) & set(_systems_of(other)))


def _agreed(wavelengths: Sequence[float]) -> float | None:
    """Return the first of some wavelengths if all are near it."""
    first = wavelengths[0] if wavelengths else None
    return first if first and all(is_near(first, other) for other in wavelengths) else None


def is_near(one: float, other: float) -> bool:
    """Return whether two centre wavelengths may be those of the same band."""
    return abs(one - other) <= NEAR * max(one, other)


def wavelength_in(tags: Mapping[str, str]) -> float | None:
    """Return the centre wavelength in nm that the tags of a band declare, else None."""
    told = {key.lower(): value for key, value in tags.items()}
    micrometres = _number(told.get("central_wavelength_um"))
    value = _number(told.get("wavelength"))
    if micrometres is None and value is not None:
        unit = str(told.get("wavelength_units", "")).casefold()
        is_micro = unit.startswith(("mic", "um", "\u00b5m")) or (not unit and value < _SHORTEST)
        micrometres = value if is_micro else value / 1000
    wavelength = None if micrometres is None else 1000 * micrometres
    return wavelength if wavelength and _SHORTEST <= wavelength <= _LONGEST_WAVE else None


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
        """Return what is done, as a sentence."""
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
_SHORTEST, _LONGEST_WAVE = 100, 100_000  # nm; a number below is one of micrometres


_INSTRUMENTS = ("MSI", "MSS", "TM", "ETM+", "OLI", "OLCI", "MODIS", "VIIRS", "ASTER")


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
        """Read it from a file's untrusted tags; what is invalid is ignored."""
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

    def is_of_other_instrument(self, sensor: str | None) -> bool:
        """Return whether both sensors are of known instruments, which differ."""
        own, other = _instrument_in(self.sensor), _instrument_in(sensor)
        return own is not None and other is not None and own != other

    def differs_from(self, sensor: str | None, level: str | None) -> str:
        """Return a clause on how the scene's tags differ from the model's."""
        pairs = ((self.sensor, sensor), (self.level, level))
        said = [f"{own} not {other}" for own, other in pairs if own and other and own != other]
        return f" (the scene is {' and '.join(said)})" if said else ""


def _instrument_in(sensor: str | None) -> str | None:
    words = (sensor or "").upper().replace("_", " ").split()
    return next((name for name in _INSTRUMENTS if name in words), None)


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
