"""Errors as problem documents (RFC 7807), with the types that the standard registers."""

import json
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

from wps_processes.errors import InvalidInput, JobsError, NoSuchJob, NoSuchOperation, TookTooLong

_TYPES = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
_REGISTERED: dict[type[Exception], str] = {
    NoSuchOperation: f"{_TYPES}no-such-process",
    NoSuchJob: f"{_TYPES}no-such-job",
}


class ResultNotReady(NotFound):
    """A job is not over; its results are not there yet."""


_REGISTERED[ResultNotReady] = f"{_TYPES}result-not-ready"


def as_problem(error: HTTPException, reason: JobsError | None) -> Response:
    """Return an error as a problem document.

    Args:
        error: with its status.
        reason: what the jobs service has refused, if it was that.
    """
    status = HTTPStatus(error.code or 500)
    detail = error.description or status.description
    if isinstance(reason, TookTooLong):
        detail += " (Prefer: respond-async)"
    problem = {
        "type": _REGISTERED.get(type(reason or error), "about:blank"),
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if isinstance(reason, InvalidInput):
        problem["input"] = reason.input
    answer = Response(json.dumps(problem), status, mimetype="application/problem+json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
