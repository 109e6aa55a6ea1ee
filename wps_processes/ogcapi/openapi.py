"""The API in OpenAPI 3.0: one templated path for all processes.

The official suite of tests looks operations up by their ids, such as getProcesses and execute.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from landcover.operation import Operation
from wps_processes.jobs.ledger import STATES
from wps_processes.ogcapi.descriptions import ASYNC, SYNC, Json
from wps_processes.ogcapi.requests import LONGEST_LIST

_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
_PROBLEMS = {
    "400": "the request is refused, or its job failed; the detail says why",
    "401": "a hub token is needed",
    "403": "the token, or a browser's session, may not do this",
    "404": "there is none, or its results are not ready",
    "409": "the job is over",
    "413": "the body has more than 1 MiB",
    "415": "the body is not JSON",
    "503": "not now; Retry-After says when",
}


def openapi(address: str, operations: Mapping[str, Operation]) -> Json:
    """Return the document.

    Args:
        address: of the API, with a slash at the end.
        operations: the published ones by identifier.
    """
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Processes of the geoportal",
            "description": "OGC API - Processes, Part 1: Core 1.0",
            "version": "1.0.0",
        },
        "servers": [{"url": address.rstrip("/")}],
        "security": [{"hub": []}],
        "paths": _paths(list(operations)),
        "components": {
            "schemas": _SCHEMAS,
            "responses": {
                f"Problem{status}": _answer(said, "application/problem+json", _ref("problem"))
                for status, said in _PROBLEMS.items()
            },
            "securitySchemes": {
                "hub": {"type": "http", "scheme": "bearer", "description": "a token of the hub"}
            },
        },
    }


def _paths(identifiers: list[str]) -> Json:
    process = _in_path("processId", {"type": "string", "enum": identifiers})
    job = _in_path("jobId", {"type": "string", "minLength": 1})
    results: Json = {
        "application/json": {"schema": {}},
        "*/*": {"schema": {}},
    }
    given = {
        "200": {"description": "the results, as they are or in one document", "content": results},
        "204": {"description": "where the results lie, as links in the header"},
    }
    made = _json("a job is made", "statusInfo") | {
        "headers": {"Location": {"description": "the job's address", "schema": _TEXT}}
    }
    return {
        "/": _get("getLandingPage", _json("where all else lies", "landingPage")),
        "/conformance": _get("getConformance", _json("what is kept", "confClasses")),
        "/api": _get("getApi", _answer("this document", _OPENAPI, {"type": "object"})),
        "/processes": _get("getProcesses", _json("what is offered", "processList"), _PAGE),
        "/processes/{processId}": _get(
            "getProcessDescription", _json("a process", "process"), [process], ("404",)
        ),
        "/processes/{processId}/execution": {
            "post": _operation(
                "execute",
                {**given, "201": made},
                [process, _PREFER],
                ("403", "404", "413", "415"),
                requestBody={"required": True, "content": {"application/json": _EXECUTE}},
            )
        },
        "/jobs": _get("getJobs", _json("your jobs", "jobList"), [*_PAGE, *_filters(identifiers)]),
        "/jobs/{jobId}": {
            **_get("getStatus", _json("the job", "statusInfo"), [job], ("404",)),
            "delete": _operation(
                "dismiss", {"200": _json("dismissed", "statusInfo")}, [job], ("403", "404", "409")
            ),
        },
        "/jobs/{jobId}/results": {"get": _operation("getResult", given, [job], ("404",))},
    }


def _get(
    name: str, answer: Json, parameters: Iterable[Json] = (), problems: Iterable[str] = ()
) -> Json:
    return {"get": _operation(name, {"200": answer}, parameters, problems)}


def _operation(
    name: str,
    answers: Json,
    parameters: Iterable[Json],
    problems: Iterable[str],
    **more: Any,
) -> Json:
    refused = sorted({"400", "401", "403", "503", *problems})
    return {
        "operationId": name,
        "parameters": list(parameters),
        "responses": answers
        | {status: {"$ref": f"#/components/responses/Problem{status}"} for status in refused},
    } | more


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _answer(said: str, kind: str, schema: Json) -> Json:
    return {"description": said, "content": {kind: {"schema": schema}}}


def _json(said: str, schema: str) -> Json:
    return _answer(said, "application/json", _ref(schema))


def _object(required: Collection[str], **properties: Json) -> Json:
    needed = {"required": list(required)} if required else {}  # an empty list is none
    return {"type": "object", "properties": properties, **needed}


def _list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def _in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, schema: Json, said: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": said}


def _whole(least: int, most: int, default: int | None = None) -> Json:
    schema: Json = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else schema | {"default": default}


def _filters(identifiers: list[str]) -> list[Json]:
    """Return the parameters that say which jobs are sought."""
    seconds = _whole(0, 10**9)
    return [
        _in_query("type", _list_of({"type": "string", "enum": ["process"]}), "kinds of jobs"),
        _in_query("processID", _list_of({"type": "string", "enum": identifiers}), "of these"),
        _in_query("status", _list_of({"type": "string", "enum": list(STATES)}), "in one of these"),
        _in_query("datetime", _TEXT, "accepted then: RFC 3339, or START/END, .. is open"),
        _in_query("minDuration", seconds, "computed for so many seconds at least"),
        _in_query("maxDuration", seconds, "computed for so many seconds at most"),
    ]


_OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
_PAGE = [
    _in_query("limit", _whole(1, LONGEST_LIST, 100), "so many at most"),
    _in_query("offset", _whole(0, 10**9, 0), "after so many"),
]
_PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "respond-async: do not wait for the end; what is not known is ignored",
}
_LINK = _object(["href"], href=_TEXT, rel=_TEXT, type=_TEXT, title=_TEXT)
_SUMMARY = {
    "id": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "version": _TEXT,
    "jobControlOptions": _list_of({"type": "string", "enum": [SYNC, ASYNC]}),
    "outputTransmission": _list_of({"type": "string", "enum": ["value", "reference"]}),
    "links": _list_of(_ref("link")),
}
_SCHEMAS: Json = {
    "link": _LINK,
    "landingPage": _object(
        ["links"], title=_TEXT, description=_TEXT, links=_list_of(_ref("link"))
    ),
    "confClasses": _object(["conformsTo"], conformsTo=_list_of(_TEXT)),
    "processSummary": _object(["id", "version"], **_SUMMARY),
    "processList": _object(
        ["processes", "links"],
        processes=_list_of(_ref("processSummary")),
        links=_list_of(_ref("link")),
    ),
    "process": _object(
        ["id", "version", "inputs", "outputs"],
        **_SUMMARY,
        inputs={"type": "object", "additionalProperties": _ref("described")},
        outputs={"type": "object", "additionalProperties": _ref("described")},
    ),
    "described": _object(["schema"], title=_TEXT, description=_TEXT, schema={"type": "object"}),
    "output": _object(
        [],
        transmissionMode={"type": "string", "enum": ["value", "reference"], "default": "value"},
        format=_object([], mediaType=_TEXT),
    ),
    "execute": _object(
        [],
        inputs={
            "type": "object",
            "description": "by name, as the process describes them: values, or lists of values",
            "additionalProperties": {},
        },
        outputs={"type": "object", "additionalProperties": _ref("output")},
        response={"type": "string", "enum": ["raw", "document"], "default": "raw"},
    ),
    "statusInfo": _object(
        ["jobID", "status", "type"],
        processID=_TEXT,
        type={"type": "string", "enum": ["process"]},
        jobID=_TEXT,
        status={"type": "string", "enum": list(STATES)},
        message=_TEXT,
        created=_TIME,
        started=_TIME,
        finished=_TIME,
        progress=_whole(0, 100),
        remarks=_list_of(_TEXT),
        links=_list_of(_ref("link")),
    ),
    "jobList": _object(
        ["jobs", "links"], jobs=_list_of(_ref("statusInfo")), links=_list_of(_ref("link"))
    ),
    "problem": _object(
        ["type"], type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT, input=_TEXT
    ),
}
_EXECUTE: Json = {
    "schema": _ref("execute"),
    "example": {"inputs": {"text": "teststring"}, "response": "document"},
}
