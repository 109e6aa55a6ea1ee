"""Does review-map's interval hold the truth, and how often does it trust a zone falsely?

    python -m benchmarks.reviewing [SIMULATIONS]

makes maps of 48 x 48 windows whose errors come in patches of several windows, and labels them as
people do: points anywhere, two or four points in each of some windows drawn at random, or points
in strata of different size. In `sure` the doubt of a window says where errors are; in `misled` it
says nothing; in `edge` every zone is wrong just more often than the tolerance, the hardest case.
1,000 simulations of each by default, 45 seconds of a core. Beside ours stand what counts each
label as a witness, and what trusts the largest zone that passes, without an order.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from landcover.quality.review.trust import (
    ALPHA,
    ZONES,
    Rate,
    Witnesses,
    trusted_zones,
    zone_of,
)

SIDE = 48
"""Windows along the map."""
TOLERANCE = 0.05
LABELS = 400


@dataclass(frozen=True)
class Made:
    """A map: the share of each window that is wrong, and its doubt, (windows,)."""

    wrong: np.ndarray
    doubt: np.ndarray


Maker = Callable[[np.random.Generator], Made]
Drawer = Callable[[np.random.Generator, Made], Witnesses]


@dataclass(frozen=True)
class Outcome:
    """What was found in one simulation: whether intervals held, and what was trusted falsely."""

    held: bool
    held_pixelwise: bool
    false: bool
    false_sequentially: bool
    false_pixelwise: bool
    false_unordered: bool
    trusted: float


def main() -> None:
    """Print the table."""
    number = int(sys.argv[1]) if sys.argv[1:] else 1000
    heads = (
        "map, labels", "interval holds", "each label a witness", "false zones",
        "after each label", "each label a witness", "without order", "trusted",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|")
    for named, make in MAPS.items():
        for how, draw in DRAWS.items():
            found = measure(make, draw, number)
            rates = [np.mean([getattr(one, name) for one in found]) for name in vars(found[0])]
            print(f"| {named}, {how} | " + " | ".join(f"{100 * r:.1f} %" for r in rates) + " |",
                  flush=True)  # fmt: skip


def measure(
    make: Maker,
    draw: Drawer,
    number: int,
    seed: int = 1,
) -> list[Outcome]:
    """Simulate maps and labels so many times."""
    rng = np.random.default_rng(seed)
    return [_outcome(rng, make(rng), draw) for _ in range(number)]


def _outcome(
    rng: np.random.Generator,
    made: Made,
    draw: Drawer,
) -> Outcome:
    found = draw(rng, made)
    zone = zone_of(made.doubt, np.ones(len(made.doubt)))
    within = [made.wrong[zone <= number].mean() for number in range(1, ZONES + 1)]
    shares = np.array([(zone <= number).mean() for number in range(1, ZONES + 1)])
    tested = trusted_zones(found, zone[found.ids], shares, TOLERANCE)
    alone = replace(found, ids=np.arange(len(found.ids)), drawn=False)
    pixelwise = trusted_zones(alone, zone[found.ids], shares, TOLERANCE)
    bad = np.array(within) > TOLERANCE
    return Outcome(
        held=_holds(Rate.of(found), made.wrong.mean()),
        held_pixelwise=_holds(Rate.of(alone), made.wrong.mean()),
        false=bool((bad & [each.trusted for each in tested]).any()),
        false_sequentially=bool((bad & [each.sequentially for each in tested]).any()),
        false_pixelwise=bool((bad & [each.trusted for each in pixelwise]).any()),
        false_unordered=bool((bad & [each.p_value <= ALPHA for each in tested]).any()),
        trusted=max((each.share for each in tested if each.trusted), default=0.0),
    )


def _holds(rate: Rate, truth: float) -> bool:
    low, high = rate.interval
    return low <= truth <= high


def _patches(rng: np.random.Generator, share: float) -> np.ndarray:
    """Return the share of each window that is wrong, in patches of some windows."""
    smooth = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2, mode="wrap").ravel()
    wrong = np.zeros(SIDE * SIDE)
    wrong[np.argsort(smooth)[-round(share / 0.8 * SIDE * SIDE) :]] = 0.8
    return wrong


def _sure(rng: np.random.Generator) -> Made:
    wrong = _patches(rng, 0.08)
    return Made(wrong, wrong + rng.normal(0, 0.25, len(wrong)))


def _misled(rng: np.random.Generator) -> Made:
    wrong = _patches(rng, 0.08)
    return Made(wrong, rng.random(len(wrong)))


def _edge(rng: np.random.Generator) -> Made:
    """Patches of the same number of windows in every zone, just above the tolerance in all."""
    wrong = _patches(rng, 0.052)
    doubt = np.empty(len(wrong))
    for value in (0.0, 0.8):
        of_value = np.flatnonzero(wrong == value)
        doubt[rng.permutation(of_value)] = (np.arange(len(of_value)) + 0.5) / len(of_value)
    return Made(wrong, doubt)


def _points(rng: np.random.Generator, made: Made) -> Witnesses:
    return _labelled(rng, made, rng.integers(0, len(made.wrong), LABELS))


def _in_windows(each: int) -> Drawer:
    """Return what draws windows and so many points in each."""

    def draw(rng: np.random.Generator, made: Made) -> Witnesses:
        windows = rng.choice(len(made.wrong), LABELS // each, replace=False)
        return _labelled(rng, made, np.repeat(windows, each))

    return draw


def _labelled(rng: np.random.Generator, made: Made, at: np.ndarray) -> Witnesses:
    wrong = (rng.random(LABELS) < made.wrong[at]).astype(float)
    return Witnesses(at, np.ones(LABELS), wrong, np.arange(LABELS), np.ones(LABELS))


def _stratified(rng: np.random.Generator, made: Made) -> Witnesses:
    """Draw as many points of each of four classes that cover 70, 20, 7 and 3 % of the map."""
    ends = np.round(np.cumsum([0, 0.7, 0.2, 0.07, 0.03]) * len(made.wrong)).astype(int)
    each = LABELS // (len(ends) - 1)
    at = np.concatenate([rng.integers(a, b, each) for a, b in pairwise(ends)])
    weight = np.repeat(np.diff(ends) / each, each)
    found = _labelled(rng, made, at)
    return replace(found, labelled=weight, wrong=weight * found.wrong, weight=weight, drawn=True)


MAPS = {"sure": _sure, "misled": _misled, "edge": _edge}
DRAWS = {
    f"{LABELS} points": _points,
    f"{LABELS // 2} windows of 2": _in_windows(2),
    f"{LABELS // 4} windows of 4": _in_windows(4),
    f"{LABELS} points in strata": _stratified,
}

if __name__ == "__main__":
    main()
