"""Jobs of callers: submit, wait, look, read what was written, dismiss.

Protocols and pages call this and translate: here is no HTTP, no WPS and no page. Whatever is
refused is a `JobsError`, also a database that is away.
"""

import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from landcover.disk import is_full_for_sqlite
from landcover.errors import InputError, NameRefused
from landcover.operation import Operation
from landcover.storage.remote import is_remote
from wps_processes.caller import Caller
from wps_processes.errors import (
    InvalidInput,
    JobFailed,
    JobOver,
    MissingInput,
    NoSuchJob,
    NoSuchOperation,
    NoSuchOutput,
    OutputTooLarge,
    TookTooLong,
    Unavailable,
)
from wps_processes.jobs.dispatcher import Dispatcher
from wps_processes.jobs.folder import name_of, storage_of
from wps_processes.jobs.ledger import SUCCESSFUL, Job, Ledger, Sought
from wps_processes.jobs.published import published
from wps_processes.jobs.quota import Quota
from wps_processes.jobs.sync_limit import SyncCalls
from wps_processes.jobs.text import storable
from wps_processes.runners.needs import no_gpu

LOGGER = logging.getLogger(__name__)
ALL_BY_REFERENCE = '{"outputs": {}, "lineage": false}'
"""The form of a job that no client of WPS made: its status document shows all outputs. Services of
earlier versions, which may share the ledger, need both members."""

_AWAY = "the jobs are not known now, try again later"
_FULL = "the disk of the service is full: try again when its administrator has made room"


@dataclass(frozen=True)
class OutputValue:
    """One output of a successful job.

    Attributes:
        name: the storage name of what was written, None for a value.
        file: its name in the job's folder, None for a value.
        value: the value itself, None for what was written.
    """

    name: str | None = None
    file: str | None = None
    value: Any = None


