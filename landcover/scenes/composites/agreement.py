"""Whether scenes may be put together: units, sensors, levels, bands. Nothing mixes in silence."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landcover.errors import InputError
from landcover.io.bands import match_named
from landcover.io.scene_pixels import ScenePixels, sample_pixels
from landcover.io.sensors import Measured, is_near, same_system
from landcover.progress import remark
from landcover.scenes.composites.layers import Layer

_TOO_DIFFERENT = 10.0
"""Times by which every band of one scene exceeds that of another: counts beside reflectance."""
_DECLARE = "gdal_edit.py -mo SCALE=0.0001 -mo OFFSET=0 FILE"


def in_one_unit(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers whose values are brought to the units of the first one.

    Raises:
        InputError: some say their units and others do not, or they say nothing and differ as
            other units do.
    """
    known = [layer for layer in layers if layer.measured.scale is not None]
    if known and len(known) < len(layers):
        silent = next(layer.name for layer in layers if layer.measured.scale is None)
        raise InputError(
            f"{known[0].name} says its units (SCALE) and {silent} does not, so they cannot be put "
            f"together: say those of {silent}, as in {_DECLARE}"
        )
    if not known:
        if not _are_of_same_units(layers):
            _need_alike(layers)
        return list(layers)
    return [_in_unit_of(layers[0].measured, layer) for layer in layers]


def _in_unit_of(first: Measured, layer: Layer) -> Layer:
    conversion = layer.measured.conversion_to(first.scale, first.offset)
    if conversion is not None:
        remark(
            f"{layer.name} has other units (scale {layer.measured.scale:g}, offset "
            f"{layer.measured.offset or 0:g}) than the first scene (scale {first.scale:g}, offset "
            f"{first.offset or 0:g}) and was converted by {conversion} but those of "
            "another unit, as indices"
        )
    return replace(layer, conversion=conversion)


def _are_of_same_units(layers: Sequence[Layer]) -> bool:
    """Return whether bands say units, each the same in all scenes.

    Raises:
        InputError: they say others.
    """
    units = [_units(layer) for layer in layers]
    for layer, own in zip(layers, units, strict=True):
        both = own.keys() & units[0].keys()
        other = next((name for name in sorted(both) if own[name] != units[0][name]), None)
        if other is not None:
            raise InputError(
                f"{other} has scale and offset {own[other]} in {layer.name} and {units[0][other]} "
                f"in {layers[0].name}, and bands of several units are not "
                "converted: import scenes of bands in one unit, without thermal ones"
            )
    return any(unit != (1.0, 0.0) for unit in units[0].values())


def _units(layer: Layer) -> dict[str, tuple[float, float]]:
    """Return scale and offset of each band, as the file has them."""
    dataset = layer.scene.dataset
    return {
        name: (dataset.scales[index - 1], dataset.offsets[index - 1])
        for name, index in zip(layer.names, layer.indexes, strict=True)
    }


def _need_alike(layers: Sequence[Layer]) -> None:
    """Refuse scenes without units whose values differ as reflectance and counts do."""
    if len({layer.name for layer in layers}) < 2:
        return
    medians = [_median(layer) for layer in layers]
    for layer, median in zip(layers, medians, strict=True):
        shared = min(len(median), len(medians[0]))
        ratios = median[:shared] / medians[0][:shared]
        if shared and ((ratios > _TOO_DIFFERENT).all() or (ratios < 1 / _TOO_DIFFERENT).all()):
            raise InputError(
                f"the values of {layer.name} are {ratios[0]:.2g} times those of {layers[0].name} "
                f"in the first band, as in other units: say the units of both, as in {_DECLARE}"
            )
    remark(
        "the scenes do not say their units (SCALE, OFFSET): they are taken to be the same, an "
        "offset as of Sentinel-2 since 2022 beside none would not be noticed"
    )


def _median(layer: Layer) -> np.ndarray:
    """Return the median of each band, of some pixels from all over the scene."""
    pixels: ScenePixels = sample_pixels(layer.scene.dataset, layer.indexes)
    return np.asarray(np.maximum(np.abs(np.median(pixels.values, axis=0)), 1e-9))


def remark_on_sensors(layers: Sequence[Layer]) -> None:
    """Say which scenes are of another sensor or level than the first one."""
    first = layers[0]
    for layer in layers[1:]:
        one, other = first.measured, layer.measured
        if (one.sensor or other.sensor) and not same_system(one.sensor, other.sensor):
            remark(
                f"{layer.name} is of {other.sensor or 'a sensor that it does not name'}, "
                f"{first.name} of {one.sensor or 'one that it does not name'}: bands of one name "
                "may differ between them"
            )
        if _values_of(one.level) != _values_of(other.level):
            remark(
                f"{layer.name} has the level {other.level or 'unknown'}, {first.name} "
                f"{one.level or 'unknown'}: their values may mean different things"
            )


def _values_of(level: str | None) -> str | None:
    """Return a level without what says nothing of its values: how exactly pixels are placed.

    >>> [_values_of(level) for level in ("L1TP", "L1GT", "L2SR", "L2A")]
    ['L1', 'L1', 'L2', 'L2A']
    """
    return level and re.sub(r"^(L[12])(TP|GT|GS|SP|SR)$", r"\1", level)


def need_one_level(layers: Sequence[Layer]) -> None:
    """Refuse levels that measure different things, at the top of the atmosphere and below it."""
    levels = {
        _values_of(layer.measured.level): layer.name for layer in layers if layer.measured.level
    }
    if len(levels) > 1:
        (one, first), (other, second), *_ = levels.items()
        raise InputError(
            f"{first} has the level {one} and {second} {other}, their values mean different "
            "things and have no common median: use scenes of one level"
        )


def with_bands_of(first: Layer, layer: Layer) -> Layer:
    """Return a layer with the bands of the first one, in its order.

    Raises:
        InputError: it lacks one, or one of the same name has another wavelength.
    """
    match = match_named(first.bands, layer.bands)
    missing = [name for name, at in zip(first.names, match.at, strict=True) if at is None]
    if missing:
        raise InputError(
            f"{layer.name} has no band {', '.join(missing[:5])} as {first.name} has, it has "
            f"{', '.join(layer.names[:12])}: use scenes of the same bands"
        )
    found = layer.take([at for at in match.at if at is not None])
    for wanted, band in zip(first.bands, found.bands, strict=True):
        known = wanted.wavelength and band.wavelength
        if known and not is_near(wanted.wavelength or 0, band.wavelength or 0):
            raise InputError(
                f"band {band.name} of {layer.name} is centred at {band.wavelength:g} nm, "
                f"{wanted.name} of {first.name} at {wanted.wavelength:g} nm: they are not the "
                "same band"
            )
    _remark_on_bands(first, layer, match.summary)
    return found


def _remark_on_bands(first: Layer, layer: Layer, renamed: str) -> None:
    if renamed:
        remark(f"bands of {layer.name} have other names than those of {first.name}: {renamed}")
    if len(layer.bands) > len(first.bands):
        more = len(layer.bands) - len(first.bands)
        remark(f"{layer.name} has {more} bands more than {first.name}, which are left out")
