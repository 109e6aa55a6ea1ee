"""`python -m benchmarks.durability [JOBS [KILLS [--ledger URL]]]`: is a job lost by a kill?

Users send short jobs, asynchronously, while the service, its fork server, a job's process, or all
of them are killed (SIGKILL) at random moments; the service is started again at once, as the hub
does. In the end every job that was accepted must be over, each once. With an (empty) database of
PostgreSQL two services share the jobs, and are also stopped (SIGSTOP) for longer than their lease.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil

from benchmarks.served import Client, Served, replicas, until
from hub.machine import free_port

JOBS, KILLS = 1_000, 200
USERS = ("anna", "boris", "clara", "dmitri")
VICTIMS = ("service", "fork server", "job", "all")
HANGING = "service that hangs"
LONGEST_PAUSE = 1.5
SECONDS = 1_200.0
LEASE_SECONDS = 2.0  # of a service that shares its jobs


@dataclass
class Account:
    """What happened.

    Attributes:
        accepted: ids of jobs by user, as the service answered.
        killed: how often which process was killed.
        states: how many jobs ended how.
        faults: what must not have happened, in words.
    """

    accepted: dict[str, list[str]] = field(default_factory=lambda: {user: [] for user in USERS})
    killed: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def trial(state: Path, jobs: int, kills: int, seed: int = 0, ledger: str | None = None) -> Account:
    """Send jobs while processes are killed, and say what became of them.

    Args:
        state: an empty folder for all.
        jobs: how many are sent.
        kills: how often a process is killed.
        seed: of the moments and victims.
        ledger: URL of an empty database that two services share; without it, one has SQLite.
    """
    account, rng, done = Account(), random.Random(seed), threading.Event()
    settings = {} if ledger is None else {"ledger": ledger, "lease_seconds": LEASE_SECONDS}
    number = 1 if ledger is None else 2
    with replicas(state, number, jobs_at_once=2, **settings) as services:
        senders = [
            threading.Thread(
                target=_send, args=(Client(service, user), jobs, kills, account, done)
            )
            for user, service in zip(USERS, cycle(services), strict=False)
        ]
        for sender in senders:
            sender.start()
        try:
            # at least until all is sent, so that no moment of a job's life is spared
            while sum(account.killed.values()) < kills or any(s.is_alive() for s in senders):
                time.sleep(rng.uniform(0, LONGEST_PAUSE))
                victims = VICTIMS if ledger is None else (*VICTIMS, HANGING)
                _kill(rng.choice(services), rng.choice(victims), rng, account)
        finally:
            done.set()
        for sender in senders:
            sender.join()
        _judge(services, account)
    return account


def _send(client: Client, jobs: int, kills: int, account: Account, done: threading.Event) -> None:
    """Send a user's share of the jobs, no faster than processes are killed."""
    mine, share = account.accepted[client.user], jobs // len(USERS)
    while len(mine) < share and not done.is_set():
        is_ahead = len(mine) * kills > share * (sum(account.killed.values()) + 2)
        job = None if is_ahead else client.accepted()
        if job is None:
            done.wait(0.05)
        else:
            mine.append(job)


def _kill(served: Served, victim: str, rng: random.Random, account: Account) -> None:
    """Kill a process, and start the service again if it was among them; or let it hang a while."""
    if victim == HANGING:  # until its jobs are another's
        process = served.processes()[0]
        process.suspend()
        time.sleep(2 * LEASE_SECONDS)
        process.resume()
        account.killed[victim] += 1
        return
    if victim == "job":  # it lives for a moment only
        with suppress(TimeoutError):
            until(lambda: len(served.processes()) > 2, LONGEST_PAUSE)
    service, *others = served.processes()
    server, jobs = others[:1], others[1:]
    victims = {
        "service": [service], "fork server": server, "all": [service, *others],
        "job": [rng.choice(jobs)] if jobs else [],
    }[victim]  # fmt: skip
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    account.killed[victim] += bool(victims)
    if victim in ("service", "all"):
        served.stop(signal.SIGKILL)
        served.start()


def _judge(services: list[Served], account: Account) -> None:
    """Look for every fault that there could be."""
    served = services[0]
    clients = {user: Client(served, user) for user in USERS}
    for user, ids in account.accepted.items():
        until(lambda user=user: not _waiting(clients[user]), SECONDS)  # type: ignore[misc]
        for job in ids:
            said = clients[user].job(job)
            account.states[str(said["state"])] += 1
            _judge_one(served, user, said, account)
    successes = sum((_successes(each.log) for each in services), Counter[str]())
    account.faults += [f"{job} ended well {n} times" for job, n in successes.items() if n > 1]
    # no slot may have leaked; a fork server that was killed comes back with the next job
    until(lambda: all(len(each.processes()) <= 2 for each in services))
    idle = [process for each in services for process in each.processes()]
    zombies = [p for p in idle if p.status() == psutil.STATUS_ZOMBIE]
    account.faults += [f"{process} is a zombie" for process in zombies]
    client = clients[USERS[0]]
    last = [client.accepted() for _ in range(4)]
    until(lambda: all(job and client.job(job)["state"] == "successful" for job in last))
    everything = [process for each in services for process in each.processes()]
    for each in services:
        each.stop(signal.SIGKILL)
    alive = psutil.wait_procs(everything, timeout=5)[1]
    account.faults += [f"{process} outlived the service" for process in alive]
    for each in services:
        each.start()  # on the same port


def _waiting(client: Client) -> bool:
    return any(client.get("jobs", state=state, limit=1).json()["jobs"]
               for state in ("accepted", "running"))  # fmt: skip


def _judge_one(served: Served, user: str, said: dict[str, object], account: Account) -> None:
    folder = served.state / "storage" / "users" / user / "jobs" / str(said["id"])
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    state = said["state"]
    if state == "successful" and there != {"job.log", "counts.csv", "samples"}:
        account.faults.append(f"{said['id']} ended well and has {sorted(there)}")
    if state == "failed" and (not said["error"] or there - {"job.log"}):
        account.faults.append(f"{said['id']} failed ({said['error']}) and left {sorted(there)}")
    if state not in ("successful", "failed"):
        account.faults.append(f"{said['id']} is {state}")


def _successes(log: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if event.get("message") == "job successful":
                found[event["job"]] += 1
    return found


def main() -> int:
    """Run the trial and print its account."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", type=int, nargs="?", default=JOBS)
    parser.add_argument("kills", type=int, nargs="?", default=KILLS)
    parser.add_argument("--ledger", metavar="URL", help="of an empty database of PostgreSQL")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        account = trial(Path(folder), given.jobs, given.kills, free_port(), given.ledger)
    total = sum(map(len, account.accepted.values()))
    print(f"{total} jobs accepted, {sum(account.killed.values())} kills "
          f"({', '.join(f'{name} {n}' for name, n in sorted(account.killed.items()))}), "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    print(", ".join(f"{n} {state}" for state, n in sorted(account.states.items())))
    print("\n".join(account.faults) or "none lost, none stuck, none twice, nothing left behind")
    return bool(account.faults)


if __name__ == "__main__":
    sys.exit(main())
