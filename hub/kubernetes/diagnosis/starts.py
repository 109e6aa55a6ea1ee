"""Why a server has not started yet, in a sentence with a remedy: from what Kubernetes knows of it.

Pure functions. A pod's own status comes first: its conditions and the states of its containers
are true now. Events only add to it, because a cluster folds later ones into the first, which may
tell of a trouble long gone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hub.kubernetes import entry_check
from hub.kubernetes.diagnosis.findings import LETTERS, Finding, Surroundings, shortened
from hub.kubernetes.diagnosis.scheduling import unscheduled
from kube.pods import (
    Pod,
    condition_of,
    is_about,
    limit_of,
    moment,
    on_node,
    status_of,
    statuses,
)
from kube.quantities import memory, size
from kube.reasons import CREATION_FAILURES, NEVER_RAN, PULL_FAILURES

_NOTEBOOK = "notebook"  # kubespawner's name of the container

_DENIED = ("denied", "unauthorized", "authorization", "forbidden", "authentication required")
# runc's words for a file, or a link that leads nowhere good, where a folder is to be mounted
_IN_THE_WAY = re.compile(
    r'error mounting .* at "(?P<folder>[^"]+)".*'
    r"(not a directory|inside /proc|not of type proc|too many levels of symbolic links)",
    re.DOTALL,
)
_LINES = 8

ASKED = Finding(
    "asked",
    "Kubernetes is asked for your server.",
    in_vain="Kubernetes has made no pod for your server.",
    progress=5,
)
ENDING = Finding(
    "ending",
    "An earlier server is being stopped.",
    in_vain="An earlier server of yours does not end.",
    progress=5,
)


def diagnose(pod: Pod | None, around: Surroundings) -> Finding:
    """Return the most telling thing about a pod that is to become a server."""
    if pod is None:
        return ASKED
    if pod["metadata"].get("deletionTimestamp"):
        return ENDING
    for look in (
        _in_the_way,
        _refused_at_entry,
        _ended,
        unscheduled,
        _container_in_trouble,
        _creating,
    ):
        found = look(pod, around)
        if found:
            return found
    if condition_of(pod, "ContainersReady").get("status") == "True":
        return Finding(
            "starting",
            f"{_told_at_entry(pod)}The server has started and is about to answer.",
            in_vain=f"{_told_at_entry(pod)}The server has started and does not answer.",
            progress=80,
        )
    placed = f"Your server has a place{on_node(pod)}"
    return Finding("placed", f"{placed}.", in_vain=f"{placed} and has not started.", progress=30)


def refused(code: int, message: str) -> Finding:
    """Return what it means that the API does not take a pod.

    Args:
        code: the answer's HTTP status.
        message: what the API said.
    """
    if code == 403 and "exceeded quota" in message:
        return Finding("quota", _quota_words(message), remedy=_QUOTA_REMEDY, is_final=True)
    if code < 500 and code != 429:
        return Finding(
            "refused",
            f"Kubernetes does not admit this server: {shortened(message)}",
            remedy="Tell an administrator: this profile and the rules of the cluster do not fit.",
            is_final=True,
        )
    return unavailable(f"{code}: {shortened(message)}" if message else str(code))


def unavailable(reason: str) -> Finding:
    """Return that the API gives no answer that means anything."""
    return Finding(
        "api",
        f"The cluster does not answer ({reason}).",
        "It is asked again and again; running servers go on. If it lasts, tell an administrator.",
        progress=5,
    )


def _in_the_way(pod: Pod, around: Surroundings) -> Finding | None:
    """Report what blocks every start, and that no server can remove."""
    for status in statuses(pod):
        if found := _IN_THE_WAY.search(" ".join(_told_by_runtime(status))):
            return Finding(
                "in-the-way",
                "The server cannot be started: something that is no folder lies where "
                f"{shortened(found['folder'])} belongs.",
                remedy="Rename it where your home directory shows without a server, as in "
                "Nextcloud; or ask an administrator to, on the volume.",
                is_final=True,
            )
    return None


def _told_by_runtime(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was said of a container that did not come to be; not what a program said."""
    yield (status.get("state", {}).get("waiting") or {}).get("message", "")
    for which in ("state", "lastState"):
        ended = status.get(which, {}).get("terminated") or {}
        if ended.get("reason") in NEVER_RAN:
            yield ended.get("message", "")


def _refused_at_entry(pod: Pod, around: Surroundings) -> Finding | None:
    verdict = entry_check.verdict(pod)
    if verdict is None or verdict.passed:
        return None
    return Finding("entry", verdict.sentence, is_final=True)


def _told_at_entry(pod: Pod) -> str:
    verdict = entry_check.verdict(pod)
    return f"{verdict.sentence} " if verdict else ""


def _ended(pod: Pod, around: Surroundings) -> Finding | None:
    status = pod["status"]
    if status.get("phase") not in ("Failed", "Succeeded"):
        return None
    if status.get("reason") == "Evicted":
        return Finding(
            "evicted",
            f"The node put your server out: {shortened(status.get('message', ''))}",
            remedy="Start again, with more memory if you can; or tell an administrator.",
            is_final=True,
        )
    ended = status_of(pod, _NOTEBOOK).get("state", {}).get("terminated")
    if ended and not status.get("reason"):
        return _crashed(pod, _NOTEBOOK, ended, is_final=True)
    reason = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return Finding(
        "ended",
        f"Kubernetes ended your server ({shortened(reason) or status['phase']}).",
        remedy="Start again; if it happens again, tell an administrator.",
        is_final=True,
    )


