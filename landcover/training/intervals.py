"""How far an accuracy in unseen places may be from that in all places like them.

Places are drawn, not pixels, which resemble their neighbours, and not partitions, which all test
the same places. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8, with
the weights of Rao and Wu, Journal of the American Statistical Association 83 (1988), by class.
"""

import numpy as np

_DRAWS = 1000
_LEVEL = 0.95
_PSEUDO = 0.5
"""Places right, and as many wrong, that are added: without them, places that are all right would
leave no doubt (after Agresti and Coull, The American Statistician 52, 1998)."""
_WIDER = 1.15
"""The models of different folds learn from the same places, so their errors go together (Bates,
Hastie and Tibshirani, Journal of the American Statistical Association 119, 2024). This and
_PSEUDO were chosen by coverage on made data of 2 to 7 classes, with another classifier than the
forest of benchmarks/places.py."""


def accuracy_interval(
    right: np.ndarray, sizes: np.ndarray, main: np.ndarray, spread: float, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy over places.

    Args:
        right: float (places,), pixels of each place that are classified right, the mean over
            partitions.
        sizes: int (places,), its pixels.
        main: (places,), its class; each class draws its own places.
        spread: standard deviation of the accuracy over partitions.
        seed: of the draws.

    Returns:
        The lower and the upper end, from 0 to 1.
    """
    from scipy import stats

    extra = sizes.mean() * _PSEUDO
    counts = np.stack([[*right, extra, 0.0], [*sizes, extra, extra]])
    strata = np.array([*main, -1, -1], int)
    drawn = _sums_of_draws(counts, strata, np.random.default_rng(seed))
    middle = counts[0].sum() / counts[1].sum()
    freedom = max(1, len(main) - len(np.unique(main)))
    outer = (1 + _LEVEL) / 2
    few = stats.t.ppf(outer, freedom) / stats.norm.ppf(outer)
    quantiles = np.quantile(drawn[0] / drawn[1], (1 - outer, outer))
    below, above = np.abs(quantiles - middle) * few * _WIDER
    between = stats.norm.ppf(outer) * spread
    return (
        max(0.0, float(middle - np.hypot(below, between))),
        min(1.0, float(middle + np.hypot(above, between))),
    )


def _sums_of_draws(counts: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what draws of places hold, float (2, draws).

    Of n places of a class, n - 1 are drawn with replacement and weigh n / (n - 1) each, so that
    few places vary as much as they should.

    Args:
        counts: (2, places), right pixels and all.
        strata: int (places,), the class of each.
        rng: draws.
    """
    sums = np.zeros((2, _DRAWS))
    for stratum in np.unique(strata):
        values = counts[:, strata == stratum]
        several = values.shape[1]
        if several == 1:
            sums += values
            continue
        for draw in range(_DRAWS):
            chosen = rng.integers(several, size=several - 1)
            sums[:, draw] += values[:, chosen].sum(axis=1) * (several / (several - 1))
    return sums


def difference_interval(
    gained: np.ndarray, sizes: np.ndarray, main: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies over the same places.

    Args:
        gained: float (places,), pixels that the one gets right less those of the other.
        sizes: int (places,), its pixels.
        main: (places,), its class; each class draws its own places.
        seed: of the draws.
    """
    counts = np.stack([gained, sizes.astype(np.float64)])
    drawn = _sums_of_draws(counts, main.astype(int), np.random.default_rng(seed))
    outer = (1 + _LEVEL) / 2
    middle = gained.sum() / sizes.sum()
    ends = middle + _WIDER * (np.quantile(drawn[0] / drawn[1], (1 - outer, outer)) - middle)
    return float(ends[0]), float(ends[1])
