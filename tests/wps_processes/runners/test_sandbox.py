"""What the process of a job can reach, tried from inside such a process."""

import json
import os
import select
import socket
import subprocess
import sys
from uuid import uuid4

import pytest

from wps_processes.assembly import _say_what_confines
from wps_processes.runners import sandbox
from wps_processes.runners.forkserver import ForkServer
from wps_processes.runners.sandbox import Confinement, confinement_here

HERE = confinement_here()
needs_landlock = pytest.mark.skipif(not HERE.landlock, reason="this kernel has no Landlock")
needs_scopes = pytest.mark.skipif(HERE.landlock < 6, reason="this kernel is before Linux 6.12")
needs_namespaces = pytest.mark.skipif(not HERE.namespace, reason="no namespaces here")
needs_seccomp = pytest.mark.skipif(not HERE.seccomp, reason="no filter of system calls here")

NETWORKS = ("tcp", "fast open", "mptcp", "udp", "packet", "abstract")

# an operation that a crafted file has turned into something else
TURNED = """
import errno, json, os, resource, socket, subprocess, sys
from pathlib import Path
from landcover.operation import Completed, Needs
from wps_processes.runners import forkserver, sandbox, worker

class Turned:
    inputs = outputs = ()

    def needs(self, inputs):
        return Needs()

    def run(self, inputs, workdir, **told):
        (workdir / "made").write_text("x")
        print(json.dumps([tried(deed, workdir) for deed in inputs["deeds"]]))
        return Completed(None, {}, [])

def stream(port, *protocol):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, *protocol) as made:
        made.settimeout(5)
        made.connect(("127.0.0.1", port))

def send(port, type_, *flags):
    with socket.socket(socket.AF_INET, type_) as made:
        made.settimeout(5)
        made.sendto(b"x", *flags, ("127.0.0.1", port))

def unix(name):
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(name)

def by_a_pair(name):
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", name)

CALLS = {
    "tcp": stream,
    "fast open": lambda port: send(port, socket.SOCK_STREAM, socket.MSG_FASTOPEN),
    "mptcp": lambda port: stream(port, socket.IPPROTO_MPTCP),
    "udp": lambda port: send(port, socket.SOCK_DGRAM),
    "packet": lambda _: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "raw": lambda _: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close(),
    "netlink": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "vsock": lambda _: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close(),
    "abstract": lambda name: unix("\\0" + name),
    "unix": unix,
    "pair": by_a_pair,
}

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
        elif kind in CALLS:
            CALLS[kind](target)
        elif kind == "tell":
            return Path(target).read_text()
        elif kind == "fork":
            from multiprocessing import get_context
            with get_context("fork").Pool(2) as pool:
                assert pool.map(len, ["xx", "x"]) == [2, 1]
        elif kind == "session":
            child = os.fork()
            if not child:
                try:
                    os.setsid()
                except PermissionError:
                    os._exit(1)
                os._exit(0)
            return "refused" if os.waitpid(child, 0)[1] else "done"
        elif kind == "workers":
            from landcover.executors.workers import ForkedWorkers
            with ForkedWorkers(2, own_sessions=False) as workers:
                assert [*workers.map(len, ["xx", "x"])] == [2, 1]
        elif kind == "pool":
            from multiprocessing.pool import ThreadPool
            with ThreadPool(2) as pool:
                assert pool.map(len, ["xx", "x"]) == [2, 1]
        elif kind == "mode":
            os.chmod(target, 0)
        elif kind == "owner":
            os.chown(target, os.getuid(), os.getgid())
        elif kind == "times":
            os.utime(target)
        elif kind == "attribute":
            os.setxattr(target, "user.x", b"x")
        elif kind == "own file":
            with (workdir / "own").open("w") as own:
                os.fchmod(own.fileno(), 0o600)
                os.utime(own.fileno())
        elif kind == "limit":
            resource.prlimit(target, resource.RLIMIT_NOFILE)
        elif kind == "schedule":
            os.sched_setscheduler(target, os.SCHED_IDLE, os.sched_param(0))
        elif kind == "fill":
            with open(target, "wb", buffering=0) as file:
                for mib in range(1_000):
                    try:
                        file.write(bytes(1 << 20))
                    except OSError:
                        return f"full after {mib} MiB"
        elif kind == "memory file":
            os.close(os.memfd_create("x"))
        elif kind == "own limit":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        elif kind == "kill":
            os.kill(target, 0)
        elif kind == "start":
            subprocess.run([target], check=True)
    except OSError as error:
        refusals = (errno.EACCES, errno.EPERM, errno.EXDEV)  # EXDEV: of links and renames
        return "refused" if error.errno in refusals else str(error)
    return "done"

def by_identifier(name):
    for wall in name.split():  # as on a kernel without it
        setattr(sandbox, wall, lambda **_: False)
    return Turned()

worker.by_identifier = by_identifier
sys.exit(forkserver.main())
"""


