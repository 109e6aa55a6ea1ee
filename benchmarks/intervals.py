"""How often do the intervals of a stratified sample hold the truth?

    python -m benchmarks.intervals [DRAWS]

draws samples of 50 points a class from maps whose truth is known, 4,000 of each by default (two
minutes), and prints how many of 100 intervals hold it, ours and, in brackets, the symmetric ones
of Olofsson et al. 2014: of the four maps of an accuracy the worst class counts.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from landcover.quality.confusion import Confusion
from landcover.quality.estimates import AreaEstimates, area_adjusted

ACCURACIES = {f"{accuracy}": [accuracy] * 5 for accuracy in (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)}
ACCURACIES |= {"0.99, 0.8, 0.6 ...": [0.99, 0.8, 0.6, 0.95, 0.9],
               "0.6, 0.9, 0.99 ...": [0.6, 0.9, 0.99, 0.8, 0.98]}  # fmt: skip
WEIGHTS = ((0.34, 0.33, 0.33), (0.6, 0.3, 0.1), (0.9, 0.08, 0.02), (0.3, 0.25, 0.2, 0.15, 0.1))
POINTS = 50
PIXELS = 1_000_000
FIGURES = ("accuracy", "users", "producers", "shares")


@dataclass(frozen=True)
class Coverage:
    """Of one map, the share of samples whose interval holds the truth.

    Attributes:
        ours: of the intervals, by figure; the worst class.
        symmetric: of those of Olofsson et al.
    """

    ours: dict[str, float]
    symmetric: dict[str, float]


def main() -> None:
    """Print the table."""
    draws = int(sys.argv[1]) if sys.argv[1:] else 4000
    print(f"| user's accuracy of the classes | {' | '.join(FIGURES)} |")
    print("|---" * (1 + len(FIGURES)) + "|")
    for named, users in ACCURACIES.items():
        found = [measure(users[: len(w)], w, POINTS, draws, seed=1) for w in WEIGHTS]
        cells = [
            f"{100 * min(one.ours[figure] for one in found):.1f} "
            f"({100 * min(one.symmetric[figure] for one in found):.1f})"
            for figure in FIGURES
        ]
        print(f"| {named} | {' | '.join(cells)} |", flush=True)


def measure(
    users: Sequence[float], weights: Sequence[float], points: int, draws: int, seed: int
) -> Coverage:
    """Draw samples of one map.

    Args:
        users: the user's accuracy of each class; its errors are of all others alike.
        weights: the share of the map that each class covers.
        points: sampled of each class.
        draws: number of samples.
        seed: of the samples.
    """
    rng = np.random.default_rng(seed)
    accuracy, weight = np.array(users), np.array(weights)
    truth = np.diag(accuracy)  # of each stratum, by reference class
    off = ~np.eye(len(accuracy), dtype=bool)
    truth[off] = np.repeat((1 - accuracy) / (len(accuracy) - 1), len(accuracy) - 1)
    names = tuple("abcdefgh"[: len(accuracy)])
    right = weight * accuracy
    true = {"accuracy": np.array([right.sum()]), "users": accuracy,
            "producers": right / (weight @ truth), "shares": weight @ truth}  # fmt: skip
    sampled = rng.multinomial(points, truth, size=(draws, len(accuracy)))
    found = [
        _intervals(area_adjusted(Confusion(names, one.T), (weight * PIXELS).tolist()))
        for one in sampled
    ]
    return _coverage(found, true)


def _intervals(estimates: AreaEstimates) -> dict[str, np.ndarray]:
    """Return, by figure, (classes, 4): our ends, then those of the symmetric interval."""
    return {figure: np.array(list(_ends(estimates, figure))) for figure in FIGURES}


def _ends(estimates: AreaEstimates, figure: str) -> Iterator[tuple[float, float, float, float]]:
    symmetric, ours = getattr(estimates, figure), getattr(estimates.intervals, figure)
    pairs = (
        [(symmetric, ours)]
        if figure == "accuracy"
        else zip(symmetric.values(), ours.values(), strict=True)
    )
    for (value, half), (low, high) in pairs:
        wald = 0 if half == max(value - low, high - value) else half  # else it has no width
        yield low, high, value - wald, value + wald


def _coverage(found: list[dict[str, np.ndarray]], true: dict[str, np.ndarray]) -> Coverage:
    ours, symmetric = {}, {}
    for figure in FIGURES:
        ends = np.stack([one[figure] for one in found])  # (draws, classes, 4)
        held = (ends[..., ::2] <= true[figure][:, None]) & (
            true[figure][:, None] <= ends[..., 1::2]
        )
        ours[figure], symmetric[figure] = held.mean(axis=0).min(axis=0).tolist()
    return Coverage(ours, symmetric)


if __name__ == "__main__":
    main()
