"""What a folder holds already, and what may not be written over (contract, Workdir).

The run records in the folder say which operation wrote what, from which files. Outputs of another
operation, or of files of other names, are not replaced unless somebody asks for it, nor what no
operation wrote or what was changed since. The same names with other content or numbers replace
the result, and a remark says what changed.
"""

import os
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from landcover import strict_json
from landcover.disk import explaining_unwritable
from landcover.errors import InputError, LandcoverError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.records.digests import sha256_of_path
from landcover.io.records.run_record import Recipe, record_names

_MOST_BYTES = 64 << 20
_SHOWN = 3  # changes named in a remark

Record = Mapping[str, Any]


def earlier_records(workdir: Path) -> dict[str, Record]:
    """Return the records of the operations that wrote to a folder, by identifier."""
    found = {}
    for path in sorted(workdir.glob("run.*.json")):
        record = _read(path)
        if record is not None:
            found[path.name.removeprefix("run.").removesuffix(".json")] = record
    return found


def protect_outputs(
    workdir: Path, identifier: str, written: Set[str], records: Mapping[str, Record]
) -> None:
    """Refuse to replace what another operation wrote.

    Args:
        workdir: the folder.
        identifier: of the operation that is to write.
        written: names of the files and folders that it will write.
        records: of the operations that wrote here, by identifier.

    Raises:
        InputError: one of the names is another's output, and lies there.
    """
    for other, record in records.items():
        theirs = written & {*record["run"]["written"]}
        shared = sorted(name for name in theirs if (workdir / name).exists())
        if other != identifier and shared:
            raise InputError(
                f"{workdir} holds {shared[0]} of {other}, which {identifier} would replace: "
                f"{_REMEDY}"
            )


def protect_others(
    workdir: Path, identifier: str, written: Mapping[str, str], records: Mapping[str, Record]
) -> None:
    """Refuse to replace what no operation wrote, or what somebody has changed since.

    What an interrupted run of the operation left may be replaced, whatever it is.

    Args:
        workdir: the folder.
        identifier: of the operation that is to write.
        written: names of the files and folders that it may write, by their names in its record.
        records: of the operations that wrote here, by identifier.

    Raises:
        InputError: one of them lies there.
    """
    if (workdir / _marker(identifier)).exists():
        return
    known = {name for record in records.values() for name in record["run"]["written"]}
    digests = records[identifier]["run"]["outputs"] if identifier in records else {}
    for output, name in written.items():
        path = workdir / name
        if not path.exists():
            continue
        if name not in known:
            raise InputError(
                f"{workdir} holds {name}, which no operation wrote and {identifier} would "
                f"replace: {_REMEDY}"
            )
        is_sealed = output in digests and not name.endswith(_STATISTICS)
        if is_sealed and digests[output] != sha256_of_path(path):
            raise InputError(
                f"{workdir} holds {name}, which was changed since {identifier} wrote it: {_REMEDY}"
            )


@contextmanager
def made_folder(workdir: Path) -> Iterator[None]:
    """Make a folder and those above it; where the block is refused, empty ones of them go again.

    Raises:
        InputError: it can be no folder.
    """
    try:
        made = [path for path in (workdir, *workdir.parents) if not path.exists()]
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"workdir {workdir} can be no folder: {error.strerror}") from error
    try:
        yield
    except LandcoverError:
        with suppress(OSError):  # the first that is not empty ends it
            for path in made:
                path.rmdir()
        raise


@contextmanager
def marked_unfinished(workdir: Path, identifier: str) -> Iterator[None]:
    """Mark a folder while an operation writes to it; a run that is cut off leaves the mark."""
    marker = workdir / _marker(identifier)
    is_first = not os.path.lexists(marker)
    if is_first:
        with explaining_unwritable(workdir):
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield
    except InputError:  # nothing of this run is left
        if is_first:
            marker.unlink(missing_ok=True)
        raise
    marker.unlink(missing_ok=True)


def protect_earlier(workdir: Path, identifier: str, record: Record, names: Record) -> None:
    """Refuse to replace what the same operation made from files of other names.

    Args:
        workdir: the folder.
        identifier: of the operation.
        record: of its earlier run.
        names: by which the input files are known now, by the input's name.

    Raises:
        InputError: a file has another name than it had.
    """
    before, now = record["run"]["files"], {k: v for k, v in names.items() if v is not None}
    for name in sorted({*before} & {*now}):
        if _all_resolved(before[name]) != _all_resolved(now[name]):
            raise InputError(
                f"{workdir} holds what {identifier} made with {name} "
                f"{_shown(before[name])}, now it is {_shown(now[name])}: {_REMEDY}"
            )


def changes_since(record: Record, recipe: Recipe) -> str:
    """Return in words what differs from an earlier run on files of the same names; "" if nothing.

    Versions of the program and of its libraries count as one.
    """
    before, now = record["recipe"], recipe.to_dict()
    files, earlier = now["inputs"], before["inputs"]
    said = [f"{name} is given" for name in sorted({*files} - {*earlier})]
    said += [f"{name} is left out" for name in sorted({*earlier} - {*files})]
    said += [
        f"{name} has other content"
        for name in sorted({*files} & {*earlier})
        if files[name] != earlier[name]
    ]
    old = {**before["options"], "seed": before["seed"]}
    new = {**now["options"], "seed": now["seed"]}
    said += [
        f"{name} was {_shown(old.get(name))} and is {_shown(new[name])}"
        for name in new
        if new[name] != old.get(name)
    ]
    environment = ("version", "threads", "cpu", "code_version", "libraries")
    if any(now[part] != before.get(part) for part in environment):
        said.append("the program or this machine is another one")
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return ", ".join(said[:_SHOWN]) + more


_STATISTICS = ".aux.xml"
"""Beside a raster; a viewer adds what it has counted while it shows the raster."""
_REMEDY = "name another workdir, or say overwrite (--overwrite true, overwrite=True)"


def _marker(identifier: str) -> str:
    return f".{identifier}.unfinished"


def _read(path: Path) -> Record | None:
    """Return a record; None if the file is none, as when somebody else wrote it."""
    try:
        record = strict_json.loads(read_plain_file(path, _MOST_BYTES).decode())
    except (InputError, ValueError):
        return None
    return record if _is_record(record, path.name) else None


def _is_record(record: Any, name: str) -> bool:
    try:
        recipe, run = record["recipe"], record["run"]
        parts = (recipe["inputs"], recipe["options"], run["files"], run["outputs"])
        return (
            name in record_names(recipe["operation"])
            and "seed" in recipe
            and all(isinstance(part, dict) for part in parts)
            and all(isinstance(name, str) for name in run["written"])
        )
    except (KeyError, TypeError):
        return False


def _all_resolved(names: Any) -> list[Any]:
    """Return where one or several names lead: a single one was not always a list."""
    return [_resolved(each) for each in (names if isinstance(names, list | tuple) else [names])]


def _resolved(name: Any) -> Any:
    """Return where a name leads, if it is a path of this machine; a storage name as it is."""
    path = Path(name) if isinstance(name, str) else name
    return str(path.resolve()) if isinstance(path, Path) and path.is_absolute() else name


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
