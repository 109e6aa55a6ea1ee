"""What lies at Nextcloud, as a user's own server reads it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from landcover import storage
from landcover.errors import InputError, LandcoverError, NameRefused, Stopped
from landcover.progress import progress_to
from landcover.storage import remote
from landcover.storage.nextcloud import access

EVE = "Eve Smith@Lab.org"


@pytest.fixture
def eve(dav, monkeypatch, tmp_path):
    """The server of a user, and how others share with her."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(access, "token_service", lambda: dav.access(EVE))

    def share(path):
        with dav.of("anna") as owner:
            return owner.shares.with_user(path, EVE).id

    return share


@pytest.fixture
def annas(dav):
    return dav.stand_in.files("anna")


def test_a_file_is_fetched_once_and_again_after_a_change(eve, annas, dav):
    (annas / "map.tif").write_bytes(b"a map")
    name = f"received/{eve('map.tif')}/map.tif"
    path = storage.fetch(name)
    assert (path.name, path.read_bytes()) == ("map.tif", b"a map")
    assert storage.fetch(name) == path
    assert dav.stand_in.methods().count("GET") - dav.stand_in.methods("shares").count("GET") == 1
    (annas / "map.tif").write_bytes(b"a newer map")
    newer = storage.fetch(name)
    assert newer.read_bytes() == b"a newer map"
    assert not path.exists()


def test_two_kernels_that_fetch_the_same_both_have_it(eve, annas, dav):
    (annas / "map.tif").write_bytes(b"1" * 3_000_000)
    name = f"received/{eve('map.tif')}/map.tif"
    with ThreadPoolExecutor(4) as kernels:
        (path,) = set(kernels.map(storage.fetch, [name] * 4))
    assert path.stat().st_size == 3_000_000
    assert dav.stand_in.methods().count("GET") - dav.stand_in.methods("shares").count("GET") == 1


def test_a_shapefile_comes_with_its_parts_and_a_folder_with_all_in_it(eve, annas):
    (annas / "labels/forest").mkdir(parents=True)
    for ending in ("shp", "dbf", "shx", "PRJ", "qgz"):
        (annas / f"labels/a b.{ending}").write_text(ending)
    (annas / "labels/forest/chips.npy").write_bytes(b"chips")
    share = eve("labels")
    shapefile = storage.fetch(f"received/{share}/labels/a b.shp")
    assert sorted(p.name for p in shapefile.parent.iterdir()) == [
        "a b.PRJ", "a b.dbf", "a b.shp", "a b.shx",
    ]  # fmt: skip
    folder = storage.fetch(f"received/{share}/labels")
    assert (folder / "forest/chips.npy").read_bytes() == b"chips"
    assert storage.fetch(f"received/{share}/labels/forest/chips.npy").read_bytes() == b"chips"


def test_what_lies_beside_a_raster_comes_with_it_and_is_fetched_anew(eve, annas):
    (annas / "scenes").mkdir()
    for name in ("s.tif", "s.tif.msk", "s.tif.aux.xml", "s.tfw", "s.tif.txt", "t.tif.msk"):
        (annas / "scenes" / name).write_text(name)
    name = f"received/{eve('scenes')}/scenes/s.tif"
    scene = storage.fetch(name)
    assert {file.name: file.read_text() for file in scene.parent.iterdir()} == {
        name: name for name in ("s.tif", "s.tif.msk", "s.tif.aux.xml", "s.tfw")
    }
    (annas / "scenes/s.tif.msk").write_text("another mask")
    newer = storage.fetch(name)
    assert newer.with_name("s.tif.msk").read_text() == "another mask"
    (annas / "scenes/s.tif.msk").unlink()
    assert not storage.fetch(name).with_name("s.tif.msk").exists()


@pytest.mark.parametrize(
    "name",
    ["received/{}/map.tif/x", "received/999/map.tif", "received/{}",
     "received/{}/../map.tif", "received/{}/map.tif/..", "received//map.tif", "received",
     "received/x/map.tif", "received/{}/map.tif/", "received/{}/map\0.tif", "received/²/map.tif",
     "received/-1/map.tif", "received/0x1/map.tif"],
)  # fmt: skip
def test_what_was_not_shared_is_not_there(eve, annas, name):
    (annas / "map.tif").write_bytes(b"a map")
    share = eve("map.tif")
    with pytest.raises(NameRefused):
        storage.fetch(name.format(share))


