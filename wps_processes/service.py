"""The web service: urls, who calls, who answers what, and how an error is shown.

    runs/            the pods of jobs, by a token of their own (`runners.kubernetes.callbacks`)
    "", status/      WPS 1.0.0
    health           200 while jobs can be served; health/live while this process answers
    jobs, outputs/   JSON of jobs, and what they have written
    uploads          files that arrive in parts, by tus
    ogc/             OGC API - Processes
    *.html, ...      the pages for people

All but the first and health/live speak with one `JobsService`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    HTTPException,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Unauthorized,
    default_exceptions,
)
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import ClosingIterator

from landcover.storage.nextcloud import AskAccess
from wps_processes.addresses import Addresses
from wps_processes.caller import Caller
from wps_processes.errors import RETRY_SECONDS, JobsError
from wps_processes.http.errors import http_error
from wps_processes.http.exchange import NOBODY, Environ
from wps_processes.http.routes import JobId, Route, route
from wps_processes.identity import CALLER, Identity
from wps_processes.jobs.folder import storage_of
from wps_processes.jobs_service import JobsService
from wps_processes.ogcapi.api import PATH as OGC
from wps_processes.ogcapi.api import OgcApi
from wps_processes.ogcapi.problems import as_problem
from wps_processes.runners.kubernetes.callbacks import PATH, Runs
from wps_processes.uploads import Uploads
from wps_processes.web import jobs_json
from wps_processes.web.health import Health
from wps_processes.web.jobs_json import JobsJson
from wps_processes.web.pages import Pages
from wps_processes.web.shares import Sharings
from wps_processes.web.tus import Tus
from wps_processes.wps.exceptions import as_report
from wps_processes.wps.protocol import WpsProtocol

MAX_BODY = 1 << 20
"""Bytes of a request's body."""

_USER, _ROUTE = "geoportal.user", "geoportal.route"
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


