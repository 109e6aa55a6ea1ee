"""Does a part of a scene need another change than the rest, and where does it lie?"""

from collections.abc import Sequence

import numpy as np

from landcover.inference.shifts import advice
from landcover.inference.shifts.changes import Candidate, Search, rough_changes
from landcover.inference.shifts.comparison import Comparison
from landcover.inference.shifts.registration import Change
from landcover.models.spectra import likelihoods_by_group

_SIDE = 4
"""Blocks along each side of a scene."""
_WIDE = 0.25
"""Of a scene's width or height a part lies off the middle, to be said to lie on one side."""
SIMPLER = 0.3
"""By so many nats a simpler change of a part may fit worse and still be named."""
FEWEST_OF_BLOCK, FEWEST_BLOCKS, FEWEST_SHIFTED = 20, 6, 3
"""Pixels of a block, blocks of a scene, and blocks of a part that differs."""
_FEW_ITERATIONS = 8  # of the shares in a block


def shifted_part(scene: Comparison, whole: Candidate) -> str:
    """Say which part of a scene needs another change than the whole, "" if none does."""
    limit = scene.limits(whole).block
    if limit is None:
        return ""
    blocks = blocks_of(scene.few.at, FEWEST_OF_BLOCK)
    if len(blocks) < FEWEST_BLOCKS:
        return ""
    as_whole = _by_blocks(scene, whole.change, blocks)
    for change in _changes_of_parts(scene):
        gained = _by_blocks(scene, change, blocks) - as_whole
        better, worse = gained > limit, gained < -limit
        if min(better.sum(), worse.sum()) < FEWEST_SHIFTED:
            continue
        sides = [np.concatenate([blocks[i] for i in np.flatnonzero(s)]) for s in (better, worse)]
        strange = [part for part in sides if not scene.fits_as_is(scene.some[part])]
        return _told_of_part(scene, (strange or sides)[0])
    return ""


def _told_of_part(scene: Comparison, part: np.ndarray) -> str:
    """Say what a part of the scene, by the indexes of its pixels, needs; "" if unknown."""
    where, own = where_of(scene.few.at, part), scene.some[part]
    candidates = Search(scene.spectra, own, scene.card, scene.conversions()).candidates()
    best = max(candidates, key=lambda one: one.likelihood)
    simple = next(one for one in candidates if best.likelihood - one.likelihood < SIMPLER)
    if scene.spectra.fit(simple.change.apply(own)).known >= scene.fitting:
        return advice.on_part(where, simple.name)
    return advice.on_unknown_part(where) if scene.at_home else ""


def _changes_of_parts(scene: Comparison) -> list[Change]:
    """Return changes that a part of a scene may have."""
    rough = rough_changes(scene.spectra, scene.card).values()
    return [Change.none(len(scene.card.bands)), *(one for changes in rough for one in changes)]


def _by_blocks(scene: Comparison, change: Change, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Return how well each block fits after a change, -inf where too little is known."""
    density = scene.spectra.log_density(change.apply(scene.some))
    mixed = likelihoods_by_group(density, blocks, _FEW_ITERATIONS)
    return mixed + scene.spectra.stretch(change.gain)


def blocks_of(at: np.ndarray, fewest: int) -> list[np.ndarray]:
    """Part pixels into a grid of blocks.

    Args:
        at: (N, 2), row and column of each.
        fewest: pixels of a block; others are left out.

    Returns:
        The indexes of the pixels of each block.
    """
    low, high = at.min(axis=0), at.max(axis=0)
    cell = np.minimum((at - low) * _SIDE // np.maximum(high - low + 1, 1), _SIDE - 1)
    number = cell[:, 0] * _SIDE + cell[:, 1]
    parts = [np.flatnonzero(number == one) for one in np.unique(number)]
    return [part for part in parts if len(part) >= fewest]


def where_of(at: np.ndarray, part: np.ndarray) -> str:
    """Say in which part of a scene some of its pixels lie, as in `its north-west`.

    Args:
        at: (N, 2), row and column of all pixels, row 0 in the north.
        part: indexes of the pixels in question.
    """
    low, size = at.min(axis=0), np.maximum(np.ptp(at, axis=0), 1)
    middle = (at[part].mean(axis=0) - low) / size - 0.5
    down = _side(float(middle[0]), "north", "south")
    across = _side(float(middle[1]), "west", "east")
    return f"its {'-'.join(filter(None, (down, across))) or 'middle'}"


def _side(off: float, first: str, second: str) -> str:
    if abs(off) < _WIDE / 2:
        return ""
    return first if off < 0 else second
