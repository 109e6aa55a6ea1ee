"""The samples of one GeoJSON file, which several maps may write at the same time.

A change is first synced to the journal of its session, and within seconds folded into the file:
under a lock, the file is read, what others wrote stays, our changes are applied where the sample
still is what it was, and the whole is written beside and renamed. Where somebody else changed the
same sample meanwhile, both are kept and the two point at each other.

The file notes of each session how far its journal is in it. So a change is folded once, however
often and wherever the process is killed.
"""

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from landcover.errors import InputError, NameRefused
from landcover.io.files.atomic import written_beside
from landcover.io.legend import Legend
from landcover.storage import folder_at_home, home_path, name_at_home
from sample_map.data.classes import Classes, Edit, rebased
from sample_map.data.features import Change, Sample
from sample_map.data.journal import Entry, Journal, adopted
from sample_map.data.legends import classes_in
from sample_map.texts import text

Samples = dict[str, Sample]


@dataclass(frozen=True)
class Conflict:
    """Two people changed one sample at the same time.

    Attributes:
        id: of the sample, as it is in the file.
        editor: hub name of who else changed it; empty if nobody said.
        what: `both` were kept, the other one as `rival`; it was `changed` while we deleted it,
            and stays; or it was `deleted` while we changed it, and is back.
        rival: id of the second one, empty if there is none.
    """

    id: str
    editor: str
    what: str
    rival: str = ""


