"""Derive bands from those of a scene: indices, terrain, what surrounds a pixel.

Each has a name by which a model asks for it, and tags that say how it was computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.bands import SceneBands, choose_bands, is_about_pixels
from landcover.io.files.paths import AnyPath
from landcover.io.raster import MOST_BANDS, Grid, open_raster, read_grown
from landcover.io.records.run_record import input_digests
from landcover.io.sensors import Measured, measured_by
from landcover.io.upright import upright
from landcover.operation import GeoTIFF, RasterFile, SceneFile
from landcover.progress import remark
from landcover.scenes.composites.layers import bare_band
from landcover.scenes.composites.placing import Placed, are_smaller, holds, placed_on
from landcover.scenes.features.indices import INDICES, Index, bands_for_roles
from landcover.scenes.features.surroundings import mean_and_deviation
from landcover.scenes.features.terrain import BANDS as TERRAIN
from landcover.scenes.features.terrain import metres_per_pixel, terrain_of
from landcover.scenes.writing import (
    Layout,
    SceneBand,
    floating,
    tags_of,
    window_shape,
    write_scene,
)

_DARKEST = 1e-4
"""Reflectance that less counts as: over water the atmosphere is often taken off too far, and the
index of two values below 0 would be anything."""
_PIXELS_AT_ONCE = 2**18
"""Of one band, without what lies around."""
_SIDES = range(3, 100, 2)
_LARGE = 21
_NEEDS = (
    f"needs one or more of {', '.join(INDICES)}, as in NDVI,NDWI, or all for those that the "
    "scene has bands for"
)


@dataclass(frozen=True)
class Derived:
    """A scene with more bands.

    Attributes:
        scene: the bands of the scene in its units, then those derived from them; nodata is NaN.
    """

    scene: GeoTIFF


def derive_bands(
    scene: SceneFile,
    indices: str = "",
    elevation: RasterFile | None = None,
    windows: str = "",
    bands: str = "",
    workdir: AnyPath = "",
) -> Derived:
    """Add bands that are computed from a scene's own, or from a height model.

    Indices are computed on reflectance, by the scale and offset that the scene declares, with
    values below 0.0001 taken as 0.0001. Of a stack of dates each date has its own, as in
    2023-04-01:NDVI.

    Args:
        scene: GeoTIFF or COG.
        indices: of NDVI, NDWI, MNDWI, NDBI, NBR, EVI2, SAVI, NDMI, BSI, as in NDVI,NDWI; or all.
        elevation: height model in metres on any grid, for the bands slope and aspect (degrees)
            and hillshade, by Horn's method.
        windows: odd sides in pixels of squares, as in 3,5; of each band the mean and the standard
            deviation in them, as in B04_mean3 and B04_std3. B04=3 is of one band alone.
        bands: of the scene to use, in their order, renamed where that helps, as in
            B04,red=B4,B8A; all by default.
        workdir: folder to write to.

    Raises:
        InputError: nothing is asked for, a band or units that are needed are not known, or the
            height model does not fit.
    """
    if not (indices.strip() or elevation is not None or windows.strip()):
        raise InputError("nothing is to be derived: name indices, elevation or windows")
    with ExitStack() as opened:
        dataset = upright(opened.enter_context(open_raster(scene)))
        source = _Source(
            dataset, choose_bands(dataset, bands, about_pixels=True), Grid.of(dataset)
        )
        features: list[_Feature] = [_Own(source)]
        features += _indices(source, indices)
        if elevation is not None:
            heights = opened.enter_context(open_raster(elevation))
            features.append(_terrain(source.grid, heights, opened))
        features += _surroundings(source, windows)
        layout = _layout(source, features)

        def compute(window: Window) -> Iterator[np.ndarray]:
            for feature in features:
                yield from feature.compute(window)

        made_from = {
            "scene": input_digests("scene", [Path(scene)]),
            "elevation": elevation and input_digests("elevation", [Path(elevation)]),
            "asked": [indices, windows, bands],
        }
        return Derived(write_scene(Path(workdir), layout, compute, made_from, "deriving bands"))


@dataclass(frozen=True)
class _Source:
    """The scene that bands are derived from."""

    dataset: DatasetReader
    used: SceneBands
    grid: Grid

    @property
    def name(self) -> str:
        return Path(self.dataset.name).name

    @property
    def measured(self) -> Measured:
        return measured_by(self.dataset)

    def unit_of(self, at: int) -> tuple[float, float] | None:
        """Return scale and offset of one band to reflectance, None if it does not say them."""
        if self.measured.scale is not None:
            return self.measured.scale, self.measured.offset or 0.0
        index = self.used.indexes[at] - 1
        own = (self.dataset.scales[index], self.dataset.offsets[index])
        return None if own == (1.0, 0.0) else own

    def own_unit_of(self, at: int) -> tuple[float, float]:
        """Return the unit of one band where bands have several, which no tag of the scene says."""
        unit = None if self.measured.scale is not None else self.unit_of(at)
        return unit or (1.0, 0.0)

    def read(self, at: int, window: Window, halo: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return values and validity of one band, (H, W) each: others' nodata is not its own."""
        values, valid = read_grown(self.dataset, window, [self.used.indexes[at]], halo)
        return values[0], valid


