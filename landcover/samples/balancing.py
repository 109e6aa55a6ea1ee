"""Balance a training sample: keep every rare spectrum, thin out the frequent ones.

Source: Avramenko, Popova, Fedorov, CEUR-WS 2984 (2021), section 3.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from landcover.errors import InputError
from landcover.io.figures import label_of
from landcover.io.files.paths import AnyPath
from landcover.operation import CSV, PNG, Folder, Range, Seed
from landcover.progress import remark, report_progress
from landcover.samples.balance_diagram import Clouds, Thinned, draw_balance
from landcover.samples.folder import Batch, Samples
from landcover.samples.selection import ChipsDigest, write_selection
from landcover.samples.several import bands_in_order, measured_by_all, open_folders

_LARGEST = 1e100
"""What squares and sums can still hold."""
_NAMED = 12
"""Classes that one remark names."""


@dataclass(frozen=True)
class Balance:
    """Which samples to keep.

    Attributes:
        selection: every sample with its cluster and whether it is kept, and which samples these
            are (file, index, class, cluster, kept, samples: a digest of all of them).
        diagram: the classes and clusters, and what was kept of each.
        before: number of samples.
        after: number of samples kept.
    """

    selection: CSV
    diagram: PNG
    before: int
    after: int


@dataclass(frozen=True)
class _Listed:
    """All samples in list order, container after container.

    Attributes:
        features: float64 (N, 2 * bands).
        files: of each container.
        names: class of each container.
        owners: int (N,), the container of each sample.
        indexes: int (N,), the index of each sample in its container.
        digests: of all chips of the folder of each container.
    """

    features: np.ndarray
    files: tuple[str, ...]
    names: tuple[str, ...]
    owners: np.ndarray
    indexes: np.ndarray
    digests: tuple[str, ...]

    @property
    def class_names(self) -> list[str]:
        """Sorted, each once."""
        return sorted(set(self.names))

    @property
    def classes(self) -> np.ndarray:
        """Int (N,): the number of each sample's class in the sorted names."""
        _, number = np.unique(self.names, return_inverse=True)
        return np.asarray(number[self.owners])


