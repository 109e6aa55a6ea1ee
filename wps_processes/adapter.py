"""From an operation to a WPS process: descriptions, inputs, outputs, and execution as a job.

PyWPS speaks the protocol. What it computes, queues or counts itself is not used: an Execute
becomes a row in the ledger, and every document is rendered from such a row.
"""

import copy
import json
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol

from pywps import ComplexOutput, Format, LiteralInput, LiteralOutput, Process
from pywps.app.Service import Service
from pywps.app.WPSRequest import WPSRequest
from pywps.exceptions import InvalidParameterValue, MissingParameterValue
from pywps.inout.literaltypes import AllowedValue
from pywps.response.capabilities import CapabilitiesResponse
from pywps.response.execute import ExecuteResponse
from pywps.response.status import WPS_STATUS

from landcover.errors import InputError
from landcover.operation import Input, Operation, Output
from landcover.operations import OPERATIONS
from wps_processes.identity import CALLER, Caller
from wps_processes.jobs import ACCEPTED, DISMISSED, FAILED, RUNNING, SUCCESSFUL, Job

BASE = "http://geoportal.invalid/"
"""Stands in every document where the service's address belongs; the web layer puts it in, which
alone knows under which address the client came."""

VERSION = "1.0.0"
_DATA_TYPES = {
    "bool": "boolean",
    "int": "integer",
    "float": "float",
    "str": "string",
    "file": "string",
    "folder": "string",
}
_STATUS = {
    ACCEPTED: WPS_STATUS.ACCEPTED,
    RUNNING: WPS_STATUS.STARTED,
    SUCCESSFUL: WPS_STATUS.SUCCEEDED,
    FAILED: WPS_STATUS.FAILED,
    DISMISSED: WPS_STATUS.FAILED,
}
ASKED_BY_A_PAGE = json.dumps({"operation": "execute", "language": "en-US", "outputs": {}})
"""The request of a job that was started by no WPS client: its status shows all outputs."""
_SECOND_VERSION = "<ows:ServiceTypeVersion>2.0.0</ows:ServiceTypeVersion>"
_BY_FUNCTION = {operation.function: operation for operation in OPERATIONS}


class Execution(Protocol):
    """What the service does with a checked call."""

    def submit(
        self, operation: Operation, inputs: Mapping[str, Any], caller: Caller, form: str
    ) -> Job:
        """Write a job for a caller; it is durable on return."""

    def wait(self, job: Job) -> Job:
        """Wait for a job, as long as a synchronous call may take."""

    def content(self, job: Job, name: str) -> bytes:
        """Return the content of a written output."""


