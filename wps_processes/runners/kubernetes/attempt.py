"""One attempt at a job: its Job is made unless it is there, followed, and deleted if need be."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from landcover.errors import LandcoverError
from wps_processes.jobs import folder as job_folder
from wps_processes.jobs.ledger import DISMISSED, SUCCESSFUL, Job, Ledger, Outcome
from wps_processes.jobs.published import by_identifier
from wps_processes.runners.fetching import Fetcher
from wps_processes.runners.kubernetes import conditions
from wps_processes.runners.kubernetes.api import Cluster, Object, Refused, Unavailable
from wps_processes.runners.kubernetes.callbacks import RunTokens
from wps_processes.runners.kubernetes.manifest import (
    RETRIES,
    check_allowed,
    given,
    manifest_of,
    name_of,
    parts_manifest_of,
    parts_name_of,
)
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.runners.kubernetes.watch import JobView, Watching
from wps_processes.runners.messages import NO_ANSWER
from wps_processes.runners.needs import needed_by
from wps_processes.runners.worker import timed

LOGGER = logging.getLogger(__name__)
NO_API = "waiting for the cluster, whose API does not answer"
NO_QUOTA = "waiting for room in the cluster's quota"
DELETED = "the job was deleted in the cluster, not by this service: start it again"
NOT_ADMITTED = (
    "the cluster does not admit the job: ask an administrator, the service's log says more"
)
NOT_YET_ADMITTED = "waiting for the cluster, which does not admit the job yet"

WORTH_PARTS = 256 * 2**20
"""Bytes of a job's files from which on further pods are worth their start."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_SECONDS_BETWEEN_LOOKS = 60.0  # if nothing is heard
_SECONDS_FOR_THE_OTHER = 15.0  # Job and pod are watched by two, and one may be behind
_SECONDS_TO_END = 60.0
_GIVE_UP_SECONDS = 300.0
_ATTEMPTS = 2  # of a job whose node was emptied, say
_UPGRADE_SECONDS = 900.0  # new pods of the service may have to wait for their image
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RunnerContext:
    """By what jobs are run.

    Attributes:
        root: of the storage tree, here and in the pods.
        cluster: where Jobs are made.
        watching: knows the Jobs and pods there are.
        settings: how.
        tokens: by which pods report.
        fetcher: of what others shared, if there is anything.
        patience: seconds after which a pod that cannot start is given up.
        upgrade: seconds for which a Job that is refused is asked for again.
        stopping: set when the service ends.
    """

    root: Path
    cluster: Cluster
    watching: Watching
    settings: ClusterSettings
    tokens: RunTokens
    fetcher: Fetcher | None = None
    patience: float = _GIVE_UP_SECONDS
    upgrade: float = _UPGRADE_SECONDS
    stopping: threading.Event = field(default_factory=threading.Event)


