"""Who has left a group since the job was accepted reads nothing of it by that job."""

import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from benchmarks.served import DEADLINE, until
from landcover.errors import InputError
from wps_processes.jobs import dispatcher
from wps_processes.jobs.membership import HubUnavailable, groups_at_the_hub

TEAM = {"scene": "team/ice/scene.tif", "labels": "home/labels.gpkg"}


@pytest.fixture
def accepted(start, monkeypatch):
    """A function that lets carla call with a file of her team, and starts jobs only then."""
    monkeypatch.setattr(dispatcher, "IDLE_SECONDS", 0.05)
    started = []

    def accept(groups_now):
        wps = start(running=False, groups_now=groups_now)
        for folder, name in (("team/ice", "shared/scene.tif"),
                             ("users/carla", "users/anna/labels.gpkg")):  # fmt: skip
            (wps.root / folder).mkdir(parents=True)
            shutil.copy(wps.root / name, wps.root / folder)
        wps.execute("extract-samples", "carla", asynchronous=True, **TEAM)
        (job,) = wps.ledger.of_user("carla")
        wps.dispatcher.start()
        started.append(wps.dispatcher)
        return wps, job

    yield accept
    for each in started:
        each.stop()


def test_a_member_reads_the_teams_files(accepted):
    wps, job = accepted(lambda user: {"carla": ("ice", "sea")}[user])
    over = wps.dispatcher.wait(job.id, DEADLINE)
    assert (over.state, over.groups) == ("successful", ["ice"])


def test_who_has_left_the_group_while_the_job_waited_does_not(accepted):
    wps, job = accepted(lambda user: ("sea",))
    over = wps.dispatcher.wait(job.id, DEADLINE)
    assert (over.state, over.groups) == ("failed", [])
    assert "you are no member of ice" in over.error


def test_a_job_of_somebody_the_hub_knows_no_more_fails_in_words(accepted):
    def unknown(user):
        raise InputError(f"the hub knows no {user} any more")

    wps, job = accepted(unknown)
    over = wps.dispatcher.wait(job.id, DEADLINE)
    assert (over.state, over.error) == ("failed", "the hub knows no carla any more")


class Away:
    """A hub that is away until it is told otherwise."""

    def __init__(self):
        self.back = Event()

    def __call__(self, user):
        if not self.back.is_set():
            raise HubUnavailable("nobody answers")
        return ("ice",)


def test_a_job_waits_for_a_hub_that_is_away_and_is_not_lost(accepted):
    hub = Away()
    wps, job = accepted(hub)
    until(lambda: "waiting for the hub" in wps.ledger.get(job.id).message)
    assert wps.ledger.get(job.id).pid is None
    hub.back.set()
    over = wps.dispatcher.wait(job.id, DEADLINE)
    assert (over.state, over.attempt) == ("successful", 1)


def test_a_job_that_waits_for_the_hub_can_be_dismissed(accepted):
    wps, job = accepted(Away())
    until(lambda: "waiting for the hub" in wps.ledger.get(job.id).message)
    assert wps.dispatcher.dismiss(job.id, "enough")
    until(lambda: not wps.dispatcher._seen_to)  # its processor is free again
    assert wps.ledger.get(job.id).state == "dismissed"


def test_a_service_that_ends_leaves_such_a_job_to_the_next(accepted):
    wps, job = accepted(Away())
    until(lambda: "waiting for the hub" in wps.ledger.get(job.id).message)
    wps.dispatcher.stop()
    assert wps.ledger.get(job.id).state == "running"


def test_who_has_no_groups_is_not_asked_about(start):
    def ask(user):
        raise AssertionError(user)

    wps = start(groups_now=ask)
    answer = wps.execute("extract-samples", scene="shared/scene.tif", labels="home/labels.gpkg")
    assert b"ProcessSucceeded" in answer.data


class Said(BaseHTTPRequestHandler):
    """A hub that says what it was told to."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, content = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Said) as server:
        server.asked = []
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{server.server_port}/hub/api")
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of the service")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_hub_is_asked_as_the_service(hub):
    hub.answer = 200, json.dumps({"kind": "user", "name": "x", "groups": ["ice", "sea"]}).encode()
    assert groups_at_the_hub("Eve Smith@Lab.org/x") == ("ice", "sea")
    assert hub.asked == [("/hub/api/users/Eve%20Smith%40Lab.org%2Fx", "token of the service")]


def test_a_user_that_the_hub_has_not_is_nobodys_fault_but_named(hub):
    hub.answer = 404, b'{"message": "Not Found"}'
    with pytest.raises(InputError, match="the hub knows no carla"):
        groups_at_the_hub("carla")


@pytest.mark.parametrize(
    "answer",
    [(503, b""), (403, b"{}"), (302, b""), (200, b"<html>"), (200, b"{}"), (200, b'["x"]')],
    ids=lambda answer: f"{answer[0]} {answer[1].decode()}",
)
def test_a_hub_that_says_something_else_says_nothing(hub, answer):
    hub.answer = answer
    with pytest.raises(HubUnavailable):
        groups_at_the_hub("carla")


def test_a_hub_that_is_away_says_nothing(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of the service")
    with pytest.raises(HubUnavailable):
        groups_at_the_hub("carla")
