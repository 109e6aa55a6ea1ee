"""What is said of a scene's values: ok, shifted by what can be corrected, or foreign; and why.

Pixels of the scene are compared with the spectra of the model (`landcover.models.spectra`) as
they are, and after every change that may explain them (`landcover.inference.shifts.changes`).
Where the model was trained the land is known and little is left to chance; elsewhere another
mixture of classes may look like a small gain, so more is asked. `benchmarks/radiometry.py` shows
what is found and what is missed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landcover.inference.shifts import advice
from landcover.inference.shifts.certainty import MOST_LOST, lost_share, misleads, why_unsure
from landcover.inference.shifts.changes import Candidate
from landcover.inference.shifts.comparison import LEAST_KNOWN, Comparison
from landcover.inference.shifts.faults import cut_at_ends, ends_of, fault_of, is_cut
from landcover.inference.shifts.known import advice_on_foreign, as_known
from landcover.inference.shifts.order import advice_on_order, better_order
from landcover.inference.shifts.parts import shifted_part
from landcover.inference.shifts.verdict import Radiometry
from landcover.io.scene_pixels import ScenePixels
from landcover.models.spectra import Fit

LEAST_EXPLAINED = 1.0
"""Nats a pixel that gains and offsets of each band must explain: noise is a little like them."""


def judge(scene: Comparison) -> Radiometry:
    """Return verdict, correction and advice."""
    as_is = scene.spectra.fit(scene.some)
    fault = fault_of(scene.pixels.values, scene.card, scene.spectra)
    if fault:
        return scene.foreign(as_is.learned, fault)
    if len(np.unique(scene.some, axis=0)) <= scene.some.shape[1]:
        return as_known(scene, as_is, [])  # so few spectra would fit after many a change
    candidates = scene.search.candidates()
    order = better_order(scene, as_is, candidates)
    if order is not None:
        return scene.foreign(as_is.learned, advice_on_order(scene, order))
    suspected = any(scene.explains(one) for one in candidates)
    part = shifted_part(scene, scene.simplest(candidates) if suspected else scene.as_it_is)
    if part:
        return scene.foreign(as_is.learned, part)
    if suspected:
        return _of_suspects(scene, as_is.learned, candidates)
    return as_known(scene, as_is, candidates)


def _of_suspects(scene: Comparison, learned: float, candidates: Sequence[Candidate]) -> Radiometry:
    """Judge a scene that some change explains much better than none.

    Pixels that may have been cut off say that it changed, but would mislead about how much.
    """
    cut = is_cut(scene.some, scene.pixels.values)
    if not cut.any():
        return _of_whole(scene, learned, candidates)
    if cut.mean() > 1 - LEAST_KNOWN:
        return _of_whole(scene, learned, candidates, scene.some[cut])
    whole = replace(scene, few=ScenePixels(scene.some[~cut], scene.few.at[~cut]))
    return _of_whole(whole, learned, whole.search.candidates(), scene.some[cut])


def _of_whole(
    scene: Comparison,
    learned: float,
    candidates: Sequence[Candidate],
    cut: np.ndarray | None = None,
) -> Radiometry:
    """Judge such a scene by pixels that are whole, where others (N, bands) may be cut off."""
    simplest = scene.simplest(candidates)
    corrected = scene.spectra.fit(simplest.change.apply(scene.some))
    reason = _why_foreign(scene, simplest, corrected) or why_unsure(scene, simplest, candidates)
    if not reason and cut is not None and misleads(scene, simplest, cut):
        reason = advice.on_ends(simplest, ends_of(scene.pixels.values, scene.card))
    if reason:
        return scene.foreign(learned, reason)
    change = simplest.registered(scene.spectra, scene.many.values)
    if simplest.family is not None and lost_share(scene, change) > MOST_LOST:
        return scene.foreign(learned, advice.on_rounding(simplest))
    bands = scene.told_of_bands(change.gain, change.offset)
    return Radiometry("shifted", bands, corrected.learned, advice.on_shift(simplest.name))


def _why_foreign(scene: Comparison, change: Candidate, corrected: Fit) -> str:
    """Say why no change helps a scene that one explains best, "" if it does."""
    explained = change.likelihood - scene.as_it_is.likelihood
    if change.is_per_band and not scene.loose and explained < LEAST_EXPLAINED:
        return advice.on_little(change)
    if scene.measured.is_of_other_instrument(scene.card.sensor):
        return advice_on_foreign(scene)  # by chance a change may fit its spectra
    turned = change.change.gain <= 0
    if turned.all() and corrected.known >= scene.fitting:
        return advice.ON_INVERTED
    if turned.any() and not scene.loose:
        return advice.on_turned([scene.card.bands[i].name for i in np.flatnonzero(turned)])
    if (change.is_per_band and scene.loose) or corrected.known < scene.fitting or turned.any():
        return advice_on_foreign(scene)
    return cut_at_ends(scene.pixels.values, change.change, scene.card)
