"""The diagram of balance-samples: what was kept of classes, of clusters and of which spectra."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landcover.io.figures import label_of, new_figure, to_png
from landcover.io.files.atomic import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 40
"""Classes, and clusters, in the diagram."""
_DRAWN = 5000
"""Samples in the diagram."""
_WHOLE, _THINNED, _LEFT_OUT = "#117733", "#332288", "#dddddd"


@dataclass(frozen=True)
class Thinned:
    """How many samples of each group, a class or a cluster, there were and are kept.

    Attributes:
        names: of the groups.
        before: int (groups,).
        after: int (groups,), at most as many.
    """

    names: Sequence[str]
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, group: np.ndarray, kept: np.ndarray, names: Sequence[str]) -> "Thinned":
        """Count the samples of each group.

        Args:
            group: int (N,), the number of each sample's group, from 0 on.
            kept: bool (N,).
            names: of the groups.
        """
        before = np.bincount(group, minlength=len(names))
        return cls(names, before, np.bincount(group[kept], minlength=len(names)))

    @property
    def thinned(self) -> np.ndarray:
        """The numbers of the groups that lost samples, the smallest one first."""
        return np.asarray(self._by_size[(self.after < self.before)[self._by_size]])

    @property
    def shown(self) -> np.ndarray:
        """The numbers of all groups in their order or, of too many, the rarest and the largest."""
        if len(self.names) <= _SHOWN:
            return np.arange(len(self.names))
        return np.sort(np.r_[self._by_size[: _SHOWN // 2], self._by_size[-_SHOWN // 2 :]])

    @property
    def _by_size(self) -> np.ndarray:
        return np.asarray(np.argsort(self.before, kind="stable"))


@dataclass(frozen=True)
class Clouds:
    """The samples as points in the space of their features.

    Attributes:
        features: float64 (N, F).
        assigned: int (N,), the cluster of each.
        kept: bool (N,).
    """

    features: np.ndarray
    assigned: np.ndarray
    kept: np.ndarray


def draw_balance(
    path: Path, clouds: Clouds, classes: Thinned, clusters: Thinned, threshold: int
) -> None:
    """Draw how much of each class and cluster was kept, and the clusters as clouds of spectra.

    Args:
        path: the PNG to write.
        clouds: the samples.
        classes: before and after.
        clusters: before and after.
        threshold: clusters smaller than this were kept whole.
    """
    from matplotlib.patches import Patch

    rows = len(classes.shown) + 3, len(clusters.shown) + 3
    figure = new_figure(13, max(5.5, 0.28 * sum(rows) + 1))
    axes = figure.subplot_mosaic(
        [["classes", "clouds"], ["clusters", "clouds"]], height_ratios=list(rows)
    )
    _draw_bars(axes["classes"], classes, "class")
    _draw_bars(axes["clusters"], clusters, "cluster")
    axes["clusters"].axvline(threshold, color="#cc6677", linestyle="--", linewidth=1)
    _draw_clouds(axes["clouds"], clouds, clusters.shown)
    keys = {_WHOLE: "kept whole", _THINNED: "kept of what was thinned", _LEFT_OUT: "left out"}
    figure.legend(
        handles=[Patch(color=color, label=label) for color, label in keys.items()],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.suptitle(
        f"{classes.after.sum():,} of {classes.before.sum():,} samples kept: clusters of fewer "
        f"than {threshold:,} (dashed) whole, larger ones thinned"
    )
    with written_beside(path) as beside:
        beside.write_bytes(to_png(figure))


def _draw_bars(axes: "Axes", groups: Thinned, what: str) -> None:
    shown = groups.shown
    before, after = groups.before[shown], groups.after[shown]
    rows = np.arange(len(shown))
    axes.barh(rows, before, color=_LEFT_OUT)
    axes.barh(rows, after, color=np.where(after == before, _WHOLE, _THINNED))
    for row, (size, left) in enumerate(zip(before, after, strict=True)):
        text = f" all {size:,}" if left == size else f" {left:,} of {size:,}"
        axes.text(size, row, text, va="center", fontsize=9)
    axes.set_xscale("log")  # a rare group is a thousand times smaller than a large one
    axes.set_xlim(0.7, before.max() * 8)
    axes.set_yticks(rows, [label_of(groups.names[row]) for row in shown], parse_math=False)
    more = f" ({len(shown)} of {len(groups.names)})" if len(shown) < len(groups.names) else ""
    axes.set(xlabel="samples, logarithmic", ylabel=f"{what}{more}")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _draw_clouds(axes: "Axes", clouds: Clouds, numbered: np.ndarray) -> None:
    """Draw samples along the two directions in which their spectra differ most."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    everyone, kept = np.arange(len(clouds.kept)), np.flatnonzero(clouds.kept)
    drawn = np.union1d(_spread(everyone), _spread(kept))
    cluster, left_out = clouds.assigned[drawn], ~clouds.kept[drawn]
    at = np.zeros((len(drawn), 2))
    if len(drawn) > 2:  # fewer have no two directions
        scored = StandardScaler().fit_transform(clouds.features[drawn])
        at = PCA(2, random_state=0).fit_transform(scored)
    axes.scatter(at[left_out, 0], at[left_out, 1], s=8, color=_LEFT_OUT, linewidths=0)
    x, y = at[~left_out].T
    axes.scatter(
        x, y, s=14, c=cluster[~left_out] % 20, cmap="tab20", vmin=0, vmax=19, linewidths=0
    )
    axes.set(
        xlabel="first principal component of the spectra",
        ylabel="second",
        xticks=[],
        yticks=[],
        title="kept samples in the colour of their cluster, left out ones grey",
    )
    for number in np.intersect1d(cluster, numbered):
        centre = np.median(at[cluster == number], axis=0)
        axes.annotate(
            str(number), centre, ha="center", va="center", fontsize=9, fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip


def _spread(which: np.ndarray) -> np.ndarray:
    """Return at most so many of the samples as are drawn, evenly spread."""
    return which[:: max(1, math.ceil(len(which) / _DRAWN))]
