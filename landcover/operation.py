"""What an operation is: an ordinary function that keeps four conventions.

1. Its parameters are bool, int, float, str, `Literal[...]`, paths that are read, never written
   (`RasterFile`, `LabelFile`, ... or `Folder`), or lists of such paths (`list[RasterFile]`);
   optional ones with `| None = None`. Numbers may carry a `Range`, texts their `Choices`. Each is
   described under `Args:`.
2. It takes `workdir`, and writes nowhere else.
3. It returns a frozen dataclass whose fields are described under `Attributes:`. A field of a
   written kind (`GeoTIFF`, `CSV`, ... or `Folder`) is the path `workdir/FIELD.EXTENSION`; one
   with `| None` may be missing, and then no file of that name is left.
4. Its `Needs` say what one call asks of a machine.

From these `Operation.of` reads names, types, defaults, choices and descriptions, once; the
command line, the WPS, the course and every later face follow from it. `Operation.run` is the one
way in which faces call it: it checks the inputs, collects remarks and writes the run record.
"""

import inspect
import math
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import Docstring, DocstringStyle, parse

from landcover.errors import InputError
from landcover.executors.parts import carried_by
from landcover.io.files.paths import AnyPath
from landcover.io.records.run_record import Recipe, record_names, recording
from landcover.io.records.workdir import (
    changes_since,
    earlier_records,
    made_folder,
    marked_unfinished,
    protect_earlier,
    protect_others,
    protect_outputs,
)
from landcover.notebook_progress import told_in_notebook
from landcover.progress import collecting_notes

Kind = Literal["bool", "int", "float", "str", "file", "folder"]
_PATHS = ("file", "folder")
MAX_PATHS = 256
"""Of one input that is a list."""
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes: NAME_MAX and PATH_MAX of Linux


@dataclass(frozen=True)
class Given:
    """Marks a path that an operation reads."""

    kind: Literal["file", "folder"]
    endings: tuple[str, ...] = ()
    """Of the names worth offering; others are read too, for what a file is its content says."""
    offers: tuple[str, ...] = ()
    """Names of outputs of operations that are such a file; those of others are offered last."""
    folders: bool = False
    """Whether a folder may be given in place of a file."""
    named: tuple[str, ...] = ()
    """Words that may be given in place of a file, for what comes with the operation."""


@dataclass(frozen=True)
class Written:
    """Marks a path that an operation wrote."""

    extension: str
    """Without a dot; empty for a folder."""
    media_type: str
    beside: tuple[str, ...] = ()
    """Endings of the files that lie beside it, after the name of the output."""


@dataclass(frozen=True)
class Range:
    """The closed interval a number must lie in; None is unbounded."""

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        """Return whether the number lies inside."""
        return (self.low is None or value >= self.low) and (
            self.high is None or value <= self.high
        )

    def __str__(self) -> str:
        """Return the interval in words."""
        if self.high is None:
            return f"at least {self.low}"
        return f"at most {self.high}" if self.low is None else f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Choices:
    """The texts that an input may take, where they are listed elsewhere: `Literal` has its own."""

    names: Collection[str]


@dataclass(frozen=True)
class Details:
    """What is appended to an input's description because it follows from a list elsewhere.

    Attributes:
        text: what is appended.
        without_gpus: the same where jobs have no GPU; "" if nothing in it is about them.
    """

    text: str
    without_gpus: str = ""