@dataclass
class JobsService:
    """What callers may do with jobs.

    Attributes:
        storage: root of the storage tree.
        ledger: where jobs stand.
        dispatcher: starts and ends them.
        sync_seconds: a synchronous call waits so long.
        sync_at_once: cap on synchronous calls that wait, any one user at half of it; each takes a
            thread of the web server.
        home_quota: bytes that the files of one user may take; None is no limit.
        has_nextcloud: whether names may stand for what is at Nextcloud alone; then it is found
            out when the job begins whether it is there.
        has_gpus: whether jobs may have a GPU; else those that ask for one are refused.
    """

    storage: Path
    ledger: Ledger
    dispatcher: Dispatcher
    sync_seconds: float = 60.0
    sync_at_once: int = 16
    home_quota: int | None = None
    has_nextcloud: bool = False
    has_gpus: bool = False
    operations: Mapping[str, Operation] = field(default_factory=published)

    def __post_init__(self) -> None:
        """Start with no waiting call."""
        self.quota = Quota(self.storage, self.home_quota)
        self._seats = SyncCalls(self.sync_at_once)

    def operation(self, identifier: str) -> Operation:
        """Return a published operation.

        Raises:
            NoSuchOperation: there is none of this identifier.
        """
        if identifier not in self.operations:
            raise NoSuchOperation(f"there is no process {identifier}")
        return self.operations[identifier]

    def submit(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        caller: Caller,
        form: str = ALL_BY_REFERENCE,
    ) -> Job:
        """Make a job of checked inputs; it is durable on return.

        Args:
            operation: what to compute.
            inputs: values by name in the operation's types, files as storage names.
            caller: the job's owner.
            form: JSON of how the client wants its answer; kept for its protocol, unread here.

        Raises:
            InvalidInput: a file is not there for the caller, or it needs a GPU and there is none.
            QuotaReached: the caller's room is used up.
            TryLater: no more jobs are taken now.
        """
        self._check_gpus(operation, inputs)
        self._check_names(operation, inputs, caller)
        self.quota.check(caller.folder)
        job = Job(
            user=caller.name,
            folder=caller.folder,
            groups=list(caller.groups),
            administrator=caller.administrator,
            operation=operation.identifier,
            inputs=dict(inputs),
            request=form,
        )
        with _unavailable("no job can be taken now by our fault, try again later"):
            self.dispatcher.submit(job)
        return job

    def run(
        self,
        operation: Operation,
        inputs: Mapping[str, Any],
        caller: Caller,
        form: str = ALL_BY_REFERENCE,
    ) -> Job:
        """Make a job as `submit` does, and wait for its end, however it ends.

        Raises:
            TookTooLong: it did not end in time, and was dismissed.
            InvalidInput, QuotaReached, TryLater: as `submit`, and if too many calls wait.
        """
        with self._seats.taken(caller.name):
            job = self.submit(operation, inputs, caller, form)
            with _unavailable(f"the job {job.id} was accepted, and is not known now: ask later"):
                return self._over(job)

    def check(self) -> None:
        """Check whether jobs can be served now.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            self.ledger.check()

    def job(self, job_id: str, caller: Caller) -> Job:
        """Return a job of the caller.

        Raises:
            NoSuchJob: it is not there, or another's.
            Unavailable: the ledger does not answer.
        """
        if job_id != storable(job_id):  # PostgreSQL takes no NUL
            raise NoSuchJob("you have no such job")
        with _unavailable(_AWAY):
            job = self.ledger.get(job_id)
        if job is None or job.user != caller.name:
            raise NoSuchJob("you have no such job")
        return job

    def jobs(
        self, user: str | None, limit: int = 100, offset: int = 0, state: str | None = None
    ) -> list[Job]:
        """Return a user's jobs, or with None everybody's, newest first.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            if user is None:
                return self.ledger.of_everybody(limit, offset, state)
            return self.ledger.of_user(user, limit, offset, state)

    def found(self, caller: Caller, sought: Sought, limit: int, offset: int = 0) -> list[Job]:
        """Return the caller's jobs that are sought, newest first.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            return self.ledger.found(caller.name, sought, limit, offset)

    def position(self, job: Job) -> int | None:
        """Return a waiting job's place in the queue, from 1; None if it does not wait.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            return self.ledger.position(job)

    def dismiss(self, job_id: str, caller: Caller) -> Job:
        """Dismiss a job of the caller, or anybody's if the caller is an administrator.

        Returns:
            The job as it then is.

        Raises:
            NoSuchJob: it is not there, or not the caller's to end.
            JobOver: it has ended already.
            Unavailable: the ledger does not answer.
        """
        if job_id != storable(job_id):
            raise NoSuchJob("you have no such job")
        with _unavailable(_AWAY):
            job = self.ledger.get(job_id)
            if job is None or (job.user != caller.name and not caller.administrator):
                raise NoSuchJob("you have no such job")
            by = "its owner" if job.user == caller.name else f"the administrator {caller.name}"
            is_dismissed = self.dispatcher.dismiss(job.id, f"dismissed by {by}")
            job = self.ledger.get(job_id) or job
        if not is_dismissed:
            raise JobOver(f"the job is {job.state} already")
        return job

    @property
    def paused(self) -> bool:
        """Whether an administrator holds waiting jobs back.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            return self.dispatcher.paused

    def pause(self, by: str) -> None:
        """Pause starting jobs; running ones go on.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            self.dispatcher.pause(by)

    def resume(self, by: str) -> None:
        """Resume starting jobs.

        Raises:
            Unavailable: the ledger does not answer.
        """
        with _unavailable(_AWAY):
            self.dispatcher.resume(by)

    def outputs(self, job: Job) -> dict[str, OutputValue]:
        """Return the outputs of a job by name, none before it is successful."""
        return {name: _output_value(job, value) for name, value in (job.outputs or {}).items()}

    def value(self, job: Job, output: str) -> Any:
        """Return one output of a job: a value, or the storage name of what was written.

        Raises:
            JobFailed: the job has no outputs; the sentence is the job's.
            NoSuchOutput: it is optional, and was not asked for.
        """
        if job.state != SUCCESSFUL:
            raise JobFailed(job.error or job.message)
        if output not in (job.outputs or {}):
            raise NoSuchOutput(f"the job gave no {output}: its inputs did not ask for it")
        return (job.outputs or {})[output]

    def open_written(self, job: Job, name: str) -> int:
        """Open a file or folder that a job has written, or its log; return the descriptor.

        Args:
            job: the job.
            name: its name in the job's folder.

        Raises:
            NoSuchOutput: it is not there, or it leads out of the owner's folders.
        """
        try:
            return storage_of(job, self.storage).open(f"{name_of(job.id)}/{name}")
        except NameRefused as error:
            raise NoSuchOutput(str(error)) from error

    def open_output(self, job: Job, file: str) -> BinaryIO:
        """Open a file that a job has written.

        Raises:
            NoSuchOutput: as `open_written`, or it is a folder.
        """
        descriptor = self.open_written(job, file)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NoSuchOutput(f"{file} is a folder: it lies in {name_of(job.id)}/{file}")
        return os.fdopen(descriptor, "rb")

    def read_output(self, job: Job, file: str, most: int) -> bytes:
        """Return the content of a file that a job has written.

        Raises:
            NoSuchOutput: as `open_output`.
            OutputTooLarge: it has more than `most` bytes.
        """
        with self.open_output(job, file) as opened:
            content = opened.read(most + 1)
        if len(content) > most:
            raise OutputTooLarge(f"{file} has more than {most} bytes")
        return content

    def _over(self, job: Job) -> Job:
        """Wait until a job is over, and return it as it then is."""
        known = self.dispatcher.wait(job.id, self.sync_seconds) or job
        if known.is_over:
            return known
        if self.dispatcher.dismiss(job.id, "dismissed, the synchronous call took too long"):
            raise TookTooLong(
                f"{job.operation} did not end within {self.sync_seconds:g} seconds, which a "
                "synchronous call may take: call it asynchronously"
            )
        return self.ledger.get(job.id) or known  # it ended just now

    def _check_gpus(self, operation: Operation, inputs: Mapping[str, Any]) -> None:
        """Refuse what would otherwise wait for a GPU in vain, or fail after a while."""
        try:
            needs = operation.needs(inputs)
        except InputError as error:  # a form has not settled them
            raise InvalidInput(str(error), error.input) from error
        if needs.gpus and not self.has_gpus:
            raise InvalidInput(no_gpu(operation.identifier), "options")

    def _check_names(
        self, operation: Operation, inputs: Mapping[str, Any], caller: Caller
    ) -> None:
        """Refuse a call whose files are not there before a job is made of it."""
        storage = storage_of(caller, self.storage)
        for declared in operation.inputs:
            for name in declared.paths_in(inputs.get(declared.name)):
                try:
                    if self.has_nextcloud:
                        is_remote(name, storage)  # Nextcloud is asked when the job begins
                    else:
                        os.close(storage.open(name))
                except NameRefused as error:
                    raise InvalidInput(str(error), declared.name) from error


