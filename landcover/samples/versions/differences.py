"""What one version has and another one has not, and who did it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from landcover.samples.versions.ledger import Ledger, Records
from landcover.samples.versions.manifest import Manifest


@dataclass(frozen=True)
class Difference:
    """A sample that two versions do not agree in.

    Attributes:
        id: of the sample.
        what: `added`, `changed` or `removed`.
        before: its class in the first version, empty if it is not there.
        after: its class in the second one, empty if it is not there.
        by: who made the last version that touched it, of those between the two.
        version: number of that one.
        time: when it was made.
        editor: who changed the sample last, or drew it, as it says of itself.
    """

    id: str
    what: str
    before: str
    after: str
    by: str
    version: int
    time: str
    editor: str


def differences(ledger: Ledger, first: int, second: int) -> list[Difference]:
    """Return the samples that were added, changed or removed from one version to another.

    Args:
        ledger: of both.
        first: number of the version that is compared with.
        second: number of the other one, newer or older.

    Raises:
        InputError: a version is missing or damaged, or does not follow from the one before it.
    """
    history = {manifest.number: manifest for manifest in ledger.history()}
    before = ledger.records(ledger.manifest(first))
    after = ledger.records(ledger.manifest(second))
    both = sorted(before.keys() | after.keys())
    ids = [id_ for id_ in both if before.get(id_) != after.get(id_)]
    older, newer = sorted((first, second))
    touched = _touched(ledger, history, older, newer, ids)
    return [_difference(id_, before, after, touched[id_]) for id_ in ids]


def _difference(id_: str, before: Records, after: Records, by: Manifest) -> Difference:
    old, new = before.get(id_), after.get(id_)
    known = new or old
    assert known is not None
    return Difference(
        id=id_,
        what="added" if old is None else "removed" if new is None else "changed",
        before=old.class_name if old else "",
        after=new.class_name if new else "",
        by=by.author,
        version=by.number,
        time=by.time,
        editor=known.editor or known.author,
    )


def _touched(
    ledger: Ledger, history: dict[int, Manifest], first: int, last: int, ids: Collection[str]
) -> dict[str, Manifest]:
    """Return the last version from after `first` to `last` that touched each sample."""
    wanted = set(ids)
    touched: dict[str, Manifest] = {}
    for number in range(first + 1, last + 1):
        changed = set(_changed_in(ledger, history[number - 1], history[number]))
        touched |= dict.fromkeys(changed & wanted, history[number])
    return touched


def _changed_in(ledger: Ledger, parent: Manifest, manifest: Manifest) -> Iterator[str]:
    known = {part.sha256 for part in parent.parts}
    yield from set(parent.removed) ^ set(manifest.removed)
    for part in manifest.parts:
        if not part.merges and part.sha256 not in known:
            yield from (record.id for record in ledger.part(part))
