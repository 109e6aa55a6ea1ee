"""Measure CPU seconds of alternatives in turns, so that a busy machine slows both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the operation.
        ours: CPU seconds of ours, median.
        peer: name of the peer or floor.
        theirs: CPU seconds of it, median.
        gate: what had to be equal, and was.
    """

    what: str
    ours: float
    peer: str
    theirs: float
    gate: str

    @property
    def ratio(self) -> float:
        """How many times faster than the peer we are; below 1 we lose."""
        return self.theirs / self.ours


def compare(
    what: str, ours: Callable[[], object], peer: str, theirs: Callable[[], object], gate: str
) -> Row:
    """Run both in turns and return the medians; the first round warms up and does not count."""
    times: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS + 1):
        for run, taken in times.items():
            start = time.process_time()
            run()
            taken.append(time.process_time() - start)
    medians = [statistics.median(taken[1:]) for taken in times.values()]
    return Row(what, medians[0], peer, medians[1], gate)
