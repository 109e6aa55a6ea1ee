"""What one person does on one map: draw, change, split, delete, undo.

Everything here works without a browser. Each verb makes one step: it is saved in the journal
before the call returns, and can be undone.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.raster import open_raster
from landcover.storage import readable_at_home
from sample_map.data.classes import Classes, Edit, rebased
from sample_map.data.features import Change, Geometry, Sample, checked
from sample_map.data.history import History, Step
from sample_map.data.store import Conflict, SampleStore
from sample_map.data.tiles import spans_of
from sample_map.tools.growing import Region, grow
from sample_map.tools.shaping import cut_out, split_along


@dataclass(frozen=True)
class Grown:
    """A sample that was grown, and the region it was grown to."""

    sample: Sample
    region: Region


class Drawing:
    """The samples of one file under the hands of one person. Several threads may call.

    Attributes:
        author: hub name of the person.
        store: where the samples are kept.
        history: what can be undone.
    """

    def __init__(self, store: SampleStore, author: str) -> None:
        """Begin with nothing to undo."""
        self.author = author
        self.store = store
        self.history = History(author)
        self._lock = threading.RLock()
        self._spans: dict[str, np.ndarray] = {}

    @property
    def legend(self) -> Legend:
        """The classes to draw."""
        return self.store.classes.legend

    def draw(self, class_name: str, geometry: Geometry, image: str) -> Sample:
        """Add a sample.

        Raises:
            InputError: the outline is invalid, or there is no such class.
        """
        sample = Sample.new(self._known(class_name), geometry, self.author, image)
        self._do(Change(None, sample))
        return sample

    def add(self, samples: Iterable[Sample], legend: Legend | None = None) -> None:
        """Add samples that were drawn elsewhere, in one step; they may have no class yet.

        Args:
            samples: to add.
            legend: of classes to add with them.

        Raises:
            InputError: there is no such class.
        """
        changes = [Change(None, sample) for sample in samples]
        known = {"", *self.legend.names, *(legend.names if legend else ())}
        for change in changes:
            if change.after and change.after.class_name not in known:
                self._known(change.after.class_name)
        if legend is None:
            return self._do(*changes)
        self._edit(lambda classes: classes.joined(legend), lambda: changes)

    def grow(
        self, class_name: str, place: tuple[float, float], image: str, tolerance: float
    ) -> Grown:
        """Add the region around a place, longitude and latitude in degrees.

        Raises:
            InputError: the place has no data, or there is no such class.
        """
        region = self.region(place, image, tolerance)
        return Grown(self.draw(class_name, region.geometry, image), region)

    def grow_again(
        self, id: str, version: int, place: tuple[float, float], tolerance: float
    ) -> Grown:
        """Grow a sample anew, with another tolerance.

        Raises:
            InputError: the sample is not there, or was changed by somebody else.
        """
        region = self.region(place, self._unchanged(id, version).image, tolerance)
        return Grown(self.reshape(id, version, region.geometry)[0], region)

    def region(self, place: tuple[float, float], image: str, tolerance: float) -> Region:
        """Return the region around a place, longitude and latitude in degrees; nothing is kept.

        Raises:
            InputError: the place has no data.
        """
        with readable_at_home(image) as path, open_raster(path) as dataset:
            stat = path.stat()
            key = f"{image} {stat.st_ino} {stat.st_mtime_ns}"
            if key not in self._spans:
                self._spans[key] = spans_of(dataset)
            return grow(dataset, *place, tolerance, self._spans[key])

    def reshape(self, id: str, version: int, geometry: Geometry) -> tuple[Sample, Conflict | None]:
        """Give a sample another outline.

        Args:
            id: of the sample.
            version: that was shown when the change began. If somebody changed the sample since,
                both are kept.
            geometry: the new outline.

        Returns:
            The sample with that outline, and the conflict if there was one.

        Raises:
            InputError: the outline is invalid.
        """
        outline = checked(geometry)
        with self._lock:
            now = self.store.samples.get(id)
            if now is None:
                raise InputError("somebody deleted this sample meanwhile")
            if now.version != version:
                return self._keep_both(now, outline)
            sample = now.edited(self.author, geometry=outline)
            self._do(Change(now, sample))
            return sample, None

    def reclass(self, id: str, version: int, class_name: str) -> Sample:
        """Give a sample another class.

        Raises:
            InputError: there is no such class, or somebody changed the sample meanwhile.
        """
        with self._lock:
            now = self._unchanged(id, version)
            sample = now.edited(self.author, class_name=self._known(class_name))
            self._do(Change(now, sample))
            return sample

    def split(self, id: str, version: int, line: Geometry) -> tuple[Sample, ...]:
        """Cut a sample along a line; the largest piece stays the sample that it was.

        Raises:
            InputError: the line does not cut it, or somebody changed the sample meanwhile.
        """
        with self._lock:
            now = self._unchanged(id, version)
            first, *others = split_along(now.geometry, line)
            kept = now.edited(self.author, geometry=first)
            pieces = tuple(replace(now, geometry=o, version=1, rival="").renamed() for o in others)
            self._do(Change(now, kept), *(Change(None, piece) for piece in pieces))
            return kept, *pieces

    def cut(self, id: str, version: int, hole: Geometry) -> Sample:
        """Cut an area out of a sample.

        Raises:
            InputError: the area lies beside it, or somebody changed the sample meanwhile.
        """
        with self._lock:
            now = self._unchanged(id, version)
            sample = now.edited(self.author, geometry=cut_out(now.geometry, checked(hole)))
            self._do(Change(now, sample))
            return sample

    def delete(self, id: str, version: int) -> None:
        """Delete a sample.

        Raises:
            InputError: somebody changed it meanwhile.
        """
        with self._lock:
            self._do(Change(self._unchanged(id, version), None))

    def settle(self, id: str, version: int) -> Sample:
        """Say that two samples which came of a conflict are both right.

        Raises:
            InputError: somebody changed the sample meanwhile.
        """
        with self._lock:
            now = self._unchanged(id, version)
            sample = now.edited(self.author, rival="")
            self._do(Change(now, sample))
            return sample

    def undo(self, id: str | None = None) -> tuple[str, ...]:
        """Take back the last step, or the last one that touched a sample; return what it touched.

        Raises:
            InputError: there is none, or somebody changed the sample since.
        """
        with self._lock:
            return self._repeat(self.history.undo(self.store.samples.get, id))

    def redo(self, id: str | None = None) -> tuple[str, ...]:
        """Repeat what was undone last, of all samples or of one; return what it touched.

        Raises:
            InputError: there is nothing, or somebody changed the sample since.
        """
        with self._lock:
            return self._repeat(self.history.redo(self.store.samples.get, id))

    def add_class(self, name: str) -> None:
        """Add a class to the legend, in a colour that is not taken.

        Raises:
            InputError: it has no name, or it is there already.
        """
        name = name.strip()
        if not name:
            raise InputError("a class needs a name")
        if name in self.legend.names:
            raise InputError("a class of this name is there already")
        self.take_classes(self.legend.extended([name]))

    def take_classes(self, legend: Legend) -> None:
        """Add the classes of another legend, and take its colours and groups of those known.

        Raises:
            InputError: there are more classes than codes, or a group has the name of a class.
        """
        self._edit(lambda classes: classes.joined(legend))

    def rename_class(self, name: str, new: str) -> tuple[Sample, ...]:
        """Give a class another name, and its samples with it; return these.

        Raises:
            InputError: there is no such class, or another one has that name.
        """
        if name == new.strip():
            return ()
        return self._edit(lambda classes: classes.renamed(name, new), self._reclassed(name, new))

    def merge_class(self, name: str, into: str) -> tuple[Sample, ...]:
        """Give all samples of a class another one, and remove the class; return the samples.

        Raises:
            InputError: there is no such class.
        """
        self._known(into)
        if name == into:
            raise InputError("a class cannot be merged with itself")
        return self._edit(lambda classes: _removed(classes, name), self._reclassed(name, into))

    def delete_class(self, name: str) -> tuple[Sample, ...]:
        """Delete a class with all its samples; return these.

        Raises:
            InputError: there is no such class.
        """
        with self._lock:
            gone = tuple(Change(sample, None) for sample in self._of_class(name))
            return self._edit(lambda classes: _removed(classes, name), lambda: gone)

    def color_class(self, name: str, color: str) -> None:
        """Draw a class in another colour, #rrggbb.

        Raises:
            InputError: there is no such class, or it is no colour.
        """
        self._edit(lambda classes: classes.colored(name, color))

    def group_class(self, name: str, parent: str) -> None:
        """Put a class into a group of classes, or with "" out of it.

        Raises:
            InputError: there is no such class, or the group has the name of a class.
        """
        self._edit(lambda classes: classes.grouped(name, parent))

    def move_class(self, name: str, place: int) -> None:
        """Show a class at another place of the list, from 0; its code on maps stays.

        Raises:
            InputError: there is no such class.
        """
        self._edit(lambda classes: classes.moved(name, place))

    def _edit(
        self, edit: Edit, changes: Callable[[], Sequence[Change]] = tuple
    ) -> tuple[Sample, ...]:
        """Edit the classes and the samples that follow, in one step; return these samples."""
        with self._lock:
            both = self.store.edit_classes(edit)
            made = tuple(changes())
            self.store.record(made)
            self.history.add(Step(made, both))
            return tuple(sample for c in made if (sample := c.after or c.before))

    def _reclassed(self, name: str, new: str) -> Callable[[], Sequence[Change]]:
        new = new.strip()
        return lambda: [
            Change(s, s.edited(self.author, class_name=new)) for s in self._of_class(name)
        ]

    def _of_class(self, name: str) -> list[Sample]:
        return [s for s in self.store.samples.values() if s.class_name == name]

    def _repeat(self, step: Step) -> tuple[str, ...]:
        if step.classes is not None:
            before, after = step.classes
            self.store.edit_classes(lambda now: rebased(before, after, now))
        self.store.record(step.changes)
        return step.touched

    def _do(self, *changes: Change) -> None:
        with self._lock:
            self.store.record(changes)
            self.history.add(Step(changes))

    def _known(self, class_name: str) -> str:
        if class_name not in self.legend.names:
            raise InputError(f"there is no class {class_name} in the legend")
        return class_name

    def _unchanged(self, id: str, version: int) -> Sample:
        now = self.store.samples.get(id)
        if now is None:
            raise InputError("somebody deleted this sample meanwhile")
        if now.version != version:
            raise InputError("somebody changed this sample meanwhile, look at it and try again")
        return now

    def _keep_both(self, now: Sample, outline: Geometry) -> tuple[Sample, Conflict]:
        second = replace(now, geometry=outline, editor=self.author, rival=now.id).renamed()
        self._do(Change(None, second))
        return second, Conflict(now.id, now.editor or now.author, "both", second.id)


def _removed(classes: Classes, name: str) -> Classes:
    """Return the classes without one; a name that only samples have is none of them."""
    return classes.without(name) if name in classes.legend.names else classes
