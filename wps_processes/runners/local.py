"""Where a job computes: in a process of its own, for as long as its operation may take.

A process of its own, because a crash or a full memory must not be the service's, a dismissal is a
kill, and PyWPS's fork of the server hangs once scikit-learn has computed in it. The jobs that run
share this machine's cores.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from sqlalchemy.exc import SQLAlchemyError

from landcover.disk import why_unwritable
from landcover.errors import LandcoverError, Stopped
from wps_processes.jobs.folder import log_of, remove_drafts, remove_outputs
from wps_processes.jobs.ledger import DISMISSED, FAILED, Job, Ledger, Outcome
from wps_processes.runners.fetching import Fetcher
from wps_processes.runners.forkserver import CannotFork, Forked, ForkServer, kill_group
from wps_processes.runners.job_log import kept
from wps_processes.runners.memory import granted_mib, used_by_group
from wps_processes.runners.messages import (
    LONGEST_LINE,
    NO_ANSWER,
    is_last,
    message_in,
    request_for,
    too_large,
    too_late,
)
from wps_processes.runners.needs import needed_by

LOGGER = logging.getLogger(__name__)
_SECONDS_TO_DIE = 5.0
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_TO_RECOVER = 5.0  # descriptors or memory may be back by then


class ProcessRunner:
    """Runs jobs as processes of this machine."""

    resumes = False

    def __init__(
        self,
        root: Path,
        forks: ForkServer,
        fetcher: Fetcher | None = None,
        longest_seconds: int | None = None,
        at_once: int | None = None,
    ) -> None:
        """Run them on a storage tree.

        Args:
            root: of the tree.
            forks: starts their processes.
            fetcher: fetches before what others shared; None if there is no Nextcloud.
            longest_seconds: no job may compute longer; None leaves it to what its operation needs.
            at_once: so many jobs share this machine's memory; None leaves it to what operations
                need.
        """
        self._root, self._forks, self._fetcher = root, forks, fetcher
        self._longest_seconds, self._at_once = longest_seconds, at_once
        self._forked: dict[str, Forked] = {}
        self._stopped = threading.Event()

    def run(self, job: Job, ledger: Ledger) -> Outcome:
        """Compute a job, and say how it ended; the ledger hears how far it is."""
        try:
            with self._fetched(job, ledger) as fetched:
                answer, status = self._compute(job, ledger, fetched)
        except CannotFork as error:
            LOGGER.warning("%s", error, extra={"job": job.id, "user": job.user})
            self._stopped.wait(_SECONDS_TO_RECOVER)
            return Outcome(again=True)
        except LandcoverError as error:
            return Outcome(error=str(error))
        except OSError as error:
            return Outcome(error=why_unwritable(error, self._root) or str(error))
        if is_last(answer):
            return Outcome(answer.get("outputs"), answer.get("error"), remarks=answer["remarks"])
        if status is None:  # the fork server died, and the job with it
            return Outcome(again=True)
        return Outcome(error=_exit_reason(status), remarks=answer["remarks"])

    def stop(self, job_id: str) -> None:
        """Kill a job's process with all it started."""
        forked = self._forked.get(job_id)
        if forked is not None:
            forked.kill()

    def stop_all(self) -> None:
        """Kill all jobs; the ledger still says they run."""
        self._stopped.set()
        for job_id in list(self._forked):
            self.stop(job_id)

    def clean_up(self, job: Job, ledger: Ledger) -> None:
        """Clean up after a job's process: end it and, if it failed, remove its outputs."""
        _kill_leftover(job)
        over = ledger.get(job.id)
        is_failed = over is not None and over.state in (FAILED, DISMISSED)
        if is_failed and remove_outputs(job, self._root):  # else it is tried again later
            ledger.mark_clean(job)

    @contextmanager
    def _fetched(self, job: Job, ledger: Ledger) -> Iterator[Mapping[str, str]]:
        """Yield what was shared with the owner, as names in the job's folder."""
        if self._fetcher is None:
            yield {}
            return
        seconds = needed_by(job, self._longest_seconds).seconds
        deadline = time.monotonic() + seconds

        def is_over(job: Job, ledger: Ledger) -> bool:
            if time.monotonic() > deadline:
                raise Stopped(too_late(job.operation, seconds))
            return self._is_over(job, ledger)

        with self._fetcher.fetched(job, ledger, is_over) as names:
            yield names

    def _is_over(self, job: Job, ledger: Ledger) -> bool:
        """Return whether a job was dismissed, another service has it, or this one stopped."""
        if self._stopped.is_set():
            return True
        try:
            return not ledger.holds(job)
        except SQLAlchemyError:  # cut off for a moment: whoever dismisses it, stops it too
            return False

    def _compute(
        self, job: Job, ledger: Ledger, fetched: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], int | None]:
        needs = needed_by(job, self._longest_seconds)
        memory_mib = granted_mib(needs, self._at_once)
        orders = request_for(job, self._root, fetched, needs.gpus, memory_mib)
        if job.attempt > 1:
            remove_drafts(job, self._root)
        with log_of(job, self._root) as log, kept(log) as printed:
            forked = self._forks.fork(printed)
            self._forked[job.id] = forked
            status = None
            try:
                with suppress(psutil.NoSuchProcess):  # it died at once; how, its status tells
                    began = psutil.Process(forked.pid).create_time()
                    ledger.started(job, forked.pid, began)
                if self._is_over(job, ledger):  # before there was a process
                    forked.kill()
                watch = _Watch(forked, job.operation, needs.seconds, memory_mib)
                with watch:
                    answer = _exchange(forked, job, ledger, orders)
                if watch.sentence and not is_last(answer):
                    answer = {"error": watch.sentence, "remarks": answer["remarks"]}
            finally:
                del self._forked[job.id]
                status = forked.close()
        return answer, status


