"""Where to label next: places of a classified scene that a person is asked about.

That the model is unsure somewhere does not make a label there worth more: most uncertain pixels
lie on edges, where a person cannot tell either. What each rule saved, by real labels in the place
of a person, is measured by benchmarks/next_places.py.

Sources: Lewis and Gale, SIGIR 1994 (uncertainty); Tuia et al., IEEE Journal of Selected Topics in
Signal Processing 5 (2011), 606-617, on remote sensing (margin, and clusters for diversity).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from landcover.cpus import one_openmp_thread

APART = 10
"""Pixels between two places that are asked about, and between one and what is labelled."""
UNSURE = 75
"""Percent of the chosen class; SEPAL asks where there are less."""
_LOOKED_AT = 1000
"""Pixels, drawn at random, of which the most uncertain are taken."""
_LEAST_SURE, _CLUSTERS = 100, 5


@dataclass(frozen=True)
class Told:
    """Pixels that may be asked about, and what a model says of them.

    Attributes:
        at: int (N, 2), row and column.
        codes: uint8 (N,), the class that each is told to be.
        percent: (classes, N), how probable each class is.
        values: takes indexes (K,), returns the values of those pixels, (K, bands).
    """

    at: np.ndarray
    codes: np.ndarray
    percent: np.ndarray
    values: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self.codes)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Percent of the class that each is told to be, (N,)."""
        return np.asarray(self.percent.max(axis=0))


Places = Mapping[int, int]
"""How many labelled places there are of each class, by code."""
Rule = Callable[[Told, np.ndarray, Places, np.random.Generator], int]
"""Takes what is told and the indexes (K,) of the pixels that are free; returns one of them."""


def propose(
    rule: str,
    told: Told,
    places: Places,
    taken: np.ndarray,
    rng: np.random.Generator,
    count: int = 1,
    apart: int = APART,
) -> list[int]:
    """Return pixels to ask about, as indexes; fewer than asked for if no others lie far enough.

    Args:
        rule: a key of RULES.
        told: where may be asked; all of it valid and clear.
        places: labelled places of each class.
        taken: int (K, 2), row and column of places that are labelled or were asked about.
        rng: draws.
        count: how many; each counts as labelled, with the class told, when the next is chosen.
        apart: pixels, along rows or columns, that they lie from one another and from `taken`.
    """
    known, chosen = dict(places), list[int]()
    if not len(told):
        return []
    near = _Near.of(told.at, apart)
    for at in np.asarray(taken, np.int64).reshape(-1, 2):
        near.add(at)
    while len(chosen) < count:
        free = np.flatnonzero(~near.holds(told.at))
        if not len(free):
            break
        found = int(RULES[rule](told, free, known, rng))
        chosen.append(found)
        near.add(told.at[found])
        code = int(told.codes[found])
        known[code] = known.get(code, 0) + 1
    return chosen


@dataclass(frozen=True)
class _Near:
    """The pixels that are nearer than `apart` to a place: bool (H, W), from a first pixel on."""

    grid: np.ndarray
    first: np.ndarray
    apart: int

    @classmethod
    def of(cls, at: np.ndarray, apart: int) -> "_Near":
        low, high = at.min(axis=0), at.max(axis=0)
        return cls(np.zeros(high - low + 1, bool), low, apart)

    def add(self, place: np.ndarray) -> None:
        row, column = place - self.first
        reach = self.apart - 1
        rows, columns = (slice(max(0, x - reach), max(0, x + self.apart)) for x in (row, column))
        self.grid[rows, columns] = True

    def holds(self, at: np.ndarray) -> np.ndarray:
        row, column = (at - self.first).T
        return np.asarray(self.grid[row, column])


def _at_random(told: Told, free: np.ndarray, places: Places, rng: np.random.Generator) -> int:
    return int(rng.choice(free))


def _fewest(told: Told, free: np.ndarray, places: Places, rng: np.random.Generator) -> int:
    """Return a pixel of the class with the fewest places that is told anywhere; ties by chance."""
    codes = np.unique(told.codes[free])
    counts = np.array([places.get(int(code), 0) for code in codes])
    code = codes[np.argmin(counts + 1e-3 * rng.random(len(codes)))]
    return int(rng.choice(free[told.codes[free] == code]))


def _unsure(told: Told, free: np.ndarray, places: Places, rng: np.random.Generator) -> int:
    """Return a pixel whose class is less probable than UNSURE; any, if there is none."""
    unsure = free[told.confidence[free] < UNSURE]
    return int(rng.choice(unsure if len(unsure) else free))


def _margin(told: Told, free: np.ndarray, places: Places, rng: np.random.Generator) -> int:
    """Return the middle of a cluster of the pixels whose two best classes are most alike."""
    some = rng.permutation(free)[:_LOOKED_AT]
    best = np.sort(told.percent[:, some].astype(np.float64), axis=0)
    least = some[np.argsort(best[-1] - best[-2], kind="stable")[:_LEAST_SURE]]
    return int(rng.choice(least[_middles(told.values(least), rng)]))


def _middles(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the index of the pixel nearest to the middle of each cluster of values (N, bands)."""
    from sklearn.cluster import KMeans

    count = min(_CLUSTERS, len(np.unique(values, axis=0)))
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    with one_openmp_thread():
        found = KMeans(count, n_init=1, random_state=int(rng.integers(2**31))).fit(scaled)
    return np.unique(found.transform(scaled).argmin(axis=0))


def _entropy(told: Told, free: np.ndarray, places: Places, rng: np.random.Generator) -> int:
    """Return the pixel whose classes are most evenly probable."""
    some = rng.permutation(free)[:_LOOKED_AT]
    share = np.maximum(told.percent[:, some] / 100.0, 1e-9)
    return int(some[np.argmin((share * np.log(share)).sum(axis=0))])


RULES: Mapping[str, Rule] = {
    "fewest": _fewest,
    "random": _at_random,
    "unsure": _unsure,
    "margin": _margin,
    "entropy": _entropy,
}
"""The first is what is taken unless somebody chooses."""
