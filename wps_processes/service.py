"""The web service: WPS 1.0.0, jobs as JSON, outputs to their owners, and a page for people."""

import hashlib
import json
import logging
import mimetypes
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pywps.configuration
from lxml.etree import XMLSyntaxError
from markupsafe import escape
from pywps.exceptions import (
    InvalidParameterValue,
    NoApplicableCode,
    ServerBusy,
    VersionNegotiationFailed,
)
from pywps.xml_util import fromstring
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    HTTPException,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from werkzeug.routing import Map, Rule
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from landcover.errors import NameRefused
from landcover.nextcloud import AskAccess
from landcover.operation import Operation
from landcover.storage import Storage
from landcover.storage.remote import is_remote
from wps_processes.adapter import BODY, OperationProcess, OperationService, tame_pywps
from wps_processes.dispatcher import Dispatcher
from wps_processes.documents import (
    ALL_BY_REFERENCE,
    BASE,
    MOST_EMBEDDED,
    VERSION,
    WPS,
    ResponseForm,
    as_text,
    execute_response,
)
from wps_processes.identity import CALLER, Caller, Identity
from wps_processes.job_folder import name_of, storage_of
from wps_processes.jobs import STATES, SUCCESSFUL, Busy, Job, Ledger
from wps_processes.pages import Pages
from wps_processes.processes import PROCESSES
from wps_processes.quota import Quota
from wps_processes.runs import PATH, Runs
from wps_processes.seats import Seats
from wps_processes.sharings import Sharings

LOGGER = logging.getLogger(__name__)
MAX_BODY = 1 << 20
_OUTPUT_HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
_SHOWN = (".html", ".png", ".json", ".csv")
_WPS, _WPS_2 = f"{{{WPS}}}", "{http://www.opengis.net/wps/2.0}"
ONLY_ONE = f"only version {VERSION} is spoken here"
_DESCRIPTIONS = ("getcapabilities", "describeprocess")
_WITH_ADDRESS = ("text/xml", "application/xml", "application/json")
_REQUESTS = {f"{_WPS}{name}" for name in ("GetCapabilities", "DescribeProcess", "Execute")}
_RETRY_SECONDS = 30
_MOST_CACHED = 256
_LONGEST_SHOWN = 20
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")


@dataclass(frozen=True)
class Places:
    """Where the service lives.

    Attributes:
        storage: root of the storage tree.
        prefix: path under which it is reached, with a slash at both ends.
        public_url: address of the geoportal for people; "" takes it from each request.
        sync_seconds: a synchronous call waits so long.
        sync_at_once: so many synchronous calls may wait, half of them one user's; each takes a
            thread of the web server.
        home_quota: bytes that the files of one user may take; None is no limit.
    """

    storage: Path
    prefix: str = "/services/wps/"
    public_url: str = ""
    sync_seconds: float = 60.0
    sync_at_once: int = 16
    home_quota: int | None = None


class TooBusy(ServerBusy):  # type: ignore[misc]  # PyWPS has no types
    """A call that is not taken now; nothing is lost by trying again."""

    name = "ServerBusy"

    def __init__(self, sentence: str) -> None:
        """Say why."""
        super().__init__(sentence, "", 503)

    def get_response(self, *arguments: Any, **more: Any) -> Response:
        """Return the exception report, with the time after which to try again."""
        answer: Response = super().get_response(*arguments, **more)
        answer.headers["Retry-After"] = str(_RETRY_SECONDS)
        return answer


