"""Pictures of a scene for a web map: tiles of 256 pixels in Web Mercator.

A tile reads its part of the scene at about the tile's own resolution, so memory stays bounded and
overviews are used where the file has them. Where it has none, one preview of the whole scene is
read once and kept, and serves all tiles that are coarser: a scene of a gigabyte is then read once
and not for every tile.
"""

import io
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.warp import reproject
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import legend_of, open_raster
from landcover.storage import readable_at_home
from sample_map.texts import text

SIDE = 256  # pixels of a tile
PREVIEW_SIDE = 2048  # pixels
STRETCH = (2.0, 98.0)  # percentiles shown as black and white
MOST_ZOOM = 24
WEB_MERCATOR = "EPSG:3857"
DEGREES = "EPSG:4326"
_HALF = math.pi * 6378137.0  # metres from the centre of Web Mercator to its edge
_NATURAL = (("B04", "B03", "B02"), ("red", "green", "blue"))
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_PREVIEWS = 4  # scenes and bands change while one looks; of 16-bit bands one takes 30 MB
_STEPS = 17  # points along a side by which a tile is found in a scene

_STYLE = re.compile(r"scene|percent|below:\d{1,3}")
# dark to light and in order for people who are colour-blind: five colours of viridis, between
# which lines are drawn (S. van der Walt and N. Smith, 2015)
_VIRIDIS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
_RAMP = np.column_stack(
    [np.interp(np.arange(101), np.linspace(0, 100, 5), channel) for channel in _VIRIDIS.T]
).astype("uint8")  # (101, 3)
_NOWHERE = text("the scene lies nowhere on the Earth, by its coordinate system")
_BELOW = np.array((230, 0, 126), "uint8")  # no class is expected in it

Indexes = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """How a scene is shown.

    Attributes:
        bands: numbers from 1, for red, green and blue.
        stretch: percentiles of the scene that are shown as black and white.
        limits: values instead of those, for each colour: low, high, low, high, low, high.
        style: scene, or of a band of percent: percent (dark is low, light is high), or
            below:N (one colour where it is below N, else nothing).
    """

    bands: Indexes
    stretch: tuple[float, float] = STRETCH
    limits: tuple[float, ...] = ()
    style: str = "scene"

    @classmethod
    def read(cls, bands: str, stretch: str, limits: str = "", style: str = "scene") -> "Look":
        """Read what an address says: bands as 4,3,2 and stretch as 2,98.

        Raises:
            InputError: it says something else.
        """
        try:
            red, green, blue = (int(number) for number in bands.split(","))
            low, high = (float(number) for number in stretch.split(","))
            values = tuple(float(number) for number in limits.split(",") if limits)
        except ValueError as error:
            raise InputError(
                "a tile needs bands such as 4,3,2 and stretch such as 2,98"
            ) from error
        if not 0 <= low < high <= 100:
            raise InputError(f"the stretch is {low:g} to {high:g}, needs percentiles 0 to 100")
        if len(values) not in (0, 6) or not np.isfinite(values).all():
            raise InputError("the limits need six numbers, low and high for each colour")
        if not _STYLE.fullmatch(style):
            raise InputError("the style of a tile is scene, percent or below:N")
        return cls((red, green, blue), (low, high), values, style)


@dataclass(frozen=True)
class Scene:
    """What the panel says of a scene.

    Attributes:
        name: storage name.
        bands: a name for each band.
        natural: numbers of the bands first shown as red, green and blue.
        bounds: south, west, north, east in degrees.
        stamp: another one when the file was written anew.
    """

    name: str
    bands: tuple[str, ...]
    natural: Indexes
    bounds: tuple[float, float, float, float]
    stamp: str


@dataclass(frozen=True)
class Part:
    """Pixels of a scene: values (bands, H, W), valid (H, W), and where they lie."""

    values: np.ndarray
    valid: np.ndarray
    transform: Affine

    def cropped(self, left: int, top: int, right: int, bottom: int) -> "Part":
        """Return the pixels from left and top up to right and bottom."""
        return Part(
            self.values[:, top:bottom, left:right],
            self.valid[top:bottom, left:right],
            self.transform @ Affine.translation(left, top),
        )


def describe(name: str, bands: Sequence[int | str] | None = None) -> Scene:
    """Say what a scene holds and where it lies.

    Args:
        name: storage name of a GeoTIFF.
        bands: to show as red, green and blue, by number or description; natural colours if not
            given.

    Raises:
        InputError: it cannot be read, has no CRS, or lacks a band.
    """
    with readable_at_home(name) as path, open_raster(path) as dataset:
        _need_place(dataset)
        names = [description or f"b{i}" for i, description in enumerate(dataset.descriptions, 1)]
        chosen, bounds = band_indexes(dataset, bands), _bounds_of(dataset)
        return Scene(name, tuple(names), chosen, bounds, _stamp(path))


