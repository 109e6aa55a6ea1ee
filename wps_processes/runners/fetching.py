"""Fetch what a job's owner has at Nextcloud alone, before the job: it has no network itself.

The files lie in the job's own folder while it runs. The owner's token comes from the hub, just
before each request to Nextcloud; the job never sees it, and nobody writes it down.
"""

import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from landcover.errors import InputError, LandcoverError, NotThere, Stopped
from landcover.progress import progress_to
from landcover.storage import Storage
from landcover.storage.nextcloud import AskAccess, Nextcloud
from landcover.storage.remote import MOST_MIB, fetch_into, is_received, is_remote
from landcover.storage.usage import measure
from wps_processes.jobs.folder import FETCHED, name_of, storage_of
from wps_processes.jobs.ledger import Job, Ledger
from wps_processes.jobs.published import by_identifier

LOGGER = logging.getLogger(__name__)
_NAMES = "names.json"
_LONGEST_NAMES = 1 << 20
_KEPT = TypeAdapter(dict[str, str])

SECONDS_BETWEEN_REPORTS = 0.5
IsOver = Callable[[Job, Ledger], bool]


@dataclass(frozen=True)
class Fetcher:
    """Fetches for jobs.

    Attributes:
        root: of the storage tree.
        access: gives, for a hub user's name, what asks for the user's access to Nextcloud.
        most: bytes that are fetched for one input, of a list for all its names together.
    """

    root: Path
    access: Callable[[str], AskAccess]
    most: int = MOST_MIB << 20

    @contextmanager
    def fetched(self, job: Job, ledger: Ledger, is_over: IsOver) -> Iterator[Mapping[str, str]]:
        """Yield a job's input files and folders that lie at Nextcloud, until it ends.

        Args:
            job: the job.
            ledger: hears how far it is.
            is_over: tells whether the job was dismissed meanwhile.

        Yields:
            Names in the job's folder by the names of the inputs.

        Raises:
            LandcoverError: there is no such file for the owner, or Nextcloud does not give it.
        """
        try:
            yield self.fetch(job, ledger, is_over)
        finally:
            self.clear(job)

    def fetch(self, job: Job, ledger: Ledger, is_over: IsOver) -> dict[str, str]:
        """Fetch them, and leave them there until `clear`; see `fetched`."""
        self.clear(job)  # an earlier service may have died while it fetched
        storage = self._storage_of(job)
        names = [[n for n in each if is_remote(n, storage)] for each in _names_by_input(job)]
        if not any(names):
            return {}
        with progress_to(_Listener(job, ledger, is_over)):
            fetched = self._fetch(job, names, storage)
        _note(fetched, storage.make_folder(_place(job)))
        return fetched

    def clear(self, job: Job) -> None:
        """Remove what was fetched for a job."""
        with suppress(LandcoverError, OSError):
            folder = self._storage_of(job).open(name_of(job.id))
            try:
                _clear(folder)
            finally:
                os.close(folder)

    def kept(self, job: Job) -> dict[str, str]:
        """Return what `fetch` has left for a job, perhaps that of an earlier service.

        Raises:
            LandcoverError: something is not there any more.
        """
        try:
            names = self._storage_of(job).open(f"{_place(job)}/{_NAMES}")
        except NotThere:
            if any(map(is_received, chain(*_names_by_input(job)))):
                raise
            return {}
        with os.fdopen(names, "rb") as file:
            try:
                return _KEPT.validate_json(file.read(_LONGEST_NAMES))
            except ValidationError as error:
                raise InputError("what was fetched for the job was changed meanwhile") from error

    def _storage_of(self, job: Job) -> Storage:
        return storage_of(job, self.root)

    def _fetch(self, job: Job, names: list[list[str]], storage: Storage) -> dict[str, str]:
        fetched: dict[str, str] = {}
        with Nextcloud(self.access(job.user)) as nextcloud:
            for of_one_input in names:
                left = self.most
                for name in of_one_input:
                    if name not in fetched:
                        place = f"{_place(job)}/{len(fetched) + 1}"
                        folder = storage.make_folder(place)
                        got, used = _fetch_one(job, name, folder, nextcloud, max(left, 0))
                        fetched[name] = f"{place}/{got}"
                        left -= used
        return fetched


class _Listener:
    """Writes progress into the ledger, and ends the fetching if the job is over."""

    def __init__(self, job: Job, ledger: Ledger, is_over: IsOver) -> None:
        self._job, self._ledger, self._is_over = job, ledger, is_over
        self._spoke = 0.0

    def __call__(self, fraction: float, sentence: str) -> None:
        if time.monotonic() - self._spoke < SECONDS_BETWEEN_REPORTS:
            return
        self._spoke = time.monotonic()
        if self._is_over(self._job, self._ledger):
            raise Stopped("dismissed while its files were fetched")
        with suppress(SQLAlchemyError):  # a full disk; the next one may be written
            self._ledger.progress(self._job, 0, sentence)


def _fetch_one(
    job: Job, name: str, folder: int, nextcloud: Nextcloud, most: int
) -> tuple[str, int]:
    """Fetch what one name means into a folder, and close that; return its name there, its bytes.

    Raises:
        LandcoverError: there is nothing of this name for the owner, or it is too large.
    """
    try:
        got = fetch_into(folder, name, nextcloud, most)
        used = measure(Path(f"/proc/self/fd/{folder}")).used
    except LandcoverError as error:
        _say("not fetched", job, name, str(error))
        raise
    finally:
        os.close(folder)
    _say("fetched", job, name)
    return got, used


def _names_by_input(job: Job) -> list[list[str]]:
    """Return the storage names in each of a job's inputs."""
    declared = by_identifier(job.operation).inputs
    return [[str(name) for name in i.paths_in(job.inputs.get(i.name))] for i in declared]


def _place(job: Job) -> str:
    return f"{name_of(job.id)}/{FETCHED}"


def _note(fetched: Mapping[str, str], folder: int) -> None:
    """Write down under which names things were fetched, and close the folder."""
    try:
        made = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(_NAMES, made, 0o600, dir_fd=folder), "w") as file:
            json.dump(fetched, file)
    finally:
        os.close(folder)


def _clear(folder: int) -> None:
    # what its owner nested in a thousand folders stays
    with suppress(FileNotFoundError, RecursionError):
        found = os.stat(FETCHED, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(FETCHED, dir_fd=folder)
        else:  # its owner has put something else there
            os.unlink(FETCHED, dir_fd=folder)


def _say(what: str, job: Job, name: str, error: str | None = None) -> None:
    LOGGER.info(what, extra={"job": job.id, "user": job.user, "file": name, "error": error})
