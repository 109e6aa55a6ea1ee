"""What a file that people drew in changes in the ledger, and its commit."""

from dataclasses import replace

from landcover.errors import InputError
from landcover.progress import remark
from landcover.samples.versions.exchange import Drawn
from landcover.samples.versions.ledger import Committed, Conflict, Ledger, Records
from landcover.samples.versions.record import Record


def commit_drawn(
    ledger: Ledger, drawn: Drawn, author: str, base: int | None = None, message: str = ""
) -> Committed:
    """Commit what a file changed since the version that it was made from.

    Args:
        ledger: to commit to.
        drawn: the file.
        author: who commits.
        base: number of that version; by default what the file says. If it says nothing, no
            sample is removed, what the ledger held before counts as unchanged, and what it holds
            otherwise, in a version as high or higher, is kept beside it.
        message: what the author says of it.

    Raises:
        InputError: there is no such version, the file is from another ledger, or this one is
            damaged.
    """
    base = _own_base(ledger, drawn) if base is None else base
    known = ledger.records(ledger.manifest(base or ledger.last)) if base or ledger.last else {}
    changed = [record for id_, record in drawn.records.items() if known.get(id_) != record]
    missing = sorted(known.keys() - drawn.records.keys())
    conflicts: list[Conflict] = []
    if base is None:
        held = ledger.ever([record.id for record in changed]) if known else set()
        changed, conflicts = _beside([r for r in changed if r not in held], known)
        _remark_on_missing(missing)
        missing = []
    done = ledger.commit(
        changed,
        missing,
        author,
        base=base,
        message=message,
        legend=drawn.legend,
    )
    return replace(done, conflicts=(*conflicts, *done.conflicts))


def _own_base(ledger: Ledger, drawn: Drawn) -> int | None:
    """Return the number of the version that a file was exported from, if it was from one."""
    if drawn.base is None:
        return None
    known = drawn.base in ledger.numbers()
    if not known or ledger.manifest(drawn.base).sha256 != drawn.version:
        raise InputError(
            f"the file was made from version {drawn.base} of another ledger: import it, or give "
            "base to say which version of this one it replaces"
        )
    return drawn.base


def _beside(changed: list[Record], known: Records) -> tuple[list[Record], list[Conflict]]:
    """Return what to write of a file of unknown origin: what is not newer goes beside."""
    written, conflicts = [], []
    for record in changed:
        if record.id not in known or record.version > known[record.id].version:
            written.append(record)
            continue
        rival = record.as_rival()
        if rival.id not in known:
            written.append(rival)
            conflicts.append(Conflict(record.id, "both", rival.id))
    return written, conflicts


def _remark_on_missing(missing: list[str]) -> None:
    if missing:
        remark(
            f"the file does not say which version it was made from: {len(missing)} samples of the "
            "ledger that it lacks stay, give base to remove them"
        )
