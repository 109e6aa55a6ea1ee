"""How many labels answer a question of a map."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from landcover.quality.estimates import clopper_pearson
from landcover.quality.review.trust import ALPHA, exceeding

COLUMNS = (
    "question", "of", "margin", "expected_error", "population", "labels", "have", "more",
)  # fmt: skip
MARGINS = (0.01, 0.02, 0.05)
_MOST = 100_000
_FINITE = 20_000
"""Pixels up to which labelling without replacement is reckoned with."""


@dataclass(frozen=True)
class Part:
    """Part of a map that a question is about.

    Attributes:
        name: `map`, `surest 50 %` or a class.
        pixels: of it.
        expected: error rate that is likely, 0..1.
        have: labelled witnesses in it, in effect.
    """

    name: str
    pixels: int
    expected: float
    have: float = 0.0


@dataclass(frozen=True)
class Row:
    """A question, and the labels that answer it.

    Attributes:
        question: `error rate`, `zone` or `class`.
        of: the part of the map.
        margin: half of the interval, or the tolerance.
        expected_error: rate that the number supposes.
        population: pixels.
        labels: in different windows, drawn at random within the part; None if no number is
            enough.
        have: those that are there, in effect.
        more: those that are missing.
    """

    question: str
    of: str
    margin: float
    expected_error: float
    population: int
    labels: int | None
    have: float
    more: int | None

    def cells(self) -> list[object]:
        """Return the row of the table."""
        return ["" if cell is None else cell for cell in astuple(self)]


def planned(
    whole: Part, zones: Sequence[Part], classes: Sequence[Part], tolerance: float
) -> Iterator[Row]:
    """Yield the questions.

    Args:
        whole: the map.
        zones: nested, from the surest on.
        classes: sure calls of each class.
        tolerance: error rate that what is trusted has at most.
    """
    for margin in MARGINS:
        yield _row("error rate", whole, margin, for_margin(whole, margin))
    for question, parts in (("zone", zones), ("class", classes)):
        for part in parts:
            yield _row(question, part, tolerance, for_tolerance(part, tolerance))


def _row(question: str, part: Part, margin: float, labels: int | None) -> Row:
    have = round(part.have, 1)
    more = None if labels is None else max(0, math.ceil(labels - have))
    expected = round(part.expected, 4)
    return Row(question, part.name, margin, expected, part.pixels, labels, have, more)


def for_margin(part: Part, margin: float) -> int | None:
    """Return the labels by which half of the 95 % interval is at most the margin.

    It is Clopper and Pearson's at the expected rate, reduced for a finite population by the usual
    n / (1 + (n - 1) / N) (Cochran 1977, Sampling Techniques, section 4.2).
    """

    def enough(labels: int) -> bool:
        low, high = clopper_pearson(np.array(part.expected * labels), np.array(labels))
        return bool(high - low <= 2 * margin)

    labels = _first(enough, _MOST)
    if labels is None:
        return None
    return min(part.pixels, math.ceil(labels / (1 + (labels - 1) / max(1, part.pixels))))


def for_tolerance(part: Part, tolerance: float) -> int | None:
    """Return the labels that show an error rate below the tolerance, if it is as expected.

    Wrong labels are rounded up. In small parts the hypergeometric distribution takes the place of
    the binomial.
    """
    from scipy.stats import hypergeom

    too_many = math.floor(tolerance * part.pixels) + 1

    def enough(labels: int) -> bool:
        wrong = math.ceil(round(part.expected * labels, 9))
        if part.pixels <= _FINITE:
            return bool(hypergeom.cdf(wrong, part.pixels, too_many, labels) <= ALPHA)
        return bool(exceeding(np.array(wrong), np.array(labels), tolerance) <= ALPHA)

    most = min(_MOST, part.pixels)
    return _first(enough, most) if part.expected < tolerance and most else None


def _first(enough: Callable[[int], bool], most: int) -> int | None:
    """Return the number from 1 to `most` from which on it is enough, by halving."""
    if not enough(most):
        return None
    return 1 + bisect_left(range(1, most), True, key=enough)
