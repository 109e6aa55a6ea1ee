"""Balance a training sample: keep every rare spectrum, thin out the frequent ones.

Source: Avramenko, Popova, Fedorov, CEUR-WS 2984 (2021), section 3.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from landcover.errors import InputError
from landcover.figures import label_of, new_figure, to_png
from landcover.operation import CSV, PNG, AnyPath, Folder, Range, Seed
from landcover.progress import report_progress
from landcover.samples import Samples, read_samples
from landcover.writing import write_csv, written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 1e100
"""What squares and sums can still hold."""
_SHOWN = 40
"""Clusters in the diagram."""
_DRAWN = 5000
"""Samples in the diagram."""
_RARE, _LARGE, _DROPPED = "#117733", "#332288", "#dddddd"


@dataclass(frozen=True)
class Balance:
    """Which samples to keep.

    Attributes:
        selection: every sample with its cluster and whether it is kept
            (file, index, class, cluster, kept).
        diagram: the clusters, and what was kept of each.
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
    """

    features: np.ndarray
    files: tuple[str, ...]
    names: tuple[str, ...]
    owners: np.ndarray
    indexes: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Int (N,): the number of each sample's class in the sorted names."""
        _, number = np.unique(self.names, return_inverse=True)
        return np.asarray(number[self.owners])


def balance_samples(
    samples: Folder,
    clusters: Annotated[int, Range(1, 1000)] = 8,
    threshold: Annotated[int, Range(1)] = 50,
    step: Annotated[int, Range(0)] = 0,
    scope: Literal["all", "class"] = "all",
    seed: Seed = 0,
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
    listed = _list(read_samples(samples))
    report_progress(0.5, "clustering")
    assigned = _assign(listed, clusters, scope, seed)
    kept = keep(assigned, threshold, step)
    folder = Path(workdir)
    report_progress(0.9, "writing selection and diagram")
    _write_selection(folder / "selection.csv", listed, assigned, kept)
    names = _cluster_names(listed, assigned, scope)
    _draw(folder / "diagram.png", listed.features, assigned, kept, names, threshold)
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


def _list(samples: Samples) -> _Listed:
    names = {entry.code: entry.name for entry in samples.legend.classes}
    total, done = len(samples), 0
    features = np.empty((total, 2 * len(samples.bands)))
    for batch in samples.batches():
        report_progress(0.5 * done / total, f"describing {total} samples")
        described = features_of(batch.chips, batch.valid)
        bad = np.flatnonzero(~(np.abs(described) < _LARGEST).all(axis=1))
        if bad.size:
            why = "values too large" if batch.valid[bad[0]].any() else "no valid pixel"
            which = f"sample {batch.indexes[bad[0]]} of {batch.container.file}"
            raise InputError(f"{which} has {why}")
        features[done : done + len(described)] = described
        done += len(described)
    sizes = [len(container) for container in samples.containers]
    return _Listed(
        features=features,
        files=tuple(container.file for container in samples.containers),
        names=tuple(names[container.code] for container in samples.containers),
        owners=np.repeat(np.arange(len(sizes)), sizes),
        indexes=np.concatenate([np.arange(size) for size in sizes]),
    )


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


def _write_selection(path: Path, listed: _Listed, assigned: np.ndarray, kept: np.ndarray) -> None:
    rows = (
        (listed.files[owner], index, listed.names[owner], number, int(keeps))
        for owner, index, number, keeps in zip(
            listed.owners, listed.indexes, assigned, kept, strict=True
        )
    )
    write_csv(path, ("file", "index", "class", "cluster", "kept"), rows)


def _draw(
    path: Path,
    features: np.ndarray,
    assigned: np.ndarray,
    kept: np.ndarray,
    names: Sequence[str],
    threshold: int,
) -> None:
    """Draw how much of each cluster was kept, and the clusters as clouds of spectra."""
    from matplotlib.patches import Patch

    shown = np.arange(len(names))
    if len(shown) > _SHOWN:  # the rarest and the largest
        shown = np.r_[shown[: _SHOWN // 2], shown[-_SHOWN // 2 :]]
    figure = new_figure(13, max(4.5, 0.3 * len(shown) + 1.5))
    bars, clouds = figure.subplots(1, 2)
    _draw_bars(bars, assigned, kept, names, shown, threshold)
    _draw_clouds(clouds, features, assigned, kept)
    keys = {
        _RARE: f"kept whole: rare, fewer than {threshold:,}",
        _LARGE: "kept of a large cluster",
        _DROPPED: "left out",
    }
    figure.legend(
        handles=[Patch(color=color, label=label) for color, label in keys.items()],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.suptitle(
        f"{kept.sum():,} of {len(kept):,} samples kept: rare clusters whole, large ones thinned"
    )
    with written_beside(path) as beside:
        beside.write_bytes(to_png(figure))


def _draw_bars(
    axes: "Axes",
    assigned: np.ndarray,
    kept: np.ndarray,
    names: Sequence[str],
    shown: np.ndarray,
    threshold: int,
) -> None:
    before = np.bincount(assigned)[shown]
    after = np.bincount(assigned, weights=kept).astype(int)[shown]
    rows = np.arange(len(shown))
    colors = [_RARE if size < threshold else _LARGE for size in before]
    axes.barh(rows, before, color=_DROPPED)
    axes.barh(rows, after, color=colors)
    for row, (size, left) in enumerate(zip(before, after, strict=True)):
        text = f" all {size:,}" if left == size else f" {left:,} of {size:,}"
        axes.text(size, row, text, va="center", fontsize=9)
    axes.axvline(threshold, color="#cc6677", linestyle="--", linewidth=1)
    axes.set_xscale("log")  # a rare cluster is a thousand times smaller than a large one
    axes.set_xlim(0.7, before.max() * 8)
    axes.set_yticks(rows, [label_of(names[row]) for row in shown], parse_math=False)
    more = f" ({len(shown)} of {len(names)})" if len(shown) < len(names) else ""
    axes.set(xlabel="samples, logarithmic", ylabel=f"cluster{more}")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _draw_clouds(
    axes: "Axes", features: np.ndarray, assigned: np.ndarray, kept: np.ndarray
) -> None:
    """Draw samples along the two directions in which their spectra differ most."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    drawn = np.union1d(_spread(np.arange(len(kept))), _spread(np.flatnonzero(kept)))
    at = np.zeros((len(drawn), 2))
    if len(drawn) > 2:  # fewer have no two directions
        scored = StandardScaler().fit_transform(features[drawn])
        at = PCA(2, random_state=0).fit_transform(scored)
    left_out = ~kept[drawn]
    axes.scatter(at[left_out, 0], at[left_out, 1], s=8, color=_DROPPED, linewidths=0)
    colors = (assigned[drawn] % 20)[~left_out]
    x, y = at[~left_out].T
    axes.scatter(x, y, s=14, c=colors, cmap="tab20", vmin=0, vmax=19, linewidths=0)
    axes.set(
        xlabel="first principal component of the spectra",
        ylabel="second",
        xticks=[],
        yticks=[],
        title="kept samples in the colour of their cluster, left out ones grey",
    )
    for number in np.unique(assigned[drawn])[:_SHOWN]:
        centre = np.median(at[assigned[drawn] == number], axis=0)
        axes.annotate(
            str(number), centre, ha="center", va="center", fontsize=9, fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip


def _spread(which: np.ndarray) -> np.ndarray:
    """Return at most so many of the samples as are drawn, evenly spread."""
    return which[:: max(1, math.ceil(len(which) / _DRAWN))]
