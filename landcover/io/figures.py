"""Figures as PNG."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from landcover.io.records.run_record import recipe_tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_LABEL = 40


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches; matplotlib is loaded with the first one."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def to_png(figure: "Figure") -> bytes:
    """Return a figure as PNG at 110 dots per inch."""
    drawn = BytesIO()
    with quiet_fonts():
        figure.savefig(drawn, format="png", dpi=110, metadata=recipe_tag())
    return drawn.getvalue()


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Draw a box without a word for each sign of a class's name that no font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def label_of(name: str) -> str:
    """Return a name as it fits beside an axis."""
    return name if len(name) <= _LONGEST_LABEL else f"{name[:_LONGEST_LABEL]}…"
