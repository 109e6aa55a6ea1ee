"""The WPS as the hub starts it, and a stand-in for the hub that knows every token."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import psutil
import rasterio
import requests
from rasterio import Affine

from hub.local.machine import free_port

PREFIX = "/services/wps/"
DEADLINE = 60.0
Found = TypeVar("Found")
_SIDE = 48
_STATUS = re.compile(r'statusLocation="[^"]*/status/([0-9a-f-]{36})\.xml"')
_BUSY = 503


class Hub(BaseHTTPRequestHandler):
    """Answers who a token belongs to: a token is a user's name."""

    protocol_version = "HTTP/1.1"
    revoked: ClassVar[set[str]] = set()
    """Tokens that are nobody's."""

    def do_GET(self) -> None:
        """Describe the token's user as JupyterHub does."""
        name = self.headers.get("Authorization", "").rpartition(" ")[2]
        if name in self.revoked:
            self.send_error(403)
            return
        user = {"name": name, "kind": "user", "groups": [], "admin": name == "root",
                "scopes": ["access:services!service=wps"]}  # fmt: skip
        content = json.dumps(user).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class Served:
    """A service that can be killed and started again on the same port.

    Attributes:
        state: its state folder; storage/ in there is its storage.
        url: of the service, with a slash at the end.
        log: what it has said since the first start.
    """

    def __init__(
        self, state: Path, hub: str, descriptors: int | None = None, **settings: object
    ) -> None:
        """Keep everything in `state`; `descriptors` limits the process, None leaves it."""
        self._descriptors = descriptors
        self.state, self.log = state, state / "service.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{PREFIX}"
        self._environment = os.environ | {
            "GEOPORTAL_STATE": str(state),
            "GEOPORTAL_STORAGE": str(state / "storage"),
            "GEOPORTAL_JOB_REPORT_URL": f"{self.url}runs",
            "JUPYTERHUB_API_URL": f"{hub}/hub/api",
            "JUPYTERHUB_API_TOKEN": "service",
            "JUPYTERHUB_CLIENT_ID": "service-wps",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services!service=wps"]',
            "JUPYTERHUB_OAUTH_SCOPES": '["access:services!service=wps"]',
            "JUPYTERHUB_SERVICE_NAME": "wps",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            **{f"GEOPORTAL_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wps_processes"],
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        if self._descriptors is not None:
            limits = (self._descriptors, self._descriptors)
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, limits)
        until(self.answers)

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return requests.get(f"{self.url}health", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(DEADLINE)
            self.process = None

    def processes(self) -> list[psutil.Process]:
        """Return the service, its fork server and the processes of jobs, in this order."""
        if self.process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            service = psutil.Process(self.process.pid)
            return [service, *service.children(recursive=True)]
        return []


class Client:
    """A user who calls by HTTP."""

    def __init__(self, served: Served, user: str) -> None:
        """Call as this user."""
        self._served, self.user = served, user
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"token {user}"

    def get(self, path: str = "", **asked: object) -> requests.Response:
        """Return an answer, also a refusal."""
        return self._session.get(f"{self._served.url}{path}", params=asked, timeout=DEADLINE)

    def page(self, path: str = "", **asked: object) -> requests.Response:
        """Return a page as a browser gets it."""
        accepted = {"Accept": "text/html"}
        address = f"{self._served.url}{path}"
        return self._session.get(address, params=asked, timeout=DEADLINE, headers=accepted)

    def execute(self, asynchronously: bool = True, **inputs: object) -> requests.Response:
        """Start a short job."""
        given = {"scene": "shared/scene.tif", "labels": "shared/labels.tif"} | inputs
        said = "true" if asynchronously else "false"
        return self.get(
            service="WPS", version="1.0.0", request="Execute", identifier="extract-samples",
            datainputs=";".join(f"{name}={value}" for name, value in given.items()),
            storeexecuteresponse=said, status=said,
        )  # fmt: skip

    def accepted(self, **inputs: object) -> str | None:
        """Start a short job and return its id; None if the service is gone or busy."""
        try:
            answer = self.execute(**inputs)
        except requests.RequestException:
            return None
        if answer.status_code == _BUSY:
            return None
        answer.raise_for_status()
        found = _STATUS.search(answer.text)
        assert found is not None, answer.text
        return found[1]

    def job(self, job: str) -> dict[str, object]:
        """Return what the service says of a job."""
        answer = self.get(f"jobs/{job}")
        answer.raise_for_status()
        return dict(answer.json())


@contextmanager
def stand_in_hub() -> Iterator[str]:
    """Run the stand-in and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(state: Path, **settings: object) -> Iterator[Served]:
    """Run the service on a small scene and its labels."""
    with replicas(state, 1, **settings) as (served,):
        yield served


@contextmanager
def replicas(state: Path, number: int, **settings: object) -> Iterator[list[Served]]:
    """Run services that share a storage with a small scene and its labels."""
    storage = state / "storage"
    shared = storage / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": _SIDE, "height": _SIDE, "crs": "EPSG:32633",
               "transform": Affine(10, 0, 400_000, 0, -10, 5_800_000)}  # fmt: skip
    rng = np.random.default_rng(0)
    labels = np.kron([[1, 2], [2, 1]], np.ones((_SIDE // 2, _SIDE // 2)))
    scene = rng.integers(500, 900, (3, _SIDE, _SIDE)) + 1000 * labels
    with rasterio.open(shared / "scene.tif", "w", count=3, dtype="uint16", **profile) as dataset:
        dataset.write(scene.astype("uint16"))
    with rasterio.open(shared / "labels.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write(labels.astype("uint8"), 1)
    states = [state, *(state / f"replica{n}" for n in range(1, number))]
    with stand_in_hub() as hub:
        services = [Served(each, hub, **({"storage": storage} | settings)) for each in states]
        try:
            for each in services:
                each.state.mkdir(exist_ok=True)
                each.start()
            yield services
        finally:
            for each in services:
                each.stop(signal.SIGKILL)


def until(condition: Callable[[], Found], seconds: float = DEADLINE) -> Found:
    """Return what a condition returns as soon as it is true.

    Raises:
        TimeoutError: it has not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds:g} s: {condition}")
        time.sleep(random.uniform(0.01, 0.05))
    return found