@pytest.mark.parametrize("taken", [False, True])
def test_the_number_tells_the_file_whatever_it_is_called(eve, annas, dav, taken):
    (annas / "map.tif").write_bytes(b"a map")
    (annas / "other.tif").write_bytes(b"her own")
    if taken:
        (dav.stand_in.files(EVE) / "map.tif").write_bytes(b"of Eve")
    share = eve("map.tif")
    for name in ("map.tif", "map (2).tif", "other.tif"):
        assert storage.fetch(f"received/{share}/{name}").read_bytes() == b"a map"


def test_a_share_with_somebody_else_is_not_there(eve, annas, dav):
    (annas / "map.tif").write_bytes(b"a map")
    dav.stand_in.add_user("boris")
    with dav.of("anna") as owner:
        share = owner.shares.with_user("map.tif", "boris").id
    with pytest.raises(NameRefused, match=f"there is no received/{share}/map.tif"):
        storage.fetch(f"received/{share}/map.tif")


def test_too_much_is_not_fetched(eve, annas, dav, monkeypatch, tmp_path):
    (annas / "labels/deep/er").mkdir(parents=True)
    for name in ("a", "b", "deep/er/c"):
        (annas / "labels" / name).write_bytes(b"1" * 40)
    name = f"received/{eve('labels')}/labels"

    def fetch_into(place, most):
        place.mkdir()
        folder = os.open(place, os.O_RDONLY)
        try:
            with dav.of(EVE) as nextcloud:
                return remote.fetch_into(folder, name, nextcloud, most)
        finally:
            os.close(folder)

    assert fetch_into(tmp_path / "all", 120) == "labels"
    with pytest.raises(InputError, match="are fetched"):
        fetch_into(tmp_path / "large", 100)
    monkeypatch.setattr(remote, "_MOST_ENTRIES", 4)
    with pytest.raises(InputError, match="c is among more than 4 files and folders"):
        fetch_into(tmp_path / "many", 120)
    monkeypatch.setattr(remote, "_MOST_ENTRIES", 2)
    with pytest.raises(InputError, match="labels holds more than 2 files and folders"):
        fetch_into(tmp_path / "wide", 120)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_whoever_waits_for_many_empty_folders_or_files_can_stop(eve, annas, dav, make):
    (annas / "labels").mkdir()
    for number in range(20):
        make(annas / f"labels/{number:02}")
    name = f"received/{eve('labels')}/labels"
    said = []

    def listen(fraction, sentence):
        said.append(sentence)
        if len(said) == 3:
            dav.stand_in.seen.clear()
            raise Stopped("dismissed")

    with progress_to(listen), pytest.raises(Stopped):
        storage.fetch(name)
    assert said == ["fetching labels", "fetching 00", "fetching 01"]
    assert dav.stand_in.seen == []


def test_nothing_is_left_of_a_fetch_that_failed(eve, annas, dav, tmp_path):
    (annas / "map.tif").write_bytes(b"1" * 3_000_000)
    name = f"received/{eve('map.tif')}/map.tif"
    dav.stand_in.answer("GET", 503, part="map.tif")
    with pytest.raises(LandcoverError, match="under maintenance"):
        storage.fetch(name)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file() and p.stat().st_size] == []
    assert storage.fetch(name).stat().st_size == 3_000_000


@pytest.fixture
def eves(dav):
    """Her own files at Nextcloud, below which names of home/ are paths."""
    folder = dav.stand_in.files(EVE) / "Geoportal/home"
    folder.mkdir(parents=True)
    return folder


def test_what_of_home_lies_at_nextcloud_alone_is_fetched_by_the_same_name(eve, eves, dav):
    (eves / "scenes").mkdir()
    (eves / "scenes/ice #1.tif").write_bytes(b"a scene")
    path = storage.fetch("home/scenes/ice #1.tif")
    assert (path.name, path.read_bytes()) == ("ice #1.tif", b"a scene")
    assert storage.fetch("home/scenes/ice #1.tif") == path
    assert (storage.fetch("home/scenes") / "ice #1.tif").read_bytes() == b"a scene"


