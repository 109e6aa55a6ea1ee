"""The log of everything that the hub starts: two files, bounded while it runs.

The processes write into one file by themselves, so that they live on if the launcher is killed.
What is in there moves to the file beside it when it has become too much.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

MOST = 16 << 20
"""Bytes of one file; more are there only until somebody looks."""

LOOK_SECONDS = 0.5


@contextmanager
def bounded_log(log: Path, most: int = MOST) -> Iterator[BinaryIO]:
    """Yield a new log, open for processes to write to, that stays bounded within the block.

    The log of the start before this one is kept beside it until that place is needed.
    """
    if log.exists():
        log.replace(_earlier(log))
    stopped = threading.Event()
    with log.open("ab") as file:  # each writes at the end, wherever that is by then
        watching = threading.Thread(target=_watch, args=(log, most, stopped), daemon=True)
        watching.start()
        try:
            yield file
        finally:
            stopped.set()
            watching.join()


def _watch(log: Path, most: int, stopped: threading.Event) -> None:
    while not stopped.wait(LOOK_SECONDS):
        with suppress(OSError):  # a full disk, on which nothing grows
            if log.stat().st_size > most:
                _move(log, most)


def _move(log: Path, most: int) -> None:
    """Move the end of a log to the file beside it, and begin anew."""
    with log.open("r+b") as file:
        try:
            file.seek(-most, os.SEEK_END)
            _earlier(log).write_bytes(file.read(most))
        finally:
            file.truncate(0)


def _earlier(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")
