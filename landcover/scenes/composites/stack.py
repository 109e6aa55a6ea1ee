"""Stack scenes: the bands of all dates in one scene, each named by its date."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.bands import match_named
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import MOST_BANDS, Grid, unique_names
from landcover.io.records.run_record import input_digests
from landcover.io.sensors import is_near, same_system
from landcover.operation import GeoTIFF, SceneFile
from landcover.progress import remark
from landcover.scenes.composites.agreement import in_one_unit, remark_on_sensors
from landcover.scenes.composites.layers import Layer, Series, open_series
from landcover.scenes.writing import (
    Layout,
    SceneBand,
    floating,
    tags_of,
    window_shape,
    write_scene,
)

_PIXELS_AT_ONCE = 2**20
"""Of one band."""
_HARDLY = 0.25
"""Of the smaller of two undated scenes lies on the other: pieces of one, not two dates."""


@dataclass(frozen=True)
class Stack:
    """A stack of dates.

    Attributes:
        scene: the bands of all dates, named as in 2023-04-01:B04.
    """

    scene: GeoTIFF


def stack_scenes(scenes: list[SceneFile], workdir: AnyPath = "") -> Stack:
    """Put the bands of several dates into one scene.

    Bands are named by their date, as in 2023-04-01:B04, so that a classifier learns what changes
    over the year. Scenes of one date are pieces of a mosaic: where they overlap, the one listed
    first counts.

    Args:
        scenes: of one date each, which the tag DATE or the file name says, or stacks of dates; on
            any grid, that of the first one is kept.
        workdir: folder to write to.

    Raises:
        InputError: a date is missing, or units or bands cannot be put together.
    """
    paths = [Path(path) for path in scenes]
    with open_series(paths) as series:
        layers = in_one_unit(series.layers)
        remark_on_sensors(layers)
        columns = _columns(replace(series, layers=tuple(layers)))
        layout = _layout(series.grid, columns, layers)

        def compute(window: Window) -> Iterator[np.ndarray]:
            return (_read(column, window, layout.pixels) for column in columns)

        made_from = {"scenes": input_digests("scenes", paths)}
        return Stack(write_scene(Path(workdir), layout, compute, made_from, "stacking"))


@dataclass(frozen=True)
class _Column:
    """A band of the stack: the pieces that it is put together from, and where they have it."""

    name: str
    pieces: tuple[tuple[Layer, int], ...]

    @property
    def band(self) -> SceneBand:
        layer, at = self.pieces[0]
        return SceneBand(self.name, layer.bands[at].wavelength, unit=layer.own_unit_of(at))


def _columns(series: Series) -> list[_Column]:
    """Return the bands of the stack in the order of dates."""
    groups = series.by_date
    undated = [layer for group in groups for layer in group if layer.date is None]
    if undated:
        groups = [_pieces_without_date(series, undated)]
    columns = [column for group in groups for column in _of_date(group)]
    if len(columns) > MOST_BANDS:
        raise InputError(f"the stack would have {len(columns)} bands, at most {MOST_BANDS} fit")
    names = unique_names([column.name for column in columns])
    return [replace(column, name=name) for column, name in zip(columns, names, strict=True)]


def _pieces_without_date(series: Series, undated: Sequence[Layer]) -> list[Layer]:
    """Return scenes without a date if they are pieces of one scene."""
    dated = next((layer for layer in series.layers if layer.date is not None), None)
    overlapping = any(_overlap(one, other) > _HARDLY for one in undated for other in undated
                      if one is not other)  # fmt: skip
    if dated is not None or overlapping:
        raise InputError(
            f"{undated[0].name} does not say when it was taken: write it into its tag DATE, as in "
            "gdal_edit.py -mo DATE=2023-04-01 FILE, or name the file by its date"
        )
    remark("no scene says when it was taken: as they hardly overlap, they are joined as pieces "
           "of one scene")  # fmt: skip
    return list(undated)


def _overlap(one: Layer, other: Layer) -> float:
    """Return which share of the smaller of two scenes lies on the other."""
    a, b = one.scene, other.scene
    rows = min(a.row + a.dataset.height, b.row + b.dataset.height) - max(a.row, b.row)
    columns = min(a.column + a.dataset.width, b.column + b.dataset.width) - max(a.column, b.column)
    smaller = min(a.dataset.height * a.dataset.width, b.dataset.height * b.dataset.width)
    return float(max(rows, 0) * max(columns, 0) / smaller)


def _of_date(group: Sequence[Layer]) -> list[_Column]:
    """Return the bands of one date; bands of the same name are pieces of one."""
    first, date = group[0], group[0].date
    pieces: dict[str, list[tuple[Layer, int]]] = {name: [] for name in first.names}
    for layer in group:
        _need_same_sensor(first, layer)
        found = match_named(first.bands, layer.bands).at if layer is not first else ()
        meant = {at: name for at, name in zip(found, first.names, strict=False) if at is not None}
        for at, name in enumerate(layer.names):
            pieces.setdefault(meant.get(at, name), []).append((layer, at))
    if len(group) > 1:
        remark(
            f"{len(group)} scenes{_on(date)} were joined; where they overlap, the one listed "
            f"first counts: {', '.join(layer.name for layer in group[:5])}"
        )
    for of_band in pieces.values():
        _need_near(of_band)
    prefix = f"{date}:" if date else ""
    return [_Column(f"{prefix}{name}", tuple(of_band)) for name, of_band in pieces.items()]


def _on(date: datetime.date | None) -> str:
    return f" of {date}" if date else ""


def _need_same_sensor(first: Layer, layer: Layer) -> None:
    one, other = first.measured.sensor, layer.measured.sensor
    if one and other and not same_system(one, other):
        raise InputError(
            f"{first.name} and {layer.name} are of one date and of different sensors, {one} and "
            f"{other}: a mosaic needs pieces of one; leave one out"
        )


def _need_near(pieces: Sequence[tuple[Layer, int]]) -> None:
    for (one, at), (other, there) in pairwise(pieces):
        band, same = one.bands[at], other.bands[there]
        known = band.wavelength and same.wavelength
        if known and not is_near(band.wavelength or 0, same.wavelength or 0):
            raise InputError(
                f"band {band.name} is centred at {band.wavelength:g} nm in {one.name} and at "
                f"{same.wavelength:g} nm in {other.name}: they are not the same band"
            )


def _layout(grid: Grid, columns: Sequence[_Column], layers: Sequence[Layer]) -> Layout:
    bands = tuple(column.band for column in columns)
    tags = tags_of(layers[0].measured)
    dates = {layer.date for layer in layers if layer.date is not None}
    tags |= {"DATE": str(dates.pop())} if len(dates) == 1 else {}
    window = window_shape([layer.scene.dataset for layer in layers], grid, _PIXELS_AT_ONCE)
    return Layout(grid, bands, _pixels(grid, columns), tags, window)


def _pixels(grid: Grid, columns: Sequence[_Column]) -> Pixels:
    """Return how the stack is stored: as all scenes are, where they agree and that can be."""
    pieces = [piece for column in columns for piece in column.pieces]
    dtypes = {layer.dtype(at) for layer, at in pieces}
    nodata = {str(layer.nodata): layer.nodata for layer, _ in pieces}
    converted = any(layer.conversion for layer, _ in pieces)
    value = next(iter(nodata.values()))
    is_whole = all(any(layer.is_whole(grid) for layer, _ in column.pieces) for column in columns)
    if len(dtypes) == len(nodata) == 1 and not converted and (value is not None or is_whole):
        return Pixels.of_scene(next(iter(dtypes)), value)
    return floating([*dtypes])


def _read(column: _Column, window: Window, pixels: Pixels) -> np.ndarray:
    """Return a band of a window, (1, H, W)."""
    found = np.full((window.height, window.width), pixels.empty()[0, 0], pixels.dtype)
    missing = np.ones(found.shape, bool)
    for layer, at in column.pieces:
        values, valid = layer.read(window, [at])
        taken = missing & valid
        found[taken] = values[0][taken]
        missing &= ~taken
        if not missing.any():
            break
    return found[None]
