"""Starts waiting jobs as processors become free, in turns that are fair, and sees them through."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from wps_processes.jobs import ACCEPTED, Job, Ledger, Limits, Outcome, rfc3339

LOGGER = logging.getLogger(__name__)
IDLE_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 3600.0
LOST = "the service lost sight of the job by our fault, start it again"


class Runner(Protocol):
    """Where jobs compute."""

    def run(self, job: Job, ledger: Ledger) -> Outcome:
        """Compute a job, and say how it ended; the ledger hears how far it is."""

    def stop(self, job_id: str) -> None:
        """Kill a job's process."""

    def stop_all(self) -> None:
        """Kill all jobs; the ledger still says they run."""

    def settle(self, job: Job, ledger: Ledger) -> None:
        """Leave nothing behind of the process of a job that is over."""


class Dispatcher:
    """Starts waiting jobs as processors become free."""

    def __init__(
        self,
        ledger: Ledger,
        runner: Runner,
        at_once: int,
        limits: Limits | None = None,
        retention: timedelta = timedelta(days=30),
    ) -> None:
        """Run at most so many jobs at once; forget them so long after their end."""
        self._ledger, self._runner = ledger, runner
        self._limits, self._retention = limits or Limits(), retention
        self._free = threading.Semaphore(at_once)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ends: dict[str, threading.Event] = {}
        self._thread = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Take up what an earlier service left running, and begin."""
        for job in self._ledger.unsettled():
            self._runner.settle(job, self._ledger)
            if not job.is_over:
                again = self._ledger.requeue(job)
                _say("job taken up again" if again else "job given up", job)
                if not again:
                    self._runner.settle(job, self._ledger)
        self._thread.start()

    def stop(self) -> None:
        """Start no more jobs, and kill those that run."""
        self._stopping.set()
        self._wake.set()
        self._free.release()  # the dispatcher may be waiting for a processor
        self._thread.join()
        self._runner.stop_all()

    def submit(self, job: Job) -> None:
        """Write a job into the ledger and see to it that it is started.

        Raises:
            Busy: no more jobs may wait.
        """
        self._ledger.add(job, self._limits)
        _say("job accepted", job, operation=job.operation)
        self._wake.set()

    def dismiss(self, job_id: str, sentence: str) -> bool:
        """End a job; False if it was over."""
        before = self._ledger.get(job_id)
        dismissed = before is not None and self._ledger.dismiss(job_id, sentence)
        if before is not None and dismissed:
            if before.state == ACCEPTED:  # no thread of ours sees its end
                self._runner.settle(before, self._ledger)
                _say("job dismissed", before)
            self._runner.stop(job_id)
            self._tell(job_id)
        return dismissed

    @property
    def paused(self) -> bool:
        """Whether an administrator holds waiting jobs back."""
        return self._ledger.is_paused

    def pause(self, by: str) -> None:
        """Hold waiting jobs back, also after a restart; running ones go on."""
        self._ledger.pause()
        LOGGER.info("jobs paused", extra={"by": by})

    def resume(self, by: str) -> None:
        """Let waiting jobs start again."""
        self._ledger.resume()
        LOGGER.info("jobs resumed", extra={"by": by})
        self._wake.set()

    def wait(self, job_id: str, seconds: float) -> Job | None:
        """Wait until a job is over; return it as it then is, or after so many seconds."""
        end = self._ends.setdefault(job_id, threading.Event())
        job = self._ledger.get(job_id)  # it may have been over before
        if job is not None and not job.is_over:
            end.wait(seconds)
            job = self._ledger.get(job_id)
        self._ends.pop(job_id, None)
        return job

    def _dispatch(self) -> None:
        housekeeping = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)
        housekeeping.start()
        while not self._stopping.is_set():
            self._free.acquire()
            job = self._claim()
            if job is None:
                self._free.release()
                self._wake.wait(IDLE_SECONDS)
                self._wake.clear()
                continue
            threading.Thread(target=self._run, args=(job,), name=job.id, daemon=True).start()

    def _claim(self) -> Job | None:
        """Take the next job; if the ledger cannot be written now, it is asked again later."""
        if self._stopping.is_set():
            return None
        try:
            return self._ledger.claim()
        except SQLAlchemyError:
            LOGGER.exception("the ledger of jobs does not answer")
            return None

    def _run(self, job: Job) -> None:
        try:
            outcome = self._runner.run(job, self._ledger)
        except Exception:
            LOGGER.exception("the runner failed", extra={"job": job.id, "user": job.user})
            outcome = Outcome(error=LOST)
        try:
            self._end(job, outcome)
        finally:  # whatever fails there, the processor is free
            self._free.release()
            self._wake.set()
            self._tell(job.id)

    def _end(self, job: Job, outcome: Outcome) -> None:
        """Write how a job ended; a full disk delays that, and only the service's end prevents it.

        If the service ends, the next one takes the job up again.
        """
        while not self._stopping.is_set():
            try:
                if outcome.outputs is not None:
                    self._ledger.succeed(job.id, outcome.outputs)
                elif outcome.again:
                    self._ledger.requeue(job)
                else:
                    self._ledger.fail(job.id, outcome.error or LOST)
                self._runner.settle(job, self._ledger)
                end = self._ledger.get(job.id) or job
            except SQLAlchemyError:
                LOGGER.exception("the ledger of jobs cannot be written")
                self._stopping.wait(IDLE_SECONDS)
            else:
                _say(f"job {end.state}", end, error=end.error)
                return

    def _keep_house(self) -> None:
        while not self._stopping.is_set():
            try:
                gone = self._ledger.forget(rfc3339(datetime.now(UTC) - self._retention))
                LOGGER.info("old jobs forgotten", extra={"jobs": gone})
            except SQLAlchemyError:
                LOGGER.exception("the ledger of jobs cannot be written")
            self._stopping.wait(HOUSEKEEPING_SECONDS)

    def _tell(self, job_id: str) -> None:
        end = self._ends.get(job_id)
        if end is not None:
            end.set()


def _say(what: str, job: Job, **more: object) -> None:
    LOGGER.info(what, extra={"job": job.id, "user": job.user, **more})
