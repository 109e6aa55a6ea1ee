import base64
import io
import json
import os
import shutil
import threading
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from lxml import etree
from sqlalchemy.exc import OperationalError

from benchmarks.served import DEADLINE, until
from landcover.operations import OPERATIONS
from tests.wps_processes.conftest import EXECUTE, LITERAL
from wps_processes.jobs.ledger import Limits
from wps_processes.jobs.published import ECHO

NS = {"wps": "http://www.opengis.net/wps/1.0.0", "ows": "http://www.opengis.net/ows/1.1"}
KVP = {"service": "WPS", "version": "1.0.0", "request": "Execute", "identifier": "extract-samples"}
EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


def texts(answer, path):
    return etree.fromstring(answer.data).xpath(path, namespaces=NS)


def sentence(answer):
    (text,) = texts(answer, "//ows:ExceptionText/text()")
    return text.strip()


def wait(wps, job, user="anna"):
    over = wps.dispatcher.wait(job, DEADLINE)
    assert over.is_over
    return wps.get(f"jobs/{job}", user).get_json()


def started(wps, **inputs):
    answer = wps.execute("extract-samples", asynchronous=True, **(EXTRACT | inputs))
    assert answer.status_code == 200, answer.data
    (location,) = texts(answer, "/wps:ExecuteResponse/@statusLocation")
    return location.rsplit("/", 1)[1].removesuffix(".xml"), answer


def test_a_synchronous_call_answers_with_the_outputs(wps):
    answer = wps.execute("extract-samples", **EXTRACT, chip_size="1", masks="false")
    assert texts(answer, "//wps:ProcessSucceeded") != [], answer.data
    values = dict(
        zip(
            texts(answer, "//wps:Output/ows:Identifier/text()"),
            texts(answer, "//wps:LiteralData/text() | //wps:Reference/@href"),
            strict=True,
        )
    )
    (job,) = wps.jobs()
    assert values["total"] == "150"
    assert values["samples"] == f"home/jobs/{job['id']}/samples"
    assert values["counts"] == f"http://localhost/services/wps/outputs/{job['id']}/counts.csv"
    assert wps.get(f"outputs/{job['id']}/counts.csv").data.startswith(b"class,code,samples")


def test_a_job_of_json_is_what_the_contract_says(wps):
    job, answer = started(wps)
    assert texts(answer, "//wps:ProcessAccepted") != []
    described = wait(wps, job)
    assert described | {"created": 0, "started": 0, "finished": 0} == {
        "id": job,
        "operation": "extract-samples",
        "user": "anna",
        "state": "successful",
        "progress": 100,
        "message": "done",
        "position": None,
        "created": 0,
        "started": 0,
        "finished": 0,
        "inputs": described["inputs"],
        "outputs": {
            "samples": {
                "name": f"home/jobs/{job}/samples",
                "href": f"http://localhost/services/wps/outputs/{job}/samples",  # as an archive
                "value": None,
            },
            "counts": {
                "name": f"home/jobs/{job}/counts.csv",
                "href": f"http://localhost/services/wps/outputs/{job}/counts.csv",
                "value": None,
            },
            "total": {"name": None, "href": None, "value": 150},
        },
        "error": None,
        "remarks": [],
    }
    assert described["created"] <= described["started"] <= described["finished"]
    assert described["finished"].endswith("Z")
    assert described["inputs"] == EXTRACT | {
        "scene": [EXTRACT["scene"]],
        "class_field": "class", "chip_size": 1, "max_per_class": 0, "masks": False,
        "context": 0, "patches": 0, "seed": 0, "layer": "", "bands": "",
    }  # fmt: skip


def test_the_status_document_follows_the_ledger(wps):
    job, _ = started(wps)
    assert UUID(job).version == 4  # random, where PyWPS's tell time and machine
    wait(wps, job)
    document = wps.get(f"status/{job}.xml")
    assert texts(document, "//wps:ProcessSucceeded") != []
    assert texts(document, "//wps:LiteralData/text()") == [f"home/jobs/{job}/samples", "150"]


def test_key_value_pairs_do_the_same(wps):
    inputs = ";".join(f"{name}={value}" for name, value in EXTRACT.items())
    answer = wps.get(
        service="WPS", version="1.0.0", request="Execute", identifier="extract-samples",
        datainputs=f"{inputs};max_per_class=7",
    )  # fmt: skip
    assert "21" in texts(answer, "//wps:LiteralData/text()")


def by_kvp(wps, **parameters):
    inputs = ";".join(f"{name}={value}" for name, value in EXTRACT.items())
    return wps.get(**KVP, **({"datainputs": inputs} | parameters))


@pytest.mark.parametrize("asked", ["counts", "counts@mimeType=text/csv"])
def test_raw_output_is_the_file_itself(wps, asked):
    answer = by_kvp(wps, rawdataoutput=asked)
    assert answer.data.startswith(b"class,code,samples")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize("how", ["rawdataoutput", "responsedocument"])
