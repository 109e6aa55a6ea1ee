"""The abstract tests of OGC 18-062r2, annex A: each test says which it is.

Where the standard names a schema, the document of the service's own OpenAPI is held against
`jsonschema`, and the members that the standard needs are asked for by name.
"""

import json
from email import message_from_bytes
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft4Validator

from tests.wps_processes.ogcapi.conftest import Api
from wps_processes.ogcapi.api import CONFORMANCE
from wps_processes.service import MAX_BODY

TYPES = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
CORE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core"
SENT = {"text": "teststring", "number": 2.5, "flag": True}
EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


def links(document):
    return {link["rel"]: link["href"] for link in document["links"]}


def below(href):
    """Return the path below ogc/ of an address, with its parameters."""
    split = urlsplit(href)
    path = split.path.removeprefix("/services/wps/ogc/")
    return path, dict(parse_qsl(split.query))


def follow(api, href):
    path, asked = below(href)
    return api.json(path, **asked)


def check(api, name, document):
    """Hold a document against a schema of the API's own description."""
    described = json.loads(api.get("api").data)
    Draft4Validator({"$ref": f"#/components/schemas/{name}"} | described).validate(document)


def parts_of(answer):
    """Return the parts of an answer by their ids."""
    head = f"Content-Type: {answer.content_type}\r\n\r\n".encode()
    return {
        each["Content-ID"]: each for each in message_from_bytes(head + answer.data).get_payload()
    }


def problem(answer, status, kind="about:blank"):
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    said = answer.get_json()
    assert (said["type"], said["status"]) == (kind, status)
    return said["detail"]


def test_the_landing_page_leads_on(api):
    """/conf/core/landingpage-op, landingpage-success."""
    page = api.json()
    check(api, "landingPage", page)
    found = links(page)
    for rel in ("self", "service-desc", f"{REL}conformance", f"{REL}processes", f"{REL}job-list"):
        path, _ = below(found[rel])
        assert api.get(path).status_code == 200, rel


def test_the_api_is_described(api):
    """/conf/core/api-definition-op, api-definition-success, /conf/oas30/oas-definition-1."""
    answer = api.get("api")
    assert answer.content_type == "application/vnd.oai.openapi+json;version=3.0"
    document = json.loads(answer.data)
    names = {each["operationId"]: path for path, methods in document["paths"].items()
             for each in methods.values()}  # fmt: skip
    assert names["getProcesses"] == "/processes"
    assert names["execute"] == "/processes/{processId}/execution"
    assert names["getJobs"] == "/jobs"
    assert names["getStatus"] == "/jobs/{jobId}"
    assert names["getResult"] == "/jobs/{jobId}/results"


def test_what_is_kept_is_said(api):
    """/conf/core/conformance-op, conformance-success."""
    document = api.json("conformance")
    check(api, "confClasses", document)
    assert document["conformsTo"] == list(CONFORMANCE)
    assert CORE in document["conformsTo"]


def test_the_processes_are_listed(api):
    """/conf/core/process-list, process-list-success."""
    document = api.json("processes")
    check(api, "processList", document)
    assert [each["id"] for each in document["processes"]][-2:] == ["export-map", "echo"]
    assert {"sync-execute", "async-execute"} == set(document["processes"][0]["jobControlOptions"])


def test_a_page_of_processes_is_as_long_as_asked(api):
    """/conf/core/pl-limit-definition, pl-limit-response, pl-links."""
    every = [each["id"] for each in api.json("processes")["processes"]]
    document = api.json("processes", limit=1)
    found = []
    while True:
        (one,) = document["processes"]
        found.append(one["id"])
        if "next" not in links(document):
            break
        document = follow(api, links(document)["next"])
    assert found == every
    before = follow(api, links(document)["prev"])
    assert [each["id"] for each in before["processes"]] == every[-2:-1]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "9" * 30, "٣", ""])
@pytest.mark.parametrize("path", ["processes", "jobs"])
def test_a_limit_that_is_none_is_refused(idle, path, limit):
    assert "limit is" in problem(idle.get(path, limit=limit), 400)


