"""What is said of a scene's values: ok, shifted by what can be corrected, or foreign; and why.

Pixels of the scene are compared with the spectra of the model (`landcover.models.spectra`) as
they are, and after every change that may explain them (`landcover.inference.shifts.changes`).
Where the model was trained the land is known and little is left to chance; elsewhere another
mixture of classes may look like a small gain, so more is asked. `benchmarks/radiometry.py` shows
what is found and what is missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np

from landcover.inference.shifts.blocks import blocks_of, where_of
from landcover.inference.shifts.changes import Candidate, Search, rough_changes
from landcover.inference.shifts.faults import (
    cut_at_ends,
    ends_of,
    fault_of,
    is_cut,
    loose_bands,
    steps_of,
)
from landcover.inference.shifts.registration import Change
from landcover.io.scene_pixels import ScenePixels
from landcover.io.sensors import CONVERSIONS, Conversion, Measured
from landcover.models.file import Card
from landcover.models.spectra import Fit, Mixed, Spectra, likelihoods_by_group

Verdict = Literal["ok", "shifted", "foreign"]


@dataclass(frozen=True)
class _Limits:
    """By how many nats a pixel a change must fit better than none, to be taken for real.

    Attributes:
        alike: a unit, or one gain, offset or haze for all bands.
        per_band: gains and offsets of each band, which bend to many scenes.
        block: a part of the scene, and the rest as much worse; None where parts are not judged.
        fitting: share of the pixels that must be known after a correction.
    """

    alike: float
    per_band: float
    block: float | None
    fitting: float

    def of_bands(self, bands: int) -> "_Limits":
        """Return the limits for so many bands: above six they grow with the square."""
        more = max(1.0, (bands / _USUAL_BANDS) ** 2)
        block = None if self.block is None else more * self.block
        return _Limits(more * self.alike, more * self.per_band, block, self.fitting)

    def of_mixture(self, other: float) -> "_Limits":
        """Return the limits at home for land mixed otherwise than the whole training scene's.

        Args:
            other: `Spectra.other_mixture` of the pixels, in nats.
        """
        block = None if self.block is None else self.block + _MIXED_BLOCK * other
        return _Limits(self.alike + _MIXED_ALIKE * other, self.per_band + _MIXED_BAND * other,
                       block, self.fitting)  # fmt: skip

    def at_most(self, other: "_Limits") -> "_Limits":
        """Return these limits, none above another's."""
        block = None
        if self.block is not None and other.block is not None:
            block = min(self.block, other.block)
        return _Limits(min(self.alike, other.alike), min(self.per_band, other.per_band), block,
                       self.fitting)  # fmt: skip


_USUAL_BANDS = 6
"""More bands tell more of a pixel, and land differs from land in more ways."""
_MIXED_ALIKE, _MIXED_BAND, _MIXED_BLOCK = 0.3, 1.2, 2.0
"""By so much of a nat the limits grow for each by which the land is mixed otherwise."""
AT_HOME = _Limits(0.05, 0.2, 0.2, 0.98)
"""Where the model was trained: its land is known, so that little is left to chance."""
ELSEWHERE = _Limits(0.3, 1.0, 1.0, 0.8)
"""On other land, whose mixture of classes may do what a small gain does."""
_WEAK = _Limits(0.1, 0.35, None, 0.98)
"""What is less is not even mentioned."""
OF_LABELS = _Limits(1.0, 2.0, None, 0.2)
"""For models whose card knows labelled land only, or many bands by a sketch."""
BETTER_ORDER = 0.25
"""The same for bands exchanged, where unshifted windows fit worse, not better."""
SLACK = 0.03
"""Of what the best change explains, a simpler one may explain less."""
LEAST_EXPLAINED = 1.0
"""Nats a pixel that gains and offsets of each band must explain: noise is a little like them."""
SIMPLER = 0.3
"""By so many nats a simpler change of a part may fit worse and still be named."""
MOST_MOVED = 0.05
"""Of the pixels may change their class between two corrections that fit alike."""
MOST_UNSURE = 0.05
"""Of the pixels may change their class by what halves of a scene differ in their correction."""
MOST_LOST = 0.04
"""Of the pixels may change their class by what rounding took away, before a correction."""
LEAST_KNOWN = 0.5
"""Of the pixels must resemble what was learned: training pixels, or any of the training scene."""
LEAST_LABELLED = 0.2
"""The same on the training scene, if the model's card knows labelled land only."""
MUCH_UNKNOWN = 0.2
"""Of the pixels: so many that it is said where they are."""
KNOWN_WELL = 0.95
"""Where so many resemble a cluster, no other order is tried, and no advice given."""
MOST_PIXELS, MOST_TO_REFINE = 800, 4000
MOST_OUTSIDE = 0.5
"""Of the pixels may lie outside what a band learned, if other bands are to be the reason."""
LEAST_OUTSIDE = 0.1
"""Of the pixels lie outside what a band learned, if that band is to be named as the reason."""
FEWEST_OF_BLOCK, FEWEST_BLOCKS, FEWEST_SHIFTED = 20, 6, 3
"""Pixels of a block, blocks of a scene, and blocks of a part that differs."""
_WHOLE_STEP = 1.001  # between neighbouring values after a correction: whole numbers come back
_NAMED = 4  # bands that one sentence gives
_FEW_PIXELS = 250  # enough to choose among many orders of bands
_FEW_ITERATIONS = 8  # of the shares in a block
_MOST_BANDS = 24  # of which every pair is tried for an exchange


