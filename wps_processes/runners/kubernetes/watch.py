"""What the cluster says of our Jobs and their pods: one list and watch for each of both.

However many jobs run, the API server is asked by two threads. A watch goes on where the last one
ended; if the server no longer knows what happened since, all is listed anew.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from wps_processes.runners.kubernetes.api import Cluster, Kind, Object, Refused, Unavailable
from wps_processes.runners.kubernetes.manifest import ATTEMPT, JOB, job_name, prefix_of

LOGGER = logging.getLogger(__name__)
GONE = "geoportal/gone"
"""Stands in the metadata of a pod that was deleted: how it ended is still told."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_GONE = 410
_PART = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class JobView:
    """What is known of a Job.

    Attributes:
        job: the Job, None if it is not there.
        pod: its pod, or that of one of its parts, as last seen; None if there never was one.
    """

    job: Object | None = None
    pod: Object | None = None


class Watching:
    """Knows all our Jobs and their pods, and wakes whoever follows one."""

    def __init__(self, cluster: Cluster) -> None:
        """Watch this cluster from `start` on."""
        self._cluster = cluster
        self._lock = threading.Lock()
        self._known: dict[Kind, dict[str, Object]] = {kind: {} for kind in get_args(Kind)}
        self._followed: dict[str, threading.Event] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start to watch; the API server need not answer yet."""
        for kind in get_args(Kind):
            threading.Thread(
                target=self._watch, args=(kind,), name=f"watch {kind}s", daemon=True
            ).start()

    def stop(self) -> None:
        """Watch no longer, and wake all."""
        self._stopping.set()
        with self._lock:
            for woken in self._followed.values():
                woken.set()

    @contextmanager
    def following(self, name: str) -> Iterator[threading.Event]:
        """Yield an event that is set on news of a Job; its last pod is remembered."""
        woken = threading.Event()
        with self._lock:
            self._followed[name] = woken
        try:
            yield woken
        finally:
            with self._lock:
                if self._followed.get(name) is woken:  # else a later one follows it
                    del self._followed[name]
                    pods = self._known["pod"]
                    for key in [key for key in pods if _follower(key) == name]:
                        if GONE in pods[key]["metadata"]:
                            del pods[key]

    def view(self, name: str, part: int | None = None) -> JobView:
        """Return what is known of a Job, and of its pod, or of that of a part."""
        key = name if part is None else _part_of(name, part)
        with self._lock:
            return JobView(self._known["job"].get(name), self._known["pod"].get(key))

    def learn(self, job: Object) -> None:
        """Record a Job that was just created or read, before the watch reports it."""
        self._note("job", "ADDED", job)

    def names_of(self, job_id: str) -> list[str]:
        """Return the names of the Jobs for all attempts at a job."""
        with self._lock:
            jobs = list(self._known["job"].items())
        return [name for name, job in jobs if job["metadata"]["labels"].get(JOB) == job_id]

    def wake(self, job_id: str) -> bool:
        """Wake whoever follows an attempt at a job; False if nobody does."""
        with self._lock:
            followed = [
                woken
                for name, woken in self._followed.items()
                if name.startswith(prefix_of(job_id))
            ]
        for woken in followed:
            woken.set()
        return bool(followed)

    def _watch(self, kind: Kind) -> None:
        version, pause = "", _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                if not version:
                    version = self._list(kind)
                pause = _FIRST_PAUSE  # it answers
                for type_, thing in self._cluster.changes(kind, version):
                    version = thing["metadata"]["resourceVersion"]
                    if type_ != "BOOKMARK":
                        self._note(kind, type_, thing)
                    if self._stopping.is_set():
                        return
            except Unavailable as error:
                LOGGER.warning("the API server does not answer: %s", error)
            except Refused as refusal:
                version = ""
                if refusal.code == _GONE:
                    continue
                LOGGER.error("the API server does not show %ss of jobs: %s", kind, refusal)
            else:
                continue  # the server ends each watch after some minutes
            self._stopping.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _list(self, kind: Kind) -> str:
        things, version = self._cluster.listed(kind)
        listed = {_name(kind, thing) for thing in things}
        with self._lock:
            missing = [
                thing for name, thing in self._known[kind].items()
                if name not in listed and GONE not in thing["metadata"]
            ]  # fmt: skip
        for thing in missing:
            self._note(kind, "DELETED", thing)
        for thing in things:
            self._note(kind, "MODIFIED", thing)
        return version

    def _note(self, kind: Kind, type_: str, thing: Object) -> None:
        name = _name(kind, thing)
        with self._lock:
            known, woken = self._known[kind], self._followed.get(_follower(name))
            if type_ != "DELETED":
                known[name] = thing
            elif kind == "pod" and woken is not None:
                known[name] = thing | {"metadata": thing["metadata"] | {GONE: "true"}}
            else:
                known.pop(name, None)
        if woken is not None:
            woken.set()


def _name(kind: Kind, thing: Object) -> str:
    """Return the name of the Job that an object is, or that a pod belongs to, and its part."""
    if kind == "job":
        return str(thing["metadata"]["name"])
    labels = thing["metadata"]["labels"]
    name = job_name(labels.get(JOB), labels.get(ATTEMPT))
    return _part_of(name, labels[_PART]) if _PART in labels else name


def _part_of(name: str, part: int | str) -> str:
    return f"{name}/{part}"


def _follower(name: str) -> str:
    """Return the name by which the Job of a pod is followed."""
    return name.partition("/")[0]