def test_a_process_is_described(api):
    """/conf/core/process, process-success; /conf/ogc-process-description/json-encoding,
    inputs-def, input-def, outputs-def, output-def."""
    for summary in api.json("processes")["processes"]:
        described = follow(api, links(summary)["self"])
        check(api, "process", described)
        for each in (*described["inputs"].values(), *described["outputs"].values()):
            Draft4Validator.check_schema(each["schema"])
            assert each["title"]
    described = api.json("processes/train-classifier")
    assert "random-forest" in described["inputs"]["method"]["schema"]["enum"]
    assert described["inputs"]["samples"]["minOccurs"] == 1
    assert described["inputs"]["seed"]["schema"]["maximum"] == 2**32 - 1
    assert described["outputs"]["model"]["schema"]["contentEncoding"] == "base64"


@pytest.mark.parametrize("path", ["processes/nothing", "processes/%00", "processes/a%2Fb"])
def test_an_unknown_process_is_said_by_type(idle, path):
    """/conf/core/process-exception-no-such-process."""
    kind = "about:blank" if "%2F" in path else f"{TYPES}no-such-process"
    problem(idle.get(path), 404, kind)


def test_an_unknown_process_is_not_executed(idle):
    """/conf/core/process-exception-no-such-process."""
    problem(idle.execute("nothing"), 404, f"{TYPES}no-such-process")


def test_a_call_is_synchronous_unless_asked_otherwise(api):
    """/conf/core/job-creation-default-execution-mode, job-creation-auto-execution-mode,
    job-creation-op, job-creation-request, job-creation-inputs."""
    for prefer in (None, "respond-sync", "wait=10", "return=minimal, foo"):
        answer = api.execute(prefer=prefer, inputs=SENT, response="document")
        assert answer.status_code == 200, answer.data
        assert answer.get_json()["text"] == "teststring"


def test_one_raw_value_is_itself(api):
    """/conf/core/job-creation-sync-raw-value-one."""
    answer = api.execute(inputs=SENT, outputs={"text": {"transmissionMode": "value"}})
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert answer.text == "teststring"
    answer = api.execute(inputs=SENT, outputs={"document": {}}, response="raw")
    assert answer.mimetype == "application/json"
    assert answer.get_json() == SENT
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_several_raw_values_are_parts(api):
    """/conf/core/job-creation-sync-raw-value-multi, job-creation-default-outputs."""
    answer = api.execute(inputs=SENT)
    assert (answer.status_code, answer.mimetype) == (200, "multipart/related")
    whole = message_from_bytes(
        f"Content-Type: {answer.content_type}\r\n\r\n".encode() + answer.data
    )
    parts = {each["Content-ID"]: each for each in whole.get_payload()}
    assert set(parts) == {"<text>", "<number>", "<flag>", "<document>"}
    assert parts["<flag>"].get_payload() == "true"
    assert json.loads(parts["<document>"].get_payload()) == SENT


def test_raw_references_are_links(api):
    """/conf/core/job-creation-sync-raw-ref, job-creation-sync-raw-mixed-multi."""
    by_reference = {"transmissionMode": "reference"}
    answer = api.execute(inputs=SENT, outputs={"document": by_reference})
    assert (answer.status_code, answer.data) == (204, b"")
    link = answer.headers.getlist("Link")[0]
    assert 'title="document"' in link
    written = api.wps.get(urlsplit(link[1:].partition(">")[0]).path.removeprefix("/services/wps/"))
    assert written.get_json() == SENT
    mixed = api.execute(inputs=SENT, outputs={"document": by_reference, "text": {}})
    assert mixed.text == "teststring"
    assert "document.json" in mixed.headers.getlist("Link")[0]


