"""What rules are about, read from a scene: 8-bit colours, reflectances by role, indices."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.bands import SceneBands, choose_bands, listed
from landcover.io.files.paths import AnyPath
from landcover.io.raster import Grid, open_scene, read_valid
from landcover.io.sensors import Measured, measured_by
from landcover.io.upright import upright
from landcover.progress import remark
from landcover.scenes.auto_labels.rules import OF_COLOUR, RuleSet
from landcover.scenes.features.indices import INDICES, ROLES, bands_for_roles

RGB = ("red", "green", "blue")
_DARKEST = 1e-4
"""Reflectance that less counts as in indices, as in derive-bands."""
_PICTURE = (np.array([0, 30, 60, 120, 190, 255]) * 1.1 / 255, (0, 110, 160, 210, 240, 255))
"""How a picture is made of reflectances: dark ones are spread, as those of water and thin ice
need. Gumley, Descloitres and Schmaltz, Creating reprojected true color MODIS images, 2010."""
_TAGGED = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

Unit = tuple[float, float]
"""Scale and offset to reflectance."""


@dataclass(frozen=True)
class Source:
    """A scene whose bands are known by the parts that they play.

    Attributes:
        dataset: with its first row in the north.
        at: index in the file, from 1, of the band of each role.
        units: of each role, None where the scene does not say them.
    """

    dataset: DatasetReader
    at: Mapping[str, int]
    units: Mapping[str, Unit | None]
    grid: Grid = field(repr=False)

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(self.dataset.name).name

    def lacks(self, quantity: str) -> tuple[str, ...]:
        """Return the roles that a quantity needs and the scene has not."""
        return tuple(role for role in roles_of(quantity) if role not in self.at)

    def measures(self, quantity: str) -> bool:
        """Return whether the scene has the bands of a quantity, in units that it needs."""
        known = all(self.units.get(role) for role in roles_of(quantity))
        return not self.lacks(quantity) and (known or _is_ratio(quantity))

    @property
    def is_8_bit(self) -> bool:
        """Whether its colours are those of a picture."""
        return all(self.dataset.dtypes[self.at[role] - 1] == "uint8" for role in RGB)

    def colours(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return red, green and blue, uint8 (3, H, W), and where they are valid, (H, W)."""
        values, valid = read_valid(self.dataset, window, [self.at[role] for role in RGB])
        if self.is_8_bit:
            return values, valid
        bands = zip(values, RGB, strict=True)
        found = np.stack([_reflectance(band, self.units[role]) for band, role in bands])
        return np.rint(np.interp(np.where(valid, found, 0), *_PICTURE)).astype(np.uint8), valid

    def measured(
        self, names: Iterable[str], window: Window
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return quantities other than colours, (H, W) each, and where all are valid."""
        names = list(names)
        roles = list(dict.fromkeys(role for name in names for role in roles_of(name)))
        values, valid = read_valid(self.dataset, window, [self.at[role] for role in roles])
        of = {
            role: np.where(valid, _reflectance(band, self.units[role]), _DARKEST)
            for role, band in zip(roles, values, strict=True)
        }
        positive = {role: np.maximum(band, _DARKEST) for role, band in of.items()}
        found = {name: INDICES[name].formula(positive) if name in INDICES else of[name]
                 for name in names}  # fmt: skip
        return found, valid


def roles_of(quantity: str) -> tuple[str, ...]:
    """Return the bands that a quantity is computed from."""
    if quantity in OF_COLOUR:
        return RGB
    return INDICES[quantity].roles if quantity in INDICES else (quantity,)


def span_of(quantity: str) -> tuple[float, float]:
    """Return the values that the 256 levels of a quantity cover."""
    if quantity in OF_COLOUR:
        return 0.0, 256.0
    return (0.0, 1.0) if quantity in ROLES else (-1.0, 1.0)


def levels_of(values: np.ndarray, quantity: str) -> np.ndarray:
    """Return the level of each value of a quantity, uint8 0 to 255."""
    low, high = span_of(quantity)
    return np.clip((values - low) * (256 / (high - low)), 0, 255).astype(np.uint8)


def value_at(cut: int, quantity: str) -> float:
    """Return the value below which levels up to a cut lie; of colours the level itself."""
    low, high = span_of(quantity)
    return float(cut) if quantity in OF_COLOUR else low + (cut + 1) * (high - low) / 256


@contextmanager
def open_source(
    path: AnyPath, mask: AnyPath | None, bands: str, rules: RuleSet
) -> Iterator[Source]:
    """Open a scene for rules.

    Args:
        path: of the scene.
        mask: of its pixels, as the other operations take it.
        bands: as in `red=B4,nir=B5`, what its bands are; empty if it says so itself.
        rules: that must be applicable to it.

    Raises:
        InputError: it lacks a band or a unit that the rules need.
    """
    with open_scene(path, mask) as opened:
        dataset = upright(opened)
        used = choose_bands(dataset, bands, about_pixels=True)
        at = _roles(dataset, used)
        measured = measured_by(dataset)
        units = {role: _unit(dataset, measured, index) for role, index in at.items()}
        source = Source(dataset, at, units, Grid.of(dataset))
        _need_bands(source, rules, used)
        _need_units(source, rules)
        yield source


def _roles(dataset: DatasetReader, used: SceneBands) -> dict[str, int]:
    """Return the index of the band of each role: by wavelength, by name, by what GDAL says."""
    at = {role: used.indexes[i] for role, i in bands_for_roles(used.bands).items()}
    for band, index in zip(used.bands, used.indexes, strict=True):
        word = re.split(r"[^a-z0-9]+", band.name.casefold())[0]
        if word in ROLES and band.wavelength is None:
            at.setdefault(word, index)
    if at or any(used.described):
        return at
    return _unnamed_colours(dataset, used)


def _unnamed_colours(dataset: DatasetReader, used: SceneBands) -> dict[str, int]:
    """Return red, green and blue of a picture that names no band."""
    tagged = {dataset.colorinterp[index - 1]: index for index in used.indexes}
    if all(color in tagged for color in _TAGGED):
        return {role: tagged[color] for role, color in zip(RGB, _TAGGED, strict=True)}
    is_picture = len(used.indexes) == 3 and all(
        dataset.dtypes[index - 1] == "uint8" for index in used.indexes
    )
    if not is_picture:
        return {}
    remark(
        f"{Path(dataset.name).name} names no bands: they were taken in file order as red, green "
        "and blue; say by bands which they are if that is not their order"
    )
    return dict(zip(RGB, used.indexes, strict=True))


def _unit(dataset: DatasetReader, measured: Measured, index: int) -> Unit | None:
    if measured.scale is not None:
        return measured.scale, measured.offset or 0.0
    own = (dataset.scales[index - 1], dataset.offsets[index - 1])
    return None if own == (1.0, 0.0) else own


def _reflectance(values: np.ndarray, unit: Unit | None) -> np.ndarray:
    scale, offset = unit or (1.0, 0.0)
    return np.asarray(scale * values.astype(np.float32) + offset)


def _need_bands(source: Source, rules: RuleSet, used: SceneBands) -> None:
    for quantity in rules.quantities:
        if missing := source.lacks(quantity):
            raise InputError(
                f"{quantity} needs {' and '.join(missing)}, which {source.name} has not: it has "
                f"{listed(used.names)}; say by bands which is which, as in red=B4,nir=B5",
                "bands",
            )


def _need_units(source: Source, rules: RuleSet) -> None:
    """Refuse values that rules would misread; say where the unit is a guess.

    Ratios alone do not depend on a common factor.
    """
    needs_unit = [q for q in rules.quantities if not _is_ratio(q)]
    unknown = [q for q in rules.quantities for role in roles_of(q) if source.units[role] is None]
    if unknown and any(q in OF_COLOUR for q in unknown) and source.is_8_bit:
        unknown = [q for q in unknown if q not in OF_COLOUR]
    refused = next((q for q in unknown if q in needs_unit), None)
    if refused is not None:
        raise InputError(
            f"{refused} needs {'8-bit colours or ' * (refused in OF_COLOUR)}reflectance, and "
            f"{source.name} does not say its units: write them into its tags, as in "
            "gdal_edit.py -mo SCALE=0.0001 -mo OFFSET=0 FILE",
            "scenes",
        )
    if unknown:
        remark(
            f"{source.name} does not say its units (SCALE, OFFSET): {listed(unknown)} were "
            "computed on its values as they are; if these have an offset, as those of Sentinel-2 "
            "have since 2022, they are wrong"
        )
    if any(q in OF_COLOUR for q in rules.quantities) and not source.is_8_bit:
        remark(
            f"the colours of {source.name} were made of its reflectances by the curve of MODIS "
            "pictures: thresholds for pictures that were made otherwise do not hold for them"
        )


def _is_ratio(quantity: str) -> bool:
    return quantity in INDICES and INDICES[quantity].is_ratio