@dataclass
class Application:
    """The WSGI application.

    A request is let in by its head alone, which a web server may ask for before it reads a body:
    who calls, url, method, and length and kind of the body.

    Attributes:
        jobs: makes and knows jobs.
        identity: tells who calls.
        addresses: under which the service is reached.
        access: gives, for a hub user's name, what asks for the user's access to Nextcloud; None if
            there is no Nextcloud.
        runs: answers the pods of jobs; None if jobs are processes of this machine.
        health: looks at what the service stands on, for administrators.
    """

    jobs: JobsService
    identity: Identity
    addresses: Addresses = field(default_factory=Addresses)
    access: Callable[[str], AskAccess] | None = None
    runs: Runs | None = None
    health: Health | None = None

    def __post_init__(self) -> None:
        """Assign every url to who answers it."""
        self._wps = WpsProtocol(self.jobs, self.addresses)
        ogc = OgcApi(self.jobs, self.addresses)
        sharings = Sharings(self.jobs.storage, self.access)
        self.uploads = Uploads(self.jobs.storage, self.jobs.quota)
        self._pages = Pages(
            self._prefix, self.jobs, self.identity, sharings, self.uploads, MAX_BODY, self.health,
            {"WPS 1.0.0": self._wps.status, "OGC API - Processes": ogc.status},
        )  # fmt: skip
        tus = Tus(
            self._prefix, self.uploads, self.identity,
            lambda caller: storage_of(caller, self.jobs.storage),
        )  # fmt: skip
        self._at_once = {
            self._prefix + path
            for path in ("health", "health/live", "style.css", "times.js", "upload.js")
        }
        self._open = self._map(
            {
                "health": route(self._health, "GET"),
                "health/live": route(_alive, "GET"),
                "style.css": route(self._pages.style, "GET"),
                "times.js": route(self._pages.times, "GET"),
                "upload.js": route(self._pages.upload_script, "GET"),
                "oauth_callback": route(self.identity.signed_in, "GET"),
            }
        )
        of_runs = (
            {} if self.runs is None else {f"{PATH}<path:job_id>": route(self.runs, "GET", "POST")}
        )
        self._of_pods = self._map(of_runs)
        self._of_users = self._map(
            {
                "": route(self._root, "GET", "POST"),
                "status/<job_id>.xml": route(self._wps.status, "GET"),
                **JobsJson(self.jobs, self.addresses).routes,
                **ogc.routes,
                **tus.routes,
                **self._pages.routes,
            }
        )

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        answer = self._explained(request, self._answer) or Response(status=204)
        # for a HEAD, or what is known already, werkzeug closes nothing
        return ClosingIterator(answer(environ, start_response), answer.close)

    def known(self, environ: Environ) -> str | None:
        """Return whose request it is if that is known without asking anybody, else None."""
        if _USER in environ:
            return str(environ[_USER])
        request = Request(environ)
        if request.path in self._at_once:
            return NOBODY
        return None if _matches(self._open, request) else self.identity.remembered(request)

    def refusal(self, environ: Environ) -> Response | None:
        """Return what refuses a request by its head, None if its body is to be read."""
        return self._explained(Request(environ), self._refusal)

    def refused(self, environ: Environ, status: int, sentence: str) -> Response:
        """Return the answer to a request that the web server refuses."""
        error = default_exceptions[status](sentence)
        if isinstance(error, ServiceUnavailable):
            error.retry_after = RETRY_SECONDS
        return self._refused(Request(environ), error)

    @property
    def _prefix(self) -> str:
        return self.addresses.prefix

    def _map(self, routes: Mapping[str, Route]) -> Map:
        return Map(
            [
                Rule(self._prefix + path, endpoint=each.view, methods=each.methods)
                for path, each in routes.items()
            ],
            merge_slashes=False,  # a redirect would say nothing to programs
            converters={"id": JobId},
        )

    def _explained(
        self, request: Request, answer: Callable[[Request], Response | None]
    ) -> Response | None:
        """Return what `answer` returns, or the error that it raises in the client's format."""
        try:
            return answer(request)
        except HTTPException as error:
            return self._refused(request, error)
        except JobsError as error:
            return self._refused(request, http_error(error), error)

    def _answer(self, request: Request) -> Response:
        refusal = self._refusal(request) if _ROUTE not in request.environ else None
        if refusal is not None:
            return refusal
        view, values = request.environ[_ROUTE]
        answer: Response = view(request, **values)
        return answer

    def _health(self, request: Request) -> Response:
        """Answer without a caller: jobs can be served; to restart us brings no ledger back."""
        self.jobs.check()
        return Response("ok\n", mimetype="text/plain")

    def _refusal(self, request: Request) -> Response | None:
        """Authenticate a request and record its caller; redirect a browser to sign in.

        Raises:
            HTTPException: it is refused.
            JobsError: the same.
        """
        if _matches(self._open, request):
            view, values = _matched(self._open, request)
        elif self.runs is not None and _matches(self._of_pods, request):
            view, values = _matched(self._of_pods, request)
            request.environ[_USER] = f"job {self.runs.admitted(request, **values).id}"
        else:
            caller = self.identity.caller(request)
            if caller is None:
                return self._sign_in(request)
            request.environ |= {CALLER: caller, _USER: caller.name}
            view, values = _matched(self._of_users, request)
            values = {"caller": caller, **values}
            if view == self._root:
                self._wps.check_head(request, caller)
        if (request.content_length or 0) > MAX_BODY:
            raise RequestEntityTooLarge(
                f"the body has {request.content_length} bytes, at most {MAX_BODY} are read"
            )
        request.environ[_ROUTE] = view, values
        return None

    def _sign_in(self, request: Request) -> Response:
        way = self.identity.sign_in(request) if _is_navigation(request) else None
        if way is None:
            raise Unauthorized(
                "a hub identity is needed: send the header Authorization: token ...",
                www_authenticate=WWWAuthenticate("bearer"),
            )
        return way

    def _root(self, request: Request, caller: Caller) -> Response:
        """Show the page for people to a browser, else speak WPS."""
        if self._is_page(request):
            return self._pages.home(request, caller)
        return self._wps(request, caller)

    def _is_page(self, request: Request) -> bool:
        asked = {name.lower() for name in request.args}
        return _is_navigation(request) and not {"service", "request"} & asked

    def _refused(
        self, request: Request, error: HTTPException, reason: JobsError | None = None
    ) -> Response:
        """Return an error as its client reads it: a page, an exception of WPS, a problem, JSON."""
        if request.path.startswith(self._prefix + OGC):
            answer = as_problem(error, reason)
        elif self._is_of_wps(request):
            answer = as_report(error, request)
        elif _accepts_html(request):
            answer = self._pages.refused(request, error)
        else:
            answer = jobs_json.refused(error)
        for name, value in error.get_headers():
            if name in _KEPT_HEADERS:
                answer.headers[name] = value
        return answer

    def _is_of_wps(self, request: Request) -> bool:
        if request.path == self._prefix:
            return not self._is_page(request)
        return request.path.startswith(f"{self._prefix}status/")


def _alive(request: Request) -> Response:
    """Answer without a caller: this process is there."""
    return Response("ok\n", mimetype="text/plain")


def _matches(urls: Map, request: Request) -> bool:
    """Return whether a path is one of these, whatever the method."""
    return urls.bind_to_environ(request.environ).allowed_methods() != []


def _matched(urls: Map, request: Request) -> tuple[Callable[..., Response], dict[str, Any]]:
    """Return who answers a request, and the values in its url.

    Raises:
        HTTPException: 404, or 405 with the methods that the url has.
    """
    view, values = urls.bind_to_environ(request.environ).match()
    return view, dict(values)


def _is_navigation(request: Request) -> bool:
    return request.method == "GET" and _accepts_html(request)


def _accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")
