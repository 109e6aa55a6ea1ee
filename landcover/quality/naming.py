"""Names by which a report tells files apart: two maps are often both called map.tif."""

from collections.abc import Mapping
from pathlib import PurePath


def distinct_names(paths: Mapping[str, str]) -> dict[str, str]:
    """Return the shortest end of each path that no other one has.

    Args:
        paths: by the name of the input, such as `first`, which tells apart what is named twice.

    >>> distinct_names({"first": "home/jobs/3f2a/map.tif", "second": "home/jobs/77ab/map.tif"})
    {'first': 'job 3f2a/map.tif', 'second': 'job 77ab/map.tif'}
    >>> distinct_names({"first": "home/map.tif", "second": "home/map.tif"})
    {'first': 'map.tif (first)', 'second': 'map.tif (second)'}
    """
    parts = {name: PurePath(path).parts for name, path in paths.items()}
    return {name: _distinct(name, parts) for name in parts}


def _distinct(name: str, parts: Mapping[str, tuple[str, ...]]) -> str:
    own = parts[name]
    others = [other for each, other in parts.items() if each != name]
    for length in range(1, len(own) + 1):
        if all(other[-length:] != own[-length:] for other in others):
            return _job(own[:-length]) + str(PurePath(*own[-length:]))
    return f"{own[-1]} ({name})"


def _job(before: tuple[str, ...]) -> str:
    return "job " if before[-1:] == ("jobs",) else ""
