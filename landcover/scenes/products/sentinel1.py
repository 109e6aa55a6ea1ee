"""Sentinel-1 ground range detected, as far as its pixels have places.

As ESA delivers it, a GRD has control points only; terrain shifts its pixels by hundreds of metres.

Source: ESA, Sentinel-1 Product Specification (S1-RS-MDA-52-7441).
"""

import re

from landcover.errors import InputError
from landcover.scenes.deliveries import Delivery
from landcover.scenes.products.product import Product, SourceBand

_IMAGE = re.compile(r"(?:.*/)?measurement/[^/]*-(vv|vh|hh|hv)-[^/]*\.tiff?", re.IGNORECASE)
_PRODUCT = re.compile(r"(S1[A-D])_(\w\w)_(GRD|SLC)\w*_\w+?_(\d{4})(\d\d)(\d\d)T\w+")


def read(delivery: Delivery) -> Product | None:
    """Understand a product of Sentinel-1; None if it is none.

    Raises:
        InputError: its pixels are complex, or have no places on a grid.
    """
    images = {m[1].upper(): name for name in delivery.names if (m := _IMAGE.fullmatch(name))}
    if not images or not any(name.endswith("manifest.safe") for name in delivery.names):
        return None
    told = next((m for n in (delivery.title, *images.values()) if (m := _PRODUCT.search(n))), None)
    if told and told[3] == "SLC":
        raise InputError(f"{delivery.title} is an SLC, whose pixels are complex: take the GRD")
    _need_grid(delivery, next(iter(images.values())))
    return Product(
        kind="Sentinel-1 GRD",
        bands=tuple(SourceBand(name, member, nodata=0) for name, member in images.items()),
        sensor=f"Sentinel-1{told[1][2]} SAR" if told else "Sentinel-1 SAR",
        level="GRD",
        moment="-".join(told.groups()[3:]) if told else "",
        product_id=told[0] if told else "",
    )


def _need_grid(delivery: Delivery, member: str) -> None:
    from landcover.io.raster import open_raster

    with open_raster(delivery.path(member)) as dataset:
        if dataset.transform.is_identity or dataset.crs is None:
            raise InputError(
                f"{delivery.title} is a Sentinel-1 GRD with control points and no grid, and "
                "terrain shifts its pixels: correct it first, in SNAP with Range Doppler Terrain "
                "Correction, or order it terrain-corrected (RTC), and import that GeoTIFF"
            )
