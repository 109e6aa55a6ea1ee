"""`python -m hub`, what `make run` starts: the whole geoportal on this machine, until Ctrl-C."""

import os
import signal
import subprocess
import sys
from types import FrameType

from hub.authenticators import SharedPassword
from hub.errors import CannotStart
from hub.launcher import DEMO_USER, announce, claimed, say, started_hub, wait_until_ready
from hub.machine import Machine
from hub.passwords import kept_password
from hub.settings import Settings, load
from landcover.errors import LandcoverError

_WARNING = (
    "For one trusted person: whoever has the password is every user, and all servers run as you."
)


def main() -> int:
    """Run until told to stop; return the exit status."""
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        run(Machine.from_environment(os.environ))
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except LandcoverError as error:
        say(str(error))
        return 1
    return 0


def run(machine: Machine) -> None:
    """Start everything, say that it is ready, and stay until the hub ends.

    Raises:
        LandcoverError: something is in the way; nothing is left running.
    """
    _refuse_strangers(load(machine.settings))
    with claimed(machine) as here:
        password = kept_password(here.password_file)
        with started_hub(here) as hub:
            _bring_up(here, hub, password)
            hub.wait()
            raise CannotStart(f"The hub ended by itself; see {here.state / 'hub.log'}.")


def _refuse_strangers(settings: Settings) -> None:
    if not isinstance(settings.authenticator, SharedPassword):
        raise CannotStart(
            f"python -m hub signs its demo user in by the shared password; a hub with "
            f"authenticator.kind {settings.authenticator.kind} is started by "
            "jupyterhub -f hub/jupyterhub_config.py."
        )


def _bring_up(here: Machine, hub: "subprocess.Popen[bytes]", password: str) -> None:
    from demo import data  # takes seconds, while the hub starts

    say("Preparing the demo data ...")
    data.prepare(here.storage / "shared")
    say("Starting hub and processing service ...")
    wait_until_ready(here, hub)
    announce(here, password)
    say(_WARNING)
    print(f"Geoportal ready: {here.url}")
    print(f"Sign in as {DEMO_USER} with password {password}", flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave by one way whatever the signal; a second one does not disturb the stopping."""
    for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
