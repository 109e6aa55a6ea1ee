"""The running geoportal that end-to-end tests share: started as `make run` does, on free ports."""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import requests
from xdist.scheduler import LoadFileScheduling

from hub.local.client import fresh_token, local_session, sign_in

# Tests run side by side, and threads of OpenMP that wait for a core spin: two of them take many
# times the time of one. Before anything loads OpenMP; what tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

START_SECONDS = 240.0
STOP_SECONDS = 90.0
OURS = ("GEOPORTAL_", "JUPYTERHUB_", "JUPYTER_")
_NEXTCLOUD = "tests/nextcloud/"
# what takes longest is begun first, or a worker would be left alone with it at the end
_LONGEST = (
    "tests/test_drawing_in_the_browser.py",
    "tests/wps_processes/runners/kubernetes/test_runner.py",
    "tests/test_course_in_the_hub.py",
    _NEXTCLOUD,
    "tests/hub/local/test_launcher.py",
    "tests/hub/services/test_culler.py",
    "tests/hub/test_spawning.py",
    "tests/wps_processes/test_main.py",
    "tests/wps_processes/jobs/test_durability.py",
)


class _Units(LoadFileScheduling):
    """Deals out files, and all of Nextcloud as one, because those share a hub."""

    def _split_scope(self, nodeid: str) -> str:
        return _NEXTCLOUD if nodeid.startswith(_NEXTCLOUD) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Units | None:
    return _Units(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        ranks = (n for n, name in enumerate(_LONGEST) if item.nodeid.startswith(name))
        return next(ranks, len(_LONGEST))

    items.sort(key=rank)


@dataclass(frozen=True)
class Geoportal:
    """One running geoportal."""

    process: "subprocess.Popen[str]"
    state: Path
    url: str
    user: str
    password: str

    @property
    def wps(self) -> str:
        return f"{self.url}/services/wps/"

    @property
    def token(self) -> str:
        """The token of the demo user, as programs of this machine find it."""
        return str(json.loads((self.state / "endpoint.json").read_text())["token"])

    @property
    def storage(self) -> Path:
        return self.state / "storage"

    def login(self, name: str) -> requests.Session:
        """Sign in by the form, as a browser does; the session carries the cookies."""
        return sign_in(self.url, name, self.password)

    def token_for(self, name: str) -> str:
        """Return one more token of a user, who is made known to the hub if need be."""
        self.login(name).close()
        return fresh_token(self.url, name, self.password, note=f"tests {uuid.uuid4()}")

    def start_server(self, name: str) -> tuple[requests.Session, str]:
        """Start a user's JupyterLab; return a session with a token, and the server's address."""
        session = local_session()
        session.headers["Authorization"] = f"token {self.token_for(name)}"
        server = f"{self.url}/hub/api/users/{quote(name, safe='')}/server"
        session.post(server, timeout=START_SECONDS).raise_for_status()
        with session.get(f"{server}/progress", stream=True, timeout=START_SECONDS) as events:
            said = [line for line in events.iter_lines() if line.startswith(b"data: ")]
        last = json.loads(said[-1].removeprefix(b"data: "))
        assert last.get("ready"), said
        return session, f"{self.url}{last['url']}"

    def processes(self) -> list[psutil.Process]:
        """Return the launcher and all below it."""
        launcher = psutil.Process(self.process.pid)
        return [launcher, *launcher.children(recursive=True)]

    @staticmethod
    def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
        """Return those that still run; one that only waits for init to notice its end does not."""
        left = []
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(process)
        return left

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status when the launcher has ended."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


def clean_environment(state: Path, **variables: str) -> dict[str, str]:
    """Return the environment without traces of another hub, with a state folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"GEOPORTAL_STATE": str(state), "GEOPORTAL_PORT": "0"} | variables


def launch(state: Path, **variables: str) -> "subprocess.Popen[str]":
    """Start `python -m hub` as `make run` does; both its outputs are piped or kept."""
    with state.with_name(f"{state.name}.stderr").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "hub"],
            env=clean_environment(state, **variables),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def wait_until_ready(process: "subprocess.Popen[str]", state: Path) -> Geoportal:
    """Read the two lines that the contract fixes."""
    deadline = threading.Timer(START_SECONDS, process.kill)
    deadline.start()
    assert process.stdout is not None
    lines = [process.stdout.readline().rstrip("\n"), process.stdout.readline().rstrip("\n")]
    deadline.cancel()
    said = state.with_name(f"{state.name}.stderr").read_text()
    assert lines[0].startswith("Geoportal ready: http://127.0.0.1:"), (lines, said)
    assert lines[1].startswith("Sign in as demo with password "), (lines, said)
    return Geoportal(
        process=process,
        state=state,
        url=lines[0].split()[-1],
        user=lines[1].split()[3],
        password=lines[1].split()[-1],
    )


@pytest.fixture(scope="session")
def environment_for() -> Callable[..., dict[str, str]]:
    """A function from a state folder to the environment in which `python -m hub` is started."""
    return clean_environment


@pytest.fixture(scope="session")
def start_geoportal() -> Iterator[Callable[..., Geoportal]]:
    """A function that starts a geoportal on a state folder; all are ended at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(state: Path, **variables: str) -> Geoportal:
        started.append(launch(state, **variables))
        return wait_until_ready(started[-1], state)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in started:
        process.communicate(timeout=STOP_SECONDS)


@pytest.fixture(scope="session")
def geoportal(
    start_geoportal: Callable[..., Geoportal], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Geoportal]:
    """The geoportal of this test run; at its end nothing of it is left running."""
    running = start_geoportal(tmp_path_factory.mktemp("geoportal") / "state")
    yield running
    processes = running.processes()
    assert running.stop() == 0
    assert running.left_of(processes) == []
