"""Signing in at Nextcloud, without the race of parallel refreshes.

Nextcloud rotates both tokens at a refresh, and of several refreshes with one token exactly one
wins. A page that loads six things at once would lose its session five times, so one request
refreshes and the others wait for what it got.
"""

import asyncio
from typing import Any

from jupyterhub.user import User
from oauthenticator.generic import GenericOAuthenticator
from traitlets import Dict


class NextcloudOAuthenticator(GenericOAuthenticator):  # type: ignore[misc]  # untyped base
    """OAuth2 as Nextcloud speaks it; one refresh at a time for each user."""

    locks = Dict(help="One asyncio.Lock a user name.")

    async def refresh_user(
        self, user: User, handler: Any = None, **options: Any
    ) -> bool | dict[str, Any]:
        """Look whether the user is still in, and keep the new tokens before anybody else asks."""
        before = await _access_token(user)
        async with self.locks.setdefault(user.name, asyncio.Lock()):
            if before and await _access_token(user) != before:
                return True  # someone else has just refreshed
            model = await super().refresh_user(user, handler, **options)
            return await self._kept(user, model)

    async def _kept(self, user: User, model: Any) -> bool | dict[str, Any]:
        if not isinstance(model, dict):
            return bool(model)
        if model.get("auth_state"):
            await user.save_auth_state(model["auth_state"])
        # groups are otherwise only looked at when signing in
        return model if await self.check_allowed(user.name, model) else False


async def _access_token(user: User) -> str | None:
    return ((await user.get_auth_state()) or {}).get("access_token")
