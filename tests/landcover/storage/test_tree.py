import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.served import until
from landcover.errors import NameRefused
from landcover.io.files import safe_open
from landcover.storage import (
    Entry,
    Storage,
    folder_at_home,
    name_at_home,
    readable_at_home,
)


@pytest.fixture
def tree(tmp_path):
    for folder in ("users/anna/sub", "users/boris", "team/forest", "team/secret", "shared"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "users/anna/scene.tif").write_text("mine")
    (tmp_path / "users/boris/scene.tif").write_text("his")
    (tmp_path / "shared/scene.tif").write_text("ours")
    (tmp_path / "team/secret/scene.tif").write_text("theirs")
    (tmp_path / "outside").write_text("the machine's")
    return tmp_path


@pytest.fixture(params=["openat2", "walk"])
def storage(tree, request, monkeypatch):
    if request.param == "walk":

        def missing(folder, name, flags):
            raise OSError(38, "no such system call")

        monkeypatch.setattr(safe_open, "_openat2", missing)
    return Storage(tree, "anna", ("forest",))


def test_names_lead_to_the_three_roots(storage):
    with storage.readable("home/scene.tif") as path:
        assert (path.name, path.read_text()) == ("scene.tif", "mine")
    with storage.readable("shared/scene.tif") as path:
        assert path.read_text() == "ours"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../boris/scene.tif", "home/../boris/scene.tif", "home/./scene.tif",
        "home//scene.tif", "boris/scene.tif", "users/boris/scene.tif", "team/secret/scene.tif",
        "team", "received/1/scene.tif", "file:///etc/passwd", "https://example.org/scene.tif",
        "/vsicurl/http://127.0.0.1/x.tif", "home/nothing.tif", "home/scene.tif/x", "",
        "home/scene.tif\0.png", "HOME/scene.tif",
    ],
)  # fmt: skip
def test_names_that_leave_the_callers_roots_are_refused(storage, name):
    with pytest.raises(NameRefused):
        storage.open(name)


@pytest.mark.parametrize("target", ["../boris/scene.tif", "../../outside", "/etc/passwd"])
def test_links_that_lead_out_are_refused(storage, tree, target):
    (tree / "users/anna/link.tif").symlink_to(target)
    with pytest.raises(NameRefused, match="leads out of your folders"):
        storage.open("home/link.tif")
    (tree / "users/anna/folder").symlink_to("../boris")
    with pytest.raises(NameRefused):
        storage.open("home/folder/scene.tif")


def test_links_within_the_root_are_followed(tree):
    (tree / "users/anna/link.tif").symlink_to("sub/../scene.tif")
    with Storage(tree, "anna").readable("home/link.tif") as path:
        assert path.read_text() == "mine"


def test_a_pipe_is_refused_and_blocks_nobody(storage, tree):
    os.mkfifo(tree / "users/anna/pipe.tif")
    with pytest.raises(NameRefused, match="neither a file nor a folder"):
        storage.open("home/pipe.tif")


def test_a_link_swapped_in_a_loop_never_shows_anothers_file(storage, tree):
    """The name is resolved to a descriptor once; what it means a moment later does not matter."""
    mine, swapped = tree / "users/anna/a.tif", tree / "users/anna/b.tif"
    mine.write_text("mine")
    stop = threading.Event()
    seen = Counter()

    def swap():
        while not stop.is_set():
            swapped.symlink_to("../boris/scene.tif")
            swapped.replace(mine)
            swapped.write_text("mine")
            swapped.replace(mine)

    def read_until_both_were_met():
        # On a busy machine the other thread may stand still for thousands of readings.
        seen.update(_read_or_refuse(storage, "home/a.tif") for _ in range(200))
        return seen.total() >= 2000 and {"mine", "refused"} <= seen.keys()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        until(read_until_both_were_met)
    finally:
        stop.set()
        thread.join()
    assert seen.keys() <= {"mine", "", "refused"}


def _read_or_refuse(storage, name):
    try:
        with storage.readable(name) as path:
            return path.read_text()
    except NameRefused:
        return "refused"


def test_a_walk_comes_by_all_that_its_caller_sees_nearest_first(storage, tree):
    (tree / "users/anna/sub/deep").mkdir()
    (tree / "users/anna/sub/deep/map.tif").touch()
    (tree / "team/forest/labels.gpkg").touch()
    os.utime(tree / "users/anna/sub/deep/map.tif", (0, 5))
    walked = list(storage.walk())
    assert {entry.name for entry in walked[:4]} == {
        "home/scene.tif", "home/sub", "team/forest/labels.gpkg", "shared/scene.tif",
    }  # fmt: skip
    assert [entry.name for entry in walked[4:]] == ["home/sub/deep", "home/sub/deep/map.tif"]
    assert walked[-1] == Entry("home/sub/deep/map.tif", False, 5.0)
    assert {entry.name for entry in walked if entry.is_folder} == {"home/sub", "home/sub/deep"}
    assert "home/sub/deep/map.tif" not in {entry.name for entry in storage.walk(depth=2)}


def test_a_walk_follows_no_link_and_leaves_out_what_cannot_be_shown(storage, tree):
    (tree / "users/anna/sub/link").symlink_to("../../boris")
    (tree / "users/anna/sub/round").symlink_to("../sub")
    (tree / "users/anna/sub/file.tif").symlink_to("../scene.tif")
    (tree / "users/anna/sub/.hidden").mkdir()
    (tree / "users/anna/sub/two\nlines").touch()
    (tree / "users/anna/sub" / os.fsdecode(b"\xff.tif")).touch()
    os.mkfifo(tree / "users/anna/sub/pipe")
    assert not [entry for entry in storage.walk() if entry.name.startswith("home/sub/")]


