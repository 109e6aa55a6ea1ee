"""`python -m wps_processes`: the service as the hub starts it.

It listens before it imports what it is made of, which takes long on a slow machine: the hub gives
up what refuses it ten times in ten seconds, but waits for an answer that is late.

Exit status: 0 told to stop, 1 the ledger of jobs cannot be opened, 2 a setting is wrong.
"""

import logging
import os
import socket
from urllib.parse import urlsplit

from tornado.netutil import bind_sockets

_BACKLOG = 1024


def main() -> int:
    """Serve until told to stop, and return the exit status."""
    listeners = _listening(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    from wps_processes.serve import run

    return run(listeners)


def _listening(address: str) -> list[socket.socket]:
    """Listen at an address; of an invalid one the settings say what is wrong."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return []
    return bind_sockets(port, host, backlog=_BACKLOG) if host and port else []


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as told:
        status = int(told.code or 0)
    logging.shutdown()
    os._exit(status)  # threads in which calls still wait would hold the end up
