import os
import tracemalloc
from uuid import uuid4

import pytest

from landcover.errors import (
    InputError,
    LandcoverError,
    Maintenance,
    NameRefused,
    NextcloudError,
    NotAllowed,
    NotSignedIn,
    QuotaFull,
    Stopped,
    Throttled,
    Unavailable,
)
from landcover.progress import progress_to
from landcover.storage.nextcloud import Access, Nextcloud, Timeouts, files
from tests.stand_ins.nextcloud.servers import IMPATIENT, PAUSELESS

MIB = 1 << 20
MOST = 1 << 40


@pytest.fixture
def annas(dav):
    with dav.of("anna", PAUSELESS) as nextcloud:
        yield nextcloud


@pytest.fixture
def folder(server):
    """A folder of its own at the server, and its owner's files."""
    name = f"test {uuid4().hex[:8]}"
    with server.of(server.users[0]) as nextcloud:
        yield nextcloud.files, name
        nextcloud.files.delete(name)


def listing_of(*names, size="1", modified="", more=""):
    """What a server says of files, the first of which is asked for."""
    entry = "<d:response><d:href>/remote.php/dav/files/anna/{}</d:href><d:propstat><d:prop>" \
        f"<d:resourcetype/><d:getcontentlength>{size}</d:getcontentlength>" \
        f"<d:getlastmodified>{modified}</d:getlastmodified></d:prop>" \
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"  # fmt: skip
    entries = "".join(map(entry.format, names))
    return f'<d:multistatus xmlns:d="DAV:">{entries}{more}</d:multistatus>'.encode()


def content_of(target):
    target.seek(0)
    return target.read()


@pytest.mark.parametrize(
    "name", ["a b.tif", "a#b.tif", "what?.tif", "%41.tif", "100%.tif", "ü+&=[1].tif", "Ж.tif"]
)
def test_a_file_goes_there_and_back_whatever_its_name(folder, local, target, name):
    remote, top = folder
    remote.upload(local(b"a map"), f"{top}/{name}")
    assert [entry.name for entry in remote.inside(top, 9)] == [name]
    assert remote.download(f"{top}/{name}", target, MOST).size == 5
    assert content_of(target) == b"a map"


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 12 * MIB + 7])
def test_a_file_of_any_size_is_the_same_afterwards(folder, local, target, size, monkeypatch):
    remote, top = folder
    monkeypatch.setattr(remote, "_chunk", 5 * MIB)
    content = os.urandom(size)
    source = local(content)
    os.utime(source.name, (5, 1_700_000_000))
    remote.upload(source, f"{top}/deep/er/map.tif")
    known = remote.stat(f"{top}/deep/er/map.tif")
    assert (known.size, known.modified, known.is_folder) == (size, 1_700_000_000, False)
    remote.download(f"{top}/deep/er/map.tif", target, MOST)
    assert content_of(target) == content
    assert [entry.name for entry in remote.inside(f"{top}/deep/er", 9)] == ["map.tif"]


@pytest.mark.parametrize("size", [0, 10, 6 * MIB])
def test_a_file_that_is_there_is_overwritten_only_when_asked(
    folder, local, target, size, monkeypatch
):
    remote, top = folder
    monkeypatch.setattr(remote, "_chunk", 5 * MIB)
    remote.upload(local(b"old"), f"{top}/map.tif")
    with pytest.raises(InputError, match=r"map.tif is there already"):
        remote.upload(local(b"n" * size), f"{top}/map.tif")
    assert remote.stat(f"{top}/map.tif").size == 3
    remote.upload(local(b"n" * size), f"{top}/map.tif", replace=True)
    remote.download(f"{top}/map.tif", target, MOST)
    assert content_of(target) == b"n" * size
    assert len(remote.inside(top, 9)) == 1