def test_a_walk_that_is_left_keeps_nothing_open(storage, tree):
    before = open_descriptors()
    walk = storage.walk()
    next(walk)
    walk.close()
    assert open_descriptors() == before


def open_descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_walk_passes_over_roots_that_are_not_there(tree):
    (entry,) = Storage(tree, "carla", ("gone", "../users")).walk()
    assert entry.name == "shared/scene.tif"


def test_a_shapefile_brings_its_parts(storage, tree):
    for ending in ("shp", "dbf", "shx", "prj"):
        (tree / f"users/anna/labels.{ending}").write_text(ending)
    with storage.readable("home/labels.shp") as path:
        assert sorted(p.suffix for p in path.parent.iterdir()) == [".dbf", ".prj", ".shp", ".shx"]
        assert path.with_suffix(".dbf").read_text() == "dbf"


def test_what_lies_beside_a_raster_comes_along(storage, tree):
    for name in ("s.tif", "s.tif.msk", "s.tif.aux.xml", "s.tfw", "t.tif"):
        (tree / "users/anna" / name).write_bytes(name.encode())
    with storage.readable("home/s.tif") as path:
        beside = {p.name: p.read_text() for p in path.parent.iterdir()}
    own = ("s.tif", "s.tif.msk", "s.tif.aux.xml", "s.tfw")
    assert beside == {name: name for name in own}


def test_a_slash_at_the_end_means_a_folder(storage, tree):
    (tree / "users/anna/s.tif").touch()
    (tree / "users/anna/samples").mkdir()
    os.close(storage.open("home/samples/"))
    os.close(storage.make_folder("home/jobs/1/"))
    with pytest.raises(NameRefused, match=r"home/s.tif/ ends in a slash, leave it out"):
        storage.open("home/s.tif/")
    with pytest.raises(NameRefused, match="is no storage name"):
        storage.open("home/samples//")


def test_folders_are_made_where_the_caller_may_write(storage, tree):
    os.close(storage.make_folder("home/jobs/1"))
    os.close(storage.make_folder("team/forest/maps"))
    assert (tree / "users/anna/jobs/1").is_dir()
    assert (tree / "team/forest/maps").is_dir()
    with pytest.raises(NameRefused, match="read-only"):
        storage.make_folder("shared/maps")
    os.close(Storage(tree, "root", administrator=True).make_folder("shared/maps"))


def test_folders_are_not_made_through_a_link(storage, tree):
    (tree / "users/anna/jobs").symlink_to("../boris")
    with pytest.raises(NameRefused):
        storage.make_folder("home/jobs/1")
    assert not (tree / "users/boris/1").exists()


def test_a_users_first_folder_makes_the_home(tree):
    carla = Storage(tree, "carla")
    with pytest.raises(NameRefused, match="there is no home/x"):
        carla.open("home/x")
    os.close(carla.make_folder("home/jobs/1"))
    assert (tree / "users/carla/jobs/1").is_dir()


@pytest.fixture
def server_home(tmp_path, monkeypatch):
    """A user's home as their own server sees it, with links to what is shared."""
    for folder in ("users/eve", "users/bob", "shared/demo", "team/ice"):
        (tmp_path / folder).mkdir(parents=True)
    home = tmp_path / "users" / "eve"
    for link in ("shared", "team"):
        (home / link).symlink_to(Path("..", "..", link))
    (tmp_path / "shared" / "demo" / "scene.tif").write_text("scene")
    (tmp_path / "users" / "bob" / "private").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    return home


def test_file_in_a_users_own_server_keeps_its_name(server_home):
    with readable_at_home("shared/demo/scene.tif") as path:
        assert path.name == "scene.tif"
        assert path.read_text() == "scene"
    assert not path.exists()


@pytest.mark.parametrize(
    "name",
    ["home/../bob/private", "home/out", "home/shared/demo/scene.tif", "users/bob/private",
     "/etc/passwd", "received/1/a", "home/nowhere", "home//x", "home/a\0b"],
)  # fmt: skip
def test_name_never_leads_out_of_a_users_own_folders(server_home, name):
    (server_home / "out").symlink_to(Path("..", "bob", "private"))
    with pytest.raises(NameRefused), readable_at_home(name):
        pass


def test_folder_is_made_below_and_through_no_link(server_home):
    with folder_at_home("team/ice/floes", make=True) as folder:
        (folder / "a").write_text("a")
    assert (server_home / "team" / "ice" / "floes" / "a").exists()
    (server_home / "team" / "ice" / "out").symlink_to(server_home.parent / "bob")
    with pytest.raises(NameRefused), folder_at_home("team/ice/out", make=True):
        pass
    with pytest.raises(NameRefused), folder_at_home("home/nowhere"):
        pass


def test_path_below_the_home_directory_has_a_storage_name(server_home):
    assert name_at_home("team/ice/a.tif") == "team/ice/a.tif"
    assert name_at_home(str(server_home / "a.tif")) == "home/a.tif"
    assert name_at_home("~/shared/demo/scene.tif") == "shared/demo/scene.tif"
    with pytest.raises(NameRefused, match="outside your folders"):
        name_at_home("/etc/passwd")


def test_group_whose_name_can_be_no_folder_has_none(tmp_path):
    names = ("forest", "", ".", "..", "../users", "a\0b", "x" * 256, "ж" * 128)
    *teams, shared = Storage(tmp_path, "anna", names).roots()[1:]
    assert teams == [tmp_path / "team" / "forest"]
    assert shared == tmp_path / "shared"
