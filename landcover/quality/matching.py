"""Which class of a map is which class of its reference, or of another map.

Classes meet by name where both sides have names. Codes without names meet codes. Where only one
side has names, its codes are taken for the other's if that is what they look like: no other
assignment of the codes may agree in more pixels. Everything else is refused, as a figure would
be worth nothing; a legend that names the codes settles it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from landcover.errors import InputError
from landcover.io.legend import Legend, LegendClass, is_bare, is_whole_number
from landcover.progress import remark

_NAMED = 5
"""Classes that a sentence lists."""
_LONGEST = 24
"""Letters of a name that a sentence shows."""
_DOUBTFUL = 0.1
"""Share of pixels by which another assignment of codes must agree better to be told."""


@dataclass(frozen=True)
class Side:
    """A map or a reference.

    Attributes:
        file: its name.
        legend: its classes, by its own codes.
        numbered: whether the codes of named classes were given when it was read, as those of
            names in a vector, and mean nothing.
    """

    file: str
    legend: Legend
    numbered: bool = False

    @property
    def has_names(self) -> bool:
        """Whether any class has a name."""
        return not all(map(is_bare, self.legend.classes))

    @property
    def has_names_only(self) -> bool:
        """Whether every class has a name."""
        return not any(map(is_bare, self.legend.classes))

    def described(self) -> str:
        """Return its name and its classes."""
        if self.has_names:
            return f"{self.file} has {_listed(self.legend.names)}"
        return f"{self.file} has the codes {_listed(self.legend.codes)} without names"

    def named_by(self, given: Legend | None) -> "Side":
        """Return it with the names and colours that a legend gives; named classes keep theirs."""
        if given is None:
            return self
        return replace(self, legend=Legend(tuple(_named(c, given) for c in self.legend.classes)))


@dataclass(frozen=True)
class Match:
    """Two sides in one legend.

    Attributes:
        sides: what was matched.
        legend: the classes of both.
        of_one: uint8 (256,), the legend's code for each code of the first side; 0 for none.
        of_other: the same of the second side.
        guessed: codes of the legend at which a class with a name met one without.
        bare: codes at which classes without names met.
    """

    sides: tuple[Side, Side]
    legend: Legend
    of_one: np.ndarray
    of_other: np.ndarray
    guessed: tuple[int, ...]
    bare: tuple[int, ...]

    def check(self, table: np.ndarray) -> None:
        """Refuse codes that met by code and do not mean the same; say where that is doubtful.

        Args:
            table: int (256, 256), pixels by the legend's codes, rows of the second side.

        Raises:
            InputError: another assignment agrees in more pixels, though one side has names.
        """
        total = max(1, int(table.sum()))
        by_code, best = _agreement(table, self.guessed)
        if best > by_code:
            raise _refusal(
                self.sides,
                f"equal codes agree in {100 * by_code / total:.1f} percent of the pixels, other "
                f"pairs of codes in {100 * best / total:.1f}, so they mean different classes",
            )
        by_code, best = _agreement(table, self.bare)
        if best - by_code > _DOUBTFUL * total:
            remark(
                f"{self.sides[0].file} and {self.sides[1].file} were matched by code, where they "
                f"agree in {100 * by_code / total:.1f} % of the pixels; with other pairs of codes "
                f"it would be {100 * best / total:.1f} %: see that codes mean the same on both"
            )


def match_legends(one: Side, other: Side, given: Legend | None = None) -> Match:
    """Match the classes of two sides.

    Args:
        one: whose codes are kept where no legend is given.
        other: a reference, or another map.
        given: names the codes of sides that have no names, and says codes and colours; of a side
            whose names are all unknown to the other, it takes the place of the names.

    Raises:
        InputError: they have no class in common, or codes that cannot be told to mean the same.
    """
    sides = one.named_by(given), other.named_by(given)
    pairs = _pairs(*sides, explicit=given is not None)
    if not pairs and given is not None and not other.numbered:
        renamed = _renamed(other, given)
        pairs = _pairs(sides[0], renamed, explicit=True)
        if pairs:
            sides = sides[0], renamed
            remark(f"the classes of {other.file} were named by the legend given, not by its own")
    _check_pairs(sides, pairs, explicit=given is not None)
    return _joined(sides, pairs, given or Legend(()))


def _pairs(one: Side, other: Side, explicit: bool) -> dict[int, int]:
    """Return the codes of the first side that codes of the other one meet."""
    pairs = {}
    for entry in other.legend.classes:
        code = one.legend.code_of_name(entry.name)
        at_code = one.legend.at(entry.code)
        if code is None and at_code is not None and _may_meet(entry, at_code, other, explicit):
            code = entry.code
        if code is not None:
            pairs[entry.code] = code
    return pairs


def _may_meet(entry: LegendClass, at_code: LegendClass, other: Side, explicit: bool) -> bool:
    """Return whether a class of the other side may meet the one that has its code here."""
    if is_bare(entry) and is_bare(at_code):
        return True
    numbered = other.numbered and not is_bare(entry)
    return (is_bare(entry) or is_bare(at_code)) and not explicit and not numbered


def _check_pairs(sides: tuple[Side, Side], pairs: Mapping[int, int], explicit: bool) -> None:
    one, other = sides
    if not pairs:
        raise _refusal(sides, "no class in common")
    without = [c for c in other.legend.classes if c.code not in pairs]
    strange = [c.name for c in without if not is_bare(c)]
    if strange and other.numbered and not one.has_names:
        raise _refusal(sides, f"no code is known to be {strange[0]}")
    unknown = [c.code for c in without if is_bare(c)]
    if unknown and one.has_names_only and not explicit:
        raise _refusal(sides, f"code {unknown[0]} is none of {one.file}")
    for code, met in pairs.items():
        pair = other.legend.at(code), one.legend.at(met)
        odd = [c for c in pair if c and is_whole_number(c.name) and c.name != str(c.code)]
        if odd and any(c is not None and is_bare(c) for c in pair) and code == met:
            raise _refusal(
                sides, f"code {odd[0].code} is class {odd[0].name} on one side and may not be on "
                "the other"
            )  # fmt: skip
    for side, beside in (sides, sides[::-1]):
        for entry in filter(is_bare, side.legend.classes):
            named_so = beside.legend.code_of_name(str(entry.code))
            if named_so not in (None, entry.code) and entry.name != str(entry.code):
                raise _refusal(
                    sides, f"class {entry.code} has code {named_so} in {beside.file}, so it is "
                    f"not clear what code {entry.code} means"
                )  # fmt: skip


def _joined(sides: tuple[Side, Side], pairs: Mapping[int, int], base: Legend) -> Match:
    one, other = sides
    joint, of_one, of_other = base, np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    met_by = {met: code for code, met in pairs.items()}
    for entry in one.legend.classes:
        partner = other.legend.at(met_by.get(entry.code, 0))
        named = entry if partner is None or not is_bare(entry) else _better(entry, partner)
        joint, of_one[entry.code] = joint.including(named)
    for entry in other.legend.classes:
        if entry.code in pairs:
            of_other[entry.code] = of_one[pairs[entry.code]]
        else:
            joint, of_other[entry.code] = joint.including(entry)
    used = {*of_one.tolist(), *of_other.tolist()}
    guessed, bare = _met_by_code(sides, pairs)
    return Match(
        sides,
        Legend(tuple(entry for entry in joint.classes if entry.code in used)),
        of_one,
        of_other,
        tuple(int(of_one[code]) for code in guessed),
        tuple(int(of_one[code]) for code in bare),
    )


def _met_by_code(
    sides: tuple[Side, Side], pairs: Mapping[int, int]
) -> tuple[list[int], list[int]]:
    """Return the first side's codes at which one class has no name, and at which both have none.

    A whole number in a vector that is the name of a class there has met it by name.
    """
    guessed, bare = [], []
    for code, met in pairs.items():
        entries = sides[1].legend.at(code), sides[0].legend.at(met)
        names = {c.name for c in entries if c is not None}
        without = [c is not None and is_bare(c) for c in entries]
        if all(without):
            bare.append(met)
        elif any(without) and len(names) > 1:
            guessed.append(met)
    return guessed, bare


def _better(entry: LegendClass, partner: LegendClass) -> LegendClass:
    """Return a class without a name under the name of what it met, a number before `class 5`."""
    if is_bare(partner) and entry.name == str(entry.code):
        return entry
    color = entry.color if is_bare(partner) else partner.color
    return replace(entry, name=partner.name, color=color)


def _named(entry: LegendClass, given: Legend) -> LegendClass:
    code = given.code_of_name(entry.name)
    if code is None and is_bare(entry):
        code = entry.code
    known = given.at(code) if code is not None else None
    return entry if known is None else replace(entry, name=known.name, color=known.color)


def _renamed(side: Side, given: Legend) -> Side:
    """Return a side whose codes mean what the legend says, whatever they are called in it."""
    bare = tuple(replace(c, name=str(c.code)) for c in side.legend.classes)
    return replace(side, legend=Legend(bare)).named_by(given)


def _agreement(table: np.ndarray, codes: Iterable[int]) -> tuple[int, int]:
    """Return the pixels on which equal codes agree, and the most that any assignment reaches.

    Args:
        table: (256, 256), pixels by code.
        codes: of the rows that may be assigned to other columns than their own. Columns that
            have a row of the same code which is not among them stay with it.
    """
    rows = np.array(sorted(set(codes)), int)
    if not rows.size:
        return 0, 0
    from scipy.optimize import linear_sum_assignment  # half a second, for doubtful codes only

    fixed = np.flatnonzero(table.sum(axis=1))
    columns = np.setdiff1d(np.arange(1, 256), np.setdiff1d(fixed, rows))
    pixels = table[np.ix_(rows, columns)]
    chosen = linear_sum_assignment(pixels, maximize=True)
    return int(table[rows, rows].sum()), int(pixels[chosen].sum())


def _refusal(sides: tuple[Side, Side], why: str) -> InputError:
    one, other = sides
    remedy = (
        "say with the input legend which code is which class (a CSV with the columns code and "
        "name, or a map)"
    )
    if one.has_names_only and other.has_names_only:
        remedy = "call them alike on both sides, or name the codes of a raster by the input legend"
    return InputError(f"{one.described()}, {other.described()}: {why}; {remedy}")


def _listed(values: Iterable[object]) -> str:
    shown = [str(value)[:_LONGEST] for value in values]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more
