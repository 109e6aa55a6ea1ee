"""The legend of a map: given by hand, or taken from a file, a map or an earlier project."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from landcover.errors import InputError
from landcover.io.legend import LEGEND_TAG, Legend
from landcover.io.raster import open_raster
from landcover.storage import name_at_home, readable_at_home

Source = Mapping[str, str] | Iterable[str] | str


def legend_from(source: Source) -> Legend:
    """Read a legend.

    Args:
        source: colours (#rrggbb) by class name; or only names, which get colours that people
            who are colour-blind tell apart; or the storage name of a file that brings a legend:
            a map (.tif), samples drawn before (.geojson), samples.json, or a JSON list of
            {code, name, color}.

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


def joined(ours: Legend, theirs: Legend) -> Legend:
    """Return our legend with the classes that only they have, in their colours."""
    colors = {c.name: c.color for c in theirs.classes}
    longer = ours.extended(name for name in theirs.names if name not in ours.names)
    return Legend.from_list(
        [
            entry | {"color": colors[entry["name"]]} if entry["name"] not in ours.names else entry
            for entry in longer.to_list()
        ]
    )


def legend_in(content: object) -> Legend | None:
    """Return the legend that a JSON document brings, None if it brings none.

    Raises:
        InputError: it brings something that is no legend.
    """
    if isinstance(content, dict):
        content = content.get("legend")
    return None if not content else Legend.from_list(content)


def _from_file(name: str) -> Legend:
    with readable_at_home(name) as path:
        found = _from_map(path) if name.lower().endswith((".tif", ".tiff")) else _from_json(path)
    if found is None:
        raise InputError(f"{name} brings no legend, give classes with their colours")
    return found


def _from_map(path: Path) -> Legend | None:
    with open_raster(path) as dataset:
        tag = dataset.tags().get(LEGEND_TAG)
    return None if tag is None else Legend.from_tag(tag)


def _from_json(path: Path) -> Legend | None:
    try:
        return legend_in(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} brings no legend, it is no JSON") from error
