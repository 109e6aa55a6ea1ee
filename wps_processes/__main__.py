"""`python -m wps_processes`: the service as the hub starts it."""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import waitress

from wps_processes.identity import HubIdentity
from wps_processes.service import Places, create_app

THREADS = 16  # synchronous calls wait in them
MAX_BODY = 4 << 20


def main() -> int:
    """Serve until told to stop."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("PYWPS").setLevel(logging.CRITICAL)  # it logs a traceback per refusal
    state = Path(os.environ["GEOPORTAL_STATE"])
    places = Places(
        storage=Path(os.environ.get("GEOPORTAL_STORAGE") or state / "storage"),
        prefix=os.environ["JUPYTERHUB_SERVICE_PREFIX"],
        public_url=os.environ.get("GEOPORTAL_PUBLIC_URL", ""),
        sync_seconds=float(os.environ.get("GEOPORTAL_SYNC_SECONDS", "60")),
    )
    at_once = int(os.environ.get("GEOPORTAL_JOBS_AT_ONCE") or os.cpu_count() or 1)
    application = create_app(places, state, HubIdentity(state, places.prefix), at_once)
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    signal.signal(signal.SIGTERM, _stop)
    application.dispatcher.start()
    try:
        waitress.serve(
            application, host=address.hostname, port=address.port, threads=THREADS,
            max_request_body_size=MAX_BODY, ident=None, _quiet=True,
        )  # fmt: skip
    finally:
        application.dispatcher.stop()
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
