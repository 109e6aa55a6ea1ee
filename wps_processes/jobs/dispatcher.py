"""Starts waiting jobs as processors become free, in turns that are fair, and sees them through.

Of one user's jobs fewer run here than there are processors: who comes next need not wait until
another's longest job is over.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from landcover.errors import LandcoverError
from wps_processes.jobs.ledger import (
    ACCEPTED,
    DISMISSED,
    RESTARTED,
    Job,
    Ledger,
    Limits,
    Outcome,
    rfc3339,
)
from wps_processes.jobs.membership import GroupsNow, HubUnavailable, with_groups_of_now

LOGGER = logging.getLogger(__name__)
IDLE_SECONDS = 5.0
SECONDS_TO_END = 5.0
POLL_SECONDS = 1.0
"""So often a shared ledger is asked for what other services did."""
BEATS = 6
"""So often a lease is renewed before it ends."""
HOUSEKEEPING_SECONDS = 3600.0
LOST = "the service lost sight of the job by our fault, start it again"
NO_HUB = "waiting for the hub, which does not say of which groups its owner is a member"


class Runner(Protocol):
    """Where jobs compute.

    Attributes:
        resumes: jobs go on without the service that runs them. Then a job whose service died is
            run as the attempt that it was: `run` finds what computes it, and sees it through.
            Else it begins again, as its next attempt.
    """

    resumes: bool

    def run(self, job: Job, ledger: Ledger) -> Outcome:
        """Compute a job, and say how it ended; the ledger hears how far it is."""

    def stop(self, job_id: str) -> None:
        """Stop a job's process, if this runner knows of it."""

    def stop_all(self) -> None:
        """Run no job any more, as the service ends; the ledger still says they run.

        Those that do not resume are killed.
        """

    def clean_up(self, job: Job, ledger: Ledger) -> None:
        """Clean up after the process of a job that is over."""


@dataclass(frozen=True)
class _Attempt:
    """What computes here."""

    job: Job
    over: threading.Event = field(default_factory=threading.Event)


