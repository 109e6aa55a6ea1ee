"""What users choose and who they are: one frozen model, read from YAML, the same everywhere.

`kind` selects a class; every class sets its own traits in `configure`. A mistake in the file
stops the hub before it serves anyone, naming the path of the mistake.
"""

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from traitlets.config import Config

from hub.auth import subdomains
from hub.auth.authenticators import Nextcloud, SharedPassword
from hub.kubernetes.own_images import OwnImages
from hub.kubernetes.profiles import Profile
from hub.local import read_only, teams
from hub.local.machine import Machine
from hub.services import wps
from hub.services.culler import Culler
from hub.services.wps import Wps
from hub.spawners import Kubernetes, Local
from portal.base_model import Strict
from portal.errors import SettingsError

LOGGER = logging.getLogger(__name__)
_TEMPLATES = Path(__file__).with_name("templates")


class Settings(Strict):
    """All that an administrator decides about the hub."""

    authenticator: Annotated[SharedPassword | Nextcloud, Field(discriminator="kind")]
    spawner: Annotated[Local | Kubernetes, Field(discriminator="kind")]
    profiles: tuple[Profile, ...] = ()
    own_images: OwnImages = OwnImages()
    wps: Wps = Field(default_factory=Wps)  # its schema would show this machine's cores
    culler: Culler = Culler()

    @field_validator("profiles")
    @classmethod
    def _slugs_differ(cls, profiles: tuple[Profile, ...]) -> tuple[Profile, ...]:
        if len({profile.slug for profile in profiles}) < len(profiles):
            raise ValueError("two profiles have the same slug")
        return profiles

    @model_validator(mode="after")
    def _own_images_come_from_somewhere(self) -> "Settings":
        for profile in self.profiles:
            if profile.own_image and not self.own_images.offered:
                raise ValueError(
                    f"the profile {profile.slug} has own_image, and own_images lists no registry"
                )
        return self

    def configure(self, c: Config) -> None:
        """Set every trait of the hub that follows from these settings; only sets, never reads."""
        c.Spawner.consecutive_failure_limit = 0  # z2jh sets 5: one bad profile stopped the hub
        c.JupyterHub.template_paths = [str(_TEMPLATES)]
        self.authenticator.configure(c)
        self.spawner.configure(c, self.profiles)
        self.own_images.configure(c)
        cloud = self.authenticator
        wps.configure(
            c,
            self.wps,
            self.culler,
            proxy_url=self.spawner.proxy_url,
            home_quota=self.spawner.home_quota,
            keeps_tokens=cloud.keeps_tokens,
            share_links=cloud.share_links,
        )


def load(path: Path) -> Settings:
    """Read settings from a YAML file.

    Raises:
        SettingsError: the file is missing, is no YAML, or something in it is invalid.
    """
    content = _content(path)
    try:
        return Settings.model_validate({} if content is None else content)
    except ValidationError as error:
        first = error.errors()[0]
        where = _place(content, first["loc"])
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error


def configure(c: Config) -> None:
    """Configure the hub from the settings that this machine's environment names."""
    machine = Machine.from_environment(os.environ)
    settings = load(machine.settings)
    settings.configure(c)
    subdomains.configure(c, settings.spawner.wps_url)
    is_local = isinstance(settings.spawner, Local)
    if is_local:
        machine.keep_private()
        level = logging.INFO if read_only.is_kept() else logging.WARNING
        logging.getLogger("JupyterHub").log(level, read_only.what_is_kept())  # which shows both
        teams.configure(c, machine)
    if not isinstance(settings.authenticator, Nextcloud):
        return
    if is_local:
        LOGGER.warning(
            "All servers run as the hub's own operating-system user: whoever may sign in can "
            "read everybody's files and tokens. This is for people who trust one another."
        )
    elif not subdomains.are_used(c):
        LOGGER.warning(
            "All servers share one host with the hub: who opens a page of another's server hands "
            "over their account. This is for people who trust one another, unless "
            "JupyterHub.subdomain_host is set."
        )


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error


def _place(content: Any, parts: tuple[int | str, ...]) -> str:
    """Return the path of a fault as it stands in the file, without pydantic's names of kinds."""
    *parents, last = parts or ("the file",)
    shown = []
    for part in parents:
        if isinstance(part, int) or (isinstance(content, dict) and part in content):
            content = content[part]
            shown.append(str(part))
    # one value may stand where several can
    is_in_file = isinstance(last, str) or isinstance(content, list)
    return ".".join([*shown, str(last)] if is_in_file else shown)
