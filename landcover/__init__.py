"""Land-cover maps that a region can trust: draw, balance, train, classify, assess.

Each step is one function here, one `landcover` command, and one process of the WPS. Importing the
package is light; an operation loads what it needs when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landcover.balancing import balance_samples
    from landcover.classification.mapping import classify_scene
    from landcover.classification.training import train_classifier
    from landcover.extraction import extract_samples
    from landcover.quality.assessment import assess_quality
    from landcover.quality.comparison import compare_maps
    from landcover.quality.reference_sample import draw_reference_sample
    from landcover.radiometry import check_radiometry

__all__ = [
    "assess_quality",
    "balance_samples",
    "check_radiometry",
    "classify_scene",
    "compare_maps",
    "draw_reference_sample",
    "extract_samples",
    "train_classifier",
]

_HOMES = {
    "assess_quality": "quality.assessment",
    "balance_samples": "balancing",
    "check_radiometry": "radiometry",
    "classify_scene": "classification.mapping",
    "compare_maps": "quality.comparison",
    "draw_reference_sample": "quality.reference_sample",
    "extract_samples": "extraction",
    "train_classifier": "classification.training",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
