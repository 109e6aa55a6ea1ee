"""The ExecuteResponse of WPS 1.0.0, rendered from a job's row; PyWPS's own does not validate."""

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from lxml import etree
from lxml.builder import ElementMaker

from landcover.operation import Input, Operation, Output
from wps_processes.jobs.ledger import ACCEPTED, RUNNING, SUCCESSFUL, Job, now
from wps_processes.naming import title_of

BASE = "http://geoportal.invalid/"
"""Stands in every document where the service's address belongs; the web layer puts it in, which
alone knows under which address the client came."""

VERSION = "1.0.0"
LANGUAGE = "en-US"
MOST_EMBEDDED = 8 << 20
"""Larger outputs are given by reference even if they are asked for by value."""

DATA_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "float": "float",
    "str": "string",
    "file": "string",
    "folder": "string",
}
WPS, OWS = "http://www.opengis.net/wps/1.0.0", "http://www.opengis.net/ows/1.1"
_NAMES = {
    "wps": WPS,
    "ows": OWS,
    "xlink": "http://www.w3.org/1999/xlink",
}
_WPS = ElementMaker(namespace=WPS, nsmap=_NAMES)
_OWS = ElementMaker(namespace=OWS, nsmap=_NAMES)
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

Content = Callable[[str], bytes | None]
"""Returns the content of an output by its file's name, None if it is gone or too large."""


@dataclass(frozen=True)
class ResponseForm:
    """How a client wants its answer: the ResponseForm of WPS.

    Attributes:
        outputs: names, each with whether it is to be embedded; none are all, by reference.
        lineage: whether inputs and the outputs asked for are repeated.
    """

    outputs: Mapping[str, bool] = field(default_factory=dict)
    lineage: bool = False

    def to_json(self) -> str:
        """Return it as a job's row keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ResponseForm":
        """Return what `to_json` or another protocol wrote; what is not said is the default."""
        said = json.loads(text)
        return cls(said.get("outputs", {}), said.get("lineage", False))


def execute_response(
    job: Job,
    operation: Operation,
    form: ResponseForm,
    waiting: int | None,
    content: Content,
) -> bytes:
    """Return the document of a job.

    Args:
        job: as the ledger has it.
        operation: what it computes.
        form: how its client wants the answer.
        waiting: its place in the queue while it waits.
        content: reads what is to be embedded.
    """
    root = _WPS.ExecuteResponse(
        _described(_WPS.Process, operation.identifier, operation.title, operation.abstract),
        _WPS.Status(_state(job, waiting), creationTime=_to_the_second(job.finished or now())),
        service="WPS",
        version=VERSION,
        serviceInstance=f"{BASE}?service=WPS&request=GetCapabilities",
        statusLocation=f"{BASE}status/{job.id}.xml",
    )
    root.set(_LANG, LANGUAGE)
    root[0].set(f"{{{WPS}}}processVersion", operation.version)
    outputs = [o for o in operation.outputs if o.name in form.outputs or not form.outputs]
    if form.lineage:
        root.append(_WPS.DataInputs(*_inputs(job, operation)))
        root.append(_WPS.OutputDefinitions(*(_definition(o, form) for o in outputs)))
    if job.state == SUCCESSFUL:
        made = [o for o in outputs if not o.optional or o.name in (job.outputs or {})]
        root.append(_WPS.ProcessOutputs(*(_output(job, o, form, content) for o in made)))
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _described(element: Any, name: str, title: str, abstract: str) -> Any:
    texts = (_OWS.Identifier(name), _OWS.Title(title), _OWS.Abstract(" ".join(abstract.split())))
    return element(*texts)


def _state(job: Job, waiting: int | None) -> Any:
    message = legal(job.message)
    if job.state == ACCEPTED:
        place = "" if waiting is None else f", place {waiting} in the queue"
        return _WPS.ProcessAccepted(message + place)
    if job.state == RUNNING:
        return _WPS.ProcessStarted(message, percentCompleted=str(min(job.progress, 99)))
    if job.state == SUCCESSFUL:
        return _WPS.ProcessSucceeded(_with_remarks(message, job.remarks))
    fault = _OWS.Exception(
        _OWS.ExceptionText(legal(job.error or job.message)), exceptionCode="NoApplicableCode"
    )
    return _WPS.ProcessFailed(_OWS.ExceptionReport(fault, version="1.0.0"))


def _with_remarks(message: str, remarks: Sequence[str]) -> str:
    """Return a message, and behind it each remark as a sentence."""
    said = [message, *(f"{each[:1].upper()}{each[1:]}" for each in map(legal, remarks))]
    return " ".join(each.rstrip(".") + "." for each in said) if remarks else message


def _inputs(job: Job, operation: Operation) -> Iterator[Any]:
    """Iterate over the inputs of a job; one that is a list is repeated."""
    for declared in operation.inputs:
        if declared.name in job.inputs:
            value = job.inputs[declared.name]
            for each in declared.paths_in(value) if declared.many else [value]:
                yield _input(declared, each)


def _input(declared: Input, value: object) -> Any:
    element = _described(_WPS.Input, declared.name, title_of(declared.name), declared.description)
    element.append(_WPS.Data(_WPS.LiteralData(as_text(value))))
    return element


def _definition(output: Output, form: ResponseForm) -> Any:
    element = _described(_WPS.Output, output.name, title_of(output.name), output.description)
    if output.kind == "file":
        element.set("asReference", as_text(not form.outputs.get(output.name, False)))
        element.set("mimeType", output.media_type)
    return element


def _output(job: Job, output: Output, form: ResponseForm, content: Content) -> Any:
    element = _described(_WPS.Output, output.name, title_of(output.name), output.description)
    value = (job.outputs or {}).get(output.name)
    if output.kind != "file":
        data_type = DATA_TYPES[output.kind]
        element.append(_WPS.Data(_WPS.LiteralData(as_text(value), dataType=data_type)))
        return element
    embedded = content(output.filename) if form.outputs.get(output.name) else None
    if embedded is None:
        href = f"{BASE}outputs/{job.id}/{output.filename}"
        element.append(_WPS.Reference(href=href, mimeType=output.media_type))
    else:
        element.append(_WPS.Data(_embedded(embedded, output.media_type)))
    return element


def _embedded(content: bytes, media_type: str) -> Any:
    """Return a text as it is, all else in base 64."""
    try:
        return _WPS.ComplexData(content.decode("utf-8"), mimeType=media_type, encoding="UTF-8")
    except ValueError:  # no text, or signs that XML has not
        coded = base64.b64encode(content).decode("ascii")
        return _WPS.ComplexData(coded, mimeType=media_type, encoding="base64")


def legal(text: str) -> str:
    """Return a text without the signs that XML has not; file names may hold some."""
    return "".join(
        sign if sign in "\t\n" or " " <= sign < "\ud800" or "\ue000" <= sign <= "\ufffd" or
        sign > "\uffff" else "\ufffd" for sign in text
    )  # fmt: skip


def as_text(value: object) -> str:
    """Return a value as XML Schema writes it; what cannot be told is no number."""
    if value is None:
        return "NaN"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    return legal(str(value))


def _to_the_second(time: str) -> str:
    moment = datetime.fromisoformat(time)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
