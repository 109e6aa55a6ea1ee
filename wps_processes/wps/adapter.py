"""From an operation to a process of PyWPS: descriptions, inputs, outputs, and Execute.

Nothing is published by itself: a process is its operation as PyWPS wants to have it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import unquote

from pywps import ComplexOutput, Format, LiteralInput, LiteralOutput, Process
from pywps.app.Service import Service
from pywps.app.WPSRequest import WPSRequest, get_inputs_from_xml
from pywps.exceptions import InvalidParameterValue, MissingParameterValue
from pywps.inout.literaltypes import AllowedValue, AnyValue
from pywps.response import RelEnvironment
from pywps.response.capabilities import CapabilitiesResponse
from pywps.response.describe import DescribeResponse
from werkzeug.wrappers import Request, Response

from landcover.operation import MAX_PATHS, Input, Operation, Output
from wps_processes.errors import InvalidInput
from wps_processes.jobs_service import check_inputs
from wps_processes.naming import title_of
from wps_processes.wps.documents import (
    DATA_TYPES,
    OWS,
    VERSION,
    WPS,
    ResponseForm,
)
from wps_processes.wps.exceptions import as_exceptions

BODY = "geoportal.body"
"""Where the parsed body of a request is in its environment."""

_WPS, _OWS = f"{{{WPS}}}", f"{{{OWS}}}"
_SECOND_VERSION = "<ows:ServiceTypeVersion>2.0.0</ows:ServiceTypeVersion>"
# names may hold an @ too
_ATTRIBUTES = re.compile(
    "@(?=(?:mimetype|encoding|schema|datatype|uom|asreference|(?:xlink:)?href)=)", re.IGNORECASE
)


class Execution(Protocol):
    """What the service does with a checked call."""

    def execute(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        form: ResponseForm,
        request: Request,
        asynchronously: bool,
    ) -> Response:
        """Make a job of a call and answer with its document; wait for its end before, or not."""

    def execute_raw(
        self, operation: Operation, inputs: Mapping[str, Any], output: str, request: Request
    ) -> Response:
        """Make a job of a call, wait for its end, and answer with one output and nothing else."""


class OperationProcess(Process):  # type: ignore[misc]  # untyped base
    """A process that follows from an operation."""

    def __init__(self, operation: Operation) -> None:
        """Describe the process."""
        self.operation = operation
        super().__init__(
            handler=None,
            identifier=operation.identifier,
            title=operation.title,
            abstract=" ".join(operation.abstract.split()),
            version=operation.version,
            inputs=[_literal_input(declared) for declared in operation.inputs],
            outputs=[_output(declared) for declared in operation.outputs],
            store_supported=True,
            status_supported=True,
        )


class Capabilities(CapabilitiesResponse):  # type: ignore[misc]  # untyped base
    """What is offered, in the one version that is spoken; PyWPS's template claims two."""

    def _construct_doc(self) -> tuple[str, str]:
        document, media_type = super()._construct_doc()
        return document.replace(_SECOND_VERSION, ""), media_type


class OperationService(Service):  # type: ignore[misc]  # untyped base
    """PyWPS's service, whose Execute makes jobs; it converts, downloads and stores nothing."""

    def __init__(self, operations: Iterable[Operation], execution: Execution) -> None:
        """Publish operations; their calls go to `execution`."""
        super().__init__([OperationProcess(operation) for operation in operations])
        self._execution = execution

    def get_capabilities(self, wps_request: WPSRequest, uuid: str) -> Capabilities:
        """Return what is offered."""
        return Capabilities(
            wps_request, uuid, version=wps_request.version, processes=self.processes
        )

    def describe(
        self, wps_request: WPSRequest, uuid: str, identifiers: Iterable[str | None] | None
    ) -> DescribeResponse:
        """Return descriptions, each process once however often it is named."""
        named = list(dict.fromkeys(each or "" for each in identifiers or ()))
        return super().describe(wps_request, uuid, named)

    def execute(self, identifier: str | None, wps_request: WPSRequest, uuid: str) -> Response:
        """Make a job of a request, and answer."""
        if identifier is None:
            raise MissingParameterValue("the identifier of a process is needed", "Identifier")
        if identifier not in self.processes:
            known = ", ".join(self.processes)
            raise InvalidParameterValue(f"there is no process {identifier}, only {known}",
                                        "Identifier")  # fmt: skip
        with as_exceptions():
            return self._executed(self.processes[identifier].operation, wps_request)

    def _executed(self, operation: Operation, wps_request: WPSRequest) -> Response:
        inputs = _checked(operation, wps_request.inputs)
        form = _form(operation, wps_request)
        request = wps_request.http_request
        if wps_request.raw:
            (output,) = form.outputs
            return self._execution.execute_raw(operation, inputs, output, request)
        asynchronously = wps_request.store_execute == wps_request.status == "true"
        return self._execution.execute(operation, inputs, form, request, asynchronously)


def patch_pywps() -> None:
    """Mend from outside what PyWPS does for every request.

    It writes each into a database of its own, several times, never deletes any, and its counters
    are not asked here; it compiles its templates anew; it drops what stands behind a second =, and
    reads the text None out of an empty element.
    Of WPS 2.0.0 it knows the capabilities, and ignores the inputs of an Execute.
    """
    for name in ("pywps.app.Service", "pywps.response.basic"):
        module = import_module(name)  # the package hides the first one behind its class
        module.log_request = module.store_status = _forget  # type: ignore[attr-defined]
    import_module("pywps.response.basic").RelEnvironment = _templates  # type: ignore[attr-defined]
    requests = import_module("pywps.app.WPSRequest")
    requests._check_version = _is_spoken  # type: ignore[attr-defined]
    requests.get_data_from_kvp = _read_pairs  # type: ignore[attr-defined]
    requests.get_inputs_from_xml = _read_inputs  # type: ignore[attr-defined]


