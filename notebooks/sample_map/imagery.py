"""Turn a scene into a picture for a web map: reprojected, stretched, transparent outside.

The picture travels as one PNG, so that neither a tile server nor the internet is needed.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from landcover.errors import InputError
from landcover.rasters import open_raster

WEB_MERCATOR = "EPSG:3857"
DEGREES = "EPSG:4326"
LONGEST_SIDE = 1500  # pixels; a larger PNG is slow to pass to the browser
STRETCH = (2, 98)  # percentiles shown as black and white
_NATURAL = (("B04", "B03", "B02"), ("red", "green", "blue"))
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class Picture:
    """A scene as a web map shows it.

    Attributes:
        png: red, green, blue and opacity.
        bounds: south-west and north-east corner, each (latitude, longitude) in degrees.
    """

    png: bytes
    bounds: tuple[tuple[float, float], tuple[float, float]]

    @property
    def url(self) -> str:
        """The PNG as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def picture_of(scene: Path, bands: Sequence[int | str] | None = None) -> Picture:
    """Draw a scene.

    Args:
        scene: a GeoTIFF or COG with a CRS.
        bands: for red, green and blue: numbers from 1, or descriptions such as B08; natural
            colours if not given.

    Raises:
        InputError: the scene cannot be read, has no CRS or lacks a band.
    """
    with open_raster(scene) as dataset:
        if dataset.crs is None:
            raise InputError(f"{scene.name} has no CRS, so it has no place on a map")
        indexes = band_indexes(dataset, bands)
        has_mask = dataset.nodata is not None or ColorInterp.alpha in dataset.colorinterp
        with WarpedVRT(dataset, crs=WEB_MERCATOR, add_alpha=not has_mask) as warped:
            values, opacity = _read(warped, indexes)
            bounds = transform_bounds(WEB_MERCATOR, DEGREES, *warped.bounds)
    valid = (opacity > 0) & np.isfinite(values).all(axis=0)
    west, south, east, north = bounds
    return Picture(_png(stretch(values, valid), valid), ((south, west), (north, east)))


def band_indexes(
    dataset: DatasetReader, bands: Sequence[int | str] | None
) -> tuple[int, int, int]:
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


def _band_index(dataset: DatasetReader, band: int | str) -> int:
    if band in dataset.descriptions:
        return dataset.descriptions.index(band) + 1
    if band in dataset.indexes:
        return int(band)
    names = ", ".join(str(name) for name in dataset.descriptions if name)
    known = f"1 to {dataset.count}" + (f": {names}" if names else "")
    raise InputError(f"there is no band {band}, the scene has {known}")


def _natural_bands(dataset: DatasetReader) -> tuple[int, int, int]:
    """Choose by description, else by what the file calls red, green, blue, else by order."""
    for names in (*_NATURAL, _RGB):
        have = dataset.colorinterp if names is _RGB else dataset.descriptions
        if set(names) <= set(have):
            red, green, blue = (have.index(name) + 1 for name in names)
            return red, green, blue
    # most sensors count from blue upwards
    return (3, 2, 1) if dataset.count >= 3 else (1, 1, 1)


def _read(warped: WarpedVRT, indexes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Read an overview: values (3, H, W) as floats, opacity (H, W), which is 0 outside."""
    scale = min(1.0, LONGEST_SIDE / max(warped.shape))
    shape = tuple(max(1, round(side * scale)) for side in warped.shape)
    values = warped.read(
        list(indexes), out_shape=(len(indexes), *shape), resampling=Resampling.average
    )
    return values.astype("float32"), _read_opacity(warped, shape)


def _read_opacity(warped: WarpedVRT, shape: tuple[int, ...]) -> np.ndarray:
    if warped.nodata is None:  # the last band is opacity, though GDAL may not call it so
        return warped.read(warped.count, out_shape=shape)
    return warped.dataset_mask(out_shape=shape)


def stretch(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Stretch every band between its 2nd and 98th percentile.

    Args:
        values: (bands, H, W), any numbers.
        valid: (H, W), which pixels count.

    Returns:
        (bands, H, W), uint8; 0 where not valid.
    """
    stretched = np.zeros(values.shape, "uint8")
    for band, into in zip(values, stretched, strict=True):
        if valid.any():
            into[valid] = _stretch_band(band[valid])
    return stretched


def _stretch_band(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, STRETCH)
    if high <= low:  # one value everywhere
        return np.full(values.shape, 128, "uint8")
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype("uint8")


def _png(colors: np.ndarray, valid: np.ndarray) -> bytes:
    opacity = np.where(valid, 255, 0).astype("uint8")
    pixels = np.moveaxis(np.concatenate([colors, opacity[None]]), 0, -1)  # (H, W, 4)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
