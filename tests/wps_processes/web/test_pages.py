"""The pages as a browser without scripts uses them: it follows links and sends forms."""

import json
import logging
import os

import pytest
from lxml import html
from werkzeug.test import Client

from benchmarks.served import DEADLINE
from tests.wps_processes.conftest import ADMINISTRATOR
from tests.wps_processes.jobs.test_ledger import job
from wps_processes.errors import Busy
from wps_processes.web import forms, pages

PREFIX = "/services/wps/"
HTML = {"Accept": "text/html,application/xhtml+xml"}
EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


class Browser:
    """A browser with a session; it shows one page at a time."""

    def __init__(self, wps, user):
        self.client = Client(wps.client.application)
        self.client.set_cookie("session", user)

    def open(self, path="", status=200, **how):
        """Open a page below the prefix, or one that a page names."""
        address = path if path.startswith("/") else PREFIX + path
        self.answer = self.client.open(address, headers=HTML, buffered=True, **how)
        assert self.answer.status_code == status, self.answer.text
        if self.answer.mimetype == "text/html" and self.answer.data:
            self.page = html.fromstring(self.answer.data.decode())
        return self

    def submit(self, button, status=303, **typed):
        """Fill in the form of the first such button and press it; follow where it leads."""
        (pressed, *_) = self.page.xpath(f"//button[starts-with(normalize-space(), '{button}')]")
        form = pressed.xpath("ancestor::form")[0]
        data = {name: value for name, value in form.fields.items() if value is not None} | typed
        if pressed.get("name"):
            data[pressed.get("name")] = pressed.get("value")
        return self.send(form.get("action"), data, status)

    def send(self, path, data, status=303):
        self.open(path, status, method="POST", data=data)
        return self.open(self.answer.headers["Location"]) if status == 303 else self

    def texts(self, path):
        return [" ".join(found.text_content().split()) for found in self.page.xpath(path)]

    @property
    def text(self):
        return " ".join(self.page.text_content().split())


@pytest.fixture
def anna(wps):
    return Browser(wps, "anna")


def refresh(browser):
    return browser.page.xpath("//meta[@http-equiv='refresh']/@content")


def over(wps, browser):
    """Wait for the job whose page is open, and open it again."""
    path = browser.answer.request.path
    assert wps.dispatcher.wait(path.rpartition("/")[2].removesuffix(".html"), 60).is_over
    return browser.open(path)


def test_a_person_runs_a_process_by_its_form_and_sees_the_result(wps, anna):
    anna.open()
    (link,) = anna.page.xpath("//a[text()='Extract samples']/@href")
    anna.open(link).submit("Run", scene="shared/scene.tif", labels=" home/labels.gpkg ")
    over(wps, anna)
    (job,) = wps.jobs()
    assert anna.answer.request.path == f"{PREFIX}jobs/{job['id']}.html"
    assert job["inputs"] == EXTRACT | {
        "scene": [EXTRACT["scene"]],
        "class_field": "class", "chip_size": 1, "max_per_class": 0, "masks": False,
        "context": 0, "patches": 0, "seed": 0,
    }  # fmt: skip
    assert "successful" in anna.texts("//*[contains(@class, 'state')]")
    assert "150" in anna.texts("//dl[@class='results']/dd/strong")
    assert f"home/jobs/{job['id']}/samples" in anna.texts("//dl[@class='results']//code")
    (counts,) = anna.page.xpath("//a[text()='counts.csv']/@href")
    assert anna.client.get(counts, buffered=True).data.startswith(b"class,code,samples")
    (link,) = anna.page.xpath("//a[text()='Balance samples']/@href")
    anna.open(link)
    (given,) = anna.page.xpath("//textarea[@name='samples']/text()")
    assert given.split() == [f"home/jobs/{job['id']}/samples"]
    assert b"ProcessSucceeded" in wps.get(f"status/{job['id']}.xml").data


