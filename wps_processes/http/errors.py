"""The errors of the jobs service as HTTP has them, for the pages and the JSON of jobs."""

from http import HTTPStatus

from werkzeug.exceptions import HTTPException, ServiceUnavailable, default_exceptions

from wps_processes.errors import (
    InvalidInput,
    JobOver,
    JobsError,
    NoSuchJob,
    NoSuchOperation,
    NoSuchOutput,
    NoSuchUpload,
    NotPermitted,
    OutputTooLarge,
    TryLater,
    UploadBusy,
    UploadConflict,
)

_STATUSES: dict[type[JobsError], HTTPStatus] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    NoSuchOperation: HTTPStatus.NOT_FOUND,
    NoSuchJob: HTTPStatus.NOT_FOUND,
    NoSuchOutput: HTTPStatus.NOT_FOUND,
    OutputTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    JobOver: HTTPStatus.CONFLICT,
    NoSuchUpload: HTTPStatus.NOT_FOUND,
    UploadConflict: HTTPStatus.CONFLICT,
    UploadBusy: HTTPStatus.LOCKED,
    NotPermitted: HTTPStatus.FORBIDDEN,
    TryLater: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: JobsError) -> HTTPStatus:
    """Return the HTTP status of an error; 400 for what is not told apart by status."""
    known = (_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
    return next(known, HTTPStatus.BAD_REQUEST)


def http_error(error: JobsError) -> HTTPException:
    """Return an error as werkzeug has it; the answer to `TryLater` carries Retry-After."""
    if isinstance(error, TryLater):
        return ServiceUnavailable(str(error), retry_after=error.retry_seconds)
    return default_exceptions[status_of(error)](str(error))
