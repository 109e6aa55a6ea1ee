"""Listens, accepts, and hands each request to an exchange."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from tornado.http1connection import (
    HTTP1Connection,
    HTTP1ConnectionParameters,
    HTTP1ServerConnection,
)
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream

from wps_processes.http.connections import (
    SECONDS_TO_ASK,
    Connection,
    Connections,
    most_connections,
)
from wps_processes.http.exchange import (
    BLOCK,
    LINGER_SECONDS,
    SLOW_SECONDS,
    Application,
    Exchange,
)
from wps_processes.http.workers import Workers

LOGGER = logging.getLogger(__name__)
_AT_ONCE = 8  # connections that are accepted before requests have their turn
_IDLE_SECONDS = 120.0  # longer than proxies keep theirs
_LONGEST_HEAD = 32 << 10
_PAUSE_SECONDS = 0.5
_MOST_TURNED_AWAY = 64  # that are still open
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class Server(HTTPServerConnectionDelegate):
    """The web server."""

    def __init__(self, application: Application, most_body: int) -> None:
        """Serve an application; larger bodies than `most_bytes` are refused."""
        self._application, self._most_body = application, most_body
        self._connections = Connections(most_connections())
        self._workers = Workers()
        self._parameters = HTTP1ConnectionParameters(
            header_timeout=_IDLE_SECONDS,
            max_header_size=_LONGEST_HEAD,
            max_body_size=2**63 - 1,  # the exchange counts, and says so in words
            body_timeout=SLOW_SECONDS,
        )
        self._served: dict[object, Connection] = {}
        self._turned_away: set[socket.socket] = set()

    async def serve(self, listeners: Sequence[socket.socket], until: asyncio.Event) -> None:
        """Answer on listening sockets until told to stop; then they are closed."""
        for listener in listeners:
            self._listen(listener)
        try:
            await until.wait()
        finally:
            for listener in listeners:
                asyncio.get_running_loop().remove_reader(listener)
                listener.close()
            self._connections.close()
            for turned_away in list(self._turned_away):
                self._forget(turned_away)
            self._workers.stop()

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Return what answers the next request of a connection."""
        assert isinstance(request_conn, HTTP1Connection)
        return Exchange(
            self._application, self._workers, self._connections, self._served[server_conn],
            self._most_body, request_conn,
        )  # fmt: skip

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that is closed."""
        self._connections.remove(self._served.pop(server_conn))

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left, or no memory
                self._pause(listener, error)
                return
            self._connect(accepted, str(address[0]))

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Accept nothing for a moment: an error that lasts would come again at once."""
        LOGGER.error("no connection can be accepted: %s", os.strerror(error.errno or 0))
        self._connections.close_oldest()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE_SECONDS, self._listen, listener)

    def _connect(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        stream = IOStream(accepted, max_buffer_size=4 * BLOCK, read_chunk_size=_LONGEST_HEAD)
        connection = Connection(stream, address)
        if not self._connections.add(connection):
            self._turn_away(accepted)
            return
        connection.close_unless_asked(SECONDS_TO_ASK)
        served = HTTP1ServerConnection(stream, self._parameters, connection)
        self._served[served] = connection
        served.start_serving(self)

    def _turn_away(self, accepted: socket.socket) -> None:
        """Answer that there is no room; some clients get time to read that."""
        with suppress(OSError):
            accepted.send(_BUSY)
            accepted.shutdown(socket.SHUT_WR)
        if len(self._turned_away) >= _MOST_TURNED_AWAY:
            accepted.close()
            return
        self._turned_away.add(accepted)
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._forget, accepted)

    def _forget(self, turned_away: socket.socket) -> None:
        self._turned_away.discard(turned_away)
        turned_away.close()