Seed = Annotated[int, Range(0, 2**32 - 1)]
_RASTERS = (".tif", ".tiff")
RasterFile = Annotated[AnyPath, Given("file", _RASTERS)]
SceneFile = Annotated[AnyPath, Given("file", _RASTERS, offers=("scene.tif",))]
MapFile = Annotated[AnyPath, Given("file", _RASTERS, offers=("map.tif", "changes.tif"))]
LabelFile = Annotated[
    AnyPath,
    Given(
        "file",
        (
            ".gpkg",
            ".geojson",
            ".shp",
            ".fgb",
            ".kml",
            ".kmz",
            ".gpx",
            ".csv",
            ".zip",
            ".tif",
            ".tiff",
        ),
        offers=("points.gpkg", "polygons.gpkg", "map.tif"),
    ),
]
LegendFile = Annotated[
    AnyPath,
    Given(
        "file", (".csv", ".json", ".geojson", ".tif", ".tiff"), offers=("map.tif", "samples.json")
    ),
]
TableFile = Annotated[AnyPath, Given("file", (".csv",))]
ModelFile = Annotated[AnyPath, Given("file", (".onnx",))]
Folder = Annotated[AnyPath, Given("folder")]
GeoTIFF = Annotated[Path, Written("tif", "image/tiff; application=geotiff")]
MapTIFF = Annotated[
    Path, Written("tif", "image/tiff; application=geotiff", (".tif.aux.xml", ".qml"))
]
CSV = Annotated[Path, Written("csv", "text/csv")]
JSON = Annotated[Path, Written("json", "application/json")]
PNG = Annotated[Path, Written("png", "image/png")]
HTML = Annotated[Path, Written("html", "text/html")]
ONNX = Annotated[Path, Written("onnx", "application/octet-stream")]
GPKG = Annotated[Path, Written("gpkg", "application/geopackage+sqlite3")]
ZIP = Annotated[Path, Written("zip", "application/zip")]
WrittenFolder = Annotated[Path, Written("", "")]


@dataclass(frozen=True)
class Needs:
    """What one call needs of a machine; a runner grants this and nothing else.

    Attributes:
        cores: threads that it can use to advantage.
        memory_mib: memory that it may take.
        gpus: graphics processors.
        seconds: the longest time that it may take; then it is ended.
        parts: whether it splits into parts that can be computed apart.
        workers: whether it forks processes.
    """

    cores: int = 1
    memory_mib: int = 2048
    gpus: int = 0
    seconds: int = 86_400
    parts: bool = False
    workers: bool = False


@dataclass(frozen=True)
class Input:
    """One parameter of an operation.

    Attributes:
        kind: of the value; of one value of a list.
        many: whether it is a list of up to MAX_PATHS paths.
        endings: of the file names worth offering.
        offers: outputs of operations, by file name, that are worth offering before others.
        folders: whether a folder may be given in place of a file.
        named: words that may be given in place of a file.
        without_gpus: the description where jobs have no GPU; "" if it is the same.
    """

    name: str
    kind: Kind
    description: str
    required: bool
    default: bool | int | float | str | None
    choices: tuple[str, ...] = ()
    range: Range | None = None
    endings: tuple[str, ...] = ()
    many: bool = False
    offers: tuple[str, ...] = ()
    folders: bool = False
    named: tuple[str, ...] = ()
    without_gpus: str = ""

    @property
    def is_path(self) -> bool:
        """Whether it names a file or a folder."""
        return self.kind in _PATHS

    def check(self, value: object) -> Any:
        """Return the value in this input's type, or say what is needed.

        Raises:
            InputError: the value has another type, or lies outside choices or range.
        """
        if value is None and not self.required:
            return self.default
        if self.many:
            return self._check_paths(value)
        if self.is_named(value):
            return value
        converted = _CONVERTERS[self.kind](self.name, value)
        if self.choices and converted not in self.choices:
            needed = f"one of {', '.join(self.choices)}"
            raise InputError(f"{self.name} is {_shown(value)}, needs {needed}")
        if self.range is not None and converted not in self.range:
            raise InputError(f"{self.name} is {value}, needs {self.range}")
        return converted

    def paths_in(self, value: Any) -> list[Any]:
        """Return the paths that a value of this input holds; none where it is no path."""
        if not self.is_path or value is None or self.is_named(value):
            return []
        return list(value) if self.many and not isinstance(value, str | os.PathLike) else [value]

    def is_named(self, value: object) -> bool:
        """Return whether a value is a word that stands in place of a file."""
        return isinstance(value, str) and value in self.named

    def _check_paths(self, value: object) -> list[Path]:
        """Return one or several paths as a list, each once."""
        if not isinstance(value, str | os.PathLike | Sequence):
            raise InputError(f"{self.name} is {value}, needs one or more paths")
        given = self.paths_in(value)
        if not given:
            raise InputError(f"{self.name} is empty, needs at least one path")
        if len(given) > MAX_PATHS:
            raise InputError(f"{self.name} has {len(given)} paths, at most {MAX_PATHS} are read")
        paths = [_to_path(self.name, path) for path in given]
        for number, path in enumerate(paths):
            if path in paths[:number]:
                raise InputError(f"{self.name} names {path} twice, each is read once")
        return paths


