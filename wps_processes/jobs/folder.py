"""The folder of a job, home/jobs/JOB: what lies there, and what is tidied away.

It is its owner's, who may put anything there at any time: it is entered by descriptor, no link is
followed, and what was put in the way keeps nothing but its own tidying from being done.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from landcover.disk import is_read_only
from landcover.errors import LandcoverError
from landcover.io.files.atomic import is_draft, is_unfinished
from landcover.io.records.run_record import record_names
from landcover.storage import Storage
from wps_processes.jobs.published import by_identifier

if TYPE_CHECKING:  # the process of a job needs no ledger
    from wps_processes.jobs.ledger import Job

LOG = "job.log"
FETCHED = ".fetched"
"""The folder in there for what was fetched from Nextcloud."""


class Owner(Protocol):
    """A caller, or a job as its owner's."""

    @property
    def folder(self) -> str:
        """The owner's folder below users/."""

    @property
    def groups(self) -> Sequence[str]:
        """The groups whose team folders the owner may enter."""

    @property
    def administrator(self) -> bool:
        """Whether the owner may write below shared/."""


def name_of(job_id: str) -> str:
    """Return the storage name of a job's folder."""
    return f"home/jobs/{job_id}"


def storage_of(owner: Owner, root: Path) -> Storage:
    """Return what an owner sees of the storage tree below `root`."""
    return Storage(root, owner.folder, tuple(owner.groups), bool(owner.administrator))


@contextmanager
def opened(job: "Job", root: Path, make: bool = True) -> Iterator[int]:
    """Yield a descriptor of a job's folder, which is made if need be, unless told not to.

    Raises:
        NameRefused: there is none, or something else is in its place.
    """
    storage, name = storage_of(job, root), name_of(job.id)
    if not make:
        os.close(storage.open(name))
    with _closing(storage.make_folder(name)) as folder:  # this follows no link
        yield folder


@contextmanager
def log_of(job: "Job", root: Path) -> Iterator[int]:
    """Yield a descriptor of a job's log."""
    with _closing(open_log(storage_of(job, root), job.id)) as log:
        yield log


def open_log(storage: Storage, job_id: str) -> int:
    """Return a descriptor of a job's log, to which is only added; both are made if need be."""
    # its owner may have put a pipe there: that must not block
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _closing(storage.make_folder(name_of(job_id))) as folder:
        return os.open(LOG, flags, 0o660, dir_fd=folder)


def remove_drafts(job: "Job", root: Path) -> None:
    """Remove what an attempt at a job that was killed had begun to write."""
    _remove(job, root, is_draft)


def remove_outputs(job: "Job", root: Path) -> bool:
    """Remove all that a job without success has written, but for its log.

    Returns:
        False if the storage is read-only: it has to be done again.
    """
    declared = by_identifier(job.operation).outputs
    whole = {output.filename for output in declared if output.is_path}
    whole |= {name for output in declared for name in output.files_beside}
    whole |= {*record_names(job.operation), FETCHED}
    _remove(job, root, lambda name: is_unfinished(name) or name in whole)
    return not is_read_only(root)


def _remove(job: "Job", root: Path, is_left: Callable[[str], bool]) -> None:
    """Remove what was left in the job's folder, by its name."""
    # nothing can be tidied if its owner has put something else there, or a thousand nested folders
    with suppress(LandcoverError, OSError), opened(job, root, make=False) as folder:
        with os.scandir(folder) as entries:
            left = [entry for entry in entries if is_left(entry.name)]
        for entry in left:
            with suppress(OSError, RecursionError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.name, dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=folder)


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