@dataclass(frozen=True)
class BandRadiometry:
    """How one band compares with what the model knows.

    Attributes:
        name: of the model's band.
        offset: to be added after multiplying; None if the scene has no such band.
        gain: by which the scene's values are to be multiplied.
        outside: share of the valid pixels beyond the 1 % and 99 % quantiles of the training
            pixels, widened by a tenth.
    """

    name: str
    offset: float | None
    gain: float | None
    outside: float | None


@dataclass(frozen=True)
class Radiometry:
    """How a scene compares with what a model knows.

    Attributes:
        verdict: ok; shifted, where `bands` say what brings the scene to the model's values; or
            foreign, where they only estimate it, from medians and quartiles.
        bands: one by one, in the model's order.
        known: share of the valid pixels that resemble training pixels.
        advice: one sentence.
        remarks: on a scene that is ok, what should be known of it all the same.
    """

    verdict: Verdict
    bands: tuple[BandRadiometry, ...]
    known: float
    advice: str
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what a coverage report says of it."""
        return asdict(self)

    @property
    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset per band."""
        gains = np.array([band.gain for band in self.bands], np.float64)
        return gains, np.array([band.offset for band in self.bands], np.float64)


@dataclass(frozen=True)
class Comparison:
    """One comparison: all sampled pixels, some of them for what is dear, and the model."""

    pixels: ScenePixels
    few: ScenePixels
    spectra: Spectra
    card: Card
    measured: Measured
    at_home: bool

    def judge(self) -> Radiometry:
        """Return verdict, correction and advice."""
        as_is = self.spectra.fit(self.some)
        fault = fault_of(self.pixels.values, self.card, self.spectra)
        if fault:
            return self._foreign(as_is.learned, fault)
        if len(np.unique(self.some, axis=0)) <= self.some.shape[1]:
            return self._as_known(as_is, [])  # so few spectra would fit after many a change
        candidates = self._search.candidates()
        order = self._better_order(as_is, candidates)
        if order is not None:
            return self._foreign(as_is.learned, self._advice_on_order(order))
        suspected = any(self._explains(one) for one in candidates)
        part = self._shifted_part(self._simplest(candidates) if suspected else self._as_it_is)
        if part:
            return self._foreign(as_is.learned, part)
        if suspected:
            return self._of_suspects(as_is.learned, candidates)
        return self._as_known(as_is, candidates)

    @cached_property
    def _search(self) -> Search:
        return Search(self.spectra, self.some, self.card, self._conversions())

    @property
    def some(self) -> np.ndarray:
        """The values of some pixels, (N, bands)."""
        return self.few.values

    @cached_property
    def _as_it_is(self) -> Candidate:
        return self._search.as_it_is()

    def _limits(self, change: Candidate) -> _Limits:
        """Return the limits for a change, by the land that the scene has after it."""
        if self.spectra.is_rough:
            return OF_LABELS
        bands = len(self.card.bands)
        elsewhere = ELSEWHERE.of_bands(bands)
        if not self.at_home:
            return elsewhere
        return AT_HOME.of_bands(bands).of_mixture(change.other_land).at_most(elsewhere)

    @property
    def _fitting(self) -> float:
        if self.spectra.is_rough:
            return OF_LABELS.fitting
        return (AT_HOME if self.at_home else ELSEWHERE).fitting

    @cached_property
    def _loose(self) -> list[int]:
        """The bands that do not go with the others as in the training scene."""
        if self.spectra.sketch is not None:
            return []
        return loose_bands(self.pixels.values, self.spectra.scene_covariance)

    def _explains(self, candidate: Candidate) -> bool:
        """Return whether a change explains the scene so much better that there must be one."""
        return candidate.likelihood - self._as_it_is.likelihood > self._needed(candidate)

    def _needed(self, candidate: Candidate) -> float:
        if not candidate.is_per_band:
            return self._limits(candidate).alike
        if self.at_home and self._loose and not self.spectra.is_rough:
            return AT_HOME.of_bands(len(self.card.bands)).per_band  # other land loosens no band
        return self._limits(candidate).per_band

    def _is_unknown(self, fit: Fit) -> bool:
        """Return whether too little resembles what the model's scene holds."""
        if not self.at_home:
            return fit.learned < LEAST_KNOWN
        return fit.known < (LEAST_KNOWN if self.spectra.knows_scene else LEAST_LABELLED)

    def _conversions(self) -> list[Conversion]:
        declared = self.measured.conversion_to(self.card.scale, self.card.offset)
        return [*CONVERSIONS, *([] if declared is None else [declared])]

    def _better_order(self, as_is: Fit, candidates: Sequence[Candidate]) -> list[int] | None:
        """Return the order of bands that fits better than as they are, and than any change.

        The search is long, so there is none where a change of all bands explains the scene.
        """
        if as_is.known > KNOWN_WELL:
            return None
        alike = max((c for c in candidates if not c.is_per_band), key=lambda one: one.likelihood)
        if self.spectra.fit(alike.change.apply(self.some)).known >= self._fitting:
            return None
        order, likelihood = self._best_order()
        reached = max(one.likelihood for one in candidates)
        if likelihood > max(as_is.likelihood + BETTER_ORDER, reached):
            return order
        return None

    def _best_order(self) -> tuple[list[int], float]:
        """Exchange the two bands that gain most, again and again, as long as it helps."""
        few = self.some[:_FEW_PIXELS]
        order = list(range(few.shape[1]))
        best, reached = order, self.spectra.fit(few).likelihood
        names = [band.name for band in self.card.bands]
        for _ in order:
            tried = [
                (self.spectra.fit(few[:, o]).likelihood, o) for o in _other_orders(best, names)
            ]
            likelihood, exchanged = max(tried, default=(-np.inf, best))
            if likelihood <= reached + BETTER_ORDER / 2:
                break
            best, reached = exchanged, likelihood
        return best, self.spectra.fit(self.some[:, best]).likelihood if best != order else -np.inf

    def _of_suspects(self, learned: float, candidates: Sequence[Candidate]) -> Radiometry:
        """Judge a scene that some change explains much better than none.

        Pixels that may have been cut off say that it changed, but would mislead about how much.
        """
        cut = is_cut(self.some, self.pixels.values)
        if not cut.any():
            return self._of_whole(learned, candidates)
        if cut.mean() > 1 - LEAST_KNOWN:
            return self._of_whole(learned, candidates, self.some[cut])
        whole = replace(self, few=ScenePixels(self.some[~cut], self.few.at[~cut]))
        return whole._of_whole(learned, whole._search.candidates(), self.some[cut])

    def _of_whole(
        self, learned: float, candidates: Sequence[Candidate], cut: np.ndarray | None = None
    ) -> Radiometry:
        """Judge such a scene by pixels that are whole, where others (N, bands) may be cut off."""
        simplest = self._simplest(candidates)
        corrected = self.spectra.fit(simplest.change.apply(self.some))
        reason = self._why_foreign(simplest, corrected) or self._why_unsure(simplest, candidates)
        if not reason and cut is not None and self._misleads(simplest, cut):
            reason = _advice_on_ends(simplest, ends_of(self.pixels.values, self.card))
        if reason:
            return self._foreign(learned, reason)
        change = simplest.registered(self.spectra, self._many.values)
        if simplest.family is not None and self._lost(change) > MOST_LOST:
            return self._foreign(learned, _advice_on_rounding(simplest))
        bands = self._bands(change.gain, change.offset)
        return Radiometry("shifted", bands, corrected.learned, _advice_on_shift(simplest.name))

    def _simplest(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the simplest change that explains the scene nearly as well as the best does."""
        best = max(candidates, key=lambda one: one.likelihood)
        gained = best.likelihood - self._as_it_is.likelihood
        slack = max(self._limits(best).per_band / 2, SLACK * gained)
        equal = [one for one in candidates if one.likelihood >= best.likelihood - slack]
        return next((one for one in equal if self._explains(one)), best)

    def _lost(self, change: Change) -> float:
        """Return the share of pixels whose class hangs on what rounding took from their values."""
        step = np.abs(change.gain) * steps_of(self.pixels.values)
        if self.card.dtype.startswith(("int", "uint")):
            step = np.where(step <= _WHOLE_STEP, 0.0, step)  # rounding to whole numbers restores
        if not step.any():
            return 0.0
        corrected = change.apply(self._many.values)
        drawn = np.random.default_rng(0).uniform(-0.5, 0.5, corrected.shape)
        before, after = (self.spectra.classes_of(v) for v in (corrected, corrected + step * drawn))
        return float((before != after).mean())

    def _misleads(self, change: Candidate, cut: np.ndarray) -> bool:
        """Return whether pixels that are cut off leave a change unsure, or say that it is wrong.

        Where each band has a gain of its own, how bright all are together hangs on them.
        """
        known = self.spectra.fit(change.change.apply(cut)).known
        return change.is_per_band or known < LEAST_KNOWN

    def _why_foreign(self, change: Candidate, corrected: Fit) -> str:
        """Say why no change helps a scene that one explains best, "" if it does."""
        explained = change.likelihood - self._as_it_is.likelihood
        if change.is_per_band and not self._loose and explained < LEAST_EXPLAINED:
            return _advice_on_little(change)
        if self.measured.is_of_other_instrument(self.card.sensor):
            return self._advice_on_foreign()  # by chance a change may fit its spectra
        inverted = (change.change.gain <= 0).all()
        if inverted and corrected.known >= self._fitting:
            return _ADVICE_ON_INVERTED
        if (
            (change.is_per_band and self._loose)
            or corrected.known < self._fitting
            or (change.change.gain <= 0).any()
        ):
            return self._advice_on_foreign()
        return cut_at_ends(self.pixels.values, change.change, self.card)

    def _why_unsure(self, chosen: Candidate, candidates: Sequence[Candidate]) -> str:
        """Say why a correction is not certain enough to be made, "" if it is."""
        for rival in self._rivals(chosen, candidates):
            if self._differ(chosen.change, rival.change) > MOST_MOVED:
                return _advice_on_equal(chosen, rival)
        return "" if chosen.family is None else self._why_halves_differ(chosen)

    def _why_halves_differ(self, chosen: Candidate) -> str:
        """Say so if halves of the scene ask for corrections that give other maps."""
        many = self._many
        for axis in (0, 1):
            first = many.at[:, axis] < np.median(many.at[:, axis])
            halves = [many.values[half] for half in (first, ~first)]
            if min(map(len, halves)) < FEWEST_OF_BLOCK:
                continue
            one, other = (chosen.registered(self.spectra, half) for half in halves)
            if self._differ(one, other) / 2 > MOST_UNSURE:
                return _advice_on_halves(chosen)
        return ""

    @cached_property
    def _many(self) -> ScenePixels:
        """Many pixels, without those that may have been cut off."""
        many = self.pixels.some(MOST_TO_REFINE)
        whole = ~is_cut(many.values, self.pixels.values)
        if whole.mean() < LEAST_KNOWN:
            return many
        return ScenePixels(many.values[whole], many.at[whole])

    def _rivals(self, chosen: Candidate, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
        """Yield the other changes as simple that fit as well; none of a unit, which is known."""
        if chosen is candidates[0]:
            return
        least = self._limits(chosen).alike
        for other in candidates:
            is_as_simple = other.is_per_band == chosen.is_per_band
            if is_as_simple and self._score(other) > self._score(chosen) - least:
                yield other

    def _score(self, candidate: Candidate) -> float:
        """Return a likelihood, the less the more other a mixture of land it takes."""
        other_land = candidate.other_land if self.at_home else 0.0
        return candidate.likelihood - _MIXED_ALIKE * other_land

    def _differ(self, one: Change, other: Change) -> float:
        """Return the share of pixels that two changes bring to different classes."""
        first, second = (self.spectra.classes_of(c.apply(self.some)) for c in (one, other))
        return float((first != second).mean())

    def _shifted_part(self, whole: Candidate) -> str:
        """Say which part of a scene needs another change than the whole, "" if none does."""
        limit = self._limits(whole).block
        if limit is None:
            return ""
        blocks = blocks_of(self.few.at, FEWEST_OF_BLOCK)
        if len(blocks) < FEWEST_BLOCKS:
            return ""
        as_whole = self._by_blocks(whole.change, blocks)
        for change in self._changes_of_parts():
            gained = self._by_blocks(change, blocks) - as_whole
            better, worse = gained > limit, gained < -limit
            if min(better.sum(), worse.sum()) < FEWEST_SHIFTED:
                continue
            sides = [
                np.concatenate([blocks[i] for i in np.flatnonzero(s)]) for s in (better, worse)
            ]
            strange = [part for part in sides if not self._fits_as_is(self.some[part])]
            return self._advice_on_part((strange or sides)[0])
        return ""

    def _fits_as_is(self, pixels: np.ndarray) -> bool:
        return self.spectra.fit(pixels).known >= self._fitting

    def _advice_on_part(self, part: np.ndarray) -> str:
        """Say what a part of the scene, by the indexes of its pixels, needs; "" if unknown."""
        where, own = where_of(self.few.at, part), self.some[part]
        candidates = Search(self.spectra, own, self.card, self._conversions()).candidates()
        best = max(candidates, key=lambda one: one.likelihood)
        simple = next(one for one in candidates if best.likelihood - one.likelihood < SIMPLER)
        if self.spectra.fit(simple.change.apply(own)).known >= self._fitting:
            return _advice_on_part(where, simple.name)
        return _advice_on_unknown_part(where) if self.at_home else ""

    def _changes_of_parts(self) -> list[Change]:
        """Return changes that a part of a scene may have."""
        rough = rough_changes(self.spectra, self.card).values()
        return [Change.none(len(self.card.bands)), *(one for changes in rough for one in changes)]

    def _by_blocks(self, change: Change, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Return how well each block fits after a change, -inf where too little is known."""
        density = self.spectra.log_density(change.apply(self.some))
        mixed = likelihoods_by_group(density, blocks, _FEW_ITERATIONS)
        return mixed + self.spectra.stretch(change.gain)

    def _as_known(self, as_is: Fit, candidates: Sequence[Candidate]) -> Radiometry:
        """Judge a scene that no change explains, by how much of it is known."""
        if self._is_unknown(as_is):
            return self._foreign(as_is.learned, self._advice_on_foreign())
        ones = np.ones(len(self.card.bands))
        bands = self._bands(ones, 0 * ones)
        remarks = [self._advice_on_unknown(bands, as_is), self._advice_on_weak(candidates)]
        return Radiometry("ok", bands, as_is.learned, self._advice_on_ok(as_is),
                          tuple(filter(None, remarks)))  # fmt: skip

    def _advice_on_ok(self, as_is: Fit) -> str:
        if as_is.learned > KNOWN_WELL:
            return "the scene's values are such as the model has learned"
        return (
            f"no other unit, gain or offset fits the scene better, but {1 - as_is.learned:.0%} of "
            "its pixels resemble no training pixel: draw samples there, or expect errors"
        )

    def _advice_on_unknown(self, bands: Sequence[BandRadiometry], as_is: Fit) -> str:
        """Say where the pixels are that resemble no training pixel, and in which bands."""
        if 1 - as_is.learned <= MUCH_UNKNOWN:
            return ""
        chosen = np.append(self.spectra.of_classes, True)
        parts = Mixed.of(self.spectra.log_density(self.some)[:, chosen]).parts
        where = where_of(self.few.at, np.flatnonzero(parts[:, -1] > 0.5))
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

    def _advice_on_weak(self, candidates: Sequence[Candidate]) -> str:
        """Say which change fits a little better, but not so much that it must be real."""
        if not self.spectra.knows_scene:
            return (
                "the model's card does not say what the rest of its scene looks like: small gains "
                "and offsets, noise and parts of a scene that differ are not found; train anew on "
                "samples of extract-samples"
            )
        alike = [one for one in candidates if not one.is_per_band]
        best = max(alike, key=lambda one: one.likelihood, default=None)
        least = _WEAK.of_bands(len(self.card.bands)).alike
        if best is None or best.likelihood - self._as_it_is.likelihood <= least:
            return ""
        return (
            f"the scene fits a little better after {best.name}, which cannot be told from another "
            "mixture of classes and is not corrected: measure the map against a reference"
        )

    def _bands(
        self, gains: Sequence[float] | np.ndarray, offsets: Sequence[float] | np.ndarray
    ) -> tuple[BandRadiometry, ...]:
        return tuple(
            BandRadiometry(band.name, float(offset), float(gain), _outside(values, band.quantiles))
            for band, values, gain, offset in zip(
                self.card.bands, self.pixels.values.T, gains, offsets, strict=True
            )
        )

    def _foreign(self, known: float, advice: str) -> Radiometry:
        """Estimate gains and offsets from medians and quartiles, for the reader's judgement."""
        low, middle, high = np.quantile(self.pixels.values, (0.25, 0.5, 0.75), axis=0)
        learned = np.array([band.quantiles for band in self.card.bands])
        width = high - low
        gains = np.where(width > 0, (learned[:, 4] - learned[:, 2]) / np.where(width, width, 1), 1)
        gains = np.where(gains > 0, gains, 1.0)
        return Radiometry("foreign", self._bands(gains, learned[:, 3] - gains * middle), known,
                          advice)  # fmt: skip

    def _advice_on_order(self, order: list[int]) -> str:
        names = [band.name for band in self.card.bands]
        moved = [(name, i) for i, name in enumerate(names) if order[i] != i]
        holds = ", ".join(
            f"{name} seems to hold {names[order.index(i)]}" for name, i in moved[:_NAMED]
        )
        more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        return f"bands seem exchanged: {holds}{more}: give the scene's bands their right names"

    def _advice_on_loose(self, loose: list[int]) -> str:
        names = ", ".join(self.card.bands[band].name for band in loose)
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

    def _advice_on_foreign(self) -> str:
        """Say why no change helps: bands that do not belong to the scene, or foreign spectra."""
        outside = {
            band.name: _outside(values, band.quantiles)
            for band, values in zip(self.card.bands, self.pixels.values.T, strict=True)
        }
        others = [share for i, share in enumerate(outside.values()) if i not in self._loose]
        if self.spectra.knows_scene and self._loose and max(others) < MOST_OUTSIDE:
            return self._advice_on_loose(self._loose)
        worst = max(outside, key=lambda name: outside[name])
        differs = self.measured.differs_from(self.card.sensor, self.card.level)
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


def _outside(values: np.ndarray, quantiles: Sequence[float]) -> float:
    low, high = quantiles[0], quantiles[-1]
    margin = 0.1 * (high - low)
    return float(((values < low - margin) | (values > high + margin)).mean())


def _advice_on_shift(name: str) -> str:
    return (
        f"the scene fits what the model learned after {name}: take it in the same unit and "
        "processing, or set radiometry to harmonise"
    )


def _advice_on_equal(one: Candidate, other: Candidate) -> str:
    rival = other.name if other.name != one.name else "other numbers of that kind"
    return (
        f"the scene fits better after {one.name}, but nearly as well after {rival}, and the "
        "maps would differ: which of them is right cannot be told, so nothing is corrected; take "
        "the scene in the unit and processing of the training scene"
    )


def _advice_on_little(one: Candidate) -> str:
    return (
        "the scene does not fit as well as land of the model's scene does: it fits better after "
        f"{one.name}, but so little that noise in its bands may be the reason, and nothing is "
        "corrected; take the scene in the unit and processing of the training scene"
    )


def _advice_on_ends(one: Candidate, cut: str) -> str:
    return (
        f"the scene fits better after {one.name}, but {cut}, so that what happened to it cannot "
        "be told well enough to be corrected; take the scene in the unit and processing of the "
        "training scene"
    )


def _advice_on_rounding(one: Candidate) -> str:
    return (
        f"the scene fits what the model learned after {one.name}, but its values are so coarse "
        "that rounding took away what tells classes apart, and a corrected map would be weaker: "
        "take the scene in the unit and processing of the training scene, or train a model on it"
    )


def _advice_on_halves(one: Candidate) -> str:
    return (
        f"the scene fits better after {one.name}, but its halves ask for corrections that give "
        "other maps, as another mixture of classes would: which is right cannot be told, so "
        "nothing is corrected; take the scene in the unit and processing of the training scene"
    )


_ADVICE_ON_INVERTED = (
    "bright and dark seem exchanged in all bands, as in a negative: take the scene as it was "
    "delivered"
)


def _advice_on_part(where: str, name: str) -> str:
    return (
        f"the scene seems put together of parts: {where} fits what the model learned after "
        f"{name}, the rest does not: bring its parts to one unit and processing first"
    )


def _advice_on_unknown_part(where: str) -> str:
    return (
        f"{where} differs from the rest of the scene and resembles nothing that the model's scene "
        "held there, such as cloud or another processing: hide it with a mask, or take another "
        "scene"
    )
