"""The ledger: commit changes as a version, read any version, bring one back, name one.

Two who commit at once both write their parts, and one of them gets the next number. The other one
finds it taken, takes the winner's version as the one before, and tries the number after it. So
somebody always succeeds, nobody waits, and nothing is lost. Where both changed the same sample,
both are kept, as the map in the notebook does.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.legend import Legend
from landcover.samples.versions.manifest import Manifest, Part, name_of
from landcover.samples.versions.parts import MOST_RECORDS, read_part, write_part
from landcover.samples.versions.placing import make_own_folder, place_once
from landcover.samples.versions.record import Record

PARTS, VERSIONS, TAGS = "parts", "versions", "tags"
_MOST_PARTS = 64
"""Of a version; the next one holds them merged, so that manifests stay small."""
_MOST_MANIFEST = 128 << 20
_FILE = re.compile(r"(\d{6})\.json")
_TAG = re.compile(r"[\w][\w. -]{0,63}")
_LAST_NUMBER = 999_999

Records = dict[str, Record]


@dataclass(frozen=True)
class Conflict:
    """A sample that somebody else changed since the version that ours began with.

    Attributes:
        id: of the sample.
        what: `both` were kept, ours as `rival`; it was `changed` while we removed it, and stays;
            or it was `removed` while we changed it, and is back.
        rival: id of ours, empty if there is none.
    """

    id: str
    what: str
    rival: str = ""


@dataclass(frozen=True)
class Committed:
    """What became of a commit.

    Attributes:
        number: of the version that holds it now.
        sha256: of its manifest.
        samples: in it.
        written: records that were added or changed by it.
        removed: samples that were removed by it.
        conflicts: with what others did meanwhile.
    """

    number: int
    sha256: str
    samples: int
    written: int
    removed: int
    conflicts: tuple[Conflict, ...]


class Ledger:
    """The versions in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder that is there; what a ledger needs in it is made with the first commit.

        Raises:
            InputError: there is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder, versions of samples need one")
        self.folder = folder
        self._read: dict[str, Sequence[Record]] = {}

    @property
    def last(self) -> int:
        """Number of the newest version, 0 if there is none."""
        return max(self.numbers(), default=0)

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, ascending."""
        versions = self.folder / VERSIONS
        names = [path.name for path in versions.iterdir()] if versions.is_dir() else []
        return sorted(int(found[1]) for name in names if (found := _FILE.fullmatch(name)))

    def manifest(self, number: int) -> Manifest:
        """Return the manifest of a version.

        Raises:
            InputError: there is no such version, or its file is damaged.
        """
        path = self.folder / VERSIONS / name_of(number)
        if not path.exists():
            raise InputError(f"{self.folder.name} has no version {number}, it has {self._has()}")
        return Manifest.from_bytes(read_plain_file(path, _MOST_MANIFEST), number)

    def _has(self) -> str:
        return f"1 to {self.last}" if self.last else "none yet"

    def records(self, manifest: Manifest | None) -> Records:
        """Return the records of a version by id, sorted by it; none of None.

        Raises:
            InputError: a part is missing or damaged.
        """
        if manifest is None:
            return {}
        found: Records = {}
        for part in manifest.parts:
            found |= {record.id: record for record in self.part(part)}
            if len(found) > MOST_RECORDS:
                raise InputError(f"version {manifest.number} has more than {MOST_RECORDS:,}")
        for id_ in manifest.removed:
            found.pop(id_, None)
        return dict(sorted(found.items()))

    def part(self, part: Part) -> Sequence[Record]:
        """Return the records of a part, read once.

        Raises:
            InputError: it is missing or damaged.
        """
        if part.sha256 not in self._read:
            self._read[part.sha256] = read_part(self.folder / PARTS, part.sha256)
        return self._read[part.sha256]

    def ever(self, ids: Collection[str]) -> set[Record]:
        """Return all that any version said of some samples.

        Raises:
            InputError: a version is missing or damaged.
        """
        parts = {part.sha256: part for manifest in self.history() for part in manifest.parts}
        wanted = set(ids)
        return {r for part in parts.values() for r in self.part(part) if r.id in wanted}

    def find(self, name: str) -> Manifest:
        """Return the manifest of a version by its number, its SHA-256, its tag, or `latest`.

        Raises:
            InputError: there is none.
        """
        if name == "latest":
            return self.manifest(self.last)
        if name.isdecimal() and len(name) <= len(str(_LAST_NUMBER)):
            return self.manifest(int(name))
        if re.fullmatch(r"[0-9a-f]{64}", name):
            return self._of_digest(name)
        return self._of_digest(self.tags().get(name, name))

    def _of_digest(self, digest: str) -> Manifest:
        for number in reversed(self.numbers()):
            manifest = self.manifest(number)
            if manifest.sha256 == digest:
                return manifest
        raise InputError(f"{self.folder.name} has no version {digest}, it has {self._has()}")

    def history(self) -> Iterator[Manifest]:
        """Yield all manifests from the first one on, each checked to follow the one before.

        Raises:
            InputError: one is missing, was changed later, or is damaged.
        """
        before = ""
        for expected, number in enumerate(self.numbers(), 1):
            manifest = self.manifest(number)
            if number != expected or manifest.parent != before:
                raise InputError(
                    f"version {number} of {self.folder.name} does not follow the one before it: "
                    "take its versions from a backup"
                )
            before = manifest.sha256
            yield manifest

    def commit(
        self,
        records: Collection[Record],
        removed: Collection[str],
        author: str,
        *,
        base: int | None = None,
        message: str = "",
        restores: int = 0,
        legend: Legend | None = None,
    ) -> Committed:
        """Add a version with some records added or changed, and some removed.

        Args:
            records: as they shall be.
            removed: ids.
            author: who does it.
            base: number of the version that the author began with; the newest one by default.
            message: what the author says of it.
            restores: number of the version that it brings back; 0 if none.
            legend: codes and colours; classes that the ledger knows keep theirs.

        Returns:
            The new version, or the newest one if nothing is new.

        Raises:
            InputError: an id stands twice, the base is missing, or the ledger is damaged.
            Unwritable: the disk is full or read-only.
        """
        _need_once(records)
        base = self.last if base is None else base
        before = self.records(self.manifest(base) if base else None)
        for name in (PARTS, VERSIONS):
            make_own_folder(self.folder / name)
        done = None
        while done is None:
            head = self.manifest(self.last) if self.last else None
            now = self.records(head)
            change = _resolved(before, now, records, removed)
            wanted = self._following(head, now, change, _legend_of(head, legend))
            if wanted != head:
                time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                wanted = replace(wanted, author=author, time=time, message=message)
                wanted = replace(wanted, restores=restores)
            if wanted == head or self._place(wanted):
                done = _committed(wanted, now, change)
        return done

    def _following(
        self,
        head: Manifest | None,
        now: Records,
        change: "_Change",
        legend: tuple[dict[str, object], ...],
    ) -> Manifest:
        """Return the version after the newest one, or that one if nothing is new."""
        if head is not None and change.is_empty and legend == head.legend:
            return head
        return Manifest(
            number=(head.number if head else 0) + 1,
            parent=head.sha256 if head else "",
            parts=self._parts(head, now, change.written),
            removed=_removed(head, change),
            author="",
            time="",
            legend=legend,
        )

    def _parts(
        self, head: Manifest | None, now: Records, written: Sequence[Record]
    ) -> tuple[Part, ...]:
        parts = head.parts if head else ()
        if len(parts) >= _MOST_PARTS and now:
            parts = (self._write(list(now.values()), merges=True),)
        return (*parts, self._write(written)) if written else parts

    def _write(self, records: Sequence[Record], merges: bool = False) -> Part:
        digest = write_part(self.folder / PARTS, records)
        self._read[digest] = tuple(records)
        return Part(digest, len(records), merges)

    def _place(self, manifest: Manifest) -> bool:
        if manifest.number > _LAST_NUMBER:
            raise InputError(f"{self.folder.name} has {_LAST_NUMBER:,} versions, begin a new one")
        target = self.folder / VERSIONS / name_of(manifest.number)
        return place_once(target, manifest.to_bytes())

    def restore(self, number: int, author: str, message: str = "") -> Committed:
        """Add a version that is as an old one was; what others add meanwhile stays.

        Raises:
            InputError: there is no such version.
        """
        old = self.records(self.manifest(number))
        head = self.manifest(self.last)
        now = self.records(head)
        return self.commit(
            [record for record in old.values() if now.get(record.id) != record],
            now.keys() - old.keys(),
            author,
            base=head.number,
            message=message,
            restores=number,
        )

    def tag(self, number: int, name: str, author: str) -> str:
        """Name a version, once and for all.

        Returns:
            Its SHA-256, which is what the tag means.

        Raises:
            InputError: the version is missing, or the name is invalid or taken by another one.
        """
        if not _TAG.fullmatch(name) or name.isdecimal() or name == "latest":
            raise InputError(
                f"{name} is no tag, it needs up to 64 letters, digits and -_. and no number alone"
            )
        sha256 = self.manifest(number).sha256
        make_own_folder(self.folder / TAGS)
        content = {"version": sha256, "author": author}
        ours = place_once(self.folder / TAGS / f"{name}.json", _to_bytes(content))
        if not ours and self.tags().get(name) != sha256:
            raise InputError(f"{name} is the tag of another version, tags do not move")
        return sha256

    def tags(self) -> dict[str, str]:
        """Return the SHA-256 of each tagged version by its tag, sorted.

        Raises:
            InputError: a tag is damaged.
        """
        folder = self.folder / TAGS
        found = sorted(folder.glob("*.json")) if folder.is_dir() else []
        return {p.stem: _tagged(p) for p in found if _TAG.fullmatch(p.stem)}

    def faults(self) -> list[str]:
        """Read everything, and return what is missing or damaged; nothing if all is well."""
        faults = {}
        try:
            manifests = list(self.history())
            self.tags()
        except InputError as error:
            return [str(error)]
        for part in {part.sha256: part for m in manifests for part in m.parts}.values():
            try:
                read_part(self.folder / PARTS, part.sha256)
            except InputError as error:
                faults[part.sha256] = str(error)
        return list(faults.values())


@dataclass(frozen=True)
class _Change:
    written: tuple[Record, ...]
    removed: frozenset[str]
    conflicts: tuple[Conflict, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.written or self.removed)


def _resolved(
    before: Mapping[str, Record],
    now: Mapping[str, Record],
    records: Collection[Record],
    removed: Collection[str],
) -> _Change:
    """Return what is to be written now of what was changed against the version before."""
    written, conflicts = [], []
    for record in records:
        change, conflict = _one(before.get(record.id), now.get(record.id), record)
        if change is not None and now.get(change.id) != change:
            written.append(change)
            conflicts += [conflict] if conflict else []
    goes = frozenset(id_ for id_ in removed if id_ in now and now[id_] == before.get(id_))
    stays = [id_ for id_ in sorted(removed) if id_ in now and id_ not in goes]
    conflicts += [Conflict(id_, "changed") for id_ in stays]
    return _Change(tuple(sorted(written, key=lambda r: r.id)), goes, tuple(conflicts))


def _one(
    before: Record | None, now: Record | None, ours: Record
) -> tuple[Record | None, Conflict | None]:
    if ours in (before, now):  # nothing of ours, or others did the same
        return None, None
    if now == before:
        return ours, None
    if now is None:
        return ours, Conflict(ours.id, "removed")
    rival = ours.as_rival()
    return rival, Conflict(ours.id, "both", rival.id)


def _removed(head: Manifest | None, change: _Change) -> tuple[str, ...]:
    before = set(head.removed) if head else set()
    return tuple(sorted((before | change.removed) - {r.id for r in change.written}))


def _committed(manifest: Manifest, before: Records, change: _Change) -> Committed:
    ids = (before.keys() | {record.id for record in change.written}) - change.removed
    return Committed(
        manifest.number,
        manifest.sha256,
        len(ids),
        len(change.written),
        len(change.removed),
        change.conflicts,
    )


def _legend_of(head: Manifest | None, legend: Legend | None) -> tuple[dict[str, object], ...]:
    known = head.legend if head else ()
    if legend is None:
        return known
    joint, _ = Legend.from_list(list(known)).united(legend) if known else (legend, None)
    return tuple(joint.to_list())


def _need_once(records: Collection[Record]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise InputError(f"the id {record.id} stands twice, each sample needs its own")
        seen.add(record.id)


def _to_bytes(content: Mapping[str, str]) -> bytes:
    return f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()


def _tagged(path: Path) -> str:
    try:
        found = json.loads(read_plain_file(path, 65_536))["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path.name} is no tag of a version") from error
    return str(found)
