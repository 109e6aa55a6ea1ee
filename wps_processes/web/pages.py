"""The pages for people: processes and their forms, jobs, and what an administrator may do.

Plain HTML that needs no script; with one, times are the reader's and not UTC. What a page changes,
it changes by a form that carries a token of the browser's session: another site can neither read
it nor guess it.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from lxml import etree
from werkzeug.exceptions import BadRequest, HTTPException, NotFound
from werkzeug.wrappers import Request, Response

from landcover.counts import sized
from landcover.errors import InputError, NameRefused
from landcover.operation import Operation
from landcover.storage import Audience, Storage
from portal.theme import theme
from wps_processes.caller import Caller
from wps_processes.errors import InvalidInput, JobOver, JobsError, NoSuchOutput, OutputTooLarge
from wps_processes.http.errors import status_of
from wps_processes.http.routes import Route, route
from wps_processes.identity import Identity
from wps_processes.jobs.folder import LOG, name_of, storage_of
from wps_processes.jobs.ledger import STATES, Job
from wps_processes.jobs_service import JobsService
from wps_processes.naming import title_of
from wps_processes.uploads import Uploads
from wps_processes.web.form_token import check_form
from wps_processes.web.forms import (
    AGAIN,
    as_typed,
    entries_in,
    fields_of,
    form_again,
    form_inputs,
    read,
)
from wps_processes.web.health import Health, summary
from wps_processes.web.jobs_json import as_json
from wps_processes.web.results import results_of
from wps_processes.web.shares import Sharing, Sharings

LOGGER = logging.getLogger(__name__)
JOBS_ON_A_PAGE = 20
LOG_BYTES = 64 << 10
RUN_RECORD = "run.json"
REFRESH_SECONDS = 5
_SHARE_FIELDS = ("output", "with", "whom", "expires")
STYLE = Path(__file__).with_name("templates") / "style.css"
TIMES, UPLOAD = STYLE.with_name("times.js"), STYLE.with_name("upload.js")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pages:
    """The views, each from a request and its caller to a response."""

    def __init__(
        self,
        prefix: str,
        jobs: JobsService,
        identity: Identity,
        sharings: Sharings,
        uploads: Uploads,
        most_body: int,
        health: Health | None = None,
        documents: Mapping[str, Callable[[Request, Caller, str], Response]] | None = None,
    ) -> None:
        """Show the published operations, and jobs.

        Args:
            prefix: path under which the service is reached, with a slash at both ends.
            jobs: makes and knows jobs.
            identity: gives the token of a session's forms.
            sharings: shares what a job gave.
            uploads: of all users.
            most_body: bytes that one request may carry.
            health: looks at what the service stands on; without it there is no such page.
            documents: how each protocol, by its name, says the status of a job.
        """
        self._prefix, self._jobs, self._operations = prefix, jobs, jobs.operations
        self._identity, self._sharings, self._health = identity, sharings, health
        self._uploads, self._most_body = uploads, most_body
        self._documents = documents or {}
        self._templates = Environment(
            loader=PackageLoader("wps_processes.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "title_of": title_of, "typed": as_typed, "capital": _capital, "moment": _moment,
            "sized": sized, "iso": _iso,
        }  # fmt: skip
        self._templates.globals |= {
            "prefix": prefix,
            "hub": f"{prefix.removesuffix('services/wps/')}hub/home",
            "lab": f"{prefix.removesuffix('services/wps/')}hub/user-redirect/lab/tree/",
            "position": jobs.position,
            "results": lambda job: results_of(job, jobs.operations, prefix),
            "refresh_seconds": REFRESH_SECONDS,
        }

    @property
    def routes(self) -> dict[str, Route]:
        """The views by path below the prefix; the page at the prefix itself is `home`."""
        return {
            "processes/<identifier>": route(self._process, "GET", "POST"),
            "jobs/<job_id>.html": route(self._job, "GET"),
            "jobs/<job_id>/documents.html": route(self._job_documents, "GET"),
            "jobs/<job_id>/dismiss": route(self._dismiss, "POST"),
            "jobs/<job_id>/share": route(self._share, "POST"),
            "upload": route(self._upload, "GET"),
            "administration": route(self._administration, "GET", "POST"),
            "administration/health": route(self._show_health, "GET"),
        }

    def home(self, request: Request, caller: Caller) -> Response:
        """Show the caller's jobs, and the processes."""
        offset = _offset(request)
        jobs = self._jobs.jobs(caller.name, JOBS_ON_A_PAGE + 1, offset)
        return self._page(
            "home.html", request, caller, **self._list(request, jobs, offset),
            operations=self._operations.values(),
            refreshes=_refreshes(request, jobs),
        )  # fmt: skip

    def refused(self, request: Request, error: HTTPException) -> Response:
        """Show an error."""
        status = HTTPStatus(error.code or 500)
        sentence = error.description or status.description
        return self._rendered("refused.html", status, title=status.phrase, sentence=sentence)

    def style(self, request: Request) -> Response:
        """Return the style of all pages."""
        sheet = theme() + STYLE.read_text(encoding="utf-8")
        return self._own_text(request, sheet, "text/css")

    def times(self, request: Request) -> Response:
        """Return the script that shows times in the reader's zone."""
        return self._own_text(request, TIMES.read_text(encoding="utf-8"), "text/javascript")

    def upload_script(self, request: Request) -> Response:
        """Return the script that uploads files."""
        return self._own_text(request, UPLOAD.read_text(encoding="utf-8"), "text/javascript")

    @staticmethod
    def _own_text(request: Request, content: str, media_type: str) -> Response:
        answer = Response(content, mimetype=media_type)
        answer.headers["Cache-Control"] = "public, no-cache"  # asked about, seldom sent again
        answer.add_etag()
        return answer.make_conditional(request.environ)

    def _process(self, request: Request, caller: Caller, identifier: str) -> Response:
        operation = self._jobs.operation(identifier)
        if request.method != "POST":
            typed = self._typed_before(request, caller, operation)
            return self._form(request, caller, operation, typed)
        self._check_form(request, caller)
        typed = form_inputs(operation, request.form)
        inputs, sentences = read(operation, typed)
        if sentences:
            return self._form(request, caller, operation, typed, sentences, 400)
        try:
            job = self._jobs.submit(operation, inputs, caller)
        except JobsError as error:
            sentences = {error.input if isinstance(error, InvalidInput) else "": str(error)}
            return self._form(request, caller, operation, typed, sentences, status_of(error))
        return _see(self._address_of(job))

    def _typed_before(
        self, request: Request, caller: Caller, operation: Operation
    ) -> Mapping[str, str]:
        """Return what a link to a form fills in: its values, or those of an earlier job."""
        if AGAIN not in request.args:
            return form_inputs(operation, request.args)
        job = self._jobs.job(request.args[AGAIN], caller)
        return {name: as_typed(value) for name, value in job.inputs.items()}

    def _form(
        self,
        request: Request,
        caller: Caller,
        operation: Operation,
        typed: Mapping[str, str],
        sentences: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        """Show an operation's form; a sentence that belongs to no field stands above all."""
        said = sentences or {}
        names = {declared.name for declared in operation.inputs}
        return self._page(
            "process.html", request, caller, status,
            operation=operation,
            fields=fields_of(
                operation, typed, entries_in(self._storage(caller)), said, self._jobs.has_gpus
            ),
            by_nextcloud=self._sharings.by_nextcloud,
            above=[sentence for name, sentence in said.items() if name not in names],
        )  # fmt: skip

    def _job(self, request: Request, caller: Caller, job_id: str) -> Response:
        return self._job_page(request, caller, self._jobs.job(job_id, caller))

    def _job_page(
        self, request: Request, caller: Caller, job: Job, refused: str = "", status: int = 200
    ) -> Response:
        """Show a job; `refused` says why something was not shared."""
        log, is_whole = self._end_of_log(job)
        sharings = self._sharings.of(job.id)
        return self._page(
            "job.html", request, caller, status,
            job=job,
            operation=self._operations.get(job.operation),
            log=log,
            is_whole=is_whole,
            again=self._prefix + form_again(job.operation, job.id),
            refreshes=_refreshes(request, [job], sharings),
            sharings=sharings,
            by_nextcloud=self._sharings.by_nextcloud,
            by_link=self._sharings.by_link,
            refused=refused,
            typed={name: request.form.get(name, "") for name in _SHARE_FIELDS},
        )  # fmt: skip

    def _job_documents(self, request: Request, caller: Caller, job_id: str) -> Response:
        """Show what each protocol says of one job, and its run record."""
        job = self._jobs.job(job_id, caller)
        self._jobs.operation(job.operation)  # one that is offered no more is described nowhere
        said = {
            name: status(request, caller, job_id).get_data(as_text=True)
            for name, status in self._documents.items()
        }
        said["Run record"] = self._run_record(job)
        shown = {name: _laid_out(document)[:LOG_BYTES] for name, document in said.items()}
        return self._page(
            "documents.html", request, caller, job=job, documents=shown, most=LOG_BYTES
        )

    def _run_record(self, job: Job) -> str:
        """Return the record of a job's run; "" if it has none, or one that is too long to show."""
        with suppress(NoSuchOutput, OutputTooLarge):
            return self._jobs.read_output(job, RUN_RECORD, LOG_BYTES).decode(errors="replace")
        return ""

    def _share(self, request: Request, caller: Caller, job_id: str) -> Response:
        """Share or store a file or folder that a job of the caller gave."""
        self._check_form(request, caller)
        job = self._jobs.job(job_id, caller)
        given = {r.name: r.value for r in results_of(job, self._operations, self._prefix)
                 if r.is_written}  # fmt: skip
        typed = request.form
        if typed.get("output") not in given:
            raise BadRequest("the job gave no such file")
        try:
            audience = _audience(typed)
            self._sharings.start(job, caller.groups, given[typed["output"]], audience)
        except InputError as error:
            return self._job_page(request, caller, job, str(error), 400)
        return _see(self._address_of(job))

    def _dismiss(self, request: Request, caller: Caller, job_id: str) -> Response:
        """Dismiss a job of the caller, or of anybody if the caller is an administrator."""
        self._check_form(request, caller)
        with suppress(JobOver):
            job = self._jobs.dismiss(job_id, caller)
            who = {"job": job.id, "user": job.user, "by": caller.name}
            LOGGER.info("job dismissed", extra=who)
        return _see(self._own_path(request.form.get("back", "")))

    def _upload(self, request: Request, caller: Caller) -> Response:
        return self._page(
            "upload.html", request, caller,
            unfinished=self._uploads.of(caller),
            most_body=self._most_body,
            by_nextcloud=self._sharings.by_nextcloud,
        )  # fmt: skip

    def _administration(self, request: Request, caller: Caller) -> Response:
        if not caller.administrator:
            raise NotFound("there is no such page")
        if request.method == "POST":
            self._check_form(request, caller)
            self._act(request.form.get("act", ""), caller)
            return _see(f"{self._prefix}administration")
        offset, user = _offset(request), request.args.get("user", "").strip()
        state = request.args.get("state", "")
        asked = (JOBS_ON_A_PAGE + 1, offset, state if state in STATES else None)
        jobs = self._jobs.jobs(user or None, *asked)
        return self._page(
            "administration.html", request, caller, **self._list(request, jobs, offset),
            states=STATES, state=state, user=user,
        )  # fmt: skip

    def _show_health(self, request: Request, caller: Caller) -> Response:
        """Show to an administrator what is wrong, also if that is the ledger."""
        if not caller.administrator or self._health is None:
            raise NotFound("there is no such page")
        findings = self._health.findings()
        if "text/html" not in request.headers.get("Accept", ""):
            return as_json({"findings": [asdict(each) for each in findings]})
        return self._rendered(
            "health.html", 200, findings=findings, summary=summary(findings), caller=caller
        )

    def _act(self, act: str, caller: Caller) -> None:
        if act == "pause":
            self._jobs.pause(caller.name)
        elif act == "resume":
            self._jobs.resume(caller.name)
        else:
            raise BadRequest("an administrator may pause or resume")

    def _list(self, request: Request, jobs: list[Job], offset: int) -> dict[str, Any]:
        """Return a page of jobs, and the addresses of the pages of newer and older ones."""

        def page_at(start: int) -> str:
            asked = request.args.to_dict() | {"offset": str(start)}
            return f"?{urlencode(asked)}"

        has_older = len(jobs) > JOBS_ON_A_PAGE
        return {
            "jobs": jobs[:JOBS_ON_A_PAGE],
            "newer": page_at(max(0, offset - JOBS_ON_A_PAGE)) if offset else "",
            "older": page_at(offset + JOBS_ON_A_PAGE) if has_older else "",
        }

    def _end_of_log(self, job: Job) -> tuple[str, bool]:
        """Return the last part of a job's log, and whether that is all of it."""
        try:
            log = self._storage(job).open(f"{name_of(job.id)}/{LOG}")
        except NameRefused:
            return "", True  # the job has not begun, or its owner has removed it
        try:
            start = max(0, os.fstat(log).st_size - LOG_BYTES)
            return os.pread(log, LOG_BYTES, start).decode(errors="replace"), start == 0
        except IsADirectoryError:
            return "", True
        finally:
            os.close(log)

    def _storage(self, of: Caller | Job) -> Storage:
        return storage_of(of, self._jobs.storage)

    def _check_form(self, request: Request, caller: Caller) -> None:
        check_form(request, caller, self._identity)

    def _page(
        self, template: str, request: Request, caller: Caller, status: int = 200, **shown: Any
    ) -> Response:
        return self._rendered(
            template, status, **shown,
            caller=caller,
            form_token=self._identity.form_token(request),
            here=request.full_path.rstrip("?"),
            paused=self._jobs.paused,
        )  # fmt: skip

    def _rendered(self, template: str, status: int, **shown: Any) -> Response:
        page = self._templates.get_template(template).render(**shown)
        return Response(page, status, mimetype="text/html", headers=_HEADERS)

    def _address_of(self, job: Job) -> str:
        return f"{self._prefix}jobs/{job.id}.html"

    def _own_path(self, path: str) -> str:
        """Return the path of one of these pages, whatever a form names."""
        is_own = path.startswith(self._prefix) and path.isprintable()
        return path if is_own else self._prefix


def _offset(request: Request) -> int:
    return min(max(request.args.get("offset", 0, type=int), 0), 10**9)


def _refreshes(request: Request, jobs: list[Job], sharings: Sequence[Sharing] = ()) -> bool:
    """Return whether a page loads itself again: while something goes on, and until told not to."""
    goes_on = any(not job.is_over for job in jobs) or any(not s.ended.is_set() for s in sharings)
    return goes_on and "still" not in request.args and request.method != "POST"


def _audience(typed: Mapping[str, str]) -> Audience | None:
    """Return with whom a form shares, None if with nobody but their owner's Nextcloud."""
    kind, whom = typed.get("with", ""), typed.get("whom", "").strip()
    if kind == "nobody":
        return None
    if kind == "link":
        return Audience.of(link=True, expires=typed.get("expires", ""))
    if not whom:
        raise InputError(f"the name of the {kind or 'group'} is needed")
    return Audience.of(
        user=whom if kind == "user" else None, group=whom if kind == "group" else None
    )


def _see(address: str) -> Response:
    return Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})


def _laid_out(document: str) -> str:
    """Return a document with its lines broken, JSON and XML as people read it."""
    with suppress(ValueError):
        return json.dumps(json.loads(document), indent=2, ensure_ascii=False)
    if not document.startswith("<?xml"):
        return document
    root = etree.fromstring(document.encode())
    etree.indent(root)
    return str(etree.tostring(root, encoding="unicode"))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _moment(time: str) -> str:
    """Return a time of the ledger for people."""
    return datetime.fromisoformat(time).strftime("%-d %B %Y, %H:%M:%S UTC")


def _iso(seconds: float) -> str:
    """Return a time in seconds since 1970 as the ledger writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
