"""Which spectra a model knows: the clusters of its training pixels, as a mixture of Gaussians.

How well the pixels of a scene fit is a likelihood. The shares of the clusters are estimated anew
for every scene, so that a scene of much forest is as welcome as one of much water; and a wide
component takes what resembles nothing, so that a few strange pixels decide nothing. Fraley and
Raftery, JASA 97 (2002), 611-631, section 3, treat noise in mixtures alike.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST_PIXELS = 2000
"""Of a class, to find its clusters."""
MOST_CLUSTERS = 4
"""Of a class; fewer, or none, where many bands would make the card too long."""
MOST_NUMBERS = 100_000
"""Of all covariances on a card, some 2 MB."""
_ITERATIONS = 15
_LEAST_SHARE = 1e-4
_WIDER = 3.0  # the wide component's spread, in spreads of all training pixels
_ROUNDING = 1 / 12  # variance of what rounding to whole numbers took away
_ALIKE = 1e-3  # a band that never changes is taken to spread by this part of its value
_FINENESS = 0.02  # no cluster is thinner than this part of the spread of all pixels


@dataclass(frozen=True)
class Cluster:
    """Training pixels of one class that resemble each other.

    Attributes:
        code: of the class.
        mean: (bands,).
        covariance: (bands, bands), symmetric and positive definite.
    """

    code: int
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Fit:
    """How well pixels fit the spectra of a model.

    Attributes:
        likelihood: mean logarithm of the density of a pixel, in nats.
        known: share of the pixels, 0..1, that resemble one of the clusters.
    """

    likelihood: float
    known: float


@dataclass(frozen=True)
class Spectra:
    """The spectra that a model knows.

    Attributes:
        means: (clusters, bands).
        covariances: (clusters, bands, bands).
        centre: (bands,), mean of all training pixels.
        spread: (bands, bands), their covariance.
    """

    means: np.ndarray
    covariances: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(
        cls,
        clusters: Sequence[Cluster],
        mean: np.ndarray,
        std: np.ndarray,
        correlation: np.ndarray,
    ) -> "Spectra":
        """Take them off a model card; without clusters all pixels are one.

        Args:
            clusters: of the training pixels.
            mean: (bands,), of all training pixels.
            std: (bands,).
            correlation: (bands, bands).
        """
        std = np.maximum(std, np.maximum(1e-6 * np.abs(mean), 1e-9))
        spread = np.where(np.eye(len(std), dtype=bool), 1, correlation) * np.outer(std, std)
        spread = _definite(spread, std)
        if not clusters:
            return cls(mean[None], spread[None], mean, spread)
        means = np.array([cluster.mean for cluster in clusters])
        covariances = np.array([_definite(np.array(c.covariance), std) for c in clusters])
        # the wide component is wider than every cluster, also where all pixels are alike
        return cls(means, covariances, mean, spread + covariances.mean(axis=0))

    def fit(self, pixels: np.ndarray, gain: np.ndarray | float = 1.0) -> Fit:
        """Tell how well pixels fit.

        Args:
            pixels: float (N, bands), in the units of the training pixels.
            gain: by which the scene's values were multiplied to get there, one or per band.
        """
        density = self.log_density(pixels)  # (N, clusters + 1)
        top = density.max(axis=1)
        relative = np.exp(density - top[:, None])
        shares = np.full(density.shape[1], 1 / density.shape[1])
        for _ in range(_ITERATIONS):
            shares = np.maximum(shares * _mean_gain(relative, shares), _LEAST_SHARE)
            shares /= shares.sum()
        likelihood = (top + np.log(relative @ shares)).mean()
        stretch = np.log(np.abs(np.broadcast_to(gain, pixels.shape[1]))).sum()
        known = 1 - shares[-1] * _mean_gain(relative, shares)[-1]
        return Fit(float(likelihood + stretch), float(known))

    def log_density(self, pixels: np.ndarray) -> np.ndarray:
        """Return (N, clusters + 1), the last column that of the wide component."""
        whitening, offsets, constants = self._whitened
        count, bands = pixels.shape
        moved = (pixels - self.centre) @ whitening - offsets  # (N, components * bands)
        squares = (moved.reshape(count, -1, bands) ** 2).sum(axis=2)
        density = constants - squares / 2
        # Cauchy in so many dimensions: it never quite gives up, however far a pixel lies
        tail = _cauchy_constant(bands) + constants[-1] - (bands + 1) / 2 * np.log1p(squares[:, -1])
        density[:, -1] = tail
        return np.asarray(density)

    @cached_property
    def _whitened(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return W (bands, components * bands), its part of each mean, and the log constants."""
        parts = [_whitening(covariance) for covariance in self.covariances]
        parts.append(_whitening(_WIDER**2 * self.spread))
        means = [*(self.means - self.centre), np.zeros_like(self.centre)]
        offsets = [mean @ part for mean, (part, _) in zip(means, parts, strict=True)]
        constants = np.array([constant for _, constant in parts])
        return np.hstack([part for part, _ in parts]), np.concatenate(offsets), constants


