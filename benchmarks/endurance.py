"""`python -m benchmarks.endurance [--jobs N] [--requests N]`: does the service stay as it was?

The same questions to a service whose ledger holds few and so many finished jobs, a tenth of them
the user's who asks; then so many requests of all kinds, and the memory before and after.
Exits with 1 if a page became much slower or memory grew.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import requests
from sqlalchemy import insert

from benchmarks.served import Client, Served, serving, until
from wps_processes.jobs.ledger import SUCCESSFUL, Job, Ledger, _jobs, rfc3339

JOBS, REQUESTS = 100_000, 21_000
FEW, ASKED, WARM = 1_500, 100, 1_000
MOST_SLOWER, MOST_MS = 1.5, 5.0
"""A median may be so many times as long, or so many ms longer, as others work on the machine."""
MOST_GROWN = 0.05
"""Of the memory after `WARM` requests."""

ASKER = "anna"
USERS = (ASKER, *(f"user{number}" for number in range(9)))


def questions(client: Client, root: Client) -> dict[str, Callable[[], requests.Response]]:
    """Return what is asked, by its name."""
    return {
        "page of jobs": lambda: client.page(),
        "page of jobs, the last": lambda: client.page(offset=9_000),
        "jobs as JSON": lambda: client.get("jobs", limit=100),
        "administration": lambda: root.page("administration"),
        "health": lambda: root.page("administration/health"),
        "accept a job": client.execute,
    }


def medians(served: Served, asked: int) -> dict[str, float]:
    """Return the median time of each question, in milliseconds."""
    taken = {}
    for name, ask in questions(Client(served, ASKER), Client(served, "root")).items():
        taken[name] = statistics.median(_milliseconds(ask) for _ in range(asked))
        until(lambda: _is_idle(served), 600)
    return taken


def fill(ledger: Path, numbers: range) -> None:
    """Write finished jobs of ten users into a ledger, one in half a minute until now."""
    now = datetime.now(UTC)
    pattern = Job(
        user="", folder="", groups=[], administrator=False, operation="extract-samples", inputs={
            "scene": "shared/scene.tif", "labels": "shared/labels.tif",
        }, request="{}", state=SUCCESSFUL, progress=100, message="done", attempt=1,
        outputs={"total": 1},
    )  # fmt: skip
    rows = []
    for number in numbers:
        at, user = rfc3339(now - timedelta(seconds=30 * number)), USERS[number % len(USERS)]
        done = replace(
            pattern, id=f"{number:036}", user=user, folder=user, created=at, started=at,
            finished=at,
        )  # fmt: skip
        rows.append({f.name: getattr(done, f.name) for f in fields(Job)})
    opened = Ledger(ledger)
    with opened._database.writing() as connection:
        connection.execute(insert(_jobs), rows)
    opened.close()


def grown(served: Served, number: int) -> tuple[float, float]:
    """Return the service's memory after `WARM` requests and after all, in MiB."""
    client = Client(served, ASKER)
    asked = [ask for name, ask in questions(client, Client(served, "root")).items()
             if name != "accept a job"]  # fmt: skip
    asked += [lambda: client.get(service="WPS", request="GetCapabilities"),
              lambda: client.get("jobs/none"), lambda: client.get("nothing/here")]  # fmt: skip
    before = 0.0
    for count in range(number):
        asked[count % len(asked)]()
        if count == WARM:
            before = _used(served)
    return before, _used(served)


def _milliseconds(ask: Callable[[], requests.Response]) -> float:
    began = time.monotonic()
    ask().raise_for_status()
    return (time.monotonic() - began) * 1e3


def _is_idle(served: Served) -> bool:
    client = Client(served, ASKER)
    return not any(client.get("jobs", state=state, limit=1).json()["jobs"]
                   for state in ("accepted", "running"))  # fmt: skip


def _used(served: Served) -> float:
    assert served.process is not None
    return float(psutil.Process(served.process.pid).memory_info().rss) / 2**20


def main() -> int:
    """Print the two tables, and return whether something did not stay as it was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        fill(Path(folder) / "jobs.sqlite", range(FEW))
        few = medians(served, ASKED)
        fill(Path(folder) / "jobs.sqlite", range(FEW, given.jobs))
        full = medians(served, ASKED)
        before, after = grown(served, given.requests)
    print(f"| question, median, ms | {FEW:,} finished jobs | {given.jobs:,} |\n|---|---|---|")
    print("\n".join(f"| {name} | {few[name]:.1f} | {full[name]:.1f} |" for name in few))
    print(f"\nMemory after {WARM:,} requests {before:.0f} MiB, after {given.requests:,} "
          f"{after:.0f} MiB.")  # fmt: skip
    slow = [name for name in few
            if full[name] > max(MOST_SLOWER * few[name], few[name] + MOST_MS)]  # fmt: skip
    faults = [f"{name} is slower" for name in slow]
    faults += ["memory grew"] * (after > (1 + MOST_GROWN) * before)
    print("; ".join(faults) or "Nothing is slower, and memory is flat.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
