"""Values that are wrong whatever the land: cut off, filled, dead, doubled, not of their scene.

No gain or offset mends them. What gives away a band that is noisy, inverted or of another place is
how far the other bands tell its values, which does not change with the gain of any band.
"""

from collections.abc import Sequence

import numpy as np

from landcover.counts import counted
from landcover.inference.shifts.registration import Change
from landcover.models.file import Card
from landcover.models.spectra import Spectra

LEAST_CUT = 0.01
"""Of the pixels are 0 in a band, if values below were cut off, or hold one spectrum, if filled."""
FEWEST_PIXELS = 50
"""So many must agree before a band is called dead or doubled."""
_WITHIN = 0.05
"""Of a band's range: so far within it lies the end of values that were cut off."""
_MOST_PILED = 0.15
"""Of the pixels may hold the end of a band whose training pixels are not piled up there."""
_MOST_KNOWN = 0.5
"""Of the pixels that are 0 may resemble land of the training scene, if they were cut off."""
_MANY_VALUES = 20
_OFTENER = 5
"""So many times as often as any other a spectrum occurs that is a fill."""
_LOOSER = 2.2
"""So many times as much of a band is left untold by the others, if it does not belong to them."""
_LEAST_UNTOLD = 0.03
"""Of a band's variance must be left untold."""
_NAMED = 3  # ends that one sentence gives
_SAME = 1e-6
_RIDGE = 1e-6


def fault_of(pixels: np.ndarray, card: Card, spectra: Spectra) -> str:
    """Say in one sentence what is wrong with values, "" if nothing is.

    Args:
        pixels: (N, bands).
        card: of the model.
        spectra: that it knows.
    """
    return (
        _cut_off(pixels, card, spectra)
        or _dead(pixels, card)
        or _fill(pixels, card, spectra)
        or _doubled(pixels, card)
    )


def _cut_off(pixels: np.ndarray, card: Card, spectra: Spectra) -> str:
    """Say in which bands values below 0 seem to have become 0.

    They do if 0 is the lowest value, many pixels have it and few come close to it, while the
    training pixels all lie above, and the training scene holds no such land.
    """
    cut = []
    for band, values in zip(card.bands, pixels.T, strict=True):
        near = 0.01 * (band.quantiles[-1] - band.quantiles[0])
        at_0 = float((values == 0).mean())
        close = float(((values > 0) & (values <= near)).mean())
        piled = LEAST_CUT <= at_0 < 1 and at_0 > 2 * close
        suspected = values.min() == 0 < band.quantiles[0] and piled
        if suspected and spectra.fit(pixels[values == 0]).known < _MOST_KNOWN:
            cut.append((at_0, band.name))
    if not cut:
        return ""
    share, name = max(cut)
    return (
        f"values seem cut off at 0 in {counted(len(cut), '# band|bands')}, most of all in {name} "
        f"with {share:.0%} of the pixels: take the scene as it was delivered, or declare 0 as "
        "its nodata if such pixels are missing ones"
    )


def cut_at_ends(pixels: np.ndarray, change: Change, card: Card) -> str:
    """Say in which band a stretch cut values off that no change brings back, "" if in none.

    Many pixels hold the band's lowest or highest value, and after the change it lies well within
    what the training pixels hold; or very many do, where no training pixels are piled up. How much
    brighter or darker these were nobody knows, and the others alone would mislead.

    Args:
        pixels: (N, bands), as the scene has them.
        change: that brings them to the model's values.
        card: of the model.
    """
    for band, values, changed in zip(card.bands, pixels.T, change.apply(pixels).T, strict=True):
        low, high = band.quantiles[0], band.quantiles[-1]
        margin = _WITHIN * (high - low)
        for end in _piled_ends(values):
            held = values == end
            at = changed[held][0]
            many = held.mean() > _MOST_PILED and not _is_piled(band.quantiles, end == values.min())
            if many or low + margin < at < high - margin:
                return (
                    f"values are cut off at {end:g} in {band.name}, as in a scene stretched for "
                    "display, which nothing brings back: take the scene as it was delivered"
                )
    return ""


def _is_piled(quantiles: Sequence[float], is_low: bool) -> bool:
    """Return whether training pixels are piled up at the low or the high end of their values."""
    return quantiles[0] == quantiles[1] if is_low else quantiles[-1] == quantiles[-2]


def is_cut(pixels: np.ndarray, all_pixels: np.ndarray) -> np.ndarray:
    """Return which pixels (N, bands), bool (N,), may have been cut off in a band.

    They hold the lowest or highest value of a scene, as many others do, and may have been beyond.

    Args:
        pixels: in question.
        all_pixels: of the scene, by which its ends are told.
    """
    ends = [_piled_ends(values) for values in all_pixels.T]
    held = [np.isin(values, of_band) for values, of_band in zip(pixels.T, ends, strict=True)]
    return np.asarray(np.any(held, axis=0))


def ends_of(pixels: np.ndarray, card: Card) -> str:
    """Say where many pixels (N, bands) hold the lowest or highest value of a band."""
    ends = [
        f"{end:g} in {band.name}"
        for band, values in zip(card.bands, pixels.T, strict=True)
        for end in _piled_ends(values)
    ]
    return f"many of its pixels hold {', '.join(ends[:_NAMED])}, where values seem cut off"


