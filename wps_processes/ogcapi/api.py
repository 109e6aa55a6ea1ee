"""The views of OGC API - Processes, each from a request to an answer.

GET    ogc/                             landing page
GET    ogc/conformance, ogc/api         what is kept; the description in OpenAPI 3.0
GET    ogc/processes?limit&offset       what is offered
GET    ogc/processes/ID                 the description of a process
POST   ogc/processes/ID/execution       makes a job; waits for its end unless told not to
GET    ogc/jobs?limit&offset&status...  the caller's jobs, newest first
GET    ogc/jobs/JOB                     one of them; DELETE dismisses it
GET    ogc/jobs/JOB/results             what it gave
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from landcover.operation import Operation
from wps_processes.addresses import Addresses
from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted
from wps_processes.http.routes import Route, route
from wps_processes.jobs.ledger import FAILED, SUCCESSFUL, Job
from wps_processes.jobs_service import JobsService, check_inputs
from wps_processes.ogcapi.descriptions import Json, description, summary
from wps_processes.ogcapi.openapi import openapi
from wps_processes.ogcapi.requests import execution, page, refuse_unknown, sought
from wps_processes.ogcapi.results import Results

PATH = "ogc/"
CONFORMANCE = tuple(
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{each}"
    for each in ("core", "ogc-process-description", "json", "oas30", "job-list", "dismiss")
)
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
_REL = "http://www.opengis.net/def/rel/ogc/1.0/"


class OgcApi:
    """The views, each from a request and its caller to a response."""

    def __init__(self, jobs: JobsService, addresses: Addresses) -> None:
        """Publish the operations of a jobs service.

        Args:
            jobs: makes and knows jobs.
            addresses: under which the service is reached.
        """
        self._jobs, self._addresses = jobs, addresses

    @property
    def routes(self) -> dict[str, Route]:
        """The views by path below the prefix."""
        paths = {
            "": route(self._landing, "GET"),
            "conformance": route(self._conformance, "GET"),
            "api": route(self._api, "GET"),
            "processes": route(self._processes, "GET"),
            "processes/<identifier>": route(self._process, "GET"),
            "processes/<identifier>/execution": route(self._execute, "POST"),
            "jobs": route(self._list, "GET"),
            "jobs/<job_id>": route(self._job, "GET", "DELETE"),
            "jobs/<job_id>/results": route(self._results, "GET"),
        }
        return {PATH + path: each for path, each in paths.items()}

    def status(self, request: Request, caller: Caller, job_id: str) -> Response:
        """Return the status of a job.

        Raises:
            NoSuchJob: the caller has no such job.
        """
        return _as_json(self._status(request, self._jobs.job(job_id, caller)))

    def _landing(self, request: Request, caller: Caller) -> Response:
        refuse_unknown(request, ())
        at = self._at(request)
        return _as_json(
            {
                "title": "Processes of the geoportal",
                "description": "Land-cover maps: from samples to a map and its accuracy.",
                "links": [
                    _link(at, "self", "this document"),
                    _link(f"{at}api", "service-desc", "the API in OpenAPI 3.0", OPENAPI),
                    _link(f"{at}conformance", f"{_REL}conformance", "what is kept"),
                    _link(f"{at}conformance", "conformance", "what is kept"),
                    _link(f"{at}processes", f"{_REL}processes", "the processes"),
                    _link(f"{at}jobs", f"{_REL}job-list", "your jobs"),
                    _link(at.removesuffix(PATH), "alternate", "for people", "text/html"),
                ],
            }
        )

    def _conformance(self, request: Request, caller: Caller) -> Response:
        refuse_unknown(request, ())
        return _as_json({"conformsTo": list(CONFORMANCE)})

    def _api(self, request: Request, caller: Caller) -> Response:
        refuse_unknown(request, ())
        answer = _as_json(openapi(self._at(request), self._jobs.operations))
        answer.headers["Content-Type"] = OPENAPI
        return answer

    def _processes(self, request: Request, caller: Caller) -> Response:
        refuse_unknown(request, ("limit", "offset"))
        limit, offset = page(request)
        offered = list(self._jobs.operations.values())[offset : offset + limit + 1]
        shown = [
            summary(each) | {"links": self._process_links(request, each)}
            for each in offered[:limit]
        ]
        return _as_json({"processes": shown, "links": self._pages(request, len(offered))})

    def _process(self, request: Request, caller: Caller, identifier: str) -> Response:
        refuse_unknown(request, ())
        operation = self._jobs.operation(identifier)
        links = self._process_links(request, operation)
        return _as_json(description(operation) | {"links": links})

    def _execute(self, request: Request, caller: Caller, identifier: str) -> Response:
        _check_token(caller)
        operation = self._jobs.operation(identifier)
        asked = execution(request, operation)
        make = self._jobs.submit if asked.asynchronous else self._jobs.run
        job = make(operation, check_inputs(operation, asked.inputs), caller, asked.form.to_json())
        at = f"{self._at(request)}jobs/{job.id}"
        if not asked.asynchronous:
            answer = self._given(request, job)
            answer.headers.add("Link", f'<{at}>; rel="monitor"; type="application/json"')
            return answer
        answer = _as_json(self._status(request, job), 201)
        answer.headers |= {"Location": at, "Preference-Applied": "respond-async"}
        return answer

    def _list(self, request: Request, caller: Caller) -> Response:
        limit, offset = page(request)
        jobs = self._jobs.found(caller, sought(request), limit + 1, offset)
        shown = [self._status(request, job) for job in jobs[:limit]]
        return _as_json({"jobs": shown, "links": self._pages(request, len(jobs))})

    def _job(self, request: Request, caller: Caller, job_id: str) -> Response:
        refuse_unknown(request, ())
        if request.method == "DELETE":
            _check_token(caller)
            self._jobs.dismiss(self._jobs.job(job_id, caller).id, caller)
        return self.status(request, caller, job_id)

    def _results(self, request: Request, caller: Caller, job_id: str) -> Response:
        refuse_unknown(request, ())
        return self._given(request, self._jobs.job(job_id, caller))

    def _given(self, request: Request, job: Job) -> Response:
        operation = self._jobs.operation(job.operation)
        return Results(self._jobs, job, operation, self._addresses.of(request)).answer(request)

    def _status(self, request: Request, job: Job) -> Json:
        """Return a job as the standard has it, with its remarks besides."""
        times = {"created": job.created, "started": job.started, "finished": job.finished}
        return {
            "processID": job.operation,
            "type": "process",
            "jobID": job.id,
            "status": job.state,
            "message": job.message,
            "progress": job.progress,
            **{name: time for name, time in times.items() if time is not None},
            "remarks": list(job.remarks),
            "links": self._job_links(request, job),
        }

    def _job_links(self, request: Request, job: Job) -> list[Json]:
        at, service = f"{self._at(request)}jobs/{job.id}", self._addresses.of(request)
        links = [
            _link(at, "self", "this job"),
            _link(f"{service}jobs/{job.id}.html", "alternate", "for people", "text/html"),
            _link(f"{service}status/{job.id}.xml", "alternate", "as WPS 1.0.0", "text/xml"),
        ]
        if job.state == SUCCESSFUL:
            record = f"{service}outputs/{job.id}/run.json"
            links += [
                _link(f"{at}/results", f"{_REL}results", "what it gave"),
                _link(record, "describedby", "of what it was made, and how"),
            ]
        elif job.state == FAILED:
            links.append(_link(f"{at}/results", f"{_REL}exceptions", "why it failed"))
        return links

    def _process_links(self, request: Request, operation: Operation) -> list[Json]:
        at = f"{self._at(request)}processes/{operation.identifier}"
        return [
            _link(at, "self", "the description"),
            _link(f"{at}/execution", f"{_REL}execute", "runs it, by POST"),
        ]

    def _pages(self, request: Request, found: int) -> list[Json]:
        """Return the links of a list: to itself, and to the pages after and before it."""
        limit, offset = page(request)
        links = [self._page(request, "self", offset)]
        if found > limit:
            links.append(self._page(request, "next", offset + limit))
        if offset:
            links.append(self._page(request, "prev", max(0, offset - limit)))
        return links

    def _page(self, request: Request, rel: str, offset: int) -> Json:
        asked: dict[str, Sequence[str]] = dict(request.args.lists())
        if rel != "self":
            asked["offset"] = [str(offset)]
        query = urlencode(asked, doseq=True)
        at = self._at(request) + request.path.removeprefix(self._addresses.prefix + PATH)
        return _link(f"{at}?{query}" if query else at, rel, "of this list")

    def _at(self, request: Request) -> str:
        return self._addresses.of(request) + PATH


def _check_token(caller: Caller) -> None:
    if not caller.by_token:
        raise NotPermitted("a browser session may only read: this needs the token header")


def _link(href: str, rel: str, title: str, kind: str = "application/json") -> Json:
    return {"href": href, "rel": rel, "type": kind, "title": title}


def _as_json(value: Any, status: int = 200) -> Response:
    answer = Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
