"""What extraction leaves out: counted by reason, and said in remarks with the remedy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from landcover.io.legend import Legend
from landcover.progress import remark

Reason = Literal[
    "label outside the scene",
    "polygon holds no pixel centre",
    "polygons of different classes overlap",
    "points of different classes on one pixel",
    "point on the pixel of another of its class",
    "chip leaves the scene",
    "centre pixel is nodata",
    "labelled pixel is nodata",
    "chip holds masked pixels",
    "labelled pixel in no chip",
    "code 0 is never a class",
]
"""Why something became no sample."""
_CLASSES_NAMED = 10
"""In a remark."""


@dataclass
class Tally:
    """What was found, and what of it was left out.

    Attributes:
        left_out: how much was left out, by reason.
        labelled: pixels with a class.
        without_centre: polygons that hold no pixel centre, by the code of their class.
    """

    left_out: Counter[Reason] = field(default_factory=Counter)
    labelled: int = 0
    without_centre: Counter[int] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add what was found in another scene."""
        self.left_out.update(other.left_out)
        self.labelled += other.labelled
        self.without_centre.update(other.without_centre)


_LEFT_OUT: dict[Reason, tuple[str, str, str]] = {
    "label outside the scene": (
        "{label}",
        "outside the scene",
        "check the coordinate system of {file} if that is not meant",
    ),
    "polygon holds no pixel centre": (
        "polygon",
        "without a pixel centre inside, {classes},",
        "draw them larger, or take a scene of smaller pixels",
    ),
    "polygons of different classes overlap": (
        "pixel",
        "under polygons of different classes",
        "correct the outlines in {file} to use them",
    ),
    "points of different classes on one pixel": (
        "point",
        "on a pixel that holds a point of another class",
        "correct them in {file} to use them",
    ),
    "point on the pixel of another of its class": (
        "point",
        "on a pixel that another point of its class labels already",
        "a pixel counts once in patches",
    ),
    "chip leaves the scene": (
        "chip",
        "partly outside the scene",
        "chip_size 1 with context keeps samples up to the edge",
    ),
    "centre pixel is nodata": (
        "sample",
        "with a centre pixel that is nodata or masked",
        "choose a scene or date without these gaps to use them",
    ),
    "labelled pixel is nodata": (
        "labelled pixel",
        "on nodata or masked",
        "choose a scene or date without these gaps to use them",
    ),
    "chip holds masked pixels": (
        "chip",
        "with masked pixels, which chips of a scene without nodata cannot mark,",
        "declare a nodata value in the scene, or ask for context or patches",
    ),
    "code 0 is never a class": (
        "pixel",
        "of code 0 in {file}, which declares another nodata,",
        "0 is never a class; if it is one there, give it a free code from 1 to 254",
    ),
}
"""Of each reason: what was left out, which of them, and the remedy."""


def remark_left_out(
    tally: Tally,
    *,
    legend: Legend,
    file: str,
    label: str,
    chip_size: int,
    context: int,
    masks: bool,
    without_sample: Sequence[str] = (),
) -> None:
    """Make a remark of each reason for which something was left out.

    Args:
        tally: what was left out.
        legend: of the labels.
        file: name of the labels.
        label: what one of the labels is, such as `polygon`.
        chip_size: side of a chip in pixels.
        context: pixels around it.
        masks: whether chips hold the class of each pixel.
        without_sample: names of classes of which nothing was cut.
    """
    words = {"file": file, "label": label, "classes": _numbers(tally.without_centre, legend)}
    for reason, sentence in _LEFT_OUT.items():
        n = tally.left_out[reason]
        if n:
            what, which, remedy = (part.format(**words) for part in sentence)
            many, verb = ("s", "were") if n > 1 else ("", "was")
            remark(f"{n:,} {what}{many} {which} {verb} left out: {remedy}")
    if without_sample:
        shown = ", ".join(without_sample[:_CLASSES_NAMED])
        more = len(without_sample) - _CLASSES_NAMED
        rest = f" and {more} further classes" if more > 0 else ""
        remark(f"no sample was cut of {shown}{rest}: no model will know what has none")
    if tally.left_out["labelled pixel in no chip"]:
        remark(_in_no_chip(tally, chip_size, context, masks))


def why_no_sample(tally: Tally, file: str) -> str:
    """Return why a file's labels gave no sample."""
    counted = {reason: n for reason, n in tally.left_out.items() if n}
    why = "; ".join(f"{reason}: {n}" for reason, n in counted.items())
    alone = _LEFT_OUT.get(next(iter(counted))) if len(counted) == 1 else None
    needed = f"{file} needs labels that cover valid pixels" if alone is None else alone[2]
    found = f"no sample lies in the scene{f' ({why})' if why else ''}"
    return f"{found}: {needed.format(file=file)}"


def _in_no_chip(tally: Tally, size: int, context: int, masks: bool) -> str:
    lost = tally.left_out["labelled pixel in no chip"]
    which = "lie in no chip" if masks else "are the centre of no chip"
    around = f"context {size // 2 + context} with chip_size 1, or "
    return (
        f"{lost:,} of {tally.labelled:,} labelled pixels {which} and were left out, as chips of "
        f"{size} x {size} pixels lie side by side and need a labelled centre: "
        f"{'' if masks else around}patches {size} instead of chip_size keeps them all"
    )


def _numbers(counts: Counter[int], legend: Legend) -> str:
    """Return how many are of which class, the most frequent first."""
    names = {entry.code: entry.name for entry in legend.classes}
    listed = [f"{n:,} of {names[code]}" for code, n in counts.most_common(_CLASSES_NAMED)]
    more = len(counts) - len(listed)
    return ", ".join([*listed, *([f"others of {more} further classes"] if more else [])])