@dataclass
class Application:
    """The WSGI application.

    Attributes:
        access: gives, for a hub user's name, what asks for the user's access to Nextcloud; None if
            there is no Nextcloud.
        runs: answers the pods of jobs; None if jobs are processes of this machine.
    """

    places: Places
    ledger: Ledger
    dispatcher: Dispatcher
    identity: Identity
    access: Callable[[str], AskAccess] | None = None
    runs: Runs | None = None
    service: OperationService = field(init=False)

    def __post_init__(self) -> None:
        """Publish the processes."""
        tame_pywps()
        pywps.configuration.load_configuration(str(Path(__file__).with_name("pywps.cfg")))
        pywps.configuration.CONFIG.set("server", "url", BASE)
        pywps.configuration.CONFIG.set("metadata:main", "provider_url", BASE)
        self.service = OperationService(PROCESSES, self)
        self._quota = Quota(self.places.storage, self.places.home_quota)
        self._seats = Seats(self.places.sync_at_once)
        self._descriptions: dict[Any, tuple[bytes, str]] = {}
        processes: Iterable[OperationProcess] = self.service.processes.values()
        self._pages = Pages(
            self.places.prefix,
            self.places.storage,
            {process.operation.identifier: process.operation for process in processes},
            self.ledger,
            self.dispatcher,
            self.identity,
            self.submit,
            Sharings(self.places.storage, self.access),
        )
        rules: dict[str, Callable[..., Response]] = {
            "": self._wps,
            "jobs": self._jobs,
            "jobs/<job_id>": self._job,
            "status/<job_id>.xml": self._status,
            "outputs/<job_id>/<name>": self._output,
            **self._pages.views,
        }
        self._urls = Map(
            [Rule(self.places.prefix + path, endpoint=view) for path, view in rules.items()]
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer a request."""
        request = Request(environ)
        try:
            answer = self._answer(request)
        except HTTPException as error:
            answer = self._refusal(request, error)
        except SQLAlchemyError:  # a database may be away for a while
            LOGGER.exception("the ledger of jobs does not answer")
            answer = self._refusal(request, TooBusy("the jobs are not known now, try again later"))
        return answer(environ, start_response)

    def submit(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        caller: Caller,
        form: ResponseForm = ALL_BY_REFERENCE,
    ) -> Job:
        """Make a job of a caller's inputs, whose types are checked; it is durable on return.

        Raises:
            HTTPException: a file is not there for the caller, their room is used up, or no more
                jobs are taken now.
        """
        self._check_names(operation, inputs, caller)
        self._quota.check(caller.folder)
        job = Job(
            user=caller.name,
            folder=caller.folder,
            groups=list(caller.groups),
            administrator=caller.administrator,
            operation=operation.identifier,
            inputs=dict(inputs),
            request=json.dumps(asdict(form)),
        )
        try:
            self.dispatcher.submit(job)
        except Busy as error:
            raise TooBusy(str(error)) from error
        except SQLAlchemyError as error:
            LOGGER.exception("the ledger of jobs cannot be written")
            raise TooBusy("no job can be taken now by our fault, try again later") from error
        return job

    def execute(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        form: ResponseForm,
        request: Request,
        asynchronously: bool,
    ) -> Response:
        """Make a job of a call and answer with its document; wait for its end before, or not."""
        if asynchronously:
            job = self.submit(operation, inputs, request.environ[CALLER], form)
        else:
            job = self._waited_for(operation, inputs, request.environ[CALLER], form)
        return Response(self._document(job), mimetype="text/xml")

    def execute_raw(
        self, operation: Operation, inputs: Mapping[str, Any], output: str, request: Request
    ) -> Response:
        """Make a job of a call, wait for its end, and answer with one output and nothing else."""
        form = ResponseForm({output: False})
        job = self._waited_for(operation, inputs, request.environ[CALLER], form)
        if job.state != SUCCESSFUL:
            raise NoApplicableCode(job.error or job.message)
        value = (job.outputs or {})[output]
        (declared,) = (each for each in operation.outputs if each.name == output)
        if declared.kind != "file":
            return Response(as_text(value), mimetype="text/plain")
        file = os.fdopen(self._storage_of_job(job).open(value), "rb")
        return self._sent(file, declared.filename, request)

    def _waited_for(
        self, operation: Operation, inputs: Mapping[str, Any], caller: Caller, form: ResponseForm
    ) -> Job:
        """Make a job and wait for it, as long as a synchronous call may take."""
        seconds = self.places.sync_seconds
        try:
            with self._seats.taken(caller.name):
                job = self.submit(operation, inputs, caller, form)
                known = self.dispatcher.wait(job.id, seconds) or job
        except Busy as error:
            raise TooBusy(str(error)) from error
        if not known.is_over:
            self.dispatcher.dismiss(job.id, "dismissed, the synchronous call took too long")
            known = self.ledger.get(job.id) or known
        if known.state != SUCCESSFUL and known.error is None:
            raise BadRequest(
                f"{job.operation} did not end within {seconds:g} seconds, which a synchronous "
                "call may take: call it asynchronously (storeExecuteResponse=true, status=true)"
            )
        return known

    def _document(self, job: Job) -> bytes:
        """Render the ExecuteResponse of a job from its row."""
        process = self.service.processes[job.operation]
        form = json.loads(job.request)
        return execute_response(
            job,
            process.operation,
            process.version,
            ResponseForm(form["outputs"], form["lineage"]),
            self.ledger.position(job),
            lambda name: self._embeddable(job, name),
        )

    def _embeddable(self, job: Job, name: str) -> bytes | None:
        """Return the content of a written output, None if it is gone or too large."""
        try:
            with os.fdopen(self._storage_of_job(job).open(name), "rb") as file:
                content = file.read(MOST_EMBEDDED + 1)
        except NameRefused:
            return None
        return content if len(content) <= MOST_EMBEDDED else None

    def _answer(self, request: Request) -> Response:
        if request.path == f"{self.places.prefix}health":
            return Response("ok\n", mimetype="text/plain")
        if request.path == f"{self.places.prefix}style.css":
            return self._pages.style(request)
        if request.path == f"{self.places.prefix}oauth_callback":
            return self.identity.signed_in(request)
        runs = f"{self.places.prefix}{PATH}"
        if self.runs is not None and request.path.startswith(runs):
            return self.runs(request, request.path.removeprefix(runs))
        caller = self.identity.caller(request)
        if caller is None:
            way = self.identity.sign_in(request) if _is_navigation(request) else None
            if way is not None:
                return way
            raise Unauthorized(
                "a hub identity is needed: send the header Authorization: token ..."
            )
        request.environ[CALLER] = caller
        view, values = self._urls.bind_to_environ(request.environ).match()
        answer: Response = view(request, caller, **values)
        return answer

    def _wps(self, request: Request, caller: Caller) -> Response:
        asked = {name.lower(): value for name, value in request.args.items()}
        if _is_navigation(request) and not {"service", "request"} & set(asked):
            return self._pages.home(request, caller)
        if request.method not in ("GET", "POST"):
            raise MethodNotAllowed(["GET", "POST"])
        if not caller.by_token and (
            request.method == "POST" or asked.get("request", "").lower() == "execute"
        ):
            raise Forbidden("a browser session may only read: Execute needs the token header")
        _refuse_bodies(request)
        _refuse_versions(asked)
        request.path = "/"  # PyWPS would read the name of a process out of it
        if request.method == "GET" and asked.get("request", "").lower() in _DESCRIPTIONS:
            answer = self._description(request, asked)
        else:
            answer = Response.from_app(self.service.call(request), request.environ)
        answer.headers.update(_OUTPUT_HEADERS)  # raw data is an output too
        if answer.mimetype in _WITH_ADDRESS and not answer.direct_passthrough:
            self._put_address(answer, request)
        return answer

    def _description(self, request: Request, asked: Mapping[str, str]) -> Response:
        """Return capabilities or descriptions, rendered once: they are the same for everybody."""
        key = (frozenset(asked.items()), request.headers.get("Accept"))
        if key not in self._descriptions:
            answer = Response.from_app(self.service.call(request), request.environ)
            if answer.status_code != 200 or len(self._descriptions) >= _MOST_CACHED:
                return answer
            self._descriptions[key] = answer.get_data(), answer.content_type
        content, content_type = self._descriptions[key]
        return Response(content, content_type=content_type)

    def _jobs(self, request: Request, caller: Caller) -> Response:
        limit, offset = _number(request, "limit", 100, 1000), _number(request, "offset", 0, 10**9)
        state = request.args.get("state")
        if state is not None and state not in STATES:
            raise BadRequest(f"state is {state}, needs one of {', '.join(STATES)}")
        jobs = self.ledger.of_user(caller.name, limit, offset, state)
        return _json({"jobs": [self._described(job, request) for job in jobs]})

    def _job(self, request: Request, caller: Caller, job_id: str) -> Response:
        job = self._own(job_id, caller)
        if request.method == "DELETE":
            if not caller.by_token:
                raise Forbidden("a browser session may only read: DELETE needs the token header")
            if not self.dispatcher.dismiss(job.id, "dismissed by its owner"):
                raise Conflict(f"the job is {self._own(job_id, caller).state} already")
            job = self._own(job_id, caller)
        elif request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "DELETE"])
        return _json(self._described(job, request))

    def _status(self, request: Request, caller: Caller, job_id: str) -> Response:
        document = self._document(self._own(job_id, caller))
        answer = Response(document, mimetype="text/xml", headers={"Cache-Control": "no-store"})
        return self._put_address(answer, request)

    def _output(self, request: Request, caller: Caller, job_id: str, name: str) -> Response:
        job = self._own(job_id, caller)
        try:
            descriptor = self._storage_of_job(job).open(f"{name_of(job.id)}/{name}")
        except NameRefused as error:
            raise NotFound(str(error)) from error
        file = os.fdopen(descriptor, "rb")
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112  # a descriptor
            file.close()
            raise NotFound(f"{name} is a folder: it lies in {name_of(job.id)}/{name}")
        return self._sent(file, name, request)

    def _sent(self, file: Any, name: str, request: Request) -> Response:
        known = os.fstat(file.fileno())
        version = hashlib.sha256(f"{known.st_mtime_ns} {known.st_size}".encode()).hexdigest()
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        answer = send_file(
            file,
            request.environ,
            mimetype=media_type,
            as_attachment=not name.endswith(_SHOWN),
            download_name=name,
            etag=version[:32],
            last_modified=datetime.fromtimestamp(known.st_mtime, UTC),
        )
        answer.headers.update(_OUTPUT_HEADERS)
        answer.content_length = known.st_size
        return answer.make_conditional(request.environ, True, known.st_size)

    def _refusal(self, request: Request, error: HTTPException) -> Response:
        """Return an error: an OWS ExceptionReport where WPS is spoken, a page for people, JSON."""
        if isinstance(error, NoApplicableCode):
            return Response.from_app(error, request.environ)
        if _accepts_html(request):
            return self._pages.refused(request, error)
        return _json({"error": error.description or error.name}, error.code or 500)

    def _own(self, job_id: str, caller: Caller) -> Job:
        """Return a job of the caller; another's is as if it were not there."""
        job = self.ledger.get(job_id)
        if job is None or job.user != caller.name:
            raise NotFound("you have no such job")
        return job

    def _check_names(
        self, operation: Operation, inputs: Mapping[str, Any], caller: Caller
    ) -> None:
        """Refuse a call whose files are not there before a job is made of it."""
        storage = storage_of(caller, self.places.storage)
        for declared in operation.inputs:
            if declared.is_path and declared.name in inputs:
                name = inputs[declared.name]
                try:
                    if self.access is None:
                        os.close(storage.open(name))
                    else:
                        is_remote(name, storage)  # Nextcloud is asked when the job begins
                except NameRefused as error:
                    raise _invalid(str(error), declared.name) from error

    def _storage_of_job(self, job: Job) -> Storage:
        return storage_of(job, self.places.storage)

    def _described(self, job: Job, request: Request) -> dict[str, Any]:
        """Return a job as the contract has it."""
        return {
            "id": job.id,
            "operation": job.operation,
            "user": job.user,
            "state": job.state,
            "progress": job.progress,
            "message": job.message,
            "position": self.ledger.position(job),
            "created": job.created,
            "started": job.started,
            "finished": job.finished,
            "inputs": dict(job.inputs),
            "outputs": {
                name: self._described_output(job, value, request)
                for name, value in (job.outputs or {}).items()
            },
            "error": job.error,
        }

    def _described_output(self, job: Job, value: Any, request: Request) -> dict[str, Any]:
        folder = f"{name_of(job.id)}/"
        if not (isinstance(value, str) and value.startswith(folder)):
            return {"name": None, "href": None, "value": value}
        file = value.removeprefix(folder)
        href = f"{self._address(request)}outputs/{job.id}/{quote(file)}" if "." in file else None
        return {"name": value, "href": href, "value": None}

    def _put_address(self, answer: Response, request: Request) -> Response:
        address = str(escape(self._address(request))).encode()
        answer.set_data(answer.get_data().replace(BASE.encode(), address))
        return answer

    def _address(self, request: Request) -> str:
        """Return the service's address as this client reaches it, with a slash at the end."""
        if self.places.public_url:
            return self.places.public_url.rstrip("/") + self.places.prefix
        host = request.headers.get("X-Forwarded-Host") or request.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            raise BadRequest("the request names no valid host")
        scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else "http"
        return f"{scheme}://{host}{self.places.prefix}"


def _refuse_bodies(request: Request) -> None:
    if request.method != "POST":
        return
    if "json" in request.mimetype:
        raise UnsupportedMediaType("JSON is not taken here: send WPS 1.0.0 as XML")
    if request.content_length is None:
        raise LengthRequired("the body's length is needed (Content-Length)")
    if request.content_length > MAX_BODY:
        raise RequestEntityTooLarge(
            f"the body has {request.content_length} bytes, at most {MAX_BODY} are read"
        )
    root = _parsed(request.get_data())
    if next(root.iter(f"{_WPS}Reference"), None) is not None:
        raise _invalid("inputs are given by value: nothing is fetched from URLs", "Reference")
    request.environ[BODY] = root


def _parsed(body: bytes) -> Any:
    """Return the root of a WPS 1.0.0 request; entities are not resolved."""
    try:
        root = fromstring(body)
    except XMLSyntaxError as error:
        raise _invalid(f"the body is no XML: {error.msg}", "body") from error
    if root.tag.startswith(_WPS_2):
        raise VersionNegotiationFailed(ONLY_ONE, "version")
    if root.tag not in _REQUESTS:
        raise _invalid(f"{root.tag} is no request of WPS 1.0.0, the one version spoken", "body")
    return root


def _refuse_versions(asked: Mapping[str, str]) -> None:
    """Refuse other versions: PyWPS would claim 2.0.0, which it does not speak."""
    accepted = asked.get("acceptversions", VERSION).split(",")
    if asked.get("version", VERSION) != VERSION or VERSION not in accepted:
        raise VersionNegotiationFailed(ONLY_ONE, "version")


def _invalid(sentence: str, locator: str) -> HTTPException:
    refusal: HTTPException = InvalidParameterValue(sentence, locator)
    return refusal


def _is_navigation(request: Request) -> bool:
    return request.method == "GET" and _accepts_html(request)


def _accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _number(request: Request, name: str, default: int, most: int) -> int:
    value = request.args.get(name, str(default))
    # int() itself refuses thousands of digits
    if not value.isdecimal() or len(value) > _LONGEST_SHOWN or int(value) > most:
        shown = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}..."
        raise BadRequest(f"{name} is {shown}, needs a whole number up to {most}")
    return int(value)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    answer = Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
