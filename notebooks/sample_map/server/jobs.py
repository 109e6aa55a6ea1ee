"""A client of the WPS: starts operations as jobs of the user, follows and dismisses them.

It speaks WPS 1.0.0 to start (an asynchronous Execute), and the service's JSON for the rest. The
token stays in this process.
"""

import os
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import requests
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from landcover.errors import InputError, LandcoverError
from landcover.operation import Operation
from landcover.operations import OPERATIONS
from sample_map.texts import text

ENDED = ("successful", "failed", "dismissed")

_SECONDS = (5, 30)  # to connect, and between two pieces of an answer
_EXCEPTION = "{http://www.opengis.net/ows/1.1}ExceptionText"
_STARTED = re.compile(r"/status/([^/.]+)\.xml$")
_TOLD = (
    "id", "operation", "state", "progress", "message", "position", "created", "finished",
    "inputs", "error", "remarks",
)  # fmt: skip

Job = dict[str, Any]
"""What is told of a job: _TOLD, and its outputs {NAME: {name, value}}."""


class Unanswered(LandcoverError):
    """The WPS cannot be reached, or what it says is no answer."""


class Jobs:
    """The jobs of one user at one WPS. All calls block, for _SECONDS at most while nothing comes.

    Each of them raises Unanswered, and InputError with the sentence of the WPS where it refuses.
    """

    def __init__(self, url: str, token: str) -> None:
        """Take the address of the WPS, with a slash at its end, and a token of the hub."""
        self._url, self._token = url.rstrip("/") + "/", token

    @classmethod
    def of_environment(cls) -> "Jobs | None":
        """Return the jobs of whom this server belongs to; None without a geoportal around it."""
        url, token = (os.environ.get(n, "") for n in ("GEOPORTAL_WPS_URL", "JUPYTERHUB_API_TOKEN"))
        return cls(url, token) if url and token else None

    def start(self, identifier: str, inputs: Mapping[str, object]) -> str:
        """Start an operation; return the id of its job.

        Args:
            identifier: of the operation.
            inputs: values by name; files and folders as storage names.

        Raises:
            InputError: there is no such operation, or an input is unknown, missing or invalid.
        """
        operation = operation_of(identifier)
        operation.check(inputs)
        body = _execute(operation, inputs)
        answer = self._ask("POST", "", data=body, headers={"Content-Type": "text/xml"})
        return _started(answer)

    def latest(self, limit: int) -> list[Job]:
        """Return the youngest jobs, the newest first."""
        return [_told(job) for job in self._json("GET", f"jobs?limit={limit:d}")["jobs"]]

    def job(self, id: str) -> Job:
        """Return one job."""
        return _told(self._json("GET", f"jobs/{quote(id, safe='')}"))

    def dismiss(self, id: str) -> Job:
        """Dismiss a job that waits or runs; return what it is now."""
        return _told(self._json("DELETE", f"jobs/{quote(id, safe='')}"))

    def _json(self, method: str, path: str) -> dict[str, Any]:
        answer = self._ask(method, path)
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise Unanswered(f"the WPS answers {answer.status_code} and no JSON") from error
        if answer.status_code != HTTPStatus.OK:
            raise InputError(str(found.get("error", answer.reason)))
        return found

    def _ask(self, method: str, path: str, **more: Any) -> requests.Response:
        try:
            return requests.request(
                method, self._url + path, auth=self._sign, timeout=_SECONDS,
                allow_redirects=False, **more,
            )  # fmt: skip
        except requests.RequestException as error:
            raise Unanswered(text("the jobs service does not answer")) from error

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"token {self._token}"
        return request


def operation_of(identifier: str) -> Operation:
    """Return an operation.

    Raises:
        InputError: there is none of this name.
    """
    found = next((one for one in OPERATIONS if one.identifier == identifier), None)
    if found is None:
        raise InputError(f"there is no operation {identifier}")
    return found


def _execute(operation: Operation, inputs: Mapping[str, object]) -> bytes:
    """Return the Execute document; a list repeats its input."""
    from owslib.etree import etree
    from owslib.wps import ASYNC, WPSExecution

    given = [(name, word) for name, value in inputs.items() for word in _words(value)]
    outputs = [(output.name, output.is_path) for output in operation.outputs]
    try:
        request = WPSExecution().buildRequest(operation.identifier, given, outputs, ASYNC)
    except ValueError as error:  # a control character, which XML cannot hold
        raise InputError(f"an input of {operation.identifier} is no text: {error}") from error
    document: bytes = etree.tostring(request)
    return document


def _words(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(one) for one in value]
    return [str(value)]


def _started(answer: requests.Response) -> str:
    """Return the id in the answer to an Execute."""
    try:
        root = fromstring(answer.content)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Unanswered(f"the WPS answers {answer.status_code} and no XML") from error
    if refused := "; ".join(found.text or "" for found in root.iter(_EXCEPTION)):
        raise InputError(refused)
    if (location := _STARTED.search(root.get("statusLocation", ""))) is None:
        raise Unanswered(text("the WPS does not say which job it started"))
    return location[1]


def _told(job: dict[str, Any]) -> Job:
    """Return what a browser needs of a job; addresses as this process sees them are of no use."""
    outputs = {
        name: {"name": output["name"], "value": output["value"]}
        for name, output in job["outputs"].items()
    }
    return {key: job[key] for key in _TOLD} | {"outputs": outputs}
