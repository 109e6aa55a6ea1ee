"""How any image is entered: looked at from within, then started.

An init container of the same image, with the same user, home directory and GPUs, runs
`entry_check.sh` and ends with one sentence. The kubelet carries it in the pod's status, so that
the hub needs no right to read logs, and no ConfigMap; the server's own process stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupyterhub
from kubernetes_asyncio.client import V1Container, V1EnvVar

from kube.reasons import NEVER_RAN

NAME = "entry-check"
# a foreign image's own entry point is unknown: tini where it is, to end what kernels leave behind
START = ["/bin/sh", "-c", 'command -v tini >/dev/null && exec tini -g -- "$@"; exec "$@"', "start"]

_SCRIPT = Path(__file__).with_name("entry_check.sh")
_MESSAGE = "/dev/termination-log"
NO_GPU = V1EnvVar(name="NVIDIA_VISIBLE_DEVICES", value="void")
"""Of containers that are given no GPU: without it an image could ask for all that its node has."""


def container(server: V1Container, gpus: int, home: str) -> V1Container:
    """Return the init container that looks at the image of a server's container.

    Args:
        server: the server's container.
        gpus: how many of them it has.
        home: the home directory.
    """
    return V1Container(
        name=NAME,
        image=server.image,
        image_pull_policy=server.image_pull_policy,
        command=["/bin/sh", "-c"],
        # $(NAME) would mean a variable to Kubernetes if there were one; there is only HOME
        args=[
            _SCRIPT.read_text(encoding="utf-8"),
            NAME,
            jupyterhub.__version__,
            str(gpus),
            _MESSAGE,
        ],
        # nothing of the server's environment: it holds its token
        env=[V1EnvVar(name="HOME", value=home), *([] if gpus else [NO_GPU])],
        resources=server.resources,  # one after the other, so nothing is asked for twice
        security_context=server.security_context,
        volume_mounts=server.volume_mounts,
        termination_message_path=_MESSAGE,
        termination_message_policy="FallbackToLogsOnError",
    )


@dataclass(frozen=True)
class Verdict:
    """What the entry check found.

    Attributes:
        passed: whether a server can be started in the image.
        sentence: for who starts it; from the image, so not to be trusted as markup.
    """

    passed: bool
    sentence: str


def verdict(pod: Mapping[str, Any]) -> Verdict | None:
    """Read the entry check's sentence from a pod's status; None as long as there is none."""
    for status in pod.get("status", {}).get("initContainerStatuses") or ():
        if status["name"] == NAME:
            return _verdict(status)
    return None


def _verdict(status: Mapping[str, Any]) -> Verdict | None:
    ended = _ended(status, "state") or _ended(status, "lastState")  # a failed one is tried again
    if ended is None:
        return None
    if ended.get("reason") in NEVER_RAN:
        return Verdict(
            False,
            f"The image has no /bin/sh that runs ({_brief(ended)}): take one with a shell, such "
            "as one FROM geoportal/notebook.",
        )
    if ended.get("exitCode") == 0:
        return Verdict(True, _brief(ended) or "The image was looked at.")
    if ended.get("reason") == "OOMKilled":
        return Verdict(
            False,
            "The look into the image needed more memory than the profile gives: choose one with "
            "more memory.",
        )
    reason = f"{ended.get('reason') or 'Error'}, exit code {ended.get('exitCode')}"
    return Verdict(
        False,
        _brief(ended)
        or f"The image could not be looked at ({reason}): start again; if it happens again, take "
        "another image or tell an administrator.",
    )


def _ended(status: Mapping[str, Any], which: str) -> Mapping[str, Any] | None:
    ended: Mapping[str, Any] | None = (status.get(which) or {}).get("terminated")
    return ended


def _brief(ended: Mapping[str, Any]) -> str:
    words = " ".join(str(ended.get("message") or "").split())
    return "".join(c for c in words if c.isprintable())[:400]
