"""What a pod says of itself, read from its JSON as Kubernetes writes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kube.quantities import quantity

Pod = Mapping[str, Any]


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


def condition_of(pod: Pod, kind: str) -> Mapping[str, Any]:
    """Return one of a pod's conditions, such as PodScheduled; empty if there is none."""
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == kind:
            return dict(condition)
    return {}


def statuses(pod: Pod) -> list[Mapping[str, Any]]:
    """Return what is known of its containers, of those that come first too, in their order."""
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def status_of(pod: Pod, container: str) -> Mapping[str, Any]:
    """Return what is known of one container; empty if nothing is."""
    return next((status for status in statuses(pod) if status["name"] == container), {})


def limit_of(pod: Pod, container: str, resource: str) -> float | None:
    """Return the most that a container may take, in cores, bytes or pieces; None if no limit."""
    for one in pod["spec"].get("containers") or ():
        limits = (one.get("resources") or {}).get("limits") or {}
        if one["name"] == container and resource in limits:
            return quantity(str(limits[resource]))
    return None


def is_about(event: Mapping[str, Any], pod: Pod) -> bool:
    """Return whether an event tells of this very pod."""
    return bool(event["involvedObject"].get("uid") == pod["metadata"].get("uid"))


def on_node(pod: Pod, word: str = "on") -> str:
    """Return where it is, as the end of a sentence; empty if it has no node."""
    node = pod["spec"].get("nodeName")
    return f" {word} {node}" if node else ""


def moment(stamp: str | None) -> datetime | None:
    """Return when something was, if that is said."""
    return datetime.fromisoformat(stamp) if stamp else None
