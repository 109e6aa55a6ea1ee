"""Where a job computes: in a process of its own.

A process of its own, because a crash or a full memory must not be the service's, a dismissal is a
kill, and PyWPS's fork of the server hangs once scikit-learn has computed in it.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from sqlalchemy.exc import SQLAlchemyError

from landcover.errors import LandcoverError
from wps_processes.fetching import Fetcher
from wps_processes.forkserver import Forked, ForkServer, kill_group
from wps_processes.job_folder import log_of, remove_drafts, remove_outputs
from wps_processes.jobs import DISMISSED, FAILED, Job, Ledger, Outcome
from wps_processes.words import LONGEST_LINE, NO_ANSWER, orders_for, word_in

_SECONDS_TO_DIE = 5.0


class ProcessRunner:
    """Runs jobs as processes of this machine."""

    resumes = False

    def __init__(self, root: Path, forks: ForkServer, fetcher: Fetcher | None = None) -> None:
        """Run them on the storage tree below `root`; what others shared is fetched before."""
        self._root, self._forks, self._fetcher = root, forks, fetcher
        self._forked: dict[str, Forked] = {}
        self._stopped = False

    def run(self, job: Job, ledger: Ledger) -> Outcome:
        """Compute a job, and say how it ended; the ledger hears how far it is."""
        try:
            with self._fetched(job, ledger) as fetched:
                answer, status = self._compute(job, ledger, fetched)
        except (LandcoverError, OSError) as error:
            return Outcome(error=str(error))
        if "outputs" in answer:
            return Outcome(outputs=answer["outputs"])
        if "error" in answer:
            return Outcome(error=answer["error"])
        # None: the fork server died, and the job with it
        return Outcome(again=True) if status is None else Outcome(error=_how_it_ended(status))

    def stop(self, job_id: str) -> None:
        """Kill a job's process with all it started."""
        forked = self._forked.get(job_id)
        if forked is not None:
            forked.kill()

    def stop_all(self) -> None:
        """Kill all jobs; the ledger still says they run."""
        self._stopped = True
        for job_id in list(self._forked):
            self.stop(job_id)

    def settle(self, job: Job, ledger: Ledger) -> None:
        """Leave nothing behind of a job's process: no process and, if it failed, no output."""
        _kill_leftover(job)
        over = ledger.get(job.id)
        if over is not None and over.state in (FAILED, DISMISSED):
            remove_outputs(job, self._root)
            ledger.settled(job)

    @contextmanager
    def _fetched(self, job: Job, ledger: Ledger) -> Iterator[Mapping[str, str]]:
        """Lend what was shared with the owner, as names in the job's folder."""
        if self._fetcher is None:
            yield {}
            return
        with self._fetcher.fetched(job, ledger, self._is_over) as names:
            yield names

    def _is_over(self, job: Job, ledger: Ledger) -> bool:
        """Tell whether a job was dismissed, another service has it, or this one stopped."""
        return self._stopped or not ledger.holds(job)

    def _compute(
        self, job: Job, ledger: Ledger, fetched: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], int | None]:
        if job.attempt > 1:
            remove_drafts(job, self._root)
        with log_of(job, self._root) as log:
            forked = self._forks.fork(log)
        self._forked[job.id] = forked
        status = None
        try:
            with suppress(psutil.NoSuchProcess):  # it died at once; how, its exit status tells
                began = psutil.Process(forked.pid).create_time()
                ledger.started(job, forked.pid, began)
            if self._is_over(job, ledger):  # before there was a process
                forked.kill()
            answer = _converse(forked, job, ledger, orders_for(job, self._root, fetched))
        finally:
            del self._forked[job.id]
            status = forked.close()
        return answer, status


def _converse(forked: Forked, job: Job, ledger: Ledger, orders: bytes) -> Mapping[str, Any]:
    """Tell the process what to do and hear it out; return its last word."""
    last: Mapping[str, Any] = {}
    with suppress(OSError):  # it died at once; how, its exit status tells
        forked.conversation.sendall(orders)
    with forked.conversation.makefile("rb") as stream:
        while word := _next_word(stream):
            last = word
            if "progress" not in word:
                break
            with suppress(SQLAlchemyError):  # a full disk; the next one may be written
                ledger.progress(job, word["progress"], word["message"])
    return last


def _next_word(stream: BinaryIO) -> Mapping[str, Any]:
    """Return what the process says next, {} if it has ended."""
    try:
        line = stream.readline(LONGEST_LINE)
    except OSError:
        return {}
    return (word_in(line) or {"error": NO_ANSWER}) if line else {}


def _how_it_ended(status: int) -> str:
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
