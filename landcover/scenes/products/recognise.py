"""Find out what was delivered."""

from pathlib import Path

from landcover.scenes.deliveries import Delivery
from landcover.scenes.products import landsat, rasters, sentinel1, sentinel2
from landcover.scenes.products.product import Product


def product_of(delivery: Delivery, scratch: Path) -> Product:
    """Understand a delivery: a product of a known provider, else files that hold bands.

    Args:
        delivery: what was given.
        scratch: folder for what is written to open it.

    Raises:
        InputError: it is nothing that can be read; says which format it is and what to do.
    """
    for reader in (sentinel2.read, landsat.read, sentinel1.read):
        found = reader(delivery)
        if found is not None:
            return found
    return rasters.read(delivery, scratch)
