"""The ledger of jobs: one table, the truth from which every status is rendered.

A job stands here, durably, before anybody is told that it was accepted. Its state goes from
accepted to running to successful, failed or dismissed; a service that died while it ran finds it
running at the next start and takes it up again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Engine

ACCEPTED, RUNNING = "accepted", "running"
SUCCESSFUL, FAILED, DISMISSED = "successful", "failed", "dismissed"
STATES = (ACCEPTED, RUNNING, SUCCESSFUL, FAILED, DISMISSED)
ATTEMPTS = 3
"""A job whose process died with the service this often is not tried again."""

_jobs = Table(
    "jobs",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("user", String(255), nullable=False, index=True),
    Column("folder", String(255), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("administrator", Integer, nullable=False),
    Column("operation", String(64), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("progress", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("created", String(32), nullable=False, index=True),
    Column("started", String(32)),
    Column("finished", String(32)),
    Column("outputs", JSON),
    Column("error", Text),
)


@dataclass(frozen=True)
class Job:
    """One row of the ledger; times are RFC 3339, UTC.

    Attributes:
        id: random (uuid4).
        user: hub name of the owner.
        folder: the owner's folder below users/.
        groups: the owner's groups when the job was accepted.
        operation: its identifier.
        inputs: values by name, files as storage names.
        request: the WPS request as PyWPS restores it.
        state: one of STATES.
        progress: 0..100.
        pid: of the process while it runs; process_started tells it from a later one of this pid.
        outputs: values by name, written ones as storage names; None until successful.
        error: the sentence why it failed.
    """

    user: str
    folder: str
    groups: Sequence[str]
    administrator: bool
    operation: str
    inputs: Mapping[str, Any]
    request: str
    id: str = field(default_factory=lambda: str(uuid4()))
    state: str = ACCEPTED
    progress: int = 0
    message: str = "waiting for a free processor"
    attempt: int = 0
    pid: int | None = None
    process_started: float | None = None
    created: str = field(default_factory=lambda: now())
    started: str | None = None
    finished: str | None = None
    outputs: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.state not in (ACCEPTED, RUNNING)


class Ledger:
    """Jobs in one SQLite file; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        path.touch(mode=0o600)  # whatever the umask: it names users and their files
        self._engine: Engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _prepare_connection)
        _jobs.metadata.create_all(self._engine)

    def add(self, job: Job) -> None:
        """Write a new job durably."""
        row = {f.name: getattr(job, f.name) for f in fields(Job)}
        with self._engine.begin() as connection:
            connection.execute(insert(_jobs).values(**row))

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if there is none of this id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(_jobs).where(_jobs.c.id == job_id)).one_or_none()
        return None if row is None else Job(**row._mapping)

    def of_user(
        self, user: str, limit: int = 100, offset: int = 0, state: str | None = None
    ) -> list[Job]:
        """Return a user's jobs, newest first."""
        return self._newest(select(_jobs).where(_jobs.c.user == user), limit, offset, state)

    def of_everybody(
        self, limit: int = 100, offset: int = 0, state: str | None = None
    ) -> list[Job]:
        """Return all users' jobs, newest first."""
        return self._newest(select(_jobs), limit, offset, state)

    def _newest(self, query: Select[Any], limit: int, offset: int, state: str | None) -> list[Job]:
        if state is not None:
            query = query.where(_jobs.c.state == state)
        query = query.order_by(_jobs.c.created.desc(), _jobs.c.id).limit(limit).offset(offset)
        with self._engine.connect() as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def running(self) -> list[Job]:
        """Return the jobs that are said to run."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_jobs).where(_jobs.c.state == RUNNING))
            return [Job(**row._mapping) for row in rows]

    def position(self, job: Job) -> int | None:
        """Return a waiting job's place in its owner's queue, from 1; None if it does not wait."""
        if job.state != ACCEPTED:
            return None
        query = select(func.count()).where(
            _jobs.c.user == job.user, _jobs.c.state == ACCEPTED, _jobs.c.created <= job.created
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def claim(self) -> Job | None:
        """Take the next job to run: of the user with fewest running ones, the oldest."""
        while (chosen := self._next()) is not None:
            taken = self._change(
                chosen,
                (ACCEPTED,),
                state=RUNNING,
                started=now(),
                message="starting",
                attempt=_jobs.c.attempt + 1,
            )
            if taken:  # else another dispatcher was faster
                return self.get(chosen)
        return None

    def started(self, job_id: str, pid: int, process_started: float) -> None:
        """Note which process computes a job."""
        self._change(job_id, (RUNNING,), pid=pid, process_started=process_started)

    def progress(self, job_id: str, percent: int, message: str) -> None:
        """Note how far a running job is."""
        self._change(job_id, (RUNNING,), progress=percent, message=message)

    def succeed(self, job_id: str, outputs: Mapping[str, Any]) -> bool:
        """End a running job well; False if it no longer runs."""
        return self._change(
            job_id,
            (RUNNING,),
            state=SUCCESSFUL,
            progress=100,
            message="done",
            outputs=dict(outputs),
            finished=now(),
        )

    def fail(self, job_id: str, sentence: str) -> bool:
        """End a running job with a sentence; False if it no longer runs."""
        return self._change(
            job_id, (RUNNING,), state=FAILED, message=sentence, error=sentence, finished=now()
        )

    def dismiss(self, job_id: str, sentence: str = "dismissed by its owner") -> bool:
        """End a waiting or running job; False if it was over."""
        return self._change(
            job_id, (ACCEPTED, RUNNING), state=DISMISSED, message=sentence, finished=now()
        )

    def requeue(self, job: Job) -> None:
        """Put a job whose process died with the service back in its place, or give it up."""
        if job.attempt >= ATTEMPTS:
            self.fail(job.id, f"the service stopped {ATTEMPTS} times while this job ran")
            return
        self._change(
            job.id, (RUNNING,), state=ACCEPTED, pid=None, process_started=None, progress=0,
            message="waiting to start again, the service was restarted",
        )  # fmt: skip

    def _next(self) -> str | None:
        busy = select(_jobs.c.user, func.count()).where(_jobs.c.state == RUNNING)
        waiting = select(_jobs.c.user, _jobs.c.id).where(_jobs.c.state == ACCEPTED)
        with self._engine.connect() as connection:
            running = {user: n for user, n in connection.execute(busy.group_by(_jobs.c.user))}
            queue = connection.execute(waiting.order_by(_jobs.c.created)).all()
        # min takes the first of equals, and the queue is in order of arrival
        return min(queue, key=lambda row: running.get(row[0], 0))[1] if queue else None

    def _change(self, job_id: str, states: Sequence[str], **values: Any) -> bool:
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(_jobs)
                .where(_jobs.c.id == job_id, _jobs.c.state.in_(states))
                .values(**values)
            )
        return bool(changed.rowcount)


def now() -> str:
    """Return the time as RFC 3339 in UTC, so fine that jobs sort by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _prepare_connection(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # accepted means written to the disk
    connection.execute("PRAGMA busy_timeout = 30000")


def to_request(job: Job, root: Path) -> str:
    """Return what the job's process is told, as one line of JSON."""
    return json.dumps(
        {
            "id": job.id,
            "operation": job.operation,
            "inputs": dict(job.inputs),
            "root": str(root),
            "folder": job.folder,
            "groups": list(job.groups),
            "administrator": bool(job.administrator),
        }
    )
