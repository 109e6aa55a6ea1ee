"""A real hub whose users sign in at the Nextcloud of the test run, and its files and shares."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
import requests
import yaml

from hub.auth import tokens
from hub.local import launcher, processes
from hub.local.client import local_session
from hub.local.machine import Machine
from tests.conftest import STOP_SECONDS, clean_environment
from tests.stand_ins.nextcloud.cloud import ADMINISTRATORS, MEMBERS, REAL, Cloud, cloud_for_tests
from tests.stand_ins.nextcloud.person import sign_in
from tests.stand_ins.nextcloud.servers import Server, server_of, stood_in

PATIENCE_SECONDS = 60
_CONFIG = Path(launcher.__file__).parents[1] / "jupyterhub_config.py"


@dataclass(frozen=True)
class Hub:
    """A running hub."""

    machine: Machine
    cloud: Cloud

    @property
    def url(self) -> str:
        return self.machine.url

    @property
    def log(self) -> str:
        return (self.machine.state / "hub.log").read_text(encoding="utf-8")

    def sign_in(self, uid: str) -> tuple[requests.Session, requests.Response]:
        """Sign a person in; return the session, and the page that the hub led to."""
        return sign_in(self.url, uid, self.cloud.passwords[uid])

    def home(self, session: requests.Session) -> requests.Response:
        """Ask for a page of the hub, where a look at Nextcloud is due every second."""
        return session.get(f"{self.url}/hub/home", timeout=PATIENCE_SECONDS, allow_redirects=False)

    def api(self, session: requests.Session, method: str, path: str, **json: object) -> object:
        """Call the hub's API as its own pages do."""
        answer = session.request(
            method,
            f"{self.url}/hub/api/{path}",
            headers={"X-XSRFToken": session.cookies.get("_xsrf", path="/hub/")},
            json=json or None,
            timeout=PATIENCE_SECONDS,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def start_server(self, session: requests.Session, name: str) -> psutil.Process:
        """Start a user's server; return its process when it is ready."""
        self.api(session, "POST", f"users/{quote(name)}/server")
        progress = f"{self.url}/hub/api/users/{quote(name)}/server/progress"
        headers = {"X-XSRFToken": session.cookies.get("_xsrf", path="/hub/")}
        answer = session.get(progress, headers=headers, timeout=PATIENCE_SECONDS)
        said = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        assert json.loads(said[-1].removeprefix("data: ")).get("ready"), said
        server, *_ = processes.marked(
            self.machine.mark | {"JUPYTERHUB_SERVICE_PREFIX": f"/user/{quote(name, safe='@')}/"}
        )
        return server

    def wps(self) -> psutil.Process:
        """Return the process of the WPS."""
        wps, *_ = processes.marked(self.machine.mark | {"JUPYTERHUB_SERVICE_NAME": "wps"})
        return wps

    def token(self, process: psutil.Process, **query: str) -> requests.Response:
        """Ask for an access token as a process would that the hub started."""
        environment = process.environ()
        with local_session() as session:
            return session.get(
                environment[tokens.VARIABLE],
                params=query,
                headers={"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"},
                timeout=PATIENCE_SECONDS,
            )


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with cloud_for_tests() as cloud:
        cloud.add("alice", MEMBERS, ADMINISTRATORS)
        cloud.add("bob.smith", MEMBERS)
        cloud.add("Eve Smith@Lab.org", MEMBERS)
        cloud.add("carol")
        yield cloud


@pytest.fixture(scope="session")
def hub(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that looks at Nextcloud every second and never leaves it alone."""
    state = tmp_path_factory.mktemp("hub") / "state"
    settings = _settings(cloud, state.parent)
    port = urlsplit(cloud.callback_url).port
    assert port is not None
    wanted = Machine(state, state / "storage", settings, port)
    with launcher.claimed(wanted) as machine:
        process = _start(machine, [] if cloud.stand_in else ["renew_before=3601"])
        try:
            launcher.wait_until_ready(machine, process)
            yield Hub(machine, cloud)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


@pytest.fixture
def newcomer(cloud: Cloud) -> Iterator[Callable[..., str]]:
    """A function that makes an account for this test alone."""
    made: list[str] = []

    def make(*groups: str) -> str:
        uid = f"Newcomer.{time.monotonic_ns()}"
        cloud.add(uid, *groups)
        made.append(uid)
        return uid

    yield make
    for uid in made:
        cloud.remove(uid)


def _settings(cloud: Cloud, folder: Path) -> Path:
    secrets = {
        "client_id": cloud.client_id,
        "client_secret": cloud.client_secret,
        "crypt_key": "5e" * 32,
    }
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    authenticator = {
        "kind": "nextcloud",
        "url": cloud.url,
        "callback_url": cloud.callback_url,
        "allowed_groups": [MEMBERS],
        "admin_groups": [ADMINISTRATORS],
    } | {name: {"file": str(folder / name)} for name in secrets}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump({"authenticator": authenticator, "spawner": {"kind": "local"}}))
    return path


def _start(machine: Machine, more: list[str]) -> "subprocess.Popen[bytes]":
    traits = ["auth_refresh_age=1", "silence=0", *more]
    here = machine.environment | machine.mark
    programs = f"{Path(sys.executable).parent}:{clean_environment(machine.state)['PATH']}"
    with (machine.state / "hub.log").open("wb") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "jupyterhub", "-f", str(_CONFIG), "--debug",
                *(f"--NextcloudOAuthenticator.{trait}" for trait in traits),
            ],
            cwd=machine.state,
            env=clean_environment(machine.state) | here | {"PATH": programs},
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.fixture
def dav(tmp_path):
    """The stand-in, with faults on demand."""
    stand_in, users = stood_in(tmp_path / "nextcloud")
    with stand_in.serving():
        yield Server(stand_in.url, users, "ice & snow", {}, stand_in)


@pytest.fixture(scope="session")
def real_server(cloud: Cloud) -> Server:
    if cloud.stand_in:
        pytest.skip(f"{REAL} names no Nextcloud")
    return server_of(cloud)


@pytest.fixture(params=["dav", "real_server"], ids=["stand-in", "real"])
def server(request):
    """The stand-in, and the real Nextcloud if there is one."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def local(tmp_path):
    """A function that makes a file of this machine and opens it."""
    opened = []

    def make(content=b"a map", name="local.tif"):
        path = tmp_path / name
        path.write_bytes(content)
        opened.append(path.open("rb"))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


@pytest.fixture
def target(tmp_path):
    with (tmp_path / "target").open("w+b") as file:
        yield file
