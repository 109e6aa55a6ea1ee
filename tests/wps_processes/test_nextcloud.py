"""Jobs that read what others shared, and results that are shared from a job's page."""

import json
import logging
import shutil
from datetime import date, timedelta

import pytest

from benchmarks.served import until
from landcover.errors import InputError, NameRefused
from tests.stand_ins.nextcloud.servers import Server, stood_in
from tests.wps_processes.conftest import ADMINISTRATOR
from tests.wps_processes.jobs.test_ledger import job
from tests.wps_processes.web.test_pages import EXTRACT, Browser
from wps_processes.runners.fetching import FETCHED, Fetcher
from wps_processes.runners.local import ProcessRunner

TOMORROW = date.today() + timedelta(days=1)
OTHER = "Eve Smith@Lab.org"


@pytest.fixture(autouse=True)
def _every_sharing_is_seen_to_its_end(monkeypatch):
    monkeypatch.setattr("wps_processes.web.shares._SECONDS_TO_SEE_THE_END", 60)


@pytest.fixture
def dav(tmp_path):
    stand_in, users = stood_in(tmp_path / "nextcloud")
    with stand_in.serving():
        yield Server(stand_in.url, users, "ice & snow", {}, stand_in)


@pytest.fixture
def shared(dav, start, forks):
    """A service with Nextcloud, and a scene that another user shared with anna."""

    def runner(root, forks):
        return ProcessRunner(root, forks, Fetcher(root, dav.access, most=1 << 20))

    wps = start(runner=runner, access=dav.access)
    shutil.copy(wps.root / "shared/scene.tif", dav.stand_in.files(OTHER) / "scene.tif")
    with dav.of(OTHER) as owner:
        sent = owner.shares.with_user("scene.tif", "anna")
    return wps, f"received/{sent.id}/scene.tif"


def extract(wps, scene, user="anna"):
    wps.execute(
        "extract-samples", user=user, asynchronous=True, scene=scene, labels="home/labels.gpkg"
    )
    return wps.dispatcher.wait(wps.jobs(user)[0]["id"], 60)


def test_a_job_reads_what_was_shared_with_its_owner(shared):
    wps, name = shared
    ended = extract(wps, name)
    assert (ended.state, ended.inputs["scene"]) == ("successful", [name])
    folder = wps.root / f"users/anna/jobs/{ended.id}"
    assert not (folder / FETCHED).exists()
    assert name in (folder / "job.log").read_text()


def test_a_job_reads_what_its_owner_keeps_at_nextcloud_alone(shared, dav):
    wps, _ = shared
    there = dav.stand_in.files("anna") / "Geoportal/home/scenes"
    there.mkdir(parents=True)
    shutil.copy(wps.root / "shared/scene.tif", there / "scene.tif")
    ended = extract(wps, "home/scenes/scene.tif")
    assert (ended.state, ended.inputs["scene"]) == ("successful", ["home/scenes/scene.tif"])
    assert not (wps.root / f"users/anna/jobs/{ended.id}" / FETCHED).exists()
    assert not (wps.root / "users/anna/scenes").exists()
    dav.stand_in.add_user("carla")
    (wps.root / "users/carla").mkdir()
    shutil.copy(wps.root / "users/anna/labels.gpkg", wps.root / "users/carla")
    other = extract(wps, "home/scenes/scene.tif", "carla")
    assert (other.state, other.error) == ("failed", "there is no home/scenes/scene.tif")


def test_what_is_here_is_not_looked_for_at_nextcloud(shared, dav):
    wps, _ = shared
    dav.stand_in.seen.clear()
    assert extract(wps, "shared/scene.tif").state == "successful"
    assert dav.stand_in.seen == []


