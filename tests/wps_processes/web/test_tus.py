"""Uploads as a program sees them, spoken by hand and by another's client."""

import os
from base64 import b64encode

import numpy as np
import pytest

from tests.scenes import write_raster
from tests.wps_processes.web.test_pages import Browser

CHUNK = "application/offset+octet-stream"


class Sender:
    """Speaks tus by hand, with a token."""

    def __init__(self, wps, user="anna"):
        self.wps, self.user = wps, user
        self.home = wps.root / "users" / user

    def ask(self, method, path="uploads", data=b"", **headers):
        sent = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        known = {"Authorization": f"token {self.user}", "Tus-Resumable": "1.0.0"}
        address = path if path.startswith("/") else f"/services/wps/{path}"
        return self.wps.client.open(
            address, method=method, data=data, headers=known | sent, buffered=True
        )

    def announce(self, name, length, **more):
        told = f"filename {b64encode(name.encode(errors='surrogateescape')).decode()}"
        return self.ask("POST", Upload_Length=length, Upload_Metadata=told, **more)

    def add(self, path, offset, data, **more):
        return self.ask("PATCH", path, data, Upload_Offset=offset, Content_Type=CHUNK, **more)


@pytest.fixture
def anna(wps):
    return Sender(wps)


def test_a_file_arrives_in_parts_and_appears_when_it_is_whole(anna):
    begun = anna.announce("scene one.zip", 10)
    assert begun.status_code == 201
    assert begun.headers["Tus-Resumable"] == "1.0.0"
    path = begun.headers["Location"]
    added = anna.add(path, 0, b"01234")
    assert (added.status_code, added.headers["Upload-Offset"]) == (204, "5")
    assert [each.name for each in (anna.home / "uploads").iterdir()] == [".unfinished"]
    asked = anna.ask("HEAD", path)
    assert (asked.headers["Upload-Offset"], asked.headers["Upload-Length"]) == ("5", "10")
    assert "no-store" in asked.headers["Cache-Control"]
    assert asked.headers["Upload-Expires"].endswith("GMT")
    assert anna.add(path, 5, b"56789").headers["Upload-Offset"] == "10"
    assert (anna.home / "uploads/scene one.zip").read_bytes() == b"0123456789"
    # the answer to the last part may have been lost
    assert anna.ask("HEAD", path).headers["Upload-Offset"] == "10"
    assert anna.ask("GET", path).get_json()["file"] == "home/uploads/scene one.zip"
    assert anna.add(path, 10, b"").status_code == 404


def test_what_import_scene_reads_is_told_apart(anna):
    picture = write_raster(anna.home / "a.tif", np.ones((1, 8, 8), np.uint8))
    for name, content, importable in (
        ("b.tif", picture.read_bytes(), True),
        ("c.zip", b"PK\x03\x04" + bytes(600), True),
        ("d.txt", b"hello", False),
    ):
        path = anna.announce(name, len(content)).headers["Location"]
        anna.add(path, 0, content)
        assert anna.ask("GET", path).get_json()["importable"] is importable


def test_a_part_that_does_not_follow_changes_nothing(anna):
    path = anna.announce("a.zip", 6).headers["Location"]
    anna.add(path, 0, b"abc")
    conflict = anna.add(path, 1, b"xxx")
    assert conflict.status_code == 409
    assert "3 bytes have arrived" in conflict.get_json()["error"]
    assert anna.add(path, 3, b"defg").status_code == 400  # more than was announced
    assert anna.ask("PATCH", path, b"def", Upload_Offset=3).status_code == 415
    assert anna.add(path, 3, b"def").status_code == 204
    assert (anna.home / "uploads/a.zip").read_bytes() == b"abcdef"


