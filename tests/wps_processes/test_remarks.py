"""What a job says besides its result: where it appears, and that it is bounded and cleaned."""

import json

import pytest

from benchmarks.served import DEADLINE, until
from landcover.progress import MAX_REMARKS
from tests.wps_processes.jobs.test_ledger import EXTRACT, Turned
from tests.wps_processes.test_service import texts
from tests.wps_processes.web.test_pages import Browser
from wps_processes.runners.local import ProcessRunner

SENTENCE = "37 polygons hold no pixel centre"


@pytest.fixture
def wps(made):
    return made()


def test_remarks_appear_in_json_document_page_list_and_log(wps):
    answer = wps.execute("make-remarks", count=2)
    assert texts(answer, "//wps:ProcessSucceeded/text()") == [f"done. {SENTENCE}. {SENTENCE} 1."]
    (job,) = wps.jobs()
    assert (job["state"], job["message"]) == ("successful", "done")
    assert job["remarks"] == [SENTENCE, f"{SENTENCE} 1"]
    document = wps.get(f"status/{job['id']}.xml")
    assert texts(document, "//wps:ProcessSucceeded/text()")[0].endswith(f"{SENTENCE} 1.")
    log = wps.get(f"outputs/{job['id']}/job.log").text
    assert f" remark: {SENTENCE}\n" in log
    anna = Browser(wps, "anna").open()
    assert anna.texts("//ul[@class='jobs']//*[@class='remarked']") == ["2 remarks"]
    anna.open(f"jobs/{job['id']}.html")
    assert anna.texts("//section[@aria-label='State']//*[@class='remarked']") == ["2 remarks"]
    assert anna.texts("//h2[@id='remarks']") == ["Done, but read this first"]
    assert anna.texts("//ul[@class='remarks']/li") == job["remarks"]


def test_a_job_without_remarks_shows_none(wps):
    answer = wps.execute("make-remarks", count=0)
    assert texts(answer, "//wps:ProcessSucceeded/text()") == ["done"]
    (job,) = wps.jobs()
    assert job["remarks"] == []
    page = Browser(wps, "anna").open(f"jobs/{job['id']}.html")
    assert page.texts("//*[@class='remarked'] | //*[@id='remarks']") == []


def test_a_job_that_fails_keeps_its_remarks(wps):
    wps.execute("make-remarks", fails="true")
    (job,) = wps.jobs()
    assert (job["state"], job["remarks"]) == ("failed", [SENTENCE])
    page = Browser(wps, "anna").open(f"jobs/{job['id']}.html")
    assert page.texts("//h2[@id='remarks']") == ["Remarks"]


def test_more_remarks_than_are_listed_are_counted(wps):
    wps.execute("make-remarks", count=MAX_REMARKS + 5)
    (job,) = wps.jobs()
    assert len(job["remarks"]) == MAX_REMARKS + 1
    assert job["remarks"][-1] == "5 further remarks are not listed"


def test_remarks_are_one_printable_line_and_markup_is_text(wps):
    answer = wps.execute("make-remarks", sentence="&lt;b&gt;a&#9;b&lt;/b&gt; &amp; " + "x" * 600)
    (said,) = wps.jobs()[0]["remarks"]
    assert said.startswith(r"<b>a\tb</b> & xxx")
    assert len(said) < 510
    assert r"<b>a\tb</b> &" in texts(answer, "//wps:ProcessSucceeded/text()")[0]
    page = Browser(wps, "anna").open(f"jobs/{wps.jobs()[0]['id']}.html")
    assert page.texts("//ul[@class='remarks']//b") == []
    assert page.texts("//ul[@class='remarks']/li")[0].startswith(r"<b>a\tb</b>")


def test_a_remark_is_seen_while_the_job_runs(wps):
    wps.execute("wait-for-ever", asynchronous=True)
    running = until(lambda: (job := wps.jobs()[0])["remarks"] and job)
    assert (running["state"], running["remarks"]) == ("running", ["nobody writes into this pipe"])
    wps.dispatcher.dismiss(running["id"], "enough")
    assert wps.jobs()[0]["remarks"] == ["nobody writes into this pipe"]


def said_by(start, forks, *words):
    """Return the job whose process says these words."""
    said = b"".join(json.dumps(word).encode() + b"\n" for word in words)
    wps = start(runner=lambda root, forks: ProcessRunner(root, Turned(forks, said)))
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    job = wps.jobs()[0]["id"]
    assert wps.dispatcher.wait(job, DEADLINE).is_over
    return wps.get(f"jobs/{job}").get_json()


OUTPUTS = {"samples": "x", "counts": "y", "total": 1}


def test_what_a_turned_process_says_is_bounded_and_cleaned(start, forks):
    hostile = ["\0\x1b[31m \ud800 \n"] + ["x" * 2_000] * 300
    job = said_by(start, forks, {"remarks": hostile}, {"outputs": OUTPUTS, "remarks": hostile})
    assert job["state"] == "successful"
    assert len(job["remarks"]) == MAX_REMARKS + 1
    assert job["remarks"][0] == r"\x00\x1b[31m \ud800 \n"
    assert max(map(len, job["remarks"])) < 510


def test_remarks_that_were_only_said_before_a_crash_are_kept(start, forks):
    job = said_by(start, forks, {"remarks": ["one"]}, {"progress": 5, "message": "on"})
    assert (job["state"], job["remarks"]) == ("failed", ["one"])
