"""What the pretended API keeps: objects with versions, a history to watch, and their checks."""

import asyncio
import copy
import itertools
import re
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kubernetes_validate

Object = dict[str, Any]

RELEASE = "1.34"
"""The release of Kubernetes whose schemas hold."""
KINDS = {
    "pods": ("v1", "Pod"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
    "secrets": ("v1", "Secret"),
    "configmaps": ("v1", "ConfigMap"),
    "services": ("v1", "Service"),
    "events": ("v1", "Event"),
    "nodes": ("v1", "Node"),
    "jobs": ("batch/v1", "Job"),
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_IN = re.compile(r"(\S+) (in|notin) \(([^)]*)\)")
_UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Refused(Exception):  # named for what the API does
    """The API says no; becomes a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    @property
    def status(self) -> Object:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


@dataclass(frozen=True)
class Change:
    """One line of the history that watchers read."""

    version: int
    type: str
    resource: str
    object: Object


class Objects:
    """The objects of one cluster, by resource, namespace and name."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], Object] = {}
        self._versions = itertools.count(1)
        self._watchers: set[asyncio.Event] = set()
        self.version = 0
        self.history: list[Change] = []

    def add(self, resource: str, namespace: str, thing: Object) -> Object:
        """Keep a new object, filled in as a server does."""
        meta = thing.setdefault("metadata", {})
        if "name" not in meta and "generateName" in meta:
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        thing["apiVersion"], thing["kind"] = KINDS[resource]
        if resource != "nodes":
            meta["namespace"] = namespace
        if resource != "events":  # ours, and many
            check(resource, thing)
        if (resource, namespace, meta["name"]) in self._kept:
            text = f'{resource} "{meta["name"]}" already exists'
            raise Refused(409, "AlreadyExists", text)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        self._kept[resource, namespace, meta["name"]] = thing
        return self._note("ADDED", resource, thing)

    def changed(self, resource: str, thing: Object) -> Object:
        """Tell watchers that an object has changed; one that is gone stays gone."""
        if self._kept.get(_key(resource, thing)) is not thing:
            return thing
        return self._note("MODIFIED", resource, thing)

    def remove(self, resource: str, thing: Object) -> None:
        """Forget an object."""
        if self._kept.pop(_key(resource, thing), None) is not None:
            self._note("DELETED", resource, thing)

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return an object, or refuse with 404."""
        try:
            return self._kept[resource, namespace, name]
        except KeyError:
            raise Refused(404, "NotFound", f'{resource} "{name}" not found') from None

    def find(self, resource: str, namespace: str | None = None) -> list[Object]:
        """Return all objects of a resource, of one namespace or of all."""
        return [
            thing
            for (kind, space, _), thing in self._kept.items()
            if kind == resource and namespace in (None, space)
        ]

    async def follow(self, after: int, seconds: float) -> "asyncio.Queue[Change]":
        """Return what was noted after a version, waiting for it at most so long."""
        woken = asyncio.Event()
        self._watchers.add(woken)
        try:
            if self.version <= after:
                async with asyncio.timeout(seconds):
                    await woken.wait()
        except TimeoutError:
            pass
        finally:
            self._watchers.discard(woken)
        queue: asyncio.Queue[Change] = asyncio.Queue()
        for change in self.history[after:]:
            queue.put_nowait(change)
        return queue

    def wake(self) -> None:
        """Let all who wait look again."""
        for watcher in self._watchers:
            watcher.set()

    def _note(self, type_: str, resource: str, thing: Object) -> Object:
        self.version = next(self._versions)
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(Change(self.version, type_, resource, copy.deepcopy(thing)))
        self.wake()
        return thing


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quantity(text: Any) -> float:
    """Return a quantity such as 500m or 8Gi in cores, bytes or pieces."""
    number, unit = re.fullmatch(r"([0-9.e]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS.get(unit, 1.0)


def requests_of(pod: Object) -> dict[str, float]:
    """Return what the containers of a pod ask for together; a limit alone is also a request."""
    total: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
        for name, amount in asked.items():
            total[name] = total.get(name, 0.0) + quantity(amount)
    return total


def selected(thing: Object, labels: str, fields: str) -> bool:
    """Return whether an object meets a labelSelector and a fieldSelector."""
    has = thing["metadata"].get("labels") or {}
    found = (_meets(term, has) for term in _terms(labels))
    return all(found) and all(_field_meets(term, thing) for term in _terms(fields))


def _terms(selector: str) -> Iterator[str]:
    yield from (term.strip() for term in re.split(r",(?![^(]*\))", selector) if term.strip())


def _meets(term: str, has: dict[str, str]) -> bool:
    if match := _IN.fullmatch(term):
        listed = {value.strip() for value in match[3].split(",")}
        return (has.get(match[1]) in listed) == (match[2] == "in")
    if "!=" in term:
        name, value = term.split("!=")
        return has.get(name) != value
    if "=" in term:
        name, value = re.split("==?", term)
        return has.get(name) == value
    return term[1:] not in has if term.startswith("!") else term in has


def _field_meets(term: str, thing: Object) -> bool:
    path, sign, value = re.fullmatch(r"([^=!]+)(!=|==?)(.*)", term).groups()  # type: ignore[union-attr]
    found: Any = thing
    for part in path.split("."):
        found = (found or {}).get(part)
    return (str(found or "") == value) == (sign != "!=")


def check(resource: str, thing: Object) -> None:
    """Refuse what the schema, or the rules that stand in no schema, forbid."""
    try:
        kubernetes_validate.validate(thing, RELEASE, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(str(part) for part in error.path)
        raise _invalid(thing, f"{place}: {error.message}") from error
    for fault in _faults(resource, thing):
        raise _invalid(thing, fault)


def _invalid(thing: Object, fault: str) -> Refused:
    kind, name = thing["kind"], thing["metadata"].get("name", "")
    return Refused(422, "Invalid", f'{kind} "{name}" is invalid: {fault}')


def _faults(resource: str, thing: Object) -> Iterator[str]:
    meta = thing["metadata"]
    if not _NAME.fullmatch(meta.get("name", "")):
        yield f'metadata.name: Invalid value: "{meta.get("name")}": no RFC 1123 subdomain'
    for name, value in (meta.get("labels") or {}).items():
        if not _LABEL.fullmatch(value):
            yield f'metadata.labels: Invalid value: "{value}": no label value, for {name}'
    if resource == "pods":
        yield from _faults_of_pod(thing["spec"], "spec")
    if resource == "jobs":
        template = thing["spec"]["template"]["spec"]
        if template.get("restartPolicy") not in ("Never", "OnFailure"):
            place = "spec.template.spec.restartPolicy"
            yield f'{place}: Required value: valid values: "OnFailure", "Never"'
        yield from _faults_of_pod(template, "spec.template.spec")


def _faults_of_pod(spec: Object, where: str) -> Iterator[str]:
    if len(spec.get("containers") or ()) != 1:
        yield f"{where}.containers: this cluster pretends one container a pod"
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            place = f"{where}.{kind}[{index}]"
            mounts = container.get("volumeMounts") or ()
            for number, mount in enumerate(mounts):
                if mount["name"] not in volumes:
                    yield f'{place}.volumeMounts[{number}].name: Not found: "{mount["name"]}"'
                if (
                    ".." in mount.get("subPath", "").split("/")
                    or mount.get("subPath", "")[:1] == "/"
                ):
                    yield f"{place}.volumeMounts[{number}].subPath: must be a relative path"
            paths = [mount["mountPath"] for mount in mounts]
            if len(set(paths)) < len(paths):
                yield f"{place}.volumeMounts: mountPath: must be unique"
            resources = container.get("resources") or {}
            limits = resources.get("limits") or {}
            for name, amount in (resources.get("requests") or {}).items():
                if name in limits and quantity(amount) > quantity(limits[name]):
                    yield f"{place}.resources.requests: must be less than or equal to {name} limit"


def _key(resource: str, thing: Object) -> tuple[str, str, str]:
    meta = thing["metadata"]
    return resource, meta.get("namespace", ""), meta["name"]
