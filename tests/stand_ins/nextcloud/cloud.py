"""A Nextcloud for tests: the stand-in, or a real one; and what an administrator does there.

`GEOPORTAL_TEST_NEXTCLOUD` names a YAML file with the real one's url, administrator, password,
client_id, client_secret and callback_url, as hub/README.md tells to make the client; the callback
is http://127.0.0.1:PORT/hub/oauth_callback with a port that is free here.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
import yaml

from hub.local.client import local_session
from hub.local.machine import free_address
from tests.stand_ins.nextcloud.oauth import ADMINISTRATOR, StandIn, served

MEMBERS, ADMINISTRATORS = "remote-sensing", "hub-admins"
REAL = "GEOPORTAL_TEST_NEXTCLOUD"
_TIMEOUT_SECONDS = 30


@dataclass
class Cloud:
    """A Nextcloud whose accounts a test may make and change."""

    url: str
    administrator: str
    password: str
    client_id: str
    client_secret: str
    callback_url: str
    stand_in: StandIn | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def inside(self) -> StandIn:
        """The stand-in; what only it can do is not tested with a real server."""
        if self.stand_in is None:
            pytest.skip("a real Nextcloud cannot be told to do this")
        return self.stand_in

    def add(self, uid: str, *groups: str) -> None:
        """Make an account."""
        self.passwords[uid] = f"{secrets.token_urlsafe(18)}-9"
        self._ocs("post", "users", userid=uid, password=self.passwords[uid])
        for group in groups:
            self.join(uid, group)

    def remove(self, uid: str) -> None:
        self._ocs("delete", f"users/{quote(uid)}")
        del self.passwords[uid]

    def join(self, uid: str, group: str) -> None:
        self._ocs("post", f"users/{quote(uid)}/groups", groupid=group)

    def leave(self, uid: str, group: str) -> None:
        self._ocs("delete", f"users/{quote(uid)}/groups", groupid=group)

    def disable(self, uid: str) -> None:
        self._ocs("put", f"users/{quote(uid)}/disable")

    def make_group(self, group: str) -> None:
        """Make a group if there is none of this name."""
        self._ocs("post", "groups", known=(400,), groupid=group)

    def app_password(self, uid: str) -> str:
        """Return a password of a user's own programs, which may stand for an access token."""
        with local_session() as session:
            answer = session.get(
                f"{self.url}/ocs/v2.php/core/getapppassword?format=json",
                auth=(uid, self.passwords[uid]),
                headers={"OCS-APIRequest": "true"},
                timeout=_TIMEOUT_SECONDS,
            )
        answer.raise_for_status()
        return str(answer.json()["ocs"]["data"]["apppassword"])

    def give_up(self, access_token: str) -> None:
        """End the session of a token, as its user does on the page of devices and sessions."""
        with local_session() as session:
            session.delete(
                f"{self.url}/ocs/v2.php/core/apppassword?format=json",
                headers={"Authorization": f"Bearer {access_token}"},
                timeout=_TIMEOUT_SECONDS,
            ).raise_for_status()

    def uid_of(self, access_token: str) -> str | None:
        """Return whom the cloud knows by an access token."""
        answer = local_session().get(
            f"{self.url}/ocs/v2.php/cloud/user?format=json",
            headers={"Authorization": f"Bearer {access_token}"},
            timeout=_TIMEOUT_SECONDS,
        )
        return answer.json()["ocs"]["data"]["id"] if answer.ok else None

    def _ocs(
        self, method: str, path: str, known: tuple[int, ...] = (), **form: str
    ) -> requests.Response:
        with local_session() as session:
            answer = session.request(
                method,
                f"{self.url}/ocs/v2.php/cloud/{path}?format=json",
                auth=(self.administrator, self.password),
                headers={"OCS-APIRequest": "true"},
                data=form,
                timeout=_TIMEOUT_SECONDS,
            )
        assert answer.ok or answer.status_code in known, (path, answer.status_code, answer.text)
        return answer


@contextmanager
def cloud_for_tests() -> Iterator[Cloud]:
    """Yield the Nextcloud of this test run, with its groups; its accounts go at the end."""
    with _some_cloud() as cloud:
        for group in (MEMBERS, ADMINISTRATORS):
            cloud.make_group(group)
        try:
            yield cloud
        finally:
            for uid in list(cloud.passwords):
                cloud.remove(uid)


@contextmanager
def _some_cloud() -> Iterator[Cloud]:
    real = os.environ.get(REAL)
    if real:
        yield Cloud(**yaml.safe_load(Path(real).read_text(encoding="utf-8")))
        return
    with served(StandIn(f"{free_address()}/hub/oauth_callback")) as inside:
        yield Cloud(
            inside.url,
            ADMINISTRATOR,
            inside.password,
            inside.client_id,
            inside.client_secret,
            inside.callback_url,
            inside,
        )
