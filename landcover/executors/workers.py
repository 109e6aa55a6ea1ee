"""Worker processes of one job, as an executor.

They are forked, because a confined job can start no program and has no folder for sockets; and
they are forked by a process that was forked before anything was computed, because a library that
has made threads of OpenMP hangs in a child of its process. A worker that dies is replaced by a new
one, and what it worked on fails with `WorkerLost`: whoever asked may ask again.

Each worker leads a session of its own, unless asked not to: Linux shares processors among sessions
before it shares them among processes (autogroup, man 7 sched). In a job of the service they stay
in the session of the job, which is to have the share of one job, and ends as a whole.
"""

import os
import pickle
import signal
import socket
import struct
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, NoReturn

from landcover.cpus import cores

_SIZE = struct.Struct("=Q")
_FORK = b"f"


class WorkerLost(Exception):
    """A worker process ended before it had an answer."""


class ForkedWorkers(Executor):
    """Worker processes; made before this process computes anything.

    Functions and what they take and give go between processes of one program by pickle, through
    pairs of sockets that nobody else has.
    """

    def __init__(self, count: int = 0, own_sessions: bool = True) -> None:
        """Fork what will fork the workers.

        Args:
            count: of workers; 0 is one for each core. Each gets its part of the cores.
            own_sessions: whether each leads one; else they end with the group of this process.
        """
        self.count = count or cores()
        self._nursery = _Nursery(max(1, cores() // self.count), own_sessions)
        self._idle: SimpleQueue[socket.socket] = SimpleQueue()
        # one thread speaks to one worker at a time
        self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="worker")

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """Let a worker call a function of a module."""
        return self._threads.submit(self._asked, pickle.dumps((function, args, named)))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: at once if asked to cancel, else when all was answered."""
        if cancel_futures:
            self._nursery.close()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait or cancel_futures:
            self._nursery.close()
            with suppress(Empty):
                while True:
                    self._idle.get_nowait().close()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End the workers, at once where the block failed."""
        self.shutdown(cancel_futures=kind is not None)

    def _asked(self, question: bytes) -> Any:
        worker = self._free()
        try:
            _send(worker, question)
            answer = _receive(worker)
        except OSError:
            answer = None
        if answer is None:
            worker.close()
            raise WorkerLost("a worker process ended before it had an answer")
        self._idle.put(worker)
        is_good, value = pickle.loads(answer)  # of our own child
        if is_good:
            return value
        raise value

    def _free(self) -> socket.socket:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._nursery.fork()


class _Nursery:
    """The process that forks workers, as seen by who asks for them."""

    def __init__(self, cores_each: int, own_sessions: bool) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = Lock()
        with theirs:
            self._pid = _fork()
            if not self._pid:
                self._requests.close()
                _run(_serve_nursery, theirs, cores_each, own_sessions)

    def fork(self) -> socket.socket:
        """Fork a worker and return the socket by which it is spoken to."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, self._lock:
            try:
                socket.send_fds(self._requests, [_FORK], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise WorkerLost("no worker process can be forked any more") from error
        return ours

    def close(self) -> None:
        """End it with all its workers."""
        with self._lock:
            if self._pid:
                self._requests.shutdown(socket.SHUT_RDWR)  # also of copies in other children
                self._requests.close()
                os.waitpid(self._pid, 0)
            self._pid = 0


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, whose locks none takes
        return os.fork()


def _run(work: Callable[..., None], *arguments: Any) -> NoReturn:
    """Do the work of a process that was forked, and end it."""
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _serve_nursery(requests: socket.socket, cores_each: int, own_sessions: bool) -> None:
    """Fork a worker for each request; end with all of them when nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks ends us
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    workers: set[int] = set()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        _forget_dead(workers)
        if not message:
            break
        (descriptor,) = descriptors
        pid = os.fork()
        if not pid:
            requests.close()
            _run(_serve, socket.socket(fileno=descriptor), cores_each, own_sessions)
        workers.add(pid)
        os.close(descriptor)
    for pid in workers:  # none was waited for, so that each number is still its own
        os.kill(pid, signal.SIGKILL)
    for pid in workers:
        os.waitpid(pid, 0)


def _forget_dead(workers: set[int]) -> None:
    for pid in [*workers]:
        if os.waitpid(pid, os.WNOHANG)[0]:
            workers.remove(pid)


def _serve(asked: socket.socket, cores_each: int, own_session: bool) -> None:
    """Call what is asked for, until nobody asks any more."""
    if own_session:
        os.setsid()
    os.environ["OMP_NUM_THREADS"] = str(cores_each)
    with suppress(BrokenPipeError, ConnectionResetError):
        while (question := _receive(asked)) is not None:
            _send(asked, _answer(question))


def _answer(question: bytes) -> bytes:
    try:
        function, arguments, named = pickle.loads(question)  # of our own parent
        return pickle.dumps((True, function(*arguments, **named)))
    except Exception as error:
        return _pickled(error)


def _pickled(error: Exception) -> bytes:
    """Pickle an error; as text if it would not come back as it is."""
    try:
        packed = pickle.dumps((False, error))
        pickle.loads(packed)
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return packed


def _send(to: socket.socket, message: bytes) -> None:
    to.sendall(_SIZE.pack(len(message)))
    to.sendall(message)


def _receive(asked: socket.socket) -> bytes | None:
    """Return the next message, None if there is none, or it breaks off."""
    head = _whole(asked, _SIZE.size)
    return None if head is None else _whole(asked, *_SIZE.unpack(head))


def _whole(asked: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        some = asked.recv(min(size - len(found), 1 << 20))
        if not some:
            return None
        found += some
    return bytes(found)
