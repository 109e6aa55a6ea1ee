"""Which changes may explain a scene: other units, gains, offsets, haze, of all bands or of each.

Every kind is begun from many rough guesses and registered to the spectra of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landcover.inference.shifts.registration import Change, Family, families, haze, register
from landcover.io.derived_names import has_own_unit, is_deviation
from landcover.io.sensors import Conversion
from landcover.models.file import Card
from landcover.models.spectra import Mixed, Spectra

_GAINS = (0.5, 0.6, 0.7, 0.77, 0.83, 0.87, 0.91, 0.95, 1.05, 1.1, 1.15, 1.25, 1.4, 1.65, 2.0)
_OFFSETS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""In deviations of the training scene."""
_AS_GOOD = 0.1
"""Nats a pixel by which a unit may fit worse than the same one with an offset."""
_TO_BEGIN = 250
"""Pixels: enough to choose where a search begins."""
_TO_REGISTER = 500
"""The others tell how well a change fits that was not found by them."""


@dataclass(frozen=True)
class Candidate:
    """A change that may explain a scene.

    Attributes:
        name: in words.
        change: of the scene's values.
        likelihood: of the scene's pixels after it, in nats a pixel.
        family: of changes that it is one of; None: of units.
        other_land: how far from that of the training scene the mixture of land would be, in nats
            a pixel (`Spectra.other_mixture`).
    """

    name: str
    change: Change
    likelihood: float
    family: Family | None = None
    other_land: float = 0.0

    @property
    def is_per_band(self) -> bool:
        """Whether each band is changed by numbers of its own."""
        return self.family is not None and self.family.freedom > 0

    def registered(self, spectra: Spectra, pixels: np.ndarray) -> Change:
        """Return the change of the same family that fits other pixels (N, bands) best."""
        if self.family is None:
            return self.change
        return register(spectra, pixels, self.family, self.change)


@dataclass(frozen=True)
class Search:
    """A search for the changes that explain a scene.

    Attributes:
        spectra: that the model knows.
        some: (N, bands), pixels of the scene.
        card: of the model.
        conversions: between the units that scenes are delivered in.
    """

    spectra: Spectra
    some: np.ndarray
    card: Card
    conversions: Sequence[Conversion]

    def candidates(self) -> list[Candidate]:
        """Return the best change of each kind, the simplest kind first."""
        units = [self._of_unit(one) for one in self.conversions]
        unit = self._plainest(units)
        begun = self._beginnings(unit.change)
        return [self.measured(unit), *(self._of_family(one, begun) for one in self._families)]

    @property
    def _few(self) -> np.ndarray:
        return self.some[:_TO_BEGIN]

    @property
    def _families(self) -> list[Family]:
        varies = np.array([band.std > 0 for band in self.card.bands])
        if self.spectra.sketch is not None:  # its sums say nothing of a single band
            varies[:] = False
        return families([band.wavelength for band in self.card.bands], varies)

    def _plainest(self, units: Sequence[Candidate]) -> Candidate:
        """Return the unit that fits best, one without an offset before those that have one."""
        fits = [one.change.likelihood(self.spectra, self._few) for one in units]
        near = [one for one, fit in zip(units, fits, strict=True) if fit > max(fits) - _AS_GOOD]
        plain = [one for one in near if not one.change.offset.any()]
        return plain[0] if plain else units[int(np.argmax(fits))]

    def _of_unit(self, conversion: Conversion) -> Candidate:
        # indices and terrain have no unit, and deviations no offset
        names = [band.name for band in self.card.bands]
        has_unit = ~np.array([has_own_unit(name) for name in names])
        is_moved = has_unit & ~np.array([is_deviation(name) for name in names])
        change = Change(np.where(has_unit, conversion.gain, 1.0), conversion.offset * is_moved)
        return Candidate(str(conversion), change, -np.inf)

    def _beginnings(self, unit: Change) -> dict[str, Change]:
        """Return where the search in each family begins."""
        by_mean = self._by_mean()
        begun = {
            name: self._best([*changes, by_mean[name]])
            for name, changes in rough_changes(self.spectra, self.card).items()
        }
        by_means, by_differences, by_moments, inverted = self._by_moments()
        begun["gain of each band"] = self._best([by_means, begun["gain"]])
        begun["offset of each band"] = self._best([by_differences, begun["offset"]])
        begun["gain and offset of each band"] = self._best(
            [by_moments, inverted, unit, *begun.values()]
        )
        return begun

    def _of_family(self, family: Family, begun: dict[str, Change]) -> Candidate:
        start = self._best([Change.none(self.some.shape[1]), begun[family.name]])
        change = register(self.spectra, self.some[:_TO_REGISTER], family, start)
        name = described(family, change, self.card)
        return self.measured(Candidate(name, change, -np.inf, family))

    def _best(self, changes: Sequence[Change]) -> Change:
        return max(changes, key=lambda change: change.likelihood(self.spectra, self._few))

    def measured(self, candidate: Candidate) -> Candidate:
        """Return a change with what the pixels say of it."""
        density = self.spectra.log_density(candidate.change.apply(self.some))
        mixed = Mixed.of(density)
        likelihood = float(mixed.likelihoods.mean()) + self.spectra.stretch(candidate.change.gain)
        other_land = self.spectra.other_mixture(density, mixed)
        return replace(candidate, likelihood=likelihood, other_land=other_land)

    def as_it_is(self) -> Candidate:
        """Return what leaves the scene as it is, measured as the changes are."""
        none = Change.none(self.some.shape[1])
        return self.measured(Candidate("no change", none, -np.inf))

    def _by_mean(self) -> dict[str, Change]:
        """Return what brings the mean of all bands to the training scene's, by family."""
        mean, learned = self.some.mean(axis=0), self.spectra.scene_mean
        ones = np.ones(len(mean))
        ratio = float(mean @ learned / max(mean @ mean, 1e-300))
        path = haze([band.wavelength for band in self.card.bands])
        along = ones if path is None else path
        return {
            "gain": Change((ratio if ratio > 0 else 1.0) * ones, 0 * ones),
            "offset": Change(ones, (learned - mean).mean() * ones),
            "haze": Change(ones, along * float(along @ (learned - mean) / (along @ along))),
        }

    def _by_moments(self) -> tuple[Change, Change, Change, Change]:
        """Return the gains, offsets, and both, that bring each band to the training scene's.

        And, last, those that do it for a scene of which bright and dark are exchanged.
        """
        mean, std = self.some.mean(axis=0), self.some.std(axis=0)
        learned, ones = self.spectra.scene_mean, np.ones(self.some.shape[1])
        deviation = np.sqrt(np.diag(self.spectra.scene_covariance))
        varies = (std > 0) & np.array([band.std > 0 for band in self.card.bands])
        gain = np.where(varies, deviation / np.where(varies, std, 1), 1.0)
        ratio = np.where(mean * learned > 0, learned / np.where(mean != 0, mean, 1), 1.0)
        return (
            Change(ratio, 0 * ones),
            Change(ones, learned - mean),
            Change(gain, learned - gain * mean),
            Change(-gain, learned + gain * mean),
        )


