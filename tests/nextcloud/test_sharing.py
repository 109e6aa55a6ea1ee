"""Sharing by Nextcloud, as a user's own server does it."""

import os
from datetime import date, timedelta

import pytest

from landcover import storage
from landcover.errors import InputError, NameRefused, QuotaFull
from landcover.storage.nextcloud import access
from tests.readmes import run

EVE = "Eve Smith@Lab.org"
TOMORROW = date.today() + timedelta(days=1)


@pytest.fixture
def home(dav, monkeypatch, tmp_path):
    home = tmp_path / "home"
    (home / "maps").mkdir(parents=True)
    (home / "maps/ice #1.tif").write_bytes(b"a map")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(access, "token_service", lambda: dav.access("anna"))
    return home


def test_what_is_shared_with_a_user_reads_as_received(home, dav, monkeypatch):
    share = storage.share("home/maps/ice #1.tif", user=EVE)
    assert str(share) == f"{EVE} reads home/maps/ice #1.tif as {share.received_as}"
    monkeypatch.setattr(access, "token_service", lambda: dav.access(EVE))
    assert storage.fetch(share.received_as).read_bytes() == b"a map"


def test_sharing_goes_as_the_readme_shows(home, dav, monkeypatch, capsys):
    (home / "jobs/JOB").mkdir(parents=True)
    (home / "jobs/JOB/map.tif").write_bytes(b"a map of a job")
    with monkeypatch.context() as patch:
        patch.setattr(access, "token_service", lambda: dav.access(EVE))
        received = storage.share("home/maps/ice #1.tif", user="anna").received_as
    readers = {'"forest"': f'"{dav.group}"', '"boris"': f'"{EVE}"'}
    given = {"2027-01-31": TOMORROW.isoformat(), "received/39/map.tif": received}
    run("notebooks/README.md", 1, changed=readers | given)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"the members of {dav.group} read home/jobs/JOB/map.tif")
    assert told[1].startswith(f"{EVE} reads home/jobs/JOB/map.tif as received/")
    assert told[2].startswith(f"{dav.url}/s/") or dav.url in told[2]
    sent = dav.stand_in.files("anna") / "Geoportal/home/jobs/JOB/map.tif"
    assert sent.read_bytes() == b"a map of a job"


def test_the_same_file_is_sent_once_and_a_changed_one_again(home, dav):
    share = storage.share("home/maps/ice #1.tif", group=dav.group)
    assert storage.share("home/maps/ice #1.tif", group=dav.group) == share
    assert dav.stand_in.methods().count("PUT") == 1
    (home / "maps/ice #1.tif").write_bytes(b"a newer map")
    assert storage.share("home/maps/ice #1.tif", group=dav.group) == share
    sent = dav.stand_in.files("anna") / "Geoportal/home/maps/ice #1.tif"
    assert sent.read_bytes() == b"a newer map"
    (home / "maps/ice #1.tif").write_bytes(b"another map")  # of the same size
    os.utime(home / "maps/ice #1.tif", (1, 1_700_000_000))
    storage.share("home/maps/ice #1.tif", group=dav.group)
    assert sent.read_bytes() == b"another map"


def test_a_tree_that_nextcloud_shows_is_not_sent_at_all(home, dav):
    (dav.stand_in.files("anna") / "Geoportal").mkdir()
    (dav.stand_in.files("anna") / "Geoportal/home").symlink_to(home)
    storage.share("home/maps/ice #1.tif", user=EVE)
    assert "PUT" not in dav.stand_in.methods()


def test_a_folder_is_shared_with_what_is_visible_in_it(home, dav):
    (home / "maps/.hidden").touch()
    (home / "maps/link").symlink_to("/etc/passwd")
    (home / "maps/deep").mkdir()
    (home / "maps/deep/b.tif").write_bytes(b"b")
    os.mkfifo(home / "maps/pipe")
    share = storage.share("home/maps", user=EVE)
    assert share.received_as.endswith("/maps")
    sent = dav.stand_in.files("anna") / "Geoportal/home/maps"
    assert sorted(str(p.relative_to(sent)) for p in sent.rglob("*") if p.is_file()) == [
        "deep/b.tif", "ice #1.tif",
    ]  # fmt: skip


def test_folders_that_lie_too_deep_are_not_sent(home, dav):
    (home / "maps" / "/".join("d" * 8)).mkdir(parents=True)
    with pytest.raises(InputError, match="its folders lie more than 8 deep, needs fewer"):
        storage.share("home/maps", user=EVE)
    (home / "maps" / "/".join("d" * 8)).rmdir()
    assert storage.share("home/maps", user=EVE).received_as.endswith("/maps")


def test_a_link_has_an_address_and_a_last_day(home, dav):
    share = storage.share("home/maps/ice #1.tif", link=True, expires=TOMORROW.isoformat())
    assert share.url.startswith(f"{dav.url}/s/")
    assert str(share).endswith(f"reads home/maps/ice #1.tif until {TOMORROW}")


@pytest.mark.parametrize("expires", [None, "", "soon", "2001-01-01", date(2001, 1, 1)])
def test_a_link_without_a_day_to_come_is_refused(home, dav, expires):
    with pytest.raises(InputError, match="needs a last day that is to come"):
        storage.share("home/maps/ice #1.tif", link=True, expires=expires)
    assert dav.stand_in.seen == []


def test_links_can_be_switched_off(home, dav, monkeypatch):
    monkeypatch.setenv("GEOPORTAL_SHARE_LINKS", "off")
    with pytest.raises(InputError, match="links are switched off here"):
        storage.share("home/maps/ice #1.tif", link=True, expires=TOMORROW)
    assert dav.stand_in.seen == []


@pytest.mark.parametrize(
    "audience", [{}, {"user": EVE, "group": "x"}, {"group": "x", "link": True}]
)
def test_one_audience_is_needed(home, audience):
    with pytest.raises(InputError, match="one of them is needed"):
        storage.share("home/maps/ice #1.tif", **audience)
    with pytest.raises(InputError, match="expires is for links"):
        storage.share("home/maps/ice #1.tif", user=EVE, expires=TOMORROW)


@pytest.mark.parametrize("name", ["shared/x", "home/nothing", "home/../x", "received/1/x", "/etc"])
def test_only_what_is_there_and_ones_own_is_shared(home, dav, name):
    with pytest.raises(NameRefused):
        storage.share(name, user=EVE)
    assert "PUT" not in dav.stand_in.methods()


def test_a_full_quota_is_said_and_nothing_is_shared(home, dav):
    dav.stand_in.quota = 3
    with pytest.raises(QuotaFull, match="make some and try again"):
        storage.share("home/maps/ice #1.tif", user=EVE)
    assert dav.stand_in.shares == {}


def test_what_belongs_to_a_map_is_stored_with_it(home, dav):
    for ending in (".tif.aux.xml", ".qml", ".txt"):
        (home / f"maps/ice #1{ending}").write_text(ending)
    storage.store("home/maps/ice #1.tif")
    sent = dav.stand_in.files("anna") / "Geoportal/home/maps"
    assert {path.name for path in sent.iterdir()} == {
        "ice #1.tif", "ice #1.tif.aux.xml", "ice #1.qml",
    }  # fmt: skip
    assert storage.share("home/maps/ice #1.tif", user=EVE).received_as.endswith("/ice #1.tif")
    assert dav.stand_in.methods().count("PUT") == 3
