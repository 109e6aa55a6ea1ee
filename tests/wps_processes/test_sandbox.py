"""What the process of a job can reach, tried from inside such a process."""

import json
import os
import socket
import subprocess
import sys

import pytest
from landlockpy import abi_version

from wps_processes.sandbox import is_supported

pytestmark = pytest.mark.skipif(not is_supported(), reason="this kernel has no Landlock")

SCOPED = 6
"""The version of Landlock that knows abstract sockets and signals."""

# an operation that a crafted file has turned into something else
TURNED = """
import errno, json, os, socket, subprocess, sys
from pathlib import Path
from wps_processes import job

class Turned:
    inputs = outputs = ()

    def __call__(self, inputs, workdir):
        (workdir / "made").write_text("x")
        deeds = json.loads(sys.argv[2])
        print(json.dumps([tried(deed, workdir) for deed in deeds]))
        return {}

def tried(deed, workdir):
    kind, target = deed
    try:
        if kind == "read":
            return "done" if Path(target).read_bytes() else "refused"
        elif kind == "list":
            os.listdir(target)
        elif kind == "write":
            Path(target).write_text("x")
        elif kind == "link":
            os.link(target, workdir / "linked")
        elif kind == "connect":
            socket.create_connection(("127.0.0.1", target), 5).close()
        elif kind == "call":
            socket.socket(socket.AF_UNIX).connect("\\0" + target)
        elif kind == "kill":
            os.kill(target, 0)
        elif kind == "start":
            subprocess.run([target], check=True)
    except OSError as error:
        refusals = (errno.EACCES, errno.EPERM, errno.EXDEV)  # EXDEV: of links and renames
        return "refused" if error.errno in refusals else str(error)
    return "done"

job.by_identifier = lambda name: Turned()
sys.exit(job.main(socket.socket(fileno=int(sys.argv[1]))))
"""


@pytest.fixture
def tried(tmp_path):
    """A function that tries deeds in the process of a job of anna's, who is in the team x."""
    root = tmp_path / "state" / "storage"
    for name in ("users/anna", "users/boris", "team/x", "team/y", "shared"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("x")
    (tmp_path / "state" / "jobs.sqlite").write_text("x")

    def try_(*deeds):
        ours, theirs = socket.socketpair()
        deeds = [(kind, str(target) if isinstance(target, os.PathLike) else target)
                 for kind, target in deeds]  # fmt: skip
        orders = {"id": "1", "operation": "x", "inputs": {}, "fetched": {}, "root": str(root),
                  "folder": "anna", "groups": ["x", "..", "../users"],
                  "administrator": False}  # fmt: skip
        ours.sendall(json.dumps(orders).encode() + b"\n")
        with ours, theirs:
            done = subprocess.run(
                [sys.executable, "-c", TURNED, str(theirs.fileno()), json.dumps(deeds)],
                capture_output=True, pass_fds=[theirs.fileno()], text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return root, try_


def test_a_job_reads_what_its_user_may_read_and_nothing_else(tried):
    root, try_ = tried
    allowed = [("read", root / name / "file") for name in ("users/anna", "team/x", "shared")]
    assert try_(*allowed) == ["done"] * 3
    refused = [("read", root / name / "file") for name in ("users/boris", "team/y")]
    refused += [("read", root.parent / "jobs.sqlite"), ("list", root / "users"), ("list", root)]
    refused += [("link", root / "users/boris/file")]
    assert try_(*refused) == ["refused"] * len(refused)


def test_a_job_writes_nowhere_but_to_its_folder(tried):
    root, try_ = tried
    assert (root / "users/anna/jobs/1/made").exists() is False
    names = ("users/anna/new", "users/anna/file", "shared/new", "team/x/new")
    assert try_(*(("write", root / name) for name in names)) == ["refused"] * len(names)
    assert (root / "users/anna/jobs/1/made").exists()
    assert sorted(p.name for p in (root / "users/anna/jobs/1").iterdir()) == ["made"]


def test_a_job_reaches_no_service_and_no_other_process(tried):
    _, try_ = tried
    other = subprocess.Popen(["sleep", "600"], env={"SECRET": "x"})
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            deeds = [
                ("connect", server.getsockname()[1]),
                ("read", f"/proc/{other.pid}/environ"),
                ("start", "/bin/true"),
            ]
            assert try_(*deeds) == ["refused"] * len(deeds)
    finally:
        other.kill()
        other.wait()


@pytest.mark.skipif(abi_version() < SCOPED, reason="this kernel is older than Linux 6.12")
def test_a_job_signals_no_other_process_and_calls_none_by_an_abstract_socket(tried):
    _, try_ = tried
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("")  # the kernel chooses a name
        server.listen()
        deeds = [("call", server.getsockname()[1:].decode()), ("kill", os.getpid())]
        assert try_(*deeds) == ["refused"] * 2
