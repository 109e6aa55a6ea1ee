from datetime import date, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote
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
    found = other.shares.find(sent.id)
    other.files._client.move_path(quote(found.path), f"moved%20{sent.id}.tif")
    moved = other.shares.find(sent.id)
    assert moved.path == f"moved {sent.id}.tif"
    other.files.download(moved.path, target, 100)
    target.seek(0)
    assert target.read() == b"a map"


def test_a_share_is_to_be_read_only(shared, server, local):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    mine = other.shares.find(sent.id).path
    with pytest.raises(NotAllowed, match="does not allow you"):
        other.files.upload(local(b"spoilt"), mine, replace=True)
    assert owner.files.stat(path).size == 5


def test_an_overwritten_file_stays_shared(shared, server, local):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    owner.files.upload(local(b"a newer map"), path, replace=True)
    found = other.shares.find(sent.id)
    assert other.files.stat(found.path).size == 11


def test_a_share_with_a_group_is_made_once_and_ends(shared, server):
    owner, other, path = shared
    sent = owner.shares.with_group(path, server.group)
    assert owner.shares.with_group(path, server.group) == sent
    assert other.shares.find(sent.id).path
    owner.shares.end(sent.id)
    with pytest.raises(NameRefused):
        other.shares.find(sent.id)


def test_a_share_of_others_is_not_there(shared, server):
    owner, other, path = shared
    sent = owner.shares.with_user(path, server.users[1])
    for who, number in ((owner, sent.id), (other, "999999")):
        with pytest.raises(NameRefused, match=f"nobody shares received/{number} with you"):
            who.shares.find(number)


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
    if server.stand_in:
        assert server.stand_in.shares[sent.id].permissions == 1


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


def test_a_share_gets_another_name_where_its_own_is_taken(shared, server, local, target):
    owner, other, path = shared
    own = f"{uuid4().hex[:8]}.tif"
    other.files.upload(local(b"hers"), own)
    path = str(PurePosixPath(path).with_name(own))
    owner.files.upload(local(b"his"), path)
    sent = owner.shares.with_user(path, server.users[1])
    found = other.shares.find(sent.id)
    assert found.path == own.replace(".", " (2).")
    other.files.download(found.path, target, 100)
    other.files.delete(own)
    target.seek(0)
    assert target.read() == b"his"
