"""What the service and the process of a job say to each other: lines of JSON.

The service orders once; the job says how far it is, and last its outputs or an error. The standard
library alone is needed here, for a pod's reporter is to stay small.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wps_processes.jobs import Job

LONGEST_LINE = 1 << 20
"""Bytes of what a job says at once."""

URL_VARIABLE, TOKEN_VARIABLE = "GEOPORTAL_RUN_URL", "GEOPORTAL_RUN_TOKEN"
"""Where a pod finds to whom it speaks, and by which token."""

NO_ANSWER = "the job ended without a result, its log says more"
_LONGEST_SENTENCE = 2_000


def orders_for(job: "Job", root: Path, fetched: Mapping[str, str]) -> bytes:
    """Return what the job's process is told, as one line of JSON.

    Args:
        job: the job.
        root: of the storage tree.
        fetched: names in the job's folder by names of inputs.
    """
    orders = {
        "id": job.id,
        "operation": job.operation,
        "inputs": dict(job.inputs),
        "fetched": dict(fetched),
        "root": str(root),
        "folder": job.folder,
        "groups": list(job.groups),
        "administrator": bool(job.administrator),
    }
    return json.dumps(orders).encode() + b"\n"


def word_in(line: bytes) -> Mapping[str, Any] | None:
    """Return the progress, outputs or error in a line of JSON, None if it holds nothing of these.

    Whatever a crafted file has made of the process, what is heard here is of the kind expected.
    """
    try:
        word = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match word:
        case {"progress": int(percent), "message": str(sentence)}:
            return {"progress": min(max(percent, 0), 100), "message": _bounded(sentence)}
        case {"error": str(sentence)}:
            return {"error": _bounded(sentence)}
        case {"outputs": dict(outputs)} if all(map(_is_plain, outputs.values())):
            return {"outputs": {storable(name): _storable(v) for name, v in outputs.items()}}
    return None


def storable(text: str) -> str:
    """Replace what is no character, and NUL: no page has the one, PostgreSQL refuses the other."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def _storable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # no JSON, though Python reads it
    return value is None or isinstance(value, str | int)


def _bounded(sentence: str) -> str:
    return storable(sentence[:_LONGEST_SENTENCE])
