"""The server that tests speak to: the stand-in, or the real Nextcloud of the test run."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request

from landcover.storage.nextcloud import Access, Nextcloud, Timeouts
from tests.stand_ins.nextcloud.cloud import MEMBERS
from tests.stand_ins.nextcloud.dav import StandIn, served

PAUSELESS = Timeouts(pause=lambda seconds: None)
IMPATIENT = Timeouts(connect=5, silence=0.3)
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
        return Nextcloud(self.access(uid), patience or Timeouts())


def server_of(cloud):
    """Return a real Nextcloud with two users of one group, whose names are no plain ones."""
    users = ("bob.smith", "Eve Smith@Lab.org")
    passwords = {uid: cloud.app_password(uid) for uid in users}
    return Server(cloud.url.rstrip("/"), users, MEMBERS, passwords)


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