def test_an_unknown_output_is_refused_before_anything_is_computed(wps, how):
    answer = by_kvp(wps, **{how: "colour"})
    assert answer.status_code == 400
    assert sentence(answer) == (
        "extract-samples has no output colour, it has samples, counts, total"
    )
    assert wps.jobs() == []


def test_raw_data_is_one_output(wps):
    answer = by_kvp(wps, rawdataoutput="counts;total")
    assert sentence(answer) == "raw data is one output, 2 are named"
    assert wps.jobs() == []


def test_the_document_shows_the_outputs_asked_for_now_and_later(wps):
    answer = by_kvp(wps, responsedocument="counts@asReference=true")
    assert texts(answer, "//wps:Output/ows:Identifier/text()") == ["counts"]
    again = wps.get(f"status/{wps.jobs()[0]['id']}.xml")
    assert texts(again, "//wps:Output/ows:Identifier/text()") == ["counts"]


def test_an_output_is_embedded_if_it_is_asked_for_by_value(wps):
    for asked in ("counts@asReference=false", "counts@mimeType=text/csv@asReference=false"):
        answer = by_kvp(wps, responsedocument=asked)
        (text,) = texts(answer, "//wps:ComplexData/text()")
        assert text.startswith("class,code,samples")
    form = (
        '<wps:ResponseDocument><wps:Output asReference="{}"><ows:Identifier>counts'
        "</ows:Identifier></wps:Output></wps:ResponseDocument>"
    )
    inputs = "".join(LITERAL.format(*pair) for pair in EXTRACT.items())
    for said, embedded in (("false", 1), ("true", 0)):
        body = EXECUTE.format(identifier="extract-samples", inputs=inputs, form=form.format(said))
        answer = wps.post(body)
        assert len(texts(answer, "//wps:ComplexData")) == embedded
        assert len(texts(answer, "//wps:Reference")) == 1 - embedded


def test_a_picture_is_embedded_in_base_64(wps):
    job, _ = started(wps)
    samples = wait(wps, job)["outputs"]["samples"]["name"]
    answer = wps.get(
        **(KVP | {"identifier": "balance-samples"}), datainputs=f"samples={samples}",
        responsedocument="diagram@asReference=false",
    )  # fmt: skip
    (text,) = texts(answer, "//wps:ComplexData[@encoding='base64']/text()")
    assert base64.b64decode(text).startswith(b"\x89PNG")


def test_a_literal_is_raw_data_too(wps):
    assert by_kvp(wps, rawdataoutput="total").data == b"150"


@pytest.mark.parametrize("name", ["a=b.gpkg", "a@b.gpkg", "a b+c.gpkg", "ä;ö.gpkg", "50%.gpkg"])
def test_names_keep_their_signs_in_key_value_pairs(start, name):
    wps = start(running=False)
    (wps.root / "users/anna" / name).touch()
    value = quote(f"home/{name}") if set(name) & set(";%") else f"home/{name}"
    wps.get(
        **KVP, datainputs=f"scene=shared/scene.tif;labels={value}",
        storeexecuteresponse="true", status="true",
    )  # fmt: skip
    assert wps.jobs()[0]["inputs"]["labels"] == f"home/{name}"


def test_a_document_tells_its_time_in_utc_and_how_to_reach_the_service(wps):
    answer = by_kvp(wps)
    (job,) = wps.jobs()
    (created,) = texts(answer, "//wps:Status/@creationTime")
    assert created == job["finished"][:19] + "Z"
    (instance,) = texts(answer, "/wps:ExecuteResponse/@serviceInstance")
    assert instance == "http://localhost/services/wps/?service=WPS&request=GetCapabilities"


def test_a_waiting_job_tells_its_place(start):
    wps = start(running=False)
    started(wps)
    job, answer = started(wps)
    assert texts(answer, "//wps:ProcessAccepted/text()") == [
        "waiting for a free processor, place 2 in the queue"
    ]
    assert wps.get(f"jobs/{job}").get_json()["position"] == 2


def busy(answer):
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert texts(answer, "//@exceptionCode") == ["ServerBusy"]
    return sentence(answer)


def test_over_the_limit_a_call_is_refused_and_nothing_lost(start):
    wps = start(running=False, limits=Limits(per_user=2, in_total=3))
    for user in ("anna", "anna", "boris"):
        wps.execute("draw-reference-sample", user, asynchronous=True, map="shared/scene.tif")
    assert "2 of your jobs" in busy(started_anyhow(wps, "anna"))
    assert "3 jobs are waiting" in busy(started_anyhow(wps, "boris"))
    assert len(wps.jobs()) == 2


