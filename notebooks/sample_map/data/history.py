"""Undo and redo: of the last step, or of the last step that touched one sample.

A step may have changed the classes, too; they go back with it. Or it took a layer from the map.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from landcover.errors import InputError
from sample_map.data.classes import Classes
from sample_map.data.features import Change, Sample


@dataclass(frozen=True)
class Step:
    """What one stroke or click changed.

    Attributes:
        changes: of samples.
        classes: before and after, None where they stayed.
        layer: key of the layer that was removed; empty if none was.
    """

    changes: tuple[Change, ...] = ()
    classes: tuple[Classes, Classes] | None = None
    layer: str = ""

    @property
    def touched(self) -> tuple[str, ...]:
        """The ids of the samples, or the key of the layer."""
        layers = (self.layer,) if self.layer else ()
        return (*(change.id for change in self.changes), *layers)


Current = Callable[[str], Sample | None]


@dataclass
class History:
    """The steps of one session.

    Attributes:
        author: hub name of whose session it is.
        done: the steps that can be undone, the last one last.
        undone: the steps that can be redone, the last one last.
    """

    author: str
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Remember a step; what was undone of the same samples cannot be redone any more."""
        touched = _ids(step)
        edits = step.classes is not None
        self.undone = [
            s for s in self.undone if not (touched & _ids(s) or (edits and s.classes is not None))
        ]
        self.done.append(step)

    def undo(self, current: Current, sample: str | None = None) -> Step:
        """Return the step that takes the last one back, and count that as undone.

        Args:
            current: tells what a sample is now.
            sample: id of the only sample, or key of the only layer, to look at; every one if not
                given.

        Raises:
            InputError: there is no such step, or somebody changed the sample since.
        """
        step = _last(self.done, sample)
        if step is None:
            raise InputError("there is nothing to undo")
        back = tuple(self._change(current(c.id), c.after, c.before) for c in step.changes)
        self.done.remove(step)
        pairs = zip(step.changes, back, strict=True)
        forth = tuple(Change(b.after, c.after) for c, b in pairs)
        self.undone.append(replace(step, changes=forth))
        return replace(step, changes=back, classes=step.classes and step.classes[::-1])

    def redo(self, current: Current, sample: str | None = None) -> Step:
        """Return the step that repeats what was undone last, and count it as done.

        Raises:
            InputError: as for `undo`.
        """
        step = _last(self.undone, sample)
        if step is None:
            raise InputError("there is nothing to redo")
        forth = tuple(self._change(current(c.id), c.before, c.after) for c in step.changes)
        self.undone.remove(step)
        done = replace(step, changes=forth)
        self.done.append(done)
        return done

    def _change(self, now: Sample | None, known: Sample | None, wanted: Sample | None) -> Change:
        if _content(now) != _content(known):
            raise InputError("somebody else changed the sample since, so it is left as it is")
        if wanted is None or now is None:
            return Change(now, wanted)
        kept = ("class_name", "geometry", "image", "rival")
        # a new version, not the old number again: others notice by it that something changed
        return Change(now, now.edited(self.author, **{k: getattr(wanted, k) for k in kept}))


def _last(steps: Sequence[Step], sample: str | None) -> Step | None:
    return next((s for s in reversed(steps) if sample is None or sample in _ids(s)), None)


def _ids(step: Step) -> set[str]:
    return set(step.touched)


def _content(sample: Sample | None) -> object:
    return sample and (sample.class_name, sample.geometry, sample.image, sample.rival)