def test_what_is_not_there_is_said(folder, target):
    remote, top = folder
    remote.make_folder(top)
    remote.make_folder(top)
    for ask in (
        remote.stat,
        lambda path: remote.inside(path, 9),
        lambda path: remote.download(path, target, MOST),
    ):
        with pytest.raises(NameRefused, match="there is no"):
            ask(f"{top}/nothing")
    with pytest.raises(InputError, match="is a folder, needs a file"):
        remote.download(top, target, MOST)
    assert not remote.exists(f"{top}/nothing")


@pytest.mark.parametrize("path", ["../boris/a", "a/../b", "a//b", "/a", "a\0b", "."])
def test_no_path_leaves_the_users_files(annas, dav, path, target):
    before = len(dav.stand_in.seen)
    for ask in (annas.files.stat, annas.files.delete, annas.files.make_folder):
        with pytest.raises(NameRefused):
            ask(path)
    with pytest.raises(NameRefused):
        annas.files.delete("")
    assert len(dav.stand_in.seen) == before


def test_a_broken_download_goes_on_where_it_stopped(annas, dav, target):
    content = os.urandom(4 * MIB)
    (dav.stand_in.files("anna") / "map.tif").write_bytes(content)
    dav.stand_in.break_off("GET", 2 * MIB + 5)
    dav.stand_in.break_off("GET", 5, times=2)
    annas.files.download("map.tif", target, MOST)
    assert content_of(target) == content
    asked = [s.headers.get("Range") for s in dav.stand_in.seen if s.method == "GET"]
    assert asked == [None, *(f"bytes={2 * MIB + more}-" for more in (5, 10, 15))]


def test_a_download_that_never_gets_on_is_given_up(annas, dav, target):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"a larger map")
    dav.stand_in.break_off("GET", 2, times=99)
    with pytest.raises(Unavailable, match="try again later"):
        annas.files.download("map.tif", target, MOST)
    assert dav.stand_in.methods("map.tif").count("GET") == files.ATTEMPTS


def test_a_file_that_changes_while_it_is_fetched_is_not_mixed(annas, dav, target):
    path = dav.stand_in.files("anna") / "map.tif"
    path.write_bytes(b"1" * 3 * MIB)

    def change(fraction, sentence):
        path.write_bytes(b"2" * 3 * MIB)
        os.utime(path, (0, 0))

    dav.stand_in.break_off("GET", 2 * MIB)
    with progress_to(change), pytest.raises(InputError, match="was changed while it was fetched"):
        annas.files.download("map.tif", target, MOST)


def test_no_more_is_fetched_than_allowed(annas, dav, target):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"1" * 3 * MIB)
    with pytest.raises(InputError, match=r"map\.tif has 3 MiB, no more than 2 are fetched"):
        annas.files.download("map.tif", target, 2 * MIB)
    assert "GET" not in dav.stand_in.methods()


def test_a_listener_ends_a_download(annas, dav, target):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"1" * 3 * MIB)

    def stop(fraction, sentence):
        raise Stopped(sentence)

    with progress_to(stop), pytest.raises(Stopped, match=r"fetching map\.tif, \d+ %"):
        annas.files.download("map.tif", target, MOST)


