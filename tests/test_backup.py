"""The drill of helm/README.md for one machine: files, jobs and password come back."""

import re
import subprocess
from pathlib import Path

import pytest
import requests
from owslib.wps import SYNC, WebProcessingService

from landcover.disk import Reserve
from wps_processes.web.health import BACKED_UP

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PAGE = Path(__file__).parents[1] / "helm" / "README.md"


def commands():
    """Return the commands for one machine: to back up, and to restore."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Back up and restore\n")[1]
    save, restore, *_ = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return save, restore


def run(block, folder):
    subprocess.run(["bash", "-euc", block], cwd=folder, check=True)


def jobs(geoportal):
    answer = requests.get(
        f"{geoportal.wps}jobs", headers={"Authorization": f"token {geoportal.token}"}, timeout=60
    )
    return answer.json()["jobs"]


def test_what_was_saved_is_there_again(start_geoportal, tmp_path):
    save, restore = commands()
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    first = start_geoportal(here / ".geoportal")
    wps = WebProcessingService(first.wps, headers={"Authorization": f"token {first.token}"})
    inputs = [("scene", "shared/demo/scene.tif"), ("labels", "shared/demo/labels.gpkg")]
    assert wps.execute("extract-samples", inputs, mode=SYNC).isSucceded()
    (done,) = jobs(first)
    counts = f"users/{first.user}/jobs/{done['id']}/counts.csv"
    written = (first.storage / counts).read_text()
    assert first.stop() == 0

    run(save, here)
    assert (here / "geoportal.tar").stat().st_mode & 0o077 == 0
    assert (here / "geoportal.tar").stat().st_size < Reserve(first.state).size
    assert (first.state / BACKED_UP).exists()
    (here / "geoportal.tar").rename(there / "geoportal.tar")
    run(restore, there)

    second = start_geoportal(there / ".geoportal")
    assert second.password == first.password
    (kept,) = jobs(second)
    assert kept["id"] == done["id"]
    assert kept["state"] == "successful"
    assert (second.storage / counts).read_text() == written
    assert (there / ".geoportal").stat().st_mode & 0o777 == 0o700
