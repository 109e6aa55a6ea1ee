"""Sharing on a plain folder tree: a group gets a copy."""

import os
import shutil

import pytest

from hub.local.embedded import prepare_home
from landcover.errors import InputError, NameRefused
from landcover.storage import Audience, Storage, copies, share
from landcover.storage.nextcloud.access import TOKEN_URL
from landcover.storage.sharing import share_from


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home directory of a member of forest, as the hub prepares it."""
    home = tmp_path / "users/anna"
    prepare_home(home, ["forest"])
    (home / "maps").mkdir()
    (home / "maps/map.tif").write_text("a map")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv(TOKEN_URL, raising=False)
    return home


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_group_gets_a_copy(home):
    shared = share("home/maps/map.tif", group="forest")
    assert shared.received_as == "team/forest/map.tif"
    assert str(shared) == "the members of forest read home/maps/map.tif as team/forest/map.tif"
    assert (home / shared.received_as).read_text() == "a map"


def test_no_copy_takes_the_place_of_another(home):
    team = home / "team/forest"
    for content, expected in (("a map", "map.tif"), ("a map", "map.tif"), ("newer", "map (2).tif"),
                              ("third", "map (3).tif"), ("newer", "map (2).tif")):  # fmt: skip
        (home / "maps/map.tif").write_text(content)
        assert share("home/maps/map.tif", group="forest").received_as == f"team/forest/{expected}"
        assert (team / expected).read_text() == content
    assert names(team) == ["map (2).tif", "map (3).tif", "map.tif"]


def test_a_folder_is_copied_with_what_is_visible_in_it(home):
    (home / "maps/deep").mkdir()
    (home / "maps/deep/b.tif").write_text("b")
    (home / "maps/.hidden").touch()
    (home / "maps/link").symlink_to("/etc/passwd")
    os.mkfifo(home / "maps/pipe")
    for expected in ("maps", "maps (2)"):
        assert share("home/maps", group="forest").received_as == f"team/forest/{expected}"
    copy = home / "team/forest/maps"
    assert names(copy) == ["deep", "map.tif"]
    assert (copy / "deep/b.tif").read_text() == "b"


@pytest.mark.parametrize("audience", [{"user": "boris"}, {"link": True, "expires": "2999-01-01"}])
def test_users_and_links_need_nextcloud(home, audience):
    with pytest.raises(InputError, match="need Nextcloud, this storage is a plain folder"):
        share("home/maps/map.tif", **audience)


@pytest.mark.parametrize("group", ["ice", "..", "../users", "forest/deep", ".", "/etc"])
def test_a_group_that_is_not_there_gets_nothing(home, group):
    before = sorted(home.parents[1].rglob("*"))
    with pytest.raises(NameRefused):
        share("home/maps/map.tif", group=group)
    assert sorted(home.parents[1].rglob("*")) == before


def test_a_full_disk_leaves_nothing_behind(home, monkeypatch):
    def full(*files):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"no room left for a copy of map\.tif"):
        share("home/maps/map.tif", group="forest")
    assert names(home / "team/forest") == []


def test_the_service_copies_for_members_only_and_makes_their_folder(home, tmp_path):
    member = Storage(tmp_path, "anna", ("ice",))
    shared = share_from(member, "home/maps/map.tif", Audience.of(group="ice"), None)
    assert (tmp_path / shared.received_as).read_text() == "a map"
    with pytest.raises(NameRefused, match="you are no member of forest"):
        share_from(member, "home/maps/map.tif", Audience.of(group="forest"), None)


def test_folders_that_lie_too_deep_are_not_copied(home):
    (home / "maps" / "/".join("d" * 20)).mkdir(parents=True)
    with pytest.raises(InputError, match="its folders lie more than 8 deep, needs fewer"):
        share("home/maps", group="forest")
    assert names(home / "team/forest") == []


def test_two_copies_at_once_get_two_names(home, monkeypatch):
    """Another copy may take the name between the look and the placing."""
    placed = copies._placed

    def late(folder, beside, name, is_folder):
        (home / "team/forest" / name).write_text("quicker")
        return placed(folder, beside, name, is_folder)

    monkeypatch.setattr(copies, "_placed", late)
    assert share("home/maps/map.tif", group="forest").received_as == "team/forest/map (2).tif"
    assert (home / "team/forest/map.tif").read_text() == "quicker"


def test_what_belongs_to_a_map_is_copied_with_it(home):
    """Under the name that the copy got, and over nothing that is there."""
    team = home / "team/forest"
    for ending, content in ((".tif.aux.xml", "names"), (".qml", "style"), (".txt", "notes")):
        (home / f"maps/map{ending}").write_text(content)
    assert share("home/maps/map.tif", group="forest").received_as == "team/forest/map.tif"
    assert names(team) == ["map.qml", "map.tif", "map.tif.aux.xml"]
    (home / "maps/map.tif").write_text("a newer map")
    (home / "maps/map.qml").write_text("newer style")
    assert share("home/maps/map.tif", group="forest").received_as == "team/forest/map (2).tif"
    assert (team / "map (2).qml").read_text() == "newer style"
    assert (team / "map (2).tif.aux.xml").read_text() == "names"
    assert (team / "map.qml").read_text() == "style"
    (home / "maps/map.qml").write_text("newest style")
    share("home/maps/map.tif", group="forest")
    assert (team / "map (2).qml").read_text() == "newer style"
    assert not [name for name in names(team) if name.startswith(".")]