def test_an_interrupted_upload_sends_only_the_chunks_that_are_missing(
    annas, dav, local, monkeypatch
):
    monkeypatch.setattr(annas.files, "_chunk", MIB)
    content = os.urandom(4 * MIB)
    source = local(content)
    dav.stand_in.answer("PUT", 502, times=1, part="/00003")
    with pytest.raises(NextcloudError, match="failed with status 502"):
        annas.files.upload(source, "map.tif")
    assert not (dav.stand_in.files("anna") / "map.tif").exists()
    dav.stand_in.seen.clear()
    dav.stand_in.break_off("PUT", 1000, times=2, part="/00003")
    annas.files.upload(source, "map.tif")
    sent = [s.path[-5:] for s in dav.stand_in.seen if s.method == "PUT"]
    assert sent == ["00003", "00003", "00003", "00004"]
    assert (dav.stand_in.files("anna") / "map.tif").read_bytes() == content


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_source_that_changes_is_not_uploaded(annas, dav, local, size, monkeypatch):
    monkeypatch.setattr(annas.files, "_chunk", MIB)
    source = local(b"1" * size)
    dav.stand_in.on("PUT", lambda: os.utime(source.name, (0, 0)))
    with pytest.raises(InputError, match="was changed while it was uploaded"):
        annas.files.upload(source, "map.tif")
    left = [p for p in dav.stand_in.root.rglob("*") if p.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (401, NotSignedIn, "sign-in at Nextcloud is over"),
        (403, NotAllowed, "does not allow you"),
        (423, NextcloudError, "is locked"),
        (500, NextcloudError, "failed with status 500"),
        (503, Maintenance, "is under maintenance, try again later"),
        (507, QuotaFull, "has no room left for map.tif"),
        (301, NextcloudError, "an administrator must correct its address"),
    ],
)
def test_every_refusal_has_its_sentence_and_nothing_is_lost(
    annas, dav, local, status, error, sentence
):
    dav.stand_in.answer("PUT", status)
    with pytest.raises(error, match=sentence):
        annas.files.upload(local(), "map.tif")
    dav.stand_in.answer("PROPFIND", status)
    with pytest.raises(error):
        annas.files.stat("map.tif")
    assert list(dav.stand_in.files("anna").iterdir()) == []


def test_a_full_quota_leaves_the_old_file(annas, dav, local, monkeypatch):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"old")
    dav.stand_in.quota = 2 * MIB
    monkeypatch.setattr(annas.files, "_chunk", MIB)
    for size in (MIB * 3, MIB - 1):
        dav.stand_in.quota = min(size, dav.stand_in.quota)
        with pytest.raises(QuotaFull, match=r"no room left for map\.tif, make some and try again"):
            annas.files.upload(local(b"1" * size), "map.tif", replace=True)
    assert (dav.stand_in.files("anna") / "map.tif").read_bytes() == b"old"


def test_an_overwriting_upload_that_breaks_off_leaves_the_old_file(annas, dav, local):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"old")
    dav.stand_in.break_off("PUT", 3, times=99)
    with pytest.raises(Unavailable):
        annas.files.upload(local(b"a newer map"), "map.tif", replace=True)
    assert (dav.stand_in.files("anna") / "map.tif").read_bytes() == b"old"


def test_maintenance_is_said_everywhere(annas, dav, local):
    dav.stand_in.maintenance = True
    for ask in (
        annas.shares.received,
        lambda: annas.files.stat("map.tif"),
        lambda: annas.files.upload(local(), "map.tif"),
    ):
        with pytest.raises(Maintenance):
            ask()


def test_a_pause_that_is_asked_for_is_made_if_it_is_short(dav, local):
    paused = []
    dav.stand_in.answer("PUT", 429, times=2, Retry_After="20")
    with dav.of("anna", Timeouts(pause=paused.append)) as annas:
        annas.files.upload(local(b"a map"), "map.tif")
        assert paused == [20, 20]
        assert (dav.stand_in.files("anna") / "map.tif").read_bytes() == b"a map"
        dav.stand_in.answer("PROPFIND", 429, Retry_After="600")
        with pytest.raises(Throttled, match="try again in 600 seconds"):
            annas.files.stat("map.tif")
        dav.stand_in.answer("PROPFIND", 429, times=9, Retry_After="25")
        with pytest.raises(Throttled, match="try again in 25 seconds"):
            annas.files.stat("map.tif")
        assert paused[2:] == [25, 25]


def test_throttling_that_names_no_pause_is_told_at_once(dav):
    dav.stand_in.answer("PROPFIND", 429)
    with dav.of("anna", PAUSELESS) as annas, pytest.raises(Throttled, match="try again later"):
        annas.files.stat("map.tif")
    assert dav.stand_in.methods().count("PROPFIND") == 1


