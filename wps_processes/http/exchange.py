"""One request and its answer: head, who calls, body, answer, each as slow as its client is.

Who calls is asked when the head is there. Whoever may not gets the answer before a byte of the
body is read; of all others the body is bounded, and has to come in time.
"""

import asyncio
import io
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from werkzeug.wrappers import Response

from wps_processes.http.connections import Connection, Connections
from wps_processes.http.turns import TooMany
from wps_processes.http.workers import Workers

LOGGER = logging.getLogger(__name__)
BLOCK = 256 << 10
"""Bytes of an answer that are in memory at a time, about."""

SLOW_SECONDS = 60.0
"""A body has arrived by then, and a block of an answer has been taken, or it is over."""

LINGER_SECONDS = 2.0
"""So long a refused body is thrown away, so that its client comes to read the answer."""

NOBODY = ""
"""Whose request it is that is answered, or refused, whoever makes it."""

Environ = dict[str, Any]


class Application(Protocol):
    """What answers: a WSGI application that can refuse a request by its head."""

    def known(self, environ: Environ) -> str | None:
        """Return whose request it is if that is known without asking anybody, else None.

        It is NOBODY's if no identity is needed, or none is there, and the answer takes no time.
        """

    def refusal(self, environ: Environ) -> Response | None:
        """Return what refuses a request by its head, None if its body is to be read."""

    def refused(self, environ: Environ, status: int, sentence: str) -> Response:
        """Return the answer to a request that the server itself refuses."""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer."""


@dataclass
class _Answer:
    """An answer of the application as far as it is known."""

    code: int = 500
    reason: str = ""
    headers: HTTPHeaders = field(default_factory=HTTPHeaders)
    content: Iterable[bytes] = ()
    blocks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    first: bytes = b""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Receive status and headers, as in WSGI."""
        code, _, self.reason = status.partition(" ")
        self.code = int(code)
        self.headers = HTTPHeaders()
        for name, value in headers:
            self.headers.add(name, value)
        self.headers["Date"] = formatdate(usegmt=True)

    def next_block(self) -> bytes:
        """Return the next bytes, none at the end."""
        block = bytearray()
        for part in self.blocks:
            block += part
            if len(block) >= BLOCK:
                break
        return bytes(block)

    def close(self) -> None:
        """Close what the application has opened for it."""
        close = getattr(self.content, "close", None)
        if close is not None:
            close()


