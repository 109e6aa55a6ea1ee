"""The administrator's page of health: each trouble is told with its remedy."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from tests.wps_processes.conftest import ADMINISTRATOR
from tests.wps_processes.jobs.test_ledger import job
from tests.wps_processes.web.test_pages import Browser
from wps_processes.jobs.databases import SQLite
from wps_processes.jobs.ledger import Ledger, rfc3339
from wps_processes.jobs.membership import HubUnavailable, hub_version
from wps_processes.runners import sandbox
from wps_processes.web import health
from wps_processes.web.health import BACKED_UP, Health

PAGE = "administration/health"


def no_ledger(*given, **named):
    raise OperationalError("", {}, OSError("postgresql://geoportal:secret@db is away"))


@pytest.fixture
def looked(tmp_path, monkeypatch):
    """A function that looks at everything, and returns the findings by what they are about."""
    ledger = Ledger(tmp_path / "jobs.sqlite")
    monkeypatch.setattr(health, "room_on", lambda folder: 1 << 40)
    (tmp_path / BACKED_UP).touch()

    def look(confines=True, ask_hub=lambda: "5.0"):
        found = Health(ledger, tmp_path, tmp_path, confines, ask_hub).findings()
        return {each.about: each for each in found}

    look.ledger, look.state = ledger, tmp_path
    yield look
    ledger.close()


def test_all_on_one_screen_for_an_administrator_and_nobody_else(start, tmp_path):
    wps = start(running=False)
    (tmp_path / BACKED_UP).touch()
    root = Browser(wps, ADMINISTRATOR)
    (link,) = root.open("administration").page.xpath("//a[contains(., 'Health')]/@href")
    root.open(link)
    about = ["Hub", "Processing", "Ledger", "Disk", "Queue", "Back-up", "Sandbox"]
    assert root.texts("//tbody//th") == about
    told = root.client.get(f"/services/wps/{PAGE}", headers={"Accept": "application/json"})
    findings = told.get_json()["findings"]
    assert [each["about"] for each in findings] == about
    assert all(set(each) == {"about", "state", "says", "remedy"} for each in findings)
    Browser(wps, "anna").open(PAGE, 404)
    assert wps.get(PAGE, user=None).status_code == 401


def test_the_page_is_there_when_the_ledger_is_not_and_tells_no_password(start, monkeypatch):
    wps = start(running=False)
    monkeypatch.setattr(wps.ledger, "services", no_ledger)
    monkeypatch.setattr(wps.ledger, "queue", no_ledger)
    root = Browser(wps, ADMINISTRATOR).open(PAGE)
    assert "To be mended now: Ledger, Queue" in root.text
    assert "It does not answer: OperationalError" in root.text
    assert "secret" not in root.answer.text


def test_where_nothing_is_wrong_nothing_is_to_be_done(looked, monkeypatch):
    monkeypatch.setattr(sandbox, "confinement_here", lambda: sandbox.Confinement(7, True, True))
    found = looked()
    assert {each.state for each in found.values()} == {"good"}
    assert {each.remedy for each in found.values()} == {""}
    assert health.summary(list(found.values())) == "All is well."


def test_a_hub_that_does_not_answer_is_told(looked):
    def silent():
        raise HubUnavailable("connection refused")

    hub = looked(ask_hub=silent)["Hub"]
    assert (hub.state, hub.says) == ("wrong", "It does not answer: connection refused.")


def test_a_hub_is_really_asked(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "none")
    with pytest.raises(HubUnavailable, match="refused"):
        hub_version()


@pytest.mark.parametrize(
    ("free", "state", "remedy"),
    [(30 << 30, "good", ""), (4 << 30, "weak", "full soon"), (1 << 20, "wrong", "Jobs fail")],
)
def test_a_disk_is_told_before_it_is_full(looked, monkeypatch, free, state, remedy):
    total = shutil._ntuple_diskusage(100 << 30, 0, 0)
    monkeypatch.setattr(health, "room_on", lambda folder: free)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda folder: total)
    disk = looked()["Disk"]
    assert disk.state == state
    assert remedy in disk.remedy
    assert "of 100.0 GiB are free" in disk.says


def test_a_disk_that_is_gone_is_told(looked):
    gone = Health(looked.ledger, looked.state, looked.state / "gone", ask_hub=lambda: "5.0")
    found = {each.about: each for each in gone.findings()}
    assert found["Disk of the state"].state == "good"
    assert found["Disk of the storage"].state == "wrong"


def test_the_queue_is_counted_and_its_standstill_told(looked):
    ledger = looked.ledger
    ledger.add(job(id="1"))
    ledger.fail(ledger.claim(), "no")
    ledger.add(job(id="2"))
    ledger.claim()
    ledger.add(job(id="3"))
    assert looked()["Queue"].says == "1 running, 1 waiting; in a day 1 failed of 3."
    ledger.pause()
    assert (looked()["Queue"].state, looked()["Queue"].says[:7]) == ("weak", "Paused.")
    ledger.resume()
    ledger.dismiss("2")
    long_ago = rfc3339(datetime.now(UTC) - timedelta(hours=3))
    ledger.add(job(id="4", created=long_ago))
    queue = looked()["Queue"]
    assert queue.state == "wrong"
    assert "None runs, and one waits for 3 hours." in queue.says


def test_the_last_back_up_is_told_and_an_old_one_is_weak(looked):
    mark = looked.state / BACKED_UP
    assert "The last one was 0 hours ago" in looked()["Back-up"].says
    then = datetime.now(UTC) - timedelta(days=20)
    os.utime(mark, (then.timestamp(),) * 2)
    assert looked()["Back-up"].state == "weak"
    assert "The last one was 20 days ago" in looked()["Back-up"].says
    mark.unlink()
    assert (looked()["Back-up"].state, looked()["Back-up"].says) == (
        "wrong",
        "None was ever told.",
    )


@pytest.mark.parametrize(
    ("walls", "holes"),
    [((7, True, True), 0), ((5, True, True), 1), ((0, False, False), 4), ((7, False, True), 1)],
)
def test_what_the_kernel_does_not_keep_from_jobs_is_told(looked, monkeypatch, walls, holes):
    here = sandbox.Confinement(*walls)
    monkeypatch.setattr(sandbox, "confinement_here", lambda: here)
    found = looked()["Sandbox"]
    assert found.state == ("weak" if holes else "good")
    assert len(list(here.holes())) >= holes
    assert all(each in found.says for each in here.holes())
    assert looked(confines=False)["Sandbox"].state == "good"


def test_room_is_kept_by_a_service_that_runs(start, monkeypatch):
    kept = Event()
    monkeypatch.setattr(SQLite, "keep_room", lambda self: kept.set())
    start()
    assert kept.wait(60)
