"""Are bands exchanged?"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from landcover.inference.shifts.changes import Candidate
from landcover.inference.shifts.comparison import Comparison
from landcover.models.spectra import Fit

BETTER_ORDER = 0.25
"""Nats a pixel that another order must fit better; unshifted windows fit worse in any."""
KNOWN_WELL = 0.95
"""Where so many resemble a cluster, no other order is tried, and no advice given."""
_FEW_PIXELS = 250  # enough to choose among many orders of bands
_MOST_BANDS = 24  # of which every pair is tried for an exchange
_NAMED = 4  # bands that one sentence gives


def better_order(
    scene: Comparison, as_is: Fit, candidates: Sequence[Candidate]
) -> list[int] | None:
    """Return the order of bands that fits better than as they are, and than any change.

    The search is long, so there is none where a change of all bands explains the scene.
    """
    if as_is.known > KNOWN_WELL:
        return None
    alike = max((c for c in candidates if not c.is_per_band), key=lambda one: one.likelihood)
    if scene.spectra.fit(alike.change.apply(scene.some)).known >= scene.fitting:
        return None
    order, likelihood = _best_order(scene)
    reached = max(one.likelihood for one in candidates)
    if likelihood > max(as_is.likelihood + BETTER_ORDER, reached):
        return order
    return None


def _best_order(scene: Comparison) -> tuple[list[int], float]:
    """Exchange the two bands that gain most, again and again, as long as it helps."""
    few = scene.some[:_FEW_PIXELS]
    order = list(range(few.shape[1]))
    best, reached = order, scene.spectra.fit(few).likelihood
    names = [band.name for band in scene.card.bands]
    for _ in order:
        tried = [(scene.spectra.fit(few[:, o]).likelihood, o) for o in _other_orders(best, names)]
        likelihood, exchanged = max(tried, default=(-np.inf, best))
        if likelihood <= reached + BETTER_ORDER / 2:
            break
        best, reached = exchanged, likelihood
    return best, scene.spectra.fit(scene.some[:, best]).likelihood if best != order else -np.inf


def _other_orders(order: list[int], names: Sequence[str]) -> list[list[int]]:
    """Return the order as programs change it, and with any two bands exchanged.

    They reverse it, begin with the second or with the last band, or sort by name, b10 before b2.
    Of very many bands the pairs would take long.
    """
    bands = len(order)
    by_name = np.argsort(sorted(range(bands), key=names.__getitem__)).tolist()
    exchanged = [order[::-1], order[1:] + order[:1], order[-1:] + order[:-1]]
    exchanged.append([order[i] for i in by_name])
    if bands > _MOST_BANDS:
        return exchanged
    for i, j in combinations(range(bands), 2):
        other = order.copy()
        other[i], other[j] = order[j], order[i]
        exchanged.append(other)
    return exchanged


def advice_on_order(scene: Comparison, order: list[int]) -> str:
    """Say which band each band seems to hold."""
    names = [band.name for band in scene.card.bands]
    moved = [(name, i) for i, name in enumerate(names) if order[i] != i]
    holds = ", ".join(
        f"{name} seems to hold {names[order.index(i)]}" for name, i in moved[:_NAMED]
    )
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"bands seem exchanged: {holds}{more}: give the scene's bands their right names"
