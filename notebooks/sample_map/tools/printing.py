"""Print what the map shows: picture, title, legend, scale, north, date and sources.

Pictures are put together from the tiles that the map shows. What comes from elsewhere (background
maps) is not asked for again and is left out, with a remark.
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from PIL import Image
from shapely.geometry.base import BaseGeometry

from landcover.errors import InputError
from landcover.io.figures import new_figure, quiet_fonts
from landcover.io.files.atomic import written_beside
from landcover.io.legend import LegendClass
from landcover.io.raster import legend_of, open_raster
from landcover.progress import remark
from landcover.storage import readable_at_home
from sample_map.data.features import Sample
from sample_map.data.layers import Layer
from sample_map.data.tiles import DEGREES, MOST_ZOOM, SIDE, WEB_MERCATOR, TileMaker
from sample_map.texts import Say, saying, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bounds = tuple[float, float, float, float]
KINDS = (".png", ".pdf")
NOT_PRINTED = text("background maps are not printed: they come from elsewhere")
_PAPER = (11.69, 8.27)  # inches, A4 across
_DPI = 200
_PIXELS = 1600  # of the longer side of the picture, about
_HALF = math.pi * 6378137  # metres of Web Mercator from the middle to the edge


@dataclass(frozen=True)
class Sheet:
    """What is printed.

    Attributes:
        bounds: south, west, north, east in degrees.
        layers: that are shown, the topmost first.
        samples: whose outlines are drawn over them; none if they are not wanted.
        colors: of the classes of samples, #rrggbb by name.
        title: above the picture.
        language: en or ru.
    """

    bounds: Bounds
    layers: Sequence[Layer]
    samples: Sequence[Sample] = ()
    colors: Mapping[str, str] | None = None
    title: str = ""
    language: str = "en"


def print_sheet(sheet: Sheet, path: Path, maker: TileMaker | None = None) -> None:
    """Write a sheet as PNG or PDF, A4 across.

    Args:
        sheet: what is on it.
        path: ends in .png or .pdf; a file that is there is replaced.
        maker: draws the tiles.

    Raises:
        InputError: there is no picture, a file cannot be read, or the name ends otherwise.
    """
    if path.suffix.lower() not in KINDS:
        raise InputError(f"{path.name} needs to end in {' or '.join(KINDS)}")
    pictures = [layer for layer in sheet.layers if layer.kind != "background"]
    if not pictures:
        raise InputError("no layer is shown that could be printed")
    if len(pictures) < len(sheet.layers):
        remark(NOT_PRINTED)
    say = saying(sheet.language)
    view = _View.of(sheet.bounds)
    stitched = _stitched(pictures, view, maker or TileMaker())
    figure = new_figure(*_PAPER)
    picture, beside = figure.subplots(1, 2, width_ratios=(4, 1))
    picture.imshow(stitched, extent=view.extent)
    _outline(picture, sheet)
    _frame(picture, sheet.bounds, view)
    _scale(picture, view)
    picture.set_title(sheet.title or pictures[0].title, fontsize=15)
    beside.axis("off")
    _legend(beside, sheet, pictures, say)
    figure.supxlabel(_sources(pictures, say), x=0.01, ha="left", fontsize=6, wrap=True)
    with written_beside(path) as draft, quiet_fonts():
        figure.savefig(draft, format=path.suffix[1:].lower(), dpi=_DPI)


@dataclass(frozen=True)
class _View:
    """A part of Web Mercator in whole tiles around what is printed.

    Attributes:
        zoom: of the tiles.
        left, top: of the first tile.
        right, bottom: after the last tile.
        box: what is printed: west, south, east, north in metres of Web Mercator.
        ground: metres on the ground for one metre of Web Mercator, in the middle.
    """

    zoom: int
    left: int
    top: int
    right: int
    bottom: int
    box: Bounds
    ground: float

    @classmethod
    def of(cls, bounds: Bounds) -> "_View":
        south, west, north, east = bounds
        if not (-85 <= south < north <= 85 and -180 <= west < east <= 180):
            raise InputError("the view to be printed lies beyond the map")
        to_metres = pyproj.Transformer.from_crs(DEGREES, WEB_MERCATOR, always_xy=True)
        (x0, x1), (y0, y1) = to_metres.transform((west, east), (south, north))
        longer = max(x1 - x0, y1 - y0)
        zoom = math.ceil(math.log2(_PIXELS / SIDE * 2 * _HALF / longer))
        zoom = max(0, min(zoom, MOST_ZOOM))
        size = 2 * _HALF / 2**zoom
        left, right = math.floor((x0 + _HALF) / size), math.ceil((x1 + _HALF) / size)
        top, bottom = math.floor((_HALF - y1) / size), math.ceil((_HALF - y0) / size)
        middle, across = (south + north) / 2, east - west
        ground = pyproj.Geod(ellps="WGS84").line_length((0, across), (middle, middle))
        return cls(zoom, left, top, right, bottom, (x0, y0, x1, y1), ground / (x1 - x0))

    @property
    def tiles(self) -> Iterable[tuple[int, int]]:
        return (
            (column, row)
            for column in range(self.left, self.right)
            for row in range(self.top, self.bottom)
        )

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south, north of the tiles in metres of Web Mercator."""
        size = 2 * _HALF / 2**self.zoom
        xs = (self.left * size - _HALF, self.right * size - _HALF)
        ys = (_HALF - self.bottom * size, _HALF - self.top * size)
        return (*xs, *ys)


