"""Troubles that pass: a full disk, a read-only storage, a flood of requests, a dead database.

Each is a strike: it comes, stays for a moment and goes, and counts itself.
"""

import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import requests

from benchmarks.postgresql import Server
from benchmarks.served import DEADLINE, Served, until

Strike = Callable[[list[Served], random.Random, Counter[str]], None]
"""Strikes services once, and counts what was struck by its name."""

LONGEST = 1.5
DISK = "128m"
_STRANGERS, _HELD = 16, 200
_BODY = b"<Execute>" * 20_000


def mount(folder: Path) -> None:
    """Mount a small disk of its own on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", folder)


def fill_disk(services: list[Served], rng: random.Random, struck: Counter[str]) -> None:
    """Leave no byte on the disk for a moment."""
    rest = services[0].state / "storage" / "rest"
    with rest.open("ab", buffering=0) as file:
        for size in (1 << 20, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    time.sleep(rng.uniform(0, LONGEST))
    rest.unlink()
    struck["full disk"] += 1


def make_read_only(services: list[Served], rng: random.Random, struck: Counter[str]) -> None:
    """Let nothing be written to the storage for a moment."""
    storage = services[0].state / "storage"
    # refused while a file is open to be written
    until(lambda: not subprocess.run(["mount", "-o", "remount,ro", storage],
                                     capture_output=True).returncode)  # fmt: skip
    time.sleep(rng.uniform(0, LONGEST))
    _run("mount", "-o", "remount,rw", storage)
    struck["read-only storage"] += 1


def flood(services: list[Served], rng: random.Random, struck: Counter[str]) -> None:
    """Let strangers ask, send much, and hold connections for a moment."""
    end = time.monotonic() + rng.uniform(0, LONGEST)
    with ExitStack() as held, ThreadPoolExecutor(_STRANGERS) as strangers:
        for served in services:
            for _ in range(_HELD):
                with suppress(OSError):
                    connection = socket.create_connection(("127.0.0.1", served.port), DEADLINE)
                    held.enter_context(connection).sendall(b"GET / HTTP/1.1\r\nHost: ")
            for _ in range(_STRANGERS // len(services)):
                strangers.submit(partial(_ask, served, end))
    struck["flood"] += 1


def kill_database(server: Server) -> Strike:
    """Return the strike that kills a PostgreSQL server, and starts it again after a moment."""

    def kill(services: list[Served], rng: random.Random, struck: Counter[str]) -> None:
        server.stop(signal.SIGKILL)
        time.sleep(rng.uniform(0, LONGEST))
        server.start()
        struck["database"] += 1

    return kill


def _ask(served: Served, end: float) -> None:
    while time.monotonic() < end:
        with suppress(requests.RequestException):
            requests.get(served.url, timeout=DEADLINE)
            requests.post(served.url, data=_BODY, timeout=DEADLINE)


def _run(*command: object) -> None:
    subprocess.run([str(each) for each in command], check=True)
