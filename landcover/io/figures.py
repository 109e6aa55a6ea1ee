"""Figures as PNG."""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

from landcover.io.run_record import recipe_tag

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
    with warnings.catch_warnings():
        # a class may be called what no font has a sign for; it is drawn as a box
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(drawn, format="png", dpi=110, metadata=recipe_tag())
    return drawn.getvalue()


def label_of(name: str) -> str:
    """Return a name as it fits beside an axis."""
    return name if len(name) <= _LONGEST_LABEL else f"{name[:_LONGEST_LABEL]}…"
