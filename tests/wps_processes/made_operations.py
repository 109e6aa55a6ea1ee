"""Operations made for tests of lists, remarks, needs, records and optional outputs; a fork server.

Run as a program, it is the fork server.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from landcover import operations
from landcover.errors import InputError
from landcover.operation import CSV, Needs, Operation, TableFile, Written
from landcover.progress import remark, report_progress
from wps_processes.runners import forkserver


@dataclass(frozen=True)
class Joined:
    """Tables in one.

    Attributes:
        joined: what stood in the tables, in their order.
        count: how many there were.
    """

    joined: CSV
    count: int


@dataclass(frozen=True)
class Drawn:
    """A drawing, and perhaps a sketch.

    Attributes:
        drawing: with its colours beside it.
        sketch: of it, if asked for.
    """

    drawing: Annotated[Path, Written("csv", "text/csv", (".csv.aux.xml", ".qml"))]
    sketch: CSV | None


@dataclass(frozen=True)
class Seen:
    """What a job sees.

    Attributes:
        devices: the variable by which CUDA shows GPUs.
    """

    devices: str


@dataclass(frozen=True)
class Said:
    """What was said.

    Attributes:
        count: how many remarks.
    """

    count: int


def join_tables(
    tables: list[TableFile], others: list[TableFile] | None = None, workdir: Path = Path()
) -> Joined:
    """Join tables.

    Args:
        tables: files to join.
        others: files that are read and left out.
        workdir: where to write.
    """
    joined = workdir / "joined.csv"
    joined.write_text("".join(Path(table).read_text() for table in tables))
    return Joined(joined, len(tables) + len(others or ()))


def draw_something(sketch: bool = False, fails: bool = False, workdir: Path = Path()) -> Drawn:
    """Draw something.

    Args:
        sketch: whether a sketch is wanted.
        fails: whether it ends with an error.
        workdir: where to write.
    """
    names = ("drawing.csv", "drawing.csv.aux.xml", "drawing.qml", "sketch.csv")
    for name in names if sketch else names[:-1]:
        (workdir / name).write_text(name)
    if fails:
        raise InputError("fails is true, needs false")
    return Drawn(workdir / "drawing.csv", workdir / "sketch.csv" if sketch else None)


def look_for_gpus(gpus: int = 0, workdir: Path = Path()) -> Seen:
    """Look for GPUs.

    Args:
        gpus: how many this call says that it needs.
        workdir: nothing is written.
    """
    return Seen(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))


def make_remarks(
    count: int = 1,
    sentence: str = "37 polygons hold no pixel centre",
    fails: bool = False,
    workdir: Path = Path(),
) -> Said:
    """Make remarks.

    Args:
        count: how many.
        sentence: what they say, each with its number.
        fails: whether it ends with an error.
        workdir: nothing is written.
    """
    for number in range(count):
        remark(f"{sentence} {number}" if number else sentence)
    if fails:
        raise InputError("fails is true, needs false")
    return Said(count)


def wait_for_ever(seconds: int = 3_600, workdir: Path = Path()) -> Joined:
    """Wait for what never comes.

    Args:
        seconds: the longest time that this call says it takes.
        workdir: where an unfinished output lies.
    """
    (workdir / "joined.csv").write_text("half")
    remark("nobody writes into this pipe")
    report_progress(0.5, "waiting for ever")
    os.read(os.pipe()[0], 1)
    raise AssertionError


def take_memory(
    mib: int, at_once: bool = False, helpers: int = 0, workdir: Path = Path()
) -> Joined:
    """Take memory and use all of it.

    Args:
        mib: how much.
        at_once: in one piece, else in pieces of 8 MiB.
        helpers: so many forked processes take as much, too, and all wait for the end.
        workdir: where an unfinished output lies.
    """
    joined = workdir / "joined.csv"
    joined.write_text("half")
    remark("taking memory")
    for _ in range(helpers):
        if not os.fork():
            break
    piece = mib if at_once else 8
    taken = [b"x" * (piece << 20) for _ in range(mib // piece)]
    if helpers:
        os.read(os.pipe()[0], 1)
    return Joined(joined, len(taken))


def print_much(mib: int, workdir: Path = Path()) -> Said:
    """Print much.

    Args:
        mib: how much.
        workdir: nothing is written.
    """
    for _ in range(mib << 10):
        os.write(2, b"warned of this block once more\n" * 33 + b"\n")
    return Said(mib)


def leave_somebody(workdir: Path = Path()) -> Said:
    """Fork a process that computes on.

    Args:
        workdir: nothing is written.
    """
    pid = os.fork()
    if not pid:
        os.read(os.pipe()[0], 1)
    return Said(pid)


MADE = (
    Operation.of(join_tables, "7.3"),
    Operation.of(draw_something, "1.0"),
    Operation.of(look_for_gpus, "1.0", lambda inputs: Needs(gpus=inputs["gpus"])),
    Operation.of(make_remarks, "1.0"),
    Operation.of(take_memory, "1.0", Needs(memory_mib=64)),
    Operation.of(print_much, "1.0"),
    Operation.of(leave_somebody, "1.0"),
    Operation.of(wait_for_ever, "1.0", lambda inputs: Needs(seconds=inputs["seconds"])),
)
PROGRAM = (sys.executable, __file__)


def with_made() -> tuple[Operation, ...]:
    """Return the operations offered, and those made here."""
    return (*operations.OPERATIONS, *MADE)


if __name__ == "__main__":
    operations.OPERATIONS = with_made()
    sys.exit(forkserver.main())
