"""From requests of WPS 1.0.0 to answers: what is refused, descriptions, Execute, documents."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pywps.configuration
from lxml.etree import XMLSyntaxError
from markupsafe import escape
from pywps.app.basic import get_response_type
from pywps.exceptions import (
    InvalidParameterValue,
    MissingParameterValue,
    NoApplicableCode,
    VersionNegotiationFailed,
)
from pywps.xml_util import fromstring
from werkzeug.exceptions import (
    LengthRequired,
    MethodNotAllowed,
    UnsupportedMediaType,
)
from werkzeug.wrappers import Request, Response

from landcover.operation import Operation
from wps_processes.addresses import Addresses
from wps_processes.caller import Caller
from wps_processes.errors import NoSuchOutput, NotPermitted, OutputTooLarge, TryLater
from wps_processes.http.output_files import OUTPUT_HEADERS, send_output
from wps_processes.identity import CALLER
from wps_processes.jobs.ledger import Job
from wps_processes.jobs_service import JobsService
from wps_processes.wps.adapter import BODY, OperationService, patch_pywps
from wps_processes.wps.document_cache import Documents
from wps_processes.wps.documents import (
    BASE,
    MOST_EMBEDDED,
    OWS,
    VERSION,
    WPS,
    ResponseForm,
    as_text,
    execute_response,
)
from wps_processes.wps.exceptions import exception_of

ONLY_ONE = f"only version {VERSION} is spoken here"
_WPS, _WPS_2 = f"{{{WPS}}}", "{http://www.opengis.net/wps/2.0}"
_OWS = f"{{{OWS}}}"
_DESCRIPTIONS = ("getcapabilities", "describeprocess")
_WITH_ADDRESS = ("text/xml", "application/xml", "application/json")
_REQUESTS = {f"{_WPS}{name}" for name in ("GetCapabilities", "DescribeProcess", "Execute")}
_MOST_KEPT = 8 << 20  # bytes of descriptions


class WpsProtocol:
    """Answers requests of WPS 1.0.0, KVP and XML, synchronous and asynchronous."""

    def __init__(self, jobs: JobsService, addresses: Addresses) -> None:
        """Publish the operations of the jobs service.

        Args:
            jobs: makes and knows jobs.
            addresses: under which the service is reached.
        """
        patch_pywps()
        config = str(Path(__file__).with_name("pywps.cfg"))
        pywps.configuration.load_configuration(config)
        pywps.configuration.CONFIG.set("server", "url", BASE)
        pywps.configuration.CONFIG.set("metadata:main", "provider_url", BASE)
        self._jobs, self._addresses = jobs, addresses
        self._service = OperationService(jobs.operations.values(), self)
        self._descriptions = Documents(_MOST_KEPT)

    def __call__(self, request: Request, caller: Caller) -> Response:
        """Answer a request.

        Raises:
            HTTPException: its method or body is none of WPS.
        """
        try:
            return self._answer(request)
        except NoApplicableCode as error:
            return Response.from_app(error, request.environ)

    def status(self, request: Request, caller: Caller, job_id: str) -> Response:
        """Return the ExecuteResponse of a job as it is now.

        Raises:
            NoSuchJob: the caller has no such job.
        """
        try:
            document = self._document(self._jobs.job(job_id, caller))
        except TryLater as error:
            return Response.from_app(exception_of(error), request.environ)
        answer = Response(document, mimetype="text/xml", headers={"Cache-Control": "no-store"})
        return self._put_address(answer, request)

    def execute(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        form: ResponseForm,
        request: Request,
        asynchronously: bool,
    ) -> Response:
        """Make a job of a call and answer with its document; wait for its end before, or not.

        Raises:
            JobsError: no job is made, or its end was waited for in vain.
        """
        make = self._jobs.submit if asynchronously else self._jobs.run
        job = make(operation, inputs, request.environ[CALLER], form.to_json())
        return Response(self._document(job), mimetype="text/xml")

    def execute_raw(
        self, operation: Operation, inputs: Mapping[str, Any], output: str, request: Request
    ) -> Response:
        """Make a job of a call, wait for its end, and answer with one output and nothing else.

        Raises:
            JobsError: as `execute`, or the job failed.
        """
        form = ResponseForm({output: False})
        job = self._jobs.run(operation, inputs, request.environ[CALLER], form.to_json())
        value = self._jobs.value(job, output)
        (declared,) = (each for each in operation.outputs if each.name == output)
        if declared.kind != "file":
            return Response(as_text(value), mimetype="text/plain")
        file = self._jobs.open_output(job, declared.filename)
        return send_output(file, declared.filename, request)

    def check_head(self, request: Request, caller: Caller) -> None:
        """Refuse what needs no look into the body.

        Raises:
            HTTPException: the method or the kind of body is none of WPS.
            NotPermitted: a browser's session asks for Execute.
        """
        if request.method == "POST" and "json" in request.mimetype:
            raise UnsupportedMediaType("JSON is not taken here: send WPS 1.0.0 as XML")
        is_execute = _asked(request).get("request", "").lower() == "execute"
        if not caller.by_token and (request.method == "POST" or is_execute):
            raise NotPermitted("a browser session may only read: Execute needs the token header")

    def _answer(self, request: Request) -> Response:
        asked = _asked(request)
        if request.method == "HEAD":
            if asked.get("request", "").lower() not in _DESCRIPTIONS:
                raise MethodNotAllowed(["GET", "POST"])  # an Execute would compute for nothing
            request.method = "GET"  # the body is left out in the end
        if request.method == "POST":
            request.environ[BODY] = _body_of(request)
        _refuse_versions(asked)
        request.path = "/"  # PyWPS would read the name of a process out of it
        if request.method == "GET" and asked.get("request", "").lower() in _DESCRIPTIONS:
            answer = self._description(request, asked)
        else:
            answer = Response.from_app(self._service.call(request), request.environ)
        answer.headers.update(OUTPUT_HEADERS)  # raw data is an output too
        if answer.mimetype in _WITH_ADDRESS and not answer.direct_passthrough:
            self._put_address(answer, request)
        return answer

    def _description(self, request: Request, asked: Mapping[str, str]) -> Response:
        """Return capabilities or descriptions, rendered once: they are the same for everybody."""
        named = tuple(dict.fromkeys(asked.get("identifier", "").split(",")))
        _, media_type = get_response_type(request.accept_mimetypes, asked.get("f"))
        kept = (asked["request"].lower(), named, asked.get("language"), media_type)
        known = self._descriptions.get(kept) if asked.get("service", "").lower() == "wps" else None
        if known is None:
            answer = Response.from_app(self._service.call(request), request.environ)
            if answer.status_code == 200:
                self._descriptions.keep(kept, answer.get_data(), answer.content_type)
            return answer
        content, content_type = known
        return Response(content, content_type=content_type)

    def _document(self, job: Job) -> bytes:
        """Render the ExecuteResponse of a job from its row."""
        return execute_response(
            job,
            self._service.processes[job.operation].operation,
            ResponseForm.from_json(job.request),
            self._jobs.position(job),
            lambda file: self._embeddable(job, file),
        )

    def _embeddable(self, job: Job, file: str) -> bytes | None:
        """Return the content of a written output, None if it is gone or too large."""
        with suppress(NoSuchOutput, OutputTooLarge):
            return self._jobs.read_output(job, file, MOST_EMBEDDED)
        return None

    def _put_address(self, answer: Response, request: Request) -> Response:
        address = str(escape(self._addresses.of(request))).encode()
        answer.set_data(answer.get_data().replace(BASE.encode(), address))
        return answer


def _asked(request: Request) -> dict[str, str]:
    """Return the key-value pairs of a request, whose names have no case."""
    return {name.lower(): value for name, value in request.args.items()}


def _body_of(request: Request) -> Any:
    """Return the root of a request by XML.

    Raises:
        HTTPException: it is no request of WPS 1.0.0, or one that asks for what is refused.
    """
    if request.content_length is None:
        raise LengthRequired("the body's length is needed (Content-Length)")
    root = _parsed(request.get_data())
    if next(root.iter(f"{_WPS}Reference"), None) is not None:
        raise InvalidParameterValue(
            "inputs are given by value: nothing is fetched from URLs", "Reference"
        )
    for given in (*root.iter(f"{_WPS}Input"), *root.iter(f"{_WPS}Output")):
        if not (given.findtext(f"{_OWS}Identifier") or "").strip():
            raise MissingParameterValue(
                "an input or output of the request has no ows:Identifier", "Identifier"
            )
        if len(given.findall(f".//{_WPS}LiteralData")) > 1:
            raise InvalidParameterValue(
                "an input holds several LiteralData, needs one: repeat the input for a list",
                (given.findtext(f"{_OWS}Identifier") or "").strip(),
            )
    return root


def _parsed(body: bytes) -> Any:
    """Return the root of a WPS 1.0.0 request; entities are not resolved."""
    try:
        root = fromstring(body)
    except XMLSyntaxError as error:
        raise InvalidParameterValue(f"the body is no XML: {error.msg}", "body") from error
    if root.tag.startswith(_WPS_2):
        raise VersionNegotiationFailed(ONLY_ONE, "version")
    if root.tag not in _REQUESTS:
        raise InvalidParameterValue(
            f"{root.tag} is no request of WPS 1.0.0, the one version spoken", "body"
        )
    service = root.get("service", "WPS")
    if service.lower() != "wps":
        raise InvalidParameterValue(f"the service is {service}, this one is WPS", "service")
    return root


def _refuse_versions(asked: Mapping[str, str]) -> None:
    """Refuse other versions: PyWPS would claim 2.0.0, which it does not speak."""
    accepted = asked.get("acceptversions", VERSION).split(",")
    if asked.get("version", VERSION) != VERSION or VERSION not in accepted:
        raise VersionNegotiationFailed(ONLY_ONE, "version")