@pytest.fixture(scope="module")
def forks():
    server = ForkServer(os.environ, (sys.executable, "-c", TURNED))
    yield server
    server.close()


@pytest.fixture
def tried(tmp_path, forks):
    """A function that tries deeds in the process of a job of anna's, who is in the team x."""
    root = tmp_path / "state" / "storage"
    for name in ("users/anna", "users/boris", "team/x", "team/y", "shared"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("x")
    (tmp_path / "state" / "jobs.sqlite").write_text("x")

    def try_(*deeds, without=""):
        deeds = [(kind, str(target) if isinstance(target, os.PathLike) else target)
                 for kind, target in deeds]  # fmt: skip
        orders = {"id": "1", "operation": without, "inputs": {"deeds": deeds}, "fetched": {},
                  "root": str(root), "folder": "anna", "groups": ["x", "..", "../users"],
                  "user": "anna", "administrator": False, "gpus": 0}  # fmt: skip
        with (tmp_path / "log").open("w+") as log:
            forked = forks.fork(log.fileno())
            forked.conversation.sendall(json.dumps(orders).encode() + b"\n")
            with forked.conversation.makefile() as words:
                words.read()
            assert forked.close() == 0
            log.seek(0)
            said = log.read()
        assert without or f"confined: {HERE}" in said
        (results,) = (line for line in said.splitlines() if line.startswith("["))
        return json.loads(results)

    return root, try_


@needs_landlock
def test_a_job_reads_what_its_user_may_read_and_nothing_else(tried):
    root, try_ = tried
    allowed = [("read", root / name / "file") for name in ("users/anna", "team/x", "shared")]
    assert try_(*allowed) == ["done"] * 3
    refused = [("read", root / name / "file") for name in ("users/boris", "team/y")]
    refused += [("read", root.parent / "jobs.sqlite"), ("list", root / "users"), ("list", root)]
    refused += [("link", root / "users/boris/file")]
    assert try_(*refused) == ["refused"] * len(refused)


@needs_landlock
def test_a_job_writes_nowhere_but_to_its_folder(tried):
    root, try_ = tried
    assert (root / "users/anna/jobs/1/made").exists() is False
    names = ("users/anna/new", "users/anna/file", "shared/new", "team/x/new")
    assert try_(*(("write", root / name) for name in names)) == ["refused"] * len(names)
    assert (root / "users/anna/jobs/1/made").exists()
    assert sorted(p.name for p in (root / "users/anna/jobs/1").iterdir()) == ["made"]


@needs_landlock
def test_a_job_reaches_no_other_process(tried):
    _, try_ = tried
    other = subprocess.Popen(["sleep", "600"], env={"SECRET": "x"})
    try:
        deeds = [("read", f"/proc/{other.pid}/environ"), ("list", "/proc"), ("start", "/bin/true")]
        assert try_(*deeds) == ["refused"] * len(deeds)
    finally:
        other.kill()
        other.wait()


@needs_landlock
def test_devices_and_the_machines_secrets_are_out_of_reach(tried):
    _, try_ = tried
    deeds = [("list", "/dev"), ("write", "/dev/tty"), ("list", "/etc"), ("read", "/etc/shadow"),
             ("read", "/etc/hostname"), ("read", "/proc/1/cmdline"), ("list", "/run")]  # fmt: skip
    assert try_(*deeds) == ["refused"] * len(deeds)
    assert try_(("write", "/dev/null"), ("read", "/proc/self/status")) == ["done"] * 2


def test_a_job_has_no_privileges_whoever_runs_the_service(tried):
    _, try_ = tried
    (status,) = try_(("tell", "/proc/self/status"))
    held = [line.split() for line in status.splitlines() if line.startswith(("Cap", "NoNew"))]
    assert dict(held) == {
        **dict.fromkeys(("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"), "0" * 16),
        "CapBnd:": "0" * 16 if os.geteuid() == 0 else dict(held)["CapBnd:"],
        "NoNewPrivs:": "1",
    }


@pytest.fixture
def outside(tmp_path):
    """Deeds that call somebody who listens, by protocol, and what has been heard so far."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as mptcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pair,
    ):
        own = tmp_path / "state/storage/users/anna"
        places = {mptcp: ("127.0.0.1", 0), udp: ("127.0.0.1", 0), abstract: "",
                  unix: str(own / "s"), pair: str(own / "d")}  # fmt: skip
        for made, place in places.items():
            made.bind(place)
        for made in (mptcp, abstract, unix):
            made.listen()
        heard = (tcp, mptcp, udp, abstract, unix, pair)
        port = tcp.getsockname()[1]
        deeds = {
            "tcp": port,
            "fast open": port,
            "mptcp": mptcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract.getsockname()[1:].decode(),
            "unix": unix.getsockname(),
            "pair": pair.getsockname(),
        } | dict.fromkeys(("packet", "raw", "netlink", "vsock"))
        yield deeds, lambda: select.select(heard, [], [], 0)[0]


@needs_seccomp
def test_a_job_makes_no_socket_of_any_kind(tried, outside):
    _, try_ = tried
    deeds, heard = outside
    for without in ("", "leave_network"):  # where no namespace can be made
        assert try_(*deeds.items(), without=without) == ["refused"] * len(deeds)
    assert heard() == []


@needs_namespaces
def test_where_calls_cannot_be_filtered_a_job_has_a_network_of_its_own(tried, outside):
    _, try_ = tried
    deeds, heard = outside
    said = try_(*((kind, deeds[kind]) for kind in NETWORKS), without="filter_calls")
    assert "done" not in said
    assert heard() == []


@needs_seccomp
def test_a_job_may_speak_with_what_it_forks(tried):
    _, try_ = tried
    assert try_(("fork", None), ("pool", None), ("workers", None)) == ["done"] * 3


@needs_seccomp
def test_nothing_that_a_job_forks_leaves_the_group_that_is_killed_at_its_end(tried):
    _, try_ = tried
    assert try_(("session", None)) == ["refused"]


@needs_seccomp
def test_a_job_changes_no_mode_owner_times_or_attributes_elsewhere(tried):
    root, try_ = tried
    file = root / "users/boris/file"
    before = file.stat()
    deeds = ("mode", "owner", "times", "attribute")
    assert try_(*((deed, file) for deed in deeds)) == ["refused"] * len(deeds)
    after = file.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert try_(("own file", None)) == ["done"]


@needs_seccomp
def test_a_job_holds_no_memory_that_is_not_counted(tried):
    _, try_ = tried
    assert try_(("memory file", None)) == ["refused"]


@needs_namespaces
def test_shared_memory_of_a_job_is_small(tried):
    _, try_ = tried
    assert try_(("fill", "/dev/shm/x")) == ["full after 64 MiB"]


@needs_seccomp
def test_a_job_sets_limits_of_no_other_process(tried):
    _, try_ = tried
    assert try_(("limit", os.getpid()), ("schedule", os.getpid())) == ["refused"] * 2
    assert try_(("own limit", None)) == ["done"]


@needs_scopes
def test_a_job_signals_no_other_process(tried):
    _, try_ = tried
    assert try_(("kill", os.getpid())) == ["refused"]


@needs_namespaces
def test_shared_memory_is_a_jobs_own(tried, tmp_path):
    _, try_ = tried
    name = f"/dev/shm/{uuid4().hex}"
    assert try_(("write", name), ("read", name)) == ["done", "done"]
    assert not os.path.exists(name)  # noqa: PTH110


def test_what_a_kernel_does_not_keep_jobs_from_is_told():
    assert list(Confinement(landlock=7, namespace=True, seccomp=True).holes()) == []
    none = "; ".join(Confinement(landlock=0, namespace=False, seccomp=False).holes())
    for told in ("not confined to their user's folders", "all protocols", "/dev/shm", "signal"):
        assert told in none
    old = "; ".join(Confinement(landlock=4, namespace=False, seccomp=False).holes())
    assert "UDP and other sockets" in old
    assert "not confined" not in old
    assert "network" not in "; ".join(
        Confinement(landlock=0, namespace=False, seccomp=True).holes()
    )


@pytest.mark.parametrize("walls", [HERE, Confinement(landlock=0, namespace=False, seccomp=False)])
def test_the_log_at_the_start_says_what_stands_and_warns_of_the_rest(walls, caplog, monkeypatch):
    monkeypatch.setattr("wps_processes.assembly.confinement_here", lambda: walls)
    with caplog.at_level("INFO"):
        _say_what_confines()
    told, *warnings = [record.getMessage() for record in caplog.records]
    assert told.endswith(str(walls))
    assert warnings == [f"this kernel has {hole}" for hole in walls.holes()]


def test_a_gpu_is_a_device_that_computes(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "_DEV", tmp_path)
    for name in ("nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert not sandbox.has_gpus()
    (tmp_path / "nvidia0").touch()
    assert sandbox.has_gpus()
