"""Tell whoever is waiting how far the work is, without passing arguments down.

An operation calls `report_progress`; a face listens with `progress_to`. The listener may raise
`Stopped`, and the operation ends there.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, str], None]
"""Takes a fraction 0..1 and a sentence."""

SECONDS_BEFORE_ESTIMATE = 5.0

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report_progress(fraction: float, sentence: str) -> None:
    """Say how far the work is.

    Args:
        fraction: share of the work that is done, 0..1; values outside are clipped.
        sentence: what is being done, in plain words.
    """
    listener = _listener.get()
    if listener is not None:
        listener(min(max(fraction, 0.0), 1.0), sentence)


@contextmanager
def progress_to(listener: Listener) -> Iterator[None]:
    """Send the progress of everything in the `with` block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def progress_between(low: float, high: float) -> Iterator[None]:
    """Map the 0..1 of an inner step onto low..high of the outer one."""
    outer = _listener.get()
    if outer is None:
        yield
        return
    with progress_to(lambda fraction, text: outer(low + fraction * (high - low), text)):
        yield


class Pace:
    """Says how much is done and, once that can be known, how long the rest will take."""

    def __init__(self, what: str, whole: int, left: int) -> None:
        """Begin with `left` of `whole` to do; the rest was done by an earlier run.

        Args:
            what: is being done, as in "classifying".
            whole: amount of work, in any unit.
            left: amount that is to be done now.
        """
        self._what = what
        self._whole, self._left, self._taken_over = whole, left, whole - left
        self._done = 0
        self._began = time.monotonic()

    def advance(self, amount: int) -> None:
        """Count what is done."""
        self._done += amount
        self._left -= amount

    def report(self) -> None:
        """Tell whoever listens."""
        share = 1 - self._left / self._whole
        began_anew = self._done or not self._taken_over
        verb = f"{self._what}," if began_anew else "continuing at"
        report_progress(share, f"{verb} {share * 100:.0f} %{self._estimate()}")

    def _estimate(self) -> str:
        """Return words for the time left; none in the first seconds, which are not typical."""
        seconds = time.monotonic() - self._began
        if seconds < SECONDS_BEFORE_ESTIMATE or not self._done or not self._left:
            return ""
        return f", about {_in_words(seconds / self._done * self._left)} left"


def _in_words(seconds: float) -> str:
    """Return a duration, rounded as an estimate should be.

    >>> _in_words(7), _in_words(100), _in_words(5000)
    ('10 s', '2 min', '1.4 h')
    """
    if seconds < 55:
        return f"{max(10, math.ceil(seconds / 10) * 10)} s"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
