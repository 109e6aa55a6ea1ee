"""The threads in which the application works, and who has them.

Who is known has most of them. A stranger's first word, for which the hub is asked, is heard in a
few of their own, so that many strangers keep nobody else waiting.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from wps_processes.http.turns import Turns

THREADS = 32
"""Of those who are known; one user has no more than half of them."""

_FOR_STRANGERS = 8
_MOST_OF_USER = 128  # bodies of a MiB at most
_NO_LIMIT = 10**9  # connections are limited
Result = TypeVar("Result")


class Workers:
    """The threads."""

    def __init__(self) -> None:
        """Start the threads."""
        self._threads = ThreadPoolExecutor(THREADS, "request")
        self._for_strangers = ThreadPoolExecutor(_FOR_STRANGERS, "stranger")
        self.users = Turns(THREADS // 2, _MOST_OF_USER)
        self._addresses = Turns(_FOR_STRANGERS // 2, _NO_LIMIT)

    async def of_user(self, name: str, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, when it is the turn of a user who has entered."""
        async with self.users.turn(name):
            return await self.soon(work)

    async def of_stranger(self, environ: dict[str, Any], work: Callable[[], Result]) -> Result:
        """Return what `work` returns, when it is the turn of the address of a request."""
        client = _client_of(environ)
        self._addresses.enter(client)
        try:
            async with self._addresses.turn(client):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._for_strangers, work)
        finally:
            self._addresses.leave(client)

    async def soon(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, which takes no time worth a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def stop(self) -> None:
        """Start nothing more; what has started is not waited for."""
        for threads in (self._threads, self._for_strangers):
            threads.shutdown(wait=False, cancel_futures=True)


def _client_of(environ: dict[str, Any]) -> str:
    """Return the address of a request's client, as the proxy says if there is one.

    Who is no proxy and invents clients has more turns among strangers, and nothing else.
    """
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    return f"{environ['REMOTE_ADDR']} {forwarded}"
