"""Where a job computes: in a process of its own, started by a dispatcher that is fair.

A process of its own, because a crash or a full memory must not be the service's, a dismissal is a
kill, and PyWPS's fork of the server hangs once scikit-learn has computed in it.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.exc import SQLAlchemyError

from landcover.errors import LandcoverError
from landcover.storage import Storage
from landcover.writing import is_unfinished
from wps_processes.jobs import Job, Ledger, to_request

LOGGER = logging.getLogger(__name__)
# a job needs neither the hub's secrets nor the service's
_SECRET_PREFIXES = ("JUPYTERHUB_", "JPY_")
IDLE_SECONDS = 5.0
LOST = "the service lost sight of the job by our fault, start it again"


class ProcessRunner:
    """Runs jobs as processes of this machine."""

    def __init__(self, root: Path) -> None:
        """Run them on the storage tree below `root`."""
        self._root = root
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._stopped = False

    def run(self, job: Job, ledger: Ledger) -> None:
        """Compute a job and write its end into the ledger."""
        try:
            answer, status = self._compute(job, ledger)
        except (LandcoverError, OSError) as error:
            ledger.fail(job.id, str(error))
            return
        if self._stopped:
            return  # the service ends; the job is taken up at the next start
        if "outputs" in answer and status == 0:
            ledger.succeed(job.id, answer["outputs"])
        else:
            _tidy(job, self._root)  # failed or dismissed, it will not go on
            ledger.fail(job.id, answer.get("error") or _how_it_ended(status))

    def stop(self, job_id: str) -> None:
        """Kill a job's process with all it started."""
        process = self._processes.get(job_id)
        if process is not None:
            _kill_group(process.pid)

    def stop_all(self) -> None:
        """Kill all jobs; the ledger still says they run."""
        self._stopped = True
        for job_id in list(self._processes):
            self.stop(job_id)

    def _compute(self, job: Job, ledger: Ledger) -> tuple[Mapping[str, Any], int]:
        with _log_of(job, self._root) as log, _process(log) as process:
            self._processes[job.id] = process
            try:
                ledger.started(job.id, process.pid, psutil.Process(process.pid).create_time())
                after = ledger.get(job.id)
                # dismissed, or the service stopped, before there was a process
                if self._stopped or after is None or after.is_over:
                    _kill_group(process.pid)
                answer = _converse(process, job, ledger, self._root)
                return answer, process.wait()
            finally:
                del self._processes[job.id]


class Dispatcher:
    """Starts waiting jobs as processors become free."""

    def __init__(self, ledger: Ledger, runner: ProcessRunner, at_once: int) -> None:
        """Run at most so many jobs at once."""
        self._ledger, self._runner = ledger, runner
        self._free = threading.Semaphore(at_once)
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._stopping = False
        self.paused = False
        self._thread = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Take up what an earlier service left running, and begin."""
        for job in self._ledger.running():
            _kill_leftover(job)
            self._ledger.requeue(job)
        self._thread.start()

    def stop(self) -> None:
        """Start no more jobs, and kill those that run."""
        self._stopping = True
        self._wake.set()
        self._free.release()  # the dispatcher may be waiting for a processor
        self._thread.join()
        self._runner.stop_all()

    def submit(self, job: Job) -> None:
        """Write a job into the ledger and see to it that it is started."""
        self._ledger.add(job)
        self._wake.set()

    def dismiss(self, job_id: str, sentence: str) -> bool:
        """End a job; False if it was over."""
        dismissed = self._ledger.dismiss(job_id, sentence)
        if dismissed:
            self._runner.stop(job_id)
            self._tell()
        return dismissed

    def pause(self, by: str) -> None:
        """Start no waiting job any more; those that run go on."""
        self.paused = True

    def resume(self, by: str) -> None:
        """Start waiting jobs again."""
        self.paused = False
        self._wake.set()

    def wait(self, job_id: str, seconds: float) -> Job | None:
        """Wait until a job is over; return it as it then is, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over(job_id), seconds)
        return self._ledger.get(job_id)

    def _is_over(self, job_id: str) -> bool:
        job = self._ledger.get(job_id)
        return job is None or job.is_over

    def _dispatch(self) -> None:
        while not self._stopping:
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
        if self._stopping or self.paused:
            return None
        try:
            return self._ledger.claim()
        except SQLAlchemyError:
            LOGGER.exception("the ledger of jobs does not answer")
            return None

    def _run(self, job: Job) -> None:
        try:
            self._runner.run(job, self._ledger)
        finally:
            try:
                self._settle(job)
            finally:
                self._free.release()
                self._wake.set()
                self._tell()

    def _settle(self, job: Job) -> None:
        """Fail a job whose runner did not end it: nothing computes it any more."""
        if not self._stopping and self._ledger.fail(job.id, LOST):
            LOGGER.error("the runner lost job %s", job.id)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def _process(log: int) -> Iterator["subprocess.Popen[str]"]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_SECRET_PREFIXES)}
    process = subprocess.Popen(
        [sys.executable, "-m", "wps_processes.job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill_group(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def _converse(
    process: "subprocess.Popen[str]", job: Job, ledger: Ledger, root: Path
) -> Mapping[str, Any]:
    """Tell the process what to do and hear it out; return its last word."""
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # it died at once; how, its exit status tells
        process.stdin.write(to_request(job, root) + "\n")
        process.stdin.flush()
    last: Mapping[str, Any] = {}
    for line in process.stdout:
        last = json.loads(line)
        if "progress" in last:
            ledger.progress(job.id, last["progress"], last["message"])
    return last


@contextmanager
def _log_of(job: Job, root: Path) -> Iterator[int]:
    """Open the log in the job's folder."""
    storage = Storage(root, job.folder, tuple(job.groups), bool(job.administrator))
    folder = storage.make_folder(f"home/jobs/{job.id}")
    try:
        # its owner may have put a pipe there: that must not block
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        log = os.open("job.log", flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        yield log
    finally:
        os.close(log)


def _tidy(job: Job, root: Path) -> None:
    """Remove what a killed operation had begun to write; all else in the folder stays."""
    storage = Storage(root, job.folder, tuple(job.groups), bool(job.administrator))
    try:
        folder = storage.make_folder(f"home/jobs/{job.id}")
    except (LandcoverError, OSError):
        return  # its owner has put something else there
    try:
        with os.scandir(folder) as entries:
            unfinished = [entry for entry in entries if is_unfinished(entry.name)]
        for entry in unfinished:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.name, dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "the job was killed, most likely because the machine's memory was full"
    if status < 0:
        return f"the job crashed with signal {signal.Signals(-status).name}"
    return "the job ended without a result, its log says more"


def _kill_leftover(job: Job) -> None:
    """Kill the process of an earlier service, if it is still that one."""
    if job.pid is None:
        return
    with suppress(psutil.NoSuchProcess):
        if psutil.Process(job.pid).create_time() == job.process_started:
            _kill_group(job.pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
