"""The errors of the jobs service as exceptions of WPS 1.0.0 (OGC 05-007r7, table 62)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pywps.exceptions import (
    FileSizeExceeded,
    InvalidParameterValue,
    MissingParameterValue,
    NoApplicableCode,
    NotEnoughStorage,
    OperationNotSupported,
    ServerBusy,
)
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from wps_processes.errors import (
    InvalidInput,
    JobsError,
    MissingInput,
    QuotaReached,
    TookTooLong,
    TryLater,
)

_KINDS = {405: OperationNotSupported, 413: FileSizeExceeded, 503: ServerBusy}
"""The exceptions of WPS that say more than the status."""


class Busy(ServerBusy):  # type: ignore[misc]  # PyWPS has no types
    """ServerBusy with status 503 and the time after which to try again."""

    name = "ServerBusy"

    def __init__(self, error: TryLater) -> None:
        """Store the reason."""
        super().__init__(str(error), "", 503)
        self._retry_seconds = error.retry_seconds

    def get_response(self, *arguments: Any, **more: Any) -> Response:
        """Return the exception report."""
        answer: Response = super().get_response(*arguments, **more)
        answer.headers["Retry-After"] = str(self._retry_seconds)
        return answer


def exception_of(error: JobsError) -> NoApplicableCode:
    """Return the exception that a client of WPS gets for an error."""
    match error:
        case MissingInput():
            return MissingParameterValue(str(error), error.input)
        case InvalidInput():
            return InvalidParameterValue(str(error), error.input)
        case QuotaReached():
            return NotEnoughStorage(str(error))
        case TryLater():
            return Busy(error)
        case TookTooLong():
            return NoApplicableCode(f"{error} (storeExecuteResponse=true, status=true)")
    return NoApplicableCode(str(error))


def as_report(error: HTTPException, request: Request) -> Response:
    """Return an error of HTTP as the exception report that clients of WPS read."""
    kind = _KINDS.get(error.code or 500, NoApplicableCode)
    report = kind(error.description or error.name, "", error.code)
    return Response.from_app(report, request.environ)


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Turn errors of the jobs service into exceptions of WPS; PyWPS would call them its own fault.

    Raises:
        NoApplicableCode: or a child of it.
    """
    try:
        yield
    except JobsError as error:
        raise exception_of(error) from error