def test_a_document_has_values_and_references(api):
    """/conf/core/job-creation-sync-document."""
    answer = api.execute(inputs=SENT, response="document")
    written = {"value": json.dumps(SENT) + "\n", "mediaType": "application/json"}
    assert answer.get_json() == SENT | {"document": written}
    outputs = {"document": {"transmissionMode": "reference"}, "text": {}}
    given = api.execute(inputs=SENT, outputs=outputs, response="document").get_json()
    assert set(given) == {"document", "text"}
    assert given["document"]["href"].endswith("/document.json")
    assert given["document"]["title"].startswith("home/jobs/")


def test_an_asynchronous_call_says_where_its_job_is(api):
    """/conf/core/job-creation-async, job-op, job-success, job-results, job-results-async."""
    answer = api.execute(prefer="respond-async; wait=5", inputs=SENT, response="document")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "respond-async")
    made = answer.get_json()
    check(api, "statusInfo", made)
    assert answer.headers["Location"] == links(made)["self"]
    over = api.end(made["jobID"])
    check(api, "statusInfo", over)
    assert (over["status"], over["progress"], over["processID"]) == ("successful", 100, "echo")
    assert follow(api, links(over)[f"{REL}results"])["text"] == "teststring"


def test_raw_results_come_from_their_address_too(api):
    """/conf/core/job-results-async-raw-value-one."""
    job = api.begin(inputs=SENT, outputs={"number": {}})
    api.end(job)
    assert api.get(f"jobs/{job}/results").text == "2.5"


def test_an_unknown_job_is_said_by_type(idle):
    """/conf/core/job-exception-no-such-job, job-results-exception-no-such-job."""
    others = idle.begin(inputs=SENT)
    for job in ("nothing", "%00", "%ED%A0%80"):
        problem(idle.get(f"jobs/{job}"), 404, f"{TYPES}no-such-job")
        problem(idle.get(f"jobs/{job}/results"), 404, f"{TYPES}no-such-job")
        problem(idle.send("DELETE", f"jobs/{job}"), 404, f"{TYPES}no-such-job")
    problem(idle.get(f"jobs/{others}", "boris"), 404, f"{TYPES}no-such-job")
    problem(idle.get(f"jobs/{others}/results", "boris"), 404, f"{TYPES}no-such-job")
    problem(idle.send("DELETE", f"jobs/{others}", "boris"), 404, f"{TYPES}no-such-job")


def test_results_that_are_not_ready_are_said_by_type(idle):
    """/conf/core/job-results-exception-results-not-ready."""
    job = idle.begin(inputs=SENT)
    problem(idle.get(f"jobs/{job}/results"), 404, f"{TYPES}result-not-ready")


def test_a_failed_job_says_why(api):
    """/conf/core/job-results-failed."""
    job = api.begin("extract-samples", inputs=EXTRACT | {"class_field": "nothing"})
    over = api.end(job)
    assert over["status"] == "failed"
    assert "has no field nothing" in problem(api.get(f"jobs/{job}/results"), 400)
    assert f"{REL}exceptions" in links(over)
    asked = EXTRACT | {"class_field": "nothing"}
    assert "has no field nothing" in problem(api.execute("extract-samples", inputs=asked), 400)


def test_a_job_is_dismissed_once(idle):
    """/conf/dismiss/job-dismiss-op, job-dismiss-success."""
    job = idle.begin(inputs=SENT)
    answer = idle.send("DELETE", f"jobs/{job}")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "dismissed"
    assert idle.json(f"jobs/{job}")["message"] == "dismissed by its owner"
    assert "dismissed already" in problem(idle.send("DELETE", f"jobs/{job}"), 409)


def test_jobs_are_listed_page_by_page(idle):
    """/conf/job-list/job-list-op, job-list-success, limit-definition, limit-response, links."""
    made = [idle.begin(inputs=SENT) for _ in range(3)]
    document = idle.json("jobs", limit=2)
    check(idle, "jobList", document)
    assert [each["jobID"] for each in document["jobs"]] == made[:0:-1]
    last = follow(idle, links(document)["next"])
    assert [each["jobID"] for each in last["jobs"]] == made[:1]
    assert "next" not in links(last)
    assert follow(idle, links(last)["prev"]) == document | {"links": idle.json(
        "jobs", limit=2, offset=0)["links"]}  # fmt: skip
    assert idle.get("jobs", "boris").get_json()["jobs"] == []


