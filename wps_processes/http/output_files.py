"""Sends what jobs have written, with headers that keep it from acting in a browser."""

import hashlib
import mimetypes
import os
import stat
from datetime import UTC, datetime
from typing import BinaryIO

from werkzeug.exceptions import HTTPException
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from wps_processes.http.archive import Archive

OUTPUT_HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
_SHOWN = (".html", ".png", ".json", ".csv")
"""What a browser shows; all else it saves."""


def send_written(descriptor: int, name: str, request: Request) -> Response:
    """Return the answer that streams a file, or a folder as a zip archive.

    Args:
        descriptor: of the open file or folder, closed when it has been sent.
        name: under which it is saved; an archive gets its ending.
        request: the request.
    """
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return _send_folder(Archive(descriptor, name), f"{name}.zip")
    return send_output(os.fdopen(descriptor, "rb"), name, request)


def send_output(file: BinaryIO, name: str, request: Request) -> Response:
    """Return the answer that streams a file, or the part of it that is asked for.

    Args:
        file: an open file of the operating system, closed when it has been sent.
        name: under which it is saved, and which tells its media type.
        request: the request, which may be for a range, or for what has changed.
    """
    try:
        return _send_file(file, name, request)
    except HTTPException:  # a range that it has not
        file.close()
        raise


def _send_folder(archive: Archive, name: str) -> Response:
    answer = Response(archive, mimetype="application/zip", headers=OUTPUT_HEADERS)
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


def _send_file(file: BinaryIO, name: str, request: Request) -> Response:
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
    answer.headers.update(OUTPUT_HEADERS)
    answer.content_length = known.st_size
    return answer.make_conditional(request.environ, True, known.st_size)