class _Feature(Protocol):
    """Bands that are computed together."""

    @property
    def bands(self) -> tuple[SceneBand, ...]:
        """What they are called."""

    def compute(self, window: Window) -> Iterator[np.ndarray]:
        """Yield them, some at a time, each (bands, H, W)."""


@dataclass(frozen=True)
class _Own:
    """The bands that the scene has already."""

    source: _Source

    @property
    def bands(self) -> tuple[SceneBand, ...]:
        return tuple(
            replace(SceneBand.like(band), unit=self.source.own_unit_of(at))
            for at, band in enumerate(self.source.used.bands)
        )

    def compute(self, window: Window) -> Iterator[np.ndarray]:
        for at in range(len(self.source.used.bands)):
            values, valid = self.source.read(at, window)
            yield np.where(valid, values, np.nan)[None]


@dataclass(frozen=True)
class _OfIndex:
    """A spectral index of one date."""

    source: _Source
    name: str
    index: Index
    at: Mapping[str, int]
    units: Mapping[str, tuple[float, float] | None]

    @property
    def bands(self) -> tuple[SceneBand, ...]:
        names = {role: self.source.used.names[at] for role, at in self.at.items()}
        tags = {
            "FORMULA": self.index.formula_of(names),
            "SOURCE": self.index.source,
            "REFLECTANCE": ", ".join(dict.fromkeys(map(_unit_in_words, self.units.values()))),
        }
        return (SceneBand(self.name, tags=tags),)

    def compute(self, window: Window) -> Iterator[np.ndarray]:
        of, known = {}, np.ones((window.height, window.width), bool)
        for role in self.index.roles:
            values, valid = self.source.read(self.at[role], window)
            scale, offset = self.units[role] or (1.0, 0.0)
            reflectance = scale * values.astype(np.float64) + offset
            of[role] = np.where(valid, np.maximum(reflectance, _DARKEST), _DARKEST)
            known &= valid
        yield np.where(known, self.index.formula(of), np.nan)[None]


@dataclass(frozen=True)
class _OfTerrain:
    """Slope, aspect and hillshade; heights are read with one more pixel on each side."""

    heights: Placed
    width: np.ndarray
    height: np.ndarray

    @property
    def bands(self) -> tuple[SceneBand, ...]:
        return tuple(
            SceneBand(name, tags={"DESCRIPTION": words, "SOURCE": "Horn 1981"})
            for name, words in TERRAIN.items()
        )

    def compute(self, window: Window) -> Iterator[np.ndarray]:
        grown = Window(window.col_off, window.row_off, window.width + 2, window.height + 2)
        values, valid = self.heights.read(grown, [1])
        rows = slice(window.row_off, window.row_off + window.height)
        known = np.where(valid, values[0].astype(np.float64), np.nan)
        yield terrain_of(known, self.width[rows], self.height[rows])