def test_what_was_fetched_stays_for_a_pod_and_the_next_service_knows_it(shared, dav):
    wps, name = shared
    each = job(inputs={"scene": name, "labels": "home/labels.gpkg"})
    wps.ledger.add(each)
    fetched = Fetcher(wps.root, dav.access).fetch(each, wps.ledger, lambda *_: False)
    assert list(fetched) == [name]
    later = Fetcher(wps.root, dav.access)
    assert later.kept(each) == fetched
    for content in ("[1", "[]", '{"a": []}', "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500):
        (wps.root / f"users/anna/jobs/{each.id}/{FETCHED}/names.json").write_text(content)
        with pytest.raises(InputError, match="was changed meanwhile"):
            later.kept(each)
    later.clear(each)
    with pytest.raises(NameRefused):
        later.kept(each)
    assert later.kept(job(inputs={"scene": "home/scene.tif"})) == {}


def test_how_far_the_fetching_is_stands_in_the_ledger(shared, monkeypatch):
    monkeypatch.setattr("wps_processes.runners.fetching.SECONDS_BETWEEN_REPORTS", 0)
    wps, name = shared
    said, progress = [], wps.ledger.progress
    monkeypatch.setattr(wps.ledger, "progress", lambda *what: (said.append(what), progress(*what)))
    ended = extract(wps, name)
    told = [(job.id, *how_far) for job, *how_far in said]
    assert told[0] == (ended.id, 0, "fetching scene.tif")
    assert (ended.id, 0, "fetching scene.tif, 100 %") in told


@pytest.mark.parametrize("left", ["folder", "link", "file"])
def test_what_an_interrupted_fetch_left_is_cleared_away(shared, dav, left, tmp_path):
    """A service that is killed clears nothing; its successor runs the job again."""
    wps, name = shared
    folder = wps.root / "users/anna/jobs/1"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").touch()
    if left == "folder":
        (folder / FETCHED / "1").mkdir(parents=True)
        (folder / FETCHED / "1/.0123abcd-new").touch()
    elif left == "link":
        (folder / FETCHED).symlink_to(tmp_path / "elsewhere")
    else:
        (folder / FETCHED).touch()
    waiting = job(id="1", inputs=EXTRACT | {"scene": name})
    fetcher = Fetcher(wps.root, dav.access)
    with fetcher.fetched(waiting, wps.ledger, lambda job, ledger: False) as fetched:
        assert fetched == {name: f"home/jobs/1/{FETCHED}/1/scene.tif"}
        assert [p.name for p in (folder / FETCHED / "1").iterdir()] == ["scene.tif"]
    assert list(folder.iterdir()) == []
    assert (tmp_path / "elsewhere/kept").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("received/9/scene.tif", "there is no received/9/scene.tif"),
     ("received/{}/scene.tif/x", "there is no received/{}/scene.tif/x")],
)  # fmt: skip
def test_what_was_not_shared_is_like_a_missing_file(shared, name, sentence):
    wps, known = shared
    number = known.split("/")[1]
    ended = extract(wps, name.format(number))
    assert (ended.state, ended.error) == ("failed", sentence.format(number))


def test_a_share_with_somebody_else_is_not_there(shared, dav):
    wps, _ = shared
    dav.stand_in.add_user("boris")
    with dav.of(OTHER) as owner:
        number = owner.shares.with_user("scene.tif", "boris").id
    assert extract(wps, f"received/{number}/scene.tif").error == (
        f"there is no received/{number}/scene.tif"
    )


@pytest.mark.parametrize("name", ["received/1/../x", "received/x/y.tif", "received/1"])
def test_a_name_that_cannot_be_one_makes_no_job(shared, name):
    wps, _ = shared
    answer = wps.execute("extract-samples", scene=name, labels="home/labels.gpkg")
    assert answer.status_code == 400
    assert wps.jobs() == []


def test_without_nextcloud_nothing_is_received(wps):
    answer = wps.execute("extract-samples", scene="received/1/x.tif", labels="home/labels.gpkg")
    assert b"needs Nextcloud, this storage is a plain folder" in answer.data


def test_a_refusal_of_nextcloud_ends_the_job_in_a_sentence(shared, dav):
    wps, name = shared
    dav.stand_in.maintenance = True
    ended = extract(wps, name)
    assert (ended.state, ended.error) == (
        "failed", "Nextcloud is under maintenance, try again later",
    )  # fmt: skip
    assert not (wps.root / f"users/anna/jobs/{ended.id}" / FETCHED).exists()


def test_too_large_a_file_is_not_fetched(shared, dav):
    wps, name = shared
    (dav.stand_in.files(OTHER) / "scene.tif").write_bytes(b"1" * (2 << 20))
    ended = extract(wps, name)
    assert ended.error == "scene.tif has 2 MiB, no more than 1 are fetched"


def test_a_job_that_is_dismissed_while_it_fetches_ends(shared, dav, monkeypatch):
    monkeypatch.setattr("wps_processes.runners.fetching.SECONDS_BETWEEN_REPORTS", 0)
    wps, name = shared
    dismissed = []

    def dismiss():
        (running,) = wps.jobs()
        dismissed.append(wps.dispatcher.dismiss(running["id"], "dismissed by its owner"))

    dav.stand_in.on("GET", dismiss, part="scene.tif")
    ended = extract(wps, name)
    assert (ended.state, dismissed) == ("dismissed", [True])
    folder = wps.root / f"users/anna/jobs/{ended.id}"
    until(lambda: not list(folder.iterdir()))  # the runner clears up after the job has ended


def test_no_token_is_written_anywhere(shared, dav, caplog):
    wps, name = shared
    with caplog.at_level(logging.DEBUG):
        ended = extract(wps, name)
    assert ended.state == "successful"
    token = dav.stand_in.token("anna")
    written = b"".join(path.read_bytes() for path in wps.root.parent.rglob("*")
                       if path.is_file() and "nextcloud" not in path.parts)  # fmt: skip
    assert token.encode() not in written
    assert token not in caplog.text
    assert token not in json.dumps(wps.get(f"jobs/{ended.id}").get_json())