def test_a_token_that_is_replaced_meanwhile_is_asked_for_again(dav, local):
    tokens = [dav.stand_in.token("anna"), "expired", dav.stand_in.token("anna")]
    left = iter(tokens)
    last = tokens[-1]
    with Nextcloud(lambda: Access(dav.url, "anna", next(left, last)), Timeouts()) as annas:
        annas.files.stat("")
    statuses = [seen.headers["Authorization"] for seen in dav.stand_in.seen]
    assert statuses == [f"Bearer {token}" for token in tokens[1:]]


def test_an_expired_token_is_said_and_not_tried_twice(dav):
    with Nextcloud(lambda: Access(dav.url, "anna", "expired"), Timeouts()) as annas:
        for ask in (annas.shares.received, lambda: annas.files.stat("a")):
            dav.stand_in.seen.clear()
            with pytest.raises(NotSignedIn, match="sign out of the geoportal and in again"):
                ask()
            assert len(dav.stand_in.seen) == 1


@pytest.mark.parametrize("after", [0, MIB // 2])
def test_a_server_that_falls_silent_is_left(dav, target, after):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"1" * 3 * MIB)
    dav.stand_in.stall("GET", after, times=99)
    with dav.of("anna", IMPATIENT) as annas:
        with pytest.raises(Unavailable, match="does not answer or broke off"):
            annas.files.download("map.tif", target, MOST)
        dav.stand_in.stall("PROPFIND")
        with pytest.raises(Unavailable):
            annas.files.stat("map.tif")


def test_an_answer_that_creeps_is_left(dav, target):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"1" * 500)
    dav.stand_in.creep("GET", times=99)
    with dav.of("anna", IMPATIENT) as annas:
        with pytest.raises(Unavailable, match="sends next to nothing"):
            annas.files.download("map.tif", target, MOST)
        assert dav.stand_in.methods("map.tif").count("GET") == files.ATTEMPTS
        dav.stand_in.creep("PROPFIND")
        with pytest.raises(Unavailable, match="sends next to nothing"):
            annas.files.stat("map.tif")


def test_an_answer_that_is_no_file_has_to_be_there_in_time(dav):
    with dav.of("anna", Timeouts(answer=0.1, rate=0)) as annas:
        for method, ask in (
            ("PROPFIND", lambda: annas.files.stat("")),
            ("GET", annas.shares.received),
        ):
            dav.stand_in.creep(method)
            with pytest.raises(Unavailable, match="takes too long to answer"):
                ask()


def test_a_listener_is_heard_while_a_file_creeps(dav, target):
    (dav.stand_in.files("anna") / "map.tif").write_bytes(b"1" * 500)
    dav.stand_in.creep("GET")

    def stop(fraction, sentence):
        raise Stopped(sentence)

    with (
        dav.of("anna", Timeouts(rate=0)) as annas,
        progress_to(stop),
        pytest.raises(Stopped, match=r"fetching map\.tif, \d %"),
    ):
        annas.files.download("map.tif", target, MOST)


def test_a_server_that_is_not_there_is_said(dav):
    with dav.stand_in.serving():
        nowhere = dav.stand_in.url
    with (
        Nextcloud(lambda: Access(nowhere, "anna", "x"), IMPATIENT) as annas,
        pytest.raises(Unavailable),
    ):
        annas.files.stat("a")