def test_one_page_shows_a_job_as_each_protocol_says_it(wps, anna):
    anna.open("processes/echo").submit("Run", text="<b>ice</b>")
    number = anna.answer.request.path.rsplit("/", 1)[1].removesuffix(".html")
    wps.dispatcher.wait(number, DEADLINE)
    anna.open(f"jobs/{number}.html")
    anna.open(anna.page.xpath("//a[contains(., 'as its run record')]/@href")[0])
    assert anna.texts("//h2")[-3:] == ["WPS 1.0.0", "OGC API - Processes", "Run record"]
    wps_status, ogc_job, record = anna.page.xpath("//pre/text()")
    assert "ProcessSucceeded" in wps_status
    assert "&lt;b&gt;ice&lt;/b&gt;" in wps_status
    assert json.loads(ogc_job)["jobID"] == number
    assert json.loads(record)["recipe"]["operation"] == "echo"
    for href in anna.page.xpath("//dl//a/@href"):
        assert wps.client.get(href, headers={"Authorization": "token anna"}).status_code == 200
    Browser(wps, "boris").open(f"jobs/{number}/documents.html", 404)


def test_an_image_is_shown_and_a_job_can_be_run_again_with_its_inputs(wps, anna):
    anna.open("processes/extract-samples").submit("Run", **EXTRACT, masks="true", seed="5")
    samples = over(wps, anna).page.xpath("//a[text()='Balance samples']/@href")[0]
    (again,) = anna.page.xpath("//a[starts-with(text(), 'Change these')]/@href")
    anna.open(samples).submit("Run")
    (image,) = over(wps, anna).page.xpath("//img/@src")
    picture = anna.client.get(image, buffered=True)
    assert picture.data.startswith(b"\x89PNG")
    assert picture.headers["Content-Security-Policy"].startswith("sandbox;")
    anna.open(again)
    assert anna.page.xpath("//input[@name='masks']/@checked") == ["checked"]
    assert anna.page.xpath("//input[@name='seed']/@value") == ["5"]


def test_each_input_is_a_labelled_field_of_its_kind(anna):
    anna.open("processes/balance-samples")
    for field in anna.page.xpath("//form[@class='inputs']//*[self::input or self::select]"):
        if field.get("type") != "hidden":
            assert anna.texts(f"//label[@for='{field.get('id')}']"), field.name
            for described in field.get("aria-describedby").split():
                assert anna.texts(f"//*[@id='{described}']")
    (clusters,) = anna.page.xpath("//input[@name='clusters']")
    known = {key: clusters.get(key) for key in ("type", "min", "max", "step", "value")}
    assert known == {"type": "number", "min": "1", "max": "1000", "step": "1", "value": "8"}
    assert anna.texts("//select[@name='scope']/option") == ["all", "class"]
    assert anna.page.xpath("//select[@name='scope']/option[@selected]/text()") == ["class"]
    assert "1 to 1000; empty means 8" in anna.text
    anna.open("processes/extract-samples")
    assert anna.page.xpath("//input[@name='masks']/@type") == ["checkbox"]
    anna.open("processes/check-radiometry")
    assert len(anna.page.xpath("//input[@required]")) == 2


@pytest.mark.parametrize("has_gpus", [False, True])
def test_a_gpu_is_offered_only_where_jobs_may_have_one(start, has_gpus):
    wps = start(running=False, has_gpus=has_gpus)
    anna = Browser(wps, "anna").open("processes/train-classifier")
    (about,) = anna.texts("//*[@id='about-options']")
    assert ("gpu asks for a GPU" in about) == has_gpus
    assert ("device" in about) == has_gpus
    assert "learning_rate" in about
    asked = {"samples": "shared", "method": "unet", "options": '{"device": "gpu"}'}
    anna.submit("Run", 303 if has_gpus else 400, **asked)
    refused = anna.texts("//*[@id='wrong-options']")
    assert [said.split(":")[0] for said in refused] == ([] if has_gpus else [
        "train-classifier needs a GPU with these inputs, and jobs have none here"
    ])  # fmt: skip


def test_names_are_offered_that_suit_newest_first(wps, anna):
    for age, name in enumerate(("b.TIF", "a.tif", "sub/c.tiff", "notes.txt", ".hidden.tif")):
        file = wps.root / "users/anna" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (2e9 - age, 2e9 - age))
    (wps.root / "users/anna/link.tif").symlink_to("a.tif")
    (wps.root / "users/boris/his.tif").touch()
    anna.open("processes/check-radiometry")
    offered = anna.page.xpath("//datalist[@id=//input[@name='scene']/@list]/option/@value")
    assert offered == ["home/b.TIF", "home/a.tif", "home/sub/c.tiff", "shared/scene.tif"]
    anna.open("processes/extract-samples")
    assert anna.texts("//select[@name='scene']/option") == offered
    labels = anna.page.xpath("//datalist[@id=//input[@name='labels']/@list]/option/@value")
    assert {"home/labels.gpkg", "home/a.tif"} <= set(labels)


