"""What is kept free for a full disk: with real file systems where these may be mounted."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from landcover import disk
from landcover.disk import (
    READ_ONLY,
    Reserve,
    Unwritable,
    explaining_unwritable,
    keep_pages,
    why_unwritable,
)
from landcover.errors import InputError
from landcover.io.files.atomic import written_beside

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
SCRIPT = """
import sqlite3, sys
from pathlib import Path
from landcover.disk import is_full_for_sqlite, keep_pages, room_on
folder = Path(sys.argv[1])
connection = sqlite3.connect(folder / "kept.sqlite", isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE names (name)")
if sys.argv[2] == "kept":
    keep_pages(connection)
with (folder / "rest").open("wb", buffering=0) as rest:
    for size in (4096, 1):
        try:
            while rest.write(bytes(size)):
                pass
        except OSError:
            pass
assert room_on(folder) == 0
try:
    for number in range(500):
        connection.execute("INSERT INTO names VALUES (?)", ["x" * 1000])
except sqlite3.OperationalError as error:
    assert is_full_for_sqlite(error)
print(connection.execute("SELECT count(*) FROM names").fetchone()[0])
"""


@pytest.mark.parametrize("kept", ["kept", "none"])
def test_a_database_with_pages_of_its_own_is_written_on_a_full_disk(tmp_path, kept):
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("nobody may mount in a namespace of their own here, so no disk can be filled")
    mounted = f'mount -t tmpfs -o size=20m tmpfs {tmp_path} && exec "$@"'
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), kept]
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", mounted, "bash", *command], stdout=subprocess.PIPE, check=True
    )
    assert int(done.stdout) == 500 if kept == "kept" else int(done.stdout) < 100


def test_pages_are_kept_again_and_nothing_else_changes(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.execute("CREATE TABLE names (name)")
        for _ in range(2):
            keep_pages(connection)
            assert connection.execute("PRAGMA freelist_count").fetchone()[0] >= 1536
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("names",)]
        assert connection.execute("PRAGMA page_count").fetchone()[0] < 2000


def test_a_reserve_gives_what_is_lacking_and_is_made_whole_again(tmp_path, monkeypatch):
    reserve, total = Reserve(tmp_path / "reserve", 8 << 20), 20 << 20
    monkeypatch.setattr(disk, "room_on", lambda folder: total - reserve.left)
    reserve.make_whole()
    assert (reserve.left, reserve.file.stat().st_mode & 0o777) == (8 << 20, 0o600)
    assert reserve.give(12 << 20) == 12 << 20
    assert reserve.left == 8 << 20  # so much was free
    total = 10 << 20
    assert reserve.give(5 << 20) == 5 << 20
    assert reserve.left == 5 << 20
    reserve.make_whole()
    assert reserve.left == 5 << 20  # not while the disk is nearly full
    total = 30 << 20
    reserve.make_whole()
    assert reserve.left == 8 << 20
    total = 4 << 20
    assert reserve.give(9 << 20) == 4 << 20
    assert reserve.left == 0


def test_a_full_disk_is_told_and_nothing_half_written_remains(tmp_path):
    def write_half():
        with written_beside(tmp_path / "a") as path:
            path.write_text("half")
            no_room = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise RuntimeError("Write error") from no_room

    with pytest.raises(Unwritable):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_another_kind_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "room_on", lambda folder: 1 << 30)
    with pytest.raises(RuntimeError, match="ours"), explaining_unwritable(tmp_path):
        raise RuntimeError("ours")
    monkeypatch.setattr(disk, "room_on", lambda folder: 0)
    with pytest.raises(InputError, match="theirs"), explaining_unwritable(tmp_path):
        raise InputError("theirs")
    # GDAL says that it could not write, and not why
    with pytest.raises(Unwritable), explaining_unwritable(tmp_path):
        raise RuntimeError("TIFFAppendToStrip: Write error at scanline 524")


def test_a_read_only_storage_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "is_read_only", lambda folder: True)
    assert why_unwritable(OSError(errno.EROFS, "Read-only file system"), tmp_path) == READ_ONLY


def test_a_folder_that_is_gone_is_neither_full_nor_read_only():
    assert why_unwritable(FileNotFoundError(), Path("/nowhere")) is None
