"""The launcher as a person meets it: started, stopped, crashed, started again, refused."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from kubespawner.slugs import safe_slug

from hub import __main__ as command
from hub.local.client import fresh_token
from hub.local.launcher import ignored_variables
from tests.conftest import Geoportal
from tests.hub.local.test_read_only import needs_landlock

pytestmark = pytest.mark.e2e


ODD = "eve smith@lab.org"


@dataclass
class Lasting:
    """A state folder whose geoportal is ended in every way, and started again."""

    start: Callable[..., Geoportal]
    state: Path
    _last: Geoportal | None = None

    def running(self) -> Geoportal:
        """Return its geoportal, started unless it runs: an earlier test may have left it."""
        if self._last is None or self._last.process.poll() is not None:
            self._last = self.start(self.state)
        return self._last


@pytest.fixture(scope="module")
def lasting(start_geoportal, tmp_path_factory):
    return Lasting(start_geoportal, tmp_path_factory.mktemp("lasting") / "state")


@pytest.fixture(scope="module")
def odd(geoportal):
    """The running server of a user with an odd name: a session, and its address."""
    return geoportal.start_server(ODD)


@pytest.fixture
def refused(environment_for):
    """Start a geoportal that cannot start; return its last words, which are one sentence."""

    def refuse(state: Path, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hub"],
            env=environment_for(state, **variables),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    return refuse


def command_of(process: psutil.Process) -> str:
    """Return the arguments of a process; "" if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def connections_of(process: psutil.Process) -> list[Any]:
    """Return the connections of a process; none if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.net_connections("inet"))
    return []


def modes_below(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield what there is with its mode, but for links and what vanishes meanwhile."""
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode):
                    yield str(path), mode


def test_hub_with_other_sign_in_is_not_this_commands_to_start(refused, tmp_path):
    settings = tmp_path / "settings.yaml"
    secret = {"env": "NOT_READ"}
    cloud = {
        "kind": "nextcloud",
        "url": "https://cloud.example.org",
        "callback_url": "https://geo.example.org/hub/oauth_callback",
        "client_id": secret,
        "client_secret": secret,
        "crypt_key": secret,
        "allowed_groups": ["members"],
    }
    settings.write_text(yaml.safe_dump({"authenticator": cloud, "spawner": {"kind": "local"}}))
    said = refused(tmp_path / "state", GEOPORTAL_SETTINGS=str(settings))
    assert "authenticator.kind nextcloud is started by jupyterhub -f" in said


def test_endpoint_file_lets_a_script_in(geoportal):
    endpoint = json.loads((geoportal.state / "endpoint.json").read_text())
    assert endpoint["url"] == geoportal.url
    assert endpoint["wps"] == f"{geoportal.url}/services/wps/"
    assert endpoint["user"] == "demo"
    answer = requests.get(
        f"{geoportal.url}/hub/api/user",
        headers={"Authorization": f"token {endpoint['token']}"},
        timeout=60,
    )
    assert answer.json()["name"] == "demo"
    assert "access:services!service=wps" in answer.json()["scopes"]


def test_the_wps_may_ask_who_is_in_which_group_and_nothing_else(geoportal):
    wps = next(p for p in geoportal.processes() if "wps_processes" in command_of(p))
    environment = wps.environ()
    answer = requests.get(
        f"{environment['JUPYTERHUB_API_URL']}/users/demo",
        headers={"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"},
        timeout=60,
    )
    assert answer.json() == {"kind": "user", "name": "demo", "groups": ["practice"]}


def test_older_tokens_of_the_same_note_are_withdrawn(geoportal):
    geoportal.login("frugal").close()
    who = f"{geoportal.url}/hub/api/user"
    tokens = [
        fresh_token(geoportal.url, "frugal", geoportal.password, note="mine") for _ in range(2)
    ]
    statuses = [
        requests.get(who, headers={"Authorization": f"token {token}"}, timeout=60).status_code
        for token in tokens
    ]
    assert statuses == [403, 200]


def test_wrong_password_is_refused(geoportal):
    with geoportal.login("demo") as session:
        form = {"username": "demo", "password": "wrong", "_xsrf": session.cookies["_xsrf"]}
        answer = session.post(f"{geoportal.url}/hub/login", data=form, timeout=60)
    assert answer.status_code == 403


