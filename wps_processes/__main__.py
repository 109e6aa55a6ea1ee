"""`python -m wps_processes`: the service as the hub starts it."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import waitress
from pythonjsonlogger.json import JsonFormatter

from landcover.nextcloud import AskAccess
from landcover.nextcloud.access import TOKEN_URL, TokenService
from landcover.storage.remote import MOST_MIB
from wps_processes.cluster.api import Cluster
from wps_processes.cluster.attempt import Means
from wps_processes.cluster.runner import KubernetesRunner
from wps_processes.cluster.settings import ClusterSettings
from wps_processes.cluster.watching import Watching
from wps_processes.databases import LedgerRefused
from wps_processes.dispatcher import Dispatcher, Runner
from wps_processes.fetching import Fetcher
from wps_processes.forkserver import ForkServer
from wps_processes.identity import HubIdentity, kept_key
from wps_processes.jobs import LEASE_SECONDS, Ledger, Limits
from wps_processes.membership import groups_at_the_hub
from wps_processes.runners import ProcessRunner
from wps_processes.runs import Runs, RunTokens
from wps_processes.sandbox import is_supported
from wps_processes.service import Application, Places

LOGGER = logging.getLogger(__name__)
THREADS = 32
WAITING_THREADS = 16  # of these, so many synchronous calls may wait in
LARGEST_REQUEST = 4 << 20
"""Larger ones waitress leaves unread; those over `service.MAX_BODY` get a sentence of WPS."""

CONNECTIONS = 1_000
SLOW_SECONDS = 60
"""A connection on which nothing has moved for so long is closed."""


def main() -> int:
    """Serve until told to stop."""
    _log_as_json()
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    signal.signal(signal.SIGTERM, _stop)
    try:
        with _application() as application:
            waitress.serve(
                application, host=address.hostname, port=address.port, threads=THREADS,
                max_request_body_size=LARGEST_REQUEST, connection_limit=CONNECTIONS,
                channel_timeout=SLOW_SECONDS, ident=None, _quiet=True,
            )  # fmt: skip
    except LedgerRefused as error:
        LOGGER.critical("%s", error)
        return 1
    return 0


@contextmanager
def _application() -> Iterator[Application]:
    """Assemble the service from its environment, and run its jobs."""
    state = Path(os.environ["GEOPORTAL_STATE"])
    places = Places(
        storage=Path(os.environ.get("GEOPORTAL_STORAGE") or state / "storage"),
        prefix=os.environ["JUPYTERHUB_SERVICE_PREFIX"],
        public_url=os.environ.get("GEOPORTAL_PUBLIC_URL", ""),
        sync_seconds=_setting("SYNC_SECONDS", 60),
        sync_at_once=WAITING_THREADS,
        home_quota=int(_setting("HOME_QUOTA", 0)) or None,
    )
    ledger = _ledger(state)
    access = _access_of_users()
    most = int(_setting("FETCHED_MIB", MOST_MIB)) << 20
    fetcher = None if access is None else Fetcher(places.storage, access, most)
    identity = HubIdentity(state, places.prefix)
    with _running_jobs(state, places.storage, ledger, fetcher) as (runner, runs):
        dispatcher = Dispatcher(
            ledger,
            runner,
            at_once=int(_setting("JOBS_AT_ONCE", os.cpu_count() or 1)),
            limits=Limits(
                per_user=int(_setting("JOBS_PER_USER", Limits.per_user)),
                in_total=int(_setting("JOBS_IN_TOTAL", Limits.in_total)),
            ),
            retention=timedelta(days=_setting("JOBS_KEPT_DAYS", 30)),
            groups_now=groups_at_the_hub,
        )
        dispatcher.start()
        try:
            yield Application(places, ledger, dispatcher, identity, access, runs)
        finally:
            dispatcher.stop()
            identity.close()
            ledger.close()


@contextmanager
def _running_jobs(
    state: Path, storage: Path, ledger: Ledger, fetcher: Fetcher | None
) -> Iterator[tuple[Runner, Runs | None]]:
    """Lend what runs jobs where GEOPORTAL_JOBS_RUN_IN says, and what their pods speak to."""
    place = os.environ.get("GEOPORTAL_JOBS_RUN_IN") or "processes"
    if place == "kubernetes":
        yield _in_the_cluster(state, storage, ledger, fetcher)
    elif place == "processes":
        if not is_supported():
            LOGGER.warning(
                "this kernel has no Landlock: jobs are not confined to their user's folders"
            )
        forks = ForkServer(os.environ)
        forks.start()
        try:
            yield ProcessRunner(storage, forks, fetcher), None
        finally:
            forks.close()
    else:
        raise SystemExit(f"GEOPORTAL_JOBS_RUN_IN is {place}, needs processes or kubernetes")


def _in_the_cluster(
    state: Path, storage: Path, ledger: Ledger, fetcher: Fetcher | None
) -> tuple[Runner, Runs]:
    settings = ClusterSettings.from_environment(os.environ)
    file = os.environ.get("GEOPORTAL_JOB_KEY_FILE")
    if ledger.shared and not file:
        raise SystemExit("services that share a ledger need one key, GEOPORTAL_JOB_KEY_FILE")
    key = Path(file).read_text().strip() if file else kept_key(state / "job-token.key")
    tokens = RunTokens(key.encode())
    cluster = Cluster(settings.namespace)
    runner = KubernetesRunner(
        Means(storage, cluster, Watching(cluster), settings, tokens, fetcher)
    )
    return runner, Runs(ledger, tokens, runner.orders, runner.told, groups_at_the_hub)


def _ledger(state: Path) -> Ledger:
    """Open the ledger of jobs: the URL may have a password, so it may come in a file."""
    url = os.environ.get("GEOPORTAL_LEDGER")
    if file := os.environ.get("GEOPORTAL_LEDGER_FILE"):
        url = Path(file).read_text()
    lease = _setting("LEASE_SECONDS", LEASE_SECONDS)
    return Ledger(url or state / "jobs.sqlite", lease)


def _access_of_users() -> Callable[[str], AskAccess] | None:
    """Return what asks the hub for a user's token, None without Nextcloud."""
    url = os.environ.get(TOKEN_URL)
    return partial(TokenService, url) if url else None


def _setting(name: str, default: float) -> float:
    return float(os.environ.get(f"GEOPORTAL_{name}") or default)


def _log_as_json() -> None:
    """Log one object of JSON a line: time, level, logger, message, and job and user."""
    handler = logging.StreamHandler()
    names = {"asctime": "time", "levelname": "level", "name": "logger"}
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields=names,
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("PYWPS").setLevel(logging.CRITICAL)  # it logs a traceback per refusal


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
