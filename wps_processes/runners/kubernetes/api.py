"""The few requests that are made to the API server; objects are what its JSON holds.

The official client knows how to sign in and to stay signed in; its models, which refuse what a
newer server says, are left out. It is imported when it is needed, for that takes seconds.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from wps_processes.environment import SettingsError
from wps_processes.runners.kubernetes.manifest import COMPONENT

Object = dict[str, Any]
Kind = Literal["job", "pod"]

_SELECTOR = ",".join(f"{name}={value}" for name, value in COMPONENT.items())
_SECONDS = (5.0, 30.0)  # to connect, and without a word
_WATCH_SECONDS = 240
_LOG_LINES = 40
_LOG_BYTES = 16_384
_QUOTA = "exceeded quota"
_ASK_AGAIN = (401, 408, 429)  # an account's token may just be renewed


class Unavailable(Exception):
    """The API server does not answer, or not now: it is asked again later."""


class Refused(Exception):
    """The API server says no, and would do so again.

    Attributes:
        code: HTTP status.
        sentence: what it says.
    """

    def __init__(self, code: int, sentence: str) -> None:
        """Store what it says."""
        super().__init__(f"{code} {sentence}")
        self.code, self.sentence = code, sentence

    @property
    def is_by_quota(self) -> bool:
        """Whether it would say yes when other jobs are over."""
        return self.code == 403 and _QUOTA in self.sentence


class Cluster:
    """The API server, as far as this service's account may use it."""

    def __init__(self, namespace: str) -> None:
        """Use the account of this pod or, outside of a cluster, what KUBECONFIG says.

        Raises:
            SettingsError: neither is there.
        """
        from kubernetes import client, config, watch

        configuration = client.Configuration()
        configuration.retries = False  # who asks knows better when to ask again
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(configuration)
            else:
                # the client itself reads the variable once, when it is imported
                config.load_kube_config(os.environ.get("KUBECONFIG"), None, configuration)
        except config.ConfigException as error:
            raise SettingsError(
                f"GEOPORTAL_JOBS_RUN_IN is kubernetes, and no cluster is known: {error}"
            ) from error
        api = client.ApiClient(configuration)
        self._namespace = namespace
        self._jobs, self._pods = client.BatchV1Api(api), client.CoreV1Api(api)
        self._watch: Callable[..., Any] = watch.Watch

    def create(self, manifest: Object) -> Object:
        """Make a Job; one of this name that is there already is ours.

        Raises:
            Unavailable: nothing is known.
            Refused: the server does not take it.
        """
        try:
            return _read(self._jobs.create_namespaced_job, self._namespace, manifest)
        except Refused as refusal:
            if refusal.code != 409:
                raise
        found = self.read(manifest["metadata"]["name"])
        if found is None:  # it has gone meanwhile
            raise Unavailable("a Job of this name is just being deleted")
        return found

    def read(self, name: str) -> Object | None:
        """Return a Job, None if there is none of this name.

        Raises:
            Unavailable, Refused: nothing is known.
        """
        try:
            return _read(self._jobs.read_namespaced_job, name, self._namespace)
        except Refused as refusal:
            if refusal.code != 404:
                raise
        return None

    def delete(self, name: str) -> None:
        """Delete a Job and its pod, if they are there.

        Raises:
            Unavailable, Refused: it may still be there.
        """
        delete = self._jobs.delete_namespaced_job
        try:
            # the default would leave the pod running
            _read(delete, name, self._namespace, propagation_policy="Background")
        except Refused as refusal:
            if refusal.code != 404:
                raise

    def log_tail(self, pod: str) -> str:
        """Return the end of a pod's log, "" if there is none."""
        try:
            return _asked(
                self._pods.read_namespaced_pod_log, pod, self._namespace,
                tail_lines=_LOG_LINES, limit_bytes=_LOG_BYTES,
            ).decode(errors="replace")  # fmt: skip
        except (Unavailable, Refused):
            return ""

    def listed(self, kind: Kind) -> tuple[list[Object], str]:
        """Return all Jobs or pods of jobs, and the version of this list.

        Raises:
            Unavailable, Refused: nothing is known.
        """
        found = _read(self._lister(kind), self._namespace, label_selector=_SELECTOR)
        return found["items"], found["metadata"]["resourceVersion"]

    def changes(self, kind: Kind, version: str) -> Iterator[tuple[str, Object]]:
        """Yield what happens to them after a version, for some minutes.

        Yields:
            ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        Raises:
            Unavailable: the connection broke.
            Refused: with code 410, what happened after this version is no longer known.
        """
        stream: Callable[..., Iterator[Object]] = self._watch(return_type="object").stream
        with _in_our_words():
            for event in stream(
                self._lister(kind), self._namespace, label_selector=_SELECTOR,
                resource_version=version, allow_watch_bookmarks=True,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=(_SECONDS[0], _WATCH_SECONDS + _SECONDS[1]),
            ):  # fmt: skip
                yield event["type"], event["raw_object"]

    def _lister(self, kind: Kind) -> Callable[..., Any]:
        if kind == "job":
            return self._jobs.list_namespaced_job
        return self._pods.list_namespaced_pod


def _read(request: Callable[..., Any], *arguments: Any, **asked: Any) -> Object:
    """Return the object with which the server answers."""
    content = _asked(request, *arguments, **asked)
    try:
        return dict(json.loads(content))
    except ValueError as error:  # a gateway's page, say
        raise Unavailable("the API server answers with something else than JSON") from error


def _asked(request: Callable[..., Any], *arguments: Any, **asked: Any) -> bytes:
    with _in_our_words():
        answer = request(*arguments, _preload_content=False, _request_timeout=_SECONDS, **asked)
        return bytes(answer.data)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn what the client raises into one of two: ask again, or do not."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        code = int(error.status or 0)
        sentence = _sentence(error)
        if code in _ASK_AGAIN or code >= 500 or not code:
            raise Unavailable(f"{code} {sentence}") from error
        raise Refused(code, sentence) from error
    except (HTTPError, OSError) as error:
        raise Unavailable(str(error)) from error


def _sentence(error: Any) -> str:
    """Return the message of a Status object, else whatever was said."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or error)