def test_scenes_are_offered_before_results_and_no_json_as_labels(wps, anna):
    names = ("mine.tif", "jobs/1/map.tif", "jobs/1/confidence.tif", "jobs/1/report.json")
    names += ("jobs/1/points.gpkg", "jobs/1/counts.csv", "drawn.geojson", "copies/map (2).tif")
    names += ("jobs/1/run.json", "jobs/1/run.classify-scene.json")
    for age, name in enumerate(reversed(names)):
        file = wps.root / "users/anna" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (2e9 - age, 2e9 - age))
    options = "//datalist[@id='names-{}']/option/@value"
    scenes = anna.open("processes/extract-samples").texts("//select[@name='scene']/option")
    assert scenes[0] == "home/mine.tif"
    assert {*scenes[-3:]} == {
        "home/copies/map (2).tif", "home/jobs/1/confidence.tif", "home/jobs/1/map.tif"
    }  # fmt: skip
    labels = anna.page.xpath(options.format("labels"))
    assert labels.index("home/jobs/1/points.gpkg") < labels.index("home/jobs/1/counts.csv")
    assert not [name for name in labels if name.endswith(".json")]
    legends = anna.page.xpath(options.format("legend"))
    assert legends.index("home/jobs/1/map.tif") < legends.index("home/jobs/1/report.json")
    assert not [name for name in legends if "/run." in name]
    maps = anna.open("processes/assess-quality").page.xpath(options.format("map"))
    assert maps.index("home/jobs/1/map.tif") < maps.index("home/jobs/1/confidence.tif")


def test_of_everybodys_files_those_are_offered_first_that_are_called_so(wps, anna):
    for age, name in enumerate(("reference.tif", "labels.gpkg", "scene.tif", "reference.gpkg")):
        (wps.root / "shared" / name).touch()
        os.utime(wps.root / "shared" / name, (2e9 - age, 2e9 - age))
    options = "//datalist[@id='names-{}']/option/@value"
    page = anna.open("processes/extract-samples").page
    offered = page.xpath("//select[@name='scene']/option/text()")
    assert offered == ["shared/scene.tif", "shared/reference.tif"]
    labels = [name for name in page.xpath(options.format("labels")) if "shared" in name]
    assert labels[0] == "shared/labels.gpkg"
    page = anna.open("processes/assess-quality").page
    named = [name for name in page.xpath(options.format("reference")) if "shared" in name]
    assert named[:2] == ["shared/reference.tif", "shared/reference.gpkg"]


def test_times_are_brought_to_the_readers_zone_by_a_script_of_our_own(wps, anna):
    anna.open("")
    (script,) = anna.page.xpath("//script/@src")
    answer = wps.get(script.partition("/wps/")[2])
    assert answer.status_code == 200
    assert answer.mimetype == "text/javascript"
    assert b"toLocaleString" in answer.data


def test_folders_of_samples_are_offered_first_and_their_classes_not_at_all(wps, anna):
    for name in ("samples/water", "samples/forest", "photos"):
        (wps.root / "users/anna" / name).mkdir(parents=True)
    (wps.root / "users/anna/samples/samples.json").touch()
    os.utime(wps.root / "users/anna/samples", (1, 1))
    anna.open("processes/balance-samples")
    offered = anna.page.xpath("//select[@name='samples']/option/text()")
    assert offered == ["home/samples", "home/photos"]


def test_of_very_many_names_some_are_offered_and_soon(wps, anna, monkeypatch):
    for number in range(30):
        (wps.root / f"users/anna/{number}.tif").touch()
    monkeypatch.setattr(forms, "NAMES_OFFERED", 7)
    options = "//select[@name='scene']/option"
    assert len(anna.open("processes/extract-samples").texts(options)) == 7
    monkeypatch.setattr(forms, "NAMES_LOOKED_AT", 5)
    assert len(anna.open("processes/extract-samples").texts(options)) <= 5
    monkeypatch.setattr(forms, "SECONDS_OF_LOOKING", 0.0)
    assert anna.open("processes/extract-samples").texts(options) == []


