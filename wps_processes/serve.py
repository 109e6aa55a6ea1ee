"""The service from its settings until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

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


def run(listeners: Sequence[socket.socket]) -> int:
    """Serve on sockets that listen already until told to stop, and return the exit status."""
    try:
        _serve(Settings.from_environment(os.environ), listeners)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except LedgerRefused as error:
        LOGGER.critical("%s", error)
        return 1
    return 0


def _serve(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    log_as_json()
    for sentence in misspelled_settings(os.environ):
        LOGGER.warning("%s", sentence)
    signal.signal(signal.SIGTERM, _stop)
    raise_descriptors()
    with assembled(settings, WAITING_THREADS) as application:
        asyncio.run(_answer(application, listeners))


async def _answer(application: Application, listeners: Sequence[socket.socket]) -> None:
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    await Server(application, MAX_BODY).serve(listeners, told_to_stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
