"""The legend: which code on a map is which class, and in what colour it is drawn."""

import colorsys
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from landcover.errors import InputError

NODATA = 255
MAX_CODE = 254
LEGEND_TAG = "LANDCOVER_LEGEND"
"""Of a map's dataset."""

# distinguishable with the common kinds of colour blindness: P. Tol, "Colour schemes" (2021), muted
_PALETTE = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255",
    "#aa4499", "#6699cc", "#661100", "#dddddd",
)  # fmt: skip
# classes that everybody expects in a colour of their own
_FAMILIAR = {
    "water": "#1f78b4",
    "forest": "#117733",
    "meadow": "#a6d96a",
    "grass": "#b2df8a",
    "farm": "#ddcc77",
    "agriculture": "#ddcc77",
    "residential": "#cc6677",
    "developed": "#cc6677",
    "wetland": "#44aa99",
    "scrub": "#999933",
    "shrubland": "#999933",
    "herbaceous": "#b2df8a",
    "sediment": "#882255",
}


@dataclass(frozen=True)
class LegendClass:
    """One class.

    Attributes:
        code: on a map, 1..254.
        name: unique in its legend.
        color: #rrggbb.
        parent: name of the group of classes that it belongs to, "" if to none.
    """

    code: int
    name: str
    color: str
    parent: str = ""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue, 0..255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; without a parent there is no such member."""
        members = asdict(self)
        return members if self.parent else {k: v for k, v in members.items() if k != "parent"}


@dataclass(frozen=True)
class Legend:
    """Classes in the order of their codes; 0 is never a class, 255 is nodata."""

    classes: tuple[LegendClass, ...]

    def __post_init__(self) -> None:
        """Refuse codes out of 1..254, doubled codes or names, and parents that are classes."""
        for code in self.codes:
            if not 1 <= code <= MAX_CODE:
                raise InputError(f"the legend holds code {code}, needs 1 to {MAX_CODE}")
        _need_once(self.codes, "code")
        _need_once(self.names, "name")
        for entry in self.classes:
            if entry.parent in self.names:
                raise InputError(
                    f"class {entry.name} has the parent {entry.parent}, which is a class itself: "
                    "a parent needs a name of its own"
                )

    @classmethod
    def of(cls, names: Iterable[str]) -> "Legend":
        """Number new names in sorted order, from 1."""
        ordered = sorted({name.strip() for name in names})
        if len(ordered) > MAX_CODE:
            raise InputError(f"a legend holds at most {MAX_CODE} classes, found {len(ordered)}")
        return cls(_colored(enumerate(ordered, 1)))

    @classmethod
    def of_values(cls, values: Iterable[str]) -> "Legend":
        """Return a legend of the values of a class field: whole numbers 1..254 stay codes."""
        return cls(()).with_values(values)

    @classmethod
    def of_codes(cls, codes: Iterable[int]) -> "Legend":
        """Name the codes of a raster that brings no legend."""
        ordered = sorted(codes)
        return cls(tuple(LegendClass(c, unnamed(c), color_of("", c)) for c in ordered))

    @classmethod
    def from_list(cls, classes: Any) -> "Legend":
        """Read the JSON form, a list of {code, name, color} and, where there is one, parent.

        Raises:
            InputError: it is not such a list.
        """
        if not isinstance(classes, list) or not all(map(_is_class, classes)):
            raise InputError("a legend needs a list of classes with a code and a name")
        entries = sorted(((c["code"], c["name"].strip(), c) for c in classes), key=lambda e: e[:2])
        return cls(
            tuple(LegendClass(c, n, _valid_color(e, n, c), _parent(e)) for c, n, e in entries)
        )

    @classmethod
    def from_tag(cls, tag: str) -> "Legend":
        """Read the dataset tag LANDCOVER_LEGEND."""
        try:
            return cls.from_list(json.loads(tag))
        except (ValueError, RecursionError) as error:
            raise InputError("the tag LANDCOVER_LEGEND holds no JSON") from error

    def to_list(self) -> list[dict[str, Any]]:
        """Return the JSON form; a class without parent has no such member."""
        return [entry.to_dict() for entry in self.classes]

    def to_tag(self) -> str:
        """Return the dataset tag LANDCOVER_LEGEND."""
        return json.dumps(self.to_list(), ensure_ascii=False)

    def colormap(self) -> dict[int, tuple[int, int, int, int]]:
        """Return a colour table for GDAL; nodata is transparent."""
        table = {c.code: (*c.rgb, 255) for c in self.classes}
        return {**table, 0: (0, 0, 0, 0), NODATA: (0, 0, 0, 0)}

    @property
    def codes(self) -> tuple[int, ...]:
        """The codes, ascending."""
        return tuple(c.code for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the codes."""
        return tuple(c.name for c in self.classes)

    def with_values(self, values: Iterable[str]) -> "Legend":
        """Return a legend that also holds the values of a class field that are new here.

        A whole number from 1 to 254 stays what it is, a code; names get the lowest free codes, in
        sorted order.
        """
        new = sorted({value.strip() for value in values if self.find(value) is None})
        numbers = sorted(int(value) for value in new if _is_code(value))
        taken = (entry.color for entry in self.classes)
        added = _colored([(code, str(code)) for code in numbers], taken)
        longer = Legend(tuple(sorted((*self.classes, *added), key=lambda entry: entry.code)))
        return longer.extended(value for value in new if not _is_code(value))

    def extended(self, values: Iterable[str]) -> "Legend":
        """Return a legend that also holds the values that are neither a name nor a code here.

        They get the lowest free codes, in sorted order.
        """
        known = {*self.names, *(str(code) for code in self.codes)}
        new = sorted({value.strip() for value in values} - known)
        free = [code for code in range(1, MAX_CODE + 1) if code not in self.codes]
        if len(new) > len(free):
            raise InputError(f"a legend holds at most {MAX_CODE} classes, {new[-1]} is one more")
        added = _colored(zip(free, new, strict=False), (entry.color for entry in self.classes))
        return Legend(tuple(sorted((*self.classes, *added), key=lambda entry: entry.code)))

    def united(self, other: "Legend") -> tuple["Legend", np.ndarray]:
        """Return a legend of the classes of both, and the codes that the other's classes get.

        Names that both have are one class, with the code it has here. A new class keeps its code
        where that is free, else it gets the lowest free one.

        Returns:
            The legend; and uint8 (256,), the new code for each code of the other legend.
        """
        code_of = np.arange(256, dtype=np.uint8)
        known = {entry.name: entry.code for entry in self.classes}
        added: list[LegendClass] = []
        for entry in other.classes:
            if entry.name not in known:
                code = self._free_code(entry, added)
                added.append(replace(entry, code=code))
                known[entry.name] = code
            code_of[entry.code] = known[entry.name]
        both = sorted((*self.classes, *added), key=lambda entry: entry.code)
        return Legend(tuple(both)), code_of

    def _free_code(self, entry: LegendClass, added: Sequence[LegendClass]) -> int:
        taken = {*self.codes, *(one.code for one in added)}
        for code in (entry.code, *range(1, MAX_CODE + 1)):
            if code not in taken:
                return int(code)
        raise InputError(f"a legend holds at most {MAX_CODE} classes, {entry.name} is one more")

    def including(self, entry: LegendClass) -> tuple["Legend", int]:
        """Return a legend that has a class of this name, and the code it has there.

        A new class keeps its code where that is free, else it gets the lowest free one.
        """
        known = self.code_of_name(entry.name)
        if known is not None:
            return self, known
        code = self._free_code(entry, ())
        classes = sorted((*self.classes, replace(entry, code=code)), key=lambda each: each.code)
        return Legend(tuple(classes)), code

    def at(self, code: int) -> LegendClass | None:
        """Return the class of a code, if there is one."""
        return next((entry for entry in self.classes if entry.code == code), None)

    def code_of_name(self, name: str) -> int | None:
        """Return the code of a name, if it is one of this legend.

        Spaces around it do not count, nor does how Unicode composes its letters, unless two
        names here differ by that alone.
        """
        wanted = name.strip()
        by_name = {entry.name: entry.code for entry in self.classes}
        if wanted in by_name:
            return by_name[wanted]
        composed = unicodedata.normalize("NFC", wanted)
        alike = [
            code for each, code in by_name.items()
            if unicodedata.normalize("NFC", each) == composed
        ]  # fmt: skip
        return alike[0] if len(alike) == 1 else None

    def find(self, value: str) -> int | None:
        """Return the code that a value of a class field means: a name here, else a code here."""
        code = self.code_of_name(value)
        if code is None and _is_code(value.strip()) and int(value) in self.codes:
            code = int(value)
        return code

    def match(self, values: Sequence[str]) -> Mapping[str, int]:
        """Return the code of each value: a name of this legend, else one of its codes.

        Raises:
            InputError: a value is neither.
        """
        found = {value: self.find(value) for value in values}
        unknown = sorted(value for value, code in found.items() if code is None)
        if unknown:
            raise InputError(
                f"class {unknown[0]} is not in the legend, which has {', '.join(self.names)}"
            )
        return {value: code for value, code in found.items() if code is not None}


