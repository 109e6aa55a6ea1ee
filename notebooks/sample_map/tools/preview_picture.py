"""The pictures of a preview: codes of a scene's pixels, brought to the grid of a web map."""

import io
import math
from dataclasses import dataclass

import numpy as np
import pyproj
from affine import Affine
from PIL import Image
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Grid
from sample_map.data.features import CRS
from sample_map.data.tiles import WEB_MERCATOR

_STRANGE = (214, 0, 147)
"""The colour of what resembles nothing that was drawn; no legend of land cover begins with it."""
_HATCH = 6
"""Pixels from stripe to stripe."""
_STEPS = 9


@dataclass(frozen=True)
class Picture:
    """A PNG, and the south, west, north and east of it in degrees."""

    png: bytes
    bounds: tuple[float, float, float, float]


def picture_of_codes(
    codes: np.ndarray, *, grid: Grid, window: Window, step: int, legend: Legend
) -> Picture:
    """Draw classes in the colours of a legend.

    Args:
        codes: uint8 (H, W), of every so-maniest pixel of a window; 255 is transparent.
        grid: of the scene.
        window: of it.
        step: of rows and columns.
        legend: names and colours of the codes.
    """
    palette = np.zeros((256, 3), np.uint8)
    for entry in legend.classes:
        palette[entry.code] = tuple(bytes.fromhex(entry.color.removeprefix("#")))
    warped, bounds = _warped(codes, grid, window, step)
    return Picture(_png(warped, palette), bounds)


def picture_of_unknown(unknown: np.ndarray, *, grid: Grid, window: Window, step: int) -> Picture:
    """Draw stripes over pixels, bool (H, W), that resemble nothing that was drawn."""
    warped, bounds = _warped(np.where(unknown, 1, NODATA).astype(np.uint8), grid, window, step)
    rows, columns = np.indices(warped.shape)
    striped = np.where((rows + columns) % _HATCH < _HATCH // 2, warped, NODATA).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[1] = _STRANGE
    return Picture(_png(striped, palette), bounds)


def _warped(
    codes: np.ndarray, grid: Grid, window: Window, step: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Bring codes to a grid of Web Mercator; return them and its bounds in degrees."""
    own = grid.transform_of(window) @ Affine.scale(step)
    x, y = _outline(codes.shape, own, grid)
    left, right, bottom, top = x.min(), x.max(), y.min(), y.max()
    # pixels about as large as they are in the scene, along its diagonal
    size = math.hypot(right - left, top - bottom) / math.hypot(*codes.shape)
    columns, rows = (max(1, math.ceil(side / size)) for side in (right - left, top - bottom))
    transform = Affine((right - left) / columns, 0, left, 0, (bottom - top) / rows, top)
    into = np.full((rows, columns), NODATA, np.uint8)
    reproject(
        codes, into, src_transform=own, src_crs=grid.crs, src_nodata=NODATA,
        dst_transform=transform, dst_crs=WEB_MERCATOR, dst_nodata=NODATA,
        resampling=Resampling.nearest,
    )  # fmt: skip
    to_degrees = pyproj.Transformer.from_crs(WEB_MERCATOR, CRS, always_xy=True)
    (west, east), (north, south) = to_degrees.transform((left, right), (top, bottom))
    return into, (float(south), float(west), float(north), float(east))


def _outline(
    shape: tuple[int, ...], transform: Affine, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y in Web Mercator of points all over some pixels, whose sides may be curved."""
    height, width = shape
    columns, rows = np.meshgrid(np.linspace(0, width, _STEPS), np.linspace(0, height, _STEPS))
    to_web = pyproj.Transformer.from_crs(grid.crs.to_wkt(), WEB_MERCATOR, always_xy=True)
    x, y = to_web.transform(*(transform @ (columns.ravel(), rows.ravel())))
    return np.asarray(x), np.asarray(y)


def _png(codes: np.ndarray, palette: np.ndarray) -> bytes:
    image = Image.fromarray(codes).convert("P")
    image.putpalette(palette.ravel().tolist())
    opacity = bytes([255] * NODATA + [0])
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, transparency=opacity)
    return file.getvalue()
