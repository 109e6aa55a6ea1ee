"""Where somebody is asked to label next, on a map that is previewed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landcover.errors import InputError
from landcover.training.next_places import RULES, propose
from sample_map.data.features import Sample, count_classes
from sample_map.texts import text
from sample_map.tools.live_scene import places_of
from sample_map.tools.preview import Shown

FRAME = 3
"""Pixels; the side of the square that is asked about and labelled."""


@dataclass(frozen=True)
class Place:
    """A place to label: its frame in degrees, and what the preview tells of it.

    Attributes:
        row: of the pixel in the middle.
        column: of it.
        class_name: what the preview tells it to be.
        percent: how sure it is.
        places: labelled places of that class so far.
        corners: longitude and latitude of the frame's corners, the first one last, too.
        middle: longitude and latitude.
    """

    row: int
    column: int
    class_name: str
    percent: int
    places: int
    corners: tuple[tuple[float, float], ...]
    middle: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return what the panel is told."""
        return {
            "at": [self.row, self.column],
            "class": self.class_name,
            "percent": self.percent,
            "places": self.places,
            "geometry": {"type": "Polygon", "coordinates": [self.corners]},
            "middle": self.middle,
        }


@dataclass
class WhereNext:
    """What was asked on one map, so that nothing is asked twice.

    Attributes:
        asked: row and column of each place that was shown and not put off, by scene.
        untold: of those that nobody could tell.
    """

    asked: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    untold: set[tuple[str, int, int]] = field(default_factory=set)
    draws: np.random.Generator = field(default_factory=np.random.default_rng)

    def next(self, shown: Shown | None, rule: str, samples: tuple[Sample, ...]) -> Place:
        """Return the next place to label.

        Args:
            shown: the preview that is seen.
            rule: a key of RULES.
            samples: what is drawn now.

        Raises:
            InputError: nothing is previewed, or all that is seen is labelled or was asked about.
        """
        if rule not in RULES:
            raise InputError(f"there is no rule {rule}, there are {', '.join(RULES)}")
        if shown is None:
            raise InputError(text("nothing is previewed yet"))
        question = shown.question
        code_of = {entry.name: entry.code for entry in question.legend.classes}
        counts = count_classes(samples)
        places = {code: counts.get(name, 0) for name, code in code_of.items()}
        before = self.asked.setdefault(question.scene, [])
        taken = np.concatenate([shown.trained.at, np.array(before, np.int64).reshape(-1, 2)])
        found = propose(rule, shown.told, places, taken, self.draws)
        if not found:
            raise InputError(
                text("all that is seen lies near what was labelled or asked: move the map")
            )
        (index,) = found
        row, column = (int(at) for at in shown.told.at[index])
        before.append((row, column))
        name = next(n for n, code in code_of.items() if code == shown.told.codes[index])
        return Place(
            row, column, name, int(shown.told.confidence[index]), counts.get(name, 0),
            *_frame(shown, row, column),
        )  # fmt: skip

    def put_off(self, scene: str, at: tuple[int, int]) -> None:
        """Let a place be asked about again, later."""
        if at in self.asked.get(scene, []):
            self.asked[scene].remove(at)

    def give_up(self, scene: str, at: tuple[int, int]) -> int:
        """Note a place that nobody can tell; return how many there are."""
        self.untold.add((scene, *at))
        return len(self.untold)


def _frame(
    shown: Shown, row: int, column: int
) -> tuple[tuple[tuple[float, float], ...], tuple[float, float]]:
    """Return the corners of the pixels around one, and its middle, in degrees."""
    reach = FRAME // 2
    grid = shown.grid
    top, bottom = max(0, row - reach), min(grid.height, row + reach + 1)
    left, right = max(0, column - reach), min(grid.width, column + reach + 1)
    at = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    *corners, middle = places_of([*at, (column + 0.5, row + 0.5)], grid)
    return tuple(corners), middle
