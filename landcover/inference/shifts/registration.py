"""Bring a scene's values to the spectra a model knows: which gains and offsets fit best?

The pixels are registered to a mixture of Gaussians, as points are to points in Horaud et al.,
IEEE TPAMI 33 (2011), 587-602: expectation tells from which cluster each pixel comes, and a Newton
step of the maximization moves gains and offsets. Some families of changes have few parameters, so
that haze is not explained by a gain of its own in each band.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from landcover.models.spectra import Mixed, Spectra

STEPS = 8
_SHARES_FIRST, _SHARES = 15, 8
"""Iterations of the shares in the first step and in those that follow it."""
_FEWEST_KNOWN = 0.02
"""Of the pixels must resemble a cluster, or nothing says where to go."""
_LEAST_GAINED = 1e-5
"""Nats a pixel, by which a further step would not be worth its time."""
_LONGEST_STEP = 0.5
"""Of a gain, as part of it."""
_BLUE = 483.0
_FEWEST_FREE = 3
"""Bands with numbers of their own, below which these would explain everything."""


@dataclass(frozen=True)
class Change:
    """What brings a scene to a model's values: gain * value + offset, each (bands,)."""

    gain: np.ndarray
    offset: np.ndarray

    @classmethod
    def none(cls, bands: int) -> Self:
        """Return what leaves everything as it is."""
        return cls(np.ones(bands), np.zeros(bands))

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Change values (N, bands)."""
        return np.asarray(self.gain * pixels + self.offset)

    def likelihood(self, spectra: Spectra, pixels: np.ndarray) -> float:
        """Return how well pixels fit after the change, in nats a pixel."""
        mixed = Mixed.of(spectra.log_density(self.apply(pixels)))
        return float(mixed.likelihoods.mean()) + spectra.stretch(self.gain)


@dataclass(frozen=True)
class Family:
    """Changes of one kind.

    Attributes:
        name: in words.
        basis: (2 * bands, parameters), what a parameter adds to the gains, then to the offsets.
    """

    name: str
    basis: np.ndarray

    @property
    def freedom(self) -> int:
        """How many numbers of its own each band has, 0 to 2."""
        bands, parameters = len(self.basis) // 2, self.basis.shape[1]
        return 0 if parameters < _FEWEST_FREE else 1 if parameters <= bands else 2


def families(
    wavelengths: Sequence[float | None], varies: np.ndarray | None = None
) -> list[Family]:
    """Return the kinds of changes, those of few parameters first.

    Args:
        wavelengths: of the bands in nm; without all of them there is no haze.
        varies: bool (bands,), False for bands that held one value when the model was trained,
            which say nothing of a gain of their own; all vary by default.
    """
    bands = len(wavelengths)
    free = np.ones(bands, bool) if varies is None else varies
    one, zero = np.ones((bands, 1)), np.zeros((bands, 1))
    eye = np.eye(bands)[:, free]
    none = np.zeros_like(eye)
    found = [Family("gain", np.vstack([one, zero])), Family("offset", np.vstack([zero, one]))]
    path = haze(wavelengths)
    if path is not None:
        found.append(Family("haze", np.vstack([zero, path[:, None]])))
    if free.sum() < _FEWEST_FREE:
        return found
    return [
        *found,
        Family("gain of each band", np.vstack([eye, none])),
        Family("offset of each band", np.vstack([none, eye])),
        Family("gain and offset of each band", np.block([[eye, none], [none, eye]])),
    ]


def haze(wavelengths: Sequence[float | None]) -> np.ndarray | None:
    """Return how much haze adds to each band, 1 in blue: it falls with wavelength squared.

    Between the fourth power of clear air and the first of thick haze: Chavez, Remote Sensing of
    Environment 24 (1988), 459-479.
    """
    known = [wave for wave in wavelengths if wave]
    if len(known) < len(wavelengths) or max(known) < 1.2 * min(known):
        return None
    return np.asarray((_BLUE / np.array(known)) ** 2)


def register(spectra: Spectra, pixels: np.ndarray, family: Family, start: Change) -> Change:
    """Find the change of a family that fits pixels best.

    Args:
        spectra: that the model knows.
        pixels: (N, bands), as the scene has them.
        family: of changes; they are added to the start.
        start: where the search begins.
    """
    best, reached, change = start, -np.inf, start
    for step in range(STEPS + 1):
        moved = change.apply(pixels)
        mixed = Mixed.of(spectra.log_density(moved), _SHARES if step else _SHARES_FIRST)
        likelihood = float(mixed.likelihoods.mean()) + spectra.stretch(change.gain)
        gained = likelihood - reached
        if gained > 0:
            best, reached = change, likelihood
        if mixed.known < _FEWEST_KNOWN or step == STEPS or 0 <= gained < _LEAST_GAINED:
            break
        change = _stepped(spectra, pixels, mixed.parts[:, :-1], family.basis, change)
    return best


def _stepped(
    spectra: Spectra,
    pixels: np.ndarray,
    parts: np.ndarray,
    basis: np.ndarray,
    change: Change,
) -> Change:
    """Take a Newton step within a family."""
    gradient, curvature = _derivatives(spectra, pixels, parts, change)
    slope, matrix = basis.T @ gradient, basis.T @ curvature @ basis
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    matrix = matrix / np.outer(scale, scale) + 1e-9 * np.eye(len(scale))
    step = basis @ (np.linalg.solve(matrix, slope / scale) / scale)
    bands = len(change.gain)
    longest = float(np.max(np.abs(step[:bands]) / np.abs(change.gain)))
    step *= min(1.0, _LONGEST_STEP / max(longest, 1e-12))
    return Change(change.gain + step[:bands], change.offset + step[bands:])


def _derivatives(
    spectra: Spectra, pixels: np.ndarray, parts: np.ndarray, change: Change
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient (2 * bands,) and curvature of the expected log likelihood.

    By the gains first, then by the offsets; the logarithm of the gains is that of the density of
    changed values. Of the pixels only their moments in each cluster matter.
    """
    bands, precisions = pixels.shape[1], spectra.band_precisions
    counts, sums = parts.sum(axis=0), parts.T @ pixels  # (clusters,), (clusters, bands)
    pairs = (pixels[:, :, None] * pixels[:, None, :]).reshape(len(pixels), -1)
    products = (parts.T @ pairs).reshape(-1, bands, bands)
    away = change.offset - spectra.band_means
    by_gain = np.einsum("kij,kij->i", precisions, products * change.gain)
    by_gain += np.einsum("kij,kj,ki->i", precisions, away, sums)
    by_offset = np.einsum("kij,kj->i", precisions, sums * change.gain + away * counts[:, None])
    mixed = np.einsum("kij,ki->ij", precisions, sums)
    known = float(parts.sum()) * spectra.dimensions / bands
    gradient = np.concatenate([known / change.gain - by_gain, -by_offset])
    of_gains = np.einsum("kij,kij->ij", precisions, products) + np.diag(known / change.gain**2)
    of_offsets = np.einsum("kij,k->ij", precisions, counts)
    return gradient, np.block([[of_gains, mixed], [mixed.T, of_offsets]])
