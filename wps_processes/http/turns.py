"""How many requests of one user, or of one address, are there, and are worked on at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


class TooMany(Exception):
    """So many requests of this name are there that no more may."""


@dataclass
class _Line:
    turns: asyncio.Semaphore
    length: int = 0


class Turns:
    """The requests that are there, by name."""

    def __init__(self, at_once: int, most: int) -> None:
        """Admit `most` requests of one name, and serve `at_once` of them concurrently."""
        self._at_once, self._most = at_once, most
        self._lines: dict[str, _Line] = {}

    def enter(self, name: str) -> None:
        """Count one more of a name, until `leave`.

        Raises:
            TooMany: there are too many already.
        """
        line = self._lines.setdefault(name, _Line(asyncio.Semaphore(self._at_once)))
        if line.length >= self._most:
            raise TooMany
        line.length += 1

    def leave(self, name: str) -> None:
        """Count one less."""
        line = self._lines[name]
        line.length -= 1
        if not line.length:
            del self._lines[name]

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn of an admitted name, and hold it while the block runs."""
        async with self._lines[name].turns:
            yield
