"""How much of a scene is known, what is not, and in which words that is said."""

from collections.abc import Sequence

import numpy as np

from landcover.inference.shifts.changes import Candidate
from landcover.inference.shifts.comparison import Comparison
from landcover.inference.shifts.limits import WEAK
from landcover.inference.shifts.order import KNOWN_WELL
from landcover.inference.shifts.parts import where_of
from landcover.inference.shifts.verdict import BandRadiometry, Radiometry, share_outside
from landcover.models.spectra import Fit, Mixed

MUCH_UNKNOWN = 0.2
"""Of the pixels: so many that it is said where they are."""
MOST_OUTSIDE = 0.5
"""Of the pixels may lie outside what a band learned, if other bands are to be the reason."""
LEAST_OUTSIDE = 0.1
"""Of the pixels lie outside what a band learned, if that band is to be named as the reason."""
_NAMED = 4  # bands that one sentence gives


def as_known(scene: Comparison, as_is: Fit, candidates: Sequence[Candidate]) -> Radiometry:
    """Judge a scene that no change explains, by how much of it is known."""
    if scene.is_unknown(as_is):
        return scene.foreign(as_is.learned, advice_on_foreign(scene))
    ones = np.ones(len(scene.card.bands))
    bands = scene.told_of_bands(ones, 0 * ones)
    remarks = [_advice_on_unknown(scene, bands, as_is), _advice_on_weak(scene, candidates)]
    return Radiometry("ok", bands, as_is.learned, _advice_on_ok(as_is),
                      tuple(filter(None, remarks)))  # fmt: skip


def _advice_on_ok(as_is: Fit) -> str:
    if as_is.learned > KNOWN_WELL:
        return "the scene's values are such as the model has learned"
    return (
        f"no other unit, gain or offset fits the scene better, but {1 - as_is.learned:.0%} of "
        "its pixels resemble no training pixel: draw samples there, or expect errors"
    )


def _advice_on_unknown(scene: Comparison, bands: Sequence[BandRadiometry], as_is: Fit) -> str:
    """Say where the pixels are that resemble no training pixel, and in which bands."""
    if 1 - as_is.learned <= MUCH_UNKNOWN:
        return ""
    chosen = np.append(scene.spectra.of_classes, True)
    parts = Mixed.of(scene.spectra.log_density(scene.some)[:, chosen]).parts
    where = where_of(scene.few.at, np.flatnonzero(parts[:, -1] > 0.5))
    outside = [b.name for b in bands if b.outside is not None and b.outside > LEAST_OUTSIDE]
    which = (
        f"most of all in {', '.join(outside[:_NAMED])}"
        if outside
        else "though each band alone lies within what was learned"
    )
    seen = as_is.known - as_is.learned
    known = f"; {seen:.0%} are land that the training scene has without labels"
    return (
        f"{1 - as_is.learned:.0%} of the pixels resemble no training pixel, for the most part "
        f"in {where}, {which}{known if seen > MUCH_UNKNOWN / 2 else ''}"
    )


def _advice_on_weak(scene: Comparison, candidates: Sequence[Candidate]) -> str:
    """Say which change fits a little better, but not so much that it must be real."""
    if not scene.spectra.knows_scene:
        return (
            "the model's card does not say what the rest of its scene looks like: small gains "
            "and offsets, noise and parts of a scene that differ are not found; train anew on "
            "samples of extract-samples"
        )
    alike = [one for one in candidates if not one.is_per_band]
    best = max(alike, key=lambda one: one.likelihood, default=None)
    least = WEAK.of_bands(len(scene.card.bands)).alike
    if best is None or best.likelihood - scene.as_it_is.likelihood <= least:
        return ""
    return (
        f"the scene fits a little better after {best.name}, which cannot be told from another "
        "mixture of classes and is not corrected: measure the map against a reference"
    )


def advice_on_foreign(scene: Comparison) -> str:
    """Say why no change helps: bands that do not belong to the scene, or foreign spectra."""
    outside = {
        band.name: share_outside(values, band.quantiles)
        for band, values in zip(scene.card.bands, scene.pixels.values.T, strict=True)
    }
    others = [share for i, share in enumerate(outside.values()) if i not in scene.loose]
    if scene.spectra.knows_scene and scene.loose and max(others) < MOST_OUTSIDE:
        return _advice_on_loose(scene, scene.loose)
    worst = max(outside, key=lambda name: outside[name])
    differs = scene.measured.differs_from(scene.card.sensor, scene.card.level)
    where = (
        f"least of all in {worst}, where {outside[worst]:.0%} of the pixels lie outside what "
        "it learned"
        if outside[worst] > LEAST_OUTSIDE
        else "whose values lie within what it learned in each band, but not together"
    )
    return (
        f"the model does not know these spectra, {where}{differs}: use a "
        "scene of the same sensor, processing level and season, or train a model on this one"
    )


def _advice_on_loose(scene: Comparison, loose: list[int]) -> str:
    names = ", ".join(scene.card.bands[band].name for band in loose)
    if len(loose) > 1:
        return (
            f"{names} do not go together with the other bands as in the training scene, which "
            "no gain or offset explains: bands may be noisy, inverted, in another order or of "
            "another place or date; take the scene as it was delivered"
        )
    return (
        f"{names} does not go with the other bands as in the training scene, which no gain or "
        "offset explains: it may be noisy, inverted or of another place or date; take the "
        "scene as it was delivered, or train a model without that band"
    )