def _stitched(layers: Sequence[Layer], view: _View, maker: TileMaker) -> Image.Image:
    width, height = view.right - view.left, view.bottom - view.top
    whole = Image.new("RGBA", (width * SIDE, height * SIDE), "white")
    for layer in reversed(layers):  # the lowest first
        for column, row in view.tiles:
            png = maker.tile(layer.name, layer.look, view.zoom, column, row)
            tile = Image.open(io.BytesIO(png)).convert("RGBA")
            if layer.opacity < 1:
                tile.putalpha(tile.getchannel("A").point(lambda a, by=layer.opacity: int(a * by)))
            place = ((column - view.left) * SIDE, (row - view.top) * SIDE)
            whole.alpha_composite(tile, place)
    return whole


def _outline(axes: "Axes", sheet: Sheet) -> None:
    """Draw the samples class by class; a dark edge shows one also where the map has its color."""
    from matplotlib.collections import LineCollection

    to_metres = pyproj.Transformer.from_crs(DEGREES, WEB_MERCATOR, always_xy=True)
    for name in dict.fromkeys(sample.class_name for sample in sheet.samples):
        color = (sheet.colors or {}).get(name, "#888888")
        shapes = np.array([s.shape for s in sheet.samples if s.class_name == name], dtype=object)
        metres = shapely.transform(shapes, lambda xy: np.column_stack(to_metres.transform(*xy.T)))
        lines = [np.asarray(line.coords)[:, :2] for one in metres for line in _lines(one)]
        points = [line[0] for line in lines if len(line) == 1]
        if points:
            axes.scatter(*np.transpose(points), 10, color, edgecolors="black", linewidths=0.7)
        for width, drawn in ((2.5, "black"), (1, color)):
            axes.add_collection(LineCollection(lines, linewidths=width, colors=drawn))


def _lines(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    """Yield points, and the rings of polygons."""
    for part in getattr(geometry, "geoms", [geometry]):
        yield from (part.exterior, *part.interiors) if part.geom_type == "Polygon" else (part,)


def _frame(axes: "Axes", bounds: Bounds, view: _View) -> None:
    """Show only what is wanted, with degrees along the edges."""
    west, south, east, north = view.box
    axes.set(xlim=(west, east), ylim=(south, north), aspect="equal")
    to_metres = pyproj.Transformer.from_crs(DEGREES, WEB_MERCATOR, always_xy=True)
    longitudes, latitudes = (np.linspace(bounds[i], bounds[i + 2], 5)[1:4] for i in (1, 0))
    xs, _ = to_metres.transform(longitudes, np.full(3, bounds[0]))
    _, ys = to_metres.transform(np.full(3, bounds[1]), latitudes)
    digits = max(1, 2 - math.floor(math.log10(bounds[3] - bounds[1])))
    axes.set_xticks(xs, [f"{value:.{digits}f}°" for value in longitudes], fontsize=7)
    axes.set_yticks(
        ys, [f"{v:.{digits}f}°" for v in latitudes], fontsize=7, rotation=90, va="center"
    )


def _scale(axes: "Axes", view: _View) -> None:
    """Draw a bar that is true in the middle of the picture, and an arrow to the north."""
    west, south, east, north = view.box
    metres = round_length((east - west) * view.ground / 4)
    length, height = metres / view.ground, (north - south) / 100
    x, y = west + (east - west) * 0.03, south + (north - south) * 0.03
    axes.fill_between((x, x + length), y, y + height, color="black", edgecolor="white", zorder=9)
    shown = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
    axes.text(x, y + 1.6 * height, shown, fontsize=8, bbox=box, zorder=9)
    arrow = {"arrowstyle": "-|>", "color": "black"}
    axes.annotate(
        "N", (0.97, 0.97), (0.97, 0.90), xycoords="axes fraction", ha="center", arrowprops=arrow,
        bbox=box, fontsize=9,
    )  # fmt: skip


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length.

    >>> [round_length(most) for most in (731.0, 49.9, 1000.0)]
    [500.0, 20.0, 1000.0]
    """
    power = 10.0 ** math.floor(math.log10(most) + 1e-9)
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most * (1 + 1e-9))


def _legend(axes: "Axes", sheet: Sheet, layers: Sequence[Layer], say: Say) -> None:
    from matplotlib.patches import Patch

    maps = [layer for layer in layers if layer.kind == "map"]
    samples = say(text("Samples"))
    rows = [Patch(color=c.color, label=c.name) for layer in maps for c in _classes_of(layer)]
    drawn = {sample.class_name for sample in sheet.samples}
    rows += [
        Patch(fill=False, edgecolor=color, label=f"{name} ({samples})")
        for name, color in (sheet.colors or {}).items()
        if name in drawn
    ]
    if rows:
        axes.legend(handles=rows, loc="upper left", frameon=False, fontsize=8)


def _classes_of(layer: Layer) -> tuple[LegendClass, ...]:
    with readable_at_home(layer.name) as path, open_raster(path) as dataset:
        legend = legend_of(dataset)
    return legend.classes if legend else ()


def _sources(layers: Sequence[Layer], say: Say) -> str:
    named = "; ".join(dict.fromkeys(f"{layer.title} ({layer.name})" for layer in layers))
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    source, printed = say(text("Source")), say(text("Printed"))
    return f"{source}: {named}. {printed} {day}. WGS 84 / Pseudo-Mercator"
