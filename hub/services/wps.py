"""What runs beside the hub: the WPS and the culler, who may call, and what they may ask."""

import os
import sys
from typing import Any

from pydantic import Field
from traitlets.config import Config

from hub.auth import tokens
from hub.local.machine import Machine, free_address
from hub.services.culler import Culler
from hub.services.quotas import Quota, quota_variables
from landcover.storage.remote import MOST_MIB
from landcover.storage.sharing import LINKS
from portal.base_model import Secret, Strict
from portal.errors import SettingsError

ACCESS = "access:services!service=wps"
_DESCRIPTION = {"description": "Get the access token of a user for Nextcloud"}
_MEMBERS = "read:users:groups"  # a job starts with the groups that its owner has by then


class Wps(Strict):
    """What an administrator decides about the processing service."""

    public_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="address of the geoportal for people"
    )
    sync_seconds: int = Field(default=60, gt=0, description="a synchronous call waits so long")
    url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="where a WPS runs that the hub does not start itself; needs a token",
    )
    token: Secret | None = Field(default=None, description="the token that such a WPS holds")
    jobs_at_once: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0)
    jobs_per_user: int = Field(default=1_000, gt=0, description="so many wait or run at a time")
    jobs_in_total: int = Field(default=10_000, gt=0, description="the same for all users together")
    jobs_kept_days: int = Field(default=30, gt=0, description="finished ones are then forgotten")
    job_longest_seconds: int = Field(
        default=86_400, gt=0, description="then a job is ended; the chart has jobs.longestSeconds"
    )
    fetched_mib: int = Field(
        default=MOST_MIB, gt=0, description="the most that is fetched for one input, in MiB"
    )

    @property
    def environment(self) -> dict[str, str]:
        """These settings as the service reads them."""
        return {
            "GEOPORTAL_PUBLIC_URL": self.public_url,
            "GEOPORTAL_SYNC_SECONDS": str(self.sync_seconds),
            "GEOPORTAL_JOBS_AT_ONCE": str(self.jobs_at_once),
            "GEOPORTAL_JOBS_PER_USER": str(self.jobs_per_user),
            "GEOPORTAL_JOBS_IN_TOTAL": str(self.jobs_in_total),
            "GEOPORTAL_JOBS_KEPT_DAYS": str(self.jobs_kept_days),
            "GEOPORTAL_JOB_LONGEST_SECONDS": str(self.job_longest_seconds),
            "GEOPORTAL_FETCHED_MIB": str(self.fetched_mib),
        }


def configure(
    c: Config,
    wps: Wps,
    culler: Culler = Culler(),  # noqa: B008  # frozen
    *,
    proxy_url: str = "",
    home_quota: Quota | None = None,
    keeps_tokens: bool = False,
    share_links: bool = True,
) -> None:
    """Add the WPS, and let every user and every user's server call it; and the culler, if any.

    Args:
        c: the hub's configuration.
        wps: what an administrator decides about the WPS.
        culler: what an administrator decides about idle servers.
        proxy_url: where services of the hub reach users' servers.
        home_quota: what a user's files may take; the WPS takes no jobs over it.
        keeps_tokens: whether the hub has tokens of users for Nextcloud. A user's server may then
            ask for its owner's, and the WPS for anybody's.
        share_links: whether they may share by a link there.
    """
    own = [f"{tokens.SCOPE}!user"] if keeps_tokens else []
    cloud = _cloud(share_links) if keeps_tokens else {}
    c.JupyterHub.services = [
        _elsewhere(wps) if wps.url else _beside(wps, cloud | quota_variables(home_quota)),
        *culler.services(proxy_url),
    ]
    c.JupyterHub.custom_scopes = {tokens.SCOPE: _DESCRIPTION} if keeps_tokens else {}
    c.JupyterHub.load_roles = [
        {"name": "user", "scopes": ["self", ACCESS, *own]},
        {
            "name": "server",
            "scopes": ["users:activity!user", "access:servers!server", ACCESS, *own],
        },
        {
            "name": "wps",
            "scopes": [_MEMBERS, *([tokens.SCOPE] if keeps_tokens else [])],
            "services": ["wps"],
        },
        *culler.roles,
    ]


def _beside(wps: Wps, more: dict[str, str]) -> dict[str, Any]:
    """Return the service that the hub starts as a process beside it."""
    machine = Machine.from_environment(os.environ)
    place = machine.environment | machine.mark | _home(machine)
    return {
        "name": "wps",
        "url": free_address(),
        "command": [sys.executable, "-m", "wps_processes"],
        "environment": place | wps.environment | more,
        "cwd": str(machine.state),
        "oauth_no_confirm": True,
    }


def _cloud(share_links: bool) -> dict[str, str]:
    """Return where tokens for Nextcloud are had, and whether users may share by a link."""
    machine = Machine.from_environment(os.environ)
    return {
        tokens.VARIABLE: tokens.address(machine.api_url),
        LINKS: tokens.switch(share_links),
    }


def _elsewhere(wps: Wps) -> dict[str, Any]:
    """Return the service that a cluster runs as a Deployment of its own."""
    if wps.token is None:
        raise SettingsError("wps.url names a service elsewhere, wps.token is needed with it.")
    return {
        "name": "wps",
        "url": wps.url,
        "api_token": wps.token.read(),
        "oauth_no_confirm": True,
    }


def _home(machine: Machine) -> dict[str, str]:
    # libraries keep caches in the home directory; ours stay in the state folder
    return {"HOME": str(machine.state)}
