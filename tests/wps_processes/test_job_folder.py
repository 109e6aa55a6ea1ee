"""What is tidied in a job's folder, whatever its owner has put there."""

import os
import subprocess

import pytest

from wps_processes.job_folder import FETCHED, remove_outputs
from wps_processes.jobs import Job

DEEP = 1_500  # folders in one another, more than Python goes down


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
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=current)
        above, current = current, os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(above)
    os.close(current)
    yield job, folder
    subprocess.run(["rm", "-r", folder], check=True)  # pytest goes no deeper than Python


def test_folders_in_a_thousand_others_keep_nothing_from_being_tidied(deep, tmp_path):
    job, folder = deep
    remove_outputs(job, tmp_path)
    assert not (folder / "map.tif").exists()
