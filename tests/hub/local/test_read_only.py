"""A program that may not write below a folder, though it is of the user who owns it."""

import json
import shlex
import socket
import subprocess
import sys

import pytest

from hub.local import read_only
from hub.local.embedded import EmbeddedSpawner

needs_landlock = pytest.mark.skipif(
    not read_only.is_kept(), reason="needs Landlock with renames (Linux 5.19)"
)
# what a program may try there and elsewhere; each gets two folders, and none needs the other
DEEDS = {
    "make a file": "open(f'{there}/new', 'w')",
    "write into a file": "open(f'{there}/file', 'r+')",
    "add to a file": "open(f'{there}/file', 'a')",
    "cut a file short": "os.truncate(f'{there}/file', 0)",
    "make a folder": "os.mkdir(f'{there}/folder')",
    "make a link": "os.symlink('file', f'{there}/link')",
    "make a pipe": "os.mkfifo(f'{there}/pipe')",
    "listen": "socket.socket(socket.AF_UNIX).bind(f'{there}/socket')",
    "put a file in": "os.rename(f'{beside}/mine', f'{there}/mine')",
    "link a file": "os.link(f'{there}/file', f'{beside}/other name')",
    "take a file out": "os.rename(f'{there}/inner/file', f'{beside}/taken')",
    "remove a file": "os.unlink(f'{there}/inner/second')",
    "remove a folder": "os.rmdir(f'{there}/empty')",
    "rename the folder": "os.rename(there, f'{there}-elsewhere')",
}
TRY = """
import json, os, socket, sys
there, beside = sys.argv[1:]
refused = []
for name, deed in json.loads(sys.stdin.read()).items():
    try:
        exec(deed)
    except OSError:
        refused.append(name)
print(json.dumps(refused))
"""


@pytest.fixture
def kept(tmp_path):
    """A function that runs a program which may not write to `shared`."""

    def run(*command, **how):
        guard = read_only.command(tmp_path / "storage/shared")
        return subprocess.run(
            [*guard, shlex.join([*command])], capture_output=True, text=True, check=False, **how
        )

    for name in ("shared/inner", "shared/empty", "team/inner", "team/empty", "users"):
        (tmp_path / "storage" / name).mkdir(parents=True)
    for folder in ("shared", "team"):
        for name in ("file", "inner/file", "inner/second"):
            (tmp_path / "storage" / folder / name).write_text("as it was")
    (tmp_path / "storage/users/mine").write_text("mine")
    return run


def refused(kept, there, beside):
    asked = kept(sys.executable, "-c", TRY, str(there), str(beside), input=json.dumps(DEEDS))
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


@needs_landlock
def test_nothing_in_the_folder_can_be_changed(kept, tmp_path):
    storage = tmp_path / "storage"
    assert refused(kept, storage / "shared", storage / "users") == list(DEEDS)
    assert (storage / "shared/file").read_text() == "as it was"


@needs_landlock
def test_nor_by_a_link_that_leads_there_from_beside(kept, tmp_path):
    storage = tmp_path / "storage"
    link = storage / "way"
    link.symlink_to("shared")
    beside = [name for name in refused(kept, link, storage / "users") if name in DEEDS]
    assert set(DEEDS) - set(beside) <= {"rename the folder"}  # that is the link itself


@needs_landlock
def test_beside_it_all_is_as_before_but_for_the_folders_that_lead_there(kept, tmp_path):
    storage = tmp_path / "storage"
    assert refused(kept, storage / "team", storage / "users") == ["rename the folder"]
    assert kept("touch", str(storage / "new")).returncode != 0


@needs_landlock
def test_reading_programs_and_the_network_are_as_before(kept, tmp_path):
    assert kept("cat", str(tmp_path / "storage/shared/file")).stdout == "as it was"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        assert kept(sys.executable, "-c", connect).returncode == 0
    users = tmp_path / "storage/users"
    commit = "git -c user.name=a -c user.email=a@b.c commit -qm x --allow-empty"
    assert kept("sh", "-c", f"cd {users} && git init -q r && cd r && {commit}").returncode == 0


@pytest.mark.parametrize(
    ("version", "is_kept", "says"),
    [
        (0, False, "can be written by users' servers"),
        (1, False, "can be written by users' servers"),
        (2, True, "can be cut short"),
        (3, True, "by Landlock."),
    ],
)
def test_what_the_kernel_keeps_is_told(monkeypatch, version, is_kept, says):
    monkeypatch.setattr(read_only, "_version", lambda: version)
    assert read_only.is_kept() == is_kept
    assert says in read_only.what_is_kept()
    assert bool(read_only.command("/shared")) == is_kept


def test_temporary_files_go_elsewhere_if_the_storage_is_among_them(monkeypatch, tmp_path):
    spawner = EmbeddedSpawner(storage=str(tmp_path / "a/b"), scratch=str(tmp_path / "scratch"))
    spawner.user = type("User", (), {"name": "anna"})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert spawner.user_env({})["TMPDIR"] == str(tmp_path / "scratch/anna/temporary")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "other"))
    assert "TMPDIR" not in spawner.user_env({})
