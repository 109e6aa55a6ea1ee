"""What the service and the process of a job say to each other: lines of JSON.

The service orders once. The job says how far it is and, with each remark, all its remarks so far;
last come its outputs or an error with all remarks, so that a line that got lost is made up for.
The standard library alone is needed here, for a pod's reporter is to stay small.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wps_processes.jobs.text import storable

if TYPE_CHECKING:
    from wps_processes.jobs.ledger import Job

LONGEST_LINE = 1 << 20
"""Bytes of what a job says at once."""

URL_VARIABLE, TOKEN_VARIABLE = "GEOPORTAL_RUN_URL", "GEOPORTAL_RUN_TOKEN"
"""Where a pod finds to whom it speaks, and by which token."""

INDEX_VARIABLE, PART = "JOB_COMPLETION_INDEX", "part"
"""Where the pod of a part finds its number, and how it tells it in its address."""

NO_ANSWER = "the job ended without a result, its log says more"
LESS_MEMORY = "take a smaller part of the scene or fewer samples, or ask an administrator"
"""What helps whom memory did not suffice."""

MAX_REMARKS = 101
"""Of one job: the hundred that `landcover.progress` lists, and how many more there were."""

_LONGEST_SENTENCE = 2_000


def request_for(
    job: "Job",
    root: Path,
    fetched: Mapping[str, str],
    gpus: int,
    memory_mib: int | None = None,
    share: tuple[int, int] | None = None,
) -> bytes:
    """Return what the job's process is told, as one line of JSON.

    Args:
        job: the job.
        root: of the storage tree.
        fetched: names in the job's folder by names of inputs.
        gpus: graphics processors that it is granted; with 0 it sees none.
        memory_mib: memory that it is granted; None if a cgroup bounds it.
        share: of the parts of the job this process computes every so many, from that one on, and
            joins nothing; None is the whole job.
    """
    orders = {
        "id": job.id,
        "user": job.user,
        "operation": job.operation,
        "inputs": dict(job.inputs),
        "fetched": dict(fetched),
        "root": str(root),
        "folder": job.folder,
        "groups": list(job.groups),
        "administrator": bool(job.administrator),
        "gpus": gpus,
        "memory_mib": memory_mib,
        "share": share,
    }
    return json.dumps(orders).encode() + b"\n"


def message_in(line: bytes) -> Mapping[str, Any] | None:
    """Return the progress, remarks, outputs or error in a line of JSON, None if it has none.

    Outputs and errors come with the remarks; a line with remarks alone is not the last one.

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
            return _with_remarks(word, {"error": _bounded(sentence)})
        case {"outputs": dict(outputs)} if all(map(_is_plain, outputs.values())):
            heard = {storable(name): _storable(v) for name, v in outputs.items()}
            return _with_remarks(word, {"outputs": heard})
        case {"remarks": list()}:
            return _with_remarks(word, {})
    return None


def is_last(word: Mapping[str, Any]) -> bool:
    """Return whether a word of a job is its last one."""
    return "outputs" in word or "error" in word


def too_late(operation: str, seconds: float) -> str:
    """Return the sentence for a job that was ended because it took too long."""
    return (
        f"{operation} was not over after {in_hours(seconds)}, the longest that it may compute "
        "here, and was ended: give it less to do, or ask an administrator"
    )


def too_large(given_mib: int, used_mib: int, asked: bool = False) -> str:
    """Return the sentence for a job that took too much memory, or `asked` for it and had less."""
    what = "it asked for more and had" if asked else "it had"
    return (
        f"the job needed more memory than the {given_mib} MiB that it may take here, {what} "
        f"{used_mib} MiB: {LESS_MEMORY}"
    )


def in_hours(seconds: float) -> str:
    """Return a duration in hours, or in seconds where the hours are not round."""
    hours = f"{seconds / 3600:g} hours"
    return hours if seconds % 360 == 0 else f"{seconds:g} second{'s' if seconds != 1 else ''}"


def _with_remarks(word: Mapping[str, Any], heard: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return what was heard with the remarks that came along; None if those are no sentences."""
    from landcover.errors import sentence_of  # not for a pod's reporter

    remarks = word.get("remarks", [])
    if not isinstance(remarks, list) or not all(isinstance(each, str) for each in remarks):
        return None
    return heard | {"remarks": [sentence_of(each) for each in remarks[:MAX_REMARKS]]}


def _storable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # no JSON, though Python reads it
    return value is None or isinstance(value, str | int)


def _bounded(sentence: str) -> str:
    return storable(sentence[:_LONGEST_SENTENCE])
