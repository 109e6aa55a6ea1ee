"""Rules: which ranges of which quantities make a class.

Names are of a fixed list, and nothing in a file is ever evaluated. Source of the set for sea ice:
Iqrah et al., arXiv 2303.12719 and 2403.13135 (31 and 205 of the value of 8-bit colours).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from landcover import strict_json
from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import NODATA, Legend
from landcover.scenes.auto_labels.colours import COLOURS, all_colours, hsv_of
from landcover.scenes.features.indices import INDICES, ROLES

OF_COLOUR = ("H", "S", "V")
NAMES = (*OF_COLOUR, *ROLES, *INDICES)
_CASELESS = {name.casefold(): name for name in NAMES}
_LARGEST_FILE = 64 * 1024
_MOST_RANGES = 512
"""In one file: of each a pass over the scene is made."""
_LEVELS_OF_LADDER = range(2, 6)

SEA_ICE: dict[str, Any] = {
    "classes": [
        {"name": "open water", "code": 1, "color": "#1f4e79", "ranges": {"V": [0, 30]}},
        {
            "name": "young or thin ice",
            "code": 2,
            "color": "#6fb7d6",
            "parent": "ice",
            "ranges": {"V": [31, 204]},
        },
        {
            "name": "thick or snow-covered ice",
            "code": 3,
            "color": "#f4e9d8",
            "parent": "ice",
            "ranges": {"V": [205, 255]},
        },
    ],
    # snow and ice are dark at 2.1 micrometres, clouds of water are not
    "unsure": [{"swir2": [0.09, None]}],
}
NAMED = {"sea-ice": SEA_ICE}


@dataclass(frozen=True)
class Range:
    """Where a quantity lies, both ends included; of H the low end may be above the high one."""

    name: str
    low: float
    high: float

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie inside."""
        if self.low > self.high:  # around red
            return np.asarray((values >= self.low) | (values <= self.high))
        return np.asarray((values >= self.low) & (values <= self.high))

    def __str__(self) -> str:
        """Return it in words."""
        low, high = (f"{end:g}" for end in (self.low, self.high))
        if math.isinf(self.low):
            return f"{self.name} up to {high}"
        return f"{self.name} from {low}" + ("" if math.isinf(self.high) else f" to {high}")


Condition = tuple[Range, ...]
"""All of these ranges."""


@dataclass(frozen=True)
class ClassRule:
    """A class is where one of its conditions holds, and none of another class."""

    name: str
    code: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Ladder:
    """Classes that lie one above the other in one quantity.

    Attributes:
        quantity: its name.
        codes: of the classes, from the lowest.
    """

    quantity: str
    codes: tuple[int, ...]


