"""What the process of a job prints, kept in a log that stays bounded while it is written.

A library that warns of every block of a damaged file fills a disk in minutes. So a job prints into
a pipe, and what comes out of it is written by somebody else: the beginning as it comes, and at the
end the last of the rest, where it says how it ended.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FIRST, LAST = 8 << 20, 1 << 20
"""Bytes of the beginning, and of the end, that are kept of what one attempt prints."""

_AT_ONCE = 64 << 10
_SECONDS_TO_END = 5.0


def keep(source: int, log: int, first: int = FIRST, last: int = LAST) -> None:
    """Write what comes out of a pipe into a log, until nobody can write into the pipe any more.

    Args:
        source: descriptor of the pipe's end.
        log: descriptor of the log; what cannot be written, as on a full disk, is lost.
        first: bytes of the beginning that are kept.
        last: bytes of the end that are kept.
    """
    left, left_out, end = first, 0, bytearray()
    while part := os.read(source, _AT_ONCE):
        _write(log, part[:left])
        end += part[left:]
        left -= min(left, len(part))
        if len(end) > 2 * last:
            left_out += _cut(end, last)
    left_out += _cut(end, last)
    if left_out:
        _write(log, b"\n... %d bytes are left out here ...\n" % left_out)
    _write(log, bytes(end))


@contextmanager
def kept(log: int) -> Iterator[int]:
    """Yield the pipe into which a job prints, and keep that in a log within the block."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    keeper = threading.Thread(target=_keep_and_close, args=(source, os.dup(log)), daemon=True)
    keeper.start()
    try:
        yield sink
    finally:
        os.close(sink)
        keeper.join(_SECONDS_TO_END)


def kept_by_a_process(log: int) -> tuple[int, int]:
    """Return the pipe into which a job prints, and the number of a process that keeps that.

    For a pod, which has nobody else who does; the process ends when the pipe is closed.
    """
    source, sink = os.pipe2(os.O_CLOEXEC)
    keeper = os.fork()
    if not keeper:
        os.close(sink)
        keep(source, log)
        os._exit(0)
    os.close(source)
    return sink, keeper


def _keep_and_close(source: int, log: int) -> None:
    try:
        keep(source, log)
    finally:
        os.close(source)
        os.close(log)


def _cut(end: bytearray, last: int) -> int:
    """Keep the last bytes only; return how many were cut off."""
    too_many = max(0, len(end) - last)
    del end[:too_many]
    return too_many


def _write(log: int, part: bytes) -> None:
    with suppress(OSError):
        while part:
            part = part[os.write(log, part) :]
