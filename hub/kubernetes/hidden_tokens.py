"""A server's token beside its pod, not in it: who may list pods, as the WPS may, reads none.

The variables that hold it refer to a Secret, which Kubernetes removes with the pod, its owner.
"""

import base64

from kubernetes_asyncio.client import (
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1ObjectMeta,
    V1OwnerReference,
    V1Pod,
    V1Secret,
    V1SecretKeySelector,
)

_KEY = "token"


def hide(container: V1Container, token: str, name: str) -> None:
    """Replace a token in variables of a container by a reference to the Secret of this name."""
    source = V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name=name, key=_KEY))
    container.env = [
        V1EnvVar(name=given.name, value_from=source) if given.value == token else given
        for given in container.env or ()
    ]


def secret(name: str, token: str, pod: V1Pod) -> V1Secret:
    """Return the Secret with the token of a pod that was made.

    It can only be made after the pod, whose uid names the owner; until then the kubelet waits.
    """
    owner = V1OwnerReference(
        api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
    )
    about = V1ObjectMeta(name=name, labels=pod.metadata.labels, owner_references=[owner])
    content = base64.b64encode(token.encode()).decode()
    return V1Secret(metadata=about, type="Opaque", immutable=True, data={_KEY: content})
