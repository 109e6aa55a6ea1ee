"""Who may sign in: everybody who has one password and an administrator, or Nextcloud's groups."""

import os
import re
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from traitlets.config import Config

from hub.local.machine import Machine
from hub.local.passwords import ADMIN_LENGTH, kept_password
from portal.base_model import Secret, Strict
from portal.errors import SettingsError

ADMINISTRATOR = "admin"
"""The one user who is administrator where there is a shared password."""

_CRYPT_KEY = re.compile(r"[0-9a-fA-F]{64}")


def _encrypted(address: str) -> str:
    """Refuse plain http, where tokens can be read on the way, except within one machine."""
    parts = urlsplit(address)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return address
    raise ValueError(f"{address} is not encrypted, needs https://...")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


Encrypted = Annotated[str, AfterValidator(_encrypted)]


_SHARED_WORDS = (
    "Sign in as demo, or under another name to be somebody else. There is one password: make run "
    "printed it, else ask who started this."
)


class SharedPassword(Strict):
    """One password for all, and one for the administrator, both made at the first start.

    Whoever has the first one can be any user but the administrator.
    """

    kind: Literal["shared-password"]
    keeps_tokens: ClassVar[bool] = False
    share_links: ClassVar[bool] = False

    def configure(self, c: Config) -> None:
        """Authenticate by a password kept in the state folder."""
        machine = Machine.from_environment(os.environ)
        c.JupyterHub.authenticator_class = "shared-password"
        c.Authenticator.allow_all = True
        c.Authenticator.admin_users = {ADMINISTRATOR}
        c.JupyterHub.template_vars = {"sign_in_words": _SHARED_WORDS}
        passwords = c.SharedPasswordAuthenticator
        passwords.user_password = kept_password(machine.password_file)
        passwords.admin_password = kept_password(machine.admin_password_file, ADMIN_LENGTH)


class Nextcloud(Strict):
    """The accounts and groups of a Nextcloud, through its OAuth2 app."""

    kind: Literal["nextcloud"]
    keeps_tokens: ClassVar[bool] = True
    """Whether the hub has tokens of its users for another service."""
    url: Encrypted = Field(
        pattern=r"^https?://\S+[^/\s]$", description="of Nextcloud, no slash at end"
    )
    callback_url: Encrypted = Field(
        pattern=r"^https?://[^/\s]+/(\S+/)?oauth_callback$",
        description="as registered there: https://HUB/hub/oauth_callback",
    )
    client_id: Secret
    client_secret: Secret
    crypt_key: Secret = Field(description="32 bytes in hex; encrypts users' tokens at rest")
    allowed_groups: frozenset[str]
    admin_groups: frozenset[str] = frozenset()
    share_links: bool = Field(default=True, description="whether users may share by a link")

    def configure(self, c: Config) -> None:
        """Sign in at Nextcloud, take over its groups, and look again every five minutes."""
        c.JupyterHub.authenticator_class = "hub.auth.nextcloud.NextcloudOAuthenticator"
        c.CryptKeeper.keys = [_checked(self.crypt_key.read())]
        oauth = c.NextcloudOAuthenticator
        oauth.url = self.url
        oauth.share_links = self.share_links
        oauth.client_id = self.client_id.read()
        oauth.client_secret = self.client_secret.read()
        oauth.oauth_callback_url = self.callback_url
        oauth.scope = []  # Nextcloud has none
        oauth.basic_auth = True
        oauth.manage_groups = True
        oauth.allowed_groups = set(self.allowed_groups)
        oauth.admin_groups = set(self.admin_groups)
        oauth.enable_auth_state = True
        oauth.refresh_pre_spawn = True
        oauth.auth_refresh_age = 300  # seconds


def _checked(crypt_key: str) -> str:
    if _CRYPT_KEY.fullmatch(crypt_key):
        return crypt_key
    raise SettingsError(
        "authenticator.crypt_key holds no 32 bytes in hex; openssl rand -hex 32 makes them."
    )
