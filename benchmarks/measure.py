"""Measure alternatives in turns, each in a process of its own, so that nobody has an advantage."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROUNDS = 3
LANDCOVER = (sys.executable, "-m", "landcover")
PEERS = (sys.executable, "-m", "benchmarks.peers")
# one thread each, wherever threads could come from
_ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "OTB_LOGGER_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class Usage:
    """What a run took: CPU seconds of user and system, and peak resident memory in MiB.

    The memory is None where a run shares its process with another.
    """

    cpu: float
    mib: float | None

    def __str__(self) -> str:
        """Return two cells of a table."""
        return f"{self.cpu:.2f} | {'–' if self.mib is None else round(self.mib)}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the operation.
        ours: what ours took, medians.
        peer: name of the peer or floor; None if nothing is compared.
        theirs: what it took, medians; None if it is not installed here.
        gate: what had to be equal, and was.
    """

    what: str
    ours: Usage
    peer: str | None
    theirs: Usage | None
    gate: str

    def __str__(self) -> str:
        """Return the row of a Markdown table; above 1 we are faster, below 1 we lose."""
        theirs, ratio = "– | –", "not installed here" if self.peer else "–"
        if self.theirs is not None:
            theirs, ratio = str(self.theirs), f"{self.theirs.cpu / self.ours.cpu:.1f}"
        peer = self.peer or "–"
        return f"| {self.what} | {self.ours} | {peer} | {theirs} | {ratio} | {self.gate} |"


def run(command: Sequence[str | Path]) -> Usage:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; its errors are shown.
    """
    launcher = _launcher()
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    launcher.stdin.write(json.dumps([str(part) for part in command]) + "\n")
    launcher.stdin.flush()
    answer = json.loads(launcher.stdout.readline())
    if answer["status"]:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{answer['errors']}")
    return Usage(answer["cpu"], answer["mib"])


@cache
def _launcher() -> subprocess.Popen[str]:
    """Start the launcher; it ends when this process does, with its standard input."""
    return subprocess.Popen(
        (sys.executable, "-S", Path(__file__).with_name("launcher.py")),
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(
    what: str,
    ours: Sequence[str | Path],
    peers: Mapping[str, Sequence[str | Path]],
    gate: Callable[[], str],
) -> list[Row]:
    """Run ours and all peers in turns; the first round warms up and is the one that `gate` judges.

    Args:
        what: the operation.
        ours: our command.
        peers: commands by name; one whose program is missing is left out with a word.
        gate: compares the results and says what was equal, or exits.
    """
    there = {name: command for name, command in peers.items() if shutil.which(str(command[0]))}
    commands = {"": ours, **there}
    for command in commands.values():
        run(command)
    equal = gate()
    taken: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(run(command))
    medians = {name: _median(usages) for name, usages in taken.items()}
    return [Row(what, medians[""], name, medians.get(name), equal) for name in peers]


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(
        statistics.median(usage.cpu for usage in usages),
        statistics.median(usage.mib or 0 for usage in usages),
    )