class _Watch:
    """Kills a job's processes that take more time or memory than they may, within a block.

    Attributes:
        sentence: why it did, None if it did not.
    """

    def __init__(self, forked: Forked, operation: str, seconds: float, memory_mib: int) -> None:
        self.sentence: str | None = None
        self._forked, self._operation = forked, operation
        self._seconds, self._memory_mib = seconds, memory_mib
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> None:
        self._deadline = time.monotonic() + self._seconds
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while self.sentence is None and not self._is_over.wait(self._until_next()):
            self.sentence = self._too_much()
        if self.sentence is not None:
            self._forked.kill()

    def _until_next(self) -> float:
        return min(_SECONDS_BETWEEN_LOOKS, max(0.0, self._deadline - time.monotonic()))

    def _too_much(self) -> str | None:
        if time.monotonic() >= self._deadline:
            return too_late(self._operation, self._seconds)
        most = self._memory_mib << 20
        used = used_by_group(self._forked.pid, beyond=most)
        return too_large(self._memory_mib, used >> 20) if used > most else None


def _exchange(forked: Forked, job: Job, ledger: Ledger, orders: bytes) -> Mapping[str, Any]:
    """Send the job to the process, receive until it ends; return its outcome and remarks."""
    last: Mapping[str, Any] = {"remarks": None}
    with suppress(OSError):  # it died at once; how, its exit status tells
        forked.conversation.sendall(orders)
    with forked.conversation.makefile("rb") as stream:
        while word := _next_word(stream):
            last = {"remarks": last["remarks"], **word}
            if is_last(word):
                break
            with suppress(SQLAlchemyError):  # a full disk; the next one may be written
                if "progress" in word:
                    ledger.progress(job, word["progress"], word["message"])
                else:
                    ledger.remark(job, word["remarks"])
    return last


def _next_word(stream: BinaryIO) -> Mapping[str, Any]:
    """Return what the process says next, {} if it has ended."""
    try:
        line = stream.readline(LONGEST_LINE)
    except OSError:
        return {}
    return (message_in(line) or {"error": NO_ANSWER, "remarks": None}) if line else {}


def _exit_reason(status: int) -> str:
    if status == -signal.SIGKILL:
        return "the job was killed, most likely because the machine's memory was full"
    if status < 0:
        return f"the job crashed with signal {signal.Signals(-status).name}"
    return NO_ANSWER


def _kill_leftover(job: Job) -> None:
    """Kill the process of an earlier service, if it is still that one."""
    if job.pid is None:
        return
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process = psutil.Process(job.pid)
        if process.create_time() == job.process_started:
            kill_group(job.pid)
            process.wait(_SECONDS_TO_DIE)
