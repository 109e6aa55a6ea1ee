"""A real hub with its proxy, whose users' servers are pods of a pretended cluster."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jupyterhub
import requests
import yaml

from hub.local.client import fresh_token, local_session, sign_in
from hub.local.machine import CHECKOUT, Machine, free_address, free_port
from hub.local.passwords import kept_password
from tests.conftest import STOP_SECONDS, clean_environment
from tests.stand_ins.kubernetes import Image, PretendedCluster

CONFIG = Path(__file__).with_name("hub_in_cluster_config.py")
CLAIM = "geo-storage"
SECONDS = 120.0
_SERVER = f"""#!/bin/sh
[ "$1" = --version ] && echo {jupyterhub.__version__} && exit
exec {sys.executable} -c '
import http.server, os, urllib.parse
address = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
where = address.hostname, address.port
http.server.HTTPServer(where, http.server.SimpleHTTPRequestHandler).serve_forever()
'
"""
LIGHT = Image(programs={"jupyterhub-singleuser": _SERVER})
"""An image whose server is there in no time, for tests of what comes before."""


@dataclass
class HubInCluster:
    """A running hub and its cluster; the user chief is its administrator."""

    machine: Machine
    cluster: PretendedCluster
    process: "subprocess.Popen[bytes] | None" = None
    hub_url: str = field(default_factory=free_address)
    chief_password: str = field(default_factory=lambda: secrets.token_hex(32))
    _sessions: dict[str, requests.Session] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.machine.url

    @property
    def password(self) -> str:
        return kept_password(self.machine.password_file)

    @property
    def log(self) -> str:
        return (self.machine.state / "hub.log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start the hub and wait until it answers."""
        ours = self.machine.environment | self.cluster.environment
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        paths = os.pathsep.join((str(CHECKOUT), os.environ.get("PYTHONPATH", "")))
        environment = clean_environment(self.machine.state) | ours
        environment |= {"CHIEF_PASSWORD": self.chief_password, "HUB_URL": self.hub_url}
        with (self.machine.state / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
                cwd=self.machine.state,
                env=environment | {"PATH": path, "PYTHONPATH": paths},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                raise AssertionError(f"the hub ended: {self.log}")
            assert time.monotonic() < deadline, self.log

    def _answers(self) -> bool:
        with local_session() as session:
            try:
                return session.get(f"{self.url}/hub/health", timeout=5).ok
            except requests.ConnectionError:
                return False

    def stop(self) -> None:
        """Stop the hub; pods go on."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    def session(self, name: str) -> requests.Session:
        """Return a session with a token of a user, who is made known to the hub if need be."""
        if name not in self._sessions:
            password = self.chief_password if name == "chief" else self.password
            sign_in(self.url, name, password).close()
            session = self._sessions[name] = local_session()
            token = fresh_token(self.url, name, password, note="tests")
            session.headers["Authorization"] = f"token {token}"
        return self._sessions[name]

    def page(self, name: str, path: str) -> str:
        """Return a page of the hub as a user's browser gets it."""
        with sign_in(self.url, name, self.password) as session:
            answer = session.get(f"{self.url}/hub/{path}", timeout=SECONDS)
            answer.raise_for_status()
            return answer.text

    def api(self, name: str, method: str, path: str, **body: Any) -> requests.Response:
        """Call the hub's API as a user."""
        url = f"{self.url}/hub/api/{path}"
        return self.session(name).request(method, url, json=body or None, timeout=SECONDS)

    def join(self, group: str, *names: str) -> None:
        """Put users into a group."""
        for name in names:
            self.session(name)
        self.api("chief", "POST", f"groups/{quote(group, safe='')}")
        path = f"groups/{quote(group, safe='')}/users"
        self.api("chief", "POST", path, users=list(names)).raise_for_status()

    def ask(self, name: str, **options: Any) -> requests.Response:
        """Ask for a user's server."""
        return self.api(name, "POST", f"users/{name}/server", **options)

    def told(self, name: str, as_user: str = "") -> Iterator[dict[str, Any]]:
        """Yield what the page of the start is told, until the start has ended."""
        url = f"{self.url}/hub/api/users/{name}/server/progress"
        with self.session(as_user or name).get(url, stream=True, timeout=SECONDS) as events:
            events.raise_for_status()
            for line in events.iter_lines(decode_unicode=True):
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def told_of(self, words: str, name: str, as_user: str = "") -> str:
        """Wait until the page of the start tells of something; return the whole sentence."""
        heard = []
        for event in self.told(name, as_user):
            heard.append(event["message"])
            if words in heard[-1]:
                return heard[-1]
        raise AssertionError(f"{words!r} was not told, but {heard}")

    def ready(self, name: str) -> str:
        """Wait until a user's server is ready; return its address."""
        *_, last = self.told(name)
        assert last.get("ready"), last
        return f"{self.url}{last['url']}"


@contextmanager
def hub_in_cluster(
    folder: Path, port: int | None = None, **settings: Any
) -> Iterator[HubInCluster]:
    """Start a cluster, and a hub for it with these settings; end both at last."""
    state = folder / "state"
    state.mkdir(parents=True)
    path = folder / "settings.yaml"
    spawner = {"kind": "kubernetes", "claim": CLAIM, "start_seconds": int(SECONDS)}
    # a service elsewhere that nobody asks, so that none is started here
    wps = {"url": "http://127.0.0.1:9", "token": {"file": str(folder / "token")}}
    (folder / "token").write_text("0" * 64)
    content = {"authenticator": {"kind": "shared-password"}, "spawner": spawner, "wps": wps}
    path.write_text(yaml.safe_dump(content | settings))
    machine = replace(Machine(state, state / "storage", path, 0), port=port or free_port())
    with PretendedCluster(folder / "cluster") as cluster:
        cluster.create_claim(CLAIM)
        hub = HubInCluster(machine, cluster)
        try:
            hub.start()
            yield hub
        finally:
            if hub.process and hub.process.poll() is None:
                hub.stop()