def test_everything_listens_on_loopback_only(geoportal, odd):
    listening = [
        connection.laddr.ip
        for process in geoportal.processes()
        for connection in connections_of(process)
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # proxy, its own interface, hub, WPS
    assert set(listening) == {"127.0.0.1"}


def test_odd_user_name_has_a_server_and_a_folder(geoportal, odd):
    session, server = odd
    listed = session.get(f"{server}api/contents", timeout=60).json()["content"]
    assert {entry["name"] for entry in listed} >= {"shared", "team"}
    assert (geoportal.storage / "users" / safe_slug(ODD) / "shared" / "demo").is_dir()


@needs_landlock
def test_shared_is_read_only_in_servers_but_the_administrators(geoportal, odd):
    note = {"type": "file", "format": "text", "content": "for all"}
    mine = replace(geoportal, password=(geoportal.state / "admin-password").read_text().strip())
    administrators = mine.start_server("admin")
    for name, statuses in (("note.txt", (201, 201)), ("shared/note.txt", (403, 201))):
        for (session, server), status in zip((odd, administrators), statuses, strict=True):
            answer = session.put(f"{server}api/contents/{name}", json=note, timeout=60)
            assert answer.status_code == status, (name, answer.text)
    assert (geoportal.storage / "shared/note.txt").read_text() == "for all"
    health = "services/wps/administration/health"
    seen = [session.get(f"{geoportal.url}/{health}", timeout=60).status_code
            for session, _ in (odd, administrators)]  # fmt: skip
    assert seen == [404, 200]


def test_passwords_stand_in_no_process_arguments(geoportal):
    lines = [command_of(process) for process in psutil.process_iter()]
    assert len(lines) > 3
    for password in (geoportal.password, (geoportal.state / "admin-password").read_text().strip()):
        assert [line for line in lines if password in line] == []


def test_files_belong_to_their_owner_alone(geoportal, odd):
    session, server = odd
    session.post(f"{server}api/kernels", json={"name": "python3"}, timeout=60).raise_for_status()
    storage = geoportal.state / "storage"
    (home,) = storage.glob("users/eve*")
    # of the storage only what a server wrote: tests put files there themselves
    modes = {path: mode for path, mode in modes_below(geoportal.state)
             if not Path(path).is_relative_to(storage)} | dict(modes_below(home))  # fmt: skip
    assert len(modes) > 10
    page_of_ipython = "ipython/profile_default/startup/README"  # copied with the mode it has there
    assert [path for path, mode in modes.items()
            if mode & 0o077 and not path.endswith(page_of_ipython)] == []  # fmt: skip


# -- ended in every way


def test_start_after_a_kill_of_hub_and_all(lasting):
    crashed = lasting.running()
    for process in crashed.processes():
        process.kill()
    crashed.process.wait()
    assert (lasting.state / "routes.toml").exists()
    assert lasting.running().password == crashed.password


def test_start_after_a_kill_ends_what_was_left(lasting):
    crashed = lasting.running()
    crashed.start_server("eve")
    orphans = crashed.processes()[1:]
    crashed.process.kill()
    crashed.process.wait()
    assert crashed.left_of(orphans) == orphans

    again = lasting.running()
    assert again.left_of(orphans) == []
    assert again.password == crashed.password
    again.start_server("eve")


def test_stop_ends_servers_and_kernels_and_a_second_start_finds_all_again(lasting):
    first = lasting.running()
    session, server = first.start_server("adam")
    session.post(f"{server}api/kernels", json={"name": "python3"}, timeout=60).raise_for_status()
    (first.storage / "users" / "adam" / "note.txt").write_text("kept")
    processes = first.processes()
    assert any("ipykernel_launcher" in command_of(process) for process in processes)
    assert first.stop() == 0
    assert first.left_of(processes) == []
    assert not (lasting.state / "endpoint.json").exists()

    second = lasting.running()
    assert second.password == first.password
    session, server = second.start_server("adam")
    file = session.get(f"{server}api/contents/note.txt", timeout=60).json()
    assert file["content"] == "kept"


def test_end_of_the_hub_ends_the_geoportal(lasting):
    running = lasting.running()
    processes = running.processes()
    hub = next(p for p in processes if "jupyterhub_config.py" in command_of(p))
    hub.send_signal(signal.SIGKILL)
    assert running.process.wait(90) == 1
    assert running.left_of(processes) == []
    said = lasting.state.with_name("state.stderr").read_text().splitlines()
    assert said[-1] == f"The hub ended by itself; see {lasting.state / 'hub.log'}."


def test_second_geoportal_on_one_folder_is_refused(geoportal, refused):
    sentence = refused(geoportal.state)
    assert sentence.startswith(f"A geoportal already runs on {geoportal.state}")
    assert geoportal.process.poll() is None
    assert (geoportal.state / "endpoint.json").exists()


def test_taken_port_is_named(refused, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert refused(tmp_path / "state", GEOPORTAL_PORT=port).startswith(
            f"Port {port} cannot be had (Address already in use)"
        )


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_port_that_is_none_is_named(refused, tmp_path, port):
    assert refused(tmp_path / "state", GEOPORTAL_PORT=port).startswith(
        f"GEOPORTAL_PORT is {port}, needs a number"
    )


def test_unwritable_state_folder_is_named(refused, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert refused(file / "state").startswith(
        f"The folder {file / 'state'} cannot be written (Not a directory)"
    )


def test_unwritable_storage_is_named(refused, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert refused(tmp_path / "state", GEOPORTAL_STORAGE=str(file / "tree")).endswith(
        "(Not a directory): name another with GEOPORTAL_STORAGE.\n"
    )


def test_variables_that_are_not_read_are_named():
    read = {"GEOPORTAL_PORT": "0", "GEOPORTAL_STATE": "x", "GEOPORTAL_TEST_NEXTCLOUD": "1",
            "GEOPORTAL_WPS_SERVICE_HOST": "10.0.0.1", "PATH": "x"}  # fmt: skip
    assert ignored_variables(read) == []
    others = {"GEOPORTAL_JOBS_AT_ONCE": "vier", "GEOPORTAL_STROAGE": "x"}
    assert ignored_variables(read | others) == sorted(others)


def test_mistake_in_the_settings_is_named(refused, tmp_path):
    settings = tmp_path / "mine.yaml"
    settings.write_text("authenticator: {kind: shared-password}\nspawner: {kind: lokal}\n")
    sentence = refused(tmp_path / "state", GEOPORTAL_SETTINGS=os.fspath(settings))
    assert sentence.startswith(f"{settings}: spawner: ")
    assert "'local', 'kubernetes'" in sentence


def test_what_cannot_be_written_during_a_start_is_one_sentence(monkeypatch, capsys):
    def full(machine):
        raise OSError(errno.ENOSPC, "No space left on device", "/state/password")

    monkeypatch.setattr(command, "run", full)
    monkeypatch.setattr(command.signal, "signal", lambda *given: None)
    monkeypatch.setattr(command.os, "umask", lambda mask: None)
    assert command.main() == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(
        "/state/password cannot be written (No space left on device): free some room"
    )