def check_inputs(operation: Operation, given: Mapping[str, object]) -> dict[str, Any]:
    """Return a call's inputs in the operation's types, defaults filled in.

    Files stay as given, lists of files as lists.

    Raises:
        InvalidInput: one is unknown, of another type or out of range.
        MissingInput: one is needed and was not given.
    """
    declared = {each.name: each for each in operation.inputs}
    checked: dict[str, Any] = {
        name: i.default for name, i in declared.items() if i.default is not None
    }
    for name, value in given.items():
        if name not in declared:
            known = ", ".join(declared)
            raise InvalidInput(f"{operation.identifier} has no input {name}, it has {known}", name)
        texts = [value] if isinstance(value, str) else declared[name].paths_in(value)
        if any(isinstance(each, str) and each != storable(each) for each in texts):
            raise InvalidInput(f"{name} holds a sign that no text has (NUL, half a pair)", name)
        try:
            converted = declared[name].check(value)
        except InputError as error:
            raise InvalidInput(str(error), name) from error
        # storage names are no paths of this machine
        names = declared[name].paths_in(value)
        checked[name] = (names if declared[name].many else value) if names else converted
    for name, missing in declared.items():
        if missing.required and name not in given:
            raise MissingInput(f"{operation.identifier} needs {name}", name)
    try:
        operation.settle(checked)
    except InputError as error:
        raise InvalidInput(str(error), error.input) from error
    return checked


def _output_value(job: Job, value: Any) -> OutputValue:
    folder = f"{name_of(job.id)}/"
    if not (isinstance(value, str) and value.startswith(folder)):
        return OutputValue(value=value)
    return OutputValue(name=value, file=value.removeprefix(folder))


@contextmanager
def _unavailable(sentence: str) -> Iterator[None]:
    """Turn a database that is away for a while into a refusal."""
    try:
        yield
    except SQLAlchemyError as error:
        LOGGER.exception("the ledger of jobs does not answer")
        is_full = isinstance(error, DBAPIError) and is_full_for_sqlite(error.orig)
        raise Unavailable(_FULL if is_full else sentence) from error
