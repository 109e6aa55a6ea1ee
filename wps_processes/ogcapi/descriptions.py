"""From an operation to the description of a process, its values as JSON Schema."""

from typing import Any

from landcover.operation import MAX_PATHS, Input, Operation, Output, Range
from wps_processes.naming import title_of

SYNC, ASYNC = "sync-execute", "async-execute"
Json = dict[str, Any]
_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "file": "string",
    "folder": "string",
}


def summary(operation: Operation) -> Json:
    """Return what the list of processes says of one."""
    return {
        "id": operation.identifier,
        "title": title_of(operation.identifier),
        "description": " ".join(f"{operation.title} {operation.abstract}".split()),
        "version": operation.version,
        "jobControlOptions": [SYNC, ASYNC],
        "outputTransmission": ["value", "reference"],
    }


def description(operation: Operation) -> Json:
    """Return the whole description of a process."""
    return summary(operation) | {
        "inputs": {each.name: _input(each) for each in operation.inputs},
        "outputs": {each.name: _output(each) for each in operation.outputs},
    }


def _input(declared: Input) -> Json:
    schema: Json = {"type": _TYPES[declared.kind]} | _bounds(declared.choices, declared.range)
    if declared.is_path:
        schema["minLength"] = 1
    if declared.many:
        schema = {"type": "array", "items": schema, "maxItems": MAX_PATHS, "uniqueItems": True}
        schema["minItems"] = 1
    if declared.default is not None:
        schema["default"] = declared.default
    return {
        "title": title_of(declared.name),
        "description": _in_words(declared),
        "schema": schema,
        "minOccurs": 1 if declared.required else 0,
        "maxOccurs": 1,
    }


def _in_words(declared: Input) -> str:
    what = "file or folder" if declared.folders else declared.kind
    word = f"{' or '.join(declared.named)}, or the" if declared.named else "The"
    named = f" {word} name of a {what} in the storage, such as shared/... or home/..."
    return declared.description + (named if declared.is_path else "")


def _output(declared: Output) -> Json:
    schema: Json = {"type": _TYPES[declared.kind]} | _bounds(declared.choices, declared.range)
    if declared.kind == "file":
        schema["contentMediaType"] = declared.media_type
        if not declared.media_type.startswith("text/"):
            schema["contentEncoding"] = "base64"
    if declared.kind == "float":
        schema["nullable"] = True  # a figure may be not defined
    return {
        "title": title_of(declared.name),
        "description": declared.description,
        "schema": schema,
    }


def _bounds(choices: tuple[str, ...], interval: Range | None) -> Json:
    found: Json = {"enum": list(choices)} if choices else {}
    if interval is not None:
        bounds = {"minimum": interval.low, "maximum": interval.high}
        found |= {name: bound for name, bound in bounds.items() if bound is not None}
    return found
