"""The classes to draw, in the order they are shown, and how edits of several people meet.

A class is the same by its code, whatever it is called: maps and samples made before keep their
meaning. Only new classes get codes, and only from those that were never given here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from landcover.errors import InputError
from landcover.io.legend import Legend, LegendClass

Edit = Callable[["Classes"], "Classes"]


@dataclass(frozen=True)
class Classes:
    """Classes in the order they are shown; their codes keep another order.

    Attributes:
        entries: each code and each name once.
    """

    entries: tuple[LegendClass, ...] = ()

    @classmethod
    def from_list(cls, listed: Any) -> "Classes":
        """Read the JSON form, a list of {code, name, color, parent}, whose order is kept.

        Raises:
            InputError: it is no legend.
        """
        legend = Legend.from_list(listed)
        return cls(tuple(_at(legend, entry["code"]) for entry in listed))

    @classmethod
    def of(cls, legend: Legend) -> "Classes":
        """Return the classes of a legend, in the order of their codes."""
        return cls(legend.classes)

    @property
    def legend(self) -> Legend:
        """The classes as operations read them."""
        return Legend(tuple(sorted(self.entries, key=lambda entry: entry.code)))

    def to_list(self) -> list[dict[str, Any]]:
        """Return the JSON form, in the order they are shown."""
        return [entry.to_dict() for entry in self.entries]

    def named(self, name: str) -> LegendClass:
        """Return the class of a name.

        Raises:
            InputError: there is none.
        """
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            raise InputError(f"there is no class {name} in the legend")
        return found

    def renamed(self, name: str, new: str) -> "Classes":
        """Give a class another name.

        Raises:
            InputError: there is no such class, or another one has that name.
        """
        new = new.strip()
        if not new:
            raise InputError("a class needs a name")
        return self._with(replace(self.named(name), name=new))

    def colored(self, name: str, color: str) -> "Classes":
        """Give a class another colour, #rrggbb.

        Raises:
            InputError: there is no such class, or it is no colour.
        """
        entry = self.named(name).to_dict() | {"color": color}
        return self._with(Legend.from_list([entry]).classes[0])

    def grouped(self, name: str, parent: str) -> "Classes":
        """Put a class into a group, or with "" out of it.

        Raises:
            InputError: there is no such class, or the group has the name of a class.
        """
        return self._with(replace(self.named(name), parent=parent.strip()))

    def moved(self, name: str, place: int) -> "Classes":
        """Show a class at another place, from 0; its code stays."""
        entry = self.named(name)
        others = [each for each in self.entries if each != entry]
        place = min(max(place, 0), len(others))
        return Classes((*others[:place], entry, *others[place:]))

    def without(self, name: str) -> "Classes":
        """Remove a class.

        Raises:
            InputError: there is no such class.
        """
        gone = self.named(name)
        return Classes(tuple(entry for entry in self.entries if entry != gone))

    def joined(self, other: Legend) -> "Classes":
        """Return these classes and those of another legend, whose colours and groups they take.

        Names that both have keep their code here; new ones keep theirs where it is free.
        """
        both, _ = self.legend.united(other)
        news = {entry.name: entry for entry in other.classes}
        taken = [
            replace(entry, color=news[entry.name].color, parent=news[entry.name].parent)
            if entry.name in news
            else entry
            for entry in both.classes
        ]
        Legend(tuple(taken))  # refused where a group has the name of a class
        by_code = {entry.code: entry for entry in taken}
        kept = [by_code.pop(entry.code) for entry in self.entries]
        return Classes((*kept, *by_code.values()))

    def _with(self, changed: LegendClass) -> "Classes":
        entries = tuple(changed if e.code == changed.code else e for e in self.entries)
        Legend(tuple(sorted(entries, key=lambda entry: entry.code)))  # a name once
        return Classes(entries)


def rebased(base: Classes, ours: Classes, theirs: Classes) -> Classes:
    """Bring the edits from `base` to `ours` into what others made of `base`.

    Args:
        base: that both began with.
        ours: where both changed one class, ours stays.
        theirs: with their additions, changes and removals.

    Returns:
        The classes of both. Of two that were added under one code, ours gets a free one; of two
        classes that now have one name, ours goes: its samples have the same name.
    """
    before, mine, other = (_by_code(each) for each in (base, ours, theirs))
    kept: list[LegendClass] = []
    for code in _order(base, ours, theirs):
        entry = _one(before.get(code), mine.get(code), other.get(code))
        kept += [entry] if entry is not None else []
    added = [mine[c] for c in mine if c not in before and c in other and mine[c] != other[c]]
    return _distinct((*kept, *added))


def _one(
    base: LegendClass | None, mine: LegendClass | None, other: LegendClass | None
) -> LegendClass | None:
    if base is None:
        return other or mine
    return other if mine == base else mine


def _order(base: Classes, ours: Classes, theirs: Classes) -> Iterator[int]:
    """Yield all codes in our order where we changed it, else in theirs; then the rest."""
    first, second = (theirs, ours) if _codes(ours) == _codes(base) else (ours, theirs)
    yield from _codes(first)
    yield from (code for code in _codes(second) if code not in _codes(first))


def _distinct(entries: Iterable[LegendClass]) -> Classes:
    """Drop classes whose name stands already, and give free codes to those whose code does."""
    kept: dict[str, LegendClass] = {}
    legend = Legend(())
    for entry in entries:
        if entry.name not in kept:
            legend, code = legend.including(replace(entry, parent=""))
            kept[entry.name] = replace(entry, code=code)
    return Classes(
        tuple(replace(e, parent="" if e.parent in kept else e.parent) for e in kept.values())
    )


def _by_code(classes: Classes) -> dict[int, LegendClass]:
    return {entry.code: entry for entry in classes.entries}


def _codes(classes: Classes) -> Sequence[int]:
    return [entry.code for entry in classes.entries]


def _at(legend: Legend, code: int) -> LegendClass:
    return next(entry for entry in legend.classes if entry.code == code)
