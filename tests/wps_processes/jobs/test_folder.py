"""What is tidied in a job's folder, whatever its owner has put there."""

import os
import subprocess
import sys

import pytest

from tests.wps_processes.jobs.test_ledger import job
from wps_processes.jobs.folder import FETCHED, remove_outputs
from wps_processes.jobs.ledger import Job


@pytest.fixture
def deep(tmp_path):
    """A job whose owner has hidden folders in folders where what was received would lie."""
    job = Job(
        user="ann", folder="ann", groups=(), administrator=False,
        operation="classify-scene", inputs={}, request="{}",
    )  # fmt: skip
    folder = tmp_path / "users" / "ann" / "jobs" / job.id
    (folder / FETCHED).mkdir(parents=True)
    (folder / "map.tif").touch()
    current = os.open(folder / FETCHED, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 500):  # deeper than Python goes down
        os.mkdir("d", dir_fd=current)
        above, current = current, os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(above)
    os.close(current)
    yield job, folder
    subprocess.run(["rm", "-r", folder], check=True)  # pytest goes no deeper than Python


def test_folders_in_a_thousand_others_keep_nothing_from_being_tidied(deep, tmp_path):
    job, folder = deep
    for name in ("run.json", "run.classify-scene.json"):
        (folder / name).touch()
    remove_outputs(job, tmp_path)
    assert [path.name for path in folder.iterdir()] == [FETCHED]


def test_what_a_read_only_storage_keeps_is_tidied_later(start, monkeypatch):
    wps = start(running=False)
    wps.ledger.add(failed := job())
    claimed = wps.ledger.claim()
    wps.ledger.started(claimed, 2**22 + 1, 0.0)
    wps.ledger.fail(claimed, "no")
    with monkeypatch.context() as patched:
        patched.setattr("wps_processes.jobs.folder.is_read_only", lambda root: True)
        wps.runner.clean_up(claimed, wps.ledger)
        assert [each.id for each in wps.ledger.unclean()] == [failed.id]
    wps.runner.clean_up(claimed, wps.ledger)
    assert wps.ledger.unclean() == []
