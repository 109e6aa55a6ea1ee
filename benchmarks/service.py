"""`python -m benchmarks.service`: how fast is the WPS, and does it stay so under load?

Requests a second by eight callers, beside a floor: a constant answer by the same web server. Then
50 callers poll while 200 jobs are queued, beside the same question to an idle service.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from benchmarks.served import Client, Served, serving, until

CALLERS, SECONDS = 8, 5.0
POLLERS, QUEUED = 50, 200
BUSY = 503
CAPABILITIES = {"service": "WPS", "request": "GetCapabilities"}
DESCRIPTION = CAPABILITIES | {
    "request": "DescribeProcess", "version": "1.0.0", "identifier": "ALL",
}  # fmt: skip


def throughput(served: Served) -> None:
    """Print requests a second and latencies of eight callers."""
    print("| what | a second | ms, median | ms, 95 % | of the floor |\n|---|---|---|---|---|")
    floor = _rate(served, lambda client: client.get("health"))
    questions: dict[str, Callable[[Client], requests.Response]] = {
        "GetCapabilities": lambda client: client.get(**CAPABILITIES),
        "DescribeProcess, all": lambda client: client.get(**DESCRIPTION),
        "async Execute, accepted": lambda client: client.execute(),
        "sync Execute, extract-samples": lambda client: client.execute(asynchronously=False),
    }
    print(_row("floor: a constant answer", floor, floor))
    for name, ask in questions.items():
        print(_row(name, _rate(served, ask), floor), flush=True)
        _wait_until_idle(served)


def under_load(served: Served) -> None:
    """Print how long GetCapabilities takes while many poll and many jobs wait."""
    watcher = Client(served, "watcher")
    idle = _latencies(lambda: watcher.get(**CAPABILITIES), SECONDS)
    users = [Client(served, f"user{number}") for number in range(POLLERS)]
    jobs = {user: [user.accepted() for _ in range(QUEUED // POLLERS)] for user in users}
    over, answers = threading.Event(), Counter[int]()

    def poll(user: Client) -> None:
        counted = Counter[int]()
        while not over.is_set():
            for job in jobs[user]:
                counted[user.get(f"status/{job}.xml").status_code] += 1
            over.wait(0.2)
        answers.update(counted)

    threads = [threading.Thread(target=poll, args=(user,)) for user in users]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    busy = _latencies(lambda: watcher.get(**CAPABILITIES), SECONDS)
    _wait_until_idle(served)
    took = time.monotonic() - began
    over.set()
    for thread in threads:
        thread.join()
    states = Counter(str(user.job(str(job))["state"]) for user in users for job in jobs[user])
    faults = {code: n for code, n in answers.items() if code not in (200, BUSY)}
    print(f"\n{POLLERS} callers polling, {QUEUED} jobs queued, on two jobs at once:")
    print(f"- GetCapabilities, 95 %: {_percentile(busy, 95) * 1e3:.0f} ms, "
          f"idle {_percentile(idle, 95) * 1e3:.0f} ms")  # fmt: skip
    print(f"- {sum(answers.values())} polls answered, {answers[BUSY]} busy, other: {faults or 0}")
    print(f"- {QUEUED / took:.1f} jobs a second, all over after {took:.0f} s: {dict(states)}")


def _rate(served: Served, ask: Callable[[Client], requests.Response]) -> list[list[float]]:
    """Return the latencies of each caller, in seconds."""
    clients = [Client(served, f"caller{number}") for number in range(CALLERS)]
    for client in clients:
        ask(client).raise_for_status()  # connections and caches are warm
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda client: _latencies(lambda: ask(client), SECONDS), clients))


def _latencies(ask: Callable[[], requests.Response], seconds: float) -> list[float]:
    taken: list[float] = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        ask().raise_for_status()
        taken.append(time.monotonic() - began)
    return taken


def _row(name: str, taken: list[list[float]], floor: list[list[float]]) -> str:
    every = [seconds for caller in taken for seconds in caller]
    rate, best = len(every) / SECONDS, sum(map(len, floor)) / SECONDS
    return (f"| {name} | {rate:.0f} | {statistics.median(every) * 1e3:.1f} | "
            f"{_percentile(every, 95) * 1e3:.1f} | {rate / best:.2f} |")  # fmt: skip


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def _wait_until_idle(served: Served) -> None:
    # the service, its fork server, and no job
    until(lambda: len(served.processes()) == 2 and not _waiting(served), 600)


def _waiting(served: Served) -> bool:
    log = served.log.read_text(errors="replace")
    return log.count('"job accepted"') > log.count('"job successful"') + log.count('"job failed"')


def main() -> int:
    """Run both."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(
            Path(folder), jobs_at_once=2, jobs_per_user=10_000, jobs_in_total=100_000
        ) as served,
    ):
        throughput(served)
        under_load(served)
    return 0


if __name__ == "__main__":
    sys.exit(main())