def _container_in_trouble(pod: Pod, around: Surroundings) -> Finding | None:
    for status in statuses(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        last = status.get("lastState", {}).get("terminated")
        now = status.get("state", {}).get("terminated")
        if reason in PULL_FAILURES:
            return _not_pulled(status["image"], reason, waiting.get("message", ""), around)
        if reason == "CrashLoopBackOff":
            return _crashed(pod, status["name"], last or {}, is_final=True)
        if reason in CREATION_FAILURES:
            message = waiting.get("message", reason)
            return Finding(
                "container",
                f"The server cannot be started: {shortened(message)}",
                remedy="Tell an administrator.",
            )
        if now and now.get("exitCode"):
            return _crashed(pod, status["name"], now, is_final=False)
        if last and last.get("exitCode") and not status.get("ready"):
            return _crashed(pod, status["name"], last, is_final=False)
    return None


def _crashed(pod: Pod, container: str, ended: Mapping[str, Any], is_final: bool) -> Finding:
    hope = "" if is_final else "Kubernetes starts it once more."
    if ended.get("reason") == "OOMKilled":
        limit = limit_of(pod, container, "memory")
        told = f" ({memory(limit)})" if limit else ""
        return Finding(
            "memory",
            f"The server needed more memory than it may have{told} and was stopped.",
            hope,
            "Choose a profile with more memory.",
            is_final=is_final,
        )
    what = "The server" if container == _NOTEBOOK else f"The step {container} before the server"
    code = ended.get("exitCode")
    lines = _last_lines(ended.get("message", ""))
    told = f" Its last lines: “{lines}”." if lines else ""
    return Finding(
        "crash",
        f"{what} stopped at once (exit code {code}).{told}",
        hope,
        "Choose another profile or image; if it was your files, an administrator can look.",
        is_final=is_final,
    )


def _not_pulled(image: str, reason: str, message: str, around: Surroundings) -> Finding:
    told = _told_by_registry(message, around)
    # what a second attempt says too is not going to change by itself
    has_tried_twice = reason != "ErrImagePull"
    low, hope = told.lower(), ""
    if reason == "InvalidImageName":
        sentence, remedy, is_final = (
            f"{image} is no name of an image.",
            "Choose another profile, or tell an administrator.",
            True,
        )
    elif "not found" in low or "manifest unknown" in low:
        sentence, remedy, is_final = (
            f"The image {image} does not exist.",
            "Check its name and tag, or choose another profile.",
            has_tried_twice,
        )
    elif any(word in low for word in _DENIED):
        sentence, remedy, is_final = (
            f"The registry does not give the image {image} to this cluster, or has none of that "
            "name.",
            "Check its name; if it is private, an administrator can give the cluster access.",
            has_tried_twice,
        )
    else:
        hope = "It is tried again by itself; if it lasts, tell an administrator."
        sentence, remedy, is_final = (
            f"The image {image} cannot be fetched ({shortened(told) or reason}).",
            "",
            False,
        )
    return Finding("image", sentence, hope, remedy, is_final=is_final)


def _told_by_registry(message: str, around: Surroundings) -> str:
    """Return what the registry said; in older clusters it stands only in an event."""
    if message and not re.fullmatch(r'Back-off pulling image "[^"]*"', message):
        return message
    failures = [e["message"] for e in around.events if e.get("reason") == "Failed"]
    return next((text for text in reversed(failures) if "pull" in text), message)


def _creating(pod: Pod, around: Surroundings) -> Finding | None:
    """Report what a container that has a node and no process is waiting for."""
    for status in statuses(pod):
        if "waiting" not in status.get("state", {}):
            continue
        mine = [event for event in around.events if is_about(event, pod)]
        done = {event["message"].split('"')[1] for event in mine if event["reason"] == "Pulled"}
        pulling = next((event for event in mine if event["reason"] == "Pulling"), None)
        stuck = next(
            (e for e in mine if e["reason"] in ("FailedMount", "FailedAttachVolume")), None
        )
        if pulling and status["image"] not in done:
            known = around.sizes.get(status["image"])
            image = f"The image {status['image']} ({size(known) if known else 'of unknown size'})"
            return Finding(
                "pulling",
                f"{image} is being fetched{on_node(pod, 'to')}.",
                "The first start with an image takes this long, later ones on this node do not.",
                in_vain=f"{image} was not fetched{on_node(pod, 'to')} in time.",
                progress=40,
                since=moment(pulling.get("lastTimestamp") or pulling.get("eventTime")),
            )
        if stuck and not done:
            return Finding(
                "volume",
                f"The storage cannot be mounted: {shortened(stuck['message'])}",
                "It is tried again by itself; if it lasts, tell an administrator.",
            )
    return None


def pulled_size(message: str) -> tuple[str, int] | None:
    """Return image and bytes from an event's message that tells of both."""
    match = re.search(r'pulled image "([^"]+)".*Image size: (\d+) bytes', message)
    return (match[1], int(match[2])) if match else None


_QUOTA_REMEDY = (
    "Stop a server that you do not need, choose a smaller profile, or ask an administrator."
)


def _quota_words(message: str) -> str:
    parts = dict(re.findall(r"(requested|used|limited): (\S+?)(?:, |$)", message))
    told = "; ".join(
        f"{name} {parts[part].replace(',', ', ')}"
        for name, part in (("asked", "requested"), ("used", "used"), ("limit", "limited"))
        if part in parts
    )
    return f"The quota of this cluster is used up{f' ({told})' if told else ''}."


def _last_lines(log: str) -> str:
    lines = [shortened(line) for line in log.splitlines() if line.strip()]
    text = " | ".join(lines[-_LINES:])
    return text if len(text) <= LETTERS else f"…{text[1 - LETTERS :]}"
