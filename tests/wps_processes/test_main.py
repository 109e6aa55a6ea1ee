"""The service as the hub starts it, and ends it, and as a crash ends it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
import requests

from tests.wps_processes.test_jobs import job
from wps_processes.jobs import Ledger

DEADLINE = 60


def until(condition):
    """Return what the condition returns as soon as it is true."""
    deadline, never = time.monotonic() + DEADLINE, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        never.wait(0.02)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(start, tmp_path):
    """A function that starts the service on the storage of `start` and returns it with its URL."""
    root, started = start(running=False).root, []

    def server():
        url = f"http://127.0.0.1:{free_port()}"
        environment = os.environ | {
            "GEOPORTAL_STATE": str(tmp_path),
            "GEOPORTAL_STORAGE": str(root),
            "GEOPORTAL_JOBS_AT_ONCE": "1",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/wps/",
            "JUPYTERHUB_SERVICE_URL": url,
        }
        started.append(subprocess.Popen([sys.executable, "-m", "wps_processes"], env=environment))
        return started[-1], f"{url}/services/wps/"

    yield server
    for process in started:
        process.kill()
        process.wait()


def answers(url):
    try:
        return requests.get(url, timeout=5).status_code
    except requests.ConnectionError:
        return None


@contextmanager
def held(pid):
    """Suspend a process: it neither ends nor notices anything by itself."""
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_outlives_the_end_of_the_service(serve, tmp_path, number):
    ledger, accepted = Ledger(tmp_path / "jobs.sqlite"), job()
    ledger.add(accepted)
    service, _ = serve()
    with held(until(lambda: ledger.get(accepted.id).pid)) as process:
        service.send_signal(number)
        assert service.wait(DEADLINE) == (0 if number == signal.SIGTERM else -number)
        assert ledger.get(accepted.id).state == "running"

        _, url = serve()
        until(lambda: ledger.get(accepted.id).is_over)
        assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    over = ledger.get(accepted.id)
    assert (over.state, over.attempt, over.outputs["total"]) == ("successful", 2, 150)
    assert until(lambda: answers(f"{url}health")) == 200
    assert answers(f"{url}jobs") == 401
