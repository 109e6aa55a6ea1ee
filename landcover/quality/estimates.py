"""What a random sample, stratified by the map's classes, says of the whole map.

Source: Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015, equations 1 to 11.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landcover.errors import InputError
from landcover.quality.confusion import Confusion

# of the normal distribution, for 95 % intervals
Z95 = 1.959963984540054

Estimate = tuple[float, float]
"""A share 0..1 and half of its 95 % interval; NaN where the sample says nothing."""


@dataclass(frozen=True)
class AreaEstimates:
    """Area-adjusted figures of a stratified sample.

    Attributes:
        accuracy: overall.
        users: per class name, of the mapped area the share that is right.
        producers: per class name, of the true area the share that is mapped.
        shares: per class name, the true share of the mapped area.
        area: of the whole map in hectares, None if the map's system has no lengths.
    """

    accuracy: Estimate
    users: dict[str, Estimate]
    producers: dict[str, Estimate]
    shares: dict[str, Estimate]
    area: float | None


def area_adjusted(
    confusion: Confusion, mapped: Sequence[int], area: float | None = None
) -> AreaEstimates:
    """Adjust accuracy and class areas for how much of the map each class covers.

    Args:
        confusion: of a random sample stratified by the map's classes.
        mapped: pixels of each class on the whole map, in the order of the names.
        area: of the whole map in hectares.

    Raises:
        InputError: a class of the map has fewer than two sampled pixels.
    """
    by_map = confusion.counts.T.astype(float)  # rows map, columns reference
    sampled = by_map.sum(axis=1)
    present = np.asarray(mapped) > 0
    if (sampled[present] < 2).any():
        poor = confusion.names[int(np.flatnonzero(present & (sampled < 2))[0])]
        raise InputError(f"a stratified design needs two pixels of each class, {poor} has fewer")
    size = np.asarray(mapped, float)
    weight = size / size.sum()
    n = np.where(present, sampled, np.inf)  # a class not on the map has no stratum
    share = by_map / n[:, None]  # of each stratum, by reference class
    users = np.diag(share)
    of_users = users * (1 - users) / (n - 1)
    of_share = share * (1 - share) / (n - 1)[:, None]
    areas = weight @ share
    with np.errstate(invalid="ignore", divide="ignore"):
        producers = weight * users / areas
        true = size @ share  # estimated pixels of each reference class
        other = of_share.copy()
        np.fill_diagonal(other, 0)
        of_producers = (
            (size * (1 - producers)) ** 2 * of_users + producers**2 * (size**2 @ other)
        ) / true**2
    return AreaEstimates(
        accuracy=(float(weight @ users), _half((weight**2 * of_users).sum())),
        users=_named(
            confusion.names,
            np.where(present, users, np.nan),
            np.where(present, of_users, np.nan),
        ),
        producers=_named(confusion.names, producers, of_producers),
        shares=_named(confusion.names, areas, weight**2 @ of_share),
        area=area,
    )


def _named(names: Sequence[str], values: np.ndarray, variances: np.ndarray) -> dict[str, Estimate]:
    return {
        name: (float(value), _half(variance))
        for name, value, variance in zip(names, values, variances, strict=True)
    }


def _half(variance: float) -> float:
    return Z95 * math.sqrt(variance)
