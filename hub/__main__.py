"""`python -m hub`, what `make run` starts: the whole geoportal on this machine, until Ctrl-C."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from hub.auth.authenticators import ADMINISTRATOR, SharedPassword
from hub.local import teams
from hub.local.launcher import (
    DEMO_USER,
    announce,
    claimed,
    ignored_variables,
    say,
    started_hub,
    stay,
    wait_until_ready,
)
from hub.local.machine import Machine
from hub.local.passwords import kept_password
from hub.settings import Settings, load
from landcover.errors import LandcoverError
from portal.errors import CannotStart

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_REMEDY = "free some room there, or name other folders with GEOPORTAL_STATE and _STORAGE."
_WARNING = (
    "For one trusted person: whoever has the password is every user, and all servers run as you."
)


def main() -> int:
    """Run until told to stop; return the exit status."""
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    if ignored := ignored_variables(os.environ):
        say(
            f"Not read by this command: {', '.join(ignored)}. It reads GEOPORTAL_PORT, _STATE, "
            "_STORAGE and _SETTINGS; all else stands in the YAML of GEOPORTAL_SETTINGS."
        )
    try:
        return _do(sys.argv[1:], Machine.from_environment(os.environ))
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except LandcoverError as error:
        say(str(error))
        return 1
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        say(f"{error.filename or 'A file'} cannot be written ({error.strerror}): {_REMEDY}")
        return 1


def _do(arguments: Sequence[str], machine: Machine) -> int:
    """Run the geoportal, or make a team in the one that runs."""
    if not arguments:
        run(machine)
    elif arguments[0] == "team":
        say(teams.command(arguments[1:], machine))
    else:
        raise CannotStart(
            f"There is no {arguments[0]}: python -m hub, or python -m hub team NAME USER ..."
        )
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
            stay(here, hub)
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
    teams.gather_practice(here)
    say(_WARNING)
    say(f"The administrator is {ADMINISTRATOR}, with the password in {here.admin_password_file}.")
    print(f"Geoportal ready: {here.url}")
    print(f"Sign in as {DEMO_USER} with password {password}", flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    """Shut down in one way on any signal; a second one is ignored."""
    for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