@dataclass(frozen=True)
class Output:
    """One field of an operation's result.

    Attributes:
        optional: whether a call may be without it.
        files_beside: names below workdir of the files that belong to a written output.
    """

    name: str
    kind: Kind
    description: str
    extension: str = ""
    media_type: str = ""
    choices: tuple[str, ...] = ()
    range: Range | None = None
    optional: bool = False
    files_beside: tuple[str, ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether it is a written file or folder."""
        return self.kind in _PATHS

    @property
    def filename(self) -> str:
        """The name below workdir that a written output has."""
        return f"{self.name}.{self.extension}" if self.extension else self.name

    def of(self, result: Any) -> Any:
        """Return the value of this output in what the function returned."""
        return getattr(result, self.name)


@dataclass(frozen=True)
class Completed:
    """What a run of an operation gave.

    Attributes:
        result: the dataclass that the function returned.
        outputs: its fields by name, without optional ones that it has not; written ones are paths
            below workdir.
        remarks: what the user should know of them.
    """

    result: Any
    outputs: dict[str, Any]
    remarks: list[str]


@dataclass(frozen=True)
class Operation:
    """A function with everything that a face must know of it.

    Attributes:
        identifier: the function's name with hyphens.
        version: of what is published; another one where a name, type or meaning changes.
        needs: says what a call with these inputs needs of a machine.
        settle: checks inputs that depend on one another, and returns them in one form; it reads
            no file, so that a service asks it before it takes a call.
    """

    function: Callable[..., Any]
    identifier: str
    version: str
    title: str
    abstract: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    needs: Callable[[Mapping[str, Any]], Needs]
    settle: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        version: str,
        needs: Needs | Callable[[Mapping[str, Any]], Needs] = Needs(),
        settle: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
    ) -> "Operation":
        """Read name, inputs and outputs off a function.

        Args:
            function: keeps the conventions of this module.
            version: of the operation, as published.
            needs: of any call, or of a call with given inputs.
            settle: checks inputs that depend on one another; see the attribute.

        Raises:
            TypeError: a parameter or field has no description or a type no face could offer;
                raised at import, so that it never reaches a user.
        """
        doc = _documentation(function)
        return cls(
            function=function,
            identifier=function.__name__.replace("_", "-"),
            version=version,
            title=doc.short_description or "",
            abstract=doc.long_description or "",
            inputs=_inputs(function, doc),
            outputs=_outputs(function),
            needs=needs if callable(needs) else lambda inputs: needs,
            settle=settle,
        )

    def run(
        self,
        inputs: Mapping[str, object],
        workdir: Path,
        *,
        user: str | None = None,
        names: Mapping[str, Any] | None = None,
        on_remark: Callable[[str], None] = lambda sentence: None,
        overwrite: bool = False,
    ) -> Completed:
        """Run the function on checked inputs, and write its run record (contract, Files).

        Args:
            inputs: values by name; missing ones take their defaults.
            workdir: everything is written there; it is made if it is missing.
            user: who runs it; the system's user by default.
            names: by which people know the input files; the paths themselves by default.
            on_remark: called with each remark, as it is made.
            overwrite: whether to replace what another operation wrote to the folder, or this one
                from files of other names.

        Raises:
            LandcoverError: an input is invalid, or the operation was stopped.
        """
        checked = self.check(inputs)
        known = names or self._paths_in(checked)
        with ExitStack() as stack:
            stack.enter_context(made_folder(workdir))
            self._check_room(workdir)
            self._protect_inputs(checked, workdir)
            earlier = self._earlier(workdir, known, overwrite)
            stack.enter_context(marked_unfinished(workdir, self.identifier))
            recipe = self._recipe(checked)
            notes = stack.enter_context(collecting_notes(on_remark))
            record = stack.enter_context(recording(recipe, known))
            if earlier is not None and (changes := changes_since(earlier, recipe)):
                notes.add(f"this replaces the result of an earlier run: {changes}")
            result = self.function(**checked, workdir=workdir)
            given = [o for o in self.outputs if not (o.optional and o.of(result) is None)]
            _remove_stale([o for o in self.outputs if o not in given], workdir)
            outputs = {output.name: output.of(result) for output in given}
            record.write(
                workdir,
                user=user,
                notes=notes,
                written=dict(_written(given, workdir)),
                figures={o.name: outputs[o.name] for o in given if o.kind in ("int", "float")},
            )
        return Completed(result, outputs, notes.remarks)

    @cached_property
    def as_function(self) -> Callable[..., Any]:
        """The function as `landcover` offers it: recorded, with remarks in the log."""

        @wraps(self.function)
        def recorded(
            *arguments: Any, overwrite: bool = False, executor: Any = None, **named: Any
        ) -> Any:
            try:
                given = inspect.signature(self.function).bind(*arguments, **named).arguments
            except TypeError as error:
                raise TypeError(f"{self.function.__name__}() {error}") from None
            given, workdir = self.found(given)
            self._need_parts(executor)
            with told_in_notebook(self.identifier) as on_remark, carried_by(executor):
                return self.run(given, workdir, on_remark=on_remark, overwrite=overwrite).result

        recorded.__signature__ = self._shown_signature()  # type: ignore[attr-defined]

        recorded.__module__ = __package__  # by which it is pickled
        return recorded

    def found(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
        """Return inputs and workdir with storage names as paths, which a user's server knows too.

        Args:
            given: the inputs as they came, and maybe `workdir`.

        Raises:
            InputError: a storage name means nothing, or two things.
        """
        from landcover.storage.at_home import path_of

        paths = {i.name for i in self.inputs if i.is_path and not i.is_named(given.get(i.name))}
        inputs = {
            name: [*map(path_of, value)]
            if isinstance(value, list | tuple)
            else path_of(value)
            if name in paths
            else value
            for name, value in given.items()
            if name != "workdir"
        }
        return inputs, Path(path_of(given.get("workdir", ""), written=True))

    def _shown_signature(self) -> inspect.Signature:
        """Return what a notebook shows of the function: names and defaults, which fit a line."""
        parameters = inspect.signature(self.function).parameters.values()
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        further = {"overwrite": False} | ({"executor": None} if self.splits else {})
        only = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature(
            [*plain, *(inspect.Parameter(name, only, default=d) for name, d in further.items())]
        )

    @property
    def splits(self) -> bool:
        """Whether a call may fall into parts that others compute."""
        return self.needs(self._defaults).parts

    @property
    def _defaults(self) -> dict[str, Any]:
        return {i.name: i.default for i in self.inputs}

    def _need_parts(self, executor: object) -> None:
        """Refuse an executor that would have nothing to do.

        Raises:
            InputError: the operation does not fall into parts.
        """
        if executor is not None and not self.splits:
            raise InputError(
                f"{self.identifier} does not fall into parts: leave executor out, or let it run "
                "whole calls, one for each scene"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what clients rely on, and no descriptions: the contract, for a test to freeze."""
        return {
            "version": self.version,
            "inputs": [
                {
                    "name": i.name,
                    "kind": i.kind,
                    "many": i.many,
                    "required": i.required,
                    "default": i.default,
                    "choices": list(i.choices),
                    "range": asdict(i.range) if i.range else None,
                    **({"named": list(i.named)} if i.named else {}),
                }
                for i in self.inputs
            ],
            "outputs": [
                {
                    "name": o.name,
                    "kind": o.kind,
                    "extension": o.extension,
                    "media_type": o.media_type,
                    "choices": list(o.choices),
                    "range": asdict(o.range) if o.range else None,
                    "optional": o.optional,
                    "beside": list(o.files_beside),
                }
                for o in self.outputs
            ],
        }

    def check(self, inputs: Mapping[str, object]) -> dict[str, Any]:
        """Return every input in its type, defaults filled in.

        Raises:
            InputError: one is unknown, missing, of another type or out of range.
        """
        unknown = sorted(set(inputs) - set(self._by_name))
        if unknown:
            known = ", ".join(self._by_name)
            raise InputError(f"{self.identifier} has no input {unknown[0]}, it has {known}")
        return self.settle({i.name: self._checked(i, inputs) for i in self.inputs})

    def _check_room(self, workdir: Path) -> None:
        """Refuse to begin where a folder of the user has the name of a file to be written."""
        kinds = {output.filename: output.kind for output in self.outputs if output.is_path}
        kinds |= dict.fromkeys(record_names(self.identifier), "file")
        kinds |= {name: "file" for output in self.outputs for name in output.files_beside}
        for name, kind in kinds.items():
            target = workdir / name
            is_folder = target.is_dir() and not target.is_symlink()
            there = target.exists() or target.is_symlink()
            if there and is_folder != (kind == "folder"):
                raise InputError(f"{name} is in the way, move it or name another workdir")

    def _earlier(
        self, workdir: Path, names: Mapping[str, Any], overwrite: bool
    ) -> Mapping[str, Any] | None:
        """Return the record of this operation's run in a folder that is to be done again, if any.

        Raises:
            InputError: something else would be replaced, and nobody asked for it.
        """
        if overwrite:
            return None
        records = earlier_records(workdir)
        own = {output.filename for output in self.outputs if output.is_path}
        protect_outputs(workdir, self.identifier, own, records)
        written = {name: path.name for name, path in _written(self.outputs, workdir)}
        protect_others(workdir, self.identifier, written, records)
        if self.identifier in records:
            protect_earlier(workdir, self.identifier, records[self.identifier], names)
        return records.get(self.identifier)

    def _paths_in(self, checked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the absolute paths of the input files, by which a later run knows them again."""
        return {
            i.name: [path.absolute() for path in checked[i.name]]
            if i.many and checked[i.name] is not None
            else checked[i.name] and checked[i.name].absolute()
            for i in self.inputs
            if i.is_path and not i.is_named(checked[i.name])
        }

    def _protect_inputs(self, checked: Mapping[str, Any], workdir: Path) -> None:
        """Refuse to write over what is read, or into a folder that is read."""
        targets = {workdir / o.filename: o.filename for o in self.outputs if o.is_path}
        folder = workdir.resolve()
        for declared in self.inputs:
            for path in map(Path, declared.paths_in(checked[declared.name])):
                if not path.exists():
                    continue  # the operation says so
                for target, name in targets.items():
                    if target.exists() and target.samefile(path):
                        raise InputError(
                            f"{declared.name} is {name} in the workdir, which would be written "
                            "over: name another workdir"
                        )
                may_be_folder = declared.kind == "folder" or (declared.folders and path.is_dir())
                if may_be_folder and folder.is_relative_to(path.resolve()):
                    raise InputError(
                        f"the workdir lies in {declared.name}, which is read: name another workdir"
                    )

    def _checked(self, declared: Input, inputs: Mapping[str, object]) -> Any:
        if declared.name in inputs:
            return declared.check(inputs[declared.name])
        if declared.required:
            raise InputError(f"{self.identifier} needs {declared.name}: {declared.description}")
        return declared.default

    def _recipe(self, checked: Mapping[str, Any]) -> Recipe:
        """Return what decides the outputs of a call, its files by their content."""
        options = {
            i.name: checked[i.name]
            for i in self.inputs
            if not i.is_path or i.is_named(checked[i.name])
        }
        seed = options.pop("seed", None)
        paths = {i.name: i.paths_in(checked[i.name]) for i in self.inputs if i.is_path}
        lists = {i.name for i in self.inputs if i.many}
        return Recipe.of(self.identifier, self.version, paths, lists, options, seed)

    @cached_property
    def _by_name(self) -> dict[str, Input]:
        return {declared.name: declared for declared in self.inputs}


def _written(outputs: Sequence[Output], workdir: Path) -> Iterator[tuple[str, Path]]:
    """Yield written outputs by name, and what lies beside them by the names of the files."""
    for output in outputs:
        if output.is_path:
            yield output.name, workdir / output.filename
        for name in output.files_beside:
            yield name, workdir / name


def _remove_stale(outputs: Sequence[Output], workdir: Path) -> None:
    """Remove what an earlier run wrote and this one was not asked for: it belongs to no output."""
    for _, path in _written(outputs, workdir):
        path.unlink(missing_ok=True)


def _documentation(function: Callable[..., Any]) -> Docstring:
    return parse(inspect.getdoc(function) or "", DocstringStyle.GOOGLE)


def _inputs(function: Callable[..., Any], doc: Docstring) -> tuple[Input, ...]:
    described = {p.arg_name: _one_line(p.description) for p in doc.params}
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    if "workdir" not in parameters:
        raise TypeError(f"{function.__name__} takes no workdir")
    return tuple(
        _input(function.__name__, parameter, hints[name], described.get(name, ""))
        for name, parameter in parameters.items()
        if name != "workdir"
    )


def fields_as_inputs(kind: type) -> tuple[Input, ...]:
    """Read the fields of a dataclass of options as a function's parameters are read.

    Raises:
        TypeError: a field has no description under `Attributes:`, or a type no face could offer.
    """
    doc = parse(inspect.getdoc(kind) or "", DocstringStyle.GOOGLE)
    described = {p.arg_name: _one_line(p.description) for p in doc.params}
    hints = get_type_hints(kind, include_extras=True)
    parameters = inspect.signature(kind).parameters
    return tuple(
        _input(kind.__name__, parameter, hints[name], described.get(name, ""))
        for name, parameter in parameters.items()
    )


def _input(owner: str, parameter: inspect.Parameter, hint: Any, description: str) -> Input:
    if not description:
        raise TypeError(f"{owner}: parameter {parameter.name} has no description")
    where = f"{owner}.{parameter.name}"
    hint, many = _without_list(hint)
    kind, choices, marks = _read_type(where, hint)
    if many and kind not in _PATHS:
        raise TypeError(f"{where} is a list of {kind}, only paths come in lists")
    required = parameter.default is inspect.Parameter.empty
    details = [mark for mark in marks if isinstance(mark, Details)]
    return Input(
        name=parameter.name,
        kind=kind,
        description=" ".join([description, *(d.text for d in details)]),
        required=required,
        default=None if required else parameter.default,
        choices=choices,
        range=next((mark for mark in marks if isinstance(mark, Range)), None),
        endings=next((mark.endings for mark in marks if isinstance(mark, Given)), ()),
        many=many,
        offers=next((mark.offers for mark in marks if isinstance(mark, Given)), ()),
        folders=any(mark.folders for mark in marks if isinstance(mark, Given)),
        named=next((mark.named for mark in marks if isinstance(mark, Given)), ()),
        without_gpus=" ".join([description, *(d.without_gpus or d.text for d in details)]),
    )


def _outputs(function: Callable[..., Any]) -> tuple[Output, ...]:
    result = get_type_hints(function)["return"]
    if not (isinstance(result, type) and is_dataclass(result)):
        raise TypeError(f"{function.__name__} returns no dataclass")
    doc = parse(inspect.getdoc(result) or "", DocstringStyle.GOOGLE)
    described = {p.arg_name: _one_line(p.description) for p in doc.params}
    hints = get_type_hints(result, include_extras=True)
    return tuple(
        _output(result.__name__, f.name, hints[f.name], described) for f in fields(result)
    )


def _output(owner: str, name: str, hint: Any, described: Mapping[str, str]) -> Output:
    if not described.get(name):
        raise TypeError(f"{owner}: field {name} has no description under Attributes")
    kind, choices, marks = _read_type(f"{owner}.{name}", hint)
    written = next((mark for mark in marks if isinstance(mark, Written)), None)
    return Output(
        name=name,
        kind=kind,
        description=described[name],
        extension=written.extension if written else "",
        media_type=written.media_type if written else "",
        choices=choices,
        range=next((mark for mark in marks if isinstance(mark, Range)), None),
        optional=types.NoneType in get_args(hint),
        files_beside=tuple(f"{name}{ending}" for ending in written.beside) if written else (),
    )


def _without_list(hint: Any) -> tuple[Any, bool]:
    """Return an annotation without `list`, and whether it had one: `list[X]` or `X | list[X]`."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    lists = [part for part in parts if get_origin(part) is list]
    if not lists:
        return hint, False
    (inner,) = get_args(lists[0])
    if any(part not in (inner, types.NoneType) for part in parts if part not in lists):
        raise TypeError(f"{hint} mixes a list with something else than its own elements")
    return inner, True


def _read_type(where: str, hint: Any) -> tuple[Kind, tuple[str, ...], tuple[Any, ...]]:
    """Return kind, choices and marks of an annotation."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Given):
                return mark.kind, (), tuple(marks)
            if isinstance(mark, Written):
                return "file" if mark.extension else "folder", (), tuple(marks)
        kind, choices, _ = _read_type(where, inner)
        named = [tuple(mark.names) for mark in marks if isinstance(mark, Choices)]
        return kind, named[0] if named else choices, tuple(marks)
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        if len(inner) == 1:
            return _read_type(where, inner[0])
    if get_origin(hint) is Literal:
        return "str", tuple(get_args(hint)), ()
    if hint in (bool, int, float, str):
        return typing.cast(Kind, hint.__name__), (), ()
    raise TypeError(f"{where} has the type {hint}, which no face could offer")


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _shown(value: object) -> object:
    return "empty" if value == "" else value


def _to_bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in words:
        raise InputError(f"{name} is {_shown(value)}, needs true or false")
    return words[str(value).lower()]


def _to_int(name: str, value: object) -> int:
    try:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(typing.cast(Any, value))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is {_shown(value)}, needs a whole number") from error


def _to_float(name: str, value: object) -> float:
    try:
        number = float(typing.cast(Any, value))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {_shown(value)}, needs a number") from error
    if not math.isfinite(number):
        raise InputError(f"{name} is {value}, needs a finite number")
    return number


def _to_str(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value}, needs a text")
    return value


def _to_path(name: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{name} is {_shown(value)}, needs the path of a file or folder")
    path = Path(value)
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > _LONGEST_NAME or len(os.fsencode(path)) > _LONGEST_PATH:
        raise InputError(
            f"{name} has a name of {longest} bytes in a path of {len(os.fsencode(path))}, needs "
            f"at most {_LONGEST_NAME} and {_LONGEST_PATH}"
        )
    return path


_CONVERTERS: dict[Kind, Callable[[str, object], Any]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
    "file": _to_path,
    "folder": _to_path,
}