def test_what_the_protocol_asks_of_a_server(anna):
    known = anna.ask("OPTIONS")
    assert known.status_code == 204
    assert known.headers["Tus-Version"] == "1.0.0"
    assert known.headers["Tus-Extension"] == "creation,expiration,termination"
    other = anna.ask("POST", Tus_Resumable="0.2.2", Upload_Length=3)
    assert (other.status_code, other.headers["Tus-Version"]) == (412, "1.0.0")
    assert anna.announce("a", int(known.headers["Tus-Max-Size"]) + 1).status_code == 413
    for length in ("", "-1", "1e3", "٣", "9" * 30):
        told = {"Upload_Metadata": "filename YQ=="} | ({"Upload_Length": length} if length else {})
        assert anna.ask("POST", **told).status_code == 400
    for metadata in ("", "filename", "filename %%", "filename /w==", "x YQ==", "f" * 9000):
        assert anna.ask("POST", Upload_Length=3, Upload_Metadata=metadata).status_code == 400
    path = anna.announce("a", 3).headers["Location"]
    by_post = anna.ask(
        "POST", path, b"abc", X_HTTP_Method_Override="PATCH", Upload_Offset=0, Content_Type=CHUNK
    )
    assert (by_post.status_code, by_post.headers["Upload-Offset"]) == (204, "3")
    assert anna.ask("POST", path).status_code == 405
    assert not any(name.startswith("Access-Control") for name, _ in known.headers)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../x", "/etc/passwd", "a//b", ".bashrc", "a/.git/config", " a",
        "a ", "a\\b", "a\0b", "a\nb", "a\u202eb", "x" * 256, "y/" * 9 + "z", "я" * 130,
    ],
)  # fmt: skip
def test_a_hostile_name_is_refused(anna, name):
    before = sorted(anna.home.rglob("*"))
    answer = anna.announce(name, 3)
    assert answer.status_code == 400, answer.text
    assert answer.get_json()["error"]
    assert sorted(anna.home.rglob("*")) == before


def test_nothing_is_replaced(anna):
    (anna.home / "uploads").mkdir()
    (anna.home / "uploads/a.zip").write_bytes(b"old")
    other = anna.announce("a.zip", 4)
    assert (other.status_code, "another size" in other.text) == (409, True)
    same = anna.announce("a.zip", 3)
    assert same.status_code == 409
    assert same.get_json()["file"] == "home/uploads/a.zip"
    below = anna.announce("a.zip/b", 3)
    assert (below.status_code, "is in the way" in below.text) == (409, True)
    path = anna.announce("b.zip", 3).headers["Location"]
    (anna.home / "uploads/b.zip").write_bytes(b"meanwhile")
    anna.add(path, 0, b"new")
    assert (anna.home / "uploads/b.zip").read_bytes() == b"meanwhile"
    assert (anna.home / "uploads/b (2).zip").read_bytes() == b"new"
    assert anna.ask("GET", path).get_json()["file"] == "home/uploads/b (2).zip"


def test_a_folder_keeps_its_names(anna):
    for name, content in (("S.SAFE/a.xml", b"<a/>"), ("S.SAFE/G/b.jp2", b"bb"), ("S.SAFE/e", b"")):
        path = anna.announce(name, len(content)).headers["Location"]
        anna.add(path, 0, content)
    safe = anna.home / "uploads/S.SAFE"
    assert (safe / "a.xml").read_bytes() == b"<a/>"
    assert (safe / "G/b.jp2").read_bytes() == b"bb"
    assert (safe / "e").read_bytes() == b""


def test_an_upload_is_its_owners_alone(wps, anna):
    path = anna.announce("a.zip", 3).headers["Location"]
    boris = Sender(wps, "boris")
    boris.announce("b.zip", 3)
    assert boris.ask("HEAD", path).status_code == 404
    assert boris.add(path, 0, b"abc").status_code == 404
    assert boris.ask("DELETE", path).status_code == 404
    assert anna.ask("DELETE", path).status_code == 204
    assert anna.ask("HEAD", path).status_code == 404
    assert list((anna.home / "uploads/.unfinished").iterdir()) == []
    for strange in ("uploads/..", "uploads/" + "0" * 31, "uploads/" + "g" * 32):
        assert anna.ask("HEAD", strange).status_code == 404


def test_a_link_in_the_way_leads_nowhere(wps, anna):
    outside = wps.root / "users/boris"
    (anna.home / "uploads").symlink_to(outside)
    assert anna.announce("a.zip", 3).status_code == 400
    (anna.home / "uploads").unlink()
    path = anna.announce("x/a.zip", 3).headers["Location"]
    (anna.home / "uploads/x").rmdir()
    (anna.home / "uploads/x").symlink_to(outside)
    assert anna.add(path, 0, b"abc").status_code == 409
    (part,) = (anna.home / "uploads/.unfinished").glob("*.part")
    assert part.read_bytes() == b"abc"  # nothing is lost
    (anna.home / "uploads/x").unlink()
    assert anna.ask("GET", path).get_json()["file"] == "home/uploads/x/a.zip"
    path = anna.announce("b.zip", 3).headers["Location"]
    (part,) = (anna.home / "uploads/.unfinished").glob("*.part")
    part.unlink()
    os.mkfifo(part)
    assert anna.add(path, 0, b"abc").status_code == 404
    part.unlink()
    (outside / "precious").write_bytes(b"")
    part.symlink_to(outside / "precious")
    assert anna.add(path, 0, b"abc").status_code == 404
    assert (outside / "precious").read_bytes() == b""
    assert sorted(each.name for each in outside.iterdir()) == ["precious"]


