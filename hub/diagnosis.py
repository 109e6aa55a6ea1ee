"""Why a server has not started yet, in a sentence with a remedy: from what Kubernetes knows of it.

Pure functions. A pod's own status comes first: its conditions and the states of its containers
are true now. Events only add to it, because a cluster folds later ones into the first, which may
tell of a trouble long gone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hub import entry_check
from hub.quantities import GPU, memory, quantity, size

Pod = Mapping[str, Any]

_NOTEBOOK = "notebook"  # kubespawner's name of the container
_PULL_FAILURES = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
)
_CREATION_FAILURES = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_DENIED = ("denied", "unauthorized", "authorization", "forbidden", "authentication required")
# runc's words for a file, or a link that leads nowhere good, where a folder is to be mounted
_IN_THE_WAY = re.compile(
    r'error mounting .* at "(?P<folder>[^"]+)".*'
    r"(not a directory|inside /proc|not of type proc|too many levels of symbolic links)",
    re.DOTALL,
)
_LINES, _LETTERS = 8, 800


@dataclass(frozen=True)
class Finding:
    """What keeps a server from starting, or what it is doing.

    Attributes:
        kind: one word for the log, such as gpu or image.
        sentence: what is the matter.
        hope: what comes by itself if it is waited for.
        remedy: what the reader can do, whether it is waited for or not.
        in_vain: what is the matter once it was waited for in vain; the same if empty.
        is_final: whether waiting is of no use.
        progress: how far the start has come, in percent.
        since: when it began, if that is known.
    """

    kind: str
    sentence: str
    hope: str = ""
    remedy: str = ""
    in_vain: str = ""
    is_final: bool = False
    progress: int = 20
    since: datetime | None = None

    def text(self, now: datetime) -> str:
        """Return all that is to be said, as one line."""
        waited = _waited(self.since, now) if self.since else ""
        return " ".join(filter(None, (self.sentence, waited, self.hope, self.remedy)))

    def given_up(self, seconds: float) -> "Finding":
        """Return what is said after so long, when nobody waits any more."""
        return Finding(
            self.kind,
            f"{self.in_vain or self.sentence} It was given up after {_span(seconds)}.",
            remedy=self.remedy or "Start again; if it happens again, tell an administrator.",
            is_final=True,
        )


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the pod itself.

    Attributes:
        events: the pod's events, oldest first.
        sizes: bytes of images that were fetched before, by name.
        nodes: what each node that takes pods has for them, in cores, bytes and pieces; None if
            nobody may look.
        holders: GPUs that servers hold, by user; empty for readers who may not know.
    """

    events: Sequence[Mapping[str, Any]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    nodes: Sequence[Mapping[str, float]] | None = None
    holders: Mapping[str, int] = field(default_factory=dict)


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
        _unscheduled,
        _container_in_trouble,
        _creating,
    ):
        found = look(pod, around)
        if found:
            return found
    if _condition(pod, "ContainersReady").get("status") == "True":
        return Finding(
            "starting",
            f"{_told_at_entry(pod)}The server has started and is about to answer.",
            in_vain=f"{_told_at_entry(pod)}The server has started and does not answer.",
            progress=80,
        )
    placed = f"Your server has a place{_on_node(pod)}"
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
            f"Kubernetes does not admit this server: {_shortened(message)}",
            remedy="Tell an administrator: this profile and the rules of the cluster do not fit.",
            is_final=True,
        )
    return unanswered(f"{code}: {_shortened(message)}" if message else str(code))


def unanswered(reason: str) -> Finding:
    """Return that the API gives no answer that means anything."""
    return Finding(
        "api",
        f"The cluster does not answer ({reason}).",
        "It is asked again and again; running servers go on. If it lasts, tell an administrator.",
        progress=5,
    )


def _in_the_way(pod: Pod, around: Surroundings) -> Finding | None:
    """Tell of what no server can take away, because none starts while it is there."""
    for status in _statuses(pod):
        if found := _IN_THE_WAY.search(" ".join(_told_by_runtime(status))):
            return Finding(
                "in-the-way",
                "The server cannot be started: something that is no folder lies where "
                f"{_shortened(found['folder'])} belongs.",
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
        if ended.get("reason") in entry_check.NEVER_RAN:
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
            f"The node put your server out: {_shortened(status.get('message', ''))}",
            remedy="Start again, with more memory if you can; or tell an administrator.",
            is_final=True,
        )
    ended = _state(pod, _NOTEBOOK).get("state", {}).get("terminated")
    if ended and not status.get("reason"):
        return _crashed(pod, _NOTEBOOK, ended, is_final=True)
    reason = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return Finding(
        "ended",
        f"Kubernetes ended your server ({_shortened(reason) or status['phase']}).",
        remedy="Start again; if it happens again, tell an administrator.",
        is_final=True,
    )


