"""The options of a method, given as one JSON object and checked against its `Options`."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from landcover import strict_json
from landcover.errors import InputError
from landcover.operation import Input, fields_as_inputs

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
_TYPES = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
_NEEDED = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}


def read_options(text: str, kind: type) -> Any:
    """Return the options that a JSON object gives; those it leaves out have their defaults.

    Args:
        text: from anybody; "" is an empty object.
        kind: the frozen dataclass of the options.

    Raises:
        InputError: it is no JSON object of these options, or a value is outside its range.
    """
    given = _parse(text) if text.strip() else {}
    known = {declared.name: declared for declared in fields_as_inputs(kind)}
    for name in given:
        if name not in known:
            raise InputError(
                f"options has no member {name}, it has {', '.join(known) or 'none'}", "options"
            )
    return kind(**{name: _checked(known[name], value) for name, value in given.items()})


def options_as_dict(options: Any) -> dict[str, Any]:
    """Return all options by name, defaults included: what a model card records."""
    return asdict(options)


def options_as_text(options: Any) -> str:
    """Return all options as canonical JSON: equal options are equal texts."""
    return json.dumps(asdict(options), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def describe_options(kind: type, without: Collection[str] = ()) -> str:
    """Return the options with their ranges and defaults, in one line for a description.

    Args:
        kind: the frozen dataclass of the options.
        without: names of those that are left out.
    """
    return "; ".join(
        f"{declared.name} ({_values(declared)}, default {json.dumps(declared.default)}): "
        f"{declared.description.removesuffix('.')}"
        for declared in fields_as_inputs(kind)
        if declared.name not in without
    )


def _values(declared: Input) -> str:
    if declared.choices:
        return " or ".join(declared.choices)
    return str(declared.range) if declared.range else _NEEDED[declared.kind]


def _parse(text: str) -> Mapping[str, Any]:
    size = len(text.encode(errors="replace"))
    if size > MAX_BYTES:
        raise InputError(f"options has {size} bytes, at most {MAX_BYTES} are read", "options")
    try:
        given = strict_json.loads(text)
    except ValueError as error:
        raise InputError(
            f'options is not valid JSON, it needs an object such as {{"name": 1}}: {error}',
            "options",
        ) from error
    if not isinstance(given, dict):
        raise InputError("options is no JSON object, it needs one in braces", "options")
    if _depth(given) > MAX_DEPTH:
        raise InputError(f"options is nested deeper than {MAX_DEPTH} levels", "options")
    return given


def _checked(declared: Input, value: Any) -> Any:
    """Return one value in the option's type; JSON has types, so texts are no numbers here."""
    types = _TYPES[declared.kind]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        shown = json.dumps(value, ensure_ascii=False)
        raise InputError(f"option {declared.name} is {shown[:80]}, needs {_NEEDED[declared.kind]}")
    try:
        return declared.check(value)
    except InputError as error:
        raise InputError(f"option {error}", "options") from error


def _depth(value: Any) -> int:
    """Return how deep objects and lists are nested; a plain value has depth 0."""
    deepest, level = 0, [value]
    while level := [inner for outer in level for inner in _members(outer)]:
        deepest += 1
    return deepest


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
