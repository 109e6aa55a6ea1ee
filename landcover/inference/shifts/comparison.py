"""A scene's pixels beside what a model knows, and what all judgements ask of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from landcover.inference.shifts.changes import Candidate, Search
from landcover.inference.shifts.faults import is_cut, loose_bands
from landcover.inference.shifts.limits import AT_HOME, ELSEWHERE, OF_LABELS, Limits
from landcover.inference.shifts.registration import Change
from landcover.inference.shifts.verdict import BandRadiometry, Radiometry, share_outside
from landcover.io.scene_pixels import ScenePixels
from landcover.io.sensors import CONVERSIONS, Conversion, Measured
from landcover.models.file import Card
from landcover.models.spectra import Fit, Spectra

MOST_PIXELS, MOST_TO_REFINE = 800, 4000
SLACK = 0.03
"""Of what the best change explains, a simpler one may explain less."""
LEAST_KNOWN = 0.5
"""Of the pixels must resemble what was learned: training pixels, or any of the training scene."""
LEAST_LABELLED = 0.2
"""The same on the training scene, if the model's card knows labelled land only."""


@dataclass(frozen=True)
class Comparison:
    """One comparison: all sampled pixels, some of them for what is dear, and the model."""

    pixels: ScenePixels
    few: ScenePixels
    spectra: Spectra
    card: Card
    measured: Measured
    at_home: bool

    @property
    def some(self) -> np.ndarray:
        """The values of some pixels, (N, bands)."""
        return self.few.values

    @cached_property
    def search(self) -> Search:
        """The search for changes that explain the pixels."""
        return Search(self.spectra, self.some, self.card, self.conversions())

    @cached_property
    def as_it_is(self) -> Candidate:
        """No change, measured as changes are."""
        return self.search.as_it_is()

    @cached_property
    def many(self) -> ScenePixels:
        """Many pixels, without those that may have been cut off."""
        many = self.pixels.some(MOST_TO_REFINE)
        whole = ~is_cut(many.values, self.pixels.values)
        if whole.mean() < LEAST_KNOWN:
            return many
        return ScenePixels(many.values[whole], many.at[whole])

    def conversions(self) -> list[Conversion]:
        """Return the known ones between units, and that which the scene declares."""
        declared = self.measured.conversion_to(self.card.scale, self.card.offset)
        return [*CONVERSIONS, *([] if declared is None else [declared])]

    def limits(self, change: Candidate) -> Limits:
        """Return the limits for a change, by the land that the scene has after it."""
        if self.spectra.is_rough:
            return OF_LABELS
        bands = len(self.card.bands)
        elsewhere = ELSEWHERE.of_bands(bands)
        if not self.at_home:
            return elsewhere
        return AT_HOME.of_bands(bands).of_mixture(change.other_land).at_most(elsewhere)

    @property
    def fitting(self) -> float:
        """Share of the pixels that must be known after a correction."""
        if self.spectra.is_rough:
            return OF_LABELS.fitting
        return (AT_HOME if self.at_home else ELSEWHERE).fitting

    @cached_property
    def loose(self) -> list[int]:
        """The bands that do not go with the others as in the training scene."""
        if self.spectra.sketch is not None:
            return []
        return loose_bands(self.pixels.values, self.spectra.scene_covariance)

    def explains(self, candidate: Candidate) -> bool:
        """Return whether a change explains the scene so much better that there must be one."""
        return candidate.likelihood - self.as_it_is.likelihood > self._needed(candidate)

    def _needed(self, candidate: Candidate) -> float:
        if not candidate.is_per_band:
            return self.limits(candidate).alike
        if self.at_home and self.loose and not self.spectra.is_rough:
            return AT_HOME.of_bands(len(self.card.bands)).per_band  # other land loosens no band
        return self.limits(candidate).per_band

    def simplest(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the simplest change that explains the scene nearly as well as the best does."""
        best = max(candidates, key=lambda one: one.likelihood)
        gained = best.likelihood - self.as_it_is.likelihood
        slack = max(self.limits(best).per_band / 2, SLACK * gained)
        equal = [one for one in candidates if one.likelihood >= best.likelihood - slack]
        return next((one for one in equal if self.explains(one)), best)

    def fits_as_is(self, pixels: np.ndarray) -> bool:
        """Return whether enough of some pixels (N, bands) is known without a change."""
        return self.spectra.fit(pixels).known >= self.fitting

    def is_unknown(self, fit: Fit) -> bool:
        """Return whether too little resembles what the model's scene holds."""
        if not self.at_home:
            return fit.learned < LEAST_KNOWN
        return fit.known < (LEAST_KNOWN if self.spectra.knows_scene else LEAST_LABELLED)

    def differ(self, one: Change, other: Change) -> float:
        """Return the share of pixels that two changes bring to different classes."""
        first, second = (self.spectra.classes_of(c.apply(self.some)) for c in (one, other))
        return float((first != second).mean())

    def told_of_bands(
        self, gains: Sequence[float] | np.ndarray, offsets: Sequence[float] | np.ndarray
    ) -> tuple[BandRadiometry, ...]:
        """Return gains, offsets and what lies outside, band by band."""
        return tuple(
            BandRadiometry(
                band.name, float(offset), float(gain), share_outside(values, band.quantiles)
            )
            for band, values, gain, offset in zip(
                self.card.bands, self.pixels.values.T, gains, offsets, strict=True
            )
        )

    def foreign(self, known: float, advice: str) -> Radiometry:
        """Return that verdict; gains and offsets are estimated from medians and quartiles."""
        low, middle, high = np.quantile(self.pixels.values, (0.25, 0.5, 0.75), axis=0)
        learned = np.array([band.quantiles for band in self.card.bands])
        width = high - low
        gains = np.where(width > 0, (learned[:, 4] - learned[:, 2]) / np.where(width, width, 1), 1)
        gains = np.where(gains > 0, gains, 1.0)
        bands = self.told_of_bands(gains, learned[:, 3] - gains * middle)
        return Radiometry("foreign", bands, known, advice)
