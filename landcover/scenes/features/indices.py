"""Spectral indices: a fixed list of formulas, of which none is ever evaluated from a text.

Formulas are those of the papers; names, and which wavelengths a band of a name may have, follow
Montero et al., "A standardized catalogue of spectral indices", Scientific Data 10 (2023) 197.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landcover.io.raster import Band

Formula = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""From reflectances by role, each (H, W), to the index."""


@dataclass(frozen=True)
class Role:
    """A part that a band plays in formulas.

    Attributes:
        low: shortest centre wavelength in nm.
        high: longest one.
        centre: of bands in between, the nearest to it is taken; Sentinel-2's.
    """

    low: float
    high: float
    centre: float


ROLES = {
    "blue": Role(450, 530, 490),
    "green": Role(510, 600, 560),
    "red": Role(620, 690, 665),
    "nir": Role(760, 900, 842),
    "swir1": Role(1550, 1750, 1610),
    "swir2": Role(2080, 2350, 2190),
}


@dataclass(frozen=True)
class Index:
    """A spectral index.

    Attributes:
        roles: bands that it needs.
        written: the formula, for people, in roles.
        formula: the same.
        source: where it was defined.
        is_ratio: whether a common factor of all bands cancels out, though no offset does.
    """

    roles: tuple[str, ...]
    written: str
    formula: Formula
    source: str
    is_ratio: bool = True

    def formula_of(self, names: Mapping[str, str]) -> str:
        """Return the formula in names of bands, by role."""
        return " ".join(_with_names(word, names) for word in self.written.split(" "))


def _with_names(word: str, names: Mapping[str, str]) -> str:
    bare = word.strip("()")
    return word.replace(bare, names[bare]) if bare in names else word


def _difference(first: str, second: str) -> tuple[tuple[str, str], str, Formula]:
    """Return roles and formula of a normalised difference."""

    def formula(of: Mapping[str, np.ndarray]) -> np.ndarray:
        return _ratio(of[first] - of[second], of[first] + of[second])

    return (first, second), f"({first} - {second}) / ({first} + {second})", formula


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return a quotient; reflectances are positive, and so is what stands below."""
    return np.asarray(above / below)


def _evi2(of: Mapping[str, np.ndarray]) -> np.ndarray:
    return 2.5 * _ratio(of["nir"] - of["red"], of["nir"] + 2.4 * of["red"] + 1)


def _savi(of: Mapping[str, np.ndarray]) -> np.ndarray:
    return 1.5 * _ratio(of["nir"] - of["red"], of["nir"] + of["red"] + 0.5)


def _bsi(of: Mapping[str, np.ndarray]) -> np.ndarray:
    bare, green = of["swir1"] + of["red"], of["nir"] + of["blue"]
    return _ratio(bare - green, bare + green)


INDICES = {
    "NDVI": Index(*_difference("nir", "red"), "Rouse et al. 1974, NASA SP-351, 309"),
    "NDWI": Index(*_difference("green", "nir"), "McFeeters 1996, doi:10.1080/01431169608948714"),
    "MNDWI": Index(*_difference("green", "swir1"), "Xu 2006, doi:10.1080/01431160600589179"),
    "NDBI": Index(*_difference("swir1", "nir"), "Zha et al. 2003, doi:10.1080/01431160304987"),
    "NBR": Index(*_difference("nir", "swir2"), "Lopez Garcia and Caselles 1991, "
                 "doi:10.1080/10106049109354290"),
    "NDMI": Index(*_difference("nir", "swir1"), "Gao 1996, doi:10.1016/S0034-4257(96)00067-3; "
                  "Hardisky et al. 1983"),
    "EVI2": Index(("nir", "red"), "2.5 * (nir - red) / (nir + 2.4 * red + 1)", _evi2,
                  "Jiang et al. 2008, doi:10.1016/j.rse.2008.06.006", is_ratio=False),
    "SAVI": Index(("nir", "red"), "1.5 * (nir - red) / (nir + red + 0.5)", _savi,
                  "Huete 1988, doi:10.1016/0034-4257(88)90106-X", is_ratio=False),
    "BSI": Index(("swir1", "red", "nir", "blue"),
                 "((swir1 + red) - (nir + blue)) / ((swir1 + red) + (nir + blue))", _bsi,
                 "Rikimaru et al. 2002, Tropical Ecology 43, 39"),
}  # fmt: skip


def bands_for_roles(bands: Sequence[Band]) -> dict[str, int]:
    """Return for each role the band, by its number from 0, whose centre is nearest; if any is."""
    found = {}
    for name, role in ROLES.items():
        apart = {
            number: abs(band.wavelength - role.centre)
            for number, band in enumerate(bands)
            if band.wavelength and role.low <= band.wavelength <= role.high
        }
        if apart:
            found[name] = min(apart, key=lambda number: (apart[number], number))
    return found
