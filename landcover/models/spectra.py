"""Which spectra a model knows: the clusters of its training pixels, as a mixture of Gaussians.

How well the pixels of a scene fit is a likelihood. The shares of the clusters are estimated anew
for every scene, so that a scene of much forest is as welcome as one of much water; and a wide
component takes what resembles nothing, so that a few strange pixels decide nothing. Fraley and
Raftery, JASA 97 (2002), 611-631, section 3, treat noise in mixtures alike.

Of many bands, as embeddings have, random sums are looked at instead (`Sketch`).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from landcover.cpus import one_openmp_thread

MOST_PIXELS = 2000
"""Of a class, to find its clusters."""
MOST_CLUSTERS = 4
"""Of a class; fewer where they would make the card too long."""
MOST_SCENE_CLUSTERS = 10
"""Of a whole training scene, labelled or not."""
MOST_NUMBERS = 150_000
"""Of all covariances on a card, some 2 MB: one of each of 254 classes in MOST_DIMENSIONS."""
MOST_DIMENSIONS = 24
"""Of more bands the spectra are sketched."""
_ITERATIONS = 15
_STRANGE = 0.01  # of a training scene's pixels resemble none of its clusters
_LEAST_SHARE = 1e-4
_WIDER = 3.0  # the wide component's spread, in spreads of all training pixels
_ROUNDING = 1 / 12  # variance of what rounding to whole numbers took away
_ALIKE = 1e-3  # a band that never changes is taken to spread by this part of its value
_FAR = np.float32(1e37)  # a squared distance, beyond which float32 ends
_FINENESS = 0.02  # no cluster is thinner than this part of the spread of all pixels


@dataclass(frozen=True)
class Cluster:
    """Pixels that resemble each other: training pixels of one class, or any of a scene.

    Attributes:
        code: of the class; 0 for pixels of a scene, labelled or not.
        mean: (bands,), or (dimensions,) of a sketch.
        covariance: (bands, bands), or of the sketch; symmetric and positive definite.
        share: of the pixels of the class, or of the scene.
    """

    code: int
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    share: float = 1.0


@dataclass(frozen=True)
class Fit:
    """How well pixels fit the spectra of a model.

    Attributes:
        likelihood: mean logarithm of the density of a pixel, in nats.
        learned: share of the pixels, 0..1, that resemble a cluster of a class.
        known: the same of any cluster, those of the unlabelled land of the scene included.
    """

    likelihood: float
    learned: float
    known: float


@dataclass(frozen=True)
class Mixed:
    """Pixels as a mixture whose shares were estimated from them.

    Attributes:
        shares: (components,), the last that of the wide component.
        likelihoods: (N,), logarithm of the density of each pixel.
        parts: (N, components), how likely each pixel comes of each component; rows sum to 1.
    """

    shares: np.ndarray
    likelihoods: np.ndarray
    parts: np.ndarray

    @classmethod
    def of(cls, density: np.ndarray, iterations: int = _ITERATIONS) -> "Mixed":
        """Estimate the shares by expectation maximization.

        Args:
            density: (N, components), logarithms.
            iterations: of the estimate.
        """
        top = density.max(axis=1)
        relative = np.exp(density - top[:, None])
        shares = np.full(density.shape[1], 1 / density.shape[1])
        for _ in range(iterations):
            shares = np.maximum(shares * _mean_gain(relative, shares), _LEAST_SHARE)
            shares /= shares.sum()
        mixed = relative @ shares
        return cls(shares, top + np.log(mixed), relative * shares / mixed[:, None])

    @property
    def known(self) -> float:
        """Share of the pixels that resemble a cluster."""
        return float(1 - self.parts[:, -1].mean())


def likelihoods_by_group(
    density: np.ndarray, groups: Sequence[np.ndarray], iterations: int
) -> np.ndarray:
    """Return the mean log likelihood of each group of pixels, as a mixture of its own.

    As `Mixed.of` does, of all groups at once.

    Args:
        density: (N, components), logarithms.
        groups: indexes of the pixels of each.
        iterations: of the estimate.
    """
    counts = np.array([len(group) for group in groups])
    filled = np.arange(counts.max()) < counts[:, None]  # (groups, pixels)
    chosen = np.zeros(filled.shape, int)
    chosen[filled] = np.concatenate(groups)
    top = density.max(axis=1)
    relative = np.exp(density - top[:, None])[chosen]
    shares = np.full((len(groups), density.shape[1]), 1 / density.shape[1])
    for _ in range(iterations):
        weights = filled / (relative @ shares[:, :, None])[:, :, 0]
        gains = (weights[:, None, :] @ relative)[:, 0] / counts[:, None]
        shares = np.maximum(shares * gains, _LEAST_SHARE)
        shares /= shares.sum(axis=1)[:, None]
    mixed = np.log((relative @ shares[:, :, None])[:, :, 0]) + top[chosen]
    return np.asarray((mixed * filled).sum(axis=1) / counts)


@dataclass(frozen=True)
class Sketch:
    """Sums of bands with random signs: they keep the distances between spectra, roughly.

    A covariance of 128 bands has 16,384 numbers, costs their square, and of fewer pixels than
    bands says that every new pixel is strange. Source: Achlioptas, Journal of Computer and System
    Sciences 66 (2003), 671-687.

    Attributes:
        centre: (bands,).
        signs: (bands, dimensions), divided by the spread of each band.
    """

    centre: np.ndarray
    signs: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, std: np.ndarray) -> "Sketch":
        """Return that of training pixels of this mean and standard deviation (bands,)."""
        # the old generator, whose numbers stay the same for ever, as those on a card do
        chosen = np.random.RandomState(0).randint(0, 2, (len(mean), MOST_DIMENSIONS))
        width = _not_0(std, mean, _ALIKE)[:, None] * math.sqrt(len(mean))
        return cls(mean, (2 * chosen - 1) / width)

    @classmethod
    def of_pixels(cls, pixels: np.ndarray) -> "Sketch | None":
        """Return that of training pixels (N, bands); None where their bands are few."""
        if pixels.shape[1] <= MOST_DIMENSIONS:
            return None
        return cls.of(pixels.mean(axis=0), pixels.std(axis=0))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return (N, dimensions) of pixels (N, bands)."""
        return np.asarray((pixels - self.centre) @ self.signs)

    def covariance(self, of_bands: np.ndarray) -> np.ndarray:
        """Return the covariance (dimensions, dimensions) that one of bands gives."""
        return np.asarray(self.signs.T @ of_bands @ self.signs)

    def spectra(self, sketched: np.ndarray) -> np.ndarray:
        """Return spectra (N, bands) that have these sums (N, dimensions)."""
        return np.asarray(self.centre + sketched @ np.linalg.pinv(self.signs))

    def precisions(self, sketched: np.ndarray) -> np.ndarray:
        """Return inverse covariances of sums as those of bands, (N, bands, bands)."""
        return np.asarray(self.signs @ sketched @ self.signs.T)


