"""What clients ask for: executions, pages of lists, and which jobs."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.wrappers import Request

from landcover import strict_json
from landcover.operation import Operation, Output
from wps_processes.errors import InvalidInput
from wps_processes.jobs.ledger import STATES, Sought, rfc3339

LONGEST_LIST = 1_000
_MOST_OFFSET, _MOST_SECONDS = 10**9, 10**9
_AT_ONCE, _TICK = timedelta(), timedelta(microseconds=1)
_FILTERS = ("type", "processID", "status", "datetime", "minDuration", "maxDuration")


@dataclass(frozen=True)
class Form:
    """How a client wants the results, as a job's row holds it.

    Attributes:
        outputs: names, each with whether its value is wanted, or where it lies.
        raw: whether the results come as they are; else in one document.
    """

    outputs: Mapping[str, bool]
    raw: bool = False

    def to_json(self) -> str:
        """Return it for the row; a status document of WPS shows the same outputs."""
        response = "raw" if self.raw else "document"
        return json.dumps({"outputs": self.outputs, "lineage": False, "response": response})

    @classmethod
    def of(cls, request: str, operation: Operation) -> "Form":
        """Return what a row holds; a job of another face gives a document, files by reference."""
        said = json.loads(request)
        every = dict.fromkeys((each.name for each in operation.outputs), False)
        return cls(said.get("outputs") or every, said.get("response") == "raw")


@dataclass(frozen=True)
class Execution:
    """A request for one execution.

    Attributes:
        inputs: by name, as they came.
        form: how the results are wanted.
        asynchronous: whether the answer is not to wait for the end.
    """

    inputs: Mapping[str, Any]
    form: Form
    asynchronous: bool


def execution(request: Request, operation: Operation) -> Execution:
    """Read the request for an execution.

    Raises:
        HTTPException: it is no JSON, or not of this form.
        InvalidInput: an input is given in a way that is not read here.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(f"the body is {request.mimetype or 'of no kind'}, needs JSON")
    refuse_unknown(request, ())
    body = _body(request.get_data())
    if "subscriber" in body:
        raise BadRequest("subscriber is given, and nobody is called back: ask for the status")
    response = body.get("response", "raw")
    if response not in ("raw", "document"):
        raise BadRequest(f"response is {response}, needs raw or document")
    inputs = {name: _value(name, given) for name, given in _member(body, "inputs").items()}
    form = Form(_outputs(operation, _member(body, "outputs")), response == "raw")
    return Execution(inputs, form, "respond-async" in preferences(request))


def preferences(request: Request) -> list[str]:
    """Return what a client prefers, without parameters (RFC 7240); who knows none ignores it."""
    said = ",".join(request.headers.getlist("Prefer"))
    return [each.partition(";")[0].strip().lower() for each in said.split(",")]


def page(request: Request) -> tuple[int, int]:
    """Return limit and offset of a list.

    Raises:
        BadRequest: one is no number, or out of range.
    """
    return _number(request, "limit", 100, 1, LONGEST_LIST), _number(
        request, "offset", 0, 0, _MOST_OFFSET
    )


