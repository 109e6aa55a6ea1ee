"""The web server with the application behind it, and clients that want nothing good."""

import asyncio
import os
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
from lxml import etree
from tornado.netutil import bind_sockets

from benchmarks.served import DEADLINE, until
from hub.local.machine import free_port
from tests.wps_processes.test_service import NS, started
from wps_processes.http import connections, exchange, workers
from wps_processes.http import server as web
from wps_processes.service import MAX_BODY

PREFIX = "/services/wps/"
HEAD = f"POST {PREFIX} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n".encode()
ANNA = b"Authorization: token anna\r\n"


@contextmanager
def serving(application):
    """Serve in a thread, and yield the port."""
    port, ready = free_port(), threading.Event()
    stop = []

    async def run():
        told = asyncio.Event()
        stop.append((asyncio.get_running_loop(), told))
        listeners = bind_sockets(port, "127.0.0.1")
        served = asyncio.create_task(web.Server(application, MAX_BODY).serve(listeners, told))
        await asyncio.sleep(0)
        ready.set()
        await served

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(DEADLINE)
    try:
        yield port
    finally:
        loop, told = stop[0]
        loop.call_soon_threadsafe(told.set)
        thread.join(DEADLINE)


@pytest.fixture
def serve(start):
    """A function that serves the application of `start`, and returns the port and its client."""
    with ExitStack() as stack:

        def server(**how):
            wps = start(**how)
            return stack.enter_context(serving(wps.client.application)), wps

        yield server


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        yield client


@contextmanager
def uploading(port):
    """Yield a client of anna's whose body the server waits for."""
    with connected(port) as client:
        client.sendall(HEAD + ANNA + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        yield client


def read(client):
    """Return all that comes until the other side closes."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def asked(port, path="jobs", head=ANNA):
    """Return the answer to a request by a connection of its own."""
    with connected(port) as client:
        lines = f"GET {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        client.sendall(lines + head + b"\r\n")
        return read(client)


def test_identity_is_asked_before_the_body(serve):
    port, _ = serve(running=False)
    with connected(port) as client:
        client.sendall(HEAD + b"\r\n")  # and not a byte of the body
        head, _, body = read(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    (sentence,) = etree.fromstring(body).xpath("//ows:ExceptionText/text()", namespaces=NS)
    assert sentence.startswith("a hub identity is needed")


def test_a_refused_body_does_not_cut_the_answer_off(serve):
    port, _ = serve(running=False)
    with connected(port) as client:
        client.sendall(HEAD.replace(b"1000", b"3000000") + ANNA + b"\r\n" + b"x" * 3_000_000)
        assert read(client).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_length_is_bounded_too(serve):
    port, _ = serve(running=False)
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connected(port) as client:
        client.sendall(HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + ANNA)
        client.sendall(b"\r\n" + chunk * (MAX_BODY // 0x10000) + b"1\r\nx\r\n")
        answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_who_dribbles_a_head_is_cut_off(serve, monkeypatch):
    monkeypatch.setattr(web, "SECONDS_TO_ASK", 0.5)
    port, _ = serve(running=False)
    with connected(port) as client:
        client.settimeout(0.05)
        dribble = iter(b"GET / HTTP/1.1\r\n" + b"x" * 10_000)

        def is_cut_off():
            try:
                client.sendall(bytes([next(dribble)]))
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        until(is_cut_off)


def test_silent_connections_make_room_for_others(serve, monkeypatch):
    monkeypatch.setattr(web, "most_connections", lambda: 8)
    port, _ = serve(running=False)
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(20)]
        assert asked(port).startswith(b"HTTP/1.1 200 ")
        assert [read(client) for client in silent[:15]] == [b""] * 15  # of 8 one address has 6
        silent[-1].sendall(f"GET {PREFIX}health HTTP/1.0\r\n\r\n".encode())
        assert read(silent[-1]).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_is_worked_on_is_displaced_by_nobody(serve, monkeypatch):
    monkeypatch.setattr(web, "most_connections", lambda: 8)
    port, _ = serve(running=False)
    with ExitStack() as stack:
        uploads = [stack.enter_context(uploading(port)) for _ in range(6)]
        assert asked(port).startswith(b"HTTP/1.1 503 ")
        uploads[0].sendall(b"x" * 1_000)
        assert uploads[0].recv(100).startswith(b"HTTP/1.1 400 ")


def test_one_user_has_a_part_of_the_service(serve, monkeypatch):
    monkeypatch.setattr(workers, "_MOST_OF_USER", 3)
    port, _ = serve(running=False)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(uploading(port))
        assert asked(port).startswith(b"HTTP/1.1 503 ")
        assert asked(port, head=b"Authorization: token boris\r\n").startswith(b"HTTP/1.1 200 ")


def test_who_reads_slowly_holds_no_thread(serve, monkeypatch):
    port, wps = serve(running=False)
    job, _ = started(wps)
    home = wps.root / "users/anna/jobs" / job
    home.mkdir(parents=True)
    with (home / "large.bin").open("wb") as large:
        large.truncate(1 << 30)
    with ExitStack() as stack:
        for _ in range(workers.THREADS + 1):
            client = stack.enter_context(connected(port))
            path = f"GET {PREFIX}outputs/{job}/large.bin HTTP/1.1\r\nHost: x\r\n".encode()
            client.sendall(path + ANNA + b"\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")  # and no more is read
        assert asked(port).startswith(b"HTTP/1.1 200 ")


def test_large_answers_arrive_whole(serve):
    port, wps = serve(running=False)
    job, _ = started(wps)
    home = wps.root / "users/anna/jobs" / job
    home.mkdir(parents=True)
    content = os.urandom(3 * exchange.BLOCK + 7)
    (home / "x.bin").write_bytes(content)
    _, _, body = asked(port, f"outputs/{job}/x.bin").partition(b"\r\n\r\n")
    assert body == content
    part = asked(port, f"outputs/{job}/x.bin", ANNA + b"Range: bytes=5-600000\r\n")
    assert part.partition(b"\r\n\r\n")[2] == content[5:600_001]


def test_a_header_with_an_underscore_is_no_other_header(serve):
    port, _ = serve(running=False)
    assert asked(port, head=b"X_Y: 1\r\nAuthorization_: token anna\r\n").startswith(
        b"HTTP/1.1 401"
    )


def test_connections_are_limited_below_the_descriptors(monkeypatch):
    for soft, most in (
        (100, 50),
        (1_024, 768),
        (20_000, 4_000),
        (connections.resource.RLIM_INFINITY, 4_000),
    ):
        monkeypatch.setattr(connections.resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert connections.most_connections() == most
