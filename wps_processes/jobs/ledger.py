"""The ledger of jobs: one table, the truth from which every status is rendered.

A job stands here, durably, before anybody is told that it was accepted. Its state goes from
accepted to running to successful, failed or dismissed; a service that died while it ran finds it
running at the next start and takes it up again. Every change names the states it may change, so
that what is over stays as it is, whoever comes late.

Services that share a ledger are told apart by their holder, a name that each start makes anew. Who
claims a job holds it, and lives as long as its lease is renewed; then others take its jobs over.
What is written of a running job names its holder and attempt, so that one who was thought dead
changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    delete,
    exists,
    extract,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from wps_processes.errors import Busy
from wps_processes.jobs.databases import LedgerRefused, database_at, shown
from wps_processes.jobs.text import storable

ACCEPTED, RUNNING = "accepted", "running"
SUCCESSFUL, FAILED, DISMISSED = "successful", "failed", "dismissed"
STATES = (ACCEPTED, RUNNING, SUCCESSFUL, FAILED, DISMISSED)
UNFINISHED = (ACCEPTED, RUNNING)
ATTEMPTS = 3
"""A job whose process died with the service this often is not tried again."""

WAITING = "waiting for a free processor"
RESTARTED = "its process was lost"
LEASE_SECONDS = 30.0


class SafeText(TypeDecorator[str]):
    """Text that every database takes, also from a job's process that was turned by a file."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        """Replace what not all take."""
        return None if value is None else storable(value)