def spans_of(dataset: DatasetReader) -> np.ndarray:
    """Return what each band spans between the percentiles STRETCH, above 0, shape (bands,)."""
    part = _read(dataset, dataset.indexes, _whole(dataset), 512)
    if not part.valid.any():
        return np.ones(dataset.count)
    low, high = np.percentile(part.values[:, part.valid], STRETCH, axis=1)
    return np.where(high > low, high - low, 1.0)


class TileMaker:
    """Draws tiles; keeps the previews of the scenes drawn last. Several threads may ask."""

    def __init__(self) -> None:
        """Begin without previews."""
        self._previews: OrderedDict[tuple[object, ...], Preview] = OrderedDict()
        self._lock = threading.Lock()

    def tile(self, name: str, look: Look, zoom: int, column: int, row: int) -> bytes:
        """Draw a tile.

        Args:
            name: storage name of the scene.
            look: bands and stretch.
            zoom: 0 shows the world in one tile.
            column: from the date line eastwards.
            row: from the north southwards.

        Returns:
            A PNG, transparent where the scene has no data. A map with a colour table has its
            own colours.

        Raises:
            InputError: the scene cannot be read, has no CRS, lacks a band, or has no such tile.
        """
        if not (0 <= zoom <= MOST_ZOOM and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
            raise InputError(f"there is no tile {zoom}/{column}/{row}")
        with readable_at_home(name) as path, open_raster(path) as dataset:
            _need_place(dataset)
            bands = band_indexes(dataset, look.bands)
            preview = self._preview((name, _stamp(path), bands))
            whole = preview.of(dataset, bands)
            part = _part_for(dataset, bands, whole, tile_transform(zoom, column, row))
            if part is None:
                return _NOTHING
            values, valid = _warped(part, dataset.crs, tile_transform(zoom, column, row))
            palette = palette_of(dataset)
            if palette is not None:
                colors = palette[values[0].astype("uint8")]  # (H, W, 4)
                return _png(np.moveaxis(colors[..., :3], -1, 0), valid & (colors[..., 3] > 0))
            if look.style != "scene":
                return _png(*_percent_painted(values[0], valid, look.style))
            limits = (
                np.reshape(look.limits, (3, 2)).T
                if look.limits
                else preview.limits(whole, look.stretch)
            )
            return _png(_stretched(values, valid, limits), valid)

    def limits(
        self, name: str, look: Look, bounds: tuple[float, float, float, float]
    ) -> tuple[float, ...]:
        """Return the values at the percentiles of a look in a part of a scene.

        Args:
            name: storage name of the scene.
            look: bands and stretch.
            bounds: south, west, north, east of the part in degrees.

        Returns:
            Low, high for red, for green and for blue, as `Look.limits`.

        Raises:
            InputError: the scene cannot be read, or nothing valid of it lies there.
        """
        with readable_at_home(name) as path, open_raster(path) as dataset:
            _need_place(dataset)
            bands = band_indexes(dataset, look.bands)
            window = _window_of(dataset, _grid_over(bounds))
            part = None if window is None else _read(dataset, bands, window, 2 * SIDE)
            if part is None or not part.valid.any():
                raise InputError("nothing of the scene is in view")
            return tuple(map(float, limits_of(part.values, part.valid, look.stretch).T.ravel()))

    def _preview(self, key: tuple[object, ...]) -> "Preview":
        with self._lock:
            preview = self._previews.setdefault(key, Preview())
            self._previews.move_to_end(key)
            while len(self._previews) > _PREVIEWS:
                self._previews.popitem(last=False)
            return preview


class Preview:
    """A scene at a low resolution, read once by whoever comes first."""

    def __init__(self) -> None:
        """Begin unread."""
        self._lock = threading.Lock()
        self._part: Part | None = None
        self._limits: dict[tuple[float, float], np.ndarray] = {}

    def of(self, dataset: DatasetReader, bands: Indexes) -> Part:
        """Return the preview of a scene, at most PREVIEW_SIDE pixels wide and high."""
        with self._lock:
            if self._part is None:
                self._part = _read(dataset, bands, _whole(dataset), PREVIEW_SIDE)
            return self._part

    def limits(self, part: Part, percentiles: tuple[float, float]) -> np.ndarray:
        """Return the values that are black and white in each band, shape (2, bands)."""
        with self._lock:
            if percentiles not in self._limits:
                self._limits[percentiles] = limits_of(part.values, part.valid, percentiles)
            return self._limits[percentiles]


def tile_transform(zoom: int, column: int, row: int) -> Affine:
    """Return where the pixels of a tile lie, in metres of Web Mercator."""
    size = 2 * _HALF / 2**zoom
    pixel = size / SIDE
    return Affine(pixel, 0, column * size - _HALF, 0, -pixel, _HALF - row * size)


def band_indexes(dataset: DatasetReader, bands: Sequence[int | str] | None) -> Indexes:
    """Return the numbers of the bands to show as red, green and blue.

    Raises:
        InputError: there are not three, or one is not there.
    """
    if bands is None:
        return _natural_bands(dataset)
    if len(bands) != 3:
        raise InputError(f"bands names {len(bands)} bands, needs three: red, green and blue")
    red, green, blue = (_band_index(dataset, band) for band in bands)
    return red, green, blue


def stretch(
    values: np.ndarray, valid: np.ndarray, percentiles: tuple[float, float] = STRETCH
) -> np.ndarray:
    """Stretch every band between two of its percentiles.

    Args:
        values: (bands, H, W), any numbers.
        valid: (H, W), which pixels count.
        percentiles: shown as black and white.

    Returns:
        (bands, H, W), uint8; 0 where not valid.
    """
    return _stretched(values, valid, limits_of(values, valid, percentiles))


def limits_of(
    values: np.ndarray, valid: np.ndarray, percentiles: tuple[float, float]
) -> np.ndarray:
    """Return the values shown as black and white in each band, shape (2, bands)."""
    if not valid.any():
        return np.zeros((2, len(values)))
    return np.asarray(np.percentile(values[:, valid], percentiles, axis=1))


def _part_for(dataset: DatasetReader, bands: Indexes, preview: Part, tile: Affine) -> Part | None:
    """Return the pixels that a tile shows, from the preview where that is fine enough."""
    window = _window_of(dataset, tile)
    if window is None:
        return None
    height, width = preview.valid.shape
    across, down = width / dataset.width, height / dataset.height
    if max(window.width * across, window.height * down) < SIDE and max(across, down) < 1:
        return _read(dataset, bands, window, 2 * SIDE)
    right, bottom = window.col_off + window.width, window.row_off + window.height
    return preview.cropped(
        math.floor(window.col_off * across),
        math.floor(window.row_off * down),
        math.ceil(right * across),
        math.ceil(bottom * down),
    )


def _warped(part: Part, crs: object, tile: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Bring pixels to a tile's grid: values (bands, 256, 256), valid (256, 256)."""
    stacked = np.concatenate([part.values, part.valid[None]]).astype("float32")
    into = np.zeros((len(stacked), SIDE, SIDE), "float32")
    reproject(
        stacked,
        into,
        src_transform=part.transform,
        src_crs=crs,
        dst_transform=tile,
        dst_crs=WEB_MERCATOR,
        resampling=Resampling.nearest,
    )
    return into[:-1], into[-1] > 0


def _read(dataset: DatasetReader, bands: Sequence[int], window: Window, side: int) -> Part:
    """Read a window, at most so many pixels wide and high."""
    scale = min(1.0, side / max(window.width, window.height))
    height, width = (max(1, round(n * scale)) for n in (window.height, window.width))
    distinct = sorted(set(bands))
    read = dataset.read(distinct, window=window, out_shape=(len(distinct), height, width))
    values = read[[distinct.index(band) for band in bands]]
    masks = dataset.read_masks(distinct, window=window, out_shape=read.shape)
    valid = (masks > 0).all(axis=0) & np.isfinite(read).all(axis=0)
    size = Affine.scale(window.width / width, window.height / height)
    corner = Affine.translation(window.col_off, window.row_off)
    return Part(
        np.where(valid, values, values.dtype.type(0)), valid, dataset.transform @ corner @ size
    )


def _window_of(dataset: DatasetReader, tile: Affine) -> Window | None:
    """Return the part of a scene that a tile shows, None if it shows nothing of it."""
    along = np.linspace(0, SIDE, _STEPS)
    columns, rows = (axis.ravel() for axis in np.meshgrid(along, along))
    x, y = tile @ (columns, rows)
    to_scene = pyproj.Transformer.from_crs(WEB_MERCATOR, dataset.crs, always_xy=True)
    with np.errstate(invalid="ignore"):  # what lies nowhere in the scene's CRS is infinite
        columns, rows = ~dataset.transform @ to_scene.transform(x, y)
    known = np.isfinite(columns) & np.isfinite(rows)
    if not known.any():
        return None
    left, top = (max(0, math.floor(axis[known].min()) - 2) for axis in (columns, rows))
    right = min(dataset.width, math.ceil(columns[known].max()) + 2)
    bottom = min(dataset.height, math.ceil(rows[known].max()) + 2)
    return (
        None if right <= left or bottom <= top else Window(left, top, right - left, bottom - top)
    )


def _whole(dataset: DatasetReader) -> Window:
    return Window(0, 0, dataset.width, dataset.height)


def _bounds_of(dataset: DatasetReader) -> tuple[float, float, float, float]:
    across, down = np.linspace(0, dataset.width, 33), np.linspace(0, dataset.height, 33)
    columns, rows = (axis.ravel() for axis in np.meshgrid(across, down))
    to_degrees = pyproj.Transformer.from_crs(dataset.crs, DEGREES, always_xy=True)
    x, y = to_degrees.transform(*(dataset.transform @ (columns, rows)))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise InputError(_NOWHERE)
    return tuple(
        float(v) for v in (y[known].min(), x[known].min(), y[known].max(), x[known].max())
    )  # type: ignore[return-value]


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def has_place(dataset: DatasetReader) -> bool:
    """Return whether a raster lies on the Earth; a local CRS ties it to no place there."""
    crs = dataset.crs
    return crs is not None and (crs.is_geographic or crs.is_projected)


def _need_place(dataset: DatasetReader) -> None:
    if dataset.crs is None:
        raise InputError("the scene has no CRS, so it has no place on a map")
    if not has_place(dataset):
        raise InputError(_NOWHERE)


def _band_index(dataset: DatasetReader, band: int | str) -> int:
    if band in dataset.descriptions:
        return int(dataset.descriptions.index(band)) + 1
    if band in dataset.indexes:
        return int(band)
    names = ", ".join(str(name) for name in dataset.descriptions if name)
    known = f"1 to {dataset.count}" + (f": {names}" if names else "")
    raise InputError(f"there is no band {band}, the scene has {known}")


def _natural_bands(dataset: DatasetReader) -> Indexes:
    """Choose by description, else by what the file calls red, green, blue, else by order."""
    for names in (*_NATURAL, _RGB):
        have = dataset.colorinterp if names is _RGB else dataset.descriptions
        if set(names) <= set(have):
            red, green, blue = (have.index(name) + 1 for name in names)
            return red, green, blue
    # most sensors count from blue upwards
    return (3, 2, 1) if dataset.count >= 3 else (1, 1, 1)


def palette_of(dataset: DatasetReader) -> np.ndarray | None:
    """Return the colours of a map's codes, shape (256, 4), None if it brings none."""
    if dataset.count > 1 or dataset.dtypes[0] != "uint8":
        return None
    colors = _colors_of(dataset)
    if not colors:
        return None
    palette = np.zeros((256, 4), "uint8")
    for code, color in colors.items():
        palette[code] = color
    return palette


def _colors_of(dataset: DatasetReader) -> dict[int, tuple[int, int, int, int]]:
    if dataset.colorinterp[0] == ColorInterp.palette:
        return dict(dataset.colormap(1))
    legend = legend_of(dataset)
    return {} if legend is None else {one.code: (*one.rgb, 255) for one in legend.classes}


def _stretched(values: np.ndarray, valid: np.ndarray, limits: np.ndarray) -> np.ndarray:
    low, high = limits[:, :, None, None]
    span = np.where(high > low, high - low, 1)
    shown = np.where(high > low, np.clip((values - low) / span, 0, 1), 0.5)  # one value: grey
    return np.where(valid, np.rint(shown * 255), 0).astype("uint8")


def _percent_painted(
    values: np.ndarray, valid: np.ndarray, style: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of a band of percent, (3, H, W) uint8, and where it has any."""
    if style == "percent":
        return _RAMP[np.clip(values, 0, 100).astype("uint8")].transpose(2, 0, 1), valid
    is_below = valid & (values < int(style.removeprefix("below:")))
    return np.broadcast_to(_BELOW[:, None, None], (3, *values.shape)), is_below


def _grid_over(bounds: tuple[float, float, float, float]) -> Affine:
    """Return the grid of one tile that covers a part of the Earth."""
    south, west, north, east = bounds
    to_metres = pyproj.Transformer.from_crs(DEGREES, WEB_MERCATOR, always_xy=True)
    (left, right), (bottom, top) = to_metres.transform((west, east), (south, north))
    return Affine((right - left) / SIDE, 0, left, 0, (bottom - top) / SIDE, top)


def _png(colors: np.ndarray, valid: np.ndarray) -> bytes:
    opacity = np.where(valid, 255, 0).astype("uint8")
    pixels = np.moveaxis(np.concatenate([colors, opacity[None]]), 0, -1)  # (H, W, 4)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


_NOTHING = _png(np.zeros((3, SIDE, SIDE), "uint8"), np.zeros((SIDE, SIDE), bool))
