"""What a successful job gave: one document, or the values as they are."""

import base64
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from werkzeug.wrappers import Request, Response

from landcover.operation import Operation, Output
from wps_processes.errors import JobFailed, NoSuchOutput, OutputTooLarge
from wps_processes.http.output_files import OUTPUT_HEADERS, send_output
from wps_processes.jobs.ledger import SUCCESSFUL, Job
from wps_processes.jobs_service import JobsService
from wps_processes.ogcapi.problems import ResultNotReady
from wps_processes.ogcapi.requests import Form

MOST_EMBEDDED = 8 << 20
"""Larger files are referred to even if their values are asked for."""


@dataclass(frozen=True)
class Results:
    """The results of one job.

    Attributes:
        jobs: reads what was written.
        job: that is over.
        operation: what it computed.
        address: of the service, with a slash at the end.
    """

    jobs: JobsService
    job: Job
    operation: Operation
    address: str

    def answer(self, request: Request) -> Response:
        """Return them in the form that the job's client asked for.

        Raises:
            ResultNotReady: the job is not over.
            JobFailed: it has none; the sentence says why.
        """
        if not self.job.is_over:
            raise ResultNotReady(f"the job is {self.job.state}, its results are not there yet")
        if self.job.state != SUCCESSFUL:
            raise JobFailed(self.job.error or self.job.message)
        form = Form.of(self.job.request, self.operation)
        given = self.job.outputs or {}
        wanted = [o for o in self.operation.outputs if o.name in form.outputs and o.name in given]
        by_value = [o for o in wanted if form.outputs[o.name]]
        if not form.raw:
            found = {o.name: self._member(o, form.outputs[o.name]) for o in wanted}
            return Response(json.dumps(found, ensure_ascii=False), mimetype="application/json")
        if not by_value:
            return self._with_links(Response(status=204), wanted)
        others = [o for o in wanted if o not in by_value]
        answer = self._file(by_value[0], request) if len(by_value) == 1 else None
        return self._with_links(answer or self._parts(by_value), others)

    def _member(self, output: Output, by_value: bool) -> Any:
        """Return an output as the document has it; what is too large or gone is referred to."""
        value = _as_json((self.job.outputs or {})[output.name])
        if output.kind == "folder" and by_value:
            return value
        if not output.is_path:
            return value
        if by_value and (content := self._content(output)) is not None:
            return _qualified(content, output.media_type)
        return self._link(output)

    def _content(self, output: Output) -> bytes | None:
        with suppress(NoSuchOutput, OutputTooLarge):
            return self.jobs.read_output(self.job, output.filename, MOST_EMBEDDED)
        return None

    def _link(self, output: Output) -> dict[str, str]:
        return {
            "href": f"{self.address}outputs/{self.job.id}/{quote(output.filename)}",
            "type": output.media_type or "application/zip",
            "title": str((self.job.outputs or {})[output.name]),
        }

    def _with_links(self, answer: Response, outputs: list[Output]) -> Response:
        """Add what was asked for by reference; a figure has no address but in the job."""
        for output in outputs:
            link = self._link(output) if output.is_path else self._figure(output)
            answer.headers.add("Link", f'<{link["href"]}>; rel="item"; title="{output.name}"; '
                               f'type="{link["type"]}"')  # fmt: skip
        return answer

    def _figure(self, output: Output) -> dict[str, str]:
        return {"href": f"{self.address}jobs/{self.job.id}", "type": "application/json"}

    def _file(self, output: Output, request: Request) -> Response:
        """Return one output and nothing else, a file of whatever size."""
        if output.kind == "file":
            opened = self.jobs.open_output(self.job, output.filename)
            return send_output(opened, output.filename, request)
        return Response(self._plain(output), mimetype="text/plain", headers=OUTPUT_HEADERS)

    def _plain(self, output: Output) -> str:
        value = _as_json((self.job.outputs or {})[output.name])
        return value if isinstance(value, str) else json.dumps(value)

    def _parts(self, outputs: list[Output]) -> Response:
        """Return several outputs, each as a part (RFC 2387)."""
        boundary = uuid4().hex
        answer = Response(self._lines(outputs, boundary), headers=OUTPUT_HEADERS)
        answer.headers["Content-Type"] = f"multipart/related; boundary={boundary}"
        return answer

    def _lines(self, outputs: list[Output], boundary: str) -> Iterator[bytes]:
        for output in outputs:
            kind, content = self._part(output)
            head = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-ID: <{output.name}>\r\n"
            if content is None:
                head += f"Content-Location: {self._link(output)['href']}\r\n"
            yield f"{head}\r\n".encode() + (content or b"") + b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    def _part(self, output: Output) -> tuple[str, bytes | None]:
        """Return kind and content of a part; without content it only says where that lies."""
        if output.kind != "file":
            return "text/plain; charset=utf-8", self._plain(output).encode(errors="replace")
        return output.media_type, self._content(output)


def _qualified(content: bytes, media_type: str) -> dict[str, str]:
    """Return the content of a file as a value: text as it is, all else in base 64."""
    try:
        text = content.decode("utf-8")
    except ValueError:
        coded = base64.b64encode(content).decode("ascii")
        return {"value": coded, "encoding": "base64", "mediaType": media_type}
    return {"value": text, "mediaType": media_type}


def _as_json(value: Any) -> Any:
    """Return a value that JSON has; a figure that is not finite is not defined."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