def started_anyhow(wps, user):
    return wps.execute("draw-reference-sample", user, asynchronous=True, map="shared/scene.tif")


@pytest.fixture
def waited_for():
    """A function that lets a user call synchronously, and wait; all calls end with the test."""
    calls = []

    def call(wps, user="anna"):
        named = {"user": user} | EXTRACT
        thread = threading.Thread(target=wps.execute, args=("extract-samples",), kwargs=named)
        thread.start()
        calls.append((wps, user, thread))
        until(lambda: wps.jobs(user))

    yield call
    for wps, user, _ in calls:
        for job in wps.jobs(user):
            wps.dispatcher.dismiss(job["id"], "enough")
    for _, _, thread in calls:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_synchronous_calls_leave_threads_for_others(start, waited_for):
    wps = start(running=False, sync_at_once=1, sync_seconds=120)
    waited_for(wps)
    assert "1 synchronous calls are" in busy(wps.execute("extract-samples", "boris", **EXTRACT))
    assert wps.jobs("boris") == []


def test_of_the_synchronous_calls_one_user_has_half(start, waited_for):
    wps = start(running=False, sync_at_once=3, sync_seconds=120)
    shutil.copy(wps.root / "users/anna/labels.gpkg", wps.root / "users/boris")
    waited_for(wps)
    refusal = busy(wps.execute("extract-samples", **EXTRACT))
    assert refusal.startswith("1 of your synchronous calls")
    assert "call asynchronously" in refusal
    waited_for(wps, "boris")


def test_a_seat_is_free_again_after_the_call(start):
    wps = start(sync_at_once=1)
    for _ in range(3):
        assert b"ProcessSucceeded" in wps.execute("extract-samples", **EXTRACT).data
    wrong = wps.execute("extract-samples", **(EXTRACT | {"scene": "shared/none.tif"}))
    assert b"none.tif" in wrong.data
    assert b"ProcessSucceeded" in wps.execute("extract-samples", **EXTRACT).data


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["9" * 5_000, "-1", "1.5", "much", "9" * 12])
def test_a_number_of_jobs_that_is_none_is_refused(wps, name, value):
    answer = wps.get("jobs", **{name: value})
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith(f"{name} is {value[:12]}")
    assert len(answer.data) < 200


