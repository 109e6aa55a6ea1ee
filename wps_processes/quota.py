"""Whoever has used up their room starts no more jobs: Nextcloud's quota does not bind here.

A folder too large to be measured in time counts with what was seen of it. While one call measures,
others take the last figure, so that one user's calls do not hold the threads of the web server.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from pywps.exceptions import NotEnoughStorage

from landcover.storage.usage import Usage, measure

_KEPT_SECONDS = 60.0
_LOOK_SECONDS = 5.0  # a caller waits so long at most
_MOST_KNOWN = 1_000  # users


@dataclass
class Quota:
    """Measures users' folders, at most once a minute each.

    Attributes:
        storage: root of the storage tree.
        allowed: bytes that the files of one user may take; None is no limit.
    """

    storage: Path
    allowed: int | None
    _known: dict[str, tuple[float, int]] = field(default_factory=dict, init=False)
    _measuring: dict[str, Lock] = field(default_factory=lambda: defaultdict(Lock), init=False)

    def check(self, folder: str) -> None:
        """Return if the owner of a folder below users/ may start a job.

        Raises:
            NotEnoughStorage: their files take all that they may, or more.
        """
        if self.allowed is None:
            return
        used = self._used(folder)
        if used >= self.allowed:
            raise NotEnoughStorage(
                f"your files take {_in_words(used)} of {_in_words(self.allowed)}: "
                "delete what you do not need, and call again in a minute"
            )

    def _used(self, folder: str) -> int:
        last, measuring = self._known.get(folder), self._measuring[folder]
        if last is None:
            measuring.acquire()  # the first figure is waited for
        elif not measuring.acquire(blocking=False):
            return last[1]
        try:
            until, used = self._known.get(folder, (0.0, 0))
            if time.monotonic() >= until:
                used = self._measure(folder).used
                self._remember(folder, used)
            return used
        finally:
            measuring.release()

    def _measure(self, folder: str) -> Usage:
        try:
            return measure(self.storage / "users" / folder, most_seconds=_LOOK_SECONDS, places=0)
        except FileNotFoundError:
            return Usage(0, True, ())  # a user's first job may come before a server

    def _remember(self, folder: str, used: int) -> None:
        if folder not in self._known and len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        self._known[folder] = (time.monotonic() + _KEPT_SECONDS, used)


def _in_words(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