_tables = MetaData()
_jobs = Table(
    "jobs",
    _tables,
    Column("id", String(36), primary_key=True),
    Column("user", String(255), nullable=False),
    Column("folder", String(255), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("administrator", Integer, nullable=False),
    Column("operation", String(64), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("message", SafeText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("created", String(32), nullable=False),
    Column("started", String(32)),
    Column("finished", String(32)),
    Column("outputs", JSON),
    Column("error", SafeText),
    Column("holder", String(64)),
    Column("remarks", JSON, nullable=False, server_default="[]"),
)
_LEFT = _jobs.c.pid.is_not(None)
_INDEXES = (
    # the last columns are those of the order, so that no list of finished jobs is ever sorted
    Index("jobs_by_time", _jobs.c.created, _jobs.c.id),
    Index("jobs_by_user", _jobs.c.user, _jobs.c.created, _jobs.c.id),
    Index("jobs_by_state", _jobs.c.state, _jobs.c.created, _jobs.c.id),
    Index("jobs_by_state_and_user", _jobs.c.state, _jobs.c.user, _jobs.c.created, _jobs.c.id),
    Index("jobs_served", _jobs.c.user, _jobs.c.started),
    Index("jobs_left", _jobs.c.id, sqlite_where=_LEFT, postgresql_where=_LEFT),
)
_EARLIER_INDEXES = (
    "ix_jobs_created", "ix_jobs_state", "ix_jobs_user", "jobs_in_turn", "jobs_of_user",
)  # fmt: skip
_switches = Table("switches", _tables, Column("name", String(32), primary_key=True))
PAUSED = "paused"
_MANY = 2**31 - 1
_replicas = Table(
    "replicas",
    _tables,
    Column("holder", String(64), primary_key=True),
    Column("alive_until", Float, nullable=False),
)


@dataclass(frozen=True)
class Limits:
    """How many jobs may wait or run at a time.

    Attributes:
        per_user: of one user.
        in_total: of all users.
    """

    per_user: int = 1_000
    in_total: int = 10_000


@dataclass(frozen=True)
class Sought:
    """Which jobs are sought; what is empty or None leaves all.

    Attributes:
        states: any of these.
        operations: any of these.
        since: accepted then or later; RFC 3339, UTC, as `now` writes it.
        until: accepted then or earlier.
        least: seconds that one has computed at least, to its end or until now.
        most: seconds that it has computed at most.
    """

    states: Sequence[str] = ()
    operations: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Queue:
    """How many jobs there are.

    Attributes:
        running: that compute.
        waiting: for their turn.
        oldest: when the one was accepted that waits for longest; None if none waits.
        recent: accepted since a time.
        failed: of these.
    """

    running: int
    waiting: int
    oldest: str | None
    recent: int
    failed: int


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
        request: JSON of the form in which its client wants the answer.
        state: one of STATES.
        progress: 0..100.
        pid: of the process that computes it, until what it left behind is tidied;
            process_started tells it from a later one of this pid.
        outputs: values by name, written ones as storage names; None until successful.
        error: the sentence why it failed.
        holder: the service that claimed it last; None until then.
        remarks: sentences that this attempt has made on what it reads and writes.
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
    message: str = WAITING
    attempt: int = 0
    pid: int | None = None
    process_started: float | None = None
    created: str = field(default_factory=lambda: now())
    started: str | None = None
    finished: str | None = None
    outputs: Mapping[str, Any] | None = None
    error: str | None = None
    holder: str | None = None
    remarks: Sequence[str] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.state not in UNFINISHED

    def is_same_attempt(self, other: "Job") -> bool:
        """Return whether two rows are of one job, one attempt and one holder."""
        return (self.id, self.attempt, self.holder) == (other.id, other.attempt, other.holder)


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a job ended: well if there are outputs, badly if there is an error.

    Attributes:
        outputs: values by name, written ones as storage names.
        error: the sentence why it failed, or why it is to be tried again.
        again: the job had no part in its end, and is to be tried again.
        remarks: all that it made; None if only those are known that the ledger has.
    """

    outputs: Mapping[str, Any] | None = None
    error: str | None = None
    again: bool = False
    remarks: Sequence[str] | None = None


class Ledger:
    """Jobs in one table; every change is one transaction.

    Attributes:
        holder: the name by which this opened ledger claims jobs.
        shared: whether other services may run its jobs too.
        lease_seconds: of a service that no longer renews it, others take the jobs over after it.
    """

    def __init__(self, place: Path | str, lease_seconds: float = LEASE_SECONDS) -> None:
        """Open or make it in a file of SQLite, or at the URL of a database.

        Raises:
            LedgerRefused: the URL is not of a database known here, or it cannot be opened.
        """
        self._database = database_at(place)
        self._engine, self.shared = self._database.engine, self._database.shared
        self.holder = f"{gethostname()[:30]}/{uuid4().hex}"
        # who occupies a SQLite file lives until it is vacated
        self.lease_seconds = lease_seconds if self.shared else inf
        self._most_of_user = _MANY
        try:
            with self._database.writing() as connection:
                self._database.alone(connection)  # of several services one makes the tables
                _make_tables(connection)
        except DBAPIError as error:
            place = shown(self._engine.url)
            raise LedgerRefused(f"the ledger of jobs, {place}, fails: {error.orig}") from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def join(self, most_of_user: int = _MANY) -> None:
        """Register as a service with a lease; services with an expired lease are removed.

        Args:
            most_of_user: so many jobs of one user are claimed at a time.

        Raises:
            LedgerRefused: another service runs the jobs, and this database is for one.
        """
        self._database.occupy()
        self._most_of_user = most_of_user
        dead = delete(_replicas)
        with self._database.writing() as connection:
            # with SQLite all are dead but the one that occupies it
            connection.execute(dead.where(~_LIVES) if self.shared else dead)
        self.renew()

    def renew(self) -> None:
        """Renew the lease."""
        lives = self._database.insert(_replicas).values(
            holder=self.holder, alive_until=_SECONDS_NOW + self.lease_seconds
        )
        again = lives.on_conflict_do_update(
            index_elements=["holder"], set_={"alive_until": lives.excluded.alive_until}
        )
        with self._database.writing() as connection:
            connection.execute(again)

    def leave(self) -> None:
        """Unregister: others may take over this one's jobs at once."""
        try:
            with self._database.writing() as connection:
                connection.execute(delete(_replicas).where(_replicas.c.holder == self.holder))
        finally:
            self._database.unlock()

    def add(self, job: Job, limits: Limits | None = None) -> None:
        """Write a new job durably.

        Raises:
            Busy: as many jobs as the limits allow are waiting or running; nothing is written.
        """
        limits = limits or Limits()
        row = {f.name: getattr(job, f.name) for f in fields(Job)}
        most = {"most_per_user": limits.per_user, "most_in_total": limits.in_total}
        with self._database.writing() as connection:
            self._database.alone(connection)  # else two count the same, and both write
            if connection.execute(_ADDED, row | most).rowcount:
                return
            yours = int(connection.execute(_BUSY_OF_USER, {"user": job.user}).scalar_one())
        if yours >= limits.per_user:
            raise Busy(f"{yours} of your jobs are waiting or running, and no more may: "
                       "dismiss one, or try again when some are over")  # fmt: skip
        raise Busy(f"{limits.in_total} jobs are waiting or running, and no more may: "
                   "try again in some minutes")  # fmt: skip

    def check(self) -> None:
        """Read from the table of jobs.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        with self._engine.connect() as connection:
            connection.execute(_ANY).first()

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if there is none of this id."""
        with self._engine.connect() as connection:
            row = connection.execute(_ONE, {"id": job_id}).one_or_none()
        return None if row is None else Job(**row._mapping)

    def of_user(
        self, user: str, limit: int = 100, offset: int = 0, state: str | None = None
    ) -> list[Job]:
        """Return a user's jobs, newest first."""
        return self._listed(select(_jobs).where(_jobs.c.user == user), limit, offset, state)

    def of_everybody(
        self, limit: int = 100, offset: int = 0, state: str | None = None
    ) -> list[Job]:
        """Return all users' jobs, newest first."""
        return self._listed(select(_jobs), limit, offset, state)

    def found(self, user: str, sought: Sought, limit: int = 100, offset: int = 0) -> list[Job]:
        """Return a user's jobs that are sought, newest first."""
        query = select(_jobs).where(_jobs.c.user == user, *self._conditions(sought))
        return self._listed(query, limit, offset, None)

    def _conditions(self, sought: Sought) -> Iterator[Any]:
        if sought.states:
            yield _jobs.c.state.in_(sought.states)
        if sought.operations:
            yield _jobs.c.operation.in_(sought.operations)
        if sought.since is not None:
            yield _jobs.c.created >= sought.since
        if sought.until is not None:
            yield _jobs.c.created <= sought.until
        seconds = self._database.seconds
        computed = seconds(func.coalesce(_jobs.c.finished, now())) - seconds(_jobs.c.started)
        if sought.least is not None:
            yield computed >= sought.least
        if sought.most is not None:
            yield computed <= sought.most

    def unclean(self) -> list[Job]:
        """Return the jobs that run or have left something behind, of this holder or a dead one."""
        with self._engine.connect() as connection:
            rows = connection.execute(_UNSETTLED, {"by": self.holder})
            return [Job(**row._mapping) for row in rows]

    def take_over(self, job: Job) -> Job | None:
        """Take ownership of a job; None if it changed meanwhile, or another has taken it."""
        taken = self._change(job, (job.state,), holder=self.holder)
        return replace(job, holder=self.holder) if taken else None

    def holds(self, job: Job) -> bool:
        """Return whether this attempt at a job still runs, and for its holder."""
        known = self.get(job.id)
        return known is not None and known.state == RUNNING and known.is_same_attempt(job)

    def position(self, job: Job) -> int | None:
        """Return a waiting job's place in the queue, from 1; None if it does not wait."""
        if job.state != ACCEPTED:
            return None
        with self._engine.connect() as connection:
            turns = connection.execute(_TURNS).all()
            said = {"user": job.user, "created": job.created}
            place = int(connection.execute(_PLACE, said).scalar_one())
        users = [turn.user for turn in turns]
        if job.user not in users:  # it was started just now
            return 1
        turn = users.index(job.user)
        # one job of each user in each round
        before = sum(min(user.waiting, place) for user in turns[:turn])
        after = sum(min(user.waiting, place - 1) for user in turns[turn + 1 :])
        return place + int(before) + int(after)

    def claim(self) -> Job | None:
        """Claim the next job to run; None if none waits or the queue is paused.

        It is the oldest of the user with fewest running ones; among such users, of the one who
        has not been served for longest. Users of whom as many run here as may are passed over.
        """
        while (chosen := self._next()) is not None:
            taking = {"chosen": chosen, "began": now(), "by": self.holder}
            with self._database.writing() as connection:
                taken = connection.execute(_TAKEN, taking).rowcount
            if taken:  # else another took it, it was dismissed, or the queue paused, meanwhile
                return self.get(chosen)
        return None

    @property
    def is_paused(self) -> bool:
        """Whether waiting jobs are held back."""
        with self._engine.connect() as connection:
            return connection.execute(select(_switches)).first() is not None

    def pause(self) -> None:
        """Pause starting jobs, also after a restart; running ones go on."""
        paused = self._database.insert(_switches).values(name=PAUSED).on_conflict_do_nothing()
        with self._database.writing() as connection:
            connection.execute(paused)

    def resume(self) -> None:
        """Resume starting jobs."""
        with self._database.writing() as connection:
            connection.execute(delete(_switches))

    def started(self, job: Job, pid: int, process_started: float) -> bool:
        """Note which process computes a job; False if it no longer runs for its holder."""
        return self._change(job, (RUNNING,), pid=pid, process_started=process_started)

    def narrow(self, job: Job, groups: Sequence[str]) -> bool:
        """Restrict a running job to these groups; False if it no longer runs for its holder."""
        return self._change(job, (RUNNING,), groups=list(groups))

    def progress(self, job: Job, percent: int, message: str) -> bool:
        """Note how far a running job is; False if it no longer runs for its holder."""
        return self._change(job, (RUNNING,), progress=percent, message=message)

    def remark(self, job: Job, remarks: Sequence[str]) -> bool:
        """Note all remarks of a running job so far; False if it no longer runs for its holder."""
        return self._change(job, (RUNNING,), remarks=list(remarks))

    def succeed(
        self, job: Job, outputs: Mapping[str, Any], remarks: Sequence[str] | None = None
    ) -> bool:
        """Mark a running job successful; False if it no longer runs for its holder.

        Args:
            job: as it was claimed.
            outputs: values by name, written ones as storage names.
            remarks: all that it made; None leaves those that are known.
        """
        return self._change(
            job,
            (RUNNING,),
            state=SUCCESSFUL,
            progress=100,
            message="done",
            outputs=dict(outputs),
            finished=now(),
            pid=None,
            process_started=None,
            **_if_known(remarks),
        )

    def fail(self, job: Job, sentence: str, remarks: Sequence[str] | None = None) -> bool:
        """Mark a running job failed, with a sentence; False if it no longer runs for its holder.

        Args:
            job: as it was claimed.
            sentence: why it failed.
            remarks: all that it made; None leaves those that are known.
        """
        return self._change(
            job, (RUNNING,), state=FAILED, message=sentence, error=sentence, finished=now(),
            **_if_known(remarks),
        )  # fmt: skip

    def mark_clean(self, job: Job) -> bool:
        """Note that no process of this attempt is left, and nothing half written."""
        return self._change(job, STATES, pid=None, process_started=None)

    def dismiss(self, job_id: str, sentence: str = "dismissed by its owner") -> bool:
        """Mark a waiting or running job dismissed, whoever holds it; False if it was over."""
        ending = {"state": DISMISSED, "message": sentence, "finished": now()}
        with self._database.writing() as connection:
            changed = connection.execute(
                update(_jobs)
                .where(_jobs.c.id == job_id, _jobs.c.state.in_(UNFINISHED))
                .values(ending)
            )
        return bool(changed.rowcount)

    def requeue(self, job: Job, why: str = RESTARTED) -> bool:
        """Requeue a job whose process ended for no fault of its own, or fail it.

        Args:
            job: as it was claimed.
            why: it ended, for its owner.

        Returns:
            Whether it will run again.
        """
        if job.attempt >= ATTEMPTS:
            self.fail(
                job, f"the service lost the process of this job {ATTEMPTS} times, start it again"
            )
            return False
        return self._change(
            job, (RUNNING,), state=ACCEPTED, pid=None, process_started=None, progress=0,
            holder=None, message=f"waiting to start again: {why}", remarks=[],
        )  # fmt: skip

    def services(self) -> int:
        """Return how many services run jobs of this ledger."""
        with self._engine.connect() as connection:
            alive = select(func.count()).select_from(_replicas).where(_LIVES)
            return int(connection.execute(alive).scalar_one())

    def queue(self, since: str) -> Queue:
        """Count the jobs that are not over, and those accepted since a time (as `now` has it)."""
        count = select(func.count())
        waiting, recent = _jobs.c.state == ACCEPTED, _jobs.c.created >= since
        counted = (
            count.where(_jobs.c.state == RUNNING),
            count.where(waiting),
            select(func.min(_jobs.c.created)).where(waiting),
            count.where(recent),
            count.where(recent, _jobs.c.state == FAILED),
        )
        with self._engine.connect() as connection:
            return Queue(
                *connection.execute(select(*(c.scalar_subquery() for c in counted))).one()
            )

    def keep_room(self) -> None:
        """Make room for the next changes on a full disk."""
        self._database.keep_room()

    def forget(self, before: str) -> int:
        """Remove the jobs that were over before a time; what they wrote belongs to their users.

        Args:
            before: RFC 3339, UTC, as `now` writes it.
        """
        over = _jobs.c.state.not_in(UNFINISHED)
        with self._database.writing() as connection:
            gone = connection.execute(delete(_jobs).where(over, _jobs.c.finished < before))
        return int(gone.rowcount)

    def _listed(self, query: Any, limit: int, offset: int, state: str | None) -> list[Job]:
        if state is not None:
            query = query.where(_jobs.c.state == state)
        query = (
            query.order_by(_jobs.c.created.desc(), _jobs.c.id.desc()).limit(limit).offset(offset)
        )
        with self._engine.connect() as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def _next(self) -> str | None:
        here = {"by": self.holder, "most": self._most_of_user}
        with self._engine.connect() as connection:
            return connection.execute(_NEXT, here).scalar_one_or_none()

    def _change(self, job: Job, states: Sequence[str], **values: Any) -> bool:
        """Change a job that is in one of these states, and still as given: attempt and holder."""
        with self._database.writing() as connection:
            changed = connection.execute(
                update(_jobs)
                .where(
                    _jobs.c.id == job.id,
                    _jobs.c.attempt == job.attempt,
                    _jobs.c.holder == job.holder,  # IS NULL for None
                    _jobs.c.state.in_(states),
                )
                .values(**values)
            )
        return bool(changed.rowcount)


def _if_known(remarks: Sequence[str] | None) -> dict[str, Any]:
    return {} if remarks is None else {"remarks": list(remarks)}


def _make_tables(connection: Connection) -> None:
    """Make what is missing: all, or what an earlier version did not have."""
    _tables.create_all(connection)
    there = {column["name"] for column in inspect(connection).get_columns(_jobs.name)}
    for column in _jobs.columns:
        if column.name not in there:
            added = CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(text(f"ALTER TABLE {_jobs.name} ADD COLUMN {added}"))
    for index in _INDEXES:
        index.create(connection, checkfirst=True)
    for name in _EARLIER_INDEXES:
        connection.execute(text(f"DROP INDEX IF EXISTS {name}"))


def _users_in_turn() -> Any:
    """Return the query for users with waiting jobs, and how many, in the order of their turns."""
    other = _jobs.alias()
    running = select(func.count()).where(other.c.state == RUNNING, other.c.user == _jobs.c.user)
    served = select(func.max(other.c.started)).where(other.c.user == _jobs.c.user)
    return (
        select(_jobs.c.user, func.count().label("waiting"))
        .where(_jobs.c.state == ACCEPTED)
        .group_by(_jobs.c.user)
        .order_by(
            running.scalar_subquery(),
            func.coalesce(served.scalar_subquery(), ""),
            func.min(_jobs.c.created),
        )
    )


def _running_here() -> Any:
    """Return the query for how many jobs of a user run at the service `by`."""
    other = _jobs.alias()
    return (
        select(func.count())
        .where(
            other.c.state == RUNNING,
            other.c.user == _jobs.c.user,
            other.c.holder == bindparam("by"),
        )
        .scalar_subquery()
    )


def _insert_within_limits() -> tuple[Any, Any]:
    """Return the statement that adds a job within limits, and one that counts its user's jobs.

    The first counts and writes in one, so that the last place is given once; the second says
    afterwards which limit was reached.
    """
    busy = select(func.count()).where(_jobs.c.state.in_(UNFINISHED))
    of_user = busy.where(_jobs.c.user == bindparam("user"))
    allowed = select(*(bindparam(c.name, type_=c.type) for c in _jobs.c)).where(
        busy.scalar_subquery() < bindparam("most_in_total"),
        of_user.scalar_subquery() < bindparam("most_per_user"),
    )
    added = insert(_jobs).from_select([c.name for c in _jobs.c], allowed)
    return added.execution_options(preserve_rowcount=True), of_user


# built once: that takes longer than their execution
_TURNS = _users_in_turn()
_SERVED = _TURNS.where(_running_here() < bindparam("most"))
_NEXT = (
    select(_jobs.c.id)
    .where(
        _jobs.c.state == ACCEPTED,
        _jobs.c.user
        == _SERVED.with_only_columns(_jobs.c.user).limit(1).correlate(None).scalar_subquery(),
        ~exists(_switches.c.name),
    )
    .order_by(_jobs.c.created, _jobs.c.id)
    .limit(1)
)
_ADDED, _BUSY_OF_USER = _insert_within_limits()
_TAKEN = (
    update(_jobs)
    .where(_jobs.c.id == bindparam("chosen"), _jobs.c.state == ACCEPTED, ~exists(_switches.c.name))
    .values(
        state=RUNNING,
        started=bindparam("began"),
        message="starting",
        attempt=_jobs.c.attempt + 1,
        holder=bindparam("by"),
    )
)
# the database's clock, so that services need not agree on the time
_SECONDS_NOW = extract("epoch", func.now())
_LIVES = _replicas.c.alive_until > _SECONDS_NOW
_UNSETTLED = select(_jobs).where(
    # each part has an index, which their disjunction would not use
    _jobs.c.id.in_(
        union_all(
            select(_jobs.c.id).where(_jobs.c.state == RUNNING), select(_jobs.c.id).where(_LEFT)
        )
    ),
    or_(
        _jobs.c.holder == bindparam("by"),
        ~exists().where(_replicas.c.holder == _jobs.c.holder, _LIVES),
    ),
)
_ANY = select(_jobs.c.id).limit(1)
_ONE = select(_jobs).where(_jobs.c.id == bindparam("id"))
_PLACE = select(func.count()).where(
    _jobs.c.user == bindparam("user"),
    _jobs.c.state == ACCEPTED,
    _jobs.c.created <= bindparam("created"),
)


def now() -> str:
    """Return the time as the ledger writes it."""
    return rfc3339(datetime.now(UTC))


def rfc3339(time: datetime) -> str:
    """Return a time of UTC, so fine that jobs sort by it."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