def test_a_ledger_that_cannot_be_written_takes_no_job(start, monkeypatch):
    wps = start(running=False)

    def full(*given):
        raise OperationalError("", {}, OSError("disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(wps.ledger, "add", full)
        assert "no job can be taken now" in busy(wps.execute("extract-samples", **EXTRACT))
    assert wps.jobs() == []


def test_a_ledger_away_as_a_job_begins_delays_it(start, monkeypatch):
    wps = start()
    write, cut_off = wps.ledger.started, threading.Event()

    def away_once(*given):
        if not cut_off.is_set():
            cut_off.set()
            raise OperationalError("", {}, OSError("terminating connection"))
        return write(*given)

    monkeypatch.setattr(wps.ledger, "started", away_once)
    number, _ = started(wps)
    end = wps.dispatcher.wait(number, DEADLINE)
    assert (end.state, end.attempt, end.error) == ("successful", 2, None)


def test_each_face_says_in_its_words_that_the_ledger_is_away(start, monkeypatch):
    wps = start(running=False)

    def away(*given):
        raise OperationalError("", {}, OSError("disk is full"))

    for name in ("get", "of_user"):
        monkeypatch.setattr(wps.ledger, name, away)
    assert "not known now" in busy(wps.get("status/1.xml"))
    for path in ("jobs", "jobs/1", "outputs/1/a.csv"):
        answer = wps.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert answer.get_json() == {"error": "the jobs are not known now, try again later"}
        header = {"Authorization": "token anna", "Accept": "text/html"}
        page = wps.client.get(f"/services/wps/{path}", headers=header)
        assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
        assert "<h1>Service Unavailable</h1>" in page.text


@pytest.fixture
def written(start):
    """A service, a job of anna's that waits, and its folder with a folder of two files in it."""
    wps = start(running=False)
    job, _ = started(wps)
    home = wps.root / "users/anna/jobs" / job
    (home / "samples/forest").mkdir(parents=True)
    (home / "samples/a.npy").write_bytes(b"a" * 300_000)
    (home / "samples/forest/b.npy").write_bytes(b"b")
    return wps, job, home


def test_a_folder_is_an_archive_of_its_plain_files(written):
    wps, job, home = written
    (home / "samples/secret").symlink_to("/etc/passwd")
    os.mkfifo(home / "samples/pipe")
    (home / "samples/\udcff.npy").write_bytes(b"?")
    (home / "samples/.hidden").write_bytes(b"hidden")
    answer = wps.get(f"outputs/{job}/samples")
    assert (answer.status_code, answer.mimetype) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == "attachment; filename=samples.zip"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        found = {name: len(archive.read(name)) for name in archive.namelist()}
    assert found == {"samples/a.npy": 300_000, "samples/forest/b.npy": 1, "samples/?.npy": 1}
    assert wps.get(f"outputs/{job}/samples", "boris").status_code == 404


def opened_below(folder):
    """Return what this process has open in a folder."""
    opened = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.append(each.readlink())
    return [each for each in opened if each.is_relative_to(folder)]


def ask_for_what_is_written(wps, job):
    """Ask in every way that opens a file or folder, and mostly leaves it unread."""
    header = {"Authorization": "token anna"}
    for name in ("samples", "run.json", "job.log"):
        path = f"/services/wps/outputs/{job}/{name}"
        for more in ({}, {"Range": "bytes=900000-"}, {"If-None-Match": "*"}):
            wps.client.get(path, headers=header | more).close()
        wps.client.head(path, headers=header).close()
    wps.client.get(f"/services/wps/jobs/{job}.html", headers=header)


@pytest.mark.parametrize("times", [20, pytest.param(2_000, marks=pytest.mark.proof)])
def test_what_was_asked_for_is_closed(written, times):
    wps, job, home = written
    (home / "run.json").write_text("{}")
    (home / "job.log").mkdir()
    for _ in range(times):
        ask_for_what_is_written(wps, job)
    assert opened_below(wps.root) == []


def test_a_file_that_has_become_a_folder_is_told_by_value_and_raw(wps, monkeypatch):
    run = wps.dispatcher.wait

    def replaced(job, seconds):
        over = run(job, seconds)
        counts = wps.root / f"users/anna/jobs/{job}/counts.csv"
        counts.unlink()
        counts.mkdir()
        return over

    monkeypatch.setattr(wps.dispatcher, "wait", replaced)
    assert "counts.csv is a folder" in sentence(by_kvp(wps, rawdataoutput="counts"))
    answer = by_kvp(wps, responsedocument="counts@asReference=false")
    assert len(texts(answer, "//wps:Reference")) == 1
    assert opened_below(wps.root) == []


METHODS = {
    "": "GET, HEAD, POST", "jobs": "GET, HEAD", "jobs/x": "DELETE, GET, HEAD",
    "jobs/x.html": "GET, HEAD", "jobs/x/dismiss": "POST", "outputs/x/y": "GET, HEAD",
    "status/x.xml": "GET, HEAD", "processes/x": "GET, HEAD, POST", "health": "GET, HEAD",
    "style.css": "GET, HEAD", "administration": "GET, HEAD, POST", "oauth_callback": "GET, HEAD",
}  # fmt: skip


@pytest.mark.parametrize("path", METHODS)
def test_a_method_that_does_nothing_is_refused_with_those_that_do(start, path):
    client = start(running=False).client
    for method in {"PUT", "PATCH", "DELETE", "POST", "OPTIONS"} - set(METHODS[path].split(", ")):
        header = {"Authorization": "token anna"}
        answer = client.open(f"/services/wps/{path}", method=method, headers=header)
        allowed = sorted(answer.headers["Allow"].split(", "))
        assert (answer.status_code, ", ".join(allowed)) == (405, METHODS[path])


def test_head_is_answered_for_what_computes_nothing(start):
    client = start(running=False).client

    def asked(request):
        query = {"service": "WPS", "request": request, "version": "1.0.0"}
        header = {"Authorization": "token anna"}
        return client.head("/services/wps/", query_string=query, headers=header)

    capabilities, execute = asked("GetCapabilities"), asked("Execute")
    assert (capabilities.status_code, capabilities.data) == (200, b"")
    assert (execute.status_code, execute.headers["Allow"]) == (405, "GET, POST")


def test_clients_of_wps_read_every_refusal_as_an_exception(start):
    client = start(running=False).client

    def refused(token="anna", method="POST", data=b"<x/>", **headers):
        header = {"Authorization": f"token {token}"} if token else {}
        answer = client.open("/services/wps/", method=method, data=data, headers=header | headers)
        (code,) = texts(answer, "//ows:Exception/@exceptionCode")
        return answer.status_code, code

    assert refused(token=None) == (401, "NoApplicableCode")
    assert refused(token="foreign") == (403, "NoApplicableCode")
    assert refused(method="PUT") == (405, "OperationNotSupported")
    assert refused(data=b"x" * (2 << 20)) == (413, "FileSizeExceeded")
    assert refused(**{"Content-Type": "application/json"}) == (415, "NoApplicableCode")
    document = client.get("/services/wps/status/x.xml", headers={"Authorization": "token anna"})
    assert document.status_code == 404
    assert texts(document, "//ows:ExceptionText/text()") == ["you have no such job"]
    assert client.get("/services/wps/").headers["WWW-Authenticate"].startswith("Bearer")


def test_another_service_is_refused(start):
    wps = start(running=False)
    for request in ("GetCapabilities", "DescribeProcess", "Execute"):
        asked = {"version": "1.0.0", "identifier": "extract-samples", "request": request}
        answer = wps.get(service="WMS", **asked)
        assert (answer.status_code, *texts(answer, "//@locator")) == (400, "service")
    body = EXECUTE.replace('service="WPS"', 'service="WMS"')
    answer = wps.post(body.format(identifier="extract-samples", inputs="", form=""))
    assert (answer.status_code, *texts(answer, "//@locator")) == (400, "service")


@pytest.mark.parametrize(
    "literal", ["<wps:LiteralData/>", "<wps:LiteralData><!-- nothing --></wps:LiteralData>"]
)
def test_an_empty_literal_is_an_empty_text(start, literal):
    wps = start(running=False)
    inputs = "".join(LITERAL.format(*pair) for pair in EXTRACT.items())
    inputs += LITERAL.format("layer", "x").replace("<wps:LiteralData>x</wps:LiteralData>", literal)
    form = '<wps:ResponseDocument storeExecuteResponse="true" status="true" lineage="true"/>'
    answer = wps.post(EXECUTE.format(identifier="extract-samples", inputs=inputs, form=form))
    assert wps.jobs()[0]["inputs"]["layer"] == ""
    assert b"None" not in answer.data


def test_descriptions_take_little_memory_whatever_is_asked(start):
    wps = start(running=False)
    asked = {"service": "WPS", "version": "1.0.0", "request": "DescribeProcess"}
    one = wps.get(**asked, identifier="extract-samples")
    tracemalloc.start()
    try:
        for number in range(12):
            many = ",".join(["extract-samples"] * 2_000)
            assert wps.get(**asked, identifier=many, anything=number).data == one.data
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_job_that_is_dismissed_while_it_waits_leaves_no_folder(start):
    wps = start(running=False)
    job, _ = started(wps)
    wps.client.delete(f"/services/wps/jobs/{job}", headers={"Authorization": "token anna"})
    wps.dispatcher.start()
    wps.dispatcher.stop()  # waits for what it does in the background
    assert wps.jobs()[0]["state"] == "dismissed"
    assert not (wps.root / "users/anna/jobs").exists()


def test_descriptions_are_rendered_once_but_for_each_address(wps):
    asked = "/services/wps/?service=WPS&request=GetCapabilities"
    header = {"Authorization": "token anna"}
    for host in ("a.example.org", "b.example.org"):
        for _ in range(2):
            answer = wps.client.get(asked, headers=header | {"X-Forwarded-Host": host})
            assert f"http://{host}/services/wps/".encode() in answer.data
            assert answer.data.count(b"example.org") == answer.data.count(host.encode())


def test_thousands_of_inputs_are_refused(wps):
    inputs = "".join(LITERAL.format(f"x{i}", i) for i in range(5_000))
    answer = wps.post(EXECUTE.format(identifier="extract-samples", inputs=inputs, form=""))
    assert sentence(answer).startswith("extract-samples has no input x0")
    scenes = LITERAL.format("scene", "shared/scene.tif") * 5_000
    answer = wps.post(EXECUTE.format(identifier="extract-samples", inputs=scenes, form=""))
    assert sentence(answer) == "scene has 5000 paths, at most 256 are read"
    answer = wps.post(EXECUTE.format(identifier="classify-scene", inputs=scenes, form=""))
    assert sentence(answer) == "scene is given 5000 times, needs one"


def test_lineage_is_kept_in_the_status_document(wps):
    answer = by_kvp(
        wps, responsedocument="total", lineage="true", storeexecuteresponse="true", status="true"
    )
    (location,) = texts(answer, "/wps:ExecuteResponse/@statusLocation")
    job = location.rsplit("/", 1)[1].removesuffix(".xml")
    wait(wps, job)
    document = wps.get(f"status/{job}.xml")
    assert texts(document, "//wps:DataInputs//wps:LiteralData/text()")[:2] == [
        "shared/scene.tif",
        "home/labels.gpkg",
    ]


@pytest.mark.parametrize("claimed", ["string", "float", "xs:integer", "rubbish"])
def test_types_are_the_operations_whatever_a_client_claims(start, claimed):
    wps = start(running=False, sync_seconds=0)
    size = LITERAL.format("chip_size", "3").replace(
        "LiteralData>", f'LiteralData datatype="{claimed}">', 1
    )
    inputs = "".join(LITERAL.format(*pair) for pair in EXTRACT.items()) + size
    wps.post(EXECUTE.format(identifier="extract-samples", inputs=inputs, form=""))
    (job,) = wps.jobs()
    assert repr(job["inputs"]["chip_size"]) == "3"


def test_an_output_of_one_operation_is_an_input_of_the_next(wps):
    job, _ = started(wps)
    samples = wait(wps, job)["outputs"]["samples"]["name"]
    answer = wps.execute("balance-samples", samples=samples, threshold="10")
    (before, after) = texts(answer, "//wps:LiteralData/text()")
    assert int(after) < int(before) == 150


def test_the_description_follows_from_the_operation(wps):
    described = wps.get(
        service="WPS", version="1.0.0", request="DescribeProcess", identifier="balance-samples"
    )
    assert texts(described, "//Input/ows:Identifier/text()") == [
        "samples", "clusters", "threshold", "step", "scope", "seed",
    ]  # fmt: skip
    assert texts(described, "//Input/@minOccurs") == ["1", "0", "0", "0", "0", "0"]
    assert texts(described, "//Input[ows:Identifier='clusters']//DefaultValue/text()") == ["8"]
    assert texts(described, "//Input[ows:Identifier='clusters']//ows:MinimumValue/text()") == ["1"]
    assert texts(described, "//Input[ows:Identifier='scope']//ows:Value/text()") == [
        "all",
        "class",
    ]
    assert texts(described, "//Input[ows:Identifier='seed']//ows:DataType/text()") == ["integer"]
    assert "text/csv" in texts(described, "//Output//MimeType/text()")


def test_capabilities_name_every_process_and_this_address(wps):
    answer = wps.get(service="WPS", request="GetCapabilities")
    assert texts(answer, "//wps:Process/ows:Identifier/text()") == [
        "import-scene", "mask-clouds", "stack-scenes", "compose-scenes", "derive-bands",
        "label-by-color", "extract-samples", "check-samples", "balance-samples",
        "train-classifier",
        "check-radiometry", "classify-scene",
        "draw-reference-sample", "assess-quality", "compare-maps", "review-map",
        "sieve-map", "tabulate-areas", "detect-changes", "polygonize-map", "export-map",
        "echo",
    ]  # fmt: skip
    versions = [operation.version for operation in (*OPERATIONS, ECHO)]
    assert texts(answer, "//wps:Process/@wps:processVersion") == versions
    assert b"http://localhost/services/wps/" in answer.data
    assert b"geoportal.invalid" not in answer.data


def test_the_address_is_the_proxys(wps):
    answer = wps.client.get(
        "/services/wps/?service=WPS&request=GetCapabilities",
        headers={"Authorization": "token anna", "X-Forwarded-Host": "maps.example.org",
                 "X-Forwarded-Proto": "https"},
    )  # fmt: skip
    assert b"https://maps.example.org/services/wps/" in answer.data


def test_a_message_keeps_its_signs(wps):
    answer = wps.execute("extract-samples", **EXTRACT, class_field="a &lt;b&gt; [c] 5% é")
    assert sentence(answer).startswith("labels.gpkg has no field a <b> [c] 5% é,")


def test_an_empty_value_is_no_word(wps):
    answer = wps.execute("extract-samples", **EXTRACT, class_field="")
    assert sentence(answer).startswith("labels.gpkg has no field ,")
    assert wps.jobs()[0]["inputs"]["class_field"] == ""


def test_a_missing_identifier_is_not_read_out_of_the_path(wps):
    for request in ("Execute", "DescribeProcess"):
        answer = wps.get(**(KVP | {"request": request, "identifier": ""}))
        assert answer.status_code == 400
        answer = wps.get(service="WPS", version="1.0.0", request=request)
        assert texts(answer, "//@exceptionCode") == ["MissingParameterValue"]


def test_capabilities_claim_one_version_and_no_placeholders(wps):
    answer = wps.get(service="WPS", request="GetCapabilities", acceptversions="1.0.0,2.0.0")
    assert texts(answer, "/wps:Capabilities/@version") == ["1.0.0"]
    assert texts(answer, "//ows:ServiceTypeVersion/text()") == ["1.0.0"]
    assert b"2.0.0" not in answer.data
    for placeholder in (b"Lastname", b"Position Title", b"+xx", b"pywps.org/"):
        assert placeholder not in answer.data


V2 = 'service="WPS" xmlns:wps="http://www.opengis.net/wps/2.0"'
V1 = 'service="WPS" xmlns:wps="http://www.opengis.net/wps/1.0.0"'
ACCEPT = (
    '<ows:AcceptVersions xmlns:ows="http://www.opengis.net/ows/1.1">'
    "<ows:Version>2.0.0</ows:Version></ows:AcceptVersions>"
)


@pytest.mark.parametrize(
    "body",
    [
        f"<wps:GetCapabilities {V2}/>",
        f'<wps:Execute version="2.0.0" {V2}/>',
        f'<wps:Execute version="2.0.0" {V1}/>',
        f"<wps:GetCapabilities {V1}>{ACCEPT}</wps:GetCapabilities>",
    ],
)
def test_only_version_1_is_spoken_in_xml(wps, body):
    answer = wps.post(body)
    assert answer.status_code == 400
    assert texts(answer, "//@exceptionCode") == ["VersionNegotiationFailed"]


@pytest.mark.parametrize("version", ["2.0.0", "9"])
def test_only_version_1_is_spoken(wps, version):
    answer = wps.get(service="WPS", request="DescribeProcess", version=version, identifier="x")
    assert answer.status_code == 400
    assert texts(answer, "//@exceptionCode") == ["VersionNegotiationFailed"]


@pytest.mark.parametrize(
    "path",
    ["", "?service=WPS&request=GetCapabilities", "jobs", "jobs/1", "status/1.xml", "outputs/1/a"],
)
def test_nobody_without_an_identity_is_answered(wps, path):
    for headers in ({}, {"Accept": "text/html"}):
        answer = wps.client.get(f"/services/wps/{path}", headers=headers)
        assert answer.status_code == 401
    assert wps.client.post("/services/wps/", data="<x/>").status_code == 401
    assert wps.get("jobs", "foreign").status_code == 403


@pytest.mark.parametrize("path", ["health", "health/live"])
def test_health_needs_no_identity(wps, path):
    assert wps.client.get(f"/services/wps/{path}").status_code == 200


def test_another_users_job_is_not_there(wps):
    job, _ = started(wps)
    wait(wps, job)
    for path in (f"jobs/{job}", f"status/{job}.xml", f"outputs/{job}/counts.csv"):
        assert wps.get(path).status_code == 200
        assert wps.get(path, "boris").status_code == 404
    assert wps.jobs("boris") == []
    header = {"Authorization": "token boris"}
    assert wps.client.delete(f"/services/wps/jobs/{job}", headers=header).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "home/../anna/labels.gpkg", "/etc/passwd", "file:///etc/passwd", "users/anna/labels.gpkg",
        "http://127.0.0.1/labels.gpkg", "/vsicurl/http://127.0.0.1/x", "team/x/labels.gpkg",
        "home/labels.gpkg", "../anna/labels.gpkg", "home/jobs/../../anna/labels.gpkg",
    ],
)  # fmt: skip
def test_names_outside_the_callers_roots_are_refused_before_a_job_is_made(wps, name):
    answer = wps.execute("extract-samples", "boris", scene="shared/scene.tif", labels=name)
    assert answer.status_code == 400
    assert texts(answer, "//@locator") == ["labels"]
    assert wps.jobs("boris") == []