@cache
def _only_templates() -> RelEnvironment:
    from jinja2 import PackageLoader

    return RelEnvironment(
        loader=PackageLoader("pywps", "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )


def _templates(**options: object) -> RelEnvironment:
    return _only_templates()


def _read_pairs(data: str | None, part: str | None = None) -> dict[str, Any] | None:
    """Read the name=value@attribute=value;... of a key-value request (OGC 05-007r7, 10.2.2)."""
    if data is None:
        return None
    found: dict[str, Any] = {}
    for pair in filter(None, data.split(";")):
        named, *attributes = _ATTRIBUTES.split(pair)
        name, is_pair, value = named.partition("=")
        read = {"identifier": name, "data": unquote(value)} if is_pair else {"identifier": name}
        for attribute in attributes:
            kind, _, said = attribute.partition("=")
            read[kind.lower().removeprefix("xlink:")] = unquote(said)
        if part == "DataInputs":
            found.setdefault(name, []).append(read)
        else:
            found[name] = read
    return found


def _read_inputs(document: Any) -> dict[str, Any]:
    """Read the inputs of an Execute; an empty value is an empty text."""
    for element in document.iter(f"{_WPS}LiteralData"):
        element.text = element.text or ""
    inputs: dict[str, Any] = get_inputs_from_xml(document)
    return inputs


def _is_spoken(version: str) -> bool:
    return version == VERSION


def _forget(*values: object) -> None:
    pass


def _checked(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs in the operation's types, whatever a client says of them."""
    known = {declared.name: declared for declared in operation.inputs}
    return check_inputs(
        operation,
        {
            name: _value(known[name], values) if name in known else values
            for name, values in given.items()
        },
    )


def _value(declared: Input, values: Sequence[Mapping[str, Any]]) -> Any:
    """Return the value of an input, of a list all that were given.

    Raises:
        InvalidInput: there are several where one is needed, or a reference stands in its place.
    """
    name = declared.name
    if len(values) != 1 and not declared.many:
        raise InvalidInput(f"{name} is given {len(values)} times, needs one", name)
    if any("href" in each for each in values):
        raise InvalidInput(
            f"{name} is a reference, needs the value itself: nothing is fetched from URLs", name
        )
    if not all(isinstance(each.get("data"), str) for each in values):
        raise InvalidInput(f"{name} has no literal value, needs one", name)
    return [each["data"] for each in values] if declared.many else values[0]["data"]


def _form(operation: Operation, wps_request: WPSRequest) -> ResponseForm:
    """Return how a client wants its answer."""
    body = wps_request.http_request.environ.get(BODY)
    asked = {
        name: how.get("asreference", "").lower() == "false"
        for name, how in (wps_request.outputs or {}).items()
    }
    if body is not None:  # PyWPS does not tell a missing attribute from false
        asked |= {
            (element.findtext(f"{_OWS}Identifier") or "").strip():
            element.get("asReference", "").lower() in ("false", "0")
            for element in body.iter(f"{_WPS}Output")
        }  # fmt: skip
    known = [declared.name for declared in operation.outputs]
    for name in asked:
        if name not in known:
            raise InvalidParameterValue(
                f"{operation.identifier} has no output {name}, it has {', '.join(known)}", name
            )
    if wps_request.raw and len(asked) != 1:
        raise InvalidParameterValue(
            f"raw data is one output, {len(asked)} are named", "RawDataOutput"
        )
    return ResponseForm(asked, wps_request.lineage == "true")


def _literal_input(declared: Input) -> LiteralInput:
    described = declared.description
    if declared.is_path:
        what = "file or folder" if declared.folders else declared.kind
        word = f"{' or '.join(declared.named)}, or the" if declared.named else "The"
        described += f" {word} name of a {what} in the storage, such as shared/... or home/..."
    if declared.many:
        described += " Repeat the input for several."
    return LiteralInput(
        declared.name,
        title_of(declared.name),
        data_type=DATA_TYPES[declared.kind],
        abstract=described,
        min_occurs=1 if declared.required else 0,
        max_occurs=MAX_PATHS if declared.many else 1,
        default=declared.default,
        allowed_values=_allowed(declared),
    )


def _allowed(declared: Input) -> Any:
    if declared.choices:
        return list(declared.choices)
    if declared.range is None:
        return [AnyValue()]
    low, high = declared.range.low, declared.range.high
    return [
        AllowedValue(allowed_type="range", minval=low, maxval=2**31 - 1 if high is None else high)
    ]


def _output(declared: Output) -> ComplexOutput | LiteralOutput:
    title = title_of(declared.name)
    if declared.kind == "file":
        kind = Format(declared.media_type, extension=f".{declared.extension}")
        return ComplexOutput(
            declared.name, title, abstract=declared.description, supported_formats=[kind],
            as_reference=True,
        )  # fmt: skip
    return LiteralOutput(
        declared.name, title, abstract=declared.description, data_type=DATA_TYPES[declared.kind]
    )