def find_clusters(pixels: np.ndarray, codes: np.ndarray, seed: int) -> tuple[Cluster, ...]:
    """Find the clusters of every class.

    Args:
        pixels: (N, bands), the training pixels.
        codes: (N,), the class of each.
        seed: of the choice of pixels and of the search.
    """
    rng = np.random.default_rng(seed)
    values = pixels.astype(np.float64)
    spread = np.maximum(values.std(axis=0), np.maximum(_ALIKE * np.abs(values.mean(axis=0)), 1e-9))
    rounded = _ROUNDING if (values == values.round()).all() else 0.0
    classes = [values[codes == code] for code in np.unique(codes)]
    within = sum((v - v.mean(axis=0)).T @ (v - v.mean(axis=0)) for v in classes) / len(values)
    found = []
    most = min(MOST_CLUSTERS, MOST_NUMBERS // (len(classes) * values.shape[1] ** 2))
    if not most:
        return ()
    for code, of_class in zip(np.unique(codes), classes, strict=True):
        if len(of_class) > MOST_PIXELS:
            of_class = of_class[rng.choice(len(of_class), MOST_PIXELS, replace=False)]
        for members in _grouped(of_class / spread, most, seed):
            cluster = of_class[members]
            covariance = _shrunk(cluster, within) + np.diag((_FINENESS * spread) ** 2 + rounded)
            found.append(
                Cluster(
                    int(code),
                    tuple(cluster.mean(axis=0).tolist()),
                    tuple(tuple(row) for row in covariance.tolist()),
                )
            )
    return tuple(found)


def _grouped(scaled: np.ndarray, most: int, seed: int) -> list[np.ndarray]:
    """Return the members of each cluster of a class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    count = min(max(len(scaled) // (10 * scaled.shape[1]), 1), most)
    count = min(count, len(np.unique(scaled, axis=0)))
    if count == 1:
        return [np.arange(len(scaled))]
    mixture = GaussianMixture(count, reg_covar=1e-4, max_iter=50, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough grouping is enough
        group = mixture.fit_predict(scaled)
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def _shrunk(members: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return the covariance of few pixels, drawn towards that within all classes."""
    weight = members.shape[1]
    centred = members - members.mean(axis=0)
    return np.asarray((centred.T @ centred + weight * within) / (len(members) + 2 * weight))


def _definite(covariance: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return a covariance, from anybody, with no eigenvalue near 0 or below."""
    scale = np.outer(std, std)
    symmetric = (covariance + covariance.T) / 2 / scale
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.maximum(values, 1e-8)) @ vectors.T * scale)


def _whitening(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return W (bands, bands), with W W' the inverse, and the Gaussian's log constant."""
    std = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(std, std))
    values = np.maximum(values, 1e-12)
    whitening = vectors / std[:, None] / np.sqrt(values)
    determinant = np.log(values).sum() + 2 * np.log(std).sum()
    return whitening, float(-(len(std) * np.log(2 * np.pi) + determinant) / 2)


def _cauchy_constant(bands: int) -> float:
    """Return what turns a Gaussian's log constant into that of the Cauchy distribution."""
    own = math.lgamma((bands + 1) / 2) - math.lgamma(0.5) - bands / 2 * math.log(math.pi)
    return float(own + bands / 2 * math.log(2 * math.pi))


def _mean_gain(relative: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return by how much a step of expectation maximization changes each share."""
    return np.asarray(relative.T @ (1 / (relative @ shares)) / len(relative))
