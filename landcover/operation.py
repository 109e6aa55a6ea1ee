"""What an operation is: an ordinary function that keeps four conventions.

1. Its parameters are bool, int, float, str, `Literal[...]`, or paths that are read, never written
   (`File`, `RasterFile`, ... or `Folder`), optional ones with `| None = None`; numbers may carry a
   `Range`. Each is described under `Args:`.
2. It takes `workdir`, and writes nowhere else.
3. It returns a frozen dataclass whose fields are described under `Attributes:`. A field of a
   written kind (`GeoTIFF`, `CSV`, ... or `Folder`) is the path `workdir/FIELD.EXTENSION`.
4. A function `resources(inputs) -> Resources` may say what one call needs.

From these `Operation.of` reads names, types, defaults, choices and descriptions, once; the
command line, the WPS, the course and every later face follow from it.
"""

import inspect
import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from docstring_parser import Docstring, DocstringStyle, parse

from landcover.errors import InputError

Kind = Literal["bool", "int", "float", "str", "file", "folder"]
_PATHS = ("file", "folder")
AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Given:
    """Marks a path that an operation reads."""

    kind: Literal["file", "folder"]
    endings: tuple[str, ...] = ()
    """Of the names worth offering; others are read too, for what a file is its content says."""


@dataclass(frozen=True)
class Written:
    """Marks a path that an operation wrote."""

    extension: str
    """Without a dot; empty for a folder."""
    media_type: str


@dataclass(frozen=True)
class Range:
    """The closed interval a number must lie in; None is unbounded."""

    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        """Tell whether the number lies inside."""
        return (self.low is None or value >= self.low) and (
            self.high is None or value <= self.high
        )

    def __str__(self) -> str:
        """Say the interval in words."""
        if self.high is None:
            return f"at least {self.low}"
        return f"at most {self.high}" if self.low is None else f"{self.low} to {self.high}"


Seed = Annotated[int, Range(0, 2**32 - 1)]
File = Annotated[AnyPath, Given("file")]
RasterFile = Annotated[AnyPath, Given("file", (".tif", ".tiff"))]
LabelFile = Annotated[
    AnyPath, Given("file", (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".tif", ".tiff"))
]
TableFile = Annotated[AnyPath, Given("file", (".csv",))]
ModelFile = Annotated[AnyPath, Given("file", (".onnx",))]
Folder = Annotated[AnyPath, Given("folder")]
GeoTIFF = Annotated[Path, Written("tif", "image/tiff; application=geotiff")]
CSV = Annotated[Path, Written("csv", "text/csv")]
JSON = Annotated[Path, Written("json", "application/json")]
PNG = Annotated[Path, Written("png", "image/png")]
HTML = Annotated[Path, Written("html", "text/html")]
ONNX = Annotated[Path, Written("onnx", "application/octet-stream")]
GPKG = Annotated[Path, Written("gpkg", "application/geopackage+sqlite3")]
WrittenFolder = Annotated[Path, Written("", "")]


@dataclass(frozen=True)
class Resources:
    """What one call needs of a machine."""

    cores: int = 1
    memory_mib: int = 2048
    gpus: int = 0


@dataclass(frozen=True)
class Input:
    """One parameter of an operation."""

    name: str
    kind: Kind
    description: str
    required: bool
    default: bool | int | float | str | None
    choices: tuple[str, ...] = ()
    range: Range | None = None
    endings: tuple[str, ...] = ()

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
        converted = _CONVERTERS[self.kind](self.name, value)
        if self.choices and converted not in self.choices:
            raise InputError(f"{self.name} is {value}, needs one of {', '.join(self.choices)}")
        if self.range is not None and converted not in self.range:
            raise InputError(f"{self.name} is {value}, needs {self.range}")
        return converted