@dataclass(frozen=True)
class _OfSurroundings:
    """Mean and deviation of a band in squares of one side."""

    source: _Source
    at: int
    side: int

    @property
    def bands(self) -> tuple[SceneBand, ...]:
        name = self.source.used.names[self.at]
        what = {"mean": "mean", "std": "standard deviation"}
        scale, offset = self.source.own_unit_of(self.at)
        units = {"mean": (scale, offset), "std": (scale, 0.0)}
        return tuple(
            SceneBand(
                f"{name}_{short}{self.side}",
                tags={"DESCRIPTION": f"{word} of {name} in {self.side} x {self.side} pixels"},
                unit=units[short],
            )
            for short, word in what.items()
        )

    def compute(self, window: Window) -> Iterator[np.ndarray]:
        values, valid = self.source.read(self.at, window, self.side // 2)
        yield mean_and_deviation(values, valid, self.side)


def _layout(source: _Source, features: Sequence[_Feature]) -> Layout:
    written = tuple(band for feature in features for band in feature.bands)
    names = [band.name for band in written]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} would stand twice in the result: {source.name} has it already")
    if len(written) > MOST_BANDS:
        raise InputError(f"the result would have {len(written)} bands, at most {MOST_BANDS} fit")
    pixels = floating([source.dataset.dtypes[index - 1] for index in source.used.indexes])
    tags = tags_of(source.measured, source.dataset)
    window = window_shape([source.dataset], source.grid, _PIXELS_AT_ONCE)
    return Layout(source.grid, written, pixels, tags, window)


def _indices(source: _Source, text: str) -> list[_OfIndex]:
    """Return the indices that are asked for, of each date."""
    wanted = _names(text)
    if not wanted:
        return []
    found: list[_OfIndex] = []
    for prefix, numbers in _by_date(source.used).items():
        roles = bands_for_roles([bare_band(source.used.bands[i]) for i in numbers])
        at = {role: numbers[i] for role, i in roles.items()}
        for name in wanted if wanted != ["ALL"] else _possible(source, at):
            _need_roles(source, name, at)
            found.append(_of_index(source, f"{prefix}{name}", name, at))
    _remark_on_units(source, found)
    return found


def _names(text: str) -> list[str]:
    """Return the names of indices in a text, each once."""
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    if names == ["ALL"]:
        return names
    unknown = next((name for name in names if name not in INDICES), None)
    if unknown is not None:
        raise InputError(f"indices names {unknown}, {_NEEDS}", "indices")
    return list(dict.fromkeys(names))


def _by_date(used: SceneBands) -> dict[str, list[int]]:
    """Return the numbers of the bands of each date, by what stands before their names."""
    groups: dict[str, list[int]] = {}
    for number, band in enumerate(used.bands):
        prefix = f"{band.date}:" if band.date else ""
        groups.setdefault(prefix, []).append(number)
    return groups


def _possible(source: _Source, at: Mapping[str, int]) -> list[str]:
    names = [
        name
        for name, index in INDICES.items()
        if all(role in at for role in index.roles)
        and (index.is_ratio or all(source.unit_of(at[role]) for role in index.roles))
    ]
    if not names:
        raise InputError(f"{source.name} has the bands of no index: {_no_band(source)}", "indices")
    return names


def _need_roles(source: _Source, name: str, at: Mapping[str, int]) -> None:
    missing = [role for role in INDICES[name].roles if role not in at]
    if missing:
        raise InputError(
            f"{name} needs {' and '.join(missing)}, which {source.name} has not: "
            f"{_no_band(source)}",
            "indices",
        )


def _no_band(source: _Source) -> str:
    told = [f"{band.name} ({band.wavelength:g} nm)" if band.wavelength else band.name
            for band in source.used.bands[:12]]  # fmt: skip
    return f"it has {', '.join(told)}; say by bands which is which, as in red=B4,nir=B5"


