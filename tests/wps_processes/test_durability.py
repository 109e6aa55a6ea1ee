"""A small share of `python -m benchmarks.durability`: real processes, really killed."""

import os

import pytest

from benchmarks.durability import trial

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("shared", [False, True], ids=["SQLite", "PostgreSQL, two services"])
def test_no_accepted_job_is_lost_stuck_or_done_twice(tmp_path, request, shared):
    seed = int.from_bytes(os.urandom(4))
    ledger = request.getfixturevalue("postgresql").database() if shared else None
    account = trial(tmp_path, jobs=24, kills=12, seed=seed, ledger=ledger)
    accepted = sum(map(len, account.accepted.values()))
    assert account.faults == [], seed
    assert sum(account.killed.values()) >= 12
    assert accepted == 24
    assert account.states["successful"] + account.states["failed"] == accepted
