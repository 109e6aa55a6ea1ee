"""Undo and redo: of the last step, or of the last step that touched one sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from landcover.errors import InputError
from sample_map.data.features import Change, Sample

Step = tuple[Change, ...]


Current = Callable[[str], Sample | None]


@dataclass
class History:
    """The steps of one session; a step is what one stroke or click changed.

    Attributes:
        author: hub name of whose session it is.
        done: the steps that can be undone, the last one last.
        undone: the steps that can be redone, the last one last.
    """

    author: str
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)

    def add(self, step: Sequence[Change]) -> None:
        """Remember a step; what was undone of the same samples cannot be redone any more."""
        touched = {change.id for change in step}
        self.undone = [s for s in self.undone if not touched & {c.id for c in s}]
        self.done.append(tuple(step))

    def undo(self, current: Current, sample: str | None = None) -> Step:
        """Return the changes that take the last step back, and count it as undone.

        Args:
            current: tells what a sample is now.
            sample: id of the only sample to look at; every one if not given.

        Raises:
            InputError: there is no such step, or somebody changed the sample since.
        """
        step = _last(self.done, sample)
        if step is None:
            raise InputError("there is nothing to undo")
        back = tuple(self._change(current(c.id), c.after, c.before) for c in step)
        self.done.remove(step)
        self.undone.append(
            tuple(Change(b.after, c.after) for c, b in zip(step, back, strict=True))
        )
        return back

    def redo(self, current: Current, sample: str | None = None) -> Step:
        """Return the changes that repeat what was undone last, and count it as done.

        Raises:
            InputError: as for `undo`.
        """
        step = _last(self.undone, sample)
        if step is None:
            raise InputError("there is nothing to redo")
        forth = tuple(self._change(current(c.id), c.before, c.after) for c in step)
        self.undone.remove(step)
        self.done.append(forth)
        return forth

    def _change(self, now: Sample | None, known: Sample | None, wanted: Sample | None) -> Change:
        if _content(now) != _content(known):
            raise InputError("somebody else changed the sample since, so it is left as it is")
        if wanted is None or now is None:
            return Change(now, wanted)
        kept = ("class_name", "geometry", "image", "rival")
        # a new version, not the old number again: others notice by it that something changed
        return Change(now, now.edited(self.author, **{k: getattr(wanted, k) for k in kept}))


def _last(steps: Sequence[Step], sample: str | None) -> Step | None:
    fitting = (s for s in reversed(steps) if sample is None or sample in {c.id for c in s})
    return next(fitting, None)


def _content(sample: Sample | None) -> object:
    return sample and (sample.class_name, sample.geometry, sample.image, sample.rival)