@dataclass(frozen=True)
class Output:
    """One field of an operation's result."""

    name: str
    kind: Kind
    description: str
    extension: str = ""
    media_type: str = ""
    choices: tuple[str, ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether it is a written file or folder."""
        return self.kind in _PATHS

    @property
    def filename(self) -> str:
        """The name below workdir that a written output has."""
        return f"{self.name}.{self.extension}" if self.extension else self.name


@dataclass(frozen=True)
class Operation:
    """A function with everything that a face must know of it."""

    function: Callable[..., Any]
    identifier: str
    title: str
    abstract: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    resources: Callable[[Mapping[str, Any]], Resources]

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        resources: Callable[[Mapping[str, Any]], Resources] = lambda inputs: Resources(),
    ) -> "Operation":
        """Read name, inputs and outputs off a function.

        Raises:
            TypeError: a parameter or field has no description or a type no face could offer;
                raised at import, so that it never reaches a user.
        """
        doc = _documentation(function)
        return cls(
            function=function,
            identifier=function.__name__.replace("_", "-"),
            title=doc.short_description or "",
            abstract=doc.long_description or "",
            inputs=_inputs(function, doc),
            outputs=_outputs(function),
            resources=resources,
        )

    def __call__(self, inputs: Mapping[str, object], workdir: Path) -> dict[str, Any]:
        """Run the function on checked inputs.

        Args:
            inputs: values by name; missing ones take their defaults.
            workdir: an existing folder; everything is written there.

        Returns:
            The outputs by name; written ones are paths below workdir.
        """
        checked = self.check(inputs)
        self._check_room(workdir)
        result = self.function(**checked, workdir=workdir)
        return {output.name: getattr(result, output.name) for output in self.outputs}

    def check(self, inputs: Mapping[str, object]) -> dict[str, Any]:
        """Return every input in its type, defaults filled in.

        Raises:
            InputError: one is unknown, missing, of another type or out of range.
        """
        unknown = sorted(set(inputs) - set(self._by_name))
        if unknown:
            known = ", ".join(self._by_name)
            raise InputError(f"{self.identifier} has no input {unknown[0]}, it has {known}")
        return {i.name: self._checked(i, inputs) for i in self.inputs}

    def _check_room(self, workdir: Path) -> None:
        """Refuse to begin where a folder of the user has the name of a file to be written."""
        for output in self.outputs:
            target = workdir / output.filename
            is_folder = target.is_dir() and not target.is_symlink()
            there = target.exists() or target.is_symlink()
            if output.is_path and there and is_folder != (output.kind == "folder"):
                raise InputError(f"{target.name} is in the way, move it or name another workdir")

    def _checked(self, declared: Input, inputs: Mapping[str, object]) -> Any:
        if declared.name in inputs:
            return declared.check(inputs[declared.name])
        if declared.required:
            raise InputError(f"{self.identifier} needs {declared.name}: {declared.description}")
        return declared.default

    @cached_property
    def _by_name(self) -> dict[str, Input]:
        return {declared.name: declared for declared in self.inputs}


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


def _input(owner: str, parameter: inspect.Parameter, hint: Any, description: str) -> Input:
    if not description:
        raise TypeError(f"{owner}: parameter {parameter.name} has no description under Args")
    kind, choices, marks = _read_type(f"{owner}.{parameter.name}", hint)
    required = parameter.default is inspect.Parameter.empty
    return Input(
        name=parameter.name,
        kind=kind,
        description=description,
        required=required,
        default=None if required else parameter.default,
        choices=choices,
        range=next((mark for mark in marks if isinstance(mark, Range)), None),
        endings=next((mark.endings for mark in marks if isinstance(mark, Given)), ()),
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
    )


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
        return kind, choices, tuple(marks)
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


def _to_bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in words:
        raise InputError(f"{name} is {value}, needs true or false")
    return words[str(value).lower()]


def _to_int(name: str, value: object) -> int:
    try:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(typing.cast(Any, value))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is {value}, needs a whole number") from error


def _to_float(name: str, value: object) -> float:
    try:
        number = float(typing.cast(Any, value))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {value}, needs a number") from error
    if not math.isfinite(number):
        raise InputError(f"{name} is {value}, needs a finite number")
    return number


def _to_str(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value}, needs a text")
    return value


def _to_path(name: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{name} is {value}, needs the path of a file or folder")
    return Path(value)


_CONVERTERS: dict[Kind, Callable[[str, object], Any]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
    "file": _to_path,
    "folder": _to_path,
}
