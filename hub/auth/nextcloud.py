"""Signing in at Nextcloud: its groups admit and make administrators, and its word is asked again.

Nextcloud changes both tokens at a renewal, and of several renewals with one token exactly one
wins; so there is one look at a time for each user, and whoever asks meanwhile gets its result.
What ends a session is Nextcloud saying no (400, 401, no admitting group). A Nextcloud that is
down, busy or talks nonsense ends nothing; one that is down or busy is left alone for a while.
"""

import asyncio
import copy
import time
from typing import Any
from urllib.parse import urlencode

from jupyterhub.spawner import Spawner
from jupyterhub.user import User
from oauthenticator.oauth2 import OAuthenticator
from pydantic import BaseModel, Field, ValidationError
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import Bool, Integer, Unicode, default

from hub.auth import tokens
from landcover.storage.sharing import LINKS

_NO = (400, 401)
_BUSY = 429


class Refused(HTTPError):
    """Nextcloud said no: to these tokens, this account or this hub."""

    def __init__(self, reason: str) -> None:
        """Answer 403 where a person is signing in."""
        super().__init__(403, f"Nextcloud refused this sign-in: {reason}.")


class Unavailable(HTTPError):
    """Nextcloud gave no answer that means yes or no.

    Attributes:
        for_all: whether nobody else would get one either. What cannot be read may be said of one
            user alone, who could keep the others' sessions by it.
    """

    def __init__(self, reason: str, for_all: bool = False) -> None:
        """Answer 503 where a person is signing in."""
        super().__init__(503, f"Nextcloud does not answer ({reason}), try again later.")
        self.for_all = for_all


class _Grant(BaseModel):
    """What the token endpoint gives."""

    access_token: str = Field(min_length=1)
    refresh_token: str = Field(min_length=1)
    expires_in: int


class _Account(BaseModel):
    """What Nextcloud says about a user, as far as it matters here."""

    id: str = Field(min_length=1)
    groups: frozenset[str]
    enabled: bool


