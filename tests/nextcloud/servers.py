"""The server that tests speak to: the stand-in, or a real Nextcloud that the environment names.

NEXTCLOUD_TEST_URL is its address, NEXTCLOUD_TEST_USERS names two users that may be written to with
an app password each, as anna:PASSWORD,boris:PASSWORD, NEXTCLOUD_TEST_GROUP is a group of both.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.wrappers import Request

from landcover.nextcloud import Access, Nextcloud, Patience
from tests.nextcloud.dav import StandIn, served

PAUSELESS = Patience(pause=lambda seconds: None)
IMPATIENT = Patience(connect=5, silence=0.3)
"""For servers that stall; a busy machine is as slow for others."""


@dataclass
class Server:
    """A server with two users of one group."""

    url: str
    users: tuple[str, str]
    group: str
    passwords: dict[str, str]
    stand_in: Any = None

    def access(self, uid):
        def ask():
            token = self.stand_in.token(uid) if self.stand_in else self.passwords[uid]
            return Access(self.url, uid, token)

        return ask

    def of(self, uid, patience=None):
        return Nextcloud(self.access(uid), patience or Patience())


def real_server():
    url = os.environ.get("NEXTCLOUD_TEST_URL")
    if not url:
        pytest.skip("NEXTCLOUD_TEST_URL names no Nextcloud")
    pairs = (pair.split(":", 1) for pair in os.environ["NEXTCLOUD_TEST_USERS"].split(","))
    passwords = dict(pairs)
    first, second = passwords
    return Server(url.rstrip("/"), (first, second), os.environ["NEXTCLOUD_TEST_GROUP"], passwords)


def stood_in(root):
    """Return a stand-in that is to be served, with users whose names are no plain ones."""
    stand_in = StandIn(root)
    users = ("anna", "Eve Smith@Lab.org")
    for uid in users:
        stand_in.add_user(uid, "ice & snow")
    return stand_in, users


@contextmanager
def token_service_of(answer):
    """Serve the hub's token service, which answers a request as the test says; yield its URL."""
    with served(Request.application(answer)) as url:
        yield f"{url}/token"
