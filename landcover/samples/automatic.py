"""Labels that rules made and no person: what is measured against them is agreement with rules."""

from pathlib import Path

from landcover.io.files.paths import AnyPath
from landcover.io.raster import open_raster
from landcover.io.vector_formats.formats import GEOTIFF, need_labels

AUTOMATIC_TAG = "LANDCOVER_LABELS"
"""Of a label raster's dataset: how its labels were made."""
_LONGEST = 120


def made_by(labels: AnyPath) -> str:
    """Return by what labels were made, as `label-by-color, rules sea-ice`.

    "" if they do not say that they were made by rules; only label rasters can.
    """
    if need_labels(Path(labels)) != GEOTIFF:
        return ""
    with open_raster(labels) as dataset:
        return short(dataset.tags().get(AUTOMATIC_TAG, ""))


def short(told: object) -> str:
    """Return what a file says of its labels, as it fits into a sentence; "" if it is no text."""
    printable = "".join(c for c in told if c.isprintable()) if isinstance(told, str) else ""
    return " ".join(printable.split())[:_LONGEST]