def test_a_link_into_another_folder_is_refused(wps):
    (wps.root / "users/boris/link.gpkg").symlink_to("../anna/labels.gpkg")
    answer = wps.execute(
        "extract-samples", "boris", scene="shared/scene.tif", labels="home/link.gpkg"
    )
    assert sentence(answer) == "home/link.gpkg leads out of your folders"


def test_an_output_replaced_by_a_link_is_not_served(wps):
    job, _ = started(wps)
    wait(wps, job)
    output = wps.root / f"users/anna/jobs/{job}/counts.csv"
    output.unlink()
    output.symlink_to("/etc/hostname")
    assert wps.get(f"outputs/{job}/counts.csv").status_code == 404
    assert wps.get(f"outputs/{job}/..%2f..%2fx").status_code == 404


@pytest.mark.parametrize(
    ("inputs", "locator", "text"),
    [
        ({"labels": "home/labels.gpkg"}, "scene", "extract-samples needs scene"),
        (EXTRACT | {"chip_size": "many"}, "chip_size", "chip_size is many, needs a whole number"),
        (EXTRACT | {"chip_size": "0"}, "chip_size", "chip_size is 0, needs 1 to 1024"),
        (EXTRACT | {"colour": "red"}, "colour", "extract-samples has no input colour"),
        (EXTRACT | {"masks": "perhaps"}, "masks", "masks is perhaps, needs true or false"),
    ],
)
def test_bad_inputs_are_named_with_locator_and_our_sentence(wps, inputs, locator, text):
    answer = wps.execute("extract-samples", **inputs)
    assert answer.status_code == 400
    assert texts(answer, "//@locator") == [locator]
    assert sentence(answer).startswith(text)


