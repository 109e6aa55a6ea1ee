"""A small share of `python -m benchmarks.durability`: real processes, really killed."""

import os

import pytest

from benchmarks.durability import trial

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_no_accepted_job_is_lost_stuck_or_done_twice(tmp_path, capsys):
    seed = int.from_bytes(os.urandom(4))
    account = trial(tmp_path, jobs=24, kills=12, seed=seed)
    accepted = sum(map(len, account.accepted.values()))
    assert account.faults == [], seed
    assert sum(account.killed.values()) >= 12
    assert accepted == 24
    assert account.states["successful"] + account.states["failed"] == accepted