class Attempt:
    """One attempt at a job, followed by one thread."""

    def __init__(
        self, context: RunnerContext, job: Job, ledger: Ledger, woken: threading.Event
    ) -> None:
        """Follow this job to its end; `woken` is set whenever there may be news."""
        self._context, self._job, self._ledger, self._woken = context, job, ledger, woken
        self._needs = given(needed_by(job), context.settings)
        self._name = name_of(job)
        self._said = ""

    def run_to_end(self) -> Outcome:
        """Make the Job, unless it is there already, and return how the job ended.

        Raises:
            LandcoverError: it needs what no job may have, or what cannot be fetched.
        """
        sentence = self._make() or self._follow()
        if self._context.stopping.is_set():
            return Outcome(again=True)  # written by nobody: the next service goes on following
        known = self._known()
        if known is None or not known.is_same_attempt(self._job):
            return Outcome(error=sentence)  # another service follows it, and this is not written
        if known.state == SUCCESSFUL:
            if self._context.fetcher is not None:  # of other ends, settling removes it
                self._context.fetcher.clear(self._job)
            return Outcome(outputs=known.outputs)
        if known.state == DISMISSED:
            self._end()
        elif not known.is_over:
            self._write_log(sentence)
            disruption = conditions.disruption(self._context.watching.view(self._name))
            if disruption is not None and self._job.attempt < _ATTEMPTS:
                return Outcome(error=disruption, again=True)
        return Outcome(error=known.error or sentence)

    def _make(self) -> str | None:
        """Make the Job unless it is there; return why that cannot be, None if it is there."""
        try:
            found = self._persistently(lambda: self._context.cluster.read(self._name))
            if found is None and self._is_running_here():
                check_allowed(self._job, self._needs, self._context.settings)
                self._prepare()
                failed = self._compute_parts()
                if failed is not None:
                    return failed
                found = self._persistently(self._create, patience=self._context.upgrade)
        except Refused as refusal:
            LOGGER.error("the cluster refuses a Job: %s", refusal, extra=self._who)
            return NOT_ADMITTED
        if found is not None:
            self._context.watching.learn(found)
        return None

    def _create(self) -> Object:
        token = self._context.tokens.of(self._job)
        made = manifest_of(
            self._job, self._needs, self._context.settings, self._context.root, token
        )
        return self._context.cluster.create(made)

    def _compute_parts(self) -> str | None:
        """Let pods compute the parts of a large job; return why that failed, None if it did not.

        Raises:
            Refused: the cluster does not take their Job.
        """
        if self._context.settings.parts < 2 or not self._is_worth_parts():
            return None
        name = parts_name_of(self._job)
        with self._context.watching.following(name) as woken:
            found = self._persistently(lambda: self._context.cluster.read(name))
            if found is None and self._is_running_here():
                found = self._persistently(self._create_parts, patience=self._context.upgrade)
            if found is not None:
                self._context.watching.learn(found)
            failed = self._follow_parts(name, woken)
        if failed is not None or not self._is_running_here():
            self._end(name)
        return failed

    def _is_worth_parts(self) -> bool:
        """Return whether the job falls into parts, and its files take long enough to read."""
        operation = by_identifier(self._job.operation)
        if any(declared.kind == "folder" for declared in operation.inputs):
            return False  # how long samples are learned from does not follow from their size
        storage = job_folder.storage_of(self._job, self._context.root)
        size = 0
        with suppress(LandcoverError, OSError):  # its pod says so
            for declared in operation.inputs:
                for name in declared.paths_in(self._job.inputs.get(declared.name)):
                    with storage.readable(name) as path:
                        size += path.stat().st_size
        return self._needs.parts and not self._needs.gpus and size >= WORTH_PARTS

    def _create_parts(self) -> Object:
        tokens = [self._context.tokens.of(self._job, number) for number in self._parts]
        made = parts_manifest_of(
            self._job, self._needs, self._context.settings, self._context.root, tokens
        )
        return self._context.cluster.create(made)

    def _follow_parts(self, name: str, woken: threading.Event) -> str | None:
        """Wait until all parts are sealed; return why they are not, None if they are."""
        stuck = None  # since when
        while self._is_running_here():
            woken.clear()
            view = self._view_of_parts(name)
            ended = conditions.parts_ending(view, self._needs, RETRIES + 1)
            if ended is not None:
                return ended or None
            if view.job is None and not self._is_there(name):
                return DELETED
            obstacle = conditions.obstacle(view)
            now = time.monotonic()
            stuck = (stuck or now) if obstacle else None
            if obstacle and (obstacle.is_final or now - (stuck or now) > self._context.patience):
                return obstacle.sentence
            self._say_of_parts(view)
            woken.wait(1.0 if stuck else _SECONDS_BETWEEN_LOOKS)
        return None

    def _view_of_parts(self, name: str) -> JobView:
        """Return the Job with the pod of the part that failed, else of the first."""
        failed = conditions.failed_part(self._context.watching.view(name))
        return self._context.watching.view(name, failed)

    def _say_of_parts(self, view: JobView) -> None:
        """Report how many pods are done; the joining is the rest."""
        if not conditions.are_parts_started(view):
            self._say(conditions.waiting(view, self._needs))
            return
        done, of = conditions.parts_done(view), self._context.settings.parts
        self._say(f"computing in parts, {done} of {of} done", 90 * done // of)

    def _prepare(self) -> None:
        """Make the folders that the pod mounts, for the kubelet would make them root's; fetch."""
        job, root = self._job, self._context.root
        with job_folder.opened(job, root):
            pass
        for folder in job_folder.storage_of(job, root).roots():
            folder.mkdir(parents=True, exist_ok=True)
        if job.attempt > 1:
            job_folder.remove_drafts(job, root)
        if self._context.fetcher is not None:
            self._context.fetcher.fetch(job, self._ledger, lambda *_: not self._is_running_here())

    def _follow(self) -> str:
        """Wait until the job is over, or can be nothing else; return what is seen of that."""
        ended = stuck = None  # since when
        while self._is_running_here():
            self._woken.clear()
            view = self._context.watching.view(self._name)
            now = time.monotonic()
            if view.job is None and not self._is_there():
                return self._as_seen(view) if conditions.is_ended(view) else DELETED
            if conditions.is_ended(view):
                ended = ended or now
                # the pod tells before it ends: if the ledger does not know by now, it never will
                if conditions.is_confirmed(view) or now - ended > _SECONDS_FOR_THE_OTHER:
                    return self._as_seen(view) if self._is_running_here() else ""
            obstacle = conditions.obstacle(view)
            stuck = (stuck or now) if obstacle else None
            if obstacle and (obstacle.is_final or now - (stuck or now) > self._context.patience):
                self._end()
                return obstacle.sentence
            self._say(conditions.waiting(view, self._needs))
            self._woken.wait(1.0 if ended or stuck else _SECONDS_BETWEEN_LOOKS)
        return ""

    def _as_seen(self, view: JobView) -> str:
        """Return the sentence for a job that ended without telling how; its pod's log is kept."""
        if view.pod is not None:
            words = self._context.cluster.log_tail(view.pod["metadata"]["name"])
            self._write_log(*words.splitlines())
        return conditions.ending(view, self._needs) or NO_ANSWER

    def _is_there(self, name: str = "") -> bool:
        """Read the Job itself: the watch may be behind."""
        try:
            found = self._persistently(lambda: self._context.cluster.read(name or self._name))
        except Refused as refusal:
            LOGGER.error("the cluster does not show a Job: %s", refusal, extra=self._who)
            return True
        if found is not None:
            self._context.watching.learn(found)
        return found is not None or not self._is_running_here()

    def _end(self, name: str = "") -> None:
        """Delete the Job, and wait until its pods write no more."""
        name = name or self._name
        with suppress(Refused):
            self._persistently(lambda: self._context.cluster.delete(name), lambda: True)
        deadline = time.monotonic() + _SECONDS_TO_END
        while not self._context.stopping.is_set() and time.monotonic() < deadline:
            views = [self._context.watching.view(name, part) for part in (None, *self._parts)]
            if all(view.pod is None or conditions.is_ended(view) for view in views):
                return
            self._woken.clear()
            self._woken.wait(1.0)

    def _persistently(
        self,
        ask: Callable[[], Answer],
        goes_on: Callable[[], bool] | None = None,
        patience: float = 0.0,
    ) -> Answer | None:
        """Retry until the API server answers; None if nobody waits for it any more.

        Args:
            ask: what to ask.
            goes_on: whether somebody still waits; by default for as long as the job runs.
            patience: seconds for which a no is not taken for an answer.

        Raises:
            Refused: it says no.
        """
        pause, refused = _FIRST_PAUSE, None  # since when
        while (goes_on or self._is_running_here)() and not self._context.stopping.is_set():
            try:
                return ask()
            except Unavailable as error:
                LOGGER.warning("the API server does not answer: %s", error, extra=self._who)
                self._say(NO_API)
                refused = None
            except Refused as refusal:
                now = time.monotonic()
                if refusal.is_by_quota:  # others' jobs end, and this one was accepted
                    self._say(NO_QUOTA)
                    refused = None
                elif now - (refused := refused or now) < patience:
                    # during an upgrade the admission policy may know other images than we do
                    LOGGER.warning("the cluster refuses a Job: %s", refusal, extra=self._who)
                    self._say(NOT_YET_ADMITTED)
                else:
                    raise
            self._woken.wait(pause)  # or until it is dismissed
            self._woken.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    def _is_running_here(self) -> bool:
        """Whether the job runs, for this service, and the service does not end."""
        known = self._known()
        is_ours = known is not None and known.is_same_attempt(self._job)
        return is_ours and not (known is None or known.is_over or self._context.stopping.is_set())

    def _known(self) -> Job | None:
        """Return the job as it is now; a database may be away for a while, its Job goes on."""
        while not self._context.stopping.is_set():
            try:
                return self._ledger.get(self._job.id)
            except SQLAlchemyError:
                LOGGER.exception("the ledger of jobs does not answer", extra=self._who)
            self._context.stopping.wait(_FIRST_PAUSE)
        return None

    def _say(self, words: str | None, percent: int = 0) -> None:
        """Write down what the job waits for, unless its program speaks already."""
        if words is not None and words != self._said:
            self._said = words
            with suppress(SQLAlchemyError):
                self._ledger.progress(self._job, percent, words)

    def _write_log(self, *lines: str) -> None:
        # its owner may have put something else there
        with (
            suppress(LandcoverError, OSError),
            job_folder.log_of(self._job, self._context.root) as log,
        ):
            os.write(log, "".join(f"{timed(line)}\n" for line in lines if line).encode())

    @property
    def _parts(self) -> range:
        """The numbers that parts may have."""
        return range(self._context.settings.parts)

    @property
    def _who(self) -> dict[str, str]:
        return {"job": self._job.id, "user": self._job.user}