def rough_changes(spectra: Spectra, card: Card) -> dict[str, list[Change]]:
    """Return changes of all bands from which a search may begin, by the name of their family."""
    ones = np.ones(len(card.bands))
    deviation = float(np.sqrt(np.diag(spectra.scene_covariance)).mean())
    offsets = [sign * size * deviation for size in _OFFSETS for sign in (-1, 1)]
    found = {
        "gain": [Change(gain * ones, 0 * ones) for gain in _GAINS],
        "offset": [Change(ones, offset * ones) for offset in offsets],
    }
    path = haze([band.wavelength for band in card.bands])
    if path is not None:
        found["haze"] = [Change(ones, offset * path) for offset in offsets]
    return found


def described(family: Family, change: Change, card: Card) -> str:
    """Say what a change does to a scene."""
    gain, offset = change.gain, change.offset
    if family.name == "gain":
        return f"multiplying by {gain[0]:.3g} in all bands"
    if family.name == "offset":
        return str(Conversion(1.0, float(f"{offset[0]:.3g}")))
    if family.name == "haze":
        done = "adding" if offset.mean() > 0 else "taking off"
        clear = int(np.abs(offset).argmax())
        most = f"{abs(offset[clear]):.3g} in {card.bands[clear].name}"
        return f"{done} haze, {most} and less in longer waves"
    if (offset == 0).all():
        low, high = int(gain.argmin()), int(gain.argmax())
        return (
            f"multiplying each band by a gain of its own, from {gain[low]:.3g} in "
            f"{card.bands[low].name} to {gain[high]:.3g} in {card.bands[high].name}"
        )
    if (gain == 1).all():
        low, high = int(offset.argmin()), int(offset.argmax())
        return (
            f"adding to each band an offset of its own, from {offset[low]:.3g} in "
            f"{card.bands[low].name} to {offset[high]:.3g} in {card.bands[high].name}"
        )
    return "a gain and an offset of its own in each band"
