"""Thousands of connections without identity, and how soon a user is answered meanwhile.

    python -m benchmarks.connections --number 10000 --descriptors 1024

A process of its own makes the connections and holds them; a user asks all the while, each time by
a new connection. `benchmarks.attacker` has the kinds. All limits of descriptors and kinds are
tried in turn unless they are named.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from benchmarks import attacker
from benchmarks.served import DEADLINE, Served, serving

FEWEST_ANSWERS = 20
AGAIN = 3


@contextmanager
def attacked(served: Served, number: int, kind: str) -> Iterator[threading.Event]:
    """Let a process make connections to a service within the block; yield what it sets then."""
    command = [sys.executable, attacker.__file__, str(served.port), str(number), kind]
    made = threading.Event()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def hear() -> None:
            assert process.stdout is not None
            process.stdout.readline()
            made.set()

        listener = threading.Thread(target=hear)
        listener.start()
        try:
            yield made
        finally:
            process.kill()
            listener.join()


def seconds_to_answer(served: Served, number: int, kind: str) -> list[float]:
    """Return how long a user waits for each answer while connections are made, and after.

    Raises:
        requests.RequestException: an answer is refused or does not come.
    """
    seconds = []
    with attacked(served, number, kind) as made:
        while not made.is_set() or len(seconds) < FEWEST_ANSWERS:
            began = time.monotonic()
            answered(served)
            seconds.append(time.monotonic() - began)
    return seconds


def answered(served: Served) -> None:
    """Ask as a user, by a new connection; again if that is cut off, as browsers do."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(AGAIN)))
        session.headers["Authorization"] = "token anna"
        session.get(f"{served.url}jobs", timeout=DEADLINE).raise_for_status()


def main() -> None:
    """Print the slowest answer, and what of memory and descriptors the service has used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--kind", choices=attacker.SENT, action="append")
    parser.add_argument("--descriptors", type=int, action="append")
    asked = parser.parse_args()
    print("| descriptors | connections | slowest answer, s | MiB more |")
    print("|---|---|---|---|")
    for soft in asked.descriptors or (1_024, 20_000):
        for kind in asked.kind or attacker.SENT:
            _print_row(asked.number, kind, soft)


def _print_row(number: int, kind: str, soft: int) -> None:
    with tempfile.TemporaryDirectory() as state, serving(Path(state), descriptors=soft) as served:
        answered(served)
        before = _used(served)
        slowest = max(seconds_to_answer(served, number, kind))
        more = _used(served) - before
    print(f"| {soft:,} | {number:,} {kind} | {slowest:.2f} | {more:.0f} |", flush=True)


def _used(served: Served) -> float:
    """Return the MiB that the service has in memory."""
    assert served.process is not None
    return float(psutil.Process(served.process.pid).memory_info().rss) / 2**20


if __name__ == "__main__":
    main()
