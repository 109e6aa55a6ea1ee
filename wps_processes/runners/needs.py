"""What a runner grants a job: what its operation says that it needs with these inputs, no more."""

from dataclasses import replace
from typing import TYPE_CHECKING

from landcover.operation import Needs
from wps_processes.jobs.published import by_identifier

if TYPE_CHECKING:  # the process of a job needs no ledger
    from wps_processes.jobs.ledger import Job

MARGIN_MIB = 512
"""Memory for the interpreter and what it has imported, besides what an operation needs."""


def no_gpu(operation: str) -> str:
    """Return why a job that asks for a GPU is refused where jobs have none."""
    return (
        f"{operation} needs a GPU with these inputs, and jobs have none here: leave out the "
        "option device, so that it computes on processors, or ask an administrator"
    )


def needed_by(job: "Job", longest_seconds: int | None = None) -> Needs:
    """Return what a job's operation needs.

    Args:
        job: the job.
        longest_seconds: no job may take longer, whatever its operation says; None sets no limit.
    """
    needed = by_identifier(job.operation).needs(job.inputs)
    if longest_seconds is None:
        return needed
    return replace(needed, seconds=min(needed.seconds, longest_seconds))
