"""The service as the hub starts it, and ends it, and as a crash ends it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from werkzeug.wrappers import Response

from benchmarks import attacker
from benchmarks.connections import FEWEST_ANSWERS, seconds_to_answer
from benchmarks.served import Client, serving, until
from hub.local.machine import free_port
from tests.stand_ins.nextcloud.servers import Server, stood_in, token_service_of
from tests.wps_processes.jobs.test_ledger import job
from wps_processes.jobs.ledger import Ledger

DEADLINE = 60


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
    except (requests.ConnectionError, requests.Timeout):
        return None


SLOW_IMPORT = """
import sys

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "wps_processes.serve":
            open({gate!r}).read()

sys.meta_path.insert(0, Slow())
"""


def test_whoever_asks_while_the_service_is_still_imported_waits(serve, tmp_path, monkeypatch):
    """The hub ends a managed service, and itself, that refuses it for ten seconds."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(gate=str(gate)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, url = serve()
    with until(lambda: connected(url)) as connection:
        connection.sendall(b"GET /services/wps/health HTTP/1.0\r\n\r\n")
        gate.write_text("go on")  # returns when the import has come so far
        assert b" 200 " in connection.recv(64)


def connected(url):
    with suppress(ConnectionRefusedError):
        address = urlsplit(url)
        return socket.create_connection((address.hostname, address.port), timeout=DEADLINE)


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


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path) as service:
        yield service


@pytest.fixture
def with_nextcloud(tmp_path):
    """The service with a scene that was shared with anna, the cloud, and who asked for tokens."""
    stand_in, (anna, other) = stood_in(tmp_path / "nextcloud")
    asked = []

    def token(request):
        asked.append((request.headers["Authorization"], request.args["user"]))
        known = {"url": stand_in.url, "uid": anna, "access_token": stand_in.token(anna)}
        return Response(json.dumps(known))

    with (
        stand_in.serving(),
        token_service_of(token) as url,
        serving(tmp_path, nextcloud_token_url=url) as service,
    ):
        shutil.copy(tmp_path / "storage/shared/scene.tif", stand_in.files(other) / "scene.tif")
        cloud = Server(stand_in.url, (anna, other), "ice & snow", {}, stand_in)
        with cloud.of(other) as owner:
            number = owner.shares.with_user("scene.tif", anna).id
        yield service, f"received/{number}/scene.tif", cloud, asked


def test_the_service_asks_for_its_callers_token_and_nobody_else_sees_it(with_nextcloud):
    service, name, cloud, asked = with_nextcloud
    anna = Client(service, "anna")
    job = anna.accepted(scene=name)
    until(lambda: anna.job(job)["state"] == "successful")
    assert set(asked) == {("token service", "anna")}
    token = cloud.stand_in.token("anna")
    for path in service.state.rglob("*"):
        if path.is_file() and "nextcloud" not in path.parts:
            assert token.encode() not in path.read_bytes()
    for process in service.processes():
        assert token not in " ".join(process.cmdline() + list(process.environ().values()))


def test_a_service_that_is_killed_while_it_fetches_runs_the_job_later(with_nextcloud):
    service, name, cloud, _ = with_nextcloud
    cloud.stand_in.stall("GET", 100, part="scene.tif")
    anna = Client(service, "anna")
    job = anna.accepted(scene=name)
    until(lambda: "GET" in cloud.stand_in.methods("scene.tif"))
    service.stop(signal.SIGKILL)
    service.start()
    until(lambda: anna.job(job)["state"] == "successful")
    assert not (service.state / f"storage/users/anna/jobs/{job}/.fetched").exists()


def said(served, request):
    with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


HEAD = b"POST /services/wps/ HTTP/1.1\r\nHost: x\r\nAuthorization: token anna\r\n"


def test_slow_and_huge_bodies_hold_nobody_up(served):
    part = HEAD + b"Content-Type: text/xml\r\nContent-Length: 100000\r\n\r\n<wps:Execute"
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(part)
        anna = Client(served, "anna")
        capabilities = anna.get(service="WPS", request="GetCapabilities")
        assert capabilities.status_code == 200
        assert b" 413 " in said(served, HEAD + b"Content-Length: 5000000\r\n\r\n")
        assert b" 400 " in said(
            served, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n<\r\n0\r\n\r\n"
        )
        assert b" 400 " in said(served, b"nonsense\r\n\r\n")
        assert anna.get("jobs").json() == {"jobs": []}
    finally:
        for connection in slow:
            connection.close()


FEW, MANY = 1_024, 20_000  # descriptors


@pytest.mark.parametrize("descriptors", [FEW, MANY])
def test_a_thousand_strangers_keep_nobody_waiting(tmp_path, descriptors):
    with serving(tmp_path, descriptors=descriptors) as service:
        for kind in attacker.SENT:
            assert len(seconds_to_answer(service, 1_100, kind)) >= FEWEST_ANSWERS
        job = Client(service, "anna").accepted()  # the fork server lives too
        until(lambda: Client(service, "anna").job(job)["state"] == "successful")
        assert psutil.Process(service.process.pid).num_fds() < FEW


@pytest.mark.proof
@pytest.mark.parametrize("descriptors", [FEW, MANY])
@pytest.mark.parametrize("kind", attacker.SENT)
def test_ten_thousand_strangers_keep_nobody_waiting(tmp_path, descriptors, kind):
    with serving(tmp_path, descriptors=descriptors) as service:
        assert max(seconds_to_answer(service, 10_000, kind)) < 1.0


def test_every_job_can_be_followed_in_the_log(served):
    anna = Client(served, "anna")
    job = anna.accepted()
    until(lambda: anna.job(job)["state"] == "successful")
    events = [json.loads(line) for line in served.log.read_text().splitlines()]
    mine = [event for event in events if event.get("job") == job]
    assert [event["message"] for event in mine] == ["job accepted", "job successful"]
    assert {event["user"] for event in mine} == {"anna"}
    assert all(event["time"] and event["level"] == "INFO" for event in mine)
