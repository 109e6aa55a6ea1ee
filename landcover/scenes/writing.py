"""Write a scene tile by tile: what is finished survives an interruption, memory stays bounded.

Where somebody is named to compute parts of it (`landcover.executors`), they do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.executors.parts import Parts, computed_parts, is_begun, is_carried
from landcover.io.geotiff.cog import CogWriter, writing_part, writing_scene
from landcover.io.geotiff.cog_header import TILE
from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import Band, Grid
from landcover.io.records.checkpoints import resumable
from landcover.io.records.run_record import DISTRIBUTION
from landcover.io.sensors import Measured
from landcover.progress import Pace, report_progress

UNFINISHED = (".scene.tif.tiles",)
"""Name of the file in which an interrupted run leaves what it has finished."""
_WIDE = {"int32", "uint32", "int64", "uint64", "float64"}
"""Dtypes whose values float32 does not hold exactly."""

Compute = Callable[[Window], Iterator[np.ndarray]]
"""Yields the bands of a window in their order, some at a time, each (bands, H, W)."""
_SIDE = 1024
"""Of the square that holds the windows of a part."""


@dataclass(frozen=True)
class SceneBand:
    """A band that is written.

    Attributes:
        name: its description.
        wavelength: centre in nm, where that makes sense and is known.
        tags: further ones.
        unit: scale and offset, where the bands of a scene have several; (1, 0) is none.
    """

    name: str
    wavelength: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    unit: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def like(cls, band: Band) -> "SceneBand":
        """Return a band of another scene, to be written as it is."""
        return cls(band.name, band.wavelength)

    @property
    def all_tags(self) -> dict[str, str]:
        """Its tags, with the wavelength as GDAL names it."""
        known = {} if self.wavelength is None else {"CENTRAL_WAVELENGTH_UM": self._micrometres}
        return {**known, **self.tags}

    @property
    def _micrometres(self) -> str:
        return f"{(self.wavelength or 0) / 1000:.10g}"


@dataclass(frozen=True)
class Layout:
    """What a scene will be.

    Attributes:
        grid: where its pixels lie.
        bands: in their order.
        pixels: how they are stored.
        tags: of the whole.
        window: rows and columns that are computed at a time.
    """

    grid: Grid
    bands: tuple[SceneBand, ...]
    pixels: Pixels
    tags: Mapping[str, str]
    window: tuple[int, int] = (TILE, TILE)


Opening = Callable[[], AbstractContextManager[tuple[Layout, Compute]]]
"""Made of a function of a module, so that others find it by its name."""


def write_scene(
    folder: Path,
    layout: Layout,
    compute: Compute,
    made_from: Mapping[str, Any],
    what: str,
    always_known: int = 0,
    opening: Opening | None = None,
) -> Path:
    """Write `scene.tif`; return its path.

    Args:
        folder: to write to.
        layout: of the scene.
        compute: gives the pixels of a window.
        made_from: all that decides the pixels, as JSON.
        what: is being done, as in "stacking".
        always_known: number of bands that have a value where all others have none.
        opening: yields layout and compute anew, elsewhere too, for whoever computes parts; where
            it is missing the scene does not fall into parts.

    Raises:
        InputError: no pixel is valid.
    """
    seal = {**made_from, "layout": _described(layout), "code": version(DISTRIBUTION)}
    target = folder / "scene.tif"
    bands = [(band.name, band.all_tags) for band in layout.bands]
    units = [band.unit for band in layout.bands]
    with (
        _in_parts(folder, layout, opening, seal, what) as parts,
        resumable(folder, UNFINISHED, seal) as (spool,),
        writing_scene(
            target,
            layout.grid,
            bands,
            layout.pixels,
            layout.tags,
            spool if parts is None else None,  # parts are kept themselves
            units if set(units) != {(1.0, 0.0)} else (),
        ) as writer,
    ):
        if parts is None:
            _write_missing(writer, layout, compute, what)
        for file in parts or ():
            writer.take_over(file)
        if writer.filled <= always_known * layout.grid.pixels:
            raise InputError("no pixel of the result would be valid: are masks and nodata right?")
        report_progress(1, "writing the scene")
    return target


@dataclass(frozen=True)
class _Work:
    """What whoever computes a part needs to know."""

    opening: Opening
    folder: Path


def _in_parts(
    folder: Path,
    layout: Layout,
    opening: Opening | None,
    seal: Mapping[str, Any],
    what: str,
) -> AbstractContextManager[Iterator[BinaryIO] | None]:
    """Compute a scene in parts, if it has them and somebody was named for that or has begun it."""
    if opening is None or not (is_carried() or is_begun(folder, what)):
        return nullcontext()
    folder = folder.absolute()
    count = len(_groups(layout))
    return computed_parts(Parts(_compute_part, _Work(opening, folder), count, folder, what, seal))


def _groups(layout: Layout) -> list[list[Window]]:
    """Return the windows of each part, row by row."""
    groups = defaultdict(list)
    for window in layout.grid.windows(*layout.window):
        groups[window.row_off // _SIDE, window.col_off // _SIDE].append(window)
    return [groups[key] for key in sorted(groups)]


def _compute_part(work: _Work, number: int, file: BinaryIO) -> None:
    """Compute the windows of a part and hand them over."""
    with work.opening() as (layout, compute):
        grid, bands = layout.grid, len(layout.bands)
        with writing_part(work.folder, grid, False, bands, layout.pixels) as writer:
            for window in _groups(layout)[number]:
                _write_window(writer, layout, compute, window)
            writer.hand_over(file)


def _write_missing(writer: CogWriter, layout: Layout, compute: Compute, what: str) -> None:
    missing = [w for w in layout.grid.windows(*layout.window) if writer.lacks(w)]
    left = sum(window.width * window.height for window in missing)
    pace = Pace(what, layout.grid.pixels, left)
    pace.report()
    for window in missing:
        _write_window(writer, layout, compute, window)
        pace.advance(window.width * window.height)
        pace.report()


def _write_window(writer: CogWriter, layout: Layout, compute: Compute, window: Window) -> None:
    written = 0
    for values in compute(window):
        writer.write(values, window, written)
        written += len(values)
    if written != len(layout.bands):
        raise RuntimeError(f"{written} bands were computed of {len(layout.bands)}, in {window}")


def _described(layout: Layout) -> dict[str, Any]:
    grid, pixels = layout.grid, layout.pixels
    return {
        "crs": grid.crs.to_wkt(),
        "grid": [*grid.transform[:6], grid.width, grid.height],
        "bands": [[band.name, band.all_tags, band.unit] for band in layout.bands],
        "pixels": [pixels.dtype.str, str(pixels.nodata)],
        "tags": dict(layout.tags),
    }


def window_shape(datasets: Sequence[DatasetReader], grid: Grid, most: int) -> tuple[int, int]:
    """Return rows and columns of windows in which each block of the sources is read once.

    Tiles fit into tiles. Strips, which go over the whole width, are read a few rows at a time: by
    tiles each of them would be decoded as often as there are tiles beside one another.

    Args:
        datasets: that are read.
        grid: of the result.
        most: pixels of a window that memory allows.
    """
    has_strips = any(dataset.block_shapes[0][1] > 2 * TILE for dataset in datasets)
    if has_strips and grid.width > TILE:
        return int(np.clip(most // grid.width, 1, TILE)), grid.width
    return int(np.clip(most // TILE, 1, TILE)), TILE


def floating(dtypes: Sequence[str | np.dtype]) -> Pixels:
    """Return how values of these dtypes are stored as numbers with a fraction; nodata is NaN."""
    wide = any(str(np.dtype(dtype)) in _WIDE for dtype in dtypes)
    return Pixels.of_scene("float64" if wide else "float32", float("nan"))


def tags_of(measured: Measured, dataset: DatasetReader | None = None) -> dict[str, str]:
    """Return the tags that say how a scene was measured, and of a scene's own its date."""
    known = {
        "SENSOR": measured.sensor,
        "LEVEL": measured.level,
        "SCALE": measured.scale and f"{measured.scale:.12g}",
        "OFFSET": None if measured.offset is None else f"{measured.offset:.12g}",
    }
    own = {} if dataset is None else {key.upper(): value for key, value in dataset.tags().items()}
    known["DATE"] = own.get("DATE")
    return {name: str(value) for name, value in known.items() if value is not None}