@dataclass(frozen=True)
class RuleSet:
    """Rules by class.

    Attributes:
        name: of the set or file.
        legend: its classes.
        classes: their rules, in the order of their codes.
        unsure: conditions under which no class is certain.
    """

    name: str
    legend: Legend
    classes: tuple[ClassRule, ...]
    unsure: tuple[Condition, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """The names that classes depend on, each once."""
        ranges = (r for rule in self.classes for condition in rule.conditions for r in condition)
        return tuple(dict.fromkeys(r.name for r in ranges))

    @property
    def is_of_colour(self) -> bool:
        """Whether classes depend on hue, saturation and value alone."""
        return all(name in OF_COLOUR for name in self.quantities)

    @property
    def ladder(self) -> Ladder | None:
        """What thresholds can be calibrated in: 2 to 5 classes in one quantity; else None."""
        ranges = [rule.conditions[0] for rule in self.classes if len(rule.conditions) == 1]
        is_ladder = (
            len(self.quantities) == 1
            and self.quantities[0] != "H"
            and len(ranges) == len(self.classes)
            and len(ranges) in _LEVELS_OF_LADDER
            and all(len(condition) == 1 for condition in ranges)
        )
        if not is_ladder:
            return None
        order = sorted(self.classes, key=lambda rule: rule.conditions[0][0].low)
        steps = [rule.conditions[0][0] for rule in order]
        if any(one.high > other.low for one, other in pairwise(steps)):
            return None
        return Ladder(self.quantities[0], tuple(rule.code for rule in order))

    def codes(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the code of each pixel; 255 where no class holds, or several do.

        Args:
            values: of each quantity, of one shape.
        """
        shape = np.broadcast_shapes(*(values[name].shape for name in self.quantities))
        codes, found = np.full(shape, NODATA, np.uint8), np.zeros(shape, np.uint8)
        for rule in self.classes:
            holds = _any_of(rule.conditions, values)
            codes[holds] = rule.code
            found += holds
        codes[found != 1] = NODATA
        return codes


def _any_of(conditions: Sequence[Condition], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return where at least one condition holds."""
    of_each = [np.logical_and.reduce([r.holds(values[r.name]) for r in c]) for c in conditions]
    return np.asarray(np.logical_or.reduce(of_each))


def holds_any(conditions: Sequence[Condition], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return where one of the conditions holds whose quantities are all known."""
    known = [condition for condition in conditions if all(r.name in values for r in condition)]
    return _any_of(known, values)


@lru_cache(maxsize=2)
def table_of_colours(rules: RuleSet) -> np.ndarray:
    """Return the code of every colour, uint8 (2^24,), at red << 16 | green << 8 | blue."""
    table = np.empty((256, COLOURS >> 8), np.uint8)
    for red in range(256):
        table[red] = codes_of_colours(rules, all_colours(red))
    return table.ravel()


def codes_of_colours(rules: RuleSet, rgb: np.ndarray) -> np.ndarray:
    """Return the code of each colour of (3, ...), uint8, without a table."""
    return rules.codes(dict(zip(OF_COLOUR, hsv_of(rgb), strict=True)))


def read_rules(given: AnyPath) -> RuleSet:
    """Return the named set of rules, or those of a file.

    Raises:
        InputError: it is no such file (docs/labels.md says what one holds).
    """
    if str(given) in NAMED:
        return _rule_set(str(given), NAMED[str(given)])
    path = Path(given)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}", "rules") from error
    if len(text) > _LARGEST_FILE:
        raise InputError(f"{path.name} has more than {_LARGEST_FILE >> 10} KiB, rules need less")
    try:
        return _rule_set(path.name, strict_json.loads(text.decode("utf-8")))
    except ValueError as error:  # of JSON, or of UTF-8
        raise InputError(f"{path.name} is no JSON: {error}", "rules") from error


def _rule_set(name: str, given: Any) -> RuleSet:
    _need_members(given, {"classes"}, {"unsure"}, name)
    classes = given["classes"]
    if not isinstance(classes, list) or not classes:
        raise _refused(f"{name}: classes is no list with a class in it")
    for entry in classes:
        _need_members(entry, {"name", "ranges"}, {"code", "color", "parent"}, f"{name}: a class")
    unsure = given.get("unsure", [])
    if not isinstance(unsure, list):
        raise _refused(f"{name}: unsure is no list of ranges")
    legend = _legend(classes, name)
    rules = tuple(
        ClassRule(
            each["name"].strip(),
            legend.code_of_name(each["name"]) or 0,
            _conditions(each["ranges"], f"{name}: class {each['name'].strip()}"),
        )
        for each in classes
    )
    rules = tuple(sorted(rules, key=lambda rule: rule.code))
    read = RuleSet(name, legend, rules, _conditions(unsure, f"{name}: unsure") if unsure else ())
    of_colour = [r.name for c in read.unsure for r in c if r.name in OF_COLOUR]
    if of_colour:
        raise _refused(f"{name}: unsure names {of_colour[0]}, it takes bands and indices")
    if sum(len(c) for rule in rules for c in rule.conditions) > _MOST_RANGES:
        raise _refused(f"{name} has more than {_MOST_RANGES} ranges")
    return read


def _legend(classes: Sequence[Mapping[str, Any]], name: str) -> Legend:
    """Return the legend; codes are given by all classes, or follow the sorted names."""
    if not all(isinstance(c["name"], str) and c["name"].strip() for c in classes):
        raise _refused(f"{name}: a class has no name")
    coded = ["code" in entry for entry in classes]
    if any(coded) and not all(coded):
        raise _refused(f"{name}: some classes have a code and others none")
    of_name = {entry.name: entry.code for entry in Legend.of(c["name"] for c in classes).classes}
    return Legend.from_list([{"code": of_name[c["name"].strip()], **c} for c in classes])


def _conditions(given: Any, where: str) -> tuple[Condition, ...]:
    """Return conditions: an object of ranges, or a list of such objects."""
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise _refused(f"{where} has no ranges")
    return tuple(_condition(one, where) for one in listed)


def _condition(given: Any, where: str) -> Condition:
    if not isinstance(given, dict) or not given:
        raise _refused(f"{where} has ranges that are no object")
    return tuple(_range(name, ends, where) for name, ends in given.items())


def _range(name: str, ends: Any, where: str) -> Range:
    known = _CASELESS.get(name.casefold())
    if known is None:
        raise _refused(f"{where} names {name[:40]}, known are {', '.join(NAMES)}")
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_end, ends)):
        raise _refused(f"{where}: {known} needs two numbers, or null for no bound")
    low = -math.inf if ends[0] is None else float(ends[0])
    high = math.inf if ends[1] is None else float(ends[1])
    if low > high and known != "H":
        raise _refused(f"{where}: {known} begins at {low:g} and ends at {high:g}, below that")
    return Range(known, low, high)


def _is_end(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _need_members(given: Any, needed: set[str], allowed: set[str], where: str) -> None:
    if not isinstance(given, dict):
        raise _refused(f"{where} is no object")
    missing, unknown = needed - given.keys(), given.keys() - needed - allowed
    if missing:
        raise _refused(f"{where} has no member {sorted(missing)[0]}")
    if unknown:
        listed = ", ".join(sorted(needed | allowed))
        raise _refused(f"{where} has a member {sorted(unknown)[0][:40]}, known are {listed}")


def _refused(what: str) -> InputError:
    return InputError(
        f'{what}; rules have the form {{"classes": [{{"name": "water", "ranges": '
        '{"V": [0, 30]}}]}',
        "rules",
    )