def test_a_failure_carries_the_operations_sentence(wps):
    answer = wps.execute("extract-samples", **EXTRACT, class_field="kind")
    assert sentence(answer) == "labels.gpkg has no field kind, its fields are class"
    (job,) = wps.jobs()
    assert (job["state"], job["error"]) == ("failed", sentence(answer))
    log = wps.get(f"outputs/{job['id']}/job.log")
    assert b"has no field kind" in log.data


def test_an_unknown_process_is_named(wps):
    assert "there is no process dig" in sentence(wps.execute("dig"))


REFERENCE = (
    '<wps:Input><ows:Identifier>scene</ows:Identifier><wps:Reference xlink:href="{}">'
    '<wps:Header key="a" value="b"/></wps:Reference></wps:Input>'
)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1:1/x", "ftp://x/y"])
def test_references_are_refused_and_nothing_is_fetched(wps, url):
    body = EXECUTE.format(identifier="extract-samples", inputs=REFERENCE.format(url), form="")
    answer = wps.post(body)
    assert answer.status_code == 400
    assert "nothing is fetched from URLs" in sentence(answer)


@pytest.mark.parametrize(
    ("given", "locator"),
    [
        ("<wps:Input><wps:Data><wps:LiteralData>x</wps:LiteralData></wps:Data></wps:Input>",
         "Identifier"),
        (LITERAL.format("scene", "a</wps:LiteralData><wps:LiteralData>b"), "scene"),
    ],
)  # fmt: skip
def test_inputs_without_a_name_or_of_two_values_are_refused(wps, given, locator):
    answer = wps.post(EXECUTE.format(identifier="extract-samples", inputs=given, form=""))
    assert answer.status_code == 400
    assert f'locator="{locator}"' in answer.get_data(as_text=True)