def balance_samples(
    samples: Folder | list[Folder],
    clusters: Annotated[int, Range(1, 1000)] = 8,
    threshold: Annotated[int, Range(1)] = 50,
    step: Annotated[int, Range(0)] = 0,
    scope: Literal["all", "class"] = "class",
    seed: Seed = 0,
    workdir: AnyPath = "",
) -> Balance:
    """Thin frequent spectra so that rare ones count.

    Samples are clustered by mean and spread of each band. A cluster below the threshold is kept
    whole, of a larger one every s-th member. Nothing is altered or copied: the selection says
    which samples to use, remarks say how many of each class are kept. The context of a sample
    does not count, and patches, which mix classes, are refused.

    Args:
        samples: a samples folder, or several of the same bands, which are balanced together.
        clusters: number of k-means clusters.
        threshold: clusters smaller than this many samples are kept whole.
        step: keep every so many samples of a large cluster; 0 keeps about threshold of each.
        scope: cluster each class by itself, or all samples together; then a rare class that looks
            like a frequent one is thinned with it.
        seed: of k-means; the same seed gives the same selection.
        workdir: folder to write to.

    Raises:
        InputError: a folder holds patches, no sample, or one without a valid pixel, or the
            folders do not fit together.
    """
    folders = samples if isinstance(samples, list) else [samples]
    opened = open_folders(folders)
    for one in opened:
        if one.patches:
            which = Path(folders[0]).name if len(folders) == 1 else f"the folder of {one.scene}"
            raise InputError(
                f"{which} holds patches, which mix classes, balancing needs samples "
                "of one class each: extract with context instead, or train without a selection"
            )
    measured_by_all(opened)
    listed = _list(opened)
    report_progress(0.5, "clustering")
    assigned = _assign(listed, clusters, scope, seed)
    kept = keep(assigned, threshold, step)
    folder = Path(workdir)
    report_progress(0.9, "writing selection and diagram")
    _write_selection(folder / "selection.csv", listed, assigned, kept)
    by_class = Thinned.of(listed.classes, kept, listed.class_names)
    by_cluster = Thinned.of(assigned, kept, _cluster_names(listed, assigned, scope))
    _remark_on(by_class, by_cluster, threshold, scope)
    clouds = Clouds(listed.features, assigned, kept)
    draw_balance(folder / "diagram.png", clouds, by_class, by_cluster, threshold)
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
    n = valid.sum(axis=(1, 2))[:, None]  # (N, 1)
    # NaN times 0 is NaN: what is not valid is set to 0 first
    kept = chips if valid.all() else np.where(valid[:, None], chips, chips.dtype.type(0))
    values = kept.reshape(*chips.shape[:2], -1).astype(np.float64)  # (N, bands, H * W)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        total = values.sum(axis=2)
        mean = total / n
        if chips.dtype.itemsize <= 2 and chips.dtype.kind in "iu" and values.shape[2] <= 2**15:
            # sums of small whole numbers are exact, so one pass does: n * sum(x^2) - sum(x)^2
            squares = np.einsum("nbp,nbp->nb", values, values).astype(np.int64)
            spread = (n * squares - total.astype(np.int64) ** 2) / n / n
        else:
            values -= mean[:, :, None]
            values *= valid.reshape(len(chips), 1, -1)
            spread = np.einsum("nbp,nbp->nb", values, values) / n
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
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    spread = features.std(axis=0)
    # rounding gives a constant column a spread too
    constant = spread <= 1e-12 * np.abs(features).max(axis=0)
    scored = (features - features.mean(axis=0)) / np.where(constant, 1, spread)
    scored[:, constant] = 0
    k = _count_distinct(scored, clusters)
    # sums of several threads differ in the last bit from machine to machine
    with threadpool_limits(1), warnings.catch_warnings():
        # two features that differ in the last digit only are one to k-means
        warnings.simplefilter("ignore", ConvergenceWarning)
        # random starts rarely hit a rare group of spectra, one that goes for what is far does
        found = [
            KMeans(k, n_init=10, random_state=seed, copy_x=False).fit(scored),
            KMeans(k, init=_far_apart(scored, k), n_init=1, copy_x=False).fit(scored),
        ]
    return _renumbered(min(found, key=lambda result: result.inertia_).labels_)


def _far_apart(rows: np.ndarray, k: int) -> np.ndarray:
    """Return k rows, each the farthest from those before it (Gonzalez 1985), from the mean on."""
    chosen: list[int] = []
    distance = (rows**2).sum(axis=1)  # from the mean, which is 0
    for _ in range(k):
        chosen.append(int(distance.argmax()))
        from_last = ((rows - rows[chosen[-1]]) ** 2).sum(axis=1)
        distance = from_last if len(chosen) == 1 else np.minimum(distance, from_last)
    return rows[chosen]


def _count_distinct(rows: np.ndarray, most: int) -> int:
    """Return the number of distinct rows, counting no further than `most`."""
    seen = rows[:0]
    for start in range(0, len(rows), 4096):
        seen = np.unique(np.concatenate([seen, rows[start : start + 4096]]), axis=0)
        if len(seen) >= most:
            return most
    return len(seen)


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


def _list(opened: Sequence[Samples]) -> _Listed:
    total = sum(map(len, opened))
    features = np.empty((total, 2 * len(opened[0].bands)))
    digests, names, done = [], [], 0
    for samples in opened:
        bands = bands_in_order(samples, opened[0])
        digest = ChipsDigest()
        for batch in samples.batches():
            digest.add(batch)
            report_progress(0.5 * done / total, f"describing {total} samples")
            described = _described(batch, bands)
            features[done : done + len(described)] = described
            done += len(described)
        of_code = {entry.code: entry.name for entry in samples.legend.classes}
        names += [of_code[container.code] for container in samples.containers]
        digests += [str(digest)] * len(samples.containers)
    containers = [container for samples in opened for container in samples.containers]
    sizes = [len(container) for container in containers]
    return _Listed(
        features=features,
        files=tuple(container.file for container in containers),
        names=tuple(names),
        owners=np.repeat(np.arange(len(sizes)), sizes),
        indexes=np.concatenate([np.arange(size) for size in sizes]),
        digests=tuple(digests),
    )