def test_what_does_not_do_is_said_beside_its_field_and_what_was_typed_is_kept(wps, anna):
    anna.open("processes/extract-samples")
    anna.submit("Run", 400, scene="", labels="home/<b>.gpkg", chip_size="many", masks="true")
    assert anna.texts("//*[@id='wrong-scene']") == ["scene is needed"]
    assert anna.texts("//*[@id='wrong-chip_size']") == ["chip_size is many, needs a whole number"]
    assert anna.texts("//*[@role='alert']") == ["Nothing was started, look at: Scene, Chip size"]
    assert anna.page.xpath("//*[@role='alert']/a/@href") == ["#scene", "#chip_size"]
    assert anna.page.xpath("//input[@name='labels']/@value") == ["home/<b>.gpkg"]
    assert anna.page.xpath("//input[@name='chip_size']/@value") == ["many"]
    assert anna.page.xpath("//input[@name='masks']/@checked") == ["checked"]
    assert anna.page.xpath("//input[@name='chip_size']/@aria-describedby") == [
        "about-chip_size wrong-chip_size"
    ]
    assert wps.jobs() == []
    anna.submit("Run", 400, scene="shared/scene.tif", chip_size="1")  # the same form, mended
    assert anna.texts("//*[@id='wrong-labels']") == ["there is no home/<b>.gpkg"]
    anna.submit("Run", labels="home/labels.gpkg")
    assert len(wps.jobs()) == 1


def test_a_limit_is_said_above_the_form(wps, anna, monkeypatch):
    def refuse(*_):
        raise Busy("you have 9 jobs waiting, wait for one to end")

    anna.open("processes/extract-samples")
    monkeypatch.setattr(wps.client.application.jobs, "submit", refuse)
    anna.submit("Run", 503, **EXTRACT)
    assert anna.texts("//*[@role='alert']") == ["you have 9 jobs waiting, wait for one to end"]
    assert anna.texts("//textarea[@name='scene']") == ["shared/scene.tif"]


@pytest.mark.parametrize("token", [None, "", "known only to boris", "é\udcff"])
def test_a_form_of_no_page_of_this_session_changes_nothing(wps, token):
    root, boris = Browser(wps, ADMINISTRATOR), Browser(wps, "boris")
    wps.dispatcher.pause("test")
    wps.ledger.add(job(user=ADMINISTRATOR, id="mine"))
    data = {} if token is None else {"form_token": token.encode("utf-8", "surrogateescape")}
    forged = data | {"form_token": b"known only to root"}
    root.send("processes/extract-samples", EXTRACT | data, 403)
    root.send("jobs/mine/dismiss", data, 403)
    root.send("administration", data | {"act": "resume"}, 403)
    boris.send("jobs/mine/dismiss", forged, 403)
    assert wps.dispatcher.paused
    assert [(j.id, j.state) for j in wps.ledger.of_everybody()] == [("mine", "accepted")]


def test_a_request_with_a_token_header_needs_no_form(wps):
    answer = wps.client.post(
        f"{PREFIX}processes/extract-samples",
        data={"scene": "shared/scene.tif", "labels": "shared/scene.tif"},
        headers={"Authorization": "token anna"},
    )
    assert answer.status_code == 303
    assert len(wps.jobs()) == 1


def test_jobs_are_listed_newest_first_a_page_at_a_time(start):
    wps = start(running=False)
    for number in range(2 * pages.JOBS_ON_A_PAGE + 1):
        wps.ledger.add(job(user="anna", id=str(number)))
    wps.ledger.add(job(user="boris", id="his"))
    anna, links = Browser(wps, "anna").open(), "//ul[@class='jobs']//h3/a/@href"
    seen = anna.page.xpath(links)
    assert "Number 42 in the queue: waiting" in anna.texts("//p[@class='message']")[0]
    assert anna.page.xpath("//a[@rel='prev']") == []
    while older := anna.page.xpath("//a[@rel='next']/@href"):
        anna.open(PREFIX + older[0])
        seen += anna.page.xpath(links)
    assert seen == [f"{PREFIX}jobs/{number}.html" for number in range(40, -1, -1)]
    for _ in range(2):
        anna.open(PREFIX + anna.page.xpath("//a[@rel='prev']/@href")[0])
    assert anna.page.xpath(links) == seen[: pages.JOBS_ON_A_PAGE]
    anna.open("?offset=90")
    assert "There are no older jobs" in anna.text
    for odd in ("-5", "many", "9" * 40):
        anna.open(f"?offset={odd}")


