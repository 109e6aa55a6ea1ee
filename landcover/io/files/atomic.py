"""Write beside and rename: a reader sees a whole file or none, a failure leaves the old one."""

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from landcover.disk import explaining_unwritable


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; what lies there at the end takes the target's place.

    Works for a file and for a folder. If the block fails, nothing remains and the target is as
    it was.

    Raises:
        Unwritable: it failed because the disk is full or read-only.
    """
    beside = target.with_name(draft_name(target.name))
    try:
        with explaining_unwritable(target.parent):
            yield beside
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)  # a folder cannot be replaced in one step
        beside.replace(target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


def draft_name(ending: str) -> str:
    """Return a name for what is being written; if this is interrupted, `is_draft` knows it."""
    return f".{uuid4().hex[:8]}-{ending}"


@contextmanager
def draft_folder(parent: Path, ending: str) -> Iterator[Path]:
    """Make a folder for the while, for its maker alone; `is_draft` knows one that was left."""
    folder = parent / draft_name(ending)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def is_draft(name: str) -> bool:
    """Return whether a file or folder of this name was being written beside its target."""
    return re.fullmatch(r"\.[0-9a-f]{8}-.+", name) is not None


def is_unfinished(name: str) -> bool:
    """Return whether an interrupted run left it behind; with tiles the next run goes on."""
    left = r"\.[a-z]+\.tif\.(tiles|windows)|\.[a-z-]+\.unfinished|\.[a-z-]+-\d+\.part"
    return is_draft(name) or re.fullmatch(left, name) is not None


def write_json(target: Path, value: object) -> None:
    """Write JSON that every parser reads: NaN and infinity become null."""
    with written_beside(target) as path:
        path.write_text(to_json(value) + "\n", encoding="utf-8")


def to_json(value: object) -> str:
    """Return indented JSON; NaN and infinity become null, paths absolute texts."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def write_csv(target: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header line."""
    with written_beside(target) as path, path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return str(Path(value).absolute())
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