def _described(batch: Batch, bands: list[int]) -> np.ndarray:
    """Return the features of a batch, its bands in an order."""
    chips, valid = batch.middle
    if bands != list(range(len(bands))):
        chips = chips[:, bands]
    described = features_of(chips, valid)
    bad = np.flatnonzero(~(np.abs(described) < _LARGEST).all(axis=1))
    if bad.size:
        why = "values too large" if valid[bad[0]].any() else "no valid pixel"
        which = f"sample {batch.indexes[bad[0]]} of {batch.container.file}"
        raise InputError(f"{which} has {why}")
    return described


def _assign(listed: _Listed, clusters: int, scope: str, seed: int) -> np.ndarray:
    """Return the cluster of every sample; class by class, numbers go on."""
    if scope == "all":
        return cluster(listed.features, clusters, seed)
    classes = listed.classes
    assigned = np.zeros(len(classes), int)
    next_number = 0
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        assigned[members] = cluster(listed.features[members], clusters, seed) + next_number
        next_number = int(assigned[members].max()) + 1
    return assigned


def _renumbered(found: np.ndarray) -> np.ndarray:
    numbers, first, size = np.unique(found, return_index=True, return_counts=True)
    order = numbers[np.lexsort((first, size))]
    position = np.empty(len(numbers), int)
    position[np.searchsorted(numbers, order)] = np.arange(len(order))
    return position[np.searchsorted(numbers, found)]


def _cluster_names(listed: _Listed, assigned: np.ndarray, scope: str) -> list[str]:
    numbers, first = np.unique(assigned, return_index=True)
    if scope == "all":
        return [str(number) for number in numbers]
    return [
        f"{listed.names[listed.owners[member]]} {number}"
        for number, member in zip(numbers, first, strict=True)
    ]


def _remark_on(classes: Thinned, clusters: Thinned, threshold: int, scope: str) -> None:
    """Remark on what was thinned of each class, and which rare one was."""
    largest = clusters.before.max()
    if largest < threshold:
        remark(
            f"nothing was thinned: the largest cluster has {largest:,} samples, fewer than the "
            f"threshold of {threshold:,}"
        )
    if classes.thinned.size:
        remark(f"kept of the classes that were thinned: {_thinned_to(classes)}")
    if scope == "all":
        # rare as in benchmarks/balancing_gain.py, or too few to be thinned if clustered alone
        rare = max(threshold, classes.before.mean() / 2)
        for number in classes.thinned[classes.before[classes.thinned] < rare]:
            remark(
                f"{classes.names[number]} is rare and was thinned all the same, because it shares "
                "clusters with other classes: set scope to class, which clusters each by itself"
            )


def _thinned_to(groups: Thinned) -> str:
    """Return what is kept of each thinned group, as in "coffee 5 of 11"; rare ones first."""
    named = ", ".join(
        f"{label_of(groups.names[number])} {groups.after[number]:,} of {groups.before[number]:,}"
        for number in groups.thinned[:_NAMED]
    )
    further = len(groups.thinned) - _NAMED
    return f"{named} and {further} larger ones" if further > 0 else named


def _write_selection(path: Path, listed: _Listed, assigned: np.ndarray, kept: np.ndarray) -> None:
    rows = (
        (
            listed.files[owner],
            index,
            listed.names[owner],
            number,
            int(keeps),
            listed.digests[owner],
        )
        for owner, index, number, keeps in zip(
            listed.owners, listed.indexes, assigned, kept, strict=True
        )
    )
    write_selection(path, rows)
