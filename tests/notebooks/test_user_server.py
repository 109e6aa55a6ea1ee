"""What the geoportal adds to a user's Jupyter server: what runs in it, how full its home is."""

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from importlib.metadata import files
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from user_server.extension import _below, _jupyter_server_extension_points, _path
from user_server.room import Home
from user_server.work import Shell, Work, work_of

MIB = 1 << 20
NO_HUB: dict[str, str] = {}


def test_jupyter_and_jupyterlab_find_the_extensions_where_the_package_is_installed():
    (point,) = _jupyter_server_extension_points()
    configured = Path(sys.prefix) / "etc/jupyter/jupyter_server_config.d/user_server.json"
    enabled = json.loads(configured.read_text())["ServerApp"]["jpserver_extensions"]
    assert enabled == {point["module"]: True}
    lab = Path(sys.prefix) / "share/jupyter/labextensions/geoportal-room"
    told = json.loads((lab / "package.json").read_text())["jupyterlab"]["_build"]
    assert (lab / told["load"]).is_file()
    assert any(file.name == "user_server.json" for file in files("landcover-geoportal"))


# -- what runs


@pytest.fixture
def shell():
    """A shell that reads commands, and says when each has begun."""
    with subprocess.Popen(
        ["/bin/bash", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        yield process
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()


def type_in(shell: "subprocess.Popen[str]", command: str) -> str:
    """Let the shell run a command; return the first line that is said."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\n")
    return shell.stdout.readline().strip()


def terminals(shell: "subprocess.Popen[str]") -> int:
    return work_of([Shell(shell.pid, "/bin/bash")], NO_HUB).terminals


def test_shell_that_waits_for_a_command_is_not_at_work(shell):
    assert type_in(shell, "echo ready") == "ready"
    assert terminals(shell) == 0


def test_shell_with_a_child_in_the_background_is_at_work(shell):
    type_in(shell, "sleep 600 & echo begun")
    assert terminals(shell) == 1
    assert type_in(shell, "kill %1; wait %1 2>/dev/null; echo ended") == "ended"
    assert terminals(shell) == 0


def test_shell_that_gave_way_to_a_program_is_at_work(shell):
    type_in(shell, "exec sh -c 'echo begun; read line'")
    assert terminals(shell) == 1


def test_shell_that_ended_is_not_at_work(shell):
    shell.kill()
    assert terminals(shell) == 0  # a zombie
    shell.wait()
    assert terminals(shell) == 0


def test_process_that_came_loose_from_this_server_counts():
    own = {"JUPYTERHUB_SERVICE_PREFIX": f"/user/{uuid.uuid4()}/"}
    code = "sleep 600 > /dev/null 2>&1 & echo $!"
    done = subprocess.run(
        ["/bin/sh", "-c", code],
        env=os.environ | own,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    loose = psutil.Process(int(done.stdout))
    try:
        assert work_of([], own) == Work(terminals=0, loose=1)
        assert work_of([], own | {"GEOPORTAL_INSTANCE": "/another"}).loose == 0
        assert work_of([], NO_HUB).loose == 0
    finally:
        loose.kill()
    psutil.wait_procs([loose])
    assert work_of([], own).loose == 0


def test_child_of_this_server_is_not_loose():
    own = {"JUPYTERHUB_SERVICE_PREFIX": f"/user/{uuid.uuid4()}/"}
    with subprocess.Popen(["sleep", "600"], env=os.environ | own) as kernel:
        assert work_of([], own).loose == 0
        kernel.kill()


# -- how full the home is


@pytest.fixture
def home(tmp_path):
    (tmp_path / "scene.tif").touch()
    with (tmp_path / "scene.tif").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 8 * MIB)
    return tmp_path


@pytest.fixture
def disk(monkeypatch):
    """Let the disk of every home have so many bytes, and so many of them free."""

    def have(all_bytes: int, free: int) -> None:
        block = 4096
        told = SimpleNamespace(f_frsize=block, f_blocks=all_bytes // block,
                               f_bfree=free // block, f_bavail=free // block)  # fmt: skip
        monkeypatch.setattr(os, "statvfs", lambda path: told)

    have(1000 * MIB, 999 * MIB)
    return have


def test_with_room_left_no_place_is_named(home, disk):
    room = Home(home, quota=80 * MIB).room()
    assert (room.limit, room.share, room.biggest) == ("quota", 0.1, ())


def test_home_near_its_quota_names_what_takes_most(home, disk):
    room = Home(home, quota=8 * MIB).room()
    assert (room.limit, room.used, room.allowed) == ("quota", 8 * MIB, 8 * MIB)
    assert [place.name for place in room.biggest] == ["scene.tif"]


def test_full_disk_is_told_whatever_the_quota(home, disk):
    disk(1000 * MIB, 0)
    room = Home(home, quota=80 * MIB).room()
    assert (room.limit, room.share) == ("disk", 1.0)
    assert [place.name for place in room.biggest] == ["scene.tif"]


def test_what_is_shared_is_not_counted(home, disk):
    for name in ("shared", "team"):
        (home / name).mkdir()
        (home / name / "a.tif").write_bytes(bytes(4 * MIB))
    assert Home(home, quota=80 * MIB).room().used == 8 * MIB


def test_home_is_not_walked_through_at_every_call(home, disk):
    looked = Home(home, quota=8 * MIB)
    looked.room()
    (home / "scene.tif").unlink()
    assert looked.room().used == 8 * MIB
    assert Home(home, quota=8 * MIB).room().limit == "disk"


@pytest.mark.parametrize(
    ("said", "quota"), [("", None), ("0", None), ("much", None), ("1048576", MIB)]
)
def test_quota_comes_from_the_environment(said, quota):
    assert Home.from_environment({"GEOPORTAL_HOME_QUOTA": said}).quota == quota


def test_places_are_named_as_the_file_browser_shows_them(tmp_path):
    assert _below(tmp_path, tmp_path) == ""
    assert _below(tmp_path, tmp_path / "work" / "eve") == "work/eve/"
    assert _below(tmp_path / "elsewhere", tmp_path) is None
    assert _path("a/b.tif", "work/") == "work/a/b.tif"
    assert _path("a/.cache/b.tif", "") is None
    assert _path("a.tif", None) is None
