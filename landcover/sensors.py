"""Bands of the sensors we know: name, centre wavelength and ground sample distance.

Sources: ESA, Sentinel-2 MSI spectral responses (S2A); USGS, Landsat 7 data users handbook.
"""

from dataclasses import dataclass


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
