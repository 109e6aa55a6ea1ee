"""Compose the dates of a season into one scene: the median or the medoid of what is valid.

A block of all dates is sorted at once, which is quicker than asking numpy for a median that minds
NaN, and equal to it. What is in memory does not grow with the scene.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from rasterio.windows import Window

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.bands import is_about_pixels
from landcover.io.files.paths import AnyPath
from landcover.io.records.run_record import input_digests
from landcover.operation import GeoTIFF, RasterFile, SceneFile
from landcover.progress import remark
from landcover.scenes.composites.agreement import (
    in_one_unit,
    need_one_level,
    remark_on_sensors,
    with_bands_of,
)
from landcover.scenes.composites.dates import Season
from landcover.scenes.composites.layers import Layer, Series, open_series, spectral
from landcover.scenes.composites.middle import median_of, medoid_of
from landcover.scenes.writing import (
    Compute,
    Layout,
    SceneBand,
    floating,
    tags_of,
    window_shape,
    write_scene,
)

VALID_DATES = "valid_dates"
_BYTES_OF_BLOCK = 24 * 2**20
"""Of all dates and bands that are in memory at a time, as they are stored."""
_FEW = 3
"""Dates: the median of fewer is a mean, or one of them."""

Method = Literal["median", "medoid"]
Dates = list[list[Layer]]
"""The layers of each date; where they overlap, the first that is valid counts."""


@dataclass(frozen=True)
class Composite:
    """A composite of several dates.

    Attributes:
        scene: the bands of the scenes, in their units and with a fraction where dates have one;
            nodata is NaN. The last band, valid_dates, is the number of dates that a pixel was
            composed of.
    """

    scene: GeoTIFF


def compose_scenes(
    scenes: list[SceneFile],
    masks: list[RasterFile] | None = None,
    method: Method = "median",
    start: str = "",
    end: str = "",
    workdir: AnyPath = "",
) -> Composite:
    """Compose the dates of a season into one scene without clouds.

    Args:
        scenes: of one date each, or stacks of dates; on any grid, that of the first one is kept.
            Several scenes of one date are pieces of a mosaic.
        masks: one for each scene, in their order, as mask-clouds writes them: pixels of 0 or
            nodata are left out.
        method: median takes the median of each band, medoid the spectrum of the date that is
            nearest to those of all other dates, so that the bands of a pixel belong together.
        start: first date that is used, as YYYY-MM-DD, YYYY-MM or YYYY, or as MM-DD of every year;
            empty is unbounded.
        end: last date that is used, alike; a season of every year may go over its turn.
        workdir: folder to write to.

    Raises:
        InputError: no scene lies in the season, or units, levels or bands cannot be put together.
    """
    paths = [Path(path).absolute() for path in scenes]
    mask_paths = [Path(path).absolute() for path in masks] if masks else None
    opening = partial(_composition, paths, mask_paths, method, (start, end))
    with opening() as (layout, compute):
        made_from = {
            "scenes": input_digests("scenes", paths),
            "masks": mask_paths and input_digests("masks", mask_paths),
            "season": [start, end, method],
        }
        path = write_scene(
            Path(workdir), layout, compute, made_from, "composing", always_known=1, opening=opening
        )
    return Composite(path)


@contextmanager
def _composition(
    paths: Sequence[Path], masks: Sequence[Path] | None, method: Method, span: tuple[str, str]
) -> Iterator[tuple[Layout, Compute]]:
    """Open the scenes; yield what the composite will be, and what composes a window of it."""
    season = Season.of(*span)
    with open_series(paths, masks) as series:
        chosen = _in_season(series, season)
        layers = _comparable(chosen)
        dates = Series(series.grid, tuple(layers)).by_date
        _remark_on(dates, masks is not None, chosen)
        layout = _layout(series, dates, method)
        yield layout, _computing(dates, layout, method)


def _in_season(series: Series, season: Season) -> list[Layer]:
    """Return the layers whose date lies in the season."""
    if season.is_all:
        return list(series.layers)
    undated = next((layer.name for layer in series.layers if layer.date is None), None)
    if undated:
        raise InputError(
            f"{undated} does not say when it was taken, start and end need that: write it into "
            "its tag DATE, as in gdal_edit.py -mo DATE=2023-04-01 FILE"
        )
    chosen = [layer for layer in series.layers if layer.date and layer.date in season]
    if not chosen:
        dates = [layer.date for layer in series.layers]
        raise InputError(
            f"no scene lies between start and end, they are from {dates[0]} to {dates[-1]}"
        )
    return chosen


def _comparable(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers of the same bands in the same units."""
    need_one_level(layers)
    of_ground = [spectral(layer) for layer in layers]
    if not of_ground[0].bands:
        raise InputError(f"{of_ground[0].name} has no band of the ground to compose")
    alike = [of_ground[0], *(with_bands_of(of_ground[0], one) for one in of_ground[1:])]
    remark_on_sensors(alike)
    return in_one_unit(alike)


