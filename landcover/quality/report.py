"""The pages people read: one HTML file that stands alone, in English and Russian."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landcover.io.figures import label_of, new_figure, to_png
from landcover.io.files.atomic import written_beside
from landcover.io.records.run_record import recipe_digest
from landcover.progress import remark, remarks_so_far
from landcover.quality.confusion import Confusion

_NUMBERED_UP_TO = 20
"""Classes up to which the cells of a drawn matrix hold their number."""


@dataclass(frozen=True)
class Note:
    """A sentence the reader must know, in both languages.

    Attributes:
        en: in English.
        ru: in Russian.
        leads: whether it stands before all figures.
    """

    en: str
    ru: str
    leads: bool = False


def write_page(
    target: Path,
    template: str,
    notes: Sequence[Note],
    room: str = "landcover.quality",
    **content: Any,
) -> Path:
    """Render a template of a package; bytes of a picture become an address with `inline`.

    Templates of other rooms build on `page.html` and `parts.html` of this one.

    The notes become remarks too, and the run's other remarks stand below them.

    The page needs nothing else: styles and pictures are inside, scripts there are none, so that it
    opens under a Content-Security-Policy that forbids all of them.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    rooms = dict.fromkeys((room, "landcover.quality"))
    pages = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in rooms]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "inline": _inline,
        "number": "{:,}".format,
        "percent": percent,
        "chance": _chance,
        "interval": _interval,
        "hectares": _hectares,
    }
    with written_beside(target) as beside:
        page = pages.get_template(template).render(
            **content, notes=notes, remarks=_remarks_besides(notes), recipe=recipe_digest()
        )
        beside.write_text(page, encoding="utf-8")
    return target


def _remarks_besides(notes: Sequence[Note]) -> list[str]:
    """Make the notes remarks of this run; return its other ones."""
    for note in notes:
        remark(note.en)
    told = {note.en for note in notes}
    return [sentence for sentence in remarks_so_far() if sentence not in told]


def draw_matrix(confusion: Confusion) -> bytes:
    """Draw each row as shares of its reference class, with the pixels in the cells: a PNG."""
    counts = confusion.counts
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.5, 0.7 * len(counts) + 2), 20)
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    ticks = range(len(counts))
    names = [label_of(name) for name in confusion.names]
    axes.set_xticks(ticks, names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.set(xlabel="map · карта", ylabel="reference · эталон")
    for row in ticks if len(counts) <= _NUMBERED_UP_TO else ():
        for column in ticks:
            color = "black" if share[row, column] > 0.6 else "white"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color)
    figure.colorbar(image, label="share of the reference class · доля класса эталона")
    return to_png(figure)


def draw_difference(differs: np.ndarray, seen: np.ndarray) -> bytes:
    """Draw in which places two maps differ: a PNG.

    Args:
        differs: pixels that differ, per cell (rows, columns) of the picture.
        seen: pixels that both maps classify, per cell.
    """
    share = np.where(seen > 0, 100 * differs / np.maximum(seen, 1), np.nan)
    height = min(max(8 * share.shape[0] / share.shape[1], 2), 14)
    figure = new_figure(9, height)
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")
    image = axes.imshow(share, cmap="magma_r", vmin=0, vmax=100, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    figure.colorbar(image, label="pixels that differ, % · отличающиеся пиксели, %")
    return to_png(figure)


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share 0..1 in words, a dash where there is none.

    >>> percent(0.98765), percent(None)
    ('98.8 %', '–')
    """
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def _interval(ends: tuple[float, float]) -> str:
    low, high = ends
    return "–" if low != low else f"{100 * low:.1f} – {percent(high)}"


def _hectares(area: float) -> str:
    return f"{area:,.1f}" if area < 100 else f"{area:,.0f}"


def _chance(p_value: float) -> str:
    """Return a probability in words.

    >>> _chance(0.2517), _chance(0.03125), _chance(2e-9)
    ('p = 0.25', 'p = 0.031', 'p < 0.001')
    """
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"
