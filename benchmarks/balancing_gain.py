"""Does balancing help? Our rule against rivals that may use as many training samples.

    python -m benchmarks.balancing_gain [PATCHES_FOLDER]

Settled before the first run: the data, the same random forest for all, 8 clusters, the threshold
that keeps at most a quarter of the training samples, and what counts as a rare class (fewer
samples than half of the mean class). Added after it: accuracy, and z-scores for SMOTE. Scores
are F1, its mean over the rare classes and over all, and accuracy, where no block of the scene is
in both training and test; their spread is the standard deviation over the seeds.

Without a folder the real samples are cut from the demo's Sentinel-2 scene.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from demo.data import prepare
from landcover import extract_samples
from landcover.cpus import cores
from landcover.samples.balancing import cluster, features_of, keep
from landcover.samples.folder import read_samples

SEEDS = range(10)
FOLDS = 5
CLUSTERS = 8
SHARE = 1 / 4
"""Part of the training samples that every method may use."""
BLOCK = 128
"""Side in pixels of the blocks that training and test divide among them (1.28 km)."""
PLACE = 5
"""Made chips per place; those of a place share its deviation from the class spectrum."""
UNDERSAMPLED, RANDOM = "random undersampling", "random subset"
WEIGHED = "all samples, forest weighs classes"

Sample = tuple[np.ndarray, np.ndarray]
"""Features float64 (N, F), codes int (N,)."""


@dataclass(frozen=True)
class Split:
    """What to learn from and what to be judged by."""

    train: Sample
    test: Sample


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        title: what it is.
        names: class names; a code is an index into them.
        sizes: number of samples of each class.
        splits: the splits of a seed; scores are taken over their tests together.
    """

    title: str
    names: tuple[str, ...]
    sizes: np.ndarray
    splits: Callable[[int], Iterator[Split]]

    @property
    def rare(self) -> np.ndarray:
        """Codes of the classes below half of the mean class size."""
        return np.flatnonzero(self.sizes < self.sizes.mean() / 2)


@dataclass(frozen=True)
class Scores:
    """Scores of one method, an entry per seed.

    Attributes:
        samples: mean number of training samples.
        rare: mean F1 of the rare classes.
        macro: mean F1 of all classes.
        accuracy: overall accuracy.
    """

    samples: np.ndarray
    rare: np.ndarray
    macro: np.ndarray
    accuracy: np.ndarray


def main() -> None:
    """Print a table per data set."""
    with tempfile.TemporaryDirectory() as name:
        if len(sys.argv) > 1:
            real = _real(Path(sys.argv[1]), "Real patches, " + Path(sys.argv[1]).name)
        else:
            real = _real(_cut(Path(name)), "Real chips of 16 px of the demo's scene")
    for data in (real, _rare_spectrum(), _noisy_labels()):
        _print(data, _scores(data))


def ours(sample: Sample, budget: int, seed: int) -> Sample:
    """Our rule, all samples clustered together."""
    return _kept(sample, cluster(sample[0], CLUSTERS, seed), budget)


def ours_by_class(sample: Sample, budget: int, seed: int) -> Sample:
    """Our rule, each class clustered by itself."""
    features, codes = sample
    assigned = np.zeros(len(codes), int)
    for code in np.unique(codes):
        found = cluster(features[codes == code], CLUSTERS, seed)
        assigned[codes == code] = found + code * CLUSTERS
    return _kept(sample, assigned, budget)


def undersampled(sample: Sample, budget: int, seed: int) -> Sample:
    """The largest classes cut at random to one size, so that all together are the budget."""
    codes, sizes = np.unique(sample[1], return_counts=True)
    left = dict(zip(codes.tolist(), _levelled(sizes, budget).tolist(), strict=True))
    return RandomUnderSampler(sampling_strategy=left, random_state=seed).fit_resample(*sample)


def random_subset(sample: Sample, budget: int, seed: int) -> Sample:
    """As many samples as the budget, drawn without a look at their class."""
    features, codes = sample
    drawn = np.random.default_rng(seed).permutation(len(codes))[:budget]
    return features[drawn], codes[drawn]


def smote(sample: Sample, budget: int, seed: int) -> Sample:
    """All classes of one size, budget / classes: larger ones cut at random, others grown.

    A class grows by SMOTE between its 5 nearest members, or as many as it has; a class of one
    sample by repeating it.
    """
    codes, sizes = np.unique(sample[1], return_counts=True)
    wanted = budget // len(codes) + (np.arange(len(codes)) < budget % len(codes))
    most = dict(zip(codes.tolist(), np.minimum(sizes, wanted).tolist(), strict=True))
    grown = RandomUnderSampler(sampling_strategy=most, random_state=seed).fit_resample(*sample)
    for code, size, want in zip(codes, sizes, wanted, strict=True):
        if 1 < size < want:
            near = min(5, int(size) - 1)
            grown = SMOTE(
                sampling_strategy={code: want}, k_neighbors=near, random_state=seed
            ).fit_resample(*grown)
        elif size < want:
            repeat = RandomOverSampler(sampling_strategy={code: want}, random_state=seed)
            grown = repeat.fit_resample(*grown)
    return grown


