"""Names in the user's storage that a form may offer, besides what is on the map."""

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path

MOST_NAMES, DEPTH = 2000, 6
_SECONDS = 0.5  # of looking
_OFFERED_OTHERWISE = ("home/jobs", "home/course")
"""What jobs wrote is offered with the jobs; pages of the course are no input."""


def names_at_home(endings: tuple[str, ...]) -> list[str]:
    """Return storage names of files, those nearest to the roots first.

    Of a large tree only what is found in _SECONDS; hidden files and links are left out.

    Args:
        endings: of the names, in small letters.
    """
    deadline = time.monotonic() + _SECONDS
    in_time = takewhile(lambda _: time.monotonic() < deadline, _walk())
    found = (name for name in in_time if name.lower().endswith(endings))
    return list(islice(found, MOST_NAMES))


def _walk() -> Iterator[str]:
    """Yield the names of files, and "" for each folder, so that whoever walks may stop."""
    home = Path.home()
    folders = deque([("home", home), ("shared", home / "shared"), ("team", home / "team")])
    while folders:
        name, path = folders.popleft()
        yield ""
        for entry in _entries(path):
            below = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if below.count("/") < DEPTH and below not in _OFFERED_OTHERWISE:
                    folders.append((below, path / entry.name))
            elif entry.is_file(follow_symlinks=False):
                yield below


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        shown = [e for e in entries if not e.name.startswith(".") and e.name.isprintable()]
        return sorted(shown, key=lambda entry: entry.name)
    return []