def ids(api, query):
    answer = api.send("GET", f"jobs?{query}")
    assert answer.status_code == 200, answer.data
    return {each["jobID"] for each in answer.get_json()["jobs"]}


def test_jobs_are_found_by_what_they_are(idle):
    """/conf/job-list/type-definition, type-response, processid-definition, processid-response,
    status-definition, status-response, datetime-definition, datetime-response."""
    waits, other = idle.begin(inputs=SENT), idle.begin("extract-samples", inputs=EXTRACT)
    gone = idle.begin(inputs=SENT)
    idle.send("DELETE", f"jobs/{gone}")
    assert ids(idle, "type=process") == {waits, other, gone}
    assert ids(idle, "processID=echo") == {waits, gone}
    assert ids(idle, "processID=echo&processID=extract-samples") == {waits, other, gone}
    assert ids(idle, "status=dismissed") == {gone}
    assert ids(idle, "status=dismissed,accepted&processID=echo") == {waits, gone}
    assert ids(idle, "status=running") == set()
    created = idle.json(f"jobs/{other}")["created"]
    second = created[:19] + "Z"
    assert other in ids(idle, f"datetime={second}")
    assert ids(idle, f"datetime={created}") == {other}
    assert ids(idle, f"datetime={created}/..") == {other, gone}
    assert ids(idle, f"datetime=/{created}") == {waits, other}
    assert ids(idle, "datetime=2020-01-01T00:00:00%2B03:00/2020-01-02T00:00:00Z") == set()


def test_jobs_are_found_by_how_long_they_took(api):
    """/conf/job-list/duration-definition, duration-response."""
    ended = api.begin(inputs=SENT)
    api.end(ended)
    assert ids(api, "minDuration=0&maxDuration=300") == {ended}
    assert ids(api, "minDuration=300") == ids(api, "maxDuration=0") == set()


@pytest.mark.parametrize(
    "query",
    ["status=done", "type=wps", "datetime=..", "datetime=yesterday", "minDuration=-1",
     "user=boris", "datetime=2026-01-02T00:00:00Z/2026-01-01T00:00:00Z", "limit=1&limit=2",
     "datetime=0001-01-01T00:00:00%2B14:00"],
)  # fmt: skip
def test_what_cannot_be_sought_is_refused(idle, query):
    problem(idle.send("GET", f"jobs?{query}"), 400)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": {"nothing": 1}}, "echo has no input nothing"),
        ({"inputs": {"number": "x"}}, "number is x, needs a number"),
        ({"inputs": {"text": {"href": "http://127.0.0.1/"}}}, "nothing is fetched from URLs"),
        ({"inputs": {"text": {"bbox": [1, 2, 3, 4]}}}, "text is an object, needs a value"),
        ({"inputs": {"text": ["a", "b"]}}, "needs a text"),
        ({"inputs": {"text": "a\0b"}}, "holds a sign that no text has"),
        ({"inputs": {"text": "a\ud800b"}}, "holds a sign that no text has"),
        ({"inputs": []}, "inputs is no object"),
        ({"outputs": {"nothing": {}}}, "echo has no output nothing"),
        ({"outputs": {"text": {"transmissionMode": "mail"}}}, "needs value or reference"),
        ({"outputs": {"document": {"format": {"mediaType": "text/csv"}}}}, "is application/json"),
        ({"response": "xml"}, "needs raw or document"),
        ({"subscriber": {"successUri": "http://x/"}}, "nobody is called back"),
    ],
)
def test_what_cannot_be_executed_is_refused(idle, body, said):
    """/conf/core/job-creation-input-validation, job-creation-input-ref,
    job-creation-input-inline-bbox."""
    assert said in problem(idle.execute(**body), 400)
    assert idle.json("jobs")["jobs"] == []


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"inputs": {}, "inputs": {}}', '{"a": NaN}', "[" * 100_000, b"\xff"]
)
def test_a_body_that_is_no_request_is_refused(idle, body):
    how = {"data": body, "content_type": "application/json"}
    problem(idle.send("POST", "processes/echo/execution", **how), 400)


