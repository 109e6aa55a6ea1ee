"""What the names of derived bands say of their values' units."""

import re

from landcover.io.bands import is_about_pixels

INDICES = frozenset(("NDVI", "NDWI", "MNDWI", "NDBI", "NBR", "NDMI", "EVI2", "SAVI", "BSI"))
TERRAIN = frozenset(("slope", "aspect", "hillshade"))
_WINDOW = re.compile(r"_(mean|std)\d+$")


def has_own_unit(name: str) -> bool:
    """Return whether a band's values are not in the units of its scene.

    >>> [has_own_unit(name) for name in ("NDVI", "2023-04-01:NDVI_mean3", "slope", "B04_mean3")]
    [True, True, True, False]
    """
    bare = _WINDOW.sub("", name.rpartition(":")[2])
    return bare in INDICES or bare in TERRAIN or is_about_pixels(bare)


def is_deviation(name: str) -> bool:
    """Return whether a band is a deviation, which an offset of all values does not change.

    >>> is_deviation("B04_std3")
    True
    """
    return bool(re.search(r"_std\d+$", name))
