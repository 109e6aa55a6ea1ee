"""`landcover OPERATION --name value ... --workdir DIR`, derived from the operations.

Standard output carries one JSON object, standard error progress and remarks. Exit status: 0 done,
2 bad input with one sentence, 1 our fault, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

from landcover.errors import LandcoverError
from landcover.executors.parts import carried_by
from landcover.io.files.atomic import to_json
from landcover.io.gdal_drivers import restrict_process
from landcover.operation import Input, Operation
from landcover.operations import OPERATIONS
from landcover.progress import progress_to


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one operation and return the exit status."""
    chosen = vars(_parser().parse_args(arguments))
    operation: Operation = chosen.pop("operation")
    overwrite = chosen.pop("overwrite") == "true"
    workers = chosen.pop("workers", 1)
    given = {name: value for name, value in chosen.items() if value is not None}
    restrict_process()
    try:
        given, workdir = operation.found(given)
        with _carrier(workers) as executor, carried_by(executor), progress_to(_Shown()):
            done = operation.run(given, workdir, on_remark=_show_remark, overwrite=overwrite)
        print(to_json({**done.outputs, "remarks": done.remarks}))
    except LandcoverError as error:
        print(f"landcover: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _carrier(workers: int) -> AbstractContextManager[Any]:
    """Return worker processes, made before anything is computed; none where one is enough."""
    if workers == 1:
        return nullcontext()
    from landcover.executors.workers import ForkedWorkers

    return ForkedWorkers(workers)


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
        if operation.splits:
            command.add_argument(
                "--workers",
                type=int,
                choices=range(257),
                default=1,
                metavar="INT",
                help="processes that compute parts; 0 is one for each core (default 1)",
            )
        command.add_argument("--workdir", default=".", help="folder to write to")
        command.add_argument(
            "--overwrite",
            default="false",
            choices=("true", "false"),
            help="replace what another operation wrote there, or this one from other files",
        )
    return parser


def _add_input(command: argparse.ArgumentParser, declared: Input) -> None:
    spellings = dict.fromkeys((declared.name, declared.name.replace("_", "-")))
    default = "" if declared.default in (None, "") else f" (default {declared.default})"
    default = " (required)" if declared.required else default
    text = f"{declared.description}{default}".replace("%", "%%")
    several: dict[str, Any] = {"nargs": "+", "action": "extend"} if declared.many else {}
    command.add_argument(
        *(f"--{spelling}" for spelling in spellings),
        **several,
        dest=declared.name,
        metavar="|".join(declared.choices) or declared.kind.upper() + "|FOLDER" * declared.folders,
        help=text,
    )


def _show_remark(sentence: str) -> None:
    print(f"remark: {sentence}", file=sys.stderr)


class _Shown:
    """Prints progress on standard error, a line whenever it reads differently."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, fraction: float, sentence: str) -> None:
        line = f"{fraction:4.0%} {sentence}"
        if line != self._last:
            print(line, file=sys.stderr)
        self._last = line