def unnamed(code: int) -> str:
    """Return what a class is called that nobody named."""
    return f"class {code}"


def is_bare(entry: LegendClass) -> bool:
    """Return whether a class has no name but its code."""
    return entry.name in (str(entry.code), unnamed(entry.code))


def is_whole_number(name: str) -> bool:
    """Return whether a name is a whole number, as programs write it."""
    return re.fullmatch(r"0|-?[1-9][0-9]{0,18}", name) is not None


def _is_code(name: str) -> bool:
    return is_whole_number(name) and 1 <= int(name) <= MAX_CODE


def color_of(name: str, code: int) -> str:
    """Choose a default colour for a class."""
    if name.lower() in _FAMILIAR:
        return _FAMILIAR[name.lower()]
    if code <= len(_PALETTE):
        return _PALETTE[code - 1]
    red, green, blue = colorsys.hsv_to_rgb((code * 0.618034) % 1.0, 0.6, 0.85)
    return f"#{int(red * 255):02x}{int(green * 255):02x}{int(blue * 255):02x}"


def _is_class(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("code"), int)
        and not isinstance(entry["code"], bool)
        and isinstance(entry.get("name"), str)
        and bool(entry["name"].strip())
    )


def _colored(
    classes: Iterable[tuple[int, str]], taken: Iterable[str] = ()
) -> tuple[LegendClass, ...]:
    """Colour new classes of code and name, each unlike the others and those taken."""
    classes = list(classes)
    used = {*taken, *(_FAMILIAR[n.lower()] for _, n in classes if n.lower() in _FAMILIAR)}
    colored = []
    for code, name in classes:
        color = color_of(name, code)
        if name.lower() not in _FAMILIAR and color in used:
            color = next((c for c in _PALETTE if c not in used), color)
        used.add(color)
        colored.append(LegendClass(code, name, color))
    return tuple(colored)


def _need_once(values: Sequence[object], what: str) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise InputError(f"the {what} {twice} stands twice in the legend")


def _parent(entry: Mapping[str, Any]) -> str:
    parent = entry.get("parent") or ""
    if not isinstance(parent, str):
        raise InputError(f"the parent of class {entry['name']} needs to be a name")
    return parent.strip()


def _valid_color(entry: Mapping[str, Any], name: str, code: int) -> str:
    color = str(entry.get("color") or color_of(name, code)).lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", color):
        raise InputError(f"class {name} has the colour {color}, needs one like 1f78b4 after a #")
    return color
