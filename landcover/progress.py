"""Tell whoever is waiting how far the work is, without passing arguments down.

An operation calls `report_progress`; a face listens with `progress_to`. The listener may raise
`Stopped`, and the operation ends there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, str], None]
"""Takes a fraction 0..1 and a sentence."""

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