def test_a_running_job_shows_how_far_it_is_and_its_page_loads_itself_again(start):
    wps = start(running=False)
    wps.ledger.add(job(user="anna", id="1"))
    running = wps.ledger.claim()
    wps.ledger.progress(running, 40, "cutting chips")
    anna = Browser(wps, "anna")
    for path in ("", "jobs/1.html"):
        anna.open(path)
        assert anna.page.xpath("//progress/@value") == ["40"]
        assert "cutting chips" in anna.texts("//p[@class='message']")
        assert refresh(anna) == ["5"]
        assert refresh(anna.open(anna.answer.request.path + "?still")) == []
    assert refresh(anna.open("processes/extract-samples")) == []
    wps.ledger.succeed(running, {})
    assert refresh(anna.open("jobs/1.html")) == []


def test_a_figure_has_as_many_digits_as_a_person_reads(start):
    wps = start(running=False)
    wps.ledger.add(job(user="anna", id="1", operation="compare-maps", inputs={}))
    wps.ledger.succeed(wps.ledger.claim(), {"better": "first", "p_value": 0.031298828125})
    page = Browser(wps, "anna").open("jobs/1.html")
    assert page.texts("//dl[@class='results']/dd/strong") == ["first", "0.031"]


def test_a_job_is_dismissed_where_it_is_seen(start):
    wps = start(running=False)
    for number in ("1", "2"):
        wps.ledger.add(job(user="anna", id=number))
    anna = Browser(wps, "anna").open("?still").submit("Dismiss")
    assert anna.answer.request.full_path == f"{PREFIX}?still"
    assert wps.ledger.get("2").message == "dismissed by its owner"
    anna.open("jobs/1.html").submit("Dismiss")
    assert anna.answer.request.path == f"{PREFIX}jobs/1.html"
    assert anna.page.xpath("//button") == []
    token = {"form_token": "known only to anna"}
    anna.send("jobs/1/dismiss", token | {"back": "//evil.example/"})
    assert anna.answer.request.path == PREFIX
    anna.send("jobs/1/dismiss", token | {"back": f"{PREFIX}\r\nSet-Cookie: a=b"})
    assert anna.answer.request.path == PREFIX
    anna.open("jobs/1/dismiss", 405)


def test_another_users_job_is_not_there(start):
    wps = start(running=False)
    wps.ledger.add(job(user="anna", id="1"))
    boris = Browser(wps, "boris")
    boris.open("jobs/1.html", 404)
    assert "you have no such job" in boris.text
    boris.send("jobs/1/dismiss", {"form_token": "known only to boris"}, 404)
    Browser(wps, ADMINISTRATOR).open("jobs/1.html", 404)  # files and logs are their owner's
    assert wps.ledger.get("1").state == "accepted"


def test_of_a_long_log_the_end_is_shown_and_nothing_in_it_acts(start):
    wps = start(running=False)
    wps.ledger.add(job(user="anna", id="1"))
    log = wps.root / "users/anna/jobs/1/job.log"
    anna = Browser(wps, "anna").open("jobs/1.html")
    assert "Nothing was logged yet." in anna.text
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first" + b"." * pages.LOG_BYTES + b"\n<script>alert(1)</script>\xff\n")
    (shown,) = anna.open("jobs/1.html").texts("//pre")
    assert "Only the end is shown." in anna.text
    assert shown.endswith("<script>alert(1)</script>\ufffd")
    assert "first" not in shown
    assert anna.page.xpath("//script[not(@src)]") == []
    (whole,) = anna.page.xpath("//a[text()='The whole log']/@href")
    assert anna.client.get(whole, buffered=True).data.startswith(b"first")
    log.unlink()
    log.mkdir()
    assert "Nothing was logged yet." in anna.open("jobs/1.html").text