def successful(wps, user="anna"):
    """Let a job be over that gave a map."""
    wps.ledger.add(job(user=user, id="1", operation="classify-scene", folder=user))
    claimed = wps.ledger.claim()
    folder = wps.root / f"users/{user}/jobs/1"
    folder.mkdir(parents=True)
    (folder / "map.tif").write_bytes(b"a map")
    outputs = {"map": "home/jobs/1/map.tif", "classified": 5}
    wps.ledger.succeed(claimed, outputs)


@pytest.fixture
def page(start, dav):
    """The page of a successful job, with Nextcloud."""
    wps = start(running=False, access=dav.access)
    successful(wps)
    return Browser(wps, "anna").open("jobs/1.html")


def said(browser):
    return browser.texts("//ul[@class='sharings']/li")


def test_a_result_is_shared_with_a_user_from_its_page(page, dav):
    page.submit("Share or store", **{"with": "user", "whom": OTHER})
    (sentence,) = said(page)
    assert sentence.startswith(f"shared {OTHER} reads home/jobs/1/map.tif as received/")
    (made,) = dav.stand_in.shares.values()
    assert (made.owner, made.path) == ("anna", "/Geoportal/home/jobs/1/map.tif")


def test_a_result_is_stored_in_its_owners_nextcloud_from_its_page(page, dav):
    page.submit("Share or store", **{"with": "nobody"})
    path = "Geoportal/home/jobs/1/map.tif"
    assert said(page) == [f"stored your Nextcloud has home/jobs/1/map.tif as {path}"]
    assert (dav.stand_in.files("anna") / path).read_bytes() == b"a map"
    assert dav.stand_in.shares == {}


def test_a_link_needs_a_day_and_has_an_address(page, dav):
    page.submit("Share or store", 400, **{"with": "link", "expires": ""})
    assert "a link needs a last day" in page.texts("//*[@role='alert']")[0]
    page.submit("Share or store", **{"with": "link", "expires": TOMORROW.isoformat()})
    assert f"{dav.url}/s/" in said(page)[0]


def test_links_that_are_switched_off_are_not_offered(page, dav, monkeypatch):
    assert "whoever has the link" in page.texts("//select[@id='with']/option")
    monkeypatch.setenv("GEOPORTAL_SHARE_LINKS", "off")
    page.open("jobs/1.html")
    assert page.texts("//select[@id='with']/option") == [
        "a group", "a user", "nobody, store it in my Nextcloud",
    ]  # fmt: skip
    assert page.texts("//input[@id='expires']") == []
    page.submit("Share or store", 400, **{"with": "link", "expires": TOMORROW.isoformat()})
    assert "links are switched off here" in page.texts("//*[@role='alert']")[0]


@pytest.mark.parametrize("whom", ["", "nobody"])
def test_what_cannot_be_shared_is_said(page, dav, whom):
    page.submit("Share or store", 303 if whom else 400, **{"with": "group", "whom": whom})
    expected = "Nextcloud knows no group nobody" if whom else "the name of the group is needed"
    assert expected in page.text
    assert dav.stand_in.shares == {}


def test_a_form_of_no_page_of_this_session_shares_nothing(page, dav):
    data = {"output": "map", "with": "user", "whom": OTHER}
    page.send("jobs/1/share", data, 403)
    page.send("jobs/1/share", data | {"form_token": "known only to boris"}, 403)
    page.open("jobs/1/share", 405)
    assert dav.stand_in.seen == []


def test_only_what_the_job_gave_and_its_owner_shares(start, dav):
    wps = start(running=False, access=dav.access)
    successful(wps)
    anna, boris = Browser(wps, "anna"), Browser(wps, "boris")
    for output in ("classified", "../labels.gpkg", ""):
        data = {"form_token": "known only to anna", "output": output, "with": "user"}
        anna.send("jobs/1/share", data | {"whom": OTHER}, 400)
    data = {"form_token": "known only to boris", "output": "map", "with": "user", "whom": OTHER}
    boris.send("jobs/1/share", data, 404)
    root = Browser(wps, ADMINISTRATOR)
    root.send("jobs/1/share", data | {"form_token": "known only to root"}, 404)
    assert dav.stand_in.seen == []


def test_without_nextcloud_members_share_a_copy(start):
    wps = start(running=False)
    successful(wps, "carla")
    carla = Browser(wps, "carla").open("jobs/1.html").submit("Share")
    (sentence,) = said(carla)
    assert sentence.endswith("the members of ice read home/jobs/1/map.tif as team/ice/map.tif")
    assert (wps.root / "team/ice/map.tif").read_bytes() == b"a map"
    form = {"form_token": "known only to carla", "output": "map", "with": "group"}
    carla.send("jobs/1/share", form | {"whom": "snow"})
    assert "you are no member of snow" in said(carla)[1]


def test_without_nextcloud_who_is_in_no_group_shares_nothing(start):
    wps = start(running=False)
    successful(wps)
    assert Browser(wps, "anna").open("jobs/1.html").texts("//h2[@id='share']") == []
