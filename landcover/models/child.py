"""Read what is hostile in a process of its own, which may take little of the machine.

A parser makes many bytes in memory of few in a file, and may have faults. Its process is forked,
because that takes milliseconds, and because a confined job can start no program; it may use one
gigabyte besides what it was born with, writes no file, and hands back bytes or one sentence.
"""

import os
import resource
import selectors
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from landcover.errors import LandcoverError, ModelError

MEMORY = 1 << 30
"""Bytes of address space that it may use besides its parent's."""
SECONDS = 60
_GIVEN, _REFUSED = b"+", b"-"
_AT_ONCE = 1 << 20
_LONGEST_REFUSAL = 4096
_HEAD = 9
"""Bytes before an answer: its kind, and how long it is."""


def in_child(work: Callable[[], bytes], what: str, most: int) -> bytes:
    """Run `work` in a child and return what it gives.

    Args:
        work: reads; it may compute with numpy, but starts no threads.
        what: is read, for the sentence.
        most: bytes that it may give.

    Raises:
        ModelError: `work` refused it, broke down on it, or needed more than it may.
    """
    said, tells = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    used = _address_space()
    pid = _fork()
    if not pid:
        os.close(said)
        _tell(tells, work, used)
    os.close(tells)
    try:
        kind, answer = _whole(_heard(said, _HEAD + max(most, _LONGEST_REFUSAL)))
    finally:
        os.close(said)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it has said all, or never will
        os.waitpid(pid, 0)
    if kind == _REFUSED:
        raise ModelError(answer.decode(errors="replace"))
    if kind != _GIVEN:
        raise ModelError(
            f"{what} cannot be read with {MEMORY >> 20} MiB of memory and in {SECONDS} seconds"
        )
    return answer


def _fork() -> int:
    with warnings.catch_warnings():
        # of other threads, none of whose locks is taken in there
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _address_space() -> int:
    """Return how many bytes this process has reserved; a confined child could not look."""
    own = Path("/proc/self/statm")
    return int(own.read_text().split()[0]) * resource.getpagesize() if own.exists() else 0


def _tell(tells: int, work: Callable[[], bytes], used: int) -> None:
    """Work within bounds, tell what comes of it and end this process."""
    try:
        _bound(used)
        with open(tells, "wb") as told:
            try:
                kind, answer = _GIVEN, work()
            except LandcoverError as error:
                kind, answer = _REFUSED, str(error).encode()
            told.write(kind + len(answer).to_bytes(_HEAD - 1) + answer)
    except MemoryError:
        pass  # what it may take is told by the parent
    except BaseException:
        traceback.print_exc()  # into the log
    finally:
        os._exit(0)


def _bound(used: int) -> None:
    """Bound what this process may use; its parent's address space counts as its own."""
    for limit, value in (
        (resource.RLIMIT_AS, used + MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))


def _whole(said: bytes) -> tuple[bytes, bytes]:
    """Return the kind of an answer and the answer; of one that breaks off, nothing."""
    kind, size, answer = said[:1], int.from_bytes(said[1:_HEAD]), said[_HEAD:]
    return (kind, answer) if len(answer) == size else (b"", b"")


def _heard(said: int, most: int) -> bytes:
    """Return all that the child says, b"" if that is too much or it takes too long."""
    heard = bytearray()
    until = time.monotonic() + 2 * SECONDS  # a busy machine
    with selectors.DefaultSelector() as selector:
        selector.register(said, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            part = os.read(said, _AT_ONCE)
            if not part:
                return bytes(heard)
            heard += part
            if len(heard) > most:
                return b""
    return b""
