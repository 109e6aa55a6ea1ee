from datetime import date, timedelta
from uuid import uuid4

import pytest

from landcover.errors import InputError, NameRefused, NextcloudError, NotAllowed

TOMORROW = date.today() + timedelta(days=1)


@pytest.fixture
def shared(server, local):
    """Two users, and the path of a file of the first one."""
    path = f"test {uuid4().hex[:8]}/map #1.tif"
    with server.of(server.users[0]) as owner, server.of(server.users[1]) as other:
        owner.files.upload(local(b"a map"), path)
        yield owner, other, path
        owner.files.delete(path.partition("/")[0])


def test_a_share_with_a_user_is_found_by_its_number_wherever_it_is_moved(shared, server, target):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    found = other.shares.find(sent.id, "map #1.tif")
    assert found.owner == server.users[0]
    other.files._client.move_path("map%20%231.tif", f"moved%20{sent.id}.tif")
    moved = other.shares.find(sent.id, "map #1.tif")
    assert moved.path == f"moved {sent.id}.tif"
    assert other.shares.find(sent.id, f"moved {sent.id}.tif") == moved
    other.files.download(moved.path, target, 100)
    target.seek(0)
    assert target.read() == b"a map"


def test_a_share_is_to_be_read_only(shared, server, local):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    mine = other.shares.find(sent.id, "map #1.tif").path
    with pytest.raises(NotAllowed, match="does not allow you"):
        other.files.upload(local(b"spoilt"), mine, replace=True)
    assert owner.files.stat(path).size == 5


def test_an_overwritten_file_stays_shared(shared, server, local):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    owner.files.upload(local(b"a newer map"), path, replace=True)
    found = other.shares.find(sent.id, "map #1.tif")
    assert other.files.stat(found.path).size == 11


def test_a_share_with_a_group_is_made_once_and_ends(shared, server):
    owner, other, path = shared
    sent = owner.shares.with_group(path, server.group)
    assert owner.shares.with_group(path, server.group) == sent
    assert other.shares.find(sent.id, "map #1.tif").owner == server.users[0]
    owner.shares.end(sent.id)
    with pytest.raises(NameRefused):
        other.shares.find(sent.id, "map #1.tif")
    assert server.group in owner.groups()


def test_a_share_of_others_is_not_there(shared, server):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    for who, number, name in (
        (owner, sent.id, "map #1.tif"),
        (other, "999999", "map #1.tif"),
        (other, sent.id, "map.tif"),
    ):
        with pytest.raises(NameRefused, match=f"there is no received/{number}/"):
            who.shares.find(number, name)


def test_nobody_unknown_is_shared_with(shared):
    owner, _, path = shared
    with pytest.raises(InputError, match="Nextcloud knows no user nobody-of-this-name"):
        owner.shares.with_user(path, "nobody-of-this-name")
    with pytest.raises(InputError, match="Nextcloud knows no group nobody-of-this-name"):
        owner.shares.with_group(path, "nobody-of-this-name")


def test_a_link_ends_on_its_day(shared, server):
    owner, _, path = shared
    sent = owner.shares.by_link(path, TOMORROW)
    assert sent.expires == TOMORROW
    assert sent.url.startswith(f"{server.url}/")


def test_links_may_be_switched_off(dav, local):
    dav.stand_in.links = False
    with dav.of("anna") as owner:
        owner.files.upload(local(), "map.tif")
        with pytest.raises(InputError, match="its administrator switched links off"):
            owner.shares.by_link("map.tif", TOMORROW)
    assert dav.stand_in.shares == {}


def test_a_link_that_would_stay_open_is_taken_back(dav, local):
    dav.stand_in.keeps_expiry = False
    with dav.of("anna") as owner:
        owner.files.upload(local(), "map.tif")
        with pytest.raises(NextcloudError, match="it was taken back"):
            owner.shares.by_link("map.tif", TOMORROW)
    assert dav.stand_in.shares == {}


def test_a_share_gets_another_name_where_its_own_is_taken(dav, local):
    (dav.stand_in.files("Eve Smith@Lab.org") / "map.tif").write_bytes(b"hers")
    with dav.of("anna") as owner, dav.of("Eve Smith@Lab.org") as other:
        owner.files.upload(local(), "map.tif")
        sent = owner.shares.with_group("map.tif", dav.group)
        assert other.shares.find(sent.id, "map.tif").path == "map (2).tif"