def test_what_was_announced_is_checked_again(anna):
    path = anna.announce("a.zip", 3).headers["Location"]
    (record,) = (anna.home / "uploads/.unfinished").glob("*.json")
    record.write_text(record.read_text().replace("a.zip", "../../boris/a.zip"))
    assert anna.add(path, 0, b"abc").status_code == 400
    record.write_text("{" * 100_000)
    assert anna.add(path, 0, b"abc").status_code == 404


def test_a_full_quota_is_told_before_and_during(start):
    wps = start(home_quota=1 << 20)
    anna = Sender(wps)
    refused = anna.announce("big.zip", 2 << 20)
    assert refused.status_code == 400
    assert "2.0 MiB more do not fit" in refused.get_json()["error"]
    first = anna.announce("a.zip", 700_000).headers["Location"]
    assert anna.announce("b.zip", 700_000).status_code == 400  # what is on its way counts
    assert anna.add(first, 0, b"a" * 100_000).status_code == 204
    (anna.home / "other").write_bytes(b"x" * 900_000)
    wps.client.application.jobs.quota._known.clear()  # a minute later
    during = anna.add(first, 100_000, b"a" * 600_000)
    assert (during.status_code, "do not fit" in during.text) == (400, True)
    (anna.home / "other").unlink()
    wps.client.application.jobs.quota._known.clear()
    assert anna.ask("HEAD", first).headers["Upload-Offset"] == "100000"
    assert anna.add(first, 100_000, b"a" * 600_000).headers["Upload-Offset"] == "700000"


def test_what_nobody_goes_on_with_is_removed(wps, anna):
    old, new = (anna.announce(name, 3).headers["Location"] for name in ("a.zip", "b.zip"))
    whole = anna.announce("c.zip", 1).headers["Location"]
    anna.add(whole, 0, b"c")
    folder = anna.home / "uploads/.unfinished"
    os.utime(folder / f"{old[-32:]}.part", (0, 0))
    os.utime(folder / f"{whole[-32:]}.json", (0, 0))
    (folder / "mine").write_text("not of the service")
    wps.client.application.uploads.purge()
    assert anna.ask("HEAD", old).status_code == 404
    assert anna.ask("HEAD", new).status_code == 200
    assert sorted(each.suffix for each in folder.iterdir()) == ["", ".json", ".part"]
    assert (anna.home / "uploads/c.zip").read_bytes() == b"c"


def test_only_pages_of_a_session_upload_for_it(wps, anna):
    browser = Browser(wps, "anna").open("upload")
    (shown,) = browser.page.xpath("//*[@id='uploads']/@data-token")
    told = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Metadata": "filename YQ=="}
    for token, status in (("", 403), ("guessed", 403), (shown, 201)):
        answer = browser.client.post(
            "/services/wps/uploads", headers=told | {"X-Form-Token": token}
        )
        assert answer.status_code == status
    part = {"Upload-Offset": "0", "Content-Type": CHUNK, "Tus-Resumable": "1.0.0"}
    path = answer.headers["Location"]
    assert browser.client.patch(path, data=b"abc", headers=part).status_code == 403
    assert browser.client.delete(path, headers=part).status_code == 403
    assert browser.client.get(path, headers=part).get_json()["offset"] == 0


def test_the_page_shows_what_is_not_whole(wps, anna):
    path = anna.announce("<b>я.zip", 4 << 20).headers["Location"]
    anna.add(path, 0, bytes(1 << 20))
    browser = Browser(wps, "anna").open("upload")
    assert "1.0 MiB of 4.0 MiB" in browser.text
    (row,) = browser.page.xpath("//li[@class='unfinished']")
    assert (row.get("data-id"), row.get("data-name")) == (path[-32:], "<b>я.zip")
    assert "connect-src 'self'" in browser.answer.headers["Content-Security-Policy"]
    assert "<b>я.zip" not in Browser(wps, "boris").open("upload").text


def test_too_many_unfinished_ones_are_refused(anna, monkeypatch):
    monkeypatch.setattr("wps_processes.uploads.MOST_UNFINISHED", 2)
    assert [anna.announce(name, 3).status_code for name in "abc"] == [201, 201, 400]