@dataclass(frozen=True)
class Content:
    """What the file holds: samples by id, classes, and how far each session's journal is in it."""

    samples: Samples = field(default_factory=dict)
    classes: Classes | None = None
    folded: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class News:
    """What a look at the file brought.

    Attributes:
        shown: samples that are new or other than before.
        gone: ids of samples that are no more.
        conflicts: found by this look.
    """

    shown: tuple[Sample, ...] = ()
    gone: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class SampleStore:
    """The samples as one session sees them, and the way to keep them.

    Attributes:
        name: storage name of the file.
        samples: by id, with what this session changed.
        trouble: a sentence if something is not on the disk, else empty.
        checked: when the storage was last seen to be there, in seconds of `time.monotonic`.
        found: conflicts between the file and what killed sessions had left.
    """

    def __init__(self, name: str, legend: Legend | None = None) -> None:
        """Open the file and take over what killed sessions left in their journals.

        Args:
            name: storage name of the file, made with the first sample.
            legend: to keep with the samples; the file's own if not given.

        Raises:
            InputError: the file holds no samples; it is left as it is.
        """
        self.name = name
        self.samples: Samples = {}
        self.trouble = ""
        self.found: tuple[Conflict, ...] = ()
        self.checked = time.monotonic()
        self._folder_name, self._stem = str(PurePosixPath(name).parent), PurePosixPath(name).name
        self._journal = Journal(self._stem)
        self._kept = Content()
        self._seen: tuple[int, int, int] | None = None
        self._pending: dict[str, Change] = {}
        self._classes = None if legend is None else Classes.of(legend)
        self._classes_before: Classes | None = None  # as the file had them, or as we left them
        self._classes_are_new = False
        self._state = threading.RLock()
        self._folding = threading.Lock()
        try:
            with folder_at_home(self._folder_name, make=True):
                self.found = self.fold().conflicts
        except (OSError, NameRefused) as error:
            self.trouble = message_of(error)

    @property
    def classes(self) -> Classes:
        """The classes of this session, with what others made of them."""
        return self._classes or Classes()

    def edit_classes(self, edit: Edit) -> tuple[Classes, Classes]:
        """Edit the classes; return them as they were, and as they are.

        Raises:
            InputError: as the edit.
        """
        with self._state:
            before = self.classes
            self._classes = edit(before)
            self._classes_are_new = True
            return before, self._classes

    @property
    def is_pending(self) -> bool:
        """Whether something is in the journal that the file does not hold yet."""
        return bool(self._pending) or self._classes_are_new

    def record(self, changes: Iterable[Change]) -> None:
        """Apply the changes of a stroke and sync them to the journal.

        If that fails, `trouble` says why, the changes stay in memory, and every `check` tries
        again.
        """
        changes = tuple(changes)
        with self._state:
            for change in changes:
                _add(self._pending, change)
                _apply(self.samples, change)
            self._journal.add(changes)
            self.check()

    def check(self) -> bool:
        """See whether the storage is there, and write what is not on the disk yet.

        Returns:
            Whether others wrote the file since it was read.
        """
        with self._state:
            try:
                with self._folder() as folder:
                    self._journal.check(folder)
                    self._journal.flush(folder)
                    seen = _signature(folder / self._stem)
                self.trouble = ""
            except (OSError, NameRefused) as error:
                seen, self.trouble = self._seen, message_of(error)
        self.checked = time.monotonic()
        return seen != self._seen

    def fold(self) -> News:
        """Bring the journal into the file, and what others wrote into `samples`.

        Raises:
            InputError: the file holds no samples any more; the journal keeps ours.
            OSError: the storage cannot be written.
        """
        with self._folding, self._folder() as folder, _locked(folder / f".{self._stem}.lock"):
            kept = self._read(folder / self._stem)
            with self._state:
                ours, self._pending = self._pending, {}
                number = self._journal.number
                unwritten, self._classes_are_new = self._classes_are_new, False
            try:
                merged, conflicts = self._merge_all(folder, kept, ours, number, unwritten)
            except BaseException:
                with self._state:
                    self._pending = _composed(ours, self._pending)
                    self._classes_are_new |= unwritten
                raise
            return self._take(merged, conflicts, number)

    def close(self) -> None:
        """Bring everything into the file and end the session."""
        try:
            self.fold()
            with self._folder() as folder:
                self._journal.close(folder)
        except (OSError, InputError):
            self._journal.release()  # the next one who opens the file takes the journal over

    def _folder(self) -> AbstractContextManager[Path]:
        # not made again: where a volume went away, a new folder would hide what is in it
        return folder_at_home(self._folder_name)

    def _read(self, path: Path) -> Content:
        """Read the file, unless it is as it was left; one that went away is written again."""
        seen = _signature(path)
        if seen is not None and seen != self._seen:
            self._kept, self._seen = read_content(path), seen
        return self._kept

    def _merge_all(
        self, folder: Path, kept: Content, ours: Mapping[str, Change], number: int, legend: bool
    ) -> tuple[Content, tuple[Conflict, ...]]:
        samples, folded = dict(kept.samples), dict(kept.folded)
        found: list[Conflict] = []
        with adopted(folder, self._stem) as orphans:
            for orphan in orphans:
                found += merge(samples, _unfolded(orphan.entries, folded.pop(orphan.session, 0)))
            found += merge(samples, ours)
            is_lost = bool(kept.samples) and _signature(folder / self._stem) is None
            if not (ours or orphans or legend or is_lost):
                return kept, ()
            alive = {s: n for s, n in folded.items() if self._is_journal(folder, s)}
            with self._state:
                joint = self._joint_classes(kept.classes)
            merged = Content(samples, joint, alive | {self._journal.session: number})
            write_content(folder / self._stem, merged)
            self._kept, self._seen = merged, _signature(folder / self._stem)
        return merged, tuple(found)

    def _is_journal(self, folder: Path, session: str) -> bool:
        return (folder / f".{self._stem}.{session}.journal").exists()

    def _joint_classes(self, theirs: Classes | None) -> Classes | None:
        if theirs is None or self._classes is None:
            return self._classes or theirs
        if self._classes_before is None:  # given by hand, before the file's own were seen
            return theirs.joined(self._classes.legend)
        return rebased(self._classes_before, self._classes, theirs)

    def _take(self, merged: Content, conflicts: tuple[Conflict, ...], number: int) -> News:
        """Show what the file holds now, with what was changed while it was written."""
        with self._state:
            self._journal.forget(number)
            self._classes = self._joint_classes(merged.classes)
            self._classes_before = merged.classes
            seconds = {c.id: merged.samples[c.rival] for c in conflicts if c.rival}
            self._pending = _follow(self._pending, seconds)
            now = dict(merged.samples)
            for change in self._pending.values():
                _apply(now, change)
            before, self.samples = self.samples, now
            # before anybody draws again: what is compared must not change meanwhile
            gone = tuple(id for id in before if id not in now)
            shown = tuple(
                sample
                for id, sample in now.items()
                if before.get(id) is not sample and before.get(id) != sample
            )
        return News(shown, gone, conflicts)


def merge(samples: Samples, changes: Mapping[str, Change]) -> list[Conflict]:
    """Apply changes to the samples, in place, each where the sample still is what it was.

    Returns:
        One conflict for each that was not: nobody's work is dropped.
    """
    return [c for change in changes.values() if (c := _merge_one(samples, change)) is not None]


def _merge_one(samples: Samples, change: Change) -> Conflict | None:
    current = samples.get(change.id)
    if current == change.after:
        return None
    if current == change.before:
        _apply(samples, change)
        return None
    if change.after is None:
        assert current is not None
        return Conflict(change.id, current.editor, "changed")
    if current is None:
        samples[change.id] = change.after
        return Conflict(change.id, "", "deleted")
    second = replace(change.after.renamed(), rival=current.id)
    samples[second.id] = second
    return Conflict(current.id, current.editor or current.author, "both", second.id)


