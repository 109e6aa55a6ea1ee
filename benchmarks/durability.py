"""`python -m benchmarks.durability [JOBS [STRIKES]] [--trouble NAME]`: is a job lost by a trouble?

Users send short jobs, asynchronously, while a trouble comes and goes at random moments; one table
has a row for each:

    kills       the service, its fork server, a job's process, or all of them are killed (SIGKILL);
                the service is started again at once, as the hub does
    replicas    the same with two services that share the jobs in PostgreSQL, and are also stopped
                (SIGSTOP) for longer than their lease
    full-disk   storage, ledger and log have no byte left
    read-only   the storage cannot be written
    floods      strangers ask, send much and hold connections
    database    PostgreSQL is killed under two services

In the end every job that was accepted must be over, each once, and jobs must succeed as before.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from benchmarks import postgresql, troubles
from benchmarks.served import Client, Served, replicas, until
from benchmarks.troubles import Strike

JOBS, STRIKES = 1_000, 200
USERS = ("anna", "boris", "clara", "dmitri")
VICTIMS = ("service", "fork server", "job", "all")
HANGING = "service that hangs"
LONGEST_PAUSE = 1.5
SECONDS = 1_200.0
LEASE_SECONDS = 2.0  # of a service that shares its jobs
WRITTEN = {"job.log", "counts.csv", "samples", "run.json", "run.extract-samples.json"}


@dataclass
class Account:
    """What happened.

    Attributes:
        accepted: ids of jobs by user, as the service answered.
        killed: how often which process was killed, or which trouble struck.
        refused: how often a user was told to come later, or not answered.
        states: how many jobs ended how.
        faults: what must not have happened, in words.
    """

    accepted: dict[str, list[str]] = field(default_factory=lambda: {user: [] for user in USERS})
    killed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def trial(
    state: Path,
    jobs: int,
    kills: int,
    seed: int = 0,
    ledger: str | None = None,
    strike: Strike | None = None,
) -> Account:
    """Send jobs while a trouble comes and goes, and say what became of them.

    Args:
        state: an empty folder for all.
        jobs: how many are sent.
        kills: how often the trouble comes.
        seed: of the moments and victims.
        ledger: URL of an empty database that two services share; without it, one has SQLite.
        strike: the trouble; None kills processes.
    """
    account, rng, done = Account(), random.Random(seed), threading.Event()
    settings = {} if ledger is None else {"ledger": ledger, "lease_seconds": LEASE_SECONDS}
    number = 1 if ledger is None else 2
    victims = VICTIMS if ledger is None else (*VICTIMS, HANGING)
    strike = strike or partial(_kill_some, victims)
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
                strike(services, rng, account.killed)
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
            account.refused[client.user] += not is_ahead
            done.wait(0.05)
        else:
            mine.append(job)


def _kill_some(
    victims: Sequence[str], services: list[Served], rng: random.Random, killed: Counter[str]
) -> None:
    _kill(rng.choice(services), rng.choice(victims), rng, killed)


def _kill(served: Served, victim: str, rng: random.Random, killed: Counter[str]) -> None:
    """Kill a process, and start the service again if it was among them; or let it hang a while."""
    if victim == HANGING:  # until its jobs are another's
        process = served.processes()[0]
        process.suspend()
        time.sleep(2 * LEASE_SECONDS)
        process.resume()
        killed[victim] += 1
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
    killed[victim] += bool(victims)
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
    if state == "successful" and there != WRITTEN:
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


TROUBLES = ("kills", "replicas", "full-disk", "read-only", "floods", "database")
_OF_DISKS = {"full-disk": troubles.fill_disk, "read-only": troubles.make_read_only}
_OF_POSTGRESQL = ("replicas", "database")
_HEAD = """| trouble | struck | accepted | refused | successful | failed | s | faults |
|---|---|---|---|---|---|---|---|"""


def main() -> int:
    """Run the trials and print their table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", type=int, nargs="?", default=JOBS)
    parser.add_argument("strikes", type=int, nargs="?", default=STRIKES)
    parser.add_argument("--trouble", choices=TROUBLES, action="append")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        print(f"seed {given.seed}\n\n{_HEAD}", flush=True)
    faults = [
        _apart(name, given)
        if name in _OF_DISKS and not given.inside
        else _tried(name, given.jobs, given.strikes, given.seed)
        for name in given.trouble or TROUBLES
    ]
    return int(any(faults))


def _apart(name: str, given: argparse.Namespace) -> bool:
    """Try a trouble of disks where mounts are nobody else's; return whether there were faults."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        print(f"| {name} | not tried: nobody may mount here |||||||", flush=True)
        return False
    numbers = [str(given.jobs), str(given.strikes), f"--seed={given.seed}"]
    here = [sys.executable, "-m", "benchmarks.durability", *numbers, f"--trouble={name}"]
    return bool(subprocess.run([*alone, *here, "--inside"]).returncode)


def _tried(name: str, jobs: int, strikes: int, seed: int) -> bool:
    """Try a trouble and print its row; return whether there were faults."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _prepared(name, Path(folder)) as how:
        account = trial(Path(folder), jobs, strikes, seed, **how)
    struck = ", ".join(f"{what} {n}" for what, n in sorted(account.killed.items()))
    states, accepted = account.states, sum(map(len, account.accepted.values()))
    print(f"| {name} | {struck} | {accepted} | {account.refused.total()} | "
          f"{states['successful']} | {states['failed']} | {time.monotonic() - began:.0f} | "
          f"{'; '.join(account.faults) or 'none'} |", flush=True)  # fmt: skip
    return bool(account.faults)


@contextmanager
def _prepared(name: str, state: Path) -> Iterator[dict[str, Any]]:
    """Yield what a trial of this trouble takes besides: a ledger, a strike."""
    if name in _OF_POSTGRESQL:
        with postgresql.serving() as server:
            strike = troubles.kill_database(server) if name == "database" else None
            yield {"ledger": server.database(), "strike": strike}
        return
    if name not in _OF_DISKS:
        yield {"strike": troubles.flood if name == "floods" else None}
        return
    disk = state if name == "full-disk" else state / "storage"
    troubles.mount(disk)
    try:
        yield {"strike": _OF_DISKS[name]}
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


if __name__ == "__main__":
    sys.exit(main())