def everything(sample: Sample, budget: int, seed: int) -> Sample:
    """Every sample there is, whatever the budget."""
    return sample


METHODS: dict[str, Callable[[Sample, int, int], Sample]] = {
    "**ours, scope all**": ours,
    "**ours, scope class**": ours_by_class,
    UNDERSAMPLED: undersampled,
    RANDOM: random_subset,
    "SMOTE": smote,
    "all samples": everything,
    WEIGHED: everything,
}


def _scores(data: Data) -> dict[str, Scores]:
    """Train and test every method; the tests of a seed's splits are scored together."""
    scores: dict[str, list[tuple[float, ...]]] = {method: [] for method in METHODS}
    for seed in SEEDS:
        splits = [_scaled(split) for split in data.splits(seed)]
        budgets = [_budget(split.train, seed) for split in splits]
        truth = np.concatenate([split.test[1] for split in splits])
        for method, draw in METHODS.items():
            samples, found = [], []
            for split, budget in zip(splits, budgets, strict=True):
                sample = draw(split.train, budget, seed)
                weights = "balanced" if method == WEIGHED else None
                forest = RandomForestClassifier(
                    class_weight=weights, n_jobs=cores(), random_state=seed
                )
                found.append(forest.fit(*sample).predict(split.test[0]))
                samples.append(len(sample[1]))
            labels = np.concatenate(found)
            f1 = f1_score(
                truth, labels, labels=range(len(data.names)), average=None, zero_division=0
            )
            accuracy = (labels == truth).mean()
            scores[method].append((np.mean(samples), f1[data.rare].mean(), f1.mean(), accuracy))
    return {method: Scores(*np.transpose(entries)) for method, entries in scores.items()}


def _scaled(split: Split) -> Split:
    """Z-score the features, for SMOTE's sake: nothing changes for forest and k-means."""
    scaler = StandardScaler().fit(split.train[0])
    train, test = ((scaler.transform(part[0]), part[1]) for part in (split.train, split.test))
    return Split(train, test)


def _budget(train: Sample, seed: int) -> int:
    """Return what our rule with scope all keeps: at most a quarter, and no rival gets more."""
    return len(ours(train, int(len(train[1]) * SHARE), seed)[1])


def _kept(sample: Sample, assigned: np.ndarray, budget: int) -> Sample:
    """Thin with the threshold that keeps most of those that do not exceed the budget."""
    features, codes = sample
    highest = np.bincount(assigned).max()
    thresholds = np.unique(np.geomspace(1, highest, 200).astype(int))
    choices = [keep(assigned, int(threshold), 0) for threshold in thresholds]
    kept = max((c for c in choices if c.sum() <= budget), key=lambda choice: choice.sum())
    return features[kept], codes[kept]


