"""A scene as STAC item, plain JSON.

Sources: SpatioTemporal Asset Catalog 1.1.0, item specification and common metadata; extensions
projection 2.0.0, raster 2.0.0, electro-optical 2.0.0.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.warp import transform_geom

from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import Grid
from landcover.scenes.products.product import Product, SourceBand

_EXTENSIONS = "https://stac-extensions.github.io"
_USED = {
    "proj:": f"{_EXTENSIONS}/projection/v2.0.0/schema.json",
    "raster:": f"{_EXTENSIONS}/raster/v2.0.0/schema.json",
    "eo:": f"{_EXTENSIONS}/eo/v2.0.0/schema.json",
}
_ANY_TIME = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
"""Of a scene whose date nobody knows: an item needs a time or a span."""
_EDGE = 16
"""Points along each side of the footprint, which is curved in degrees."""


def item_of(
    product: Product, bands: Sequence[SourceBand], grid: Grid, pixels: Pixels, name: str
) -> dict[str, Any]:
    """Return the item of a scene that lies beside it as scene.tif.

    Args:
        product: what it was made of.
        bands: of the scene, in their order.
        grid: of the scene.
        pixels: of the scene.
        name: of what was delivered, an identifier where the product has none.
    """
    geometry = _footprint(grid)
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    described = [_band(band, pixels) for band in bands]
    fields = ["proj:code", *(field for band in described for field in band)]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            address
            for prefix, address in _USED.items()
            if any(field.startswith(prefix) for field in fields)
        ],
        "id": re.sub(r"[^\w.-]+", "_", product.product_id or name) or "scene",
        "geometry": geometry,
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": _properties(product, grid),
        "links": [],
        "assets": {
            "scene": {
                "href": "./scene.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "bands": described,
            }
        },
    }


def _properties(product: Product, grid: Grid) -> dict[str, Any]:
    code = grid.crs.to_epsg()
    told: dict[str, Any] = dict(_time(product.moment))
    if product.sensor:
        platform, _, instrument = product.sensor.lower().rpartition(" ")
        told |= {"platform": platform or instrument, "instruments": [instrument]}
    if product.level:
        told["landcover:level"] = product.level
    if not grid.crs.is_geographic:
        told["gsd"] = math.hypot(grid.transform.a, grid.transform.d)
    return told | {
        "proj:code": f"EPSG:{code}" if code else None,
        **({} if code else {"proj:wkt2": grid.crs.to_wkt(version="WKT2_2019")}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [*grid.transform][:6],
    }


def _time(moment: str) -> dict[str, Any]:
    if not moment:
        return {"datetime": None, "start_datetime": _ANY_TIME[0], "end_datetime": _ANY_TIME[1]}
    time = moment if "T" in moment else f"{moment}T00:00:00"
    return {"datetime": time if time.endswith("Z") else f"{time}Z"}


def _band(band: SourceBand, pixels: Pixels) -> dict[str, Any]:
    told: dict[str, Any] = {"name": band.name, "data_type": pixels.dtype.name}
    if pixels.nodata is not None:
        is_nan = math.isnan(pixels.nodata)
        told["nodata"] = "nan" if is_nan else pixels.nodata
    if (band.scale, band.offset) != (1.0, 0.0):
        told |= {"raster:scale": band.scale, "raster:offset": band.offset}
    if band.wavelength:
        told["eo:center_wavelength"] = band.wavelength / 1000
    return told


def _footprint(grid: Grid) -> dict[str, Any]:
    """Return the outline of a grid in degrees, counterclockwise."""
    along = np.linspace(0, 1, _EDGE, endpoint=False)
    nothing, whole = np.zeros(_EDGE), np.ones(_EDGE)
    columns = np.concatenate([nothing, along, whole, 1 - along]) * grid.width
    rows = np.concatenate([along, whole, 1 - along, nothing]) * grid.height
    ring = [grid.transform @ place for place in zip(columns.tolist(), rows.tolist(), strict=True)]
    outline = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    moved: dict[str, Any] = transform_geom(grid.crs, "EPSG:4326", outline)
    places = [[round(float(v), 7) for v in place[:2]] for place in moved["coordinates"][0]]
    return {"type": "Polygon", "coordinates": [places]}
