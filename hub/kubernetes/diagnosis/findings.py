"""What is found of a start, what it was found from, and the words for both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LETTERS = 800
"""So many of a foreign text are shown."""


@dataclass(frozen=True)
class Finding:
    """What keeps a server from starting, or what it is doing.

    Attributes:
        kind: one word for the log, such as gpu or image.
        sentence: what is the matter.
        hope: what comes by itself if it is waited for.
        remedy: what the reader can do, whether it is waited for or not.
        in_vain: what is the matter once it was waited for in vain; the same if empty.
        is_final: whether waiting is of no use.
        progress: how far the start has come, in percent.
        since: when it began, if that is known.
    """

    kind: str
    sentence: str
    hope: str = ""
    remedy: str = ""
    in_vain: str = ""
    is_final: bool = False
    progress: int = 20
    since: datetime | None = None

    def text(self, now: datetime) -> str:
        """Return all that is to be said, as one line."""
        waited = _waited(self.since, now) if self.since else ""
        return " ".join(filter(None, (self.sentence, waited, self.hope, self.remedy)))

    def given_up(self, seconds: float) -> "Finding":
        """Return what is said after so long, when nobody waits any more."""
        return Finding(
            self.kind,
            f"{self.in_vain or self.sentence} It was given up after {_span(seconds)}.",
            remedy=self.remedy or "Start again; if it happens again, tell an administrator.",
            is_final=True,
        )


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the pod itself.

    Attributes:
        events: the pod's events, oldest first.
        sizes: bytes of images that were fetched before, by name.
        nodes: what each node that takes pods has for them, in cores, bytes and pieces; None if
            nobody may look.
        holders: GPUs that servers hold, by user; empty for readers who may not know.
    """

    events: Sequence[Mapping[str, Any]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    nodes: Sequence[Mapping[str, float]] | None = None
    holders: Mapping[str, int] = field(default_factory=dict)


def shortened(text: str) -> str:
    """Return a foreign text as one line without signs that nobody can see."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…"


def _waited(since: datetime, now: datetime) -> str:
    span = _span((now - since).total_seconds())
    return f"Since {since.astimezone(UTC):%H:%M} UTC ({span})."


def _span(seconds: float) -> str:
    minutes = int(seconds) // 60
    return "less than a minute" if minutes < 1 else f"{minutes} min"
