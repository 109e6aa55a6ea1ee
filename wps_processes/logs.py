"""What the service logs: one object of JSON a line, and of the same warning not too many."""

import logging
import time
from dataclasses import dataclass

from pythonjsonlogger.json import JsonFormatter

SECONDS = 60.0
MOST = 20
"""Warnings of one line of code that are logged in so many seconds; the others are counted."""

_NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


def log_as_json() -> None:
    """Log time, level, logger and message, and job and user where there are some."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields=_NAMES,
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    handler.addFilter(RepetitionFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("PYWPS").setLevel(logging.CRITICAL)  # it logs a traceback per refusal


@dataclass
class _Seen:
    since: float
    number: int = 0


class RepetitionFilter(logging.Filter):
    """Leaves out what a fault or an attack would say a thousand times a second."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        super().__init__()
        self._seen: dict[tuple[str, int], _Seen] = {}  # as many as there are lines that log

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged; one says how many before it were not."""
        if record.levelno < logging.WARNING:
            return True  # of these there is one for each act of a user
        now, place = time.monotonic(), (record.pathname, record.lineno)
        seen = self._seen.setdefault(place, _Seen(now))
        if now - seen.since >= SECONDS:
            left_out = seen.number - MOST
            if left_out > 0:
                record.left_out = left_out
            self._seen[place] = seen = _Seen(now)
        seen.number += 1
        return seen.number <= MOST