def _piled_ends(values: np.ndarray) -> list[float]:
    """Return the lowest and the highest value of a band, if many pixels hold it."""
    if len(np.unique(values)) < _MANY_VALUES:
        return []
    ends = (float(values.min()), float(values.max()))
    return [end for end in ends if (values == end).mean() >= LEAST_CUT]


def steps_of(pixels: np.ndarray) -> np.ndarray:
    """Return the smallest step between values of each band (bands,), of pixels (N, bands)."""
    return np.array([np.diff(np.unique(band)).min(initial=np.ptp(band)) for band in pixels.T])


def _dead(pixels: np.ndarray, card: Card) -> str:
    dead = dead_bands(pixels, np.array([band.std for band in card.bands]))
    if not dead or len(pixels) < FEWEST_PIXELS:
        return ""
    names = ", ".join(card.bands[band].name for band in dead)
    return (
        f"{names} holds nothing but {pixels[0, dead[0]]:g}, though the training pixels differ "
        "there: take the scene as it was delivered, or train a model without that band"
    )


def _fill(pixels: np.ndarray, card: Card, spectra: Spectra) -> str:
    """Say which spectrum is most frequent, if it is no land.

    A margin or gap that was filled with one value has one spectrum, which nothing resembles, or
    which is one number in all bands that lies below the training pixels in most; where values
    are so coarse that land repeats itself, others are frequent too.
    """
    every, counts = np.unique(pixels, axis=0, return_counts=True)
    first = int(counts.argmax())
    second = int(np.delete(counts, first).max(initial=0))
    share = counts[first] / len(pixels)
    is_alone = share >= LEAST_CUT and counts[first] >= _OFTENER * max(second, 1)
    is_land = spectra.fit(every[[first]]).known > _MOST_KNOWN
    if not is_alone or (is_land and not _is_filler(every[first], card)):
        return ""
    values = ", ".join(f"{value:g}" for value in np.unique(every[first])[:3])
    return (
        f"{share:.0%} of the pixels all hold {values}, which is no land that the model knows: "
        "declare it as the scene's nodata if such pixels are missing ones"
    )


def _is_filler(spectrum: np.ndarray, card: Card) -> bool:
    """Return whether a spectrum (bands,) is one number below the training pixels in most bands.

    One above them may be bright land, at the end of what the sensor measures.
    """
    below = [value < band.quantiles[0] for band, value in zip(card.bands, spectrum, strict=True)]
    return len(below) > 1 and np.ptp(spectrum) == 0 and sum(below) > len(below) / 2


def _doubled(pixels: np.ndarray, card: Card) -> str:
    pair = doubled_bands(pixels, np.array(card.correlation))
    if pair is None or len(pixels) < FEWEST_PIXELS:
        return ""
    first, second = (card.bands[band].name for band in pair)
    return (
        f"{first} and {second} hold the same values in every pixel: one of them was written "
        "twice, take the scene as it was delivered"
    )


def dead_bands(pixels: np.ndarray, std: np.ndarray) -> list[int]:
    """Return the bands of one value, though training pixels differ in them and the others here.

    Args:
        pixels: (N, bands), N at least 1.
        std: (bands,), of the training pixels.
    """
    constant = (pixels == pixels[0]).all(axis=0)
    return [] if constant.all() else np.flatnonzero(constant & (std > 0)).tolist()


def doubled_bands(pixels: np.ndarray, correlation: np.ndarray) -> tuple[int, int] | None:
    """Return two bands that hold the same values, though they differ in training pixels.

    Args:
        pixels: (N, bands).
        correlation: (bands, bands), of the training pixels.
    """
    for first in range(pixels.shape[1]):
        for second in range(first + 1, pixels.shape[1]):
            differed = correlation[first, second] < 1 - _SAME
            same = np.array_equal(pixels[:, first], pixels[:, second])
            if differed and same and np.ptp(pixels[:, first]) > 0:
                return first, second
    return None


def loose_bands(pixels: np.ndarray, covariance: np.ndarray) -> list[int]:
    """Return the bands that the others tell much worse than in the training scene.

    The loosest first; it is left out before others are judged, as it may have told them.

    Args:
        pixels: (N, bands).
        covariance: (bands, bands), of the training scene.
    """
    if len(pixels) <= pixels.shape[1]:  # too few to tell
        return []
    own, learned = _correlation(np.atleast_2d(np.cov(pixels.T))), _correlation(covariance)
    left = list(range(len(covariance)))
    found: list[int] = []
    while len(left) > 1:
        square = np.ix_(left, left)
        now, before = _unexplained(own[square], learned[square])
        looser = np.where(now - before > _LEAST_UNTOLD, now / before, 0.0)
        worst = int(looser.argmax())
        if looser[worst] < _LOOSER:
            break
        found.append(left.pop(worst))
    return found


def _unexplained(own: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what part of each band's variance the others do not tell, now and as learned.

    The others tell it as they did in the training scene.
    """
    inverse = np.linalg.inv(learned)
    before = 1 / np.diag(inverse)
    weights = inverse * before[:, None]  # of each band and, negative, what tells it
    return np.einsum("ij,jk,ik->i", weights, own, weights), before


def _correlation(covariance: np.ndarray) -> np.ndarray:
    std = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    return np.asarray(covariance / np.outer(std, std) + _RIDGE * np.eye(len(std)))