def _unscheduled(pod: Pod, around: Surroundings) -> Finding | None:
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False":
        return None
    message, since = condition.get("message", ""), _time(condition.get("lastTransitionTime"))
    if "persistentvolumeclaim" in message.lower():
        return _unbound(pod, message, since)
    refusals = dict(_refusals(message))
    short = {
        name.removeprefix("Insufficient "): count
        for name, count in refusals.items()
        if name.startswith("Insufficient ")
    }
    total = int(match[1]) if (match := re.match(r"\d+/(\d+) nodes", message)) else 0
    is_about_gpus = GPU in short and (set(short) == {GPU} or short[GPU] == total)
    if is_about_gpus and not _lacks_more(asked_for(pod), around.nodes or ()):
        return _without_gpu(pod, around, since)
    return _without_room(pod, refusals, message, since, around)


def _unbound(pod: Pod, message: str, since: datetime | None) -> Finding:
    claims = ", ".join(
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    )
    is_missing = "not found" in message and "unbound" not in message
    what = "does not exist" if is_missing else "has no volume yet"
    return Finding(
        "volume",
        f"The storage is not ready: the volume claim {claims} {what}.",
        "It goes on by itself as soon as there is a volume.",
        "Your files are not touched; tell an administrator.",
        since=since,
    )


def _without_gpu(pod: Pod, around: Surroundings, since: datetime | None) -> Finding:
    asked = int(asked_for(pod).get(GPU, 1))
    if asked == 1:
        sentence = f"No GPU is free: your server asks for 1 ({GPU})"
        hope = "It starts by itself when one is given back."
        remedy = "A profile without a GPU need not wait for one."
    else:
        sentence = f"Not enough GPUs are free: your server asks for {asked} ({GPU})"
        hope = "It starts by itself when so many are free on one node."
        remedy = "Fewer may be free at once, and a profile without a GPU need not wait for one."
    if around.nodes is not None:
        gpus = [int(node.get(GPU, 0)) for node in around.nodes]
        total, most = sum(gpus), max(gpus, default=0)
        sentence += f", the cluster has {total or 'none at present'}"
        if not total:
            # where nodes come and go with what is asked for, one may be on its way
            hope = "It starts by itself if a node with GPUs is added."
        elif asked > most:
            sentence += f" and no node has more than {most}"
            hope, remedy = "", f"Choose {most} or fewer, or tell an administrator."
    if around.holders:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(around.holders.items()))
        sentence += f"; in use by {names}"
    return Finding("gpu", f"{sentence}.", hope, remedy, since=since)


def _without_room(
    pod: Pod,
    refusals: Mapping[str, int],
    message: str,
    since: datetime | None,
    around: Surroundings,
) -> Finding:
    asked = asked_for(pod)
    words = [_refusal_words(reason, count, asked) for reason, count in sorted(refusals.items())]
    sentence = f"No node fits your server: {'; '.join(words) or _shortened(message)}."
    if not any(reason.startswith("Insufficient") for reason in refusals):
        remedy = "Choose another profile, or tell an administrator."
        return Finding("room", sentence, remedy=remedy, since=since)
    too_much = _too_much(asked, around.nodes or ())
    return Finding(
        "room",
        f"{sentence} {too_much}".rstrip(),
        "" if too_much else "It may start when somebody stops a server.",
        "Choose a smaller size or another profile, or tell an administrator.",
        since=since,
    )


