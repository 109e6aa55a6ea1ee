"""So many callers are waited for at a time, and of one user no more than half of them.

Who waits for a synchronous call holds a thread of the web server; one user alone must not keep all
others from calling so.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from wps_processes.errors import Busy


class SyncCalls:
    """The calls that are being waited for."""

    def __init__(self, total: int) -> None:
        """Cap the callers that wait."""
        self._total, self._per_user = total, max(1, total // 2)
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Hold one of the places while the block runs.

        Raises:
            Busy: there is none for this user now.
        """
        with self._lock:
            self._check(user)
            self._taken[user] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[user] -= 1
                self._taken += Counter()  # forgets whoever has none

    def _check(self, user: str) -> None:
        if self._taken.total() >= self._total:
            raise Busy(f"{self._total} synchronous calls are being waited for, and no more may: "
                       "try again later, or call asynchronously")  # fmt: skip
        if self._taken[user] >= self._per_user:
            raise Busy(f"{self._per_user} of your synchronous calls are being waited for, and no "
                       "more may: try again later, or call asynchronously")  # fmt: skip
