"""Windows in the order in which they are worth looking at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from landcover.io.files.atomic import written_beside
from landcover.io.polygon_file import PolygonWriter
from landcover.quality.clustered_test import reach_of
from landcover.quality.review.scan import Scan
from landcover.quality.review.trust import ZONES, zone_of


@dataclass(frozen=True)
class Ranking:
    """The windows of a map (rows, columns).

    Attributes:
        doubt: share of expected errors.
        zone: number of the smallest zone of surest windows, from 1; 0 where nothing is seen.
        cluster: number of the group of doubtful windows that touch, from 1 on by its doubt; 0 for
            windows of none.
        rank: from 1; 0 where nothing is seen.
        pixels_within: (ZONES,), classified pixels of each zone and the surer ones.
        doubt_within: (ZONES,), share of expected errors among them.
    """

    doubt: np.ndarray
    zone: np.ndarray
    cluster: np.ndarray
    rank: np.ndarray
    pixels_within: np.ndarray
    doubt_within: np.ndarray

    @classmethod
    def of(cls, scan: Scan) -> "Ranking":
        """Rank the windows of a map."""
        pixels, doubt = scan.sums["pixels"], scan.mean_doubt
        seen = pixels + scan.sums["unknown"] > 0
        zone = np.zeros(doubt.shape, np.int64)
        zone[seen] = zone_of(doubt[seen], pixels[seen])
        cluster = _clusters(scan, doubt, seen, zone)
        rank = np.zeros(doubt.shape, np.int64)
        rank[seen] = _ranks(doubt[seen], cluster[seen])
        expected = scan.sums["doubt"] - scan.sums["unknown"]  # of what is classified
        within, wrong = (
            np.cumsum(np.bincount(zone[seen], each[seen], minlength=ZONES + 1)[1:])
            for each in (pixels, expected)
        )
        return cls(doubt, zone, cluster, rank, within, wrong / np.maximum(within, 1))

    def first(self, number: int) -> list[tuple[int, int, int, int, float]]:
        """Return rank, cluster, row, column and doubt of the windows to look at first."""
        rows, columns = self.in_order()
        chosen = rows[:number], columns[:number]
        values = self.rank[chosen], self.cluster[chosen], *chosen, self.doubt[chosen]
        return list(zip(*(each.tolist() for each in values), strict=True))

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of the windows by rank."""
        rows, columns = np.nonzero(self.rank)
        order = np.argsort(self.rank[rows, columns])
        return rows[order], columns[order]


def _clusters(scan: Scan, doubt: np.ndarray, seen: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """Number the groups of windows in the least sure zone that touch, the most doubtful first."""
    from scipy import ndimage

    pixels = scan.sums["pixels"] + scan.sums["unknown"]
    if reach_of(scan.sums["doubt"], pixels, seen) == 0:
        return np.zeros(doubt.shape, np.int64)  # errors are expected here and there
    mean = scan.sums["doubt"].sum() / pixels.sum()
    doubtful = seen & (zone == ZONES) & (doubt > mean)
    found, number = ndimage.label(doubtful, np.ones((3, 3)))
    if not number:
        return np.zeros(doubt.shape, np.int64)
    most = ndimage.maximum(doubt, found, np.arange(1, number + 1))
    renamed = np.zeros(number + 1, np.int64)
    renamed[1 + np.argsort(-most, kind="stable")] = np.arange(1, number + 1)
    return np.asarray(renamed[found])


def _ranks(doubt: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Rank windows (N,): one of each cluster, then a second one of each, and last those of none.

    The windows of a cluster are likely wrong for one reason: seeing one says much of the others.
    """
    by_doubt = np.lexsort((-doubt, cluster))
    starts = np.searchsorted(cluster[by_doubt], cluster[by_doubt], side="left")
    turn = np.empty(len(doubt), np.int64)
    turn[by_doubt] = np.arange(len(doubt)) - starts
    turn[cluster == 0] = len(doubt)
    ranks = np.empty(len(doubt), np.int64)
    ranks[np.lexsort((-doubt, turn))] = np.arange(1, len(doubt) + 1)
    return ranks


def write_windows(target: Path, scan: Scan, ranking: Ranking, trusted_zone: int) -> None:
    """Write the windows by rank.

    Args:
        target: a GeoPackage.
        scan: the map.
        ranking: of its windows.
        trusted_zone: number of the largest zone that can be trusted; 0 for none.
    """
    at = ranking.in_order()
    sums = {name: each[at] for name, each in scan.sums.items()}
    pixels = np.maximum(sums["pixels"], 1)
    labelled, wrong = (
        np.bincount(scan.groups.window, each, minlength=ranking.rank.size).astype(np.int32)
        for each in (scan.groups.labelled, scan.groups.wrong)
    )
    numbers = np.ravel_multi_index(at, ranking.rank.shape)
    fields = (
        ("rank", ranking.rank[at].astype(np.int32)),
        ("cluster", ranking.cluster[at].astype(np.int32)),
        ("doubt", ranking.doubt[at]),
        ("zone", ranking.zone[at].astype(np.int32)),
        ("trusted", (ranking.zone[at] <= trusted_zone).astype(np.int32)),
        ("confidence", sums["confidence"] / pixels),
        ("differs", sums["differs"] / np.maximum(sums["both"], 1)),
        ("pixels", sums["pixels"].astype(np.int32)),
        ("unknown", sums["unknown"].astype(np.int32)),
        ("labelled", labelled[numbers]),
        ("wrong", wrong[numbers]),
    )
    with written_beside(target) as beside:
        writer = PolygonWriter(beside, target.stem, scan.grid.crs.to_wkt())
        writer.write(_outlines(scan, *at), fields)


def _outlines(scan: Scan, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return shapely polygons (N,) of windows; those at the edge end with the map."""
    left, top = columns * scan.side, rows * scan.side
    right = np.minimum(left + scan.side, scan.grid.width)
    bottom = np.minimum(top + scan.side, scan.grid.height)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    placed = [np.stack(scan.grid.transform @ corner, axis=1) for corner in corners]
    return np.asarray(shapely.polygons(np.stack(placed, axis=1)))
