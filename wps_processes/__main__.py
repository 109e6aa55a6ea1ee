"""`python -m wps_processes`: the service as the hub starts it.

Exit status: 0 told to stop, 1 the ledger of jobs cannot be opened, 2 a setting is wrong.
"""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType
from urllib.parse import urlsplit

from wps_processes.assembly import assembled
from wps_processes.environment import SettingsError
from wps_processes.http.connections import raise_descriptors
from wps_processes.http.server import Server
from wps_processes.http.workers import THREADS
from wps_processes.jobs.databases import LedgerRefused
from wps_processes.logs import log_as_json
from wps_processes.service import MAX_BODY, Application
from wps_processes.settings import Settings, misspelled_settings

LOGGER = logging.getLogger(__name__)
WAITING_THREADS = THREADS // 2  # so many synchronous calls may wait


def main() -> int:
    """Serve until told to stop, and return the exit status."""
    try:
        _serve(Settings.from_environment(os.environ))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except LedgerRefused as error:
        LOGGER.critical("%s", error)
        return 1
    return 0


def _serve(settings: Settings) -> None:
    log_as_json()
    for sentence in misspelled_settings(os.environ):
        LOGGER.warning("%s", sentence)
    signal.signal(signal.SIGTERM, _stop)
    raise_descriptors()
    address = urlsplit(settings.service_url)
    with assembled(settings, WAITING_THREADS) as application:
        asyncio.run(_answer(application, address.hostname, address.port or 80))


async def _answer(application: Application, host: str | None, port: int) -> None:
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    await Server(application, MAX_BODY).serve(host, port, told_to_stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as told:
        status = int(told.code or 0)
    logging.shutdown()
    os._exit(status)  # threads in which calls still wait would hold the end up
