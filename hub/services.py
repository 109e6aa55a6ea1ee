"""What runs beside the hub: the WPS, started by it, and who may call it."""

import os
import sys

from pydantic import Field
from traitlets.config import Config

from hub.machine import Machine, free_address
from hub.strict import Strict

ACCESS = "access:services!service=wps"


class Wps(Strict):
    """What an administrator decides about the processing service."""

    public_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="address of the geoportal for people"
    )
    sync_seconds: int = Field(default=60, gt=0, description="a synchronous call waits so long")
    jobs_at_once: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0)

    @property
    def environment(self) -> dict[str, str]:
        """These settings as the service reads them."""
        return {
            "GEOPORTAL_PUBLIC_URL": self.public_url,
            "GEOPORTAL_SYNC_SECONDS": str(self.sync_seconds),
            "GEOPORTAL_JOBS_AT_ONCE": str(self.jobs_at_once),
        }


def configure(c: Config, wps: Wps) -> None:
    """Add the WPS, and let every user and every user's server call it."""
    machine = Machine.from_environment(os.environ)
    c.JupyterHub.services = [
        {
            "name": "wps",
            "url": free_address(),
            "command": [sys.executable, "-m", "wps_processes"],
            "environment": machine.environment | machine.mark | wps.environment | _home(machine),
            "cwd": str(machine.state),
            "oauth_no_confirm": True,
        }
    ]
    c.JupyterHub.load_roles = [
        {"name": "user", "scopes": ["self", ACCESS]},
        {"name": "server", "scopes": ["users:activity!user", "access:servers!server", ACCESS]},
    ]


def _home(machine: Machine) -> dict[str, str]:
    # libraries keep caches in the home directory; ours stay in the state folder
    return {"HOME": str(machine.state)}
