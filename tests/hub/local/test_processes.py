"""What a geoportal started is found by its mark, however loose it came."""

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from hub.local.processes import marked, stop_marked

# starts a process in a session of its own that ignores SIGTERM, tells its number, and ends
LOOSE = """
import subprocess, sys
code = (
    "import signal, sys, time;"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
child = subprocess.Popen(
    [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE
)
child.stdout.readline()
print(child.pid, flush=True)
"""


@pytest.fixture
def mark():
    return {"GEOPORTAL_INSTANCE": f"/nowhere/{uuid.uuid4()}"}


@pytest.fixture
def loose(mark):
    """A marked process without a parent, deaf to SIGTERM."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOSE],
        env=os.environ | mark,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    process = psutil.Process(int(done.stdout))
    yield process
    if process.is_running():
        process.kill()


def test_orphan_is_found_and_ended(loose, mark, monkeypatch):
    monkeypatch.setattr("hub.local.processes._GRACE_SECONDS", 0.5)
    assert list(marked(mark)) == [loose]
    assert stop_marked(mark) == 1
    assert list(marked(mark)) == []


def test_process_of_another_geoportal_is_left_alone(loose, mark):
    other = {"GEOPORTAL_INSTANCE": "/nowhere/else"}
    assert stop_marked(other) == 0
    assert stop_marked(mark | {"JUPYTERHUB_SERVICE_PREFIX": "/user/eve/"}) == 0
    assert loose.is_running()


def test_caller_and_its_ancestors_are_spared(monkeypatch):
    mine = {"PATH": psutil.Process().environ()["PATH"]}
    found = {process.pid for process in marked(mine)}
    assert os.getpid() not in found
    assert os.getppid() not in found