def _remark_on(dates: Dates, has_masks: bool, layers: Sequence[Layer]) -> None:
    joined = [group for group in dates if len(group) > 1]
    if joined:
        remark(
            f"{counted(len(joined), '# date|dates')} of several scenes: they count as one date, "
            "and where they overlap the scene listed first counts"
        )
    if len(dates) < _FEW:
        few = counted(len(dates), "# date|dates was|were")
        remark(f"only {few} composed: a median takes out clouds from three clear dates on")
    if not has_masks:
        quality = any(is_about_pixels(name) for layer in layers for name in layer.names)
        made = ", and the scenes have quality bands of which mask-clouds makes them" * quality
        remark(f"no masks were given: clouds and shadows are among the dates{made}")


def _layout(series: Series, dates: Dates, method: Method) -> Layout:
    first = dates[0][0]
    dtypes = [layer.dtype(at) for group in dates for layer in group
              for at in range(len(layer.bands))]  # fmt: skip
    count = SceneBand(VALID_DATES, tags={"DESCRIPTION": "number of dates that are valid"})
    own = [
        replace(SceneBand.like(band), unit=first.own_unit_of(at))
        for at, band in enumerate(first.bands)
    ]
    return Layout(
        series.grid,
        (*own, count),
        floating(dtypes),
        tags_of(first.measured) | _tags(dates, method),
        _window(series, dates),
    )


def _tags(dates: Dates, method: Method) -> dict[str, str]:
    """Return tags of the season; DATE is its middle date, so that composites stack.

    That is a date of the season also where it lies in several years.
    """
    known = sorted({group[0].date for group in dates if group[0].date is not None})
    tags = {"COMPOSITE": method, "DATES": str(len(dates))}
    if not known:
        return tags
    middle = known[(len(known) - 1) // 2]
    span = {"START_DATE": str(known[0]), "END_DATE": str(known[-1])}
    return tags | span | {"DATE": str(middle)}


def _computing(dates: Dates, layout: Layout, method: Method) -> Compute:
    """Return what composes a window."""

    def compute(window: Window) -> Iterator[np.ndarray]:
        shape = (len(layout.bands), window.height, window.width)
        composed = np.empty(shape, layout.pixels.dtype)
        _compose(dates, window, method, composed)
        yield composed

    return compute


def _window(series: Series, dates: Dates) -> tuple[int, int]:
    """Return rows and columns that are composed at a time, so that all dates fit into memory."""
    layers = [layer for group in dates for layer in group]
    largest = max(layer.read_dtype.itemsize for layer in layers)
    pixel = largest * len(layers[0].bands) * len(dates)
    sources = [layer.scene.dataset for layer in layers]
    return window_shape(sources, series.grid, _BYTES_OF_BLOCK // pixel)


def _compose(dates: Dates, window: Window, method: Method, into: np.ndarray) -> None:
    """Write the composite of a window (bands, H, W), and the number of dates as its last band."""
    values, valid = _read(dates, window, len(into) - 1)
    into[-1] = valid.sum(axis=0)
    if method == "medoid":
        into[:-1] = medoid_of(values, valid)
        return
    for band, composed in enumerate(into[:-1]):
        composed[:] = median_of(values[:, band], valid)


def _read(dates: Dates, window: Window, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (dates, bands, H, W) and where they are valid (dates, H, W)."""
    dtype = np.result_type(*(layer.read_dtype for group in dates for layer in group))
    values = np.empty((len(dates), count, window.height, window.width), dtype)
    valid = np.empty((len(dates), window.height, window.width), bool)
    for number, group in enumerate(dates):
        values[number], valid[number] = _read_date(group, window, range(count))
    return values, valid


def _read_date(
    group: Sequence[Layer], window: Window, which: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    values, valid = group[0].read(window, which)
    for layer in group[1:]:
        more, known = layer.read(window, which)
        added = known & ~valid
        values = np.where(added, more, values)
        valid = valid | added
    return values, valid
