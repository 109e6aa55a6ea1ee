"""Labels that rules made and no person: whatever is measured against them agrees with rules."""

from rasterio.io import DatasetReader

AUTOMATIC_TAG = "LANDCOVER_LABELS"
"""Of a label raster's dataset: how its labels were made."""
_LONGEST = 120


def made_by(dataset: DatasetReader) -> str:
    """Return by what the labels of a raster were made, such as `label-by-color, rules sea-ice`.

    "" if they do not say that they were made by rules.
    """
    told = "".join(c for c in dataset.tags().get(AUTOMATIC_TAG, "") if c.isprintable())
    return " ".join(told.split())[:_LONGEST]
