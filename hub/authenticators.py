"""Who may sign in: everybody who has one password, or the members of Nextcloud groups."""

import os
from typing import Any, Literal

from pydantic import Field
from traitlets.config import Config

from hub.machine import Machine
from hub.passwords import kept_password
from hub.strict import Secret, Strict


class SharedPassword(Strict):
    """One password for all, made at the first start; whoever has it can be any user."""

    kind: Literal["shared-password"]

    def configure(self, c: Config) -> None:
        """Let everybody in who knows the password kept in the state folder."""
        password_file = Machine.from_environment(os.environ).password_file
        c.JupyterHub.authenticator_class = "shared-password"
        c.Authenticator.allow_all = True
        c.SharedPasswordAuthenticator.user_password = kept_password(password_file)


class Nextcloud(Strict):
    """The accounts and groups of a Nextcloud, through its OAuth2 app."""

    kind: Literal["nextcloud"]
    url: str = Field(pattern=r"^https?://\S+[^/\s]$", description="of Nextcloud, no slash at end")
    callback_url: str = Field(description="as registered there: https://HUB/hub/oauth_callback")
    client_id: Secret
    client_secret: Secret
    crypt_key: Secret = Field(description="32 bytes in hex; encrypts users' tokens at rest")
    allowed_groups: frozenset[str]
    admin_groups: frozenset[str] = frozenset()

    def configure(self, c: Config) -> None:
        """Sign in at Nextcloud, take over its groups, and look again every five minutes."""
        c.JupyterHub.authenticator_class = "hub.nextcloud.NextcloudOAuthenticator"
        c.CryptKeeper.keys = [self.crypt_key.read()]
        oauth = c.NextcloudOAuthenticator
        oauth.client_id = self.client_id.read()
        oauth.client_secret = self.client_secret.read()
        oauth.oauth_callback_url = self.callback_url
        oauth.authorize_url = f"{self.url}/apps/oauth2/authorize"
        oauth.token_url = f"{self.url}/apps/oauth2/api/v1/token"
        oauth.userdata_url = f"{self.url}/ocs/v2.php/cloud/user"
        oauth.userdata_params = {"format": "json"}
        oauth.scope = []  # Nextcloud has none
        oauth.username_claim = _uid
        oauth.basic_auth = True
        oauth.manage_groups = True
        oauth.auth_state_groups_key = "oauth_user.ocs.data.groups"
        oauth.allowed_groups = set(self.allowed_groups)
        oauth.admin_groups = set(self.admin_groups)
        oauth.enable_auth_state = True
        oauth.refresh_pre_spawn = True
        oauth.auth_refresh_age = 300  # seconds


def _uid(answer: dict[str, Any]) -> str:
    return str(answer["ocs"]["data"]["id"])