def test_other_bodies_and_methods_are_refused(idle):
    """/conf/core/http."""
    path = "processes/echo/execution"
    problem(idle.send("POST", path, data="<a/>", content_type="text/xml"), 415)
    problem(idle.send("POST", path, data="x" * (MAX_BODY + 1)), 413)
    answer = idle.send("GET", path)
    problem(answer, 405)
    assert answer.headers["Allow"] == "POST"
    problem(idle.get("nothing"), 404)


def test_an_array_is_a_list_of_files(made, tmp_path):
    """/conf/core/job-creation-input-array."""
    api = Api(made())
    names = [f"home/{each}.csv" for each in ("a", "b")]
    for name in names:
        (api.wps.root / "users/anna" / name.removeprefix("home/")).write_text(name)
    described = api.json("processes/join-tables")["inputs"]["tables"]["schema"]
    assert (described["type"], described["maxItems"]) == ("array", 256)
    answer = api.execute("join-tables", inputs={"tables": names}, outputs={"joined": {}})
    assert answer.text == "".join(names)
    qualified = [{"value": names[0]}, names[1]]
    answer = api.execute("join-tables", inputs={"tables": qualified}, outputs={"count": {}})
    assert answer.text == "2"


def test_nobody_comes_in_without_an_identity(idle):
    for path in ("", "conformance", "api", "processes", "jobs", "jobs/1", "jobs/1/results"):
        answer = idle.get(path, user="")
        problem(answer, 401)
        assert "WWW-Authenticate" in answer.headers
    problem(idle.get("processes", "foreign"), 403)


def test_a_session_only_reads(idle):
    idle.wps.client.set_cookie("session", "anna")
    job = idle.begin(inputs=SENT)
    path = "/services/wps/ogc/"
    assert idle.wps.client.get(f"{path}jobs/{job}").status_code == 200
    problem(idle.wps.client.delete(f"{path}jobs/{job}"), 403)
    problem(idle.wps.client.post(f"{path}processes/echo/execution", json={}), 403)


def test_jobs_of_other_faces_are_the_same_jobs(api):
    """A job of WPS here, a job of this API as WPS."""
    answer = api.wps.execute("extract-samples", **EXTRACT, chip_size="1", masks="false")
    assert answer.status_code == 200
    (job,) = api.json("jobs")["jobs"]
    given = api.json(f"jobs/{job['jobID']}/results")
    assert given["total"] == 150
    assert given["counts"]["href"].endswith(f"outputs/{job['jobID']}/counts.csv")
    assert given["samples"]["type"] == "application/zip"
    own = api.begin(inputs=SENT, outputs={"text": {}})
    api.end(own)
    status = api.wps.get(f"status/{own}.xml")
    assert b"teststring" in status.data
    assert b"ProcessSucceeded" in status.data


def test_remarks_stand_in_the_status(made):
    api = Api(made())
    over = api.end(api.begin("make-remarks", inputs={"count": 2}))
    assert len(over["remarks"]) == 2


def test_a_synchronous_call_that_takes_too_long_names_the_other_way(made):
    api = Api(made(sync_seconds=0.1))
    said = problem(api.execute("wait-for-ever", inputs={}), 400)
    assert said.endswith("call it asynchronously (Prefer: respond-async)")
    assert api.json("jobs")["jobs"][0]["status"] == "dismissed"


def test_a_large_file_is_referred_to(api, monkeypatch):
    monkeypatch.setattr("wps_processes.ogcapi.results.MOST_EMBEDDED", 10)
    given = api.execute(inputs=SENT, response="document").get_json()
    assert given["document"]["href"].endswith("document.json")
    part = parts_of(api.execute(inputs=SENT))["<document>"]
    job = api.json("jobs", limit=1)["jobs"][0]["jobID"]
    assert part["Content-Location"].endswith(f"/services/wps/outputs/{job}/document.json")
    assert part.get_payload().strip() == ""
