"""The client of the WPS, at a stand-in for it on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from defusedxml.ElementTree import fromstring

from landcover.errors import InputError
from landcover.operations import OPERATIONS
from sample_map.server.jobs import Jobs, Unanswered
from sample_map.server.runs import Runs

ID = "0b6a2f43-2a6c-4a1f-8f3c-5a3c6b0f1d11"
WPS = "{http://www.opengis.net/wps/1.0.0}"
OWS = "{http://www.opengis.net/ows/1.1}"
ACCEPTED = (
    '<wps:ExecuteResponse xmlns:wps="http://www.opengis.net/wps/1.0.0" '
    f'statusLocation="http://elsewhere/services/wps/status/{ID}.xml"/>'
)
REFUSED = (
    '<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1"><ows:Exception>'
    "<ows:ExceptionText>home/a.tif does not exist</ows:ExceptionText>"
    "</ows:Exception></ows:ExceptionReport>"
)
JOB = {
    "id": ID, "operation": "classify-scene", "user": "eve", "state": "successful",
    "progress": 100, "message": "done", "position": None, "created": "2026-01-01T00:00:00Z",
    "started": None, "finished": "2026-01-01T00:01:00Z", "inputs": {"scene": "home/a.tif"},
    "outputs": {"map": {"name": f"home/jobs/{ID}/map.tif", "href": "http://inside/map.tif",
                        "value": None}},
    "error": None, "remarks": ["1 % is unknown"],
}  # fmt: skip
INPUTS = {
    "scene": "home/a & b.tif",
    "model": ["home/m.onnx", "home/n.onnx"],
    "probabilities": True,
}


class Wps(BaseHTTPRequestHandler):
    """Answers with what a test prepared, and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, str, bytes]]] = []
    answers: ClassVar[dict[str, tuple[int, str]]] = {}

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = (self.command, self.path, self.headers.get("Authorization", ""), body)
        self.asked.append(told)
        status, text = self.answers[self.command]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        if status == 302:
            self.send_header("Location", "/services/wps/jobs")
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Wps.asked.clear()
    Wps.answers.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Wps) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/services/wps/"
        server.shutdown()
        thread.join()


@pytest.fixture
def jobs(url: str) -> Jobs:
    return Jobs(url, "secret")


def test_start_is_an_asynchronous_execute_with_the_token(jobs):
    Wps.answers["POST"] = 200, ACCEPTED
    assert jobs.start("classify-scene", INPUTS) == ID
    ((method, path, token, body),) = Wps.asked
    assert (method, path, token) == ("POST", "/services/wps/", "token secret")
    root = fromstring(body)
    given = [
        (one.findtext(f"{OWS}Identifier"), one.findtext(f"{WPS}Data/{WPS}LiteralData"))
        for one in root.iter(f"{WPS}Input")
    ]
    assert given == [
        ("scene", "home/a & b.tif"),
        ("model", "home/m.onnx"),
        ("model", "home/n.onnx"),
        ("probabilities", "true"),
    ]
    (form,) = root.iter(f"{WPS}ResponseDocument")
    assert (form.get("storeExecuteResponse"), form.get("status")) == ("true", "true")


@pytest.mark.parametrize(
    ("operation", "inputs", "sentence"),
    [
        ("rm", {}, "there is no operation rm"),
        ("classify-scene", INPUTS | {"color": "red"}, "has no input color"),
        ("classify-scene", {"scene": "home/a.tif"}, "needs model"),
        ("classify-scene", INPUTS | {"scene": "home/\x00.tif"}, "is no text"),
    ],
)
def test_what_no_operation_takes_is_not_sent(jobs, operation, inputs, sentence):
    with pytest.raises(InputError, match=sentence):
        jobs.start(operation, inputs)
    assert Wps.asked == []


def test_refusal_is_told_in_the_words_of_the_service(jobs):
    Wps.answers["POST"] = 400, REFUSED
    with pytest.raises(InputError, match=r"^home/a.tif does not exist$"):
        jobs.start("classify-scene", INPUTS)
    Wps.answers["DELETE"] = 404, json.dumps({"error": "there is no such job"})
    with pytest.raises(InputError, match=r"^there is no such job$"):
        jobs.dismiss(ID)


@pytest.mark.parametrize(
    "text", ["", "<html>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a/>"]
)
def test_answer_that_is_none_is_no_job(jobs, text):
    Wps.answers["POST"] = 502, text
    with pytest.raises(Unanswered):
        jobs.start("classify-scene", INPUTS)


def test_service_that_is_away_is_said_to_be():
    with pytest.raises(Unanswered, match="does not answer"):
        Jobs("http://127.0.0.1:9/services/wps/", "secret").latest(1)


def test_token_follows_no_redirect(jobs):
    Wps.answers["GET"] = 302, ""
    with pytest.raises(Unanswered):
        jobs.latest(3)
    assert len(Wps.asked) == 1


def test_job_is_told_without_addresses_of_this_machine(jobs):
    Wps.answers["GET"] = 200, json.dumps(JOB)
    told = jobs.job(ID)
    assert told["outputs"] == {"map": {"name": f"home/jobs/{ID}/map.tif", "value": None}}
    assert told["remarks"] == ["1 % is unknown"]
    assert "inside" not in json.dumps(told)
    assert Wps.asked[0][1] == f"/services/wps/jobs/{ID}"


def test_runs_ask_as_the_environment_says(url, monkeypatch):
    monkeypatch.setenv("GEOPORTAL_WPS_URL", url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "mine")
    Wps.answers |= {"GET": (200, json.dumps({"jobs": [JOB]})), "POST": (200, ACCEPTED),
                    "DELETE": (200, json.dumps(JOB))}  # fmt: skip
    runs = Runs()
    assert runs.operations()["runs"] is True
    assert [job["id"] for job in runs.latest("20")["jobs"]] == [ID]
    assert runs.start({"operation": "classify-scene", "inputs": INPUTS}) == {"id": ID}
    assert runs.dismiss(ID)["job"]["id"] == ID
    assert [asked[:3] for asked in Wps.asked] == [
        ("GET", "/services/wps/jobs?limit=20", "token mine"),
        ("POST", "/services/wps/", "token mine"),
        ("DELETE", f"/services/wps/jobs/{ID}", "token mine"),
    ]


@pytest.mark.parametrize("limit", ["", "0", "-1", "501", "1e3", "9" * 5000, "²"])
def test_number_of_jobs_is_bounded(url, monkeypatch, limit):
    monkeypatch.setenv("GEOPORTAL_WPS_URL", url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "mine")
    with pytest.raises(InputError, match="needs a number up to 500"):
        Runs().latest(limit)
    assert Wps.asked == []


def test_without_a_service_operations_are_described_and_not_run(monkeypatch):
    monkeypatch.delenv("GEOPORTAL_WPS_URL", raising=False)
    runs = Runs()
    told = runs.operations()
    assert told["runs"] is False
    assert [one["identifier"] for one in told["operations"]] == [o.identifier for o in OPERATIONS]
    assert {i["name"] for i in told["operations"][0]["inputs"]} >= {"source", "bands"}
    with pytest.raises(InputError, match="operations run in Python only"):
        runs.latest("20")