class NextcloudOAuthenticator(OAuthenticator):  # type: ignore[misc]  # untyped base
    """OAuth 2.0 as Nextcloud speaks it.

    A user's auth_state holds access_token, refresh_token, token_type, expires_at (seconds since
    1970), uid (as Nextcloud writes it, which the hub's lower-case name does not tell) and groups.
    """

    login_service = "Nextcloud"
    username_claim = "id"
    auth_state_groups_key = "groups"
    # JupyterHub 6.1 would let the API tokens of an ended session go on; 5.5 never does
    auth_refresh_strict = True
    url = Unicode(config=True, help="Address of Nextcloud, no slash at the end.")
    share_links = Bool(True, config=True, help="Whether users may share by a link.")
    renew_before = Integer(
        600, config=True, help="Seconds of life that an access token has left when it is renewed."
    )
    silence = Integer(
        30, config=True, help="Seconds for which a Nextcloud that does not answer is left alone."
    )

    def __init__(self, **options: Any) -> None:
        """Start with an empty cache."""
        super().__init__(**options)
        self._looks: dict[str, asyncio.Task[bool | dict[str, Any]]] = {}
        self._silent_until = 0.0

    # index.php is right with and without pretty addresses

    @default("authorize_url")
    def _authorize_url_default(self) -> str:
        return f"{self.url}/index.php/apps/oauth2/authorize"

    @default("token_url")
    def _token_url_default(self) -> str:
        return f"{self.url}/index.php/apps/oauth2/api/v1/token"

    @default("userdata_url")
    def _userdata_url_default(self) -> str:
        return f"{self.url}/ocs/v2.php/cloud/user"

    @default("userdata_params")
    def _userdata_params_default(self) -> dict[str, str]:
        return {"format": "json"}

    @default("http_request_kwargs")
    def _http_request_kwargs_default(self) -> dict[str, Any]:
        # a redirect could carry a token to another host
        return {"connect_timeout": 5, "request_timeout": 10, "follow_redirects": False}

    def get_handlers(self, app: Any) -> list[Any]:
        """Serve the tokens beside the pages of signing in."""
        return [*super().get_handlers(app), (tokens.ROUTE, tokens.TokenHandler)]

    async def pre_spawn_start(self, user: User, spawner: Spawner) -> None:
        """Configure where a user's server gets the current token; a token itself would expire."""
        spawner.environment[tokens.VARIABLE] = tokens.address(spawner.hub.api_url)
        spawner.environment[LINKS] = tokens.switch(self.share_links)

    async def refresh_user(
        self, user: User, handler: Any = None, **options: Any
    ) -> bool | dict[str, Any]:
        """Return False if Nextcloud no longer admits the user, else what it says of them now."""
        if user.name not in self._looks:
            look = self._looks[user.name] = asyncio.create_task(self._look(user))
            look.add_done_callback(lambda _: self._looks.pop(user.name))
        # a request that goes away must not take the only copy of new tokens with it
        return copy.copy(await asyncio.shield(self._looks[user.name]))

    def ends_soon(self, state: dict[str, Any]) -> bool:
        """Return whether the access token is to be renewed."""
        return tokens.seconds_left(state) < self.renew_before

    async def _look(self, user: User) -> bool | dict[str, Any]:
        state = await user.get_auth_state()
        if not state:
            return False  # ended before: asking again would count as an attack
        if time.monotonic() < self._silent_until:
            return True
        try:
            return await self._admitted(user, state)
        except Refused as error:
            self.log.warning("The session of %s ends. %s", user.name, error.log_message)
            return not await self._keep(user, state, None)
        except Unavailable as error:
            self.log.warning("The session of %s is kept. %s", user.name, error.log_message)
            if error.for_all:
                self._silent_until = time.monotonic() + self.silence
            return True

    async def _admitted(self, user: User, state: dict[str, Any]) -> dict[str, Any]:
        model = await self._asked(user, state)
        if not await self.check_allowed(user.name, model):
            raise Refused("no group of theirs is admitted")
        # kept here, before anybody else looks; the hub leaves it alone if it is not named
        seen = model.pop("auth_state")
        await self._keep(user, seen, seen)
        return model

    async def _keep(self, user: User, asked: dict[str, Any], state: dict[str, Any] | None) -> bool:
        """Store a state unless the user has signed in anew since; return whether it was stored.

        Args:
            user: whose state.
            asked: with whose tokens Nextcloud was asked.
            state: what is known now; None ends the session.
        """
        kept = await user.get_auth_state()
        if kept and kept["refresh_token"] != asked["refresh_token"]:
            return False
        await user.save_auth_state(state)
        return True

    async def _asked(self, user: User, state: dict[str, Any]) -> dict[str, Any]:
        """Fetch the account; refresh tokens that expire soon or are refused."""
        if not self.ends_soon(state):
            try:
                return await self._model(state)
            except Refused:
                self.log.info("The access token of %s is refused, renewing it", user.name)
        request = self.build_refresh_token_request_params(state["refresh_token"])
        renewed = await self.get_token_info(None, request)
        # the old ones are dead already, whatever comes next
        await self._keep(user, state, state | renewed)
        state |= renewed  # in place: if these are refused, it is their session that `_look` ends
        # Nextcloud renews the tokens of a disabled user, and refuses them then
        return await self._model(state)

    async def _model(self, token_info: dict[str, Any]) -> dict[str, Any]:
        return dict(await self._token_to_auth_model(token_info))

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return tokens for a code or a refresh token, with the time when the first expires."""
        answer = await self.httpfetch(
            self.token_url,
            "asking for tokens",
            method="POST",
            headers=self.build_token_info_request_headers(),
            body=urlencode(params),
            validate_cert=self.validate_server_cert,
        )
        try:
            grant = _Grant.model_validate(answer)
        except ValidationError:
            raise Unavailable("its tokens cannot be read") from None  # the error would show them
        return {
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "token_type": "Bearer",
            "expires_at": int(time.time()) + grant.expires_in,
        }

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Return id and groups of an account that is enabled."""
        answer = await super().token_to_user(token_info)
        try:
            account = _Account.model_validate(answer["ocs"]["data"])
        except (ValidationError, KeyError, TypeError) as error:
            raise Unavailable("what it says of the user cannot be read") from error
        if not account.enabled:
            raise Refused("the account is disabled")
        return {"id": account.id, "groups": sorted(account.groups)}

    def build_auth_state_dict(
        self, token_info: dict[str, Any], user_info: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what the hub keeps, encrypted."""
        kept = ("access_token", "refresh_token", "token_type", "expires_at")
        return {name: token_info[name] for name in kept} | {
            "uid": user_info["id"],
            "groups": user_info["groups"],
        }

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Withdraw administrator rights when Nextcloud does not confirm them."""
        return auth_model | {"admin": bool(auth_model["admin"])}

    async def httpfetch(self, url: str, label: str = "asking", **request: Any) -> Any:
        """Fetch JSON from Nextcloud.

        Raises:
            Refused: Nextcloud answered 400 or 401.
            Unavailable: it answered anything else but success, or nothing, or no JSON.
        """
        try:
            return await super().httpfetch(url, label, **request)
        except HTTPClientError as error:
            reason = f"{error.code} {error.message}"
            if error.code in _NO:
                raise Refused(reason) from error
            # 599 is tornado's for no connection and no answer in time
            raise Unavailable(reason, for_all=error.code == _BUSY or error.code >= 500) from error
        except OSError as error:
            raise Unavailable(type(error).__name__, for_all=True) from error
        except ValueError as error:
            raise Unavailable(type(error).__name__) from error
