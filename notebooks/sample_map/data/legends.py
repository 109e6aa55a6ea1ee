"""The legend of a map: given by hand, or taken from a file, a map or an earlier project."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.legend_files import read_legend
from landcover.storage import name_at_home, readable_at_home
from sample_map.data.classes import Classes

Source = Mapping[str, str] | Iterable[str] | str


def legend_from(source: Source) -> Legend:
    """Read a legend.

    Args:
        source: colours (#rrggbb) by class name; or only names, which get colours that people
            who are colour-blind tell apart; or the storage name of a file that brings a legend:
            samples drawn before (.geojson), or what `landcover.io.legend_files` reads: a map
            (.tif), samples.json, a JSON list of {code, name, color}, a CSV code,name,color,parent
            or a style of QGIS (.qml).

    Returns:
        The classes in the order given, numbered from 1; those of a file keep their codes.

    Raises:
        InputError: there is no class, or the file brings no legend.
    """
    if isinstance(source, str):
        return _from_file(name_at_home(source))
    colors = dict(source) if isinstance(source, Mapping) else dict.fromkeys(source, "")
    if not colors:
        raise InputError("the legend is empty, needs at least one class")
    colored = {c.name: c.color for c in Legend.of(colors).classes}
    entries = enumerate(colors.items(), 1)
    return Legend.from_list(
        [{"code": i, "name": n, "color": c or colored.get(n.strip())} for i, (n, c) in entries]
    )


def classes_in(content: object) -> Classes | None:
    """Return the classes that a JSON document brings, in its order; None if it brings none.

    Raises:
        InputError: it brings something that is no legend.
    """
    if isinstance(content, dict):
        content = content.get("legend")
    return None if not content else Classes.from_list(content)


def _from_file(name: str) -> Legend:
    with readable_at_home(name) as path:
        found = _from_samples(path) if name.lower().endswith(".geojson") else read_legend(path)
    if found is None:
        raise InputError(f"{name} brings no legend, give classes with their colours")
    return found


def _from_samples(path: Path) -> Legend | None:
    try:
        found = classes_in(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} brings no legend, it is no JSON") from error
    return found and found.legend
