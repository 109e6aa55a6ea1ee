"""Whoever has used up their room starts no more jobs: Nextcloud's quota does not bind here.

A folder that is not measured in time counts with what was seen of it, and no less than before. One
that cannot be measured at all is full: anything could lie behind a million empty files. While one
call measures, others take the last figure: no user's calls hold all threads of the service.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from landcover.counts import sized
from landcover.storage.usage import DEEPEST, MOST_ENTRIES, Usage, measure
from wps_processes.errors import QuotaReached

_KEPT_SECONDS = 60.0
_LOOK_SECONDS = 5.0  # a caller waits so long at most
_MOST_KNOWN = 1_000  # users
_NOTHING = Usage(0, True, ())


@dataclass
class Quota:
    """Measures users' folders, at most once a minute each.

    Attributes:
        storage: root of the storage tree.
        allowed: bytes that the files of one user may take; None is no limit.
    """

    storage: Path
    allowed: int | None
    _known: dict[str, tuple[float, Usage]] = field(default_factory=dict, init=False)
    _measuring: dict[str, Lock] = field(default_factory=lambda: defaultdict(Lock), init=False)

    def check(self, folder: str) -> None:
        """Return if the owner of a folder below users/ may start a job.

        Raises:
            QuotaReached: their files take all that they may, or more, or cannot be measured.
        """
        if self.allowed is None:
            return
        used = self._used(folder)
        if used >= self.allowed:
            raise QuotaReached(
                f"your files take {sized(used)} of {sized(self.allowed)}: "
                "delete what you do not need, and call again in a minute"
            )

    def check_room(self, folder: str, missing: int) -> None:
        """Return if the owner of a folder below users/ may add so many bytes.

        Raises:
            QuotaReached: they do not fit, or what is there cannot be measured.
        """
        if self.allowed is None:
            return
        used = self._used(folder)
        if used + missing > self.allowed:
            raise QuotaReached(
                f"{sized(missing)} more do not fit: your files take {sized(used)} of "
                f"{sized(self.allowed)}; delete what you do not need, and go on in a minute"
            )

    def _used(self, folder: str) -> int:
        usage = self._usage(folder)
        if not usage.is_countable:
            raise QuotaReached(
                f"your files cannot be measured, needs no more than {MOST_ENTRIES:,} files and "
                f"folders, {DEEPEST} in one another: pack or delete some, and call again in a "
                "minute"
            )
        return usage.used

    def _usage(self, folder: str) -> Usage:
        last, measuring = self._known.get(folder), self._measuring[folder]
        if last is None:
            measuring.acquire()  # the first figure is waited for
        elif not measuring.acquire(blocking=False):
            return last[1]
        try:
            until, before = self._known.get(folder, (0.0, _NOTHING))
            if time.monotonic() < until:
                return before
            usage = self._measure(folder)
            if usage.is_countable and not usage.is_whole:
                usage = replace(usage, used=max(usage.used, before.used))
            self._remember(folder, usage)
            return usage
        finally:
            measuring.release()

    def _measure(self, folder: str) -> Usage:
        try:
            return measure(self.storage / "users" / folder, most_seconds=_LOOK_SECONDS, places=0)
        except FileNotFoundError:
            return _NOTHING  # a user's first job may come before a server

    def _remember(self, folder: str, usage: Usage) -> None:
        if folder not in self._known and len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        self._known[folder] = (time.monotonic() + _KEPT_SECONDS, usage)