class Exchange(HTTPMessageDelegate):
    """One request, from its head on."""

    def __init__(
        self,
        application: Application,
        workers: Workers,
        connections: Connections,
        connection: Connection,
        most_body: int,
        answering: HTTP1Connection,
    ) -> None:
        """Answer on a connection, of which this is one request."""
        self._application, self._workers = application, workers
        self._connections, self._connection = connections, connection
        self._most_body, self._answering = most_body, answering
        self._answerer: Callable[..., Iterable[bytes]] = application
        self._body = io.BytesIO()
        self._environ: Environ = {}
        self._user: str | None = None
        self._entered = ""
        self._task: asyncio.Task[None] | None = None

    async def headers_received(  # type: ignore[override]  # a coroutine is awaited
        self, start_line: RequestStartLine, headers: HTTPHeaders
    ) -> None:
        """Refuse the request, or let its body be read."""
        self._connection.asked()
        self._environ = environ_of(start_line, headers, self._connection.address)
        has_body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
        refusal = await self._refusal(has_body)
        if refusal is None:
            return
        if has_body:
            await self._refuse_body(refusal)
        else:
            self._answerer = refusal

    async def data_received(self, chunk: bytes) -> None:
        """Receive a part of the body, which may turn out to be too long."""
        if self._body.tell() + len(chunk) <= self._most_body:
            self._body.write(chunk)
        elif self._task is None:
            self._body = io.BytesIO()
            sentence = f"the body has more than {self._most_body} bytes"
            self._answerer = self._application.refused(self._environ, 413, sentence)
            self._task = asyncio.create_task(self._answer())
            await self._task

    def finish(self) -> None:
        """Answer the request, whose body is whole."""
        if self._environ.pop("HTTP_TRANSFER_ENCODING", None):  # by now it has a length
            self._environ["CONTENT_LENGTH"] = str(self._body.tell())
        self._body.seek(0)
        self._environ["wsgi.input"] = self._body
        self._task = asyncio.create_task(self._answer())

    def on_connection_close(self) -> None:
        """Abort a request that did not arrive whole, or was refused."""
        if self._task is None:
            self._leave()

    async def _refusal(self, has_body: bool) -> Response | None:
        """Find out whose request it is; return what refuses it by its head."""
        self._user = self._application.known(self._environ)
        if self._user == NOBODY:
            return self._refused_by_head()
        refusal = None
        if self._user is None:
            refusal = await self._workers.of_stranger(self._environ, self._refused_by_head)
            self._user = self._application.known(self._environ)
        if refusal is not None or self._user is None:
            return refusal
        try:
            self._workers.users.enter(self._user)
        except TooMany:
            sentence = "too many of your requests are open, try again when some are answered"
            return self._application.refused(self._environ, 503, sentence)
        self._entered = self._user
        self._connections.begin(self._connection)
        if not has_body:
            return None  # nothing is gained by asking before the answer
        return await self._workers.of_user(self._user, self._refused_by_head)

    def _refused_by_head(self) -> Response | None:
        return self._application.refusal(self._environ)

    async def _refuse_body(self, refusal: Response) -> None:
        """Answer before the body, throw away what of it comes at once, and close."""
        answer = _begun(refusal, self._environ)
        answer.headers["Connection"] = "close"
        line = ResponseStartLine("", answer.code, answer.reason)
        with suppress(StreamClosedError, TimeoutError):
            await self._flushed(self._answering.write_headers(line, answer.headers, answer.first))
        self._leave()
        stream = self._answering.detach()
        with suppress(StreamClosedError, TimeoutError, OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                await _drained(stream)
        stream.close()

    async def _answer(self) -> None:
        try:
            answer = await self._begin()
            await self._send(answer)
            self._leave()
            self._answering.finish()
        except (StreamClosedError, TimeoutError):
            self._answering.close()  # the client is gone, or takes nothing
        except HTTPOutputError:
            LOGGER.warning("a file changed while it was sent")
        except Exception:
            LOGGER.exception("an answer failed by our fault")
            self._answering.close()
        finally:
            self._leave()

    async def _begin(self) -> "_Answer":
        """Start the application's response in a worker thread."""
        if self._answerer is not self._application or self._user == NOBODY:
            return self._begun()
        if self._entered:
            return await self._workers.of_user(self._entered, self._begun)
        return await self._workers.of_stranger(self._environ, self._begun)

    def _begun(self) -> "_Answer":
        return _begun(self._answerer, self._environ)

    async def _send(self, answer: "_Answer") -> None:
        """Send an answer block by block, as fast as its client takes it."""
        try:
            line = ResponseStartLine("", answer.code, answer.reason)
            block = answer.first
            await self._flushed(self._answering.write_headers(line, answer.headers, block))
            while len(block) >= BLOCK:
                block = await self._workers.soon(answer.next_block)
                await self._flushed(self._answering.write(block))
        finally:
            answer.close()  # here, for at the end of the service no thread is left

    async def _flushed(self, written: "asyncio.Future[None]") -> None:
        await asyncio.wait_for(written, SLOW_SECONDS)
        if self._connection.stream.closed():
            raise StreamClosedError

    def _leave(self) -> None:
        """Make room for others; once."""
        if self._entered:
            self._workers.users.leave(self._entered)
            self._entered = ""
        self._connections.end(self._connection)


def environ_of(line: RequestStartLine, headers: HTTPHeaders, address: str) -> Environ:
    """Return a request's head as WSGI has it."""
    path, _, query = line.path.partition("?")
    environ = {
        "REQUEST_METHOD": line.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": line.version,
        "REMOTE_ADDR": address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        if "_" in name:
            continue  # it would be taken for the header with a hyphen in its place
        variable = name.upper().replace("-", "_")
        is_own = variable in ("CONTENT_TYPE", "CONTENT_LENGTH")
        environ[variable if is_own else f"HTTP_{variable}"] = value
    return environ


def _begun(answerer: Callable[..., Iterable[bytes]], environ: Environ) -> _Answer:
    """Return an answer with its first block."""
    answer = _Answer()
    answer.content = answerer(environ, answer.start)
    answer.blocks = iter(answer.content)
    answer.first = answer.next_block()
    return answer


async def _drained(stream: IOStream) -> None:
    """Read until the other side has closed, which knows that nothing else comes."""
    if not stream.closed():
        stream.socket.shutdown(socket.SHUT_WR)
    while True:
        await stream.read_bytes(BLOCK, partial=True)