class OperationProcess(Process):
    """A process that follows from an operation; a subclass names the function and a version."""

    function: ClassVar[Callable[..., Any]]
    version: ClassVar[str]

    def __init__(self, execution: Execution) -> None:
        """Describe the process."""
        self._execution = execution
        self.operation = _BY_FUNCTION[type(self).__dict__["function"]]
        super().__init__(
            handler=None,
            identifier=self.operation.identifier,
            title=self.operation.title,
            abstract=" ".join(self.operation.abstract.split()),
            version=type(self).version,
            inputs=[_literal_input(declared) for declared in self.operation.inputs],
            outputs=[_output(declared) for declared in self.operation.outputs],
            store_supported=True,
            status_supported=True,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "OperationProcess":
        """Copy what a request changes; the service stays one."""
        duplicate = copy.copy(self)
        duplicate.inputs = copy.deepcopy(self.inputs, memo)
        duplicate.outputs = copy.deepcopy(self.outputs, memo)
        return duplicate

    @property
    def status_location(self) -> str:
        """PyWPS writes a status URL if this is true."""
        return self.status_url

    @property
    def status_url(self) -> str:
        """Where a job's status document is."""
        return f"{BASE}status/{self.uuid}.xml"

    def _setup_status_storage(self) -> None:
        """Keep no status files: the ledger is the truth."""

    def _execute_process(
        self, async_: bool, wps_request: WPSRequest, wps_response: ExecuteResponse
    ) -> ExecuteResponse:
        inputs = {name: values[0].data for name, values in wps_request.inputs.items()}
        caller = wps_request.http_request.environ[CALLER]
        job = self._execution.submit(self.operation, inputs, caller, wps_request.json)
        if not async_:
            job = self._execution.wait(job)
        self._set_uuid(job.id)
        self.fill(wps_response, job)
        if not wps_request.raw:
            wps_response.doc, wps_response.content_type = wps_response._construct_doc()
        return wps_response

    def fill(self, response: ExecuteResponse, job: Job) -> None:
        """Make a response say what the ledger says of a job."""
        response.uuid = job.id
        response.status = _STATUS[job.state]
        response.message = job.error or job.message
        response.status_percentage = job.progress
        asked = response.wps_request.outputs
        if asked:  # PyWPS would show all the same
            response.outputs = {name: response.outputs[name] for name in asked}
        if job.state == SUCCESSFUL and job.outputs is not None:
            for declared in self.operation.outputs:
                if declared.name in response.outputs:
                    self._fill_output(response, declared, job)

    def _fill_output(self, response: ExecuteResponse, declared: Output, job: Job) -> None:
        output = response.outputs[declared.name]
        value = (job.outputs or {})[declared.name]
        if declared.kind != "file":
            output.data = math.nan if value is None else value
        elif response.wps_request.raw:
            output.data = self._execution.content(job, value)
        else:
            output.as_reference = True
            output.url = f"{BASE}outputs/{job.id}/{declared.filename}"


class Capabilities(CapabilitiesResponse):
    """What is offered, in the one version that is spoken; PyWPS's template claims two."""

    def _construct_doc(self) -> tuple[str, str]:
        document, media_type = super()._construct_doc()
        return document.replace(_SECOND_VERSION, ""), media_type


class OperationService(Service):
    """PyWPS's service without its database, its temporary folders and its input downloads."""

    def get_capabilities(self, wps_request: WPSRequest, uuid: str) -> Capabilities:
        """Return what is offered."""
        return Capabilities(
            wps_request, uuid, version=wps_request.version, processes=self.processes
        )

    def prepare_process_for_execution(self, identifier: str | None) -> OperationProcess:
        """Return a copy of a process for one request."""
        if identifier is None:
            raise MissingParameterValue("the identifier of a process is needed", "Identifier")
        if identifier not in self.processes:
            known = ", ".join(self.processes)
            raise InvalidParameterValue(f"there is no process {identifier}, only {known}",
                                        "Identifier")  # fmt: skip
        process = copy.deepcopy(self.processes[identifier])
        process.service = self
        return process

    def _parse_and_execute(
        self, process: OperationProcess, wps_request: WPSRequest, uuid: str
    ) -> ExecuteResponse:
        _check_given(process.operation, wps_request.inputs)
        # the value alone: types are the operation's, whatever a client says of them
        wps_request.inputs = {
            name: [{"data": values[0]["data"]}] for name, values in wps_request.inputs.items()
        }
        wps_request.outputs = _asked_outputs(process.operation, wps_request)
        return super()._parse_and_execute(process, wps_request, uuid)

    def status_document(self, job: Job) -> str:
        """Render the ExecuteResponse of a job from its row."""
        wps_request = WPSRequest()
        wps_request.restore_json(json.loads(job.request))
        process = self.prepare_process_for_execution(job.operation)
        process.setup_outputs_from_wps_request(wps_request)
        process._set_uuid(job.id)
        response = ExecuteResponse(wps_request, uuid=job.id, process=process)
        response.store_status_file = True
        process.fill(response, job)
        document, _ = response._construct_doc()
        return str(document)


def tame_pywps() -> None:
    """Stop PyWPS from keeping requests in a database of its own and from speaking WPS 2.0.0.

    It writes each request several times, never deletes any, and its counters are not asked here.
    Of 2.0.0 it knows the capabilities, and ignores the inputs of an Execute.
    """
    for name in ("pywps.app.Service", "pywps.response.basic"):
        module = import_module(name)  # the package hides the first one behind its class
        module.log_request = module.store_status = _forget  # type: ignore[attr-defined]
    import_module("pywps.app.WPSRequest")._check_version = VERSION.__eq__  # type: ignore[attr-defined]


def _forget(*values: object) -> None:
    pass


def _check_given(operation: Operation, given: Mapping[str, Any]) -> None:
    """Check the inputs as they came, before PyWPS converts, fetches or drops any."""
    declared = {i.name: i for i in operation.inputs}
    for name, values in given.items():
        if name not in declared:
            known = ", ".join(declared)
            raise InvalidParameterValue(
                f"{operation.identifier} has no input {name}, it has {known}", name
            )
        if len(values) != 1:
            raise InvalidParameterValue(f"{name} is given {len(values)} times, needs one", name)
        if "href" in values[0] or "data" not in values[0]:
            raise InvalidParameterValue(
                f"{name} is a reference, needs the value itself: nothing is fetched from URLs",
                name,
            )
        try:
            declared[name].check(values[0]["data"])
        except InputError as error:
            raise InvalidParameterValue(str(error), name) from error
    for name, missing in declared.items():
        if missing.required and name not in given:
            raise MissingParameterValue(f"{operation.identifier} needs {name}", name)


def _asked_outputs(operation: Operation, wps_request: WPSRequest) -> dict[str, Any]:
    """Return the outputs a client names; none means all, raw data is one."""
    # in KVP PyWPS leaves the attributes with the name: counts@asReference=true
    asked = {name.partition("@")[0]: how for name, how in (wps_request.outputs or {}).items()}
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
    return asked


def _literal_input(declared: Input) -> LiteralInput:
    described = declared.description
    if declared.kind in ("file", "folder"):
        described += (
            f" The name of a {declared.kind} in the storage, such as shared/... or home/..."
        )
    return LiteralInput(
        declared.name,
        declared.name.replace("_", " ").capitalize(),
        data_type=_DATA_TYPES[declared.kind],
        abstract=described,
        min_occurs=1 if declared.required else 0,
        max_occurs=1,
        default=declared.default,
        allowed_values=_allowed(declared),
    )


def _allowed(declared: Input) -> list[Any] | None:
    if declared.choices:
        return list(declared.choices)
    if declared.range is None:
        return None
    low, high = declared.range.low, declared.range.high
    return [
        AllowedValue(allowed_type="range", minval=low, maxval=2**31 - 1 if high is None else high)
    ]


def _output(declared: Output) -> ComplexOutput | LiteralOutput:
    title = declared.name.replace("_", " ").capitalize()
    if declared.kind == "file":
        kind = Format(declared.media_type, extension=f".{declared.extension}")
        return ComplexOutput(
            declared.name, title, abstract=declared.description, supported_formats=[kind],
            as_reference=True,
        )  # fmt: skip
    return LiteralOutput(
        declared.name, title, abstract=declared.description, data_type=_DATA_TYPES[declared.kind]
    )
