"""Settings that stand in environment variables, and one sentence for whatever is wrong with them.

A model names its variables by its fields. An empty variable is as good as none. The sentence names
the variable, what was found and what is needed.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from landcover.errors import sentence_of

PREFIX = "GEOPORTAL_"
_LONGEST_SHOWN = 80
# what Kubernetes puts into a pod's environment for a service whose name begins so
_OF_KUBERNETES = re.compile(
    r"GEOPORTAL_.*_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP)(_\w+)?)?)"
)
_ALIKE = 0.85
"""Names that share so much of their letters are taken for one another."""


class SettingsError(Exception):
    """A setting is wrong; the sentence names its variable, what was found and what is needed."""


class FromEnvironment(BaseModel):
    """A model whose fields are environment variables.

    A field's `json_schema_extra` may say what it `needs` and what its `default` is, where its type
    and value do not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    nested: ClassVar[Collection[str]] = ()
    """Fields that are no variables."""

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Return the fields by their variables, in order."""
        return {
            str(each.alias): each
            for name, each in cls.model_fields.items()
            if name not in cls.nested
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables.

        Raises:
            SettingsError: one is missing or invalid.
        """
        given = {name: environ[name] for name in cls.variables() if environ.get(name)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError(_sentence(error, cls.variables())) from error

    @classmethod
    def table(cls) -> list[str]:
        """Return the variables as rows of a Markdown table: name, meaning, value, default."""
        return [
            f"| `{name}` | {each.description} | {needed(each)} | {_default_of(each)} |"
            for name, each in cls.variables().items()
        ]


def needed(each: FieldInfo) -> str:
    """Return in words which values a field takes."""
    said = _said(each, "needs")
    if said:
        return said
    kinds = get_args(each.annotation) or (each.annotation,)
    if get_origin(each.annotation) is Literal:
        return " or ".join(map(str, kinds))
    parts = ["a whole number" if int in kinds else "a number"]
    for mark in each.metadata:
        match mark:
            case Gt():
                parts.append(f"over {mark.gt}")
            case Ge():
                parts.append(f"from {mark.ge}")
            case Le():
                parts.append(f"up to {mark.le}")
    return " ".join(parts)


def misspelled(
    environ: Iterable[str], read: Collection[str], others: Collection[str]
) -> list[str]:
    """Return a sentence for each variable that looks like one that is read, and is none.

    Args:
        environ: names of variables.
        read: those that are read.
        others: those of other programs of the geoportal.
    """
    strange = sorted(
        name
        for name in environ
        if name.startswith(PREFIX)
        and name not in read
        and name not in others
        and not _OF_KUBERNETES.fullmatch(name)
    )
    meant = ((name, get_close_matches(name, read, 1, _ALIKE)) for name in strange)
    return [
        f"{name} is no setting and is ignored: {close[0]} may be meant"
        for name, close in meant
        if close
    ]


def _whole(value: object) -> object:
    """Read also what a chart makes of a large number, such as 1e+06."""
    if not isinstance(value, str) or value.strip().isdecimal():
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number."""


def _sentence(error: ValidationError, variables: Mapping[str, FieldInfo]) -> str:
    first = error.errors(include_url=False)[0]
    name, *inside = (str(part) for part in first["loc"] if part != "[key]")
    place = f"{name} at {'.'.join(inside)}" if inside else name
    needs = needed(variables[name])
    if first["type"] == "missing" and not inside:
        return f"{name} is not set, needs {needs}"
    return f"{place} is {shown(first['input'])}, needs {needs}"


def shown(value: object) -> str:
    """Return a value as a sentence may hold it: on one line, and not too long."""
    text = sentence_of(str(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _default_of(each: FieldInfo) -> str:
    said = _said(each, "default")
    if said:
        return said
    if each.is_required():
        return "needed"
    return f"{each.default:g}" if isinstance(each.default, float) else str(each.default)


def _said(each: FieldInfo, name: str) -> str:
    extra: Any = each.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""
