"""Hand out a user's access token for Nextcloud, and nothing else, to who may have it.

A route of the hub rather than a service beside it: the hub has the tokens, renews them one at a
time and knows who asks. A service would need the right to read every user's refresh token.

Who may: a user's own server, by the token it was started with, whatever else holds a token for all
that the user may do, and the service that has the scope unrestricted. Every hand-out is a line in
the log.
"""

import time
from collections.abc import Mapping
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.user import User
from tornado.web import HTTPError

SCOPE = "custom:geoportal:nextcloud-token"
VARIABLE = "GEOPORTAL_NEXTCLOUD_TOKEN_URL"
"""Under this name servers and the WPS find the address."""
_PATH = "/nextcloud/token"
ROUTE = f"/api{_PATH}"


def switch(is_on: bool) -> str:
    """Return the value of such a variable."""
    return "on" if is_on else "off"


def address(api_url: str) -> str:
    """Return the address below the hub's API."""
    return api_url.rstrip("/") + _PATH


def seconds_left(state: Mapping[str, Any]) -> float:
    """Return how long the access token of an auth_state still lives."""
    return float(state.get("expires_at", 0)) - time.time()


class TokenHandler(APIHandler):  # type: ignore[misc]  # untyped base
    """GET: the caller's token, or with ?user=NAME that user's."""

    # a page that a user opens must not get at it with their cookies
    _accept_cookie_auth = False

    async def get(self) -> None:
        """Answer access_token, expires_at (seconds since 1970), uid and url as JSON."""
        owner = self._owner()
        state = await self._current(owner)
        caller = self.current_user
        self.log.info("Access token of %s handed to %s %s", owner.name, caller.kind, caller.name)
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {name: state[name] for name in ("access_token", "expires_at", "uid")}
            | {"url": self.authenticator.url}
        )

    def _owner(self) -> User:
        caller = self.current_user
        if caller is None:
            raise HTTPError(403, "a hub token is needed")
        name = self.get_argument("user", caller.name)
        if not name or not self.has_scope(f"{SCOPE}!user={name}"):
            raise HTTPError(403, f"this hub token may not have the access token of {name}")
        owner = self.find_user(name)
        if owner is None:
            raise HTTPError(404, f"there is no user {name}")
        return owner

    async def _current(self, owner: User) -> dict[str, Any]:
        state = await owner.get_auth_state()
        ends_soon = bool(state) and self.authenticator.ends_soon(state)
        await self.refresh_auth(owner, force=ends_soon)
        state = await owner.get_auth_state()
        if not state:
            raise HTTPError(404, f"{owner.name} has no session at Nextcloud, and must sign in")
        if seconds_left(state) <= 0:
            raise HTTPError(503, "Nextcloud does not renew the token at the moment")
        return dict(state)
