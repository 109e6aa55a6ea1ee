"""What a Job and its pod say in words: why it still waits, and how it ended.

Conditions and container states are read, not events: those are folded, and vanish.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kube.reasons import CREATION_FAILURES, NEVER_RAN, PULL_FAILURES, WRONG_IMAGES
from landcover.operation import Needs
from wps_processes.runners.kubernetes.api import Object
from wps_processes.runners.kubernetes.watch import GONE, JobView
from wps_processes.runners.messages import LESS_MEMORY, NO_ANSWER, in_hours

STARTING = "starting in the cluster"
NOT_PULLED = (
    "the image of jobs cannot be pulled: an administrator must look at its name and at the "
    "registry, then start the job again"
)
LOST_NODE = "the node on which the job ran was lost: start it again"

_NOT_STARTED = dict.fromkeys(PULL_FAILURES, NOT_PULLED) | dict.fromkeys(
    CREATION_FAILURES, "the job's container cannot be made: ask an administrator"
)
_DISRUPTIONS = {
    "PreemptionByScheduler": "the cluster needed the job's place for something more important",
    "EvictionByEvictionAPI": "the node on which the job ran was emptied by an administrator",
    "DeletionByTaintManager": "the node on which the job ran no longer answered or was closed",
    "DeletionByPodGC": "the node on which the job ran is gone",
    "TerminationByKubelet": "the node on which the job ran had too little memory or was shut down",
}
_LOST = ("NodeLost", "NodeShutdown", "Terminated", "Shutdown")
_LACKS = (
    (re.compile(r"Insufficient nvidia\.com/gpu"), "with a free GPU"),
    (re.compile(r"Insufficient memory"), "with {memory_mib} MiB of free memory"),
    (re.compile(r"Insufficient cpu"), "with free processors, {cores} for this job"),
    (re.compile(r"Insufficient ephemeral-storage"), "with free disk space"),
    (re.compile(r"Too many pods"), "with room for one more pod"),
)
_FAILED = ("Failed", "FailureTarget")
_SIGNALLED = 128
_KILLED = 137


def waiting(view: JobView, needs: Needs) -> str | None:
    """Return why a job does not compute yet, None if its program was started."""
    if view.pod is None:
        return "waiting for the cluster to make room for the job, its quota may be used up"
    if _status(view.pod).get("phase", "Pending") != "Pending":
        return None
    scheduled = _conditions(view.pod).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _unscheduled(str(scheduled.get("message", "")), needs)
    for state in _states(view.pod, "waiting"):
        trouble = _NOT_STARTED.get(str(state.get("reason")))
        if trouble == NOT_PULLED:
            return "waiting for the image of jobs, which could not be pulled yet"
        if trouble is not None:
            return f"waiting: {trouble}"
    return STARTING


@dataclass(frozen=True)
class Obstacle:
    """Why a pod cannot start.

    Attributes:
        sentence: in words.
        is_final: whether trying again is of no use.
    """

    sentence: str
    is_final: bool = False


def obstacle(view: JobView) -> Obstacle | None:
    """Return why a job cannot start, None if nothing is in its way."""
    for state in _states(view.pod, "waiting"):
        reason = state.get("reason")
        if reason in _NOT_STARTED:
            return Obstacle(_NOT_STARTED[reason], is_final=reason in WRONG_IMAGES)
    return None


def is_ended(view: JobView) -> bool:
    """Return whether Job or pod say that it is over; the other one may not have said it yet."""
    return _finished(view) is not None or _is_pod_over(view)


def is_confirmed(view: JobView) -> bool:
    """Return whether both say so, or the one of which no more can be expected."""
    finished = _finished(view)
    late = finished is not None and finished.get("reason") == "DeadlineExceeded"
    return finished is not None and (late or _is_pod_over(view))


def parts_done(view: JobView) -> int:
    """Return how many pods of an Indexed Job have ended well."""
    return int(_status(view.job).get("succeeded") or 0)


def are_parts_started(view: JobView) -> bool:
    """Return whether a pod of an Indexed Job computes, or has."""
    return bool(_status(view.job).get("ready") or parts_done(view))


def failed_part(view: JobView) -> int:
    """Return the first part of an Indexed Job that failed too often; 0 if none did."""
    found = re.match(r"\d+", str(_status(view.job).get("failedIndexes") or ""))
    return int(found[0]) if found else 0


def parts_ending(view: JobView, needs: Needs, attempts: int) -> str | None:
    """Return why an Indexed Job failed, "" if it ended well, None if it is not over.

    Args:
        view: of the Job, with the pod of the part that failed.
        needs: what each pod had.
        attempts: at each part.
    """
    conditions = _conditions(view.job)
    if conditions.get("Complete", {}).get("status") == "True":
        return ""
    if not any(conditions.get(name, {}).get("status") == "True" for name in _FAILED):
        return None
    why = ending(view, needs) or NO_ANSWER
    if not _status(view.job).get("failedIndexes"):
        return why
    number = failed_part(view) + 1
    return f"part {number} of the job could not be computed, tried {attempts} times: {why}"


def disruption(view: JobView) -> str | None:
    """Return why the cluster ended a pod for reasons of its own; None if it did not.

    Nor if the pod may still compute: nobody knows that of one whose node does not answer.
    """
    target = _conditions(view.pod).get("DisruptionTarget", {})
    if target.get("status") != "True" or not _is_pod_over(view):
        return None
    return _eviction(view) or _disrupted(target)


def ending(view: JobView, needs: Needs) -> str | None:
    """Return why a job that is over has no result, None if nobody but its log knows."""
    terminated = next(_states(view.pod, "terminated"), {})
    status = _status(view.pod)
    finished = _finished(view) or {}
    # the phase may say Succeeded all the same
    if terminated.get("reason") == "OOMKilled":
        return (
            f"the job needed more memory than the {needs.memory_mib} MiB it was given: "
            f"{LESS_MEMORY}"
        )
    if "DeadlineExceeded" in (finished.get("reason"), status.get("reason")):
        return (
            f"the job was not over after {in_hours(needs.seconds)}, the longest that a job may "
            "wait and compute: give it less to do, or ask an administrator"
        )
    evicted = _eviction(view)
    if evicted is not None:
        return f"{evicted}: start it again"
    target = _conditions(view.pod).get("DisruptionTarget", {})
    if target.get("status") == "True":
        return f"{_disrupted(target)}: start the job again"
    if status.get("reason") in _LOST or status.get("phase") == "Unknown":
        return LOST_NODE
    return _crash(terminated)


def _eviction(view: JobView) -> str | None:
    """Return for want of what a node put a pod out, None if it did not."""
    status = _status(view.pod)
    if status.get("reason") != "Evicted":
        return None
    what = _shortage(str(status.get("message", "")))
    return f"the job was ended because its node was short of {what}"


def _disrupted(target: Object) -> str:
    return _DISRUPTIONS.get(str(target.get("reason")), "the cluster took the job's place")


def _crash(terminated: Object) -> str | None:
    code = int(terminated.get("exitCode", 0))
    if terminated.get("reason") in NEVER_RAN:
        return "the job's program could not be started: ask an administrator"
    if code == _KILLED:
        return "the job was killed, most likely because the node's memory was full: start it again"
    if code > _SIGNALLED:
        return f"the job crashed with signal {code - _SIGNALLED}, its log says more"
    return None


def _unscheduled(message: str, needs: Needs) -> str:
    """Return for what kind of node a job waits, from what the scheduler says of each node."""
    if "persistentvolumeclaim" in message.lower():
        return "waiting for the storage: an administrator must look at its volume claim"
    lacks = [words for pattern, words in _LACKS if pattern.search(message)]
    if lacks:
        kind = " and ".join(lacks).format(memory_mib=needs.memory_mib, cores=needs.cores)
        return f"waiting for a node {kind}"
    if "node(s)" in message:  # taints, selectors
        return "waiting for a node on which jobs may run: none is there at the moment"
    return "waiting for a node of the cluster"


def _finished(view: JobView) -> Object | None:
    """Return the condition by which a Job is over."""
    conditions: dict[str, Object] = _conditions(view.job)
    for name in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"):
        if conditions.get(name, {}).get("status") == "True":
            return conditions[name]
    return None


def _is_pod_over(view: JobView) -> bool:
    if view.pod is None:
        return False
    if _status(view.pod).get("phase") in ("Succeeded", "Failed"):
        return True
    is_terminated = next(_states(view.pod, "terminated"), None) is not None
    return is_terminated or GONE in view.pod["metadata"]


def _status(thing: Object | None) -> Object:
    return (thing or {}).get("status") or {}


def _conditions(thing: Object | None) -> dict[str, Any]:
    return {each["type"]: each for each in _status(thing).get("conditions") or ()}


def _states(pod: Object | None, kind: str) -> Iterator[Object]:
    """Yield what containers say of themselves: waiting, running or terminated."""
    for each in _status(pod).get("containerStatuses") or ():
        state = (each.get("state") or {}).get(kind)
        if state is not None:
            yield state


def _shortage(message: str) -> str:
    found = re.search(r"low on resource: ([a-z-]+)", message)
    return {"memory": "memory", "ephemeral-storage": "disk space", "pids": "processes"}.get(
        found[1] if found else "", "something"
    )
