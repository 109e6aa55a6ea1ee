"""How full a home directory is, and which files and folders hold most of it."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from landcover.storage.usage import Place, Usage, measure

NEARLY = 0.9
QUOTA = "GEOPORTAL_HOME_QUOTA"
"""Under this name a server finds how many bytes its user may use; absent, there is no limit."""
ELSEWHERE = ("shared", "team")
"""Names in the home directory that lead to what belongs to others too."""
_KEPT_SECONDS = 60.0


@dataclass(frozen=True)
class Room:
    """How much is used of what there is.

    Attributes:
        limit: what is nearest to its end: what the user may use, or the disk that others use too.
        used: bytes of it in use; of a quota at least so many.
        allowed: bytes of it in all.
        biggest: places in the home directory that hold most, named only when it is nearly full.
    """

    limit: Literal["quota", "disk"]
    used: int
    allowed: int
    biggest: tuple[Place, ...] = ()

    @property
    def share(self) -> float:
        """What part of it is used; more than 1 is possible with a quota."""
        return self.used / self.allowed if self.allowed else 0.0


@dataclass
class Home:
    """Looks at a home directory; a long walk through it is not repeated at every call."""

    path: Path
    quota: int | None = None
    _known: tuple[float, Usage] | None = field(default=None, init=False)
    _measuring: threading.Lock = field(default_factory=threading.Lock, init=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Home":
        """Look at the home directory of whom the server belongs to."""
        said = environment.get(QUOTA, "")
        return cls(Path.home(), int(said) if said.isdecimal() and int(said) else None)

    def room(self) -> Room:
        """Return what is nearest to its end.

        Raises:
            OSError: the home directory cannot be read.
        """
        fullest = self._disk()
        if self.quota is not None:
            own = Room("quota", self._usage().used, self.quota)
            fullest = max(fullest, own, key=lambda room: room.share)
        if fullest.share < NEARLY:
            return fullest
        return Room(fullest.limit, fullest.used, fullest.allowed, self._usage().biggest)

    def _disk(self) -> Room:
        """Return the fullness of the file system as `df` tells it."""
        known = os.statvfs(self.path)
        used = known.f_blocks - known.f_bfree
        return Room("disk", used * known.f_frsize, (used + known.f_bavail) * known.f_frsize)

    def _usage(self) -> Usage:
        with self._measuring:
            now = time.monotonic()
            if self._known is None or now >= self._known[0]:
                usage = measure(self.path, leave_out=ELSEWHERE)
                # a walk may take a tenth of the time, not more
                pause = max(_KEPT_SECONDS, 10 * (time.monotonic() - now))
                self._known = (time.monotonic() + pause, usage)
            return self._known[1]