@dataclass(frozen=True)
class Spectra:
    """The spectra that a model knows.

    Attributes:
        means: (clusters, bands), those of the classes first; for bands read dimensions here and
            below where there is a sketch.
        covariances: (clusters, bands, bands).
        centre: (bands,), mean of all training pixels.
        spread: (bands, bands), their covariance.
        codes: (clusters,), the class of each, 0 for those of the whole scene.
        shares: (clusters,), of the class or scene.
        of_bands: covariance of all training pixels, (bands, bands).
        sketch: what is looked at instead of bands; None: the bands themselves.
    """

    means: np.ndarray
    covariances: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    codes: np.ndarray
    shares: np.ndarray
    of_bands: np.ndarray
    sketch: Sketch | None = None

    @classmethod
    def of(
        cls,
        clusters: Sequence[Cluster],
        mean: np.ndarray,
        std: np.ndarray,
        correlation: np.ndarray,
        of_scene: Sequence[Cluster] = (),
    ) -> "Spectra":
        """Read them from a model card; without clusters of classes all training pixels are one.

        Args:
            clusters: of the training pixels.
            mean: (bands,), of all training pixels.
            std: (bands,).
            correlation: (bands, bands).
            of_scene: clusters of the whole scene they were taken from.
        """
        std = _not_0(std, mean, 1e-6)
        spread = np.where(np.eye(len(std), dtype=bool), 1, correlation) * np.outer(std, std)
        of_bands = spread = _definite(spread, std)
        sketch = None
        if clusters and len(clusters[0].mean) < len(mean):
            sketch = Sketch.of(mean, std)
            mean, spread = np.zeros(sketch.signs.shape[1]), sketch.covariance(spread)
            std = np.sqrt(np.diag(spread).clip(1e-9))
            spread = _definite(spread, std)
        everyone = Cluster(1, tuple(mean.tolist()), tuple(map(tuple, spread.tolist())))
        found = [*(clusters or [everyone]), *of_scene]
        means = np.array([cluster.mean for cluster in found])
        covariances = np.array([_definite(np.array(c.covariance), std) for c in found])
        if clusters:
            # the wide component is wider than every cluster, also where all pixels are alike
            spread = spread + covariances[: len(clusters)].mean(axis=0)
        codes, shares = np.array([(c.code, c.share) for c in found]).T
        return cls(means, covariances, mean, spread, codes.astype(int), shares, of_bands, sketch)

    @property
    def of_classes(self) -> np.ndarray:
        """Bool (clusters,), True for the clusters of the classes."""
        return np.asarray(self.codes > 0)

    @property
    def knows_scene(self) -> bool:
        """Whether the unlabelled land of the training scene is known too."""
        return not self.of_classes.all()

    @property
    def is_rough(self) -> bool:
        """Whether small changes cannot be told: only labelled land is known, or only a sketch."""
        return not self.knows_scene or self.sketch is not None

    @cached_property
    def scene_covariance(self) -> np.ndarray:
        """(bands, bands), of all pixels of the training scene, else of the training pixels."""
        if self.sketch is not None:
            return self.of_bands
        if not self.knows_scene:
            return self.spread
        chosen = ~self.of_classes
        shares = self.shares[chosen] / self.shares[chosen].sum()
        away = self.means[chosen] - self.scene_mean
        within = np.tensordot(shares, self.covariances[chosen], 1)
        return np.asarray(within + (shares[:, None] * away).T @ away)

    @cached_property
    def scene_mean(self) -> np.ndarray:
        """(bands,), of all pixels of the training scene, else of the training pixels."""
        if self.sketch is not None:
            return self.sketch.centre
        if not self.knows_scene:
            return self.centre
        shares = self.shares[~self.of_classes]
        return np.asarray(shares @ self.means[~self.of_classes] / shares.sum())

    @cached_property
    def band_means(self) -> np.ndarray:
        """(clusters, bands), also where there is a sketch."""
        return self.means if self.sketch is None else self.sketch.spectra(self.means)

    @cached_property
    def band_precisions(self) -> np.ndarray:
        """(clusters, bands, bands), the inverse covariances, also where there is a sketch."""
        inverse = np.linalg.inv(self.covariances)
        return inverse if self.sketch is None else self.sketch.precisions(inverse)

    @cached_property
    def of_training(self) -> "Spectra":
        """The clusters of the classes alone."""
        chosen = self.of_classes
        return replace(self, means=self.means[chosen], covariances=self.covariances[chosen],
                       codes=self.codes[chosen], shares=self.shares[chosen])  # fmt: skip

    def fit(self, pixels: np.ndarray, gain: np.ndarray | float = 1.0) -> Fit:
        """Return how well pixels fit.

        Args:
            pixels: float (N, bands), in the units of the training pixels.
            gain: by which the scene's values were multiplied to get there, one or per band.
        """
        density = self.log_density(pixels)
        mixed = Mixed.of(density)
        learned = mixed
        if self.knows_scene:
            learned = Mixed.of(density[:, np.append(self.of_classes, True)])
        likelihood = float(mixed.likelihoods.mean()) + self.stretch(gain)
        return Fit(likelihood, learned.known, mixed.known)

    def other_mixture(self, density: np.ndarray, mixed: "Mixed") -> float:
        """Return how much better pixels fit in another mixture of land, in nats a pixel.

        Than in that of the training scene: little on the whole of it, more on a part of it; 0
        where that scene is not known.

        Args:
            density: (N, clusters + 1), of the pixels.
            mixed: the same with shares of their own.
        """
        if not self.knows_scene:
            return 0.0
        of_scene = density[:, np.append(~self.of_classes, True)]
        shares = self.shares[~self.of_classes]
        shares = np.append(shares / shares.sum() * (1 - _STRANGE), _STRANGE)
        top = of_scene.max(axis=1)
        as_there = top + np.log(np.exp(of_scene - top[:, None]) @ shares)
        return float((mixed.likelihoods - as_there).mean())

    @property
    def dimensions(self) -> int:
        """How many numbers of a pixel are looked at: its bands, or those of the sketch."""
        return int(self.means.shape[1])

    def stretch(self, gain: np.ndarray | float) -> float:
        """Return what gains of the bands add to the logarithm of a density."""
        return float(np.log(np.abs(gain)).mean() * self.dimensions)

    def classes_of(self, pixels: np.ndarray) -> np.ndarray:
        """Return the code of the class whose cluster fits best, (N,); 0 for what fits none."""
        density = self.log_density(pixels)[:, np.append(self.of_classes, True)]
        codes = np.append(self.codes[self.of_classes], 0)
        return np.asarray(codes[density.argmax(axis=1)])

    def log_density(self, pixels: np.ndarray) -> np.ndarray:
        """Return (N, clusters + 1), the last column that of the wide component."""
        whitening, offsets, constants = self._whitened
        looked_at = pixels if self.sketch is None else self.sketch(pixels)
        count, bands = looked_at.shape
        moved = (looked_at - self.centre) @ whitening - offsets  # (N, components * bands)
        moved = moved.reshape(count, -1, bands)
        squares = np.einsum("ncb,ncb->nc", moved, moved)
        density = constants - squares / 2
        # Cauchy in so many dimensions: it never quite gives up, however far a pixel lies
        tail = _cauchy_constant(bands) + constants[-1] - (bands + 1) / 2 * np.log1p(squares[:, -1])
        density[:, -1] = tail
        return np.asarray(density)

    def looked_at(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (dimensions, N), what `log_density_of` takes of pixels (N, bands)."""
        numbers = pixels if self.sketch is None else self.sketch(pixels)
        with np.errstate(over="ignore"):  # of a fill of 1e308 infinity is near enough
            return np.asarray(
                numbers.T.astype(np.float32) - self.centre[:, None].astype(np.float32)
            )

    def log_density_of(self, component: int, looked_at: np.ndarray) -> np.ndarray:
        """Return float32 (N,), one column of `log_density`, -1 that of the wide component."""
        whitening, offset, constant = self._singly[component]
        with np.errstate(over="ignore", invalid="ignore"):
            moved = whitening @ looked_at
            moved -= offset
            squares = np.fmin(np.einsum("ij,ij->j", moved, moved), _FAR)
        if component != -1:
            return np.asarray(constant - squares / 2)
        return np.asarray(constant - np.float32((self.dimensions + 1) / 2) * np.log1p(squares))

    @cached_property
    def _whitened(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return W (bands, components * bands), its part of each mean, and the log constants."""
        parts = [_whitening(covariance) for covariance in self.covariances]
        parts.append(_whitening(_WIDER**2 * self.spread))
        means = [*(self.means - self.centre), np.zeros_like(self.centre)]
        offsets = [mean @ part for mean, (part, _) in zip(means, parts, strict=True)]
        constants = np.array([constant for _, constant in parts])
        return np.hstack([part for part, _ in parts]), np.concatenate(offsets), constants

    @cached_property
    def _singly(self) -> list[tuple[np.ndarray, np.ndarray, np.float32]]:
        """Return what is in `_whitened` component by component, in float32."""
        whitening, offsets, constants = self._whitened
        count = len(constants)
        constants = constants + np.append(np.zeros(count - 1), _cauchy_constant(self.dimensions))
        rows = np.ascontiguousarray(whitening.T, np.float32).reshape(count, -1, self.dimensions)
        columns = offsets.astype(np.float32).reshape(count, -1, 1)
        return list(zip(rows, columns, constants.astype(np.float32), strict=True))


def find_clusters(pixels: np.ndarray, codes: np.ndarray, seed: int) -> tuple[Cluster, ...]:
    """Find the clusters of every class.

    Args:
        pixels: (N, bands), the training pixels.
        codes: (N,), the class of each.
        seed: of the choice of pixels and of the search.
    """
    rng = np.random.default_rng(seed)
    values = pixels.astype(np.float64)
    sketch = Sketch.of_pixels(values)
    values, spread, rounded = _looked_at(values, sketch)
    classes = [values[codes == code] for code in np.unique(codes)]
    within = _within(classes) if sketch is None else 2 * _drawn_within(classes, spread)
    found = []
    most = min(MOST_CLUSTERS, MOST_NUMBERS // (len(classes) * values.shape[1] ** 2))
    for code, of_class in zip(np.unique(codes), classes, strict=True):
        chosen = _some(of_class, rng)
        found += _clusters_of(chosen, int(code), most, spread, within, rounded, seed)
    return tuple(found)


def find_scene_clusters(
    pixels: np.ndarray, training: np.ndarray, seed: int
) -> tuple[Cluster, ...]:
    """Find the clusters of a whole scene, labelled or not.

    Args:
        pixels: (N, bands), drawn from all over the scene.
        training: (M, bands), the training pixels, of which there is one sketch for both.
        seed: of the search.
    """
    values = _some(pixels.astype(np.float64), np.random.default_rng(seed))
    if len(values) < 2:
        return ()
    sketch = Sketch.of_pixels(training.astype(np.float64))
    values, spread, rounded = _looked_at(values, sketch)
    most = min(MOST_SCENE_CLUSTERS, MOST_NUMBERS // values.shape[1] ** 2)
    within = np.atleast_2d(np.cov(values.T)) / most
    return tuple(_clusters_of(values, 0, most, spread, within, rounded, seed))


def _looked_at(
    values: np.ndarray, sketch: Sketch | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is looked at of pixels, its spread, and the covariance rounding took away."""
    rounded = np.eye(values.shape[1])
    rounded *= _ROUNDING if (values == values.round()).all() else 0.0
    if sketch is not None:
        values, rounded = sketch(values), sketch.covariance(rounded)
    return values, _not_0(values.std(axis=0), values.mean(axis=0), _ALIKE), rounded


def _not_0(std: np.ndarray, mean: np.ndarray, share: float) -> np.ndarray:
    """Return a spread of every band, also of one that never changes: a share of its value."""
    return np.asarray(np.maximum(std, np.maximum(share * np.abs(mean), 1e-9)))


def _within(classes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the covariance within classes."""
    centred = np.concatenate([values - values.mean(axis=0) for values in classes])
    return np.asarray(centred.T @ centred / len(centred))


def _drawn_within(classes: Sequence[np.ndarray], spread: np.ndarray) -> np.ndarray:
    """Return the covariance within classes of many dimensions, perhaps of fewer pixels.

    That of few pixels knows no spread in many directions, and new pixels would be strange: it is
    drawn towards one without correlations, the more so the fewer they are. Source: Ledoit and
    Wolf, Journal of Multivariate Analysis 88 (2004), 365-411.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    scaled = np.concatenate([values - values.mean(axis=0) for values in classes]) / spread
    covariance = scaled.T @ scaled / max(len(scaled) - len(classes), 1)
    share = ledoit_wolf_shrinkage(scaled, assume_centered=True)
    plain = np.eye(len(spread)) * covariance.trace() / len(spread)
    return np.asarray(((1 - share) * covariance + share * plain) * np.outer(spread, spread))


def _some(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(values) <= MOST_PIXELS:
        return values
    return values[rng.choice(len(values), MOST_PIXELS, replace=False)]


def _clusters_of(
    values: np.ndarray,
    code: int,
    most: int,
    spread: np.ndarray,
    within: np.ndarray,
    rounded: np.ndarray,
    seed: int,
) -> list[Cluster]:
    """Return the clusters of pixels (N, bands)."""
    found = []
    for members in _grouped(values / spread, most, seed):
        cluster = values[members]
        covariance = _shrunk(cluster, within) + np.diag((_FINENESS * spread) ** 2) + rounded
        mean, rows = tuple(cluster.mean(axis=0).tolist()), tuple(map(tuple, covariance.tolist()))
        found.append(Cluster(code, mean, rows, len(cluster) / len(values)))
    return found


def _grouped(scaled: np.ndarray, most: int, seed: int) -> list[np.ndarray]:
    """Return the members of each cluster of a class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    count = min(max(len(scaled) // (10 * scaled.shape[1]), 1), most)
    count = min(count, len(np.unique(scaled, axis=0)))
    if count == 1:
        return [np.arange(len(scaled))]
    mixture = GaussianMixture(count, reg_covar=1e-4, max_iter=50, random_state=seed)
    with one_openmp_thread(), warnings.catch_warnings():
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
