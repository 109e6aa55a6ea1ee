"""Small scenes whose answer is known, made in code."""

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import Polygon, box

CRS = "EPSG:32648"
ORIGIN = (500_000.0, 5_800_000.0)
PIXEL = 10.0
TRANSFORM = Affine.translation(*ORIGIN) @ Affine.scale(PIXEL, -PIXEL)


def write_raster(
    path: Path,
    values: np.ndarray,
    *,
    names: Sequence[str] = (),
    nodata: float | None = None,
    transform: Affine = TRANSFORM,
    crs: str | None = CRS,
    **tags: str,
) -> Path:
    """Write (bands, H, W) or (H, W) as GeoTIFF."""
    values = values[None] if values.ndim == 2 else values
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=values.shape[0],
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as dataset:
        dataset.write(values)
        if names:
            dataset.descriptions = list(names)
        dataset.update_tags(**tags)
    return path


def pixels(row: int, column: int, height: int, width: int) -> Polygon:
    """Return the polygon that covers just these pixels."""
    left, top = TRANSFORM @ (column, row)
    return box(left, top - height * PIXEL, left + width * PIXEL, top)


def write_labels(
    path: Path, shapes: Sequence[tuple[str, object]], *, field: str = "class", crs: str = CRS
) -> Path:
    """Write (class, geometry) pairs as GeoPackage, in any CRS."""
    names, geometries = zip(*shapes, strict=True)
    frame = geopandas.GeoDataFrame({field: list(names)}, geometry=list(geometries), crs=CRS)
    frame.to_crs(crs).to_file(path)
    return path


def label_points(
    points: Path, target: Path, class_at: Callable[[int, int], str | None], crs: str = CRS
) -> Path:
    """Save drawn points with the class that is found at their row and column, in any CRS."""
    frame = geopandas.read_file(points)
    columns, rows = ~TRANSFORM @ (frame.geometry.x, frame.geometry.y)
    at = zip(rows.astype(int), columns.astype(int), strict=True)
    frame["class"] = [class_at(*place) for place in at]
    frame.to_crs(crs).to_file(target)
    return target


def quarters(size: int = 64, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return a uint16 scene (3, size, size) of four distinct classes, one a quarter, and codes.

    Spectra are so far apart that any classifier must tell them apart.
    """
    half = size // 2
    codes = np.zeros((size, size), np.uint8)
    codes[:half, :half], codes[:half, half:] = 1, 2
    codes[half:, :half], codes[half:, half:] = 3, 4
    spectra = np.array([[0, 0, 0], [300, 200, 100], [500, 900, 300], [800, 600, 2500],
                        [1500, 1700, 1900]])  # fmt: skip
    noise = np.random.default_rng(seed).normal(0, 20, (3, size, size))
    return (np.moveaxis(spectra[codes], 2, 0) + noise + 100).astype(np.uint16), codes
