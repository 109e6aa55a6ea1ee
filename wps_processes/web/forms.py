"""The form of an operation: a field for each input, the names worth offering, and what was typed.

Everything follows from the operation's own description, so that a process has a form as soon as
it is published.
"""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from werkzeug.datastructures import MultiDict

from landcover.errors import InputError
from landcover.operation import MAX_PATHS, Input, Operation
from landcover.operations import OPERATIONS
from landcover.storage import Entry, Storage
from wps_processes.naming import title_of

NAMES_LOOKED_AT = 50_000
NAMES_OFFERED = 2000
SECONDS_OF_LOOKING = 1.0
_RECORD = re.compile(r"run(\.[a-z-]+)?\.json")  # which no operation reads
_COPY = re.compile(r" \(\d+\)(?=\.[^.]*$)")  # as names of copies are made: map (2).tif
AGAIN = "again-from"
"""In a link to a form, the job whose inputs are filled in; no input can have this name."""


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        input: what it asks for.
        value: what stands in it; of a list a line each.
        names: storage names offered for it.
        sentence: what is wrong with the value; "" if nothing is.
        has_gpus: whether jobs may have a GPU.
    """

    input: Input
    value: str
    names: tuple[str, ...] = ()
    sentence: str = ""
    has_gpus: bool = False

    @property
    def description(self) -> str:
        """What it asks for, in words; nothing is offered that the service has not."""
        without = "" if self.has_gpus else self.input.without_gpus
        return without or self.input.description

    @property
    def label(self) -> str:
        """The input's name in words."""
        return title_of(self.input.name)

    @property
    def control(self) -> str:
        """The kind of field: choice, switch, number, name, names or text."""
        if self.input.choices:
            return "choice"
        if self.input.many:
            return "names"
        kinds = {"bool": "switch", "int": "number", "float": "number", "str": "text"}
        return kinds.get(self.input.kind, "name")

    @property
    def hint(self) -> str:
        """Which values do, and what an empty field means; "" if the field itself shows it."""
        said = []
        if self.input.range is not None:
            said.append(str(self.input.range))
        if self.input.many:
            said.append(f"up to {MAX_PATHS} names, one a line")
        if not self.input.required and self.control not in ("choice", "switch"):
            default = self.input.default
            said.append("may be left empty" if default in (None, "") else f"empty means {default}")
        return "; ".join(said)


def fields_of(
    operation: Operation,
    typed: Mapping[str, str],
    entries: Sequence[Entry],
    sentences: Mapping[str, str],
    has_gpus: bool = False,
) -> list[Field]:
    """Return the fields of an operation, filled with what was typed, else with the defaults."""
    made = frozenset(output.filename for each in OPERATIONS for output in each.outputs)
    return [
        Field(
            input=declared,
            value=typed.get(declared.name, as_typed(declared.default)),
            names=_suited(declared, entries, made),
            sentence=sentences.get(declared.name, ""),
            has_gpus=has_gpus,
        )
        for declared in operation.inputs
    ]


def form_inputs(operation: Operation, given: MultiDict[str, str]) -> dict[str, str]:
    """Return what stands in the fields of a sent form, or of a link to one.

    A list comes as lines, as names that were chosen among those offered, or both; a chosen name
    that is typed too counts once.
    """
    lists = {declared.name for declared in operation.inputs if declared.many}
    return {
        name: _joined(given.getlist(name)) if name in lists else first
        for name, first in given.items()
    }


def read(operation: Operation, typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the inputs that a filled form gives, and a sentence for each that is invalid."""
    inputs: dict[str, Any] = {}
    sentences: dict[str, str] = {}
    for declared in operation.inputs:
        text = _text_of(declared, typed)
        if text:
            try:
                inputs[declared.name] = _value(declared, text)
            except InputError as error:
                sentences[declared.name] = str(error)
        elif declared.required:
            sentences[declared.name] = f"{declared.name} is needed"
    return inputs, sentences


def entries_in(storage: Storage) -> list[Entry]:
    """Return what a user has, newest first; of a very large tree only what is near its roots."""
    deadline = time.monotonic() + SECONDS_OF_LOOKING
    with closing(storage.walk()) as walk:
        in_time = takewhile(lambda _: time.monotonic() < deadline, walk)
        found = list(islice(in_time, NAMES_LOOKED_AT))
    return sorted(found, key=lambda entry: entry.modified, reverse=True)


def form_with(identifier: str, inputs: Mapping[str, Any]) -> str:
    """Return where an operation's form is, below the service's prefix, with inputs filled in."""
    typed = {name: as_typed(value) for name, value in inputs.items()}
    return f"processes/{quote(identifier)}?{urlencode(typed)}"


def form_again(identifier: str, job_id: str) -> str:
    """Return where an operation's form is with the inputs of a job; lists fit into no address."""
    return f"processes/{quote(identifier)}?{urlencode({AGAIN: job_id})}"


def as_typed(value: object) -> str:
    """Return a value as it stands in its field."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _text_of(declared: Input, typed: Mapping[str, str]) -> str:
    if declared.kind == "bool":
        return typed.get(declared.name, "false")  # a browser sends no box that is not ticked
    text = typed.get(declared.name, "")
    return text if declared.kind == "str" else text.strip()


def _value(declared: Input, text: str) -> Any:
    value = _lines(text) if declared.many else text
    checked = declared.check(value)
    return value if declared.is_path else checked


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _joined(values: Sequence[str]) -> str:
    """Return lines that were typed, and below them the names that were chosen besides."""
    typed = _lines(values[0])
    return "\n".join([*typed, *(name for name in values[1:] if name not in typed)])


def _suited(declared: Input, entries: Sequence[Entry], made: Collection[str]) -> tuple[str, ...]:
    """Return names worth offering: what operations gave for other ends stands last.

    Args:
        declared: the input.
        entries: what the user has, newest first.
        made: file names of the outputs of all operations.
    """
    if declared.kind == "folder":
        return tuple(_folders(entries)[:NAMES_OFFERED])
    if declared.kind != "file":
        return ()
    files = [
        entry.name
        for entry in entries
        if not entry.is_folder
        and _ends_well(entry.name, declared.endings)
        and not _RECORD.fullmatch(PurePosixPath(entry.name).name)
    ]
    if declared.folders:
        files += [entry.name for entry in entries if entry.is_folder]
    if declared.offers:
        files.sort(key=lambda name: _rank(name, declared, made))
    return (*declared.named, *files[:NAMES_OFFERED])


def _rank(name: str, declared: Input, made: Collection[str]) -> tuple[bool, bool]:
    """Order results for other ends after all else, and of everybody's files those called so first.

    What is meant for an input is called as the operations' outputs for it, or as the input itself:
    `reference.tif` is no scene to begin with.
    """
    path = PurePosixPath(_COPY.sub("", name))
    if path.name in declared.offers or path.stem == declared.name:
        return (False, False)
    return (name.startswith("home/jobs/") or path.name in made, name.startswith("shared/"))


def _folders(entries: Sequence[Entry]) -> list[str]:
    """Return the folders, those that hold samples first; the folders in these are only classes."""
    paths = [PurePosixPath(entry.name) for entry in entries]
    of_samples = {str(path.parent) for path in paths if path.name == "samples.json"}
    folders = [
        entry.name
        for entry, path in zip(entries, paths, strict=True)
        if entry.is_folder and str(path.parent) not in of_samples
    ]
    return sorted(folders, key=lambda name: name not in of_samples)


def _ends_well(name: str, endings: tuple[str, ...]) -> bool:
    return not endings or name.lower().endswith(endings)
