"""The same operation for each of several scenes: every scene is a part, with a folder of its own.

from landcover.each import each_scene
found = each_scene(extract_samples, scenes, workdir="samples", labels=labels, executor=client)
train_classifier([one.samples for one in found])
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

from landcover.errors import InputError
from landcover.executors.parts import Parts, carried_by, computed_parts
from landcover.io.files.paths import AnyPath
from landcover.io.records.run_record import DISTRIBUTION
from landcover.operation import Operation
from landcover.operations import by_identifier
from landcover.progress import remark

_NAME = "scenes"
_SCENE = "scene"


@dataclass(frozen=True)
class _Work:
    """What whoever computes a scene needs to know."""

    operation: str
    inputs: tuple[dict[str, Any], ...]
    folders: tuple[Path, ...]


def each_scene(
    function: Callable[..., Any],
    scenes: Sequence[AnyPath],
    workdir: AnyPath,
    executor: Any = None,
    **inputs: Any,
) -> list[Any]:
    """Call an operation for each of several scenes.

    Args:
        function: an operation of `landcover` that takes a scene, such as classify_scene or
            extract_samples.
        scenes: one call is made for each.
        workdir: what comes of a scene is written to a folder in it, of the scene's name.
        executor: who computes: any `concurrent.futures.Executor` or a `distributed.Client`, whose
            workers see scenes and workdir under the same names; by default this process.
        inputs: further ones of the operation; a list in place of a single one has one for each
            scene, in their order.

    Returns:
        What the operation returns for each scene, in their order.

    Raises:
        InputError: an input of a scene is invalid, or two scenes have one name.
        PartFailed: a scene could not be computed, in three attempts.
    """
    operation = by_identifier(function.__name__.replace("_", "-"))
    given = [operation.found(one)[0] for one in _by_scene(operation, scenes, inputs)]
    _, folder = operation.found({"workdir": workdir})
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    work = _Work(operation.identifier, tuple(map(_absolute, given)), _folders(folder, scenes))
    parts = Parts(_compute, work, len(scenes), folder, _NAME, _seal(operation, work))
    with carried_by(executor), computed_parts(parts) as files:
        return [_result(operation, file, at) for file, at in zip(files, work.folders, strict=True)]


def _by_scene(
    operation: Operation, scenes: Sequence[AnyPath], inputs: Mapping[str, Any]
) -> list[dict[str, Any]]:
    if _SCENE not in {declared.name for declared in operation.inputs}:
        raise InputError(f"{operation.identifier} takes no scene: call it once")
    single = {declared.name for declared in operation.inputs if not declared.many}
    several = {n for n, v in inputs.items() if n in single and isinstance(v, list | tuple)}
    for name in several:
        if len(inputs[name]) != len(scenes):
            raise InputError(
                f"{name} has {len(inputs[name])} values and there are {len(scenes)} scenes: give "
                "one for each, or one for all",
                name,
            )
    return [
        {_SCENE: scene} | {n: v[at] if n in several else v for n, v in inputs.items()}
        for at, scene in enumerate(scenes)
    ]


def _absolute(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs whose paths mean the same in another process."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [*map(plain, value)]
        return value.absolute() if isinstance(value, Path) else value

    return {name: plain(value) for name, value in inputs.items()}


def _folders(folder: Path, scenes: Sequence[AnyPath]) -> tuple[Path, ...]:
    names = [Path(scene).stem for scene in scenes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two scenes are called {twice}, and each has a folder of its name")
    return tuple(folder / name for name in names)


def _seal(operation: Operation, work: _Work) -> dict[str, Any]:
    """Return what decides the results: of files, which may be large, name, size and time."""
    files = [
        [str(value), *_stat(value)]
        for inputs in work.inputs
        for given in inputs.values()
        for value in (given if isinstance(given, list) else [given])
        if isinstance(value, Path)
    ]
    plain = [{name: str(value) for name, value in inputs.items()} for inputs in work.inputs]
    return {
        "operation": [operation.identifier, operation.version, version(DISTRIBUTION)],
        "inputs": plain,
        "files": files,
    }


def _stat(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []  # the operation says so
    return [found.st_size, found.st_mtime_ns]


def _compute(work: _Work, number: int, file: BinaryIO) -> None:
    """Run the operation for a scene, and write what it gave beside its files."""
    operation, folder = by_identifier(work.operation), work.folders[number]
    done = operation.run(
        work.inputs[number], folder, on_remark=lambda said: remark(f"{folder.name}: {said}")
    )
    written = {declared.name for declared in operation.outputs if declared.is_path}
    plain = {n: Path(v).name if n in written else v for n, v in done.outputs.items()}
    file.write(json.dumps(plain).encode() + b"\n")


def _result(operation: Operation, file: BinaryIO, folder: Path) -> Any:
    outputs = json.loads(file.readline())
    values = {
        declared.name: folder / outputs[declared.name]
        if declared.is_path and declared.name in outputs
        else outputs.get(declared.name)
        for declared in operation.outputs
    }
    return get_type_hints(operation.function)["return"](**values)
