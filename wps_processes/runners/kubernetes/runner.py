"""Sees jobs through as Jobs of a cluster.

A Job goes on when the service ends, and is found again by its name, which follows from the job and
its attempt: the next service makes no second one. How a job ended its pod tells by the service's
route (`wps_processes.runners.kubernetes.callbacks`), and the ledger knows before anybody here
does; what is seen in the cluster says why a pod has said nothing.
"""

import logging
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from landcover.errors import LandcoverError
from wps_processes.jobs.folder import remove_outputs
from wps_processes.jobs.ledger import DISMISSED, FAILED, Job, Ledger, Outcome
from wps_processes.runners.kubernetes.api import Refused, Unavailable
from wps_processes.runners.kubernetes.attempt import Attempt, RunnerContext
from wps_processes.runners.kubernetes.manifest import name_of, parts_name_of
from wps_processes.runners.messages import request_for
from wps_processes.runners.needs import needed_by

LOGGER = logging.getLogger(__name__)
ELSEWHERE = 0
"""Stands in the ledger for the process number of what computes in the cluster."""


class KubernetesRunner:
    """Runs jobs as Jobs of a cluster."""

    resumes = True

    def __init__(self, context: RunnerContext) -> None:
        """Run jobs in this context, and start to watch the cluster."""
        self._context = context
        context.watching.start()

    def run(self, job: Job, ledger: Ledger) -> Outcome:
        """Run a job to its end and return its outcome; progress goes to the ledger."""
        try:
            with suppress(SQLAlchemyError):  # a database that is away for a while
                ledger.started(job, ELSEWHERE, 0.0)
            with self._context.watching.following(name_of(job)) as woken:
                return Attempt(self._context, job, ledger, woken).run_to_end()
        except (LandcoverError, OSError) as error:
            return Outcome(error=str(error))

    def orders(self, job: Job, part: int | None = None) -> bytes:
        """Return what the pod of a job, or of a part of it, is to do.

        Raises:
            LandcoverError: what was fetched for it is not there any more.
        """
        fetcher = self._context.fetcher
        fetched = {} if fetcher is None else fetcher.kept(job)
        share = None if part is None else (part, self._context.settings.parts)
        return request_for(job, self._context.root, fetched, needed_by(job).gpus, share=share)

    def told(self, job: Job) -> None:
        """Check a job at once that has just reported its end."""
        self._context.watching.wake(job.id)

    def stop(self, job_id: str) -> None:
        """Delete a job's Job, with its pod."""
        if not self._context.watching.wake(job_id):  # another service follows it
            for name in self._context.watching.names_of(job_id):
                self._delete(name)

    def stop_all(self) -> None:
        """Stop without ending jobs: they go on, and the next service finds them."""
        self._context.stopping.set()
        self._context.watching.stop()

    def clean_up(self, job: Job, ledger: Ledger) -> None:
        """Delete an unsuccessful job; Kubernetes removes the others in time."""
        over = ledger.get(job.id)
        if over is None or over.state not in (FAILED, DISMISSED):
            return
        # else whoever saw the attempt through has done it
        was_left = job.is_over and job.pid is not None
        if was_left and not all(map(self._delete, (name_of(job), parts_name_of(job)))):
            return
        if remove_outputs(job, self._context.root):  # else it is tried again later
            ledger.mark_clean(job)

    def _delete(self, name: str) -> bool:
        """Delete a Job; False if that is not known to have been done."""
        try:
            self._context.cluster.delete(name)
        except (Unavailable, Refused) as error:
            LOGGER.warning("the Job %s cannot be deleted: %s", name, error)
            return False
        return True
