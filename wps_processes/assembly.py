"""Assembles the service from its settings, and runs its jobs."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from landcover.storage.nextcloud import AskAccess
from landcover.storage.nextcloud.access import TokenService
from wps_processes.addresses import Addresses
from wps_processes.environment import SettingsError, shown
from wps_processes.identity import HubIdentity, kept_key
from wps_processes.jobs.dispatcher import Dispatcher, Runner
from wps_processes.jobs.ledger import Ledger, Limits
from wps_processes.jobs.membership import groups_at_the_hub
from wps_processes.jobs_service import JobsService
from wps_processes.runners.fetching import Fetcher
from wps_processes.runners.forkserver import ForkServer
from wps_processes.runners.kubernetes.api import Cluster
from wps_processes.runners.kubernetes.attempt import RunnerContext
from wps_processes.runners.kubernetes.callbacks import Runs, RunTokens
from wps_processes.runners.kubernetes.runner import KubernetesRunner
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.runners.kubernetes.watch import Watching
from wps_processes.runners.local import ProcessRunner
from wps_processes.runners.sandbox import confinement_here, has_gpus
from wps_processes.service import Application
from wps_processes.settings import Settings, text_in
from wps_processes.uploads import Uploads
from wps_processes.web.health import Health

LOGGER = logging.getLogger(__name__)


@contextmanager
def assembled(settings: Settings, sync_at_once: int) -> Iterator[Application]:
    """Yield the service, whose jobs run as long as the context.

    Args:
        settings: what an administrator chose.
        sync_at_once: synchronous calls that may wait; each takes a thread of the web server.

    Raises:
        SettingsError: no cluster is known, or the key of jobs is too short.
        LedgerRefused: the ledger cannot be opened, or is another service's.
    """
    ledger = Ledger(settings.ledger_place, settings.lease_seconds)
    access = _access_of_users(settings)
    identity = HubIdentity(settings.state, settings.service_prefix)
    with _running_jobs(settings, ledger, access) as (runner, runs):
        dispatcher = _dispatcher(settings, ledger, runner)
        dispatcher.start()
        try:
            jobs = JobsService(
                settings.storage_root,
                ledger,
                dispatcher,
                sync_seconds=settings.sync_seconds,
                sync_at_once=sync_at_once,
                home_quota=settings.home_quota or None,
                has_nextcloud=access is not None,
                has_gpus=_have_gpus(settings),
            )
            addresses = Addresses(settings.service_prefix, settings.public_url)
            health = Health(ledger, settings.state, settings.storage_root, confines=runs is None)
            application = Application(jobs, identity, addresses, access, runs, health)
            with _housekeeping(application.uploads):
                yield application
        finally:
            dispatcher.stop()
            identity.close()
            ledger.close()


@contextmanager
def _housekeeping(uploads: Uploads) -> Iterator[None]:
    thread = threading.Thread(target=uploads.keep_house, name="uploads", daemon=True)
    thread.start()
    try:
        yield
    finally:
        uploads.stop()


def _have_gpus(settings: Settings) -> bool:
    """Return whether jobs may have a GPU where they run."""
    return has_gpus() if settings.cluster is None else bool(settings.cluster.image_cuda)


def _dispatcher(settings: Settings, ledger: Ledger, runner: Runner) -> Dispatcher:
    return Dispatcher(
        ledger,
        runner,
        at_once=settings.jobs_at_once,
        limits=Limits(settings.jobs_per_user, settings.jobs_in_total),
        retention=timedelta(days=settings.jobs_kept_days),
        groups_now=groups_at_the_hub,
    )


@contextmanager
def _running_jobs(
    settings: Settings, ledger: Ledger, access: Callable[[str], AskAccess] | None
) -> Iterator[tuple[Runner, Runs | None]]:
    """Yield what runs jobs where the settings say, and what their pods speak to."""
    fetcher = None
    if access is not None:
        fetcher = Fetcher(settings.storage_root, access, settings.fetched_mib << 20)
    if settings.cluster is not None:
        yield _in_the_cluster(settings, settings.cluster, ledger, fetcher)
        return
    forks = ForkServer(os.environ)
    forks.start()
    _say_what_confines()
    try:
        limits = settings.job_longest_seconds, settings.jobs_at_once
        yield ProcessRunner(settings.storage_root, forks, fetcher, *limits), None
    finally:
        forks.close()


def _say_what_confines() -> None:
    walls = confinement_here()
    LOGGER.info("what confines jobs here: %s", walls)
    for hole in walls.holes():
        LOGGER.warning("this kernel has %s", hole)


def _in_the_cluster(
    settings: Settings, chosen: ClusterSettings, ledger: Ledger, fetcher: Fetcher | None
) -> tuple[Runner, Runs]:
    tokens = _tokens(settings)
    cluster = Cluster(chosen.namespace)
    context = RunnerContext(
        settings.storage_root, cluster, Watching(cluster), chosen, tokens, fetcher
    )
    runner = KubernetesRunner(context)
    return runner, Runs(ledger, tokens, runner.orders, runner.told, groups_at_the_hub)


def _tokens(settings: Settings) -> RunTokens:
    file = settings.job_key_file
    if file is None:
        return RunTokens(kept_key(settings.state / "job-token.key").encode())
    try:
        return RunTokens(text_in(file, "GEOPORTAL_JOB_KEY_FILE").encode())
    except ValueError as error:
        raise SettingsError(f"GEOPORTAL_JOB_KEY_FILE is {shown(file)}: {error}") from error


def _access_of_users(settings: Settings) -> Callable[[str], AskAccess] | None:
    """Return what asks the hub for a user's token, None without Nextcloud."""
    url = settings.nextcloud_token_url
    return partial(TokenService, url) if url else None