def test_a_file_that_is_here_comes_before_one_of_its_name_there(eve, eves, dav, tmp_path):
    (eves / "scene.tif").write_bytes(b"there")
    (tmp_path / "home/scene.tif").write_bytes(b"here")
    assert storage.fetch("home/scene.tif") == tmp_path / "home/scene.tif"
    assert dav.stand_in.seen == []


@pytest.mark.parametrize(
    "name", ["home/none.tif", "home/../x.tif", "home//x.tif", "home/x\0.tif", "shared/none.tif",
             "team/ice/none.tif", "elsewhere/x.tif", "/etc/none"],
)  # fmt: skip
def test_what_is_neither_here_nor_there_is_refused(eve, eves, name):
    with pytest.raises(NameRefused):
        storage.fetch(name)


def test_what_was_stored_and_deleted_here_is_read_and_shared_by_its_name(eve, eves, dav, tmp_path):
    maps = tmp_path / "home/maps"
    maps.mkdir()
    (maps / "ice.tif").write_bytes(b"a map")
    assert storage.store("home/maps/ice.tif") == "Geoportal/home/maps/ice.tif"
    assert storage.store("home/maps/ice.tif") == "Geoportal/home/maps/ice.tif"
    assert dav.stand_in.methods().count("PUT") == 1
    assert (eves / "maps/ice.tif").read_bytes() == b"a map"
    (maps / "ice.tif").unlink()
    assert storage.fetch("home/maps/ice.tif").read_bytes() == b"a map"
    assert storage.store("home/maps/ice.tif") == "Geoportal/home/maps/ice.tif"
    share = storage.share("home/maps/ice.tif", user="anna")
    assert share.received_as.endswith("/ice.tif")
    assert dav.stand_in.methods().count("PUT") == 1


def test_a_server_stores_shares_and_gives_back_by_the_same_name(server, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    owner, other = server.users
    folder = f"test {uuid4().hex[:8]}"
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "ice #1.tif").write_bytes(b"a map")
    monkeypatch.setattr(access, "token_service", lambda: server.access(owner))
    with server.of(owner) as theirs:
        try:
            path = storage.store(f"home/{folder}/ice #1.tif")
            assert theirs.files.stat(path).size == 5
            (tmp_path / folder / "ice #1.tif").unlink()
            (tmp_path / folder).rmdir()
            assert storage.fetch(f"home/{folder}/ice #1.tif").read_bytes() == b"a map"
            assert [p.name for p in storage.fetch(f"home/{folder}").iterdir()] == ["ice #1.tif"]
            share = storage.share(f"home/{folder}/ice #1.tif", user=other)
            monkeypatch.setattr(access, "token_service", lambda: server.access(other))
            assert storage.fetch(share.received_as).read_bytes() == b"a map"
            with pytest.raises(NameRefused, match="there is no home/"):
                storage.fetch(f"home/{folder}/ice #1.tif")
        finally:
            theirs.files.delete(f"Geoportal/home/{folder}")


@pytest.mark.parametrize(
    "name", ["home/none.tif", "shared/x.tif", "received/1/x.tif", "home/../x"]
)
def test_only_what_is_ones_own_is_stored(eve, dav, name):
    with pytest.raises(NameRefused):
        storage.store(name)
    assert "PUT" not in dav.stand_in.methods()


def test_without_nextcloud_there_is_nothing_to_store_in(eve, monkeypatch, tmp_path):
    monkeypatch.setattr(access, "token_service", lambda: None)
    (tmp_path / "home/map.tif").touch()
    with pytest.raises(InputError, match="no Nextcloud to store in"):
        storage.store("home/map.tif")
    assert storage.fetch("home/map.tif") == tmp_path / "home/map.tif"
    with pytest.raises(NameRefused, match="there is no home/none"):
        storage.fetch("home/none.tif")


def test_without_nextcloud_nothing_is_received(monkeypatch):
    monkeypatch.delenv(access.TOKEN_URL, raising=False)
    with pytest.raises(NameRefused, match="needs Nextcloud, this storage is a plain folder"):
        storage.fetch("received/1/map.tif")