def _levelled(sizes: np.ndarray, budget: int) -> np.ndarray:
    """Return min(size, level) of each class, the level such that the sum is the budget."""
    left = np.zeros(len(sizes), int)
    remaining = budget
    order = np.argsort(sizes, kind="stable")
    for done, position in enumerate(order):
        left[position] = min(sizes[position], remaining // (len(order) - done))
        remaining -= left[position]
    return left


def _cut(folder: Path) -> Path:
    """Cut chips from the demo's scene, labels and reference polygons together."""
    prepare(folder)
    parts = [
        pyogrio.read_dataframe(folder / "demo" / name)
        for name in ("labels.gpkg", "reference.gpkg")
    ]
    pyogrio.write_dataframe(pd.concat(parts), folder / "polygons.gpkg")
    return extract_samples(
        scene=folder / "demo" / "scene.tif",
        labels=folder / "polygons.gpkg",
        chip_size=16,
        workdir=folder,
    ).samples


def _real(folder: Path, title: str) -> Data:
    """Read a samples folder; the folds are made of blocks of position."""
    samples = read_samples(folder)
    features, owners, blocks = [], [], []
    for batch in samples.batches():
        origin = batch.container.origin(batch.start, batch.start + len(batch.chips))
        if origin is None:
            raise SystemExit(f"{batch.container.file} does not say where it lies")
        features.append(features_of(batch.chips, batch.valid))
        owners += [batch.container.code] * len(batch.chips)
        blocks.append(origin[:, 1:] // BLOCK)
    values = np.concatenate(features)
    groups = np.unique(np.concatenate(blocks), axis=0, return_inverse=True)[1].ravel()
    present, codes = np.unique(owners, return_inverse=True)
    names = {entry.code: entry.name for entry in samples.legend.classes}

    def splits(seed: int) -> Iterator[Split]:
        folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
        for train, test in folds.split(values, codes, groups):
            yield Split((values[train], codes[train]), (values[test], codes[test]))

    return Data(
        title=f"{title}; {FOLDS} folds of {groups.max() + 1} blocks",
        names=tuple(names[code] for code in present),
        sizes=np.bincount(codes),
        splits=splits,
    )


def _rare_spectrum() -> Data:
    """The case the method is made for: a class with a spectrum that hardly occurs in training.

    1 % of the water samples are turbid lakes, but half of the water to be mapped. The large
    classes are redundant.
    """
    spectra = {  # blue, green, red, infrared; reflectance times 10000
        "field": (900, 1100, 1200, 2500),
        "forest": (400, 500, 350, 2800),
        "clear lake": (600, 500, 300, 150),
        "turbid lake": (900, 1300, 1400, 700),
    }
    code_of = np.array([0, 1, 2, 2])
    sizes, tested = (6000, 2500, 1485, 15), (1000, 500, 250, 250)

    def splits(seed: int) -> Iterator[Split]:
        rng = np.random.default_rng(seed)
        train = _made(rng, spectra.values(), code_of, sizes, spread=0.1)
        yield Split(train, _made(rng, spectra.values(), code_of, tested, spread=0.1))

    return Data(
        title="Made: water with a rare spectrum (15 of 1500, half of the water in the test)",
        names=("field", "forest", "water"),
        sizes=np.bincount(code_of, weights=sizes).astype(int),
        splits=splits,
    )


def _noisy_labels() -> Data:
    """A case against the method: classes overlap and a tenth of the training labels is wrong."""
    spectra = {
        "meadow": (800, 1000, 900, 2800),
        "field": (900, 1100, 1050, 2500),
        "scrub": (750, 900, 850, 2500),
        "wetland": (750, 950, 950, 2200),
    }
    code_of, wrong = np.arange(4), 0.1
    sizes = (4000, 2000, 1000, 250)

    def splits(seed: int) -> Iterator[Split]:
        rng = np.random.default_rng(seed)
        features, codes = _made(rng, spectra.values(), code_of, sizes, spread=0.15)
        other = (codes + rng.integers(1, 4, len(codes))) % 4
        noisy = np.where(rng.random(len(codes)) < wrong, other, codes)
        order = np.argsort(noisy, kind="stable")  # as in a samples folder: class by class
        test = _made(rng, spectra.values(), code_of, sizes, spread=0.15)
        yield Split((features[order], noisy[order]), test)

    return Data(
        title="Made: classes overlap, 10 % of the training labels wrong",
        names=tuple(spectra),
        sizes=np.array(sizes),
        splits=splits,
    )


def _made(
    rng: np.random.Generator,
    spectra: Iterable[tuple[int, ...]],
    code_of: np.ndarray,
    sizes: tuple[int, ...],
    spread: float,
) -> Sample:
    """Draw chips (4 bands, 4 x 4 pixels) of new places and describe them.

    Args:
        rng: source of chance.
        spectra: a spectrum (bands,) per kind.
        code_of: code of each kind.
        sizes: number of samples of each kind.
        spread: standard deviation of a place's spectrum, relative to its kind's.
    """
    parts = []
    for spectrum, size in zip(spectra, sizes, strict=True):
        places = rng.normal(1, spread, (-(-size // PLACE), 4))
        centres = (np.array(spectrum) * places).repeat(PLACE, axis=0)[:size]
        centres += rng.normal(0, 60, (size, 4))
        parts.append(centres[:, :, None, None] + rng.normal(0, 40, (size, 4, 4, 4)))
    chips = np.concatenate(parts)
    return features_of(chips, np.ones((len(chips), 4, 4), bool)), code_of.repeat(sizes)


def _print(data: Data, scores: dict[str, Scores]) -> None:
    sizes = ", ".join(f"{n} {size}" for n, size in zip(data.names, data.sizes, strict=True))
    print(f"### {data.title}\n")
    print(f"{sizes}; rare: {', '.join(data.names[code] for code in data.rare)}.\n")
    print("| training samples | how many | rare-class F1 | wins | macro-F1 | accuracy |")
    print("|---|---|---|---|---|---|")
    for method, score in scores.items():
        wins = [int((score.rare > scores[rival].rare).sum()) for rival in (UNDERSAMPLED, RANDOM)]
        print(
            f"| {method} | {score.samples.mean():.0f} | {_spread(score.rare)} "
            f"| {wins[0]}, {wins[1]} | {_spread(score.macro)} | {_spread(score.accuracy)} |"
        )
    print(
        f"\nwins: of {len(SEEDS)} seeds, in rare-class F1, against {UNDERSAMPLED}, {RANDOM}.\n",
        flush=True,
    )


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


if __name__ == "__main__":
    main()
