"""`python -m wps_processes.runners.forkserver`: forks a process for each job, in milliseconds.

It has imported what operations need and computed nothing, so that a fork of it is as good as a
fresh interpreter that would need seconds for its imports. (The standard library's fork server
hands our environment on, unpickles what jobs say, and loses exit statuses between threads.)

Each request comes on standard input, a socket, with three descriptors: the socket on which the
job converses, the pipe into which it writes its process number and the server later its exit
status, and its log. The server ends when nobody can ask any more, and with it, by the kernel's
hand, all that it has forked.
"""

import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

from landcover.errors import LandcoverError
from wps_processes.runners import worker
from wps_processes.runners.parent import die_with_parent

SAID = struct.Struct("=q")
"""A process number or an exit status, as written into the pipe."""

# a job needs neither the hub's secrets nor the service's
_SECRET_PREFIXES = ("JUPYTERHUB_", "JPY_", "GEOPORTAL_LEDGER")
PROGRAM = (sys.executable, "-m", "wps_processes.runners.forkserver")
_SECONDS_TO_END = 5.0
_NICER = 5  # pages are answered first
_KILLED_BEFORE_THE_SERVICE = 500  # when memory is full: man 5 proc, oom_score_adj


class CannotFork(LandcoverError):
    """No process can be forked."""


class Forked:
    """A process that works on a job.

    Attributes:
        pid: its number.
        conversation: the socket on which it converses.
    """

    def __init__(self, pid: int, conversation: socket.socket, exit_status: int) -> None:
        """Wrap what `ForkServer.fork` made."""
        self.pid, self.conversation = pid, conversation
        self._exit_status = exit_status
        self._lock, self._over = Lock(), False

    def kill(self) -> None:
        """Kill it with all it started, unless it is known to be over."""
        with self._lock:
            if not self._over:
                kill_group(self.pid)

    def close(self) -> int | None:
        """Wait for its end; return its exit status (below 0: a signal's), None if unknown.

        Its last word is said; if it does not end by itself, it is killed.
        """
        self.conversation.close()
        if not _readable(_SECONDS_TO_END, self._exit_status):
            self.kill()
        said = _read(self._exit_status)
        with self._lock:
            self._over = True
            kill_group(self.pid)  # what it forked does not outlive it
        os.close(self._exit_status)
        return said


class ForkServer:
    """The fork server as seen by the service; started when first needed, and again if it died."""

    def __init__(self, environment: Mapping[str, str], program: Sequence[str] = PROGRAM) -> None:
        """Set its environment; all jobs see it, without the secrets.

        Args:
            environment: of this process.
            program: calls `main`.
        """
        self._environment = {
            name: value
            for name, value in environment.items()
            if not name.startswith(_SECRET_PREFIXES)
        }
        self._program = program
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self) -> None:
        """Start it now, so that the first job need not wait for its imports."""
        with self._lock:
            self._connected()

    def fork(self, log: int) -> Forked:
        """Start a process for one job.

        Args:
            log: descriptor of a file to which all goes that the job prints.

        Raises:
            CannotFork: there is no process for it, also not from a fork server started anew.
        """
        with self._lock:
            for _ in range(2):
                try:
                    forked = self._asked(self._connected(), log)
                except OSError as error:  # no descriptor is left, or no memory
                    raise CannotFork(f"no process could be started: {error.strerror}") from error
                if forked is not None:
                    return forked
                self._end()  # it died; a new one may do
        raise CannotFork("no process could be started for the job, the service's log says more")

    def close(self) -> None:
        """Stop it with all it has forked."""
        with self._lock:
            self._end()

    def _connected(self) -> socket.socket:
        if self._requests is None:
            self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    self._program,
                    stdin=theirs.fileno(),
                    env=self._environment,
                    start_new_session=True,
                )
            # if it is killed, nobody else would notice before the next job
            Thread(target=self._process.wait, name="fork server", daemon=True).start()
        return self._requests

    def _asked(self, requests: socket.socket, log: int) -> Forked | None:
        ours, theirs = socket.socketpair()
        try:
            exit_status, pipe = os.pipe2(os.O_CLOEXEC)
        except OSError:
            ours.close()
            theirs.close()
            raise
        try:
            socket.send_fds(requests, [b"fork"], [theirs.fileno(), pipe, log])
        except OSError:
            pid = None
        else:
            os.close(pipe)
            pipe = -1
            pid = _read(exit_status)
        theirs.close()
        if pipe >= 0:
            os.close(pipe)
        if pid is None or pid <= 0:  # the server died, or the process before it could tell
            ours.close()
            os.close(exit_status)
            return None
        return Forked(pid, ours, exit_status)

    def _end(self) -> None:
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.kill()
            self._process.wait()
            self._requests = self._process = None


def kill_group(pid: int) -> None:
    """Kill a process that leads a session, with all in there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main() -> int:
    """Fork for each request until there can be no more."""
    requests = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    worker.prepare()
    gc.freeze()  # a collection in a fork would copy every page it looks at
    pipes: dict[int, int] = {}
    ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    own = (requests.fileno(), ended, wake)
    while True:
        ready = _readable(None, requests.fileno(), ended)
        if ended in ready:
            os.read(ended, 4096)
            _report(pipes)
        if requests.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, 16, 3)
            if not message:
                return 0
            conversation, pipe, log = descriptors
            pipes[_fork(conversation, pipe, log, close=(*own, *pipes.values()))] = pipe
            for descriptor in (conversation, log):
                os.close(descriptor)


def _fork(conversation: int, pipe: int, log: int, close: Iterable[int]) -> int:
    """Fork the process of one job, without what is the server's; in there it never returns."""
    server = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if not die_with_parent(server):
            os._exit(1)
        os.setsid()
        os.nice(_NICER)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # whoever hears the number may rely on all that is done above
        _write(pipe, os.getpid())
        for descriptor in (pipe, log, *close):
            os.close(descriptor)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(_KILLED_BEFORE_THE_SERVICE))
        status = worker.main(socket.socket(fileno=conversation))
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _report(pipes: dict[int, int]) -> None:
    """Report the exit status of every process that has ended."""
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = pipes.pop(pid)
        _write(pipe, os.waitstatus_to_exitcode(status))
        os.close(pipe)


def _readable(seconds: float | None, *descriptors: int) -> list[int]:
    """Wait until something can be read, or so long; return where (`select` knows only 1,024)."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return [each for each, _ in waiting.poll(None if seconds is None else seconds * 1_000)]


def _write(pipe: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the service is gone, and soon so are we
        os.write(pipe, SAID.pack(number))


def _read(pipe: int) -> int | None:
    said = os.read(pipe, SAID.size)
    return SAID.unpack(said)[0] if len(said) == SAID.size else None


if __name__ == "__main__":
    sys.exit(main())