def sought(request: Request) -> Sought:
    """Return which jobs are asked for.

    Raises:
        BadRequest: a parameter is unknown or no valid value.
    """
    refuse_unknown(request, ("limit", "offset", *_FILTERS))
    for kind in _several(request, "type"):
        if kind != "process":
            raise BadRequest(f"type is {kind}, needs process: there are no other jobs")
    states = _several(request, "status")
    for state in states:
        if state not in STATES:
            raise BadRequest(f"status is {state}, needs one of {', '.join(STATES)}")
    since, until = _interval(request.args.get("datetime"))
    operations = _several(request, "processID")
    least, most = (_seconds(request, name) for name in ("minDuration", "maxDuration"))
    return Sought(states, operations, since, until, least, most)


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Refuse parameters that would be ignored, and those that are given twice.

    Raises:
        BadRequest: there are some.
    """
    for name in request.args:
        if name not in known:
            raise BadRequest(f"there is no parameter {name}, only {', '.join(known) or 'none'}")


def _body(content: bytes) -> dict[str, Any]:
    try:
        body = strict_json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is no object, needs {inputs: ...}")
    return body


def _member(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    member = body.get(name, {})
    if not isinstance(member, dict):
        raise BadRequest(f"{name} is no object, needs one with a member for each")
    return member


def _value(name: str, given: Any) -> Any:
    """Return the value of an input, or the values of a list."""
    if isinstance(given, list):
        return [_value(name, each) for each in given]
    if not isinstance(given, dict):
        return given
    if "href" in given:
        raise InvalidInput(
            f"{name} is a reference, needs the value itself: nothing is fetched from URLs", name
        )
    if "value" not in given or isinstance(given["value"], dict | list):
        raise InvalidInput(f"{name} is an object, needs a value", name)
    return given["value"]


def _outputs(operation: Operation, asked: Mapping[str, Any]) -> dict[str, bool]:
    """Return the outputs that are wanted, each with whether by value."""
    known = {each.name: each for each in operation.outputs}
    for name in asked:
        if name not in known:
            raise InvalidInput(
                f"{operation.identifier} has no output {name}, it has {', '.join(known)}", name
            )
    return {name: _by_value(known[name], asked.get(name, {})) for name in asked or known}


def _by_value(output: Output, how: Any) -> bool:
    if not isinstance(how, dict):
        raise InvalidInput(f"the output {output.name} is no object, needs one", output.name)
    mode = how.get("transmissionMode", "value")
    if mode not in ("value", "reference"):
        raise InvalidInput(
            f"the output {output.name} is asked for as {mode}, needs value or reference",
            output.name,
        )
    _check_format(output, how.get("format", {}))
    return bool(mode == "value")


def _check_format(output: Output, format: Any) -> None:
    asked = format.get("mediaType") if isinstance(format, dict) else format
    if asked is not None and output.is_path and asked != output.media_type:
        made = output.media_type or "a folder"
        raise InvalidInput(f"the output {output.name} is asked for as {asked}, and is {made}",
                           output.name)  # fmt: skip


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    given = request.args.getlist(name) or [str(default)]
    value = given[0]
    if len(given) > 1 or not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise BadRequest(f"{name} is {', '.join(given)[:40]}, needs one whole number")
    if not least <= int(value) <= most:
        raise BadRequest(f"{name} is {value}, needs {least} to {most}")
    return int(value)


def _seconds(request: Request, name: str) -> int | None:
    return _number(request, name, 0, 0, _MOST_SECONDS) if name in request.args else None


def _several(request: Request, name: str) -> tuple[str, ...]:
    """Return the values of a parameter that is repeated, or holds several with commas."""
    return tuple(each for given in request.args.getlist(name) for each in given.split(","))


def _interval(given: str | None) -> tuple[str | None, str | None]:
    """Return the ends of an interval of time (RFC 3339, 5.6), open ones as None."""
    if given is None:
        return None, None
    start, is_interval, end = given.partition("/")
    since, until = _moment(start), _moment(end if is_interval else start, timedelta(seconds=1))
    if since is None and until is None:
        raise BadRequest(f"datetime is {given[:80]}, needs a time at one end at least")
    if since is not None and until is not None and since > until:
        raise BadRequest(f"datetime is {given[:80]}, whose end is before its start")
    return since, until


def _moment(text: str, lasting: timedelta = _AT_ONCE) -> str | None:
    """Return a time as the ledger writes it; one that ends lasts to the end of its second."""
    if text in ("", ".."):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        return rfc3339(moment if moment.microsecond else moment + max(lasting - _TICK, _AT_ONCE))
    except (ValueError, OverflowError) as error:
        needed = "2026-11-30T12:00:00Z, alone or as START/END, .. for an open end"
        raise BadRequest(f"datetime holds {text[:40]}, needs a time such as {needed}") from error
