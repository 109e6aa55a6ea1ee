"""One watch for all: it goes on where the last one ended, and starts anew where it must."""

import queue

import pytest

from benchmarks.served import DEADLINE, until
from wps_processes.runners.kubernetes import watch
from wps_processes.runners.kubernetes.api import Refused, Unavailable
from wps_processes.runners.kubernetes.watch import GONE, Watching


def thing(name, version, **labels):
    return {"metadata": {"name": name, "resourceVersion": str(version), "labels": labels}}


class Scripted:
    """An API server that answers as it was told, one answer after the other."""

    def __init__(self):
        self.asked = queue.Queue()
        self.answers = {"job": queue.Queue(), "pod": queue.Queue()}

    def listed(self, kind):
        return self._answer(kind, "list")

    def changes(self, kind, version):
        yield from self._answer(kind, version)

    def _answer(self, kind, what):
        if kind == "job":
            self.asked.put(what)
        answer = self.answers[kind].get()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(watch, "_FIRST_PAUSE", 0.01)
    return Scripted()


@pytest.fixture
def watched(server):
    made = Watching(server)
    made.start()
    yield made
    made.stop()
    for answers in server.answers.values():
        answers.put(Refused(403, "the end"))


def test_a_watch_that_ends_goes_on_where_it_was(server, watched):
    jobs = server.answers["job"]
    jobs.put(([thing("wps-a-1", 5)], "7"))
    jobs.put([("MODIFIED", thing("wps-a-1", 8)), ("BOOKMARK", thing("", 12))])
    jobs.put(Unavailable("restarted"))
    jobs.put([("DELETED", thing("wps-a-1", 13))])
    asked = [server.asked.get(timeout=DEADLINE) for _ in range(5)]
    assert asked == ["list", "7", "12", "12", "13"]
    until(lambda: watched.view("wps-a-1").job is None)


def test_what_was_missed_is_listed_anew(server, watched):
    jobs = server.answers["job"]
    jobs.put(([thing("wps-a-1", 5), thing("wps-b-1", 6)], "7"))
    until(lambda: watched.view("wps-b-1").job)
    with watched.following("wps-a-1") as woken:
        jobs.put(Refused(410, "too old resource version"))
        jobs.put(([thing("wps-b-1", 6)], "90"))
        assert woken.wait(DEADLINE)
    assert [server.asked.get(timeout=DEADLINE) for _ in range(4)] == ["list", "7", "list", "90"]
    assert watched.view("wps-a-1").job is None
    assert watched.view("wps-b-1").job


def test_of_a_deleted_pod_is_known_how_it_ended_as_long_as_somebody_asks(server, watched):
    pods = server.answers["pod"]
    pod = thing("p", 5, **{"geoportal/job": "a", "geoportal/attempt": "1"})
    with watched.following("wps-a-1"):
        pods.put(([pod], "5"))
        pods.put([("DELETED", pod)])
        until(lambda: GONE in ((watched.view("wps-a-1").pod or {}).get("metadata") or {}))
    assert watched.view("wps-a-1").pod is None


def test_all_attempts_at_a_job_are_known(server, watched):
    named = [("wps-a-1", "a"), ("wps-a-2", "a"), ("wps-b-1", "b")]
    server.answers["job"].put(([thing(n, 1, **{"geoportal/job": job}) for n, job in named], "2"))
    until(lambda: watched.view("wps-b-1").job)
    assert sorted(watched.names_of("a")) == ["wps-a-1", "wps-a-2"]