class Dispatcher:
    """Starts waiting jobs as processors become free."""

    def __init__(
        self,
        ledger: Ledger,
        runner: Runner,
        at_once: int,
        limits: Limits | None = None,
        retention: timedelta = timedelta(days=30),
        groups_now: GroupsNow | None = None,
    ) -> None:
        """Run at most so many jobs at once; forget them so long after their end.

        Args:
            ledger: where jobs wait.
            runner: where they compute.
            at_once: so many run at a time; of one user one fewer, unless it is the only one.
            limits: on those that wait.
            retention: after their end they are forgotten.
            groups_now: asked whether a job's owner is still in its groups; None believes the job.
        """
        self._ledger, self._runner = ledger, runner
        self._limits, self._retention = limits or Limits(), retention
        self._groups_now = groups_now
        self._free = threading.Semaphore(at_once)
        self._per_user = max(1, at_once - 1)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ends: dict[str, threading.Event] = {}
        self._here: dict[str, _Attempt] = {}
        self._changing = threading.Lock()
        self._background: list[threading.Thread] = []
        self._seen_to: dict[int, Job] = {}  # by identity: an attempt may be taken up twice
        self._renewed_since: float | None = None
        self._thread = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Recover what an earlier service left running, and start.

        Raises:
            LedgerRefused: another service runs the jobs, and the ledger is for one.
        """
        self._ledger.join(self._per_user)
        self._renewed_since = time.monotonic()
        self._recover_jobs(at_start=True)
        self._thread.start()

    def stop(self) -> None:
        """Start no more jobs, and leave those that run to the next service."""
        self._stopping.set()
        self._wake.set()
        self._free.release()  # the dispatcher may be waiting for a processor
        self._thread.join()
        self._runner.stop_all()
        deadline = time.monotonic() + SECONDS_TO_END
        for thread in self._background:
            thread.join(max(0.0, deadline - time.monotonic()))
        try:
            self._ledger.leave()
        except SQLAlchemyError:
            LOGGER.exception("the ledger of jobs cannot be left, the lease will end")

    def submit(self, job: Job) -> None:
        """Write a job into the ledger, and have it started.

        Raises:
            Busy: no more jobs may wait.
        """
        self._ledger.add(job, self._limits)
        _say("job accepted", job, operation=job.operation)
        self._wake.set()

    def dismiss(self, job_id: str, sentence: str) -> bool:
        """Dismiss a job; False if it was over."""
        before = self._ledger.get(job_id)
        dismissed = before is not None and self._ledger.dismiss(job_id, sentence)
        if before is not None and dismissed:
            if before.state == ACCEPTED:  # no thread of ours sees its end
                # what its owner has put into the job's folder may take long to remove
                self._in_background(self._tidy, before)
                _say("job dismissed", before)
            self._runner.stop(job_id)
            self._tell(job_id)
        return dismissed

    def _tidy(self, dismissed: Job) -> None:
        try:
            self._runner.clean_up(dismissed, self._ledger)
        except SQLAlchemyError:
            LOGGER.exception("a dismissed job cannot be tidied", extra={"job": dismissed.id})

    @property
    def paused(self) -> bool:
        """Whether an administrator holds waiting jobs back."""
        return self._ledger.is_paused

    def pause(self, by: str) -> None:
        """Pause starting jobs, also after a restart; running ones go on."""
        self._ledger.pause()
        LOGGER.info("jobs paused", extra={"by": by})

    def resume(self, by: str) -> None:
        """Resume starting jobs."""
        self._ledger.resume()
        LOGGER.info("jobs resumed", extra={"by": by})
        self._wake.set()

    def wait(self, job_id: str, seconds: float) -> Job | None:
        """Wait until a job is over; return it as it then is, or after so many seconds."""
        deadline = time.monotonic() + seconds
        end = self._ends.setdefault(job_id, threading.Event())
        job = self._ledger.get(job_id)  # it may have been over before
        while job is not None and not job.is_over:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            end.wait(min(left, POLL_SECONDS))  # another service tells nothing
            end.clear()
            job = self._ledger.get(job_id)
        self._ends.pop(job_id, None)
        return job

    def _dispatch(self) -> None:
        self._in_background(self._purge_old_jobs)
        if self._ledger.shared:
            self._in_background(self._renew)
            self._in_background(self._stop_stale_jobs)
        every = min(self._ledger.lease_seconds / BEATS, IDLE_SECONDS)
        looked = time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() - looked > every:
                self._recover_jobs()
                looked = time.monotonic()
            if not self._free.acquire(timeout=every):
                continue
            job = self._claim()
            if job is None:
                self._free.release()
                self._wake.wait(min(every, POLL_SECONDS) if self._ledger.shared else IDLE_SECONDS)
                self._wake.clear()
                continue
            self._supervise(job, self._free)

    def _supervise(self, job: Job, free: threading.Semaphore | None) -> None:
        self._seen_to[id(job)] = job
        self._in_background(self._run, job, free)

    def _in_background(self, task: Callable[..., None], *given: Any) -> None:
        self._background = [thread for thread in self._background if thread.is_alive()]
        self._background.append(threading.Thread(target=task, args=given, daemon=True))
        self._background[-1].start()

    def _renew(self) -> None:
        """Renew the lease in time; in a thread of its own, which nothing else delays."""
        while not self._stopping.wait(self._ledger.lease_seconds / BEATS):
            try:
                self._ledger.renew()
                self._renewed_since = self._renewed_since or time.monotonic()
            except SQLAlchemyError:
                self._renewed_since = None
                LOGGER.exception("the lease of jobs cannot be renewed")

    def _stop_stale_jobs(self) -> None:
        """Read what other services did to our jobs."""
        while not self._stopping.wait(self._ledger.lease_seconds / BEATS):
            try:
                self._release()
            except Exception:  # whatever it is, the next round may do better
                LOGGER.exception("the jobs here cannot be looked after")

    def _release(self) -> None:
        """Stop processes here of jobs that were dismissed elsewhere, or taken over."""
        for attempt in list(self._here.values()):
            job, known = attempt.job, self._ledger.get(attempt.job.id)
            is_lost = known is None or not known.is_same_attempt(job)
            # what resumes is one and the same for both, and theirs to end
            if (known and known.state == DISMISSED) or (is_lost and not self._runner.resumes):
                with self._changing:
                    if self._here.get(job.id) is attempt:  # else a later one would be stopped
                        self._runner.stop(job.id)

    def _recover_jobs(self, at_start: bool = False) -> None:
        """Recover jobs of dead services, and our own that no thread here works on.

        Such a one was claimed, but the database was cut off before it could say so.
        """
        try:
            unclean = self._ledger.unclean()
        except SQLAlchemyError:
            LOGGER.exception("the ledger of jobs does not answer")
            return
        for job in unclean:
            if job.holder == self._ledger.holder:
                if any(job.is_same_attempt(known) for known in list(self._seen_to.values())):
                    continue
            elif not (at_start or self._others_renewed()):
                continue
            try:
                self._take(job)
            except Exception:  # whatever it is, the next round may do better
                LOGGER.exception("a job cannot be taken up", extra={"job": job.id})

    def _others_renewed(self) -> bool:
        """Return whether a service that lives has renewed its lease.

        When a database is back, all leases are over.
        """
        since = self._renewed_since
        return since is not None and time.monotonic() - since >= self._ledger.lease_seconds

    def _take(self, abandoned: Job) -> None:
        job = self._ledger.take_over(abandoned)
        if job is None:
            return
        if self._runner.resumes and not job.is_over:
            _say("job taken up again", job)
            # they run anyway, be they more than may
            self._supervise(job, self._free if self._free.acquire(blocking=False) else None)
            return
        self._runner.clean_up(job, self._ledger)
        if not job.is_over:
            again = self._ledger.requeue(job)
            _say("job taken up again" if again else "job given up", job)
            if not again:
                self._runner.clean_up(job, self._ledger)

    def _claim(self) -> Job | None:
        """Claim the next job; if the ledger cannot be written now, try again later."""
        if self._stopping.is_set():
            return None
        try:
            return self._ledger.claim()
        except SQLAlchemyError:
            LOGGER.exception("the ledger of jobs does not answer")
            return None

    def _run(self, job: Job, free: threading.Semaphore | None) -> None:
        """Run a job to its end, and free its processor."""
        outcome: Outcome | None = None
        try:
            with self._alone_here(job):
                current = self._with_groups_of_now(job)
                # who no longer has it, or ends, writes nothing
                outcome = Outcome(again=True)
                if current is not None:
                    outcome = self._runner.run(current, self._ledger)
        except LandcoverError as error:
            outcome = Outcome(error=str(error))
        except DBAPIError as error:
            if isinstance(error, DataError):  # it would be refused again
                outcome = Outcome(error=LOST)
            # else the job had no part in it: it still runs in the ledger, and is taken up again
            LOGGER.exception("the ledger of jobs cannot be written", extra={"job": job.id})
        except Exception:
            LOGGER.exception("the runner failed", extra={"job": job.id, "user": job.user})
            outcome = Outcome(error=LOST)
        try:
            if outcome is not None:
                self._end(job, outcome)
        finally:  # whatever fails there, the processor is free
            del self._seen_to[id(job)]
            if free is not None:
                free.release()
            self._wake.set()
            self._tell(job.id)

    def _with_groups_of_now(self, job: Job) -> Job | None:
        """Fetch the groups of a job's owner, with retries; None if nobody waits any more.

        Raises:
            LandcoverError: there is no such owner any more.
        """
        while not self._stopping.is_set():
            try:
                current = with_groups_of_now(job, self._ledger, self._groups_now)
                return current if current is job or self._ledger.holds(job) else None
            except (HubUnavailable, SQLAlchemyError) as error:
                LOGGER.warning("the groups of a job's owner are not known: %s", error,
                               extra={"job": job.id, "user": job.user})  # fmt: skip
            with suppress(SQLAlchemyError):
                if not self._ledger.progress(job, 0, NO_HUB):
                    return None
            self._stopping.wait(IDLE_SECONDS)
        return None

    @contextmanager
    def _alone_here(self, job: Job) -> Iterator[None]:
        """Know what computes here; end an earlier attempt, which another service took over."""
        attempt = _Attempt(job)
        with self._changing:
            earlier = None if self._runner.resumes else self._here.get(job.id)
            self._here[job.id] = attempt
            if earlier is not None:
                self._runner.stop(job.id)
        try:
            if earlier is not None:
                earlier.over.wait()
            yield
        finally:
            attempt.over.set()
            with self._changing:
                if self._here.get(job.id) is attempt:
                    del self._here[job.id]

    def _end(self, job: Job, outcome: Outcome) -> None:
        """Write how a job ended; a full disk delays that, and only the service's end prevents it.

        If the service ends, the next one takes the job up again.
        """
        while not self._stopping.is_set():
            try:
                if outcome.outputs is not None:
                    self._ledger.succeed(job, outcome.outputs, outcome.remarks)
                elif outcome.again:
                    self._ledger.requeue(job, outcome.error or RESTARTED)
                else:
                    self._ledger.fail(job, outcome.error or LOST, outcome.remarks)
                end = self._ledger.get(job.id)
                if end is None or not end.is_same_attempt(job):  # it is another's now
                    _say(
                        "job waits again" if outcome.again else "job lost to another service", job
                    )
                    return
                self._runner.clean_up(job, self._ledger)
            except DataError:  # it would be refused again
                LOGGER.exception("the ledger refuses what a job said", extra={"job": job.id})
                outcome = Outcome(error=LOST)
            except SQLAlchemyError:
                LOGGER.exception("the ledger of jobs cannot be written")
                self._stopping.wait(IDLE_SECONDS)
            else:
                _say(f"job {end.state}", end, error=end.error)
                return

    def _purge_old_jobs(self) -> None:
        while not self._stopping.is_set():
            try:
                gone = self._ledger.forget(rfc3339(datetime.now(UTC) - self._retention))
                LOGGER.info("old jobs forgotten", extra={"jobs": gone})
                self._ledger.keep_room()
            except SQLAlchemyError:
                LOGGER.exception("the ledger of jobs cannot be written")
            self._stopping.wait(HOUSEKEEPING_SECONDS)

    def _tell(self, job_id: str) -> None:
        end = self._ends.get(job_id)
        if end is not None:
            end.set()


def _say(what: str, job: Job, **more: object) -> None:
    LOGGER.info(what, extra={"job": job.id, "user": job.user, **more})
