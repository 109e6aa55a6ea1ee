"""The methods a classifier can be trained with, on one page."""

from types import ModuleType

from landcover.classifiers import gradient_boosting, random_forest

CLASSIFIERS: dict[str, ModuleType] = {
    "random-forest": random_forest,
    "gradient-boosting": gradient_boosting,
}
"""Each module offers `fit(pixels, codes, seed) -> TreeEnsemble`."""
