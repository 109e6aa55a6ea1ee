"""Where the ledger of jobs lies: in a SQLite file of one service, or in PostgreSQL for several."""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import (
    TIMESTAMP,
    URL,
    Connection,
    Table,
    cast,
    create_engine,
    event,
    extract,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError

from landcover.disk import keep_pages

_SECONDS_TO_END = 30.0
_SECONDS_TO_ANSWER = 10
_SILENT = "10s"
_SQLITE_CONNECTIONS = 8  # that stay open, three descriptors each
_CHANGES_IN_TURN = 0x6A6F6273  # any number that nobody else locks in this database
NEEDED = (
    "needed is the URL of a database, sqlite:////FOLDER/jobs.sqlite "
    "or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
)

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


class LedgerRefused(Exception):
    """The ledger of jobs cannot be opened or joined; the sentence holds no password."""


class Database(Protocol):
    """What SQLite and PostgreSQL do differently.

    Attributes:
        engine: reads.
        shared: whether several services may run jobs of this ledger.
    """

    engine: Engine
    shared: bool

    def writing(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that writes; it is durable when the context is left."""

    def alone(self, connection: Connection) -> None:
        """Lock out other writers until this transaction ends."""

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can say what happens on a conflict."""

    def seconds(self, time: Any) -> Any:
        """Return a time that stands in a column as text, in seconds."""

    def keep_room(self) -> None:
        """Make room for the next changes on a full disk, where that is ours to do."""

    def occupy(self) -> None:
        """Lock out other services, if there may be only one.

        Raises:
            LedgerRefused: another service is in, and stays.
        """

    def unlock(self) -> None:
        """Release the lock on other services."""


class SQLite:
    """One file, of one service at a time."""

    shared = False

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        path.touch(mode=0o600)  # whatever the umask: it names users and their files
        # one for each thread that asks; more than a few are closed after use
        self.engine = create_engine(
            f"sqlite:///{path}", pool_size=_SQLITE_CONNECTIONS, max_overflow=-1
        )
        event.listen(self.engine, "connect", _prepare_sqlite)
        self._path = path
        self._turn = threading.Lock()  # SQLite lets writers wait by sleeping
        self._occupied: int | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that writes."""
        with self._turn, self.engine.begin() as connection:
            yield connection

    def alone(self, connection: Connection) -> None:
        """Do nothing: SQLite has one writer at a time."""

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can say what happens on a conflict."""
        return sqlite.insert(table)

    def seconds(self, time: Any) -> Any:
        """Return a time of text in seconds."""
        return func.julianday(time) * 86_400

    def keep_room(self) -> None:
        """Reserve free pages in the file, and a long log."""
        with self._turn, closing(self.engine.raw_connection()) as connection:
            assert isinstance(connection.driver_connection, sqlite3.Connection)
            keep_pages(connection.driver_connection)

    def occupy(self) -> None:
        """Lock a file beside the ledger; the kernel lets go of it when this process ends.

        Raises:
            LedgerRefused: another service holds it, and goes on doing so.
        """
        if self._occupied is not None:
            return
        name = f"{self._path}.lock"
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _SECONDS_TO_END
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise LedgerRefused(
                        f"another service runs the jobs of {self._path}, and SQLite is for one "
                        "service: end it, or give both one PostgreSQL in GEOPORTAL_LEDGER"
                    ) from None
                time.sleep(0.05)  # an earlier service may be ending
            else:
                self._occupied = lock
                return

    def unlock(self) -> None:
        """Release the lock."""
        if self._occupied is not None:
            os.close(self._occupied)
            self._occupied = None


class PostgreSQL:
    """A database that several services share."""

    shared = True

    def __init__(self, url: URL) -> None:
        """Connect when first needed."""
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # the server may have been restarted
            pool_size=5,
            max_overflow=15,
            connect_args={
                "application_name": "geoportal-wps",
                "connect_timeout": _SECONDS_TO_ANSWER,
                "tcp_user_timeout": _SECONDS_TO_ANSWER * 1_000,
            },
        )
        event.listen(self.engine, "connect", _prepare_postgresql)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that writes; each statement sees what was committed before it."""
        with self.engine.begin() as connection:
            yield connection

    def alone(self, connection: Connection) -> None:
        """Wait for the lock of this kind of change, and hold it until the transaction is over."""
        connection.execute(select(func.pg_advisory_xact_lock(_CHANGES_IN_TURN)))

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can say what happens on a conflict."""
        return postgresql.insert(table)

    def seconds(self, time: Any) -> Any:
        """Return a time of text in seconds."""
        return extract("epoch", cast(time, TIMESTAMP(timezone=True)))

    def keep_room(self) -> None:
        """Do nothing: it is the database's administrator who watches its disk."""

    def occupy(self) -> None:
        """Do nothing: there may be several services."""

    def unlock(self) -> None:
        """Do nothing: there may be several services."""


def database_at(place: Path | str) -> Database:
    """Return the database of a path (SQLite) or URL.

    Raises:
        LedgerRefused: it is no URL, or of another kind of database.
    """
    if isinstance(place, Path):
        return SQLite(place)
    url = _checked(place)
    return SQLite(Path(str(url.database))) if _is_sqlite(url) else PostgreSQL(url)


def is_shared(place: Path | str) -> bool:
    """Return whether several services may run jobs of the ledger at a path (SQLite) or URL.

    Raises:
        LedgerRefused: it is no URL, or of another kind of database.
    """
    return not isinstance(place, Path) and not _is_sqlite(_checked(place))


def _checked(place: str) -> URL:
    try:
        url = make_url(place.strip())
    except (ArgumentError, ValueError):  # its sentence may hold the password
        raise LedgerRefused(f"the ledger is no URL: {NEEDED}") from None
    is_file = url.database and url.database != ":memory:"
    if url.drivername in _POSTGRESQL or (_is_sqlite(url) and is_file):
        return url
    raise LedgerRefused(f"the ledger is {shown(url)}: {NEEDED}")


def _is_sqlite(url: URL) -> bool:
    return url.drivername in ("sqlite", "sqlite+pysqlite")


def shown(url: URL) -> str:
    """Return a URL as logs may have it: without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # accepted means written to the disk
    connection.execute("PRAGMA busy_timeout = 30000")


def _prepare_postgresql(connection: Any, _: object) -> None:
    # a service that hangs in the middle of a change must not hold the others up
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_SILENT}'")
    connection.commit()
