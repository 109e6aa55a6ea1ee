"""Balance a training sample: keep every rare spectrum, thin out the frequent ones.

Source: Avramenko, Popova, Fedorov, CEUR-WS 2984 (2021), section 3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from matplotlib.figure import Figure

from landcover.errors import InputError
from landcover.operation import CSV, PNG, AnyPath, Folder, Range
from landcover.progress import report_progress
from landcover.samples import Samples, read_samples
from landcover.writing import write_csv, written_beside


@dataclass(frozen=True)
class Balance:
    """Which samples to keep.

    Attributes:
        selection: every sample with its cluster and whether it is kept
            (file, index, class, cluster, kept).
        diagram: size of every cluster before and after.
        before: number of samples.
        after: number of samples kept.
    """

    selection: CSV
    diagram: PNG
    before: int
    after: int


@dataclass(frozen=True)
class _Listed:
    """All samples in list order: features (N, 2 * bands), class names, files and indexes (N,)."""

    features: np.ndarray
    classes: np.ndarray
    files: np.ndarray
    indexes: np.ndarray


def balance_samples(
    samples: Folder,
    clusters: Annotated[int, Range(1, 1000)] = 8,
    threshold: Annotated[int, Range(1)] = 50,
    step: Annotated[int, Range(0)] = 0,
    scope: Literal["all", "class"] = "all",
    seed: int = 0,
    workdir: AnyPath = "",
) -> Balance:
    """Thin frequent spectra so that rare ones count.

    Samples are clustered by mean and spread of each band. A cluster below the threshold is kept
    whole, of a larger one every s-th member. Nothing is altered or copied: the selection says
    which samples to use.

    Args:
        samples: a samples folder.
        clusters: number of k-means clusters.
        threshold: clusters smaller than this many samples are kept whole.
        step: keep every so many samples of a large cluster; 0 keeps about threshold of each.
        scope: cluster all samples together, or each class by itself.
        seed: of k-means; the same seed gives the same selection.
        workdir: folder to write to.

    Raises:
        InputError: the folder holds no sample, or one without a valid pixel.
    """
    opened = read_samples(samples)
    report_progress(0.2, f"describing {len(opened)} samples")
    listed = _list(opened)
    report_progress(0.5, "clustering")
    assigned = _assign(listed, clusters, scope, seed)
    kept = keep(assigned, threshold, step)
    folder = Path(workdir)
    names = _cluster_names(assigned, listed.classes, scope)
    _write_selection(folder / "selection.csv", listed, assigned, kept)
    _draw(folder / "diagram.png", assigned, kept, names, threshold)
    return Balance(
        selection=folder / "selection.csv",
        diagram=folder / "diagram.png",
        before=len(kept),
        after=int(kept.sum()),
    )


def features_of(chips: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Describe chips by mean and population standard deviation of each band.

    Args:
        chips: (N, bands, H, W).
        valid: bool (N, H, W); other pixels do not count.

    Returns:
        float64 (N, 2 * bands): means, then deviations; NaN for a chip without a valid pixel.
    """
    weight = valid[:, None].astype(np.float64)  # (N, 1, H, W)
    # NaN times 0 is NaN: what is not valid is set to 0 first
    values = np.where(valid[:, None], chips, 0).astype(np.float64)
    n = weight.sum(axis=(2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(axis=(2, 3)) / n
        spread = (((values - mean[:, :, None, None]) ** 2) * weight).sum(axis=(2, 3)) / n
    return np.concatenate([mean, np.sqrt(spread)], axis=1)


def cluster(features: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Group samples of like spectra with k-means over z-scored features.

    Args:
        features: float64 (N, F).
        clusters: at most so many; fewer if there are fewer distinct features.
        seed: of k-means.

    Returns:
        int (N,): clusters numbered from 0 by ascending size, ties by their first member.
    """
    from sklearn.cluster import KMeans

    spread = features.std(axis=0)
    scored = (features - features.mean(axis=0)) / np.where(spread == 0, 1, spread)
    k = min(clusters, len(np.unique(scored, axis=0)))
    found = KMeans(k, n_init=10, random_state=seed).fit_predict(scored)
    return _renumbered(found)


def keep(assigned: np.ndarray, threshold: int, step: int) -> np.ndarray:
    """Choose the members of each cluster to keep.

    Args:
        assigned: int (N,), the cluster of each sample in list order.
        threshold: clusters smaller than this are kept whole.
        step: distance of kept members in a large cluster; 0: ceil(size / threshold).

    Returns:
        bool (N,).
    """
    kept = np.zeros(len(assigned), bool)
    for number in np.unique(assigned):
        members = np.flatnonzero(assigned == number)
        every = 1
        if len(members) >= threshold:
            every = step or math.ceil(len(members) / threshold)
        kept[members[::every]] = True
    return kept


def _list(samples: Samples) -> _Listed:
    names = {entry.code: entry.name for entry in samples.legend.classes}
    features: list[np.ndarray] = []
    classes: list[str] = []
    files: list[str] = []
    indexes: list[int] = []
    for container in samples.containers:
        described = features_of(container.chips, samples.valid(container.chips))
        empty = np.flatnonzero(~np.isfinite(described).all(axis=1))
        if empty.size:
            raise InputError(f"sample {empty[0]} of {container.file} has no valid pixel")
        features.append(described)
        classes += [names[container.code]] * len(described)
        files += [container.file] * len(described)
        indexes += range(len(described))
    return _Listed(np.concatenate(features), np.array(classes), np.array(files), np.array(indexes))


def _assign(listed: _Listed, clusters: int, scope: str, seed: int) -> np.ndarray:
    """Return the cluster of every sample; class by class, numbers go on."""
    if scope == "all":
        return cluster(listed.features, clusters, seed)
    assigned = np.zeros(len(listed.classes), int)
    next_number = 0
    for name in np.unique(listed.classes):
        members = np.flatnonzero(listed.classes == name)
        assigned[members] = cluster(listed.features[members], clusters, seed) + next_number
        next_number = int(assigned[members].max()) + 1
    return assigned


def _renumbered(found: np.ndarray) -> np.ndarray:
    numbers, first, size = np.unique(found, return_index=True, return_counts=True)
    order = numbers[np.lexsort((first, size))]
    position = np.empty(len(numbers), int)
    position[np.searchsorted(numbers, order)] = np.arange(len(order))
    return position[np.searchsorted(numbers, found)]


def _cluster_names(assigned: np.ndarray, classes: np.ndarray, scope: str) -> list[str]:
    numbers = np.unique(assigned)
    if scope == "all":
        return [str(number) for number in numbers]
    return [f"{classes[assigned == number][0]} {number}" for number in numbers]


def _write_selection(path: Path, listed: _Listed, assigned: np.ndarray, kept: np.ndarray) -> None:
    columns = (listed.files, listed.indexes, listed.classes, assigned, kept.astype(int))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(path, ("file", "index", "class", "cluster", "kept"), rows)


def _draw(
    path: Path, assigned: np.ndarray, kept: np.ndarray, names: Sequence[str], threshold: int
) -> None:
    before = np.bincount(assigned)
    after = np.bincount(assigned, weights=kept).astype(int)
    figure = Figure(figsize=(8, max(2.5, 0.35 * len(names) + 1.2)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))
    axes.barh(rows, before, color="#dddddd", label=f"all, {before.sum()}")
    axes.barh(rows, after, height=0.5, color="#332288", label=f"kept, {after.sum()}")
    axes.axvline(threshold, color="#cc6677", linestyle="--", label=f"threshold, {threshold}")
    axes.set(yticks=rows, yticklabels=names, xlabel="samples", ylabel="cluster")
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    axes.set_title("Rare clusters are kept whole, large ones thinned")
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=110)
