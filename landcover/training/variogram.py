"""How far apart pixels must lie to say something new: the range of a variogram.

Matheron, Principles of geostatistics, Economic Geology 58 (1963); a spherical model with a nugget.
"""

import numpy as np

_MOST_PIXELS = 3000
"""Pixels whose pairs are looked at; 4.5 million pairs."""
_LAGS, _RANGES = 20, 60
_FEWEST_PAIRS, _FEWEST_LAGS = 30, 4


def first_component(pixels: np.ndarray) -> np.ndarray:
    """Return the first principal component of standardised bands, float64 (N,).

    Args:
        pixels: (N, bands).
    """
    centred = pixels.astype(np.float64) - pixels.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    scaled = centred / np.where(deviation == 0, 1, deviation)
    _, vectors = np.linalg.eigh(scaled.T @ scaled)
    return np.asarray(scaled @ vectors[:, -1])


def range_between_places(
    values: np.ndarray,
    at: np.ndarray,
    places: np.ndarray,
    limits: tuple[float, float],
    scenes: np.ndarray | None = None,
) -> float:
    """Return the distance from which on pixels of different places are as unlike as any.

    Args:
        values: (N,), of each pixel.
        at: (N, 2), column and row.
        places: int (N,); pairs within one place say nothing.
        limits: the least and the greatest answer, in pixels; the least one where there are too
            few pairs to tell, or no range explains them better.
        scenes: int (M,), of which pairs are looked at; all are of one by default.
    """
    least, greatest = limits
    if greatest <= least:
        return least
    chosen = _spread(places)
    reach = least / 2, 2 * greatest
    scene = np.zeros(len(chosen), int) if scenes is None else scenes[chosen]
    lag, difference = _pairs(values[chosen], at[chosen], places[chosen], scene, reach)
    edges = np.geomspace(*reach, _LAGS + 1)
    bins = np.digitize(lag, edges)
    counts = np.bincount(bins, minlength=_LAGS + 2)
    filled = counts >= _FEWEST_PAIRS
    if filled.sum() < _FEWEST_LAGS:
        return least
    lags = np.bincount(bins, lag, _LAGS + 2)[filled] / counts[filled]
    semivariance = np.bincount(bins, difference**2 / 2, _LAGS + 2)[filled] / counts[filled]
    return _fitted(lags, semivariance, counts[filled], np.geomspace(least, greatest, _RANGES))


def _spread(places: np.ndarray) -> np.ndarray:
    """Return the indexes of pixels, of every place about as many."""
    order = np.random.default_rng(0).permutation(len(places))
    by_place = order[np.argsort(places[order], kind="stable")]
    starts = np.flatnonzero(np.diff(places[by_place], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return np.asarray(by_place[np.argsort(rank, kind="stable")][:_MOST_PIXELS])


def _pairs(
    values: np.ndarray,
    at: np.ndarray,
    places: np.ndarray,
    scenes: np.ndarray,
    reach: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and difference of pairs of pixels of one scene and two places within reach.

    Nearer ones are the same pixel, labelled twice: they tell no distance.
    """
    one, other = np.triu_indices(len(values), 1)
    apart = (places[one] != places[other]) & (scenes[one] == scenes[other])
    one, other = one[apart], other[apart]
    lag = np.hypot(*(at[one] - at[other]).T)
    near = (reach[0] <= lag) & (lag <= reach[1])
    return lag[near], (values[one] - values[other])[near]


def _fitted(
    lags: np.ndarray, semivariance: np.ndarray, weights: np.ndarray, ranges: np.ndarray
) -> float:
    """Return the range whose spherical model is nearest to the semivariances."""
    from scipy.optimize import nnls

    root = np.sqrt(weights / lags**2)  # near lags tell the range (Cressie 1985)
    errors = []
    for reach in ranges:
        share = np.minimum(lags / reach, 1)
        model = np.stack([np.ones_like(share), 1.5 * share - 0.5 * share**3], axis=1)
        errors.append(nnls(model * root[:, None], semivariance * root)[1])
    return float(ranges[int(np.argmin(errors))])
