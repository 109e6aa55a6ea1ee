"""Jobs as JSON, and the files they have written, to their owners.

GET    jobs?limit&offset&state   the caller's jobs, newest first
GET    jobs/JOB                  one of them
DELETE jobs/JOB                  dismisses it
GET    outputs/JOB/NAME          a file that it has written, or a folder as a zip archive
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Request, Response

from wps_processes.addresses import Addresses
from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted
from wps_processes.http.output_files import send_written
from wps_processes.http.routes import Route, route
from wps_processes.jobs.ledger import STATES, Job
from wps_processes.jobs_service import JobsService, OutputValue

_LONGEST_SHOWN = 20


class JobsJson:
    """The views, each from a request and its caller to a response."""

    def __init__(self, jobs: JobsService, addresses: Addresses) -> None:
        """Show the jobs of a jobs service.

        Args:
            jobs: makes and knows jobs.
            addresses: under which the service is reached.
        """
        self._jobs, self._addresses = jobs, addresses

    @property
    def routes(self) -> dict[str, Route]:
        """The views by path below the prefix."""
        return {
            "jobs": route(self._list, "GET"),
            "jobs/<id:job_id>": route(self._job, "GET", "DELETE"),
            "outputs/<job_id>/<name>": route(self._output, "GET"),
        }

    def _list(self, request: Request, caller: Caller) -> Response:
        limit, offset = _number(request, "limit", 100, 1000), _number(request, "offset", 0, 10**9)
        state = request.args.get("state")
        if state is not None and state not in STATES:
            raise BadRequest(f"state is {state}, needs one of {', '.join(STATES)}")
        jobs = self._jobs.jobs(caller.name, limit, offset, state)
        return as_json({"jobs": [self._described(job, request) for job in jobs]})

    def _job(self, request: Request, caller: Caller, job_id: str) -> Response:
        job = self._jobs.job(job_id, caller)
        if request.method == "DELETE":
            if not caller.by_token:
                raise NotPermitted(
                    "a browser session may only read: DELETE needs the token header"
                )
            job = self._jobs.dismiss(job_id, caller)
        return as_json(self._described(job, request))

    def _output(self, request: Request, caller: Caller, job_id: str, name: str) -> Response:
        job = self._jobs.job(job_id, caller)
        return send_written(self._jobs.open_written(job, name), name, request)

    def _described(self, job: Job, request: Request) -> dict[str, Any]:
        """Return a job as the contract has it."""
        return {
            "id": job.id,
            "operation": job.operation,
            "user": job.user,
            "state": job.state,
            "progress": job.progress,
            "message": job.message,
            "position": self._jobs.position(job),
            "created": job.created,
            "started": job.started,
            "finished": job.finished,
            "inputs": dict(job.inputs),
            "outputs": {
                name: self._described_output(job, output, request)
                for name, output in self._jobs.outputs(job).items()
            },
            "error": job.error,
            "remarks": list(job.remarks),
        }

    def _described_output(self, job: Job, output: OutputValue, request: Request) -> dict[str, Any]:
        href = None
        if output.file is not None:
            href = f"{self._addresses.of(request)}outputs/{job.id}/{quote(output.file)}"
        return {"name": output.name, "href": href, "value": output.value}


def as_json(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return a response that nobody stores."""
    answer = Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def refused(error: HTTPException) -> Response:
    """Return an error as JSON."""
    return as_json({"error": error.description or error.name}, error.code or 500)


def _number(request: Request, name: str, default: int, most: int) -> int:
    value = request.args.get(name, str(default))
    # int() itself refuses thousands of digits
    if not value.isdecimal() or len(value) > _LONGEST_SHOWN or int(value) > most:
        shown = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}..."
        raise BadRequest(f"{name} is {shown}, needs a whole number up to {most}")
    return int(value)
