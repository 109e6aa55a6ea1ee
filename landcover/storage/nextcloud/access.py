"""Who the caller is at Nextcloud: asked for just before each use, and kept nowhere.

A token lives an hour and is replaced whenever somebody refreshes it, so the hub keeps it and
gives the one of the moment to whoever may have it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from landcover.errors import NextcloudError, NotSignedIn, Unavailable

TOKEN_URL = "GEOPORTAL_NEXTCLOUD_TOKEN_URL"
"""The variable that names the hub's token service; without it there is no Nextcloud."""

HUB_TOKEN = "JUPYTERHUB_API_TOKEN"
_SECONDS = (5, 30)
SIGN_IN_AGAIN = "your sign-in at Nextcloud is over: sign out of the geoportal and in again"
_NO_TOKEN = "the hub gives no token for Nextcloud now, try again later"


@dataclass(frozen=True)
class Access:
    """What a request to Nextcloud needs.

    Attributes:
        url: address of Nextcloud, without a slash at the end.
        uid: the user's exact name there, which may differ from the hub's.
        token: opens all of the user's files until it expires.
    """

    url: str
    uid: str
    token: str = field(repr=False)


AskAccess = Callable[[], Access]
"""Gives the access of this moment."""


@dataclass(frozen=True)
class TokenService:
    """The hub's service that gives the token of the moment.

    Attributes:
        url: its address.
        user: hub name of the user; "" for the one whose server this is.
    """

    url: str
    user: str = ""

    def __call__(self) -> Access:
        """Fetch the token and address of the moment.

        Raises:
            NotSignedIn: the user's sign-in at Nextcloud is over.
            NextcloudError: the service does not answer, or not as it should.
        """
        try:
            answer = requests.get(
                self.url,
                params={"user": self.user} if self.user else None,
                headers={"Authorization": f"token {os.environ[HUB_TOKEN]}"},
                timeout=_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unavailable(_NO_TOKEN) from error
        if 400 <= answer.status_code < 500 and answer.status_code != 429:
            raise NotSignedIn(SIGN_IN_AGAIN)
        if answer.status_code != 200:
            raise Unavailable(_NO_TOKEN)
        return _access_in(answer)


def token_service(user: str = "") -> TokenService | None:
    """Return the token service that the environment names, None if there is no Nextcloud."""
    url = os.environ.get(TOKEN_URL)
    return TokenService(url, user) if url else None


def _access_in(answer: requests.Response) -> Access:
    try:
        said: Any = answer.json()
        url, uid, token = (str(said[name]) for name in ("url", "uid", "access_token"))
    except (ValueError, KeyError, TypeError) as error:
        raise NextcloudError(
            "the hub's answer names no token for Nextcloud, an administrator must look into it"
        ) from error
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise NextcloudError(
            "the hub names no address of Nextcloud, an administrator must look into it"
        )
    return Access(url.rstrip("/"), uid, token)
