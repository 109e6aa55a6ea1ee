"""What an operation says while it runs, without passing arguments down: progress and remarks.

An operation calls `report_progress`; a face listens with `progress_to`. The listener may raise
`Stopped`, and the operation ends there.

`remark` says "done, but": what was skipped, guessed, ignored or is weaker than it looks. Faces
collect them with `collecting_notes`; where nobody does, they are logged as warnings.
`report_metric` notes a figure of a step, such as the loss after each epoch, for the run record.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from landcover.errors import sentence_of

Listener = Callable[[float, str], None]
"""Takes a fraction 0..1 and a sentence."""

SECONDS_BEFORE_ESTIMATE = 5.0
MAX_REMARKS = 100
"""Of one run; further ones are counted."""
MAX_METRICS = 100_000

LOGGER = logging.getLogger("landcover")

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@dataclass(frozen=True)
class Metric:
    """A figure of a run: its name, the step it belongs to, and its value."""

    name: str
    step: int
    value: float


@dataclass
class Notes:
    """The remarks and metrics of one run, as they come.

    Attributes:
        on_remark: called with each new remark.
    """

    on_remark: Callable[[str], None]
    _remarks: list[str] = field(default_factory=list)
    _omitted: int = 0
    metrics: list[Metric] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """The remarks so far; each stands once."""
        if not self._omitted:
            return list(self._remarks)
        return [*self._remarks, f"{self._omitted} further remarks are not listed"]

    def add(self, sentence: str) -> None:
        """Record a remark, unless it was made before."""
        if sentence in self._remarks:
            return
        if len(self._remarks) >= MAX_REMARKS:
            self._omitted += 1
            return
        self._remarks.append(sentence)
        self.on_remark(sentence)


_notes: ContextVar[Notes | None] = ContextVar("notes", default=None)


def remark(sentence: str) -> None:
    """Record what a user should know of a result: what was skipped, guessed, ignored or is weak.

    Args:
        sentence: plain words; what no terminal should print is escaped.
    """
    remark_listener()(sentence_of(sentence))


def remark_listener() -> Callable[[str], None]:
    """Return what takes remarks here and now: who collects them, else the log."""
    notes = _notes.get()
    return _log_remark if notes is None else notes.add


def _log_remark(sentence: str) -> None:
    LOGGER.warning("%s", sentence)


def report_metric(name: str, value: float, step: int = 0) -> None:
    """Note a figure of a step for the run record."""
    notes = _notes.get()
    if notes is not None and len(notes.metrics) < MAX_METRICS:
        notes.metrics.append(Metric(name, step, float(value)))


def metrics_so_far() -> list[Metric]:
    """Return the figures that this run has noted."""
    notes = _notes.get()
    return [] if notes is None else list(notes.metrics)


@contextmanager
def without_metrics() -> Iterator[None]:
    """Note none of the figures of the `with` block: they are of trials, not of the result."""
    with collecting_notes(remark_listener()):
        yield


def remarks_so_far() -> list[str]:
    """Return the remarks that this run has made, for a report to repeat."""
    notes = _notes.get()
    return [] if notes is None else notes.remarks


@contextmanager
def collecting_notes(on_remark: Callable[[str], None]) -> Iterator[Notes]:
    """Collect the remarks and metrics of everything in the `with` block.

    Args:
        on_remark: called with each new remark, as it is made.
    """
    notes = Notes(on_remark)
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


@contextmanager
def holding_remarks() -> Iterator[Callable[[str], None]]:
    """Defer the remarks of the `with` block until it ends.

    Yields:
        What makes a remark at once, so that it stands before the others.
    """
    listener = remark_listener()
    try:
        with collecting_notes(lambda sentence: None) as held:
            yield lambda sentence: listener(sentence_of(sentence))
    finally:
        for sentence in held.remarks:
            listener(sentence)


def report_progress(fraction: float, sentence: str) -> None:
    """Report progress.

    Args:
        fraction: share of the work that is done, 0..1; values outside are clipped.
        sentence: what is being done, in plain words.
    """
    listener = _listener.get()
    if listener is not None:
        listener(min(max(fraction, 0.0), 1.0), sentence)


def is_listened_to() -> bool:
    """Return whether somebody listens to the progress of what runs here."""
    return _listener.get() is not None


def time_left(seconds: float, fraction: float) -> str:
    """Return words for the time left after so many seconds; none before that can be known.

    >>> time_left(10, 0.5), time_left(1, 0.5), time_left(10, 0.01)
    (', about 10 s left', '', '')
    """
    if seconds < SECONDS_BEFORE_ESTIMATE or not 0.05 <= fraction < 1:
        return ""
    return f", about {_duration(seconds / fraction * (1 - fraction))} left"


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
        """Start with `left` of `whole` to do; the rest was done by an earlier run.

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
        """Notify the listener."""
        share = 1 - self._left / self._whole
        began_anew = self._done or not self._taken_over
        verb = f"{self._what}," if began_anew else "continuing at"
        report_progress(share, f"{verb} {share * 100:.0f} %{self._estimate()}")

    def _estimate(self) -> str:
        """Return words for the time left; none in the first seconds, which are not typical."""
        seconds = time.monotonic() - self._began
        if seconds < SECONDS_BEFORE_ESTIMATE or not self._done or not self._left:
            return ""
        return f", about {_duration(seconds / self._done * self._left)} left"


def _duration(seconds: float) -> str:
    """Return a duration, rounded as an estimate should be.

    >>> _duration(7), _duration(100), _duration(5000)
    ('10 s', '2 min', '1.4 h')
    """
    if seconds < 55:
        return f"{max(10, math.ceil(seconds / 10) * 10)} s"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
