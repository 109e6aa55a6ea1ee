"""Why no node takes a pod, from the scheduler's condition and what the nodes have."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from hub.kubernetes.diagnosis.findings import Finding, Surroundings, shortened
from kube.pods import Pod, asked_for, condition_of, moment
from kube.quantities import GPU, memory


def unscheduled(pod: Pod, around: Surroundings) -> Finding | None:
    """Return what keeps a pod without a node; None if nothing is said to."""
    condition = condition_of(pod, "PodScheduled")
    if condition.get("status") != "False":
        return None
    message, since = condition.get("message", ""), moment(condition.get("lastTransitionTime"))
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
    sentence = f"No node fits your server: {'; '.join(words) or shortened(message)}."
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
