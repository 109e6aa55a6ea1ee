"""Uploads as programs see them: tus 1.0.0, so that what breaks off goes on where it was.

OPTIONS uploads      which version and extensions are known
POST    uploads      announces a file: Upload-Length, and Upload-Metadata with its filename
HEAD    uploads/ID   how many bytes have arrived
PATCH   uploads/ID   adds what follows, no more at a time than the service takes in one body
DELETE  uploads/ID   removes what has arrived
GET     uploads/ID   the same as HEAD as JSON, and the name of the whole file

Source: https://tus.io/protocols/resumable-upload, with the extensions creation, expiration and
termination; lengths are known at the beginning.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    PreconditionFailed,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.wrappers import Request, Response

from landcover.counts import sized
from landcover.errors import NameRefused
from landcover.io.files.archives import is_archive
from landcover.scenes.formats.opening import format_of
from landcover.storage import Storage
from wps_processes.caller import Caller
from wps_processes.errors import AlreadyThere, JobsError
from wps_processes.http.errors import http_error
from wps_processes.http.routes import Route, route
from wps_processes.identity import Identity
from wps_processes.uploads import MOST_BYTES, Upload, Uploads
from wps_processes.web.form_token import check_form
from wps_processes.web.jobs_json import as_json, refused

VERSION = "1.0.0"
_MEDIA_TYPE = "application/offset+octet-stream"
_LONGEST_METADATA = 8 << 10
_METHODS = ("POST", "OPTIONS"), ("GET", "PATCH", "DELETE", "POST", "OPTIONS")
_KNOWN = {
    "Tus-Version": VERSION,
    "Tus-Extension": "creation,expiration,termination",
    "Tus-Max-Size": str(MOST_BYTES),
}
View = Callable[[], Response]


class Tus:
    """The views, each from a request and its caller to a response."""

    def __init__(
        self,
        prefix: str,
        uploads: Uploads,
        identity: Identity,
        storage_of: Callable[[Caller], Storage],
    ) -> None:
        """Take uploads.

        Args:
            prefix: path under which the service is reached.
            uploads: of all users.
            identity: gives the token of a session's pages.
            storage_of: gives what a caller sees of the storage.
        """
        self._prefix, self._uploads, self._identity = prefix, uploads, identity
        self._storage_of = storage_of

    @property
    def routes(self) -> dict[str, Route]:
        """The views by path below the prefix."""
        return {
            "uploads": route(self._all, *_METHODS[0]),
            "uploads/<id:upload_id>": route(self._one, *_METHODS[1]),
        }

    def _all(self, request: Request, caller: Caller) -> Response:
        return self._spoken(request, caller, {"POST": lambda: self._create(request, caller)})

    def _one(self, request: Request, caller: Caller, upload_id: str) -> Response:
        views: dict[str, View] = {
            "HEAD": lambda: _how_far(self._uploads.get(caller, upload_id), 200),
            "GET": lambda: self._described(self._uploads.get(caller, upload_id), caller),
            "PATCH": lambda: self._append(request, caller, upload_id),
            "DELETE": lambda: self._remove(caller, upload_id),
        }
        return self._spoken(request, caller, views)

    def _spoken(self, request: Request, caller: Caller, views: dict[str, View]) -> Response:
        """Return an answer as the protocol has it, also to what is refused."""
        try:
            answer = self._answer(request, caller, views)
        except AlreadyThere as error:
            answer = as_json({"error": str(error), **self._of_file(error.name, caller)}, 409)
        except JobsError as error:
            answer = refused(http_error(error))
        except HTTPException as error:
            answer = refused(error)
        answer.headers["Tus-Resumable"] = VERSION
        if answer.status_code in (204, 412):
            answer.headers.extend(_KNOWN)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _answer(self, request: Request, caller: Caller, views: dict[str, View]) -> Response:
        # for clients whose proxies know no PATCH or DELETE
        method = request.headers.get("X-HTTP-Method-Override", request.method).upper()
        if method == "OPTIONS":
            return Response(status=204)
        if method not in views:
            raise MethodNotAllowed([*views, "OPTIONS"])
        if request.headers.get("Tus-Resumable") != VERSION:
            raise PreconditionFailed(f"the header Tus-Resumable is needed, with {VERSION}")
        if request.method not in ("GET", "HEAD"):
            check_form(request, caller, self._identity)
        return views[method]()

    def _create(self, request: Request, caller: Caller) -> Response:
        length = _number(request, "Upload-Length")
        if length > MOST_BYTES:
            raise RequestEntityTooLarge(f"at most {sized(MOST_BYTES)} are taken for one file")
        told = _metadata(request)
        if "filename" not in told:
            raise BadRequest("Upload-Metadata needs a filename, in base64 of UTF-8")
        upload = self._uploads.begin(caller, told["filename"], length, told.get("modified", ""))
        answer = _how_far(upload, 201)
        answer.headers["Location"] = f"{self._prefix}uploads/{upload.id}"
        return answer

    def _append(self, request: Request, caller: Caller, upload_id: str) -> Response:
        if request.mimetype != _MEDIA_TYPE:
            raise UnsupportedMediaType(f"the body is {request.mimetype}, needs {_MEDIA_TYPE}")
        offset = _number(request, "Upload-Offset")
        return _how_far(self._uploads.append(caller, upload_id, offset, request.get_data()), 204)

    def _remove(self, caller: Caller, upload_id: str) -> Response:
        self._uploads.remove(caller, upload_id)
        return Response(status=204)

    def _described(self, upload: Upload, caller: Caller) -> Response:
        """Return an upload as JSON; `importable` is what import-scene takes by itself."""
        told = {"name": upload.name, "length": upload.length, "offset": upload.offset}
        answer = as_json(told | self._of_file(upload.placed, caller))
        answer.headers.extend(_how_far(upload, 200).headers)
        answer.headers["Content-Type"] = "application/json"
        return answer

    def _of_file(self, name: str, caller: Caller) -> dict[str, Any]:
        is_importable = bool(name) and self._is_importable(name, caller)
        return {"file": name or None, "importable": is_importable}

    def _is_importable(self, name: str, caller: Caller) -> bool:
        try:
            with self._storage_of(caller).readable(name) as path:
                return path.is_file() and (is_archive(path) or format_of(path) != "")
        except NameRefused:
            return False  # its owner has moved it meanwhile


def _how_far(upload: Upload, status: int) -> Response:
    answer = Response(status=status)
    answer.headers["Upload-Offset"] = str(upload.offset)
    answer.headers["Upload-Length"] = str(upload.length)
    answer.headers["Upload-Expires"] = formatdate(upload.until, usegmt=True)
    return answer


def _number(request: Request, name: str) -> int:
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= 20):
        raise BadRequest(f"the header {name} is needed, with a number of bytes")
    return int(value)


def _metadata(request: Request) -> dict[str, str]:
    """Return what a client tells of a file: names, and values in base64."""
    header = request.headers.get("Upload-Metadata", "")
    if len(header) > _LONGEST_METADATA:
        raise BadRequest(f"Upload-Metadata has more than {_LONGEST_METADATA} characters")
    pairs = (pair.strip().partition(" ") for pair in header.split(",") if pair.strip())
    try:
        return {name: b64decode(value, validate=True).decode() for name, _, value in pairs}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadRequest("Upload-Metadata needs base64 of UTF-8 behind each name") from error