def test_no_other_server_gets_the_token(annas, dav, tmp_path):
    other = type(dav.stand_in)(tmp_path / "other")
    with other.serving():
        for status in (301, 302, 307, 308):
            dav.stand_in.answer("GET", status, Location=f"{other.url}/x")
            dav.stand_in.answer("PROPFIND", status, Location=f"{other.url}/x")
            with pytest.raises(NextcloudError):
                annas.files.stat("a")
            with pytest.raises(NextcloudError):
                annas.shares.received()
    assert other.seen == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"ocs": 3}', b'{"ocs": {"meta": {}, "data": 5}}', b"\xff\xfe",
     b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response/></d:multistatus>',
     b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
     b'<!DOCTYPE a [<!ENTITY b "9">]>' + listing_of("a", size="&b;"),
     listing_of("a", size="-9"), listing_of("a", size="many"), listing_of("a", modified="soon"),
     listing_of("a", modified=f"Sun, 01 Jan {10**20} 00:00:00 GMT"), b"[" * 100_000,
     listing_of("a").replace(b"<d:prop>", b"<d:prop>" + b"<a>" * 40 + b"</a>" * 40)],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_said(annas, dav, body):
    for method, ask in (
        ("PROPFIND", lambda: annas.files.stat("a")),
        ("GET", annas.shares.received),
        ("POST", lambda: annas.shares.with_user("a", "boris")),
    ):
        dav.stand_in.answer(method, 200, body=body)
        with pytest.raises(NextcloudError, match="makes no sense"):
            ask()


def test_an_answer_that_never_ends_is_left(annas, dav, monkeypatch):
    monkeypatch.setattr("landcover.storage.nextcloud.connection._LARGEST_ANSWER", MIB)
    dav.stand_in.answer("PROPFIND", 207, body=listing_of("a", more="<a/>" * (MIB // 2)))
    with pytest.raises(NextcloudError, match="is longer than 1 MiB"):
        annas.files.stat("a")


def test_a_listing_names_no_other_folder(annas, dav):
    (dav.stand_in.files("anna") / "a").mkdir()
    for name in ("a/..", "a/%2e%2e", "a/x%00y"):
        dav.stand_in.answer("PROPFIND", 207, body=listing_of("a", name))
        with pytest.raises(LandcoverError):
            annas.files.inside("a", 9)


def test_a_listing_is_never_a_tree_in_memory(annas, dav):
    dav.stand_in.answer("PROPFIND", 207, body=listing_of("a", "a/b", more="<a/>" * (MIB // 2)))
    tracemalloc.start()
    assert [entry.name for entry in annas.files.inside("a", 1)] == ["b"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * MIB  # five times the answer; a tree of it has fifty


def test_a_tag_that_does_not_end_is_left(annas, dav):
    tag = b"<a " + b" ".join(b"a%d=''" % number for number in range(MIB // 4)) + b"/>"
    dav.stand_in.answer("PROPFIND", 207, body=listing_of("a").replace(b"</d:prop>", tag))
    tracemalloc.start()
    with pytest.raises(NextcloudError, match="makes no sense"):
        annas.files.stat("a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MIB


def test_a_folder_may_hold_so_much_and_no_more(annas, dav):
    names = [f"a/{number}" for number in range(3)]
    dav.stand_in.answer("PROPFIND", 207, times=2, body=listing_of("a", *names))
    assert len(annas.files.inside("a", 3)) == 3
    with pytest.raises(InputError, match="a holds more than 2 files and folders, needs fewer"):
        annas.files.inside("a", 2)


def test_a_large_file_never_lies_in_memory(annas, dav, local, target):
    size = 64 * MIB
    source = local(b"")
    os.truncate(source.name, size)
    source.seek(0)
    for move in (
        lambda: annas.files.upload(source, "map.tif"),
        lambda: annas.files.download("map.tif", target, MOST),
    ):
        tracemalloc.start()
        move()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 12 * MIB  # 10 of them the stand-in's
    assert target.tell() == size


def test_addresses_with_a_path_do_not_change_those_of_others(dav, local):
    """nextcloud-api-wrapper keeps the path of the last address for all clients."""
    with Nextcloud(lambda: Access(f"{dav.url}/annas", "anna", "x"), Timeouts()) as other:
        with pytest.raises(LandcoverError):
            other.files.stat("a")
        assert dav.stand_in.seen[-1].path == "/annas/remote.php/dav/files/anna/a"
        with dav.of("anna") as annas:
            annas.files.upload(local(), "map.tif")
    assert (dav.stand_in.files("anna") / "map.tif").exists()
