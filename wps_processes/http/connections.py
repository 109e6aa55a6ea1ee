"""Open connections: bounded in all and per address, well below the limit on descriptors.

When there are too many, the one closes that has waited longest for a user's request. Whoever
connects and says nothing, or not who it is, displaces others of that kind, and nobody else.
"""

import asyncio
import resource
from collections.abc import Iterable
from dataclasses import dataclass, field

from tornado.iostream import IOStream

MOST = 4_000
"""More connections than that no process of this service has any use for."""

SECONDS_TO_ASK = 20.0
"""The first request of a connection has arrived by then, or the connection is closed."""

_FOR_FILES = 256  # descriptors: the ledger, jobs, outputs that are sent
_SHARE_OF_ADDRESS = 0.75  # behind a proxy all have one address


def raise_descriptors() -> None:
    """Raise the limit of open files as far as is useful and allowed.

    The usual limit of 1,024 is for programs that call `select`, of which this is none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _FOR_FILES
    if resource.RLIM_INFINITY not in (soft, hard):
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Return how many connections the limit on descriptors leaves room for, files besides."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(1, min(MOST, max(soft - _FOR_FILES, soft // 2)))


@dataclass(eq=False)
class Connection:
    """One of them.

    Attributes:
        stream: its socket.
        address: of who has connected: the proxy, or a program that reaches the service directly.
    """

    stream: IOStream
    address: str
    _too_late: asyncio.TimerHandle | None = None

    def __str__(self) -> str:
        """Return the address, for logs."""
        return self.address

    def close_unless_asked(self, seconds: float) -> None:
        """Close it after so many seconds, if it has sent no whole head of a request by then."""
        loop = asyncio.get_running_loop()
        self._too_late = loop.call_later(seconds, self.stream.close)

    def asked(self) -> None:
        """Note that it has sent one."""
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


@dataclass
class _OfAddress:
    busy: set[Connection] = field(default_factory=set)
    waiting: dict[Connection, None] = field(default_factory=dict)  # the oldest first

    def __len__(self) -> int:
        return len(self.busy) + len(self.waiting)


class Connections:
    """All that are open."""

    def __init__(self, most: int) -> None:
        """Cap open connections, and those of one address at three quarters of the cap."""
        self._most, self._most_of_address = most, max(1, int(most * _SHARE_OF_ADDRESS))
        self._of: dict[str, _OfAddress] = {}
        self._number = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return self._number

    def add(self, connection: Connection) -> bool:
        """Admit a new one, evicting an idle one if need be; False if all are busy."""
        own = self._of.get(connection.address, _OfAddress())
        if len(own) >= self._most_of_address and not self._close_oldest([own]):
            return False
        if self._number >= self._most and not self._close_oldest(self._of.values()):
            return False
        own = self._of.setdefault(connection.address, own)
        own.waiting[connection] = None
        self._number += 1
        return True

    def remove(self, connection: Connection) -> None:
        """Forget one that is closed."""
        connection.asked()
        own = self._of.get(connection.address)
        if own is None or not (connection in own.busy or connection in own.waiting):
            return
        own.busy.discard(connection)
        own.waiting.pop(connection, None)
        self._number -= 1
        if not own:
            del self._of[connection.address]

    def begin(self, connection: Connection) -> None:
        """Note that a request of a user has come: the connection stays until it is answered."""
        own = self._of.get(connection.address)
        if own is not None and connection in own.waiting:
            del own.waiting[connection]
            own.busy.add(connection)

    def end(self, connection: Connection) -> None:
        """Note that the request is answered: the connection waits for the next one."""
        own = self._of.get(connection.address)
        if own is not None and connection in own.busy:
            own.busy.remove(connection)
            own.waiting[connection] = None

    def close_oldest(self) -> bool:
        """Close the one that has waited longest of the address with most; False if none waits."""
        return self._close_oldest(self._of.values())

    def close(self) -> None:
        """Close all."""
        for own in list(self._of.values()):
            for connection in (*own.busy, *own.waiting):
                self.remove(connection)
                connection.stream.close()

    def _close_oldest(self, addresses: Iterable[_OfAddress]) -> bool:
        most = max(addresses, key=lambda own: len(own.waiting), default=None)
        if most is None or not most.waiting:
            return False
        oldest = next(iter(most.waiting))
        self.remove(oldest)
        oldest.stream.close()
        return True
