"""Draw labelled samples over a scene, in a notebook.

    from sample_map import SampleMap
    m = SampleMap(scene="shared/demo/scene.tif", legend={"water": "#1f78b4", "forest": "#33a02c"})
    m

Importing the package is light, because every user's Jupyter server does it for `server`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sample_map.data.tiles import stretch
    from sample_map.widget import SampleMap

__all__ = ["SampleMap", "stretch"]
_HOMES = {"SampleMap": "sample_map.widget", "stretch": "sample_map.data.tiles"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(_HOMES[name]), name)