def _lacks_more(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> bool:
    """Return whether nodes have GPUs enough, and none of them the rest."""
    enough = [node for node in nodes if node.get(GPU, 0.0) >= asked.get(GPU, 1.0)]
    return bool(enough) and not any(_holds(node, asked) for node in enough)


def _too_much(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Return what is more than any node has for pods; empty if one would do, or none is known."""
    if not nodes or any(_holds(node, asked) for node in nodes):
        return ""
    most = {name: max(node.get(name, 0.0) for node in nodes) for name in asked}
    beyond = [name for name, amount in asked.items() if amount > most[name]]
    told = ", ".join(f"{_shown(name, most[name])} {_NAMES.get(name, name)}" for name in beyond)
    return f"Not even idle a node has {f'more than {told}' if told else 'all of that'}."


def _holds(node: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) >= amount for name, amount in asked.items())


_REFUSAL = re.compile(
    r"(\d+) (Insufficient \S+?|Too many pods|node\(s\)[^,]*?|pod [^,]*?)(?=,|\.(?:\s|$)|$)"
)


def _refusals(message: str) -> Iterator[tuple[str, int]]:
    """Yield the scheduler's reasons, each with the number of nodes that it holds for."""
    reasons = message.split("preemption:")[0]
    for count, reason in _REFUSAL.findall(reasons.partition(": ")[2]):
        yield reason, int(count)


def _refusal_words(reason: str, count: int, asked: Mapping[str, float]) -> str:
    where = "1 node" if count == 1 else f"{count} nodes"
    if reason.startswith("Insufficient "):
        resource = reason.removeprefix("Insufficient ")
        name, amount = _amount(resource, asked.get(resource))
        return f"{where} lacks {name}{amount}" if count == 1 else f"{where} lack {name}{amount}"
    if "untolerated taint" in reason:
        taint = match[1] if (match := re.search(r"\{([^:}]*)", reason)) else "unknown"
        return f"{where} reserved for others (taint {taint})"
    if "affinity/selector" in reason or "node selector" in reason:
        return f"{where} not of the kind that the profile wants (node selector or affinity)"
    return f"{where}: {reason.removeprefix('node(s) ')}"


_NAMES = {"cpu": "cores", "memory": "memory", "ephemeral-storage": "disk", GPU: f"GPUs ({GPU})"}


def _amount(resource: str, asked: float | None) -> tuple[str, str]:
    told = "" if asked is None else f", {_shown(resource, asked)} asked"
    return _NAMES.get(resource, resource), told


def _shown(resource: str, amount: float) -> str:
    return memory(amount) if resource in ("memory", "ephemeral-storage") else f"{amount:g}"


def _container_in_trouble(pod: Pod, around: Surroundings) -> Finding | None:
    for status in _statuses(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        last = status.get("lastState", {}).get("terminated")
        now = status.get("state", {}).get("terminated")
        if reason in _PULL_FAILURES:
            return _not_pulled(status["image"], reason, waiting.get("message", ""), around)
        if reason == "CrashLoopBackOff":
            return _crashed(pod, status["name"], last or {}, is_final=True)
        if reason in _CREATION_FAILURES:
            message = waiting.get("message", reason)
            return Finding(
                "container",
                f"The server cannot be started: {_shortened(message)}",
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
        limit = _limit(pod, container, "memory")
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
            f"The image {image} cannot be fetched ({_shortened(told) or reason}).",
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
    """Tell what is done for a container that has a node and no process."""
    for status in _statuses(pod):
        if "waiting" not in status.get("state", {}):
            continue
        mine = [event for event in around.events if _is_about(event, pod)]
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
                f"{image} is being fetched{_on_node(pod, 'to')}.",
                "The first start with an image takes this long, later ones on this node do not.",
                in_vain=f"{image} was not fetched{_on_node(pod, 'to')} in time.",
                progress=40,
                since=_time(pulling.get("lastTimestamp") or pulling.get("eventTime")),
            )
        if stuck and not done:
            return Finding(
                "volume",
                f"The storage cannot be mounted: {_shortened(stuck['message'])}",
                "It is tried again by itself; if it lasts, tell an administrator.",
            )
    return None


def asked_for(pod: Pod) -> dict[str, float]:
    """Return what the containers of a pod ask for, in cores, bytes and pieces."""
    total: dict[str, float] = {}
    for container in pod["spec"].get("containers") or ():
        resources = container.get("resources") or {}
        for name, amount in (
            (resources.get("limits") or {}) | (resources.get("requests") or {})
        ).items():
            total[name] = total.get(name, 0.0) + quantity(str(amount))
    return total


def pulled_size(message: str) -> tuple[str, int] | None:
    """Return image and bytes from an event's message that tells of both."""
    match = re.search(r'pulled image "([^"]+)".*Image size: (\d+) bytes', message)
    return (match[1], int(match[2])) if match else None


def _condition(pod: Pod, kind: str) -> Mapping[str, Any]:
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == kind:
            return dict(condition)
    return {}


def _statuses(pod: Pod) -> list[Mapping[str, Any]]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _state(pod: Pod, container: str) -> Mapping[str, Any]:
    return next((status for status in _statuses(pod) if status["name"] == container), {})


def _limit(pod: Pod, container: str, resource: str) -> float | None:
    for one in pod["spec"].get("containers") or ():
        limits = (one.get("resources") or {}).get("limits") or {}
        if one["name"] == container and resource in limits:
            return quantity(str(limits[resource]))
    return None


def _is_about(event: Mapping[str, Any], pod: Pod) -> bool:
    return bool(event["involvedObject"].get("uid") == pod["metadata"].get("uid"))


def _on_node(pod: Pod, word: str = "on") -> str:
    node = pod["spec"].get("nodeName")
    return f" {word} {node}" if node else ""


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


def _shortened(text: str) -> str:
    """Return a foreign text as one line without signs that nobody can see."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


def _last_lines(log: str) -> str:
    lines = [_shortened(line) for line in log.splitlines() if line.strip()]
    text = " | ".join(lines[-_LINES:])
    return text if len(text) <= _LETTERS else f"…{text[1 - _LETTERS :]}"


def _time(stamp: str | None) -> datetime | None:
    return datetime.fromisoformat(stamp) if stamp else None


def _waited(since: datetime, now: datetime) -> str:
    span = _span((now - since).total_seconds())
    return f"Since {since.astimezone(UTC):%H:%M} UTC ({span})."


def _span(seconds: float) -> str:
    minutes = int(seconds) // 60
    return "less than a minute" if minutes < 1 else f"{minutes} min"
