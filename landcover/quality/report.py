"""The pages people read: one HTML file that stands alone, in English and Russian."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landcover.figures import label_of, new_figure, to_png
from landcover.quality.confusion import Confusion
from landcover.writing import written_beside

_NUMBERED_UP_TO = 20
"""Classes up to which the cells of a drawn matrix hold their number."""


@dataclass(frozen=True)
class Note:
    """A sentence the reader must know, in both languages."""

    en: str
    ru: str


def write_page(target: Path, template: str, **content: Any) -> Path:
    """Render a template of this package; bytes of a picture become an address with `inline`.

    The page needs nothing else: styles and pictures are inside, scripts there are none, so that it
    opens under a Content-Security-Policy that forbids all of them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("landcover.quality"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "inline": _inline,
        "number": "{:,}".format,
        "percent": _percent,
        "chance": _chance,
    }
    with written_beside(target) as beside:
        beside.write_text(pages.get_template(template).render(**content), encoding="utf-8")
    return target


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


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def _chance(p_value: float) -> str:
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.4f}"
