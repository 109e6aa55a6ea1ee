"""A scene that is kept open while somebody draws on it, and what of it is looked at."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError, LandcoverError
from landcover.inference.shifts.comparison import MOST_PIXELS as MOST_SAMPLED
from landcover.io.bands import SceneBands, choose_bands
from landcover.io.raster import Grid, open_scene, read_grown
from landcover.io.scene_pixels import sample_pixels
from landcover.io.undeclared_fill import without_fill
from landcover.models.classifier import without_halo
from landcover.models.forest.window_features import REACH
from landcover.progress import collecting_notes
from landcover.scenes.clouds.detection import CLOUDY
from landcover.scenes.clouds.mask import detector_of
from landcover.storage import readable_at_home
from sample_map.data.features import CRS

MOST_BYTES = 64 * 2**20
"""Of pixels that are read for a preview; of a larger view the middle is."""
MOST_PIXELS = 600 * 600
"""That are classified; of more every second, third ... row and column."""
_STEPS = 17  # points along each side of a view, whose outline is none in the scene's system
_CACHE_MIB = 128

Bounds = tuple[float, float, float, float]
"""South, west, north, east in degrees."""


@dataclass(frozen=True)
class Look:
    """What of a scene is seen.

    Attributes:
        window: of the scene.
        step: every so-maniest row and column is classified.
        is_cut: whether the view shows more of the scene than this.
    """

    window: Window
    step: int
    is_cut: bool


@dataclass(frozen=True)
class Block:
    """Pixels of a look, grown by REACH: values (bands, H, W) and validity (H, W)."""

    look: Look
    values: np.ndarray
    valid: np.ndarray

    def inner(self, halo: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values and validity, grown by a smaller halo."""
        spare = REACH - halo
        return without_halo(self.values, spare), without_halo(self.valid, spare)


class LiveScene:
    """An open scene. One thread at a time may use it, always the same one.

    Attributes:
        name: storage name.
        stamp: another one when the file was written anew.
        grid: of its pixels.
        bands: that are learned from.
        remarks: what is to be known of it.
    """

    def __init__(self, name: str) -> None:
        """Open a scene.

        Raises:
            InputError: it cannot be read, or has no CRS.
        """
        self.name = name
        self._opened = ExitStack()
        with collecting_notes(lambda sentence: None) as notes:
            try:
                path = self._opened.enter_context(readable_at_home(name))
                self.stamp = stamp_of(name)
                opened = self._opened.enter_context(open_scene(path, None, _CACHE_MIB))
                self.dataset: DatasetReader = opened
                self.grid = Grid.of(opened)
                self.bands: SceneBands = choose_bands(opened)
                self.known = without_fill(opened, self.bands.indexes)
            except BaseException:
                self._opened.close()
                raise
        self.remarks = tuple(notes.remarks)
        self._block: Block | None = None
        self._clear: tuple[Look, np.ndarray] | None = None

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def look(self, bounds: Bounds) -> Look:
        """Return what of the scene lies within some bounds, no more than can be read at once.

        Raises:
            InputError: nothing does.
        """
        window = self._within(bounds)
        pixel = sum(np.dtype(self.dataset.dtypes[i - 1]).itemsize for i in self.bands.indexes)
        cut = _middle(window, max(1, MOST_BYTES // pixel))
        step = math.ceil(math.sqrt(cut.width * cut.height / MOST_PIXELS))
        return Look(cut, step, cut != window)

    def read(self, look: Look) -> Block:
        """Return the pixels of a look; those of the last one are kept."""
        if self._block is None or self._block.look != look:
            self._block = None  # before another one is in memory
            self._block = Block(
                look, *read_grown(self.dataset, look.window, self.bands.indexes, REACH)
            )
        return self._block

    def clear(self, look: Look) -> np.ndarray | None:
        """Return which pixels of a look show the ground, bool (H, W); None if nothing tells."""
        if self._detector is None:
            return None
        if self._clear is None or self._clear[0] != look:
            with collecting_notes(lambda sentence: None):
                (mask, *_) = self._detector.detect(look.window)
            self._clear = look, mask != CLOUDY
        return self._clear[1]

    @cached_property
    def some_pixels(self) -> np.ndarray:
        """Some pixels from all over the scene, (N, bands), as check-radiometry looks at them.

        Raises:
            InputError: no pixel is valid.
        """
        return sample_pixels(self.dataset, self.bands.indexes).some(MOST_SAMPLED).values

    @cached_property
    def _detector(self):  # type: ignore[no-untyped-def]
        with collecting_notes(lambda sentence: None):
            try:
                return detector_of(self.dataset, "auto")
            except LandcoverError:
                return None

    def _within(self, bounds: Bounds) -> Window:
        south, west, north, east = bounds
        along = np.linspace(0, 1, _STEPS)
        x, y = (axis.ravel() for axis in np.meshgrid(west + along * (east - west),
                                                     south + along * (north - south)))  # fmt: skip
        to_scene = pyproj.Transformer.from_crs(CRS, self.grid.crs.to_wkt(), always_xy=True)
        with np.errstate(invalid="ignore"):
            columns, rows = ~self.grid.transform @ to_scene.transform(x, y)
        known = np.isfinite(columns) & np.isfinite(rows)
        left, right = _span(columns[known], self.grid.width)
        top, bottom = _span(rows[known], self.grid.height)
        if right <= left or bottom <= top:
            raise InputError("the scene lies outside of what the map shows")
        return Window(left, top, right - left, bottom - top)


def stamp_of(name: str) -> str:
    """Return what changes when a file is written anew."""
    with readable_at_home(name) as path:
        found = path.stat()
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _span(places: np.ndarray, side: int) -> tuple[int, int]:
    if not places.size:
        return 0, 0
    return max(0, math.floor(places.min())), min(side, math.ceil(places.max()))


def _middle(window: Window, most: int) -> Window:
    """Return the middle of a window, of the same shape, with so many pixels at most."""
    share = math.sqrt(min(1.0, most / (window.width * window.height)))
    width, height = max(1, int(window.width * share)), max(1, int(window.height * share))
    return Window(
        window.col_off + (window.width - width) // 2,
        window.row_off + (window.height - height) // 2,
        width,
        height,
    )


def places_of(at: Sequence[tuple[float, float]], grid: Grid) -> list[tuple[float, float]]:
    """Return longitude and latitude in degrees of columns and rows of a scene."""
    columns, rows = np.array(at, float).T
    to_degrees = pyproj.Transformer.from_crs(grid.crs.to_wkt(), CRS, always_xy=True)
    x, y = to_degrees.transform(*(grid.transform @ (columns, rows)))
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
