"""`landcover samples ...`: the ledger on the command line."""

import argparse
import getpass
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from landcover.errors import InputError
from landcover.progress import remark
from landcover.samples.versions.catalog import find_sets
from landcover.samples.versions.differences import differences
from landcover.samples.versions.drawn_changes import commit_drawn
from landcover.samples.versions.exchange import read_drawn, write_version
from landcover.samples.versions.incoming import import_files, waiting
from landcover.samples.versions.ledger import Committed, Ledger
from landcover.samples.versions.review import review

Result = dict[str, Any]
Command = Callable[[argparse.Namespace], Result]


def add_samples(commands: Any) -> None:
    """Add the command to a parser's commands; `parsed.run(parsed)` runs it."""
    parser = commands.add_parser(
        "samples",
        help="Keep training samples as versions that several people add to.",
        description="Keep training samples as versions that several people add to.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for run, name, help_, arguments in _ACTIONS:
        action = actions.add_parser(name, help=help_, description=help_, allow_abbrev=False)
        action.set_defaults(run=run)
        for argument in arguments:
            _ARGUMENTS[argument](action)


def _commit(given: argparse.Namespace) -> Result:
    ledger = _ledger_at(Path(given.folder))
    drawn = read_drawn(Path(given.file))
    return _said(commit_drawn(ledger, drawn, given.author, given.base, given.message))


def _ledger_at(folder: Path) -> Ledger:
    """Return a ledger, in a folder that is made if its parent is there."""
    if folder.parent.is_dir():
        folder.mkdir(exist_ok=True)
    return Ledger(folder)


def _export(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    manifest = ledger.find(given.version)
    records = ledger.records(manifest)
    write_version(Path(given.output), manifest, records)
    rejected = sum(record.review == "rejected" for record in records.values())
    if rejected and Path(given.output).suffix.lower() == ".gpkg":
        remark(f"{rejected} rejected samples are left out of {Path(given.output).name}")
    return {
        "output": Path(given.output),
        "number": manifest.number,
        "version": manifest.sha256,
        "samples": len(records),
    }


def _import(given: argparse.Namespace) -> Result:
    ledger = _ledger_at(Path(given.folder))
    done = import_files(
        ledger,
        [Path(file) for file in given.files] or waiting(ledger),
        given.class_field,
        given.author,
        given.source,
        given.layer,
    )
    for refused in done.refused:
        remark(f"not imported: {refused.reason}")
    return {
        "number": done.committed.number if done.committed else ledger.last,
        "samples": dict(done.samples),
        "refused": [asdict(refused) for refused in done.refused],
    }


def _log(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    tags: dict[str, list[str]] = {}
    for name, sha256 in ledger.tags().items():
        tags.setdefault(sha256, []).append(name)
    return {
        "versions": [
            {
                "number": manifest.number,
                "version": manifest.sha256,
                "author": manifest.author,
                "time": manifest.time,
                "message": manifest.message,
                "restores": manifest.restores,
                "tags": tags.get(manifest.sha256, []),
            }
            for manifest in ledger.history()
        ]
    }


def _diff(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    first, second = (ledger.find(name).number for name in (given.first, given.second))
    found = differences(ledger, first, second)
    counts = {what: sum(d.what == what for d in found) for what in ("added", "changed", "removed")}
    return {**counts, "differences": [asdict(difference) for difference in found]}


def _restore(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    number = ledger.find(given.version).number
    return _said(ledger.restore(number, given.author, given.message))


def _tag(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    number = ledger.find(given.version).number
    return {"tag": given.name, "version": ledger.tag(number, given.name, given.author)}


def _verify(given: argparse.Namespace) -> Result:
    ledger = Ledger(Path(given.folder))
    faults = ledger.faults()
    if faults:
        raise InputError(f"{len(faults)} faults: {'; '.join(faults)}")
    return {"versions": len(ledger.numbers()), "faults": []}


def _review(given: argparse.Namespace) -> Result:
    verdict = "" if given.verdict == "none" else given.verdict
    ledger = Ledger(Path(given.folder))
    return _said(review(ledger, given.ids, verdict, given.author, given.comment))


def _catalog(given: argparse.Namespace) -> Result:
    return {"sets": [asdict(one) for root in given.roots for one in find_sets(Path(root))]}


def _said(done: Committed) -> Result:
    for conflict in done.conflicts:
        remark(_SAID[conflict.what].format(id=conflict.id, rival=conflict.rival))
    return {
        "number": done.number,
        "version": done.sha256,
        "samples": done.samples,
        "written": done.written,
        "removed": done.removed,
        "conflicts": [asdict(conflict) for conflict in done.conflicts],
    }


_SAID = {
    "both": "{id} was changed by somebody else meanwhile: both are kept, yours as {rival}",
    "changed": "{id} was changed by somebody else while you removed it, so that it stays",
    "removed": "{id} was removed by somebody else while you changed it, so that it is back",
}


def _author() -> str:
    return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()


_ARGUMENTS: dict[str, Callable[[Any], Any]] = {
    "folder": lambda p: p.add_argument("folder", help="of the ledger, as campaigns/NAME/samples"),
    "ids": lambda p: p.add_argument("ids", nargs="+", metavar="id", help="of a sample"),
    "verdict": lambda p: p.add_argument(
        "--verdict", required=True, choices=("accepted", "rejected", "none")
    ),
    "comment": lambda p: p.add_argument("--comment", default="", help="is added to the others"),
    "roots": lambda p: p.add_argument("roots", nargs="+", help="folders to look in"),
    "file": lambda p: p.add_argument("file", help="GeoJSON as the map in the notebook writes it"),
    "files": lambda p: p.add_argument(
        "files", nargs="*", help="of others, as labels may be; by default those in incoming/"
    ),
    "class_field": lambda p: p.add_argument(
        "--class_field", "--class-field", default="class", help="default %(default)s"
    ),
    "source": lambda p: p.add_argument("--source", default="", help="where they are from"),
    "layer": lambda p: p.add_argument("--layer", default="", help="of files that hold several"),
    "version": lambda p: p.add_argument("version", help=_WHICH),
    "latest": lambda p: p.add_argument("--version", default="latest", help=_WHICH),
    "first": lambda p: p.add_argument("first", help=_WHICH),
    "second": lambda p: p.add_argument("second", help=_WHICH),
    "name": lambda p: p.add_argument("name", help="the tag, which never moves"),
    "output": lambda p: p.add_argument("--output", required=True, help=".geojson or .gpkg"),
    "author": lambda p: p.add_argument("--author", default=_author(), help="default %(default)s"),
    "message": lambda p: p.add_argument("--message", default="", help="what is to be said of it"),
    "base": lambda p: p.add_argument(
        "--base",
        type=int,
        help="number of the version that the file was made from, whose other samples it removed; "
        "by default what an exported file says; of any other file nothing is removed",
    ),
}
_WHICH = "number, SHA-256, tag, or latest"
_ACTIONS: tuple[tuple[Command, str, str, tuple[str, ...]], ...] = (
    (_commit, "commit", "Add what a file changes as a version.",
     ("folder", "file", "base", "author", "message")),
    (_import, "import", "Add samples of others as a version; their files stay as they are.",
     ("folder", "files", "class_field", "layer", "source", "author")),
    (_export, "export", "Write a version as GeoJSON or GeoPackage.",
     ("folder", "latest", "output")),
    (_log, "log", "List the versions.", ("folder",)),
    (_diff, "diff", "List what was added, changed, removed from one version to another.",
     ("folder", "first", "second")),
    (_restore, "restore", "Add a version that is as an old one was.",
     ("folder", "version", "author", "message")),
    (_tag, "tag", "Name a version.", ("folder", "version", "name", "author")),
    (_review, "review", "Accept or reject samples; rejected ones are left out of GeoPackages.",
     ("folder", "ids", "verdict", "comment", "author")),
    (_catalog, "catalog", "List sets of samples with counts by class, date and place.",
     ("roots",)),
    (_verify, "verify", "Read all versions and say what is missing or damaged.", ("folder",)),
)  # fmt: skip
