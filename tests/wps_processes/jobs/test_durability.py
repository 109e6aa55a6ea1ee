"""A small share of `python -m benchmarks.durability`: real processes, really killed."""

import os

import pytest

from benchmarks.durability import trial

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("shared", "jobs", "kills"),
    [
        pytest.param(False, 12, 6, id="SQLite"),
        pytest.param(True, 24, 12, id="PostgreSQL, two services", marks=pytest.mark.proof),
    ],
)
def test_no_accepted_job_is_lost_stuck_or_done_twice(tmp_path, request, shared, jobs, kills):
    seed = int.from_bytes(os.urandom(4))
    ledger = request.getfixturevalue("postgresql").database() if shared else None
    account = trial(tmp_path, jobs=jobs, kills=kills, seed=seed, ledger=ledger)
    accepted = sum(map(len, account.accepted.values()))
    assert account.faults == [], seed
    assert sum(account.killed.values()) >= kills
    assert accepted == jobs
    assert account.states["successful"] + account.states["failed"] == accepted
