"""Start the geoportal on this machine, say when it is ready, and leave nothing behind.

The hub starts proxy, WPS and users' servers; the launcher starts the hub, and ends whatever the
hub did not, now or in an earlier run that crashed.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import requests

from hub.local import processes
from hub.local.client import fresh_token, local_session, sign_in
from hub.local.logs import bounded_log
from hub.local.machine import LOOPBACK, Machine, free_port, make_folder, make_private, unwritable
from portal.errors import CannotStart

DEMO_USER = "demo"
_CONFIG = Path(__file__).parents[1] / "jupyterhub_config.py"
_TOKEN_NOTE = "endpoint.json of make run"
_START_SECONDS = 300.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.25
_SAY_EVERY_SECONDS = 10.0
_LOOK_SECONDS = 60.0
_ROOM = 24 << 20
"""Bytes: two databases with what they keep free, and small files."""


_READ = ("GEOPORTAL_PORT", "GEOPORTAL_STATE", "GEOPORTAL_STORAGE", "GEOPORTAL_SETTINGS")
# of its own processes and of the tests, and what Kubernetes sets in a pod
_NOT_MEANT = re.compile(
    r"GEOPORTAL_(INSTANCE|COURSE|WPS_URL|REQUIRE_BROWSER|REQUIRE_TORCH|ENGINE|TEST_\w+"
    r"|\w*(SERVICE_(HOST|PORT)|PORT_\d+)\w*)"
)


def ignored_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that look like settings and are not read by this command, sorted."""
    ours = (name for name in environ if name.startswith("GEOPORTAL_"))
    return sorted(name for name in ours if name not in _READ and not _NOT_MEANT.fullmatch(name))


@contextmanager
def claimed(machine: Machine) -> Iterator[Machine]:
    """Own the state folder, and yield the machine with the port it will really have.

    What a crashed start left running is ended first.

    Raises:
        CannotStart: the folder cannot be written, another geoportal owns it, or the port is taken.
    """
    with _lock(machine.state):
        machine.endpoint_file.unlink(missing_ok=True)
        if processes.stop_marked(machine.mark):
            say("Ended what an earlier start had left running.")
        # a killed hub leaves them, with a password for the proxy that the next one does not know
        machine.routes_file.unlink(missing_ok=True)
        try:
            _check_room(machine)
            make_folder(machine.storage / "shared", "GEOPORTAL_STORAGE")
            yield replace(machine, port=_open_port(machine.port))
        finally:
            machine.endpoint_file.unlink(missing_ok=True)
            processes.stop_marked(machine.mark)


@contextmanager
def started_hub(machine: Machine) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the hub, its words going to hub.log; at the end let it stop what it started."""
    with bounded_log(_log_file(machine)) as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(_CONFIG)],
            cwd=machine.state,
            env=_environment(machine),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the launcher, which stops the rest
        )
        try:
            yield hub
        finally:
            _stop(hub)


def announce(machine: Machine, password: str) -> None:
    """Sign the demo user in, and tell other programs where the geoportal is."""
    sign_in(machine.url, DEMO_USER, password).close()
    endpoint = {
        "url": machine.url,
        "wps": machine.wps_url,
        "user": DEMO_USER,
        "token": fresh_token(machine.url, DEMO_USER, password, _TOKEN_NOTE),
    }
    _write_private(machine.endpoint_file, endpoint)


def wait_until_ready(machine: Machine, hub: "subprocess.Popen[bytes]") -> None:
    """Return when hub and WPS both answer.

    Raises:
        CannotStart: the hub ended, or the time is over.
    """
    started = time.monotonic()
    said = started
    while not (_answers(f"{machine.url}/hub/health") and _answers(f"{machine.wps_url}health")):
        now = time.monotonic()
        if now - started > _START_SECONDS:
            raise CannotStart(f"Hub and WPS did not answer in time; see {_log_file(machine)}.")
        if now - said > _SAY_EVERY_SECONDS:
            said = now
            say(f"Still starting ({now - started:.0f} s) ...")
        if _ended_within(hub, _POLL_SECONDS):
            raise CannotStart(f"The hub ended while it started; see {_log_file(machine)}.")


def stay(machine: Machine, hub: "subprocess.Popen[bytes]") -> None:
    """Return when the hub ends; until then keep a reserve on the disk whenever there is room."""
    machine.reserve.make_whole()
    while not _ended_within(hub, _LOOK_SECONDS):
        machine.reserve.make_whole()


def say(sentence: str) -> None:
    """Print progress for the person who watches."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def _lock(state: Path) -> Iterator[None]:
    """Lock the state folder for the life of this process, crash included."""
    with _lock_file(state) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(
                f"A geoportal already runs on {state}: stop it, or name another folder with "
                "GEOPORTAL_STATE."
            ) from error
        yield


def _lock_file(state: Path) -> TextIO:
    make_private(state, "GEOPORTAL_STATE")
    try:
        return (state / "lock").open("a")
    except OSError as error:
        raise unwritable(state, "GEOPORTAL_STATE", error) from error


def _check_room(machine: Machine) -> None:
    """Release as much of the reserve as a start needs."""
    room = machine.reserve.give(_ROOM)
    if room < _ROOM:
        raise CannotStart(
            f"The disk of {machine.state} is full ({room >> 20} MiB are free, a start needs "
            f"{_ROOM >> 20}): free some room, or name another folder with GEOPORTAL_STATE."
        )


def _open_port(port: int) -> int:
    try:
        with socket.create_server((LOOPBACK, port)):
            return port or free_port()
    except OSError as error:
        raise CannotStart(
            f"Port {port} cannot be had ({os.strerror(error.errno or 0)}): choose another with "
            "GEOPORTAL_PORT, 0 being any free one."
        ) from error


def _environment(machine: Machine) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return dict(os.environ) | machine.environment | machine.mark | {"PATH": programs}


def _log_file(machine: Machine) -> Path:
    return machine.state / "hub.log"


def _answers(address: str) -> bool:
    try:
        with local_session() as session:
            return session.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def _ended_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(hub: "subprocess.Popen[bytes]") -> None:
    hub.terminate()
    if not _ended_within(hub, _STOP_SECONDS):
        hub.kill()
    hub.wait()


def _write_private(path: Path, content: dict[str, str]) -> None:
    """Write JSON that only its owner reads (umask), whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
