"""A client of OGC API - Processes without a web server, and a service behind one."""

import json
from contextlib import contextmanager

import pytest

from benchmarks.served import DEADLINE
from tests.wps_processes.http.test_server import serving


class Api:
    """A client of the API, of whatever user."""

    def __init__(self, wps):
        self.wps = wps

    def get(self, path="", user="anna", **parameters):
        return self.wps.get(f"ogc/{path}", user, **parameters)

    def json(self, path="", **parameters):
        answer = self.get(path, **parameters)
        assert (answer.status_code, answer.mimetype) == (200, "application/json"), answer.data
        return answer.get_json()

    def send(self, method, path, user="anna", **how):
        headers = {"Authorization": f"token {user}"} | how.pop("headers", {})
        return self.wps.client.open(
            f"/services/wps/ogc/{path}", method=method, headers=headers, buffered=True, **how
        )

    def execute(self, process="echo", prefer=None, user="anna", **body):
        headers = {} if prefer is None else {"Prefer": prefer}
        how = {"data": json.dumps(body), "content_type": "application/json", "headers": headers}
        return self.send("POST", f"processes/{process}/execution", user, **how)

    def begin(self, process="echo", **body):
        """Execute asynchronously and return the job's id."""
        answer = self.execute(process, prefer="respond-async", **body)
        assert answer.status_code == 201, answer.data
        return answer.get_json()["jobID"]

    def end(self, job):
        """Return the status of a job that has ended."""
        assert self.wps.dispatcher.wait(job, DEADLINE).is_over
        return self.json(f"jobs/{job}")


@pytest.fixture
def api(wps):
    return Api(wps)


@pytest.fixture
def idle(start):
    """A client of a service whose jobs wait."""
    return Api(start(running=False))


@pytest.fixture
def served(start):
    """A function that serves what `start` makes, and yields the API's address and the service."""

    @contextmanager
    def serve(**how):
        wps = start(**how)
        with serving(wps.client.application) as port:
            yield f"http://127.0.0.1:{port}/services/wps/ogc", wps

    return serve