def _of_index(source: _Source, full_name: str, name: str, at: Mapping[str, int]) -> _OfIndex:
    index = INDICES[name]
    units = {role: source.unit_of(at[role]) for role in index.roles}
    known = [unit for unit in units.values() if unit is not None]
    if len(known) < len(units) and (known or not index.is_ratio):
        raise InputError(
            f"{name} needs reflectance, and {source.name} does not say the units of all bands: "
            "write them into its tags, as in gdal_edit.py -mo SCALE=0.0001 -mo OFFSET=0 FILE",
            "indices",
        )
    of = {role: at[role] for role in index.roles}
    return _OfIndex(source, full_name, index, of, units)


def _unit_in_words(unit: tuple[float, float] | None) -> str:
    scale, offset = unit or (1.0, 0.0)
    return f"{scale:.12g} * value + {offset:.12g}"


def _remark_on_units(source: _Source, indices: Sequence[_OfIndex]) -> None:
    """Say on which units indices were computed where that is a guess."""
    if any(None in index.units.values() for index in indices):
        remark(
            f"{source.name} does not say its units (SCALE, OFFSET): indices were computed on its "
            "values as they are; if these have an offset, as those of Sentinel-2 have since 2022, "
            "they are wrong"
        )
    elif indices and source.measured.scale is not None and source.measured.offset is None:
        remark(f"{source.name} says a scale and no offset: indices were computed with offset 0")


def _terrain(grid: Grid, heights: DatasetReader, opened: ExitStack) -> _OfTerrain:
    """Return terrain on the scene's grid, grown by a pixel on each side.

    Raises:
        InputError: heights are not metres, or slopes cannot be computed on this grid.
    """
    name = Path(heights.name).name
    unit = (heights.units[0] or "").casefold()
    if unit not in ("", "m", "metre", "metres", "meter", "meters"):
        raise InputError(f"{name} holds heights in {unit[:20]}, slopes need metres", "elevation")
    if heights.count != 1:
        raise InputError(f"{name} has {heights.count} bands, heights need one", "elevation")
    width, height = metres_per_pixel(grid)
    moved = grid.transform @ Affine.translation(-1, -1)
    grown = Grid(grid.crs, moved, grid.width + 2, grid.height + 2)
    how = None if are_smaller(Grid.of(heights), grid) else Resampling.bilinear
    placed = opened.enter_context(placed_on(heights, grown, how))
    if not holds(Grid.of(upright(heights)), grown):
        remark(
            f"slope, aspect and hillshade are missing where {name} has no height beside a pixel, "
            "as at its edges; such pixels are invalid for a model that uses these bands"
        )
    return _OfTerrain(placed, width, height)


def _surroundings(source: _Source, text: str) -> list[_OfSurroundings]:
    """Return means and deviations in the squares that are asked for."""
    asked: dict[tuple[int, int], None] = {}
    of_ground = [i for i, band in enumerate(source.used.bands) if not is_about_pixels(band.name)]
    for part in filter(None, map(str.strip, text.split(","))):
        name, is_of_one, side = part.rpartition("=")
        numbers = [_number(source, name.strip())] if is_of_one else of_ground
        asked |= dict.fromkeys((number, _side(part, side)) for number in numbers)
    found = [_OfSurroundings(source, number, side) for number, side in asked]
    large = {one.side for one in found if one.side >= _LARGE}
    if large:
        remark(
            f"windows of {counted(max(large), '# pixel|pixels')} and more mix land covers: in "
            "tests, accuracy rose with small ones and fell from 21 pixels on"
        )
    return found


def _number(source: _Source, name: str) -> int:
    if name not in source.used.names:
        raise InputError(
            f"windows names the band {name}, {source.name} has "
            f"{', '.join(source.used.names[:12])}",
            "windows",
        )
    return source.used.names.index(name)


def _side(part: str, text: str) -> int:
    side = int(text) if text.strip().isdecimal() and len(text.strip()) < 4 else 0
    if side not in _SIDES:
        raise InputError(
            f"windows has {part}, needs odd numbers from {_SIDES[0]} to {_SIDES[-1]}, as in 3,5 "
            "or B04=3",
            "windows",
        )
    return side
