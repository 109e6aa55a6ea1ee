"""What quality bands of providers say of a pixel: clouds, shadows, defects.

Sources: ESA, Sentinel-2 Products Specification Document 14.9 (SCL, MSK_CLASSI); USGS, Landsat 8-9
Collection 2 Level 2 Science Product Guide (QA_PIXEL).
"""

from collections.abc import Mapping

import numpy as np

from landcover.errors import InputError

CAUSES = ("cloud", "shadow", "cirrus", "snow", "water", "defective")
"""What can be masked."""
_CLASSES: Mapping[str, tuple[int, ...]] = {
    "cloud": (8, 9), "shadow": (3,), "cirrus": (10,), "snow": (11,), "water": (6,),
    "defective": (1,),
}  # fmt: skip
"""Of SCL; 2 (dark) and 7 (unclassified) are no clouds."""
_BITS: Mapping[str, tuple[int, ...]] = {
    "cloud": (1, 3), "shadow": (4,), "cirrus": (2,), "snow": (5,), "water": (7,), "defective": (),
}  # fmt: skip
"""Of QA_PIXEL; bit 1 is the rim that is dilated around clouds, bit 0 fill."""
_LAYERS: Mapping[str, tuple[int, ...]] = {"cloud": (1,), "cirrus": (2,), "snow": (3,)}
"""Of MSK_CLASSI, from 1."""
LAYERS = {"SCL": 1, "QA_PIXEL": 1, "MSK_CLASSI": 3}
"""How many bands each kind has."""


def causes_in(text: str) -> tuple[str, ...]:
    """Return the causes that a list names, in their order.

    Raises:
        InputError: a name is none of them.
    """
    told = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in told:
        if name not in CAUSES:
            raise InputError(f"masked names {name}, needs some of {', '.join(CAUSES)}", "masked")
    return tuple(cause for cause in CAUSES if cause in told)


def shown_by(kind: str, codes: np.ndarray, cause: str) -> np.ndarray:
    """Return where a quality band says that a pixel shows something.

    Args:
        kind: SCL, QA_PIXEL or MSK_CLASSI.
        codes: (bands, ...).
        cause: one of CAUSES.

    Returns:
        bool, without the axis of the bands.
    """
    match kind:
        case "SCL":
            shown = np.isin(codes[0], _CLASSES[cause])
        case "QA_PIXEL":
            bits = sum(1 << bit for bit in _BITS[cause])
            shown = (codes[0].astype(np.uint32) & np.uint32(bits)) != 0
        case _:
            layers = [layer - 1 for layer in _LAYERS.get(cause, ())]
            shown = (codes[layers] != 0).any(axis=0)
    return np.asarray(shown)