def test_json_bodies_are_refused(wps):
    body = json.dumps({"inputs": {"scene": {"type": "complex", "workdir": "/tmp/made"}}})
    answer = wps.post(body, content_type="application/json")
    assert answer.status_code == 415
    assert wps.post(body, content_type="Application/JSON").status_code == 415
    answer = wps.client.post(
        "/services/wps/jobs/extract-samples", data=body, content_type="application/json",
        headers={"Authorization": "token anna"},
    )  # fmt: skip
    assert answer.status_code in (404, 405)
    assert not Path("/tmp/made").exists()


BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]><x>&d;</x>"""
XXE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'


@pytest.mark.parametrize("body", [BOMB, XXE, "<not closed", "", "plain"])
def test_hostile_xml_gets_an_error_and_the_service_lives(wps, body):
    answer = wps.post(body)
    assert answer.status_code in (400, 411, 501)
    assert Path("/etc/hostname").read_text().strip().encode() not in answer.data
    assert wps.get(service="WPS", request="GetCapabilities").status_code == 200


def test_a_huge_body_is_refused(wps):
    assert wps.post(b"<x>" + b"a" * (2 << 20)).status_code == 413


def test_a_browser_session_may_read_but_not_execute(wps):
    job, _ = started(wps)
    wait(wps, job)
    client = wps.client
    client.set_cookie("session", "anna")
    assert client.get(f"/services/wps/jobs/{job}").status_code == 200
    query = "?service=WPS&version=1.0.0&request=Execute&identifier=extract-samples"
    assert client.get(f"/services/wps/{query}").status_code == 403
    assert client.post("/services/wps/", data="<x/>").status_code == 403
    assert client.delete(f"/services/wps/jobs/{job}").status_code == 403
    page = client.get("/services/wps/", headers={"Accept": "text/html"})
    assert b"balance-samples" in page.data
    assert job.encode() in page.data


def test_outputs_carry_headers_that_keep_them_from_acting(wps):
    job, _ = started(wps)
    wait(wps, job)
    answer = wps.get(f"outputs/{job}/counts.csv")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "attachment" not in answer.headers["Content-Disposition"]
    assert "attachment" in wps.get(f"outputs/{job}/job.log").headers["Content-Disposition"]
    part = wps.client.get(
        f"/services/wps/outputs/{job}/counts.csv",
        headers={"Authorization": "token anna", "Range": "bytes=0-4"},
        buffered=True,
    )
    assert (part.status_code, part.data) == (206, b"class")


def test_a_synchronous_call_that_takes_too_long_names_the_other_way(start):
    wps = start(running=False, sync_seconds=0.2)
    answer = wps.execute("extract-samples", **EXTRACT)
    assert answer.status_code == 400
    assert "call it asynchronously" in sentence(answer)
    assert [job["state"] for job in wps.jobs()] == ["dismissed"]


def test_whoever_polls_sees_whole_documents_and_progress_that_only_grows(wps):
    job, _ = started(wps)
    ranks = {"ProcessAccepted": 0, "ProcessStarted": 1, "ProcessSucceeded": 2}
    seen = []

    def poll():
        mine = [(0, 0)]
        while mine[-1][0] < 2:
            document = wps.get(f"status/{job}.xml")
            (state,) = texts(document, "//wps:Status/*")
            percent = int(state.get("percentCompleted", 0)) if state.tag.endswith("ted") else 100
            mine.append((ranks[etree.QName(state).localname], percent))
        seen.append(mine)

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join(60)
    assert len(seen) == 4
    assert all(mine == sorted(mine) for mine in seen)
