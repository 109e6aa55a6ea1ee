"""`landcover OPERATION --name value ... --workdir DIR`, derived from the operations.

Standard output carries one JSON object, standard error the progress. Exit status: 0 done, 2 bad
input with one sentence, 1 our fault, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from landcover.drivers import restrict_process
from landcover.errors import InputError, LandcoverError
from landcover.operation import Input, Operation
from landcover.operations import OPERATIONS
from landcover.progress import progress_to
from landcover.writing import to_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one operation and return the exit status."""
    chosen = vars(_parser().parse_args(arguments))
    operation: Operation = chosen.pop("operation")
    workdir = Path(chosen.pop("workdir"))
    given = {name: value for name, value in chosen.items() if value is not None}
    restrict_process()
    try:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"workdir {workdir} can be no folder: {error.strerror}") from error
        with progress_to(_Shown()):
            print(to_json(operation(given, workdir)))
    except LandcoverError as error:
        print(f"landcover: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the operations do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"landcover: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="landcover", description="Make and check land-cover maps.")
    commands = parser.add_subparsers(required=True, metavar="OPERATION")
    for operation in OPERATIONS:
        command = commands.add_parser(
            operation.identifier,
            help=operation.title.replace("%", "%%"),
            description=f"{operation.title} {operation.abstract}".replace("%", "%%"),
            allow_abbrev=False,
        )
        command.set_defaults(operation=operation)
        for declared in operation.inputs:
            _add_input(command, declared)
        command.add_argument("--workdir", default=".", help="folder to write to")
    return parser


def _add_input(command: argparse.ArgumentParser, declared: Input) -> None:
    spellings = dict.fromkeys((declared.name, declared.name.replace("_", "-")))
    default = "" if declared.default in (None, "") else f" (default {declared.default})"
    default = " (required)" if declared.required else default
    text = f"{declared.description}{default}".replace("%", "%%")
    command.add_argument(
        *(f"--{spelling}" for spelling in spellings),
        dest=declared.name,
        metavar="|".join(declared.choices) or declared.kind.upper(),
        help=text,
    )


class _Shown:
    """Prints progress on standard error, a line whenever it reads differently."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, fraction: float, sentence: str) -> None:
        line = f"{fraction:4.0%} {sentence}"
        if line != self._last:
            print(line, file=sys.stderr)
        self._last = line
