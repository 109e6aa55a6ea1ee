"""The methods by which a classifier can be trained; README.md says how to add one."""

from importlib import import_module

from landcover.models.classifier import Method

# one line a method: the module that defines it as METHOD
_MODULES = (
    "random_forest",
    "gradient_boosting",
    "chip_cnn",
    "unet",
)

_defined: list[Method] = [import_module(f"{__name__}.{name}").METHOD for name in _MODULES]
METHODS: dict[str, Method] = {method.name: method for method in _defined}
"""Choices of train-classifier, checks of model cards, searches and tests follow from it."""