def test_nothing_a_user_names_acts_on_a_page(start):
    wps = start(running=False)
    hostile = "\"><script>alert('x')</script>"
    wps.ledger.add(
        job(user=hostile, folder="anna", id="1", message=hostile, inputs={hostile: hostile})
    )
    (wps.root / "shared" / f"{hostile.replace('/', '')}.tif").touch()
    owner, root = Browser(wps, hostile), Browser(wps, ADMINISTRATOR)
    for browser, path in (
        (owner, ""),
        (owner, "jobs/1.html"),
        (owner, "processes/extract-samples?scene=%22><script>alert(1)</script>"),
        (root, "administration?user=%22><script>alert(1)</script>"),
        (root, "administration"),
    ):
        browser.open(path)
        assert browser.page.xpath("//script[not(@src)]") == []
        assert "<script>" in browser.text + "".join(browser.page.xpath("//@value"))


def test_pages_allow_no_script_no_frame_and_no_foreign_form(anna):
    for path, status in (("", 200), ("processes/classify-scene", 200), ("jobs/none.html", 404)):
        headers = anna.open(path, status).answer.headers
        policy = dict(
            part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["form-action"] == policy["style-src"] == policy["img-src"] == "'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_the_style_is_served_to_all_and_sent_again_only_when_it_changed(wps):
    answer = wps.client.get(f"{PREFIX}style.css")
    assert answer.mimetype == "text/css"
    again = wps.client.get(f"{PREFIX}style.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["processes/dig", "nowhere", "outputs/none/a.csv"])
def test_a_browser_reads_an_error_on_a_page_and_a_program_as_json(wps, anna, path):
    anna.open(path, 404)
    assert anna.texts("//h1") == ["Not Found"]
    assert anna.page.xpath(f"//main//a/@href[.='{PREFIX}']") != []
    assert set(wps.get(path).get_json()) == {"error"}


def test_an_administrator_sees_all_jobs_and_finds_some(start):
    wps = start(running=False)
    for user, number in (("anna", "1"), ("boris", "2"), ("anna", "3")):
        wps.ledger.add(job(user=user, id=number))
    wps.ledger.dismiss("3")
    root = Browser(wps, ADMINISTRATOR)
    (link,) = root.open().page.xpath("//a[text()='Administration']/@href")
    shown = "//ul[@class='jobs']//code"
    assert root.open(link).texts(shown) == ["3", "2", "1"]
    assert root.open("administration?user=anna&state=").texts(shown) == ["3", "1"]
    assert root.open("administration?user=&state=accepted").texts(shown) == ["2", "1"]
    assert root.open("administration?user=anna&state=accepted").texts(shown) == ["1"]
    assert root.open("administration?user=carla").texts(shown) == []
    assert root.page.xpath("//input[@name='user']/@value") == ["carla"]


def test_an_administrators_acts_are_done_and_logged(start, caplog):
    wps = start(running=False)
    wps.ledger.add(job(user="anna", id="1"))
    root, anna = Browser(wps, ADMINISTRATOR), Browser(wps, "anna")
    with caplog.at_level(logging.INFO, "wps_processes"):
        root.open("administration").submit("Pause all jobs")
        assert wps.dispatcher.paused
        assert "An administrator has paused the processing" in anna.open().text
        root.submit("Dismiss")
        root.submit("Resume all jobs")
    assert not wps.dispatcher.paused
    assert "has paused" not in anna.open().text
    assert wps.ledger.get("1").message == "dismissed by the administrator root"
    acts = [record for record in caplog.records if hasattr(record, "by")]
    assert [(record.getMessage(), record.by) for record in acts] == [
        ("jobs paused", "root"), ("job dismissed", "root"), ("jobs resumed", "root"),
    ]  # fmt: skip
    assert (acts[1].job, acts[1].user) == ("1", "anna")


def test_administration_is_not_there_for_others(wps, anna):
    anna.open("administration", 404)
    token = {"form_token": "known only to anna"}
    anna.send("administration", token | {"act": "pause"}, 404)
    assert not wps.dispatcher.paused
    assert anna.open().page.xpath("//a[text()='Administration']") == []
    Browser(wps, ADMINISTRATOR).send(
        "administration", {"form_token": "known only to root", "act": "explode"}, 400
    )