def read_content(path: Path) -> Content:
    """Read a file of samples; nothing if there is no file yet.

    Raises:
        InputError: it holds no samples.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Content()
    with os.fdopen(descriptor, encoding="utf-8") as file:
        try:
            found = json.load(file)
            samples = [Sample.from_feature(feature) for feature in found["features"]]
            folded = {str(s): int(n) for s, n in (found.get("folded") or {}).items()}
            return Content(_by_id(samples), classes_in(found), folded)
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path.name} holds no samples, rename it or give the map another name"
            ) from error


def write_content(path: Path, content: Content) -> None:
    """Write a file of samples, one line each, synced and renamed: readers find a whole file."""
    head: dict[str, Any] = {"type": "FeatureCollection", "name": path.stem}
    head |= {"legend": content.classes.to_list()} if content.classes else {}
    head |= {"folded": dict(content.folded)}
    opening = json.dumps(head, ensure_ascii=False)[:-1]
    lines = ",\n".join(sample.line for sample in content.samples.values())
    with written_beside(path) as beside, beside.open("x", encoding="utf-8") as file:
        file.write(f'{opening},\n"features": [\n{lines}\n]}}\n')
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def samples_name(scene: str, name: str | None) -> str:
    """Return the storage name of the file in which the samples are kept.

    Args:
        scene: name of the scene; its folder and file name the file if `name` does not.
        name: a name below home/samples/, or a whole storage name such as team/ice/floes.

    Raises:
        NameRefused: it is no storage name.

    >>> samples_name("shared/demo/scene.tif", None)
    'home/samples/demo-scene.geojson'
    >>> samples_name("shared/demo/scene.tif", "team/ice/floes")
    'team/ice/floes.geojson'
    """
    chosen = name or "-".join(PurePosixPath(scene).with_suffix("").parts[-2:])
    is_whole = chosen.startswith(("/", "home/", "shared/", "team/"))
    chosen = name_at_home(chosen) if is_whole else f"home/samples/{chosen}"
    home_path(chosen)
    return chosen if chosen.endswith(".geojson") else f"{chosen}.geojson"


def _by_id(samples: Iterable[Sample]) -> Samples:
    """Key the samples by id; a copy that a GIS made with the same id gets another."""
    found: Samples = {}
    for sample in samples:
        if sample.id in found:
            again = sample.to_feature()
            again["properties"] = again["properties"] | {"id": None, "copy": len(found)}
            sample = replace(sample, id=Sample.from_feature(again).id)
        found[sample.id] = sample
    return found


def _apply(samples: Samples, change: Change) -> None:
    if change.after is None:
        samples.pop(change.id, None)
    else:
        samples[change.id] = change.after


def _add(pending: dict[str, Change], change: Change) -> None:
    earlier = pending.pop(change.id, None)
    joint = change if earlier is None else earlier.then(change)
    if joint.before is not None or joint.after is not None:
        pending[change.id] = joint


def _composed(earlier: Mapping[str, Change], later: Mapping[str, Change]) -> dict[str, Change]:
    pending = dict(earlier)
    for change in later.values():
        _add(pending, change)
    return pending


def _follow(pending: Mapping[str, Change], seconds: Mapping[str, Sample]) -> dict[str, Change]:
    """Let changes made meanwhile follow our sample to where it was kept as the second one."""
    followed = {}
    for change in pending.values():
        second = seconds.get(change.id)
        if second is not None:
            after = change.after and replace(change.after, id=second.id, rival=second.rival)
            change = Change(second, after)
        followed[change.id] = change
    return followed


def _unfolded(entries: Iterable[Entry], number: int) -> dict[str, Change]:
    pending: dict[str, Change] = {}
    for entry in entries:
        if entry.number > number:
            for change in entry.changes:
                _add(pending, change)
    return pending


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def message_of(error: OSError | NameRefused) -> str:
    """Say in a sentence why the storage cannot be written."""
    cause = error.__cause__ if isinstance(error, NameRefused) else error
    known = _REASONS.get(cause.errno or 0) if isinstance(cause, OSError) else None
    return known or getattr(error, "strerror", None) or str(error)


_REASONS = {
    errno.ENOENT: text("the folder of the samples cannot be reached"),
    errno.ENOTDIR: text("the folder of the samples cannot be reached"),
    errno.ESTALE: text("the folder of the samples cannot be reached"),
    errno.ENOSPC: text("the disk is full"),
    errno.EDQUOT: text("the disk is full"),
    errno.EACCES: text("you may not write to the folder of the samples"),
    errno.EPERM: text("you may not write to the folder of the samples"),
    errno.EROFS: text("you may not write to the folder of the samples"),
    errno.ELOOP: text("the folder of the samples leads out of your folders"),
    errno.EXDEV: text("the folder of the samples leads out of your folders"),
}
