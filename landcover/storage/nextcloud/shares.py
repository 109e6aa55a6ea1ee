"""Shares: with a user, with a group, by a link; and what was shared with the caller.

A share is known by its number. Its name is no address: a recipient is told only where they see it
themselves, which is another name if its own was taken, and which they may change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from landcover.errors import InputError, NameRefused, NextcloudError
from landcover.storage.nextcloud.connection import Connection, Refusal, errors_about

_USER, _GROUP, _LINK = 0, 1, 3
_READ = 1
_FOLDER = "apps/files_sharing/api/v1/shares"


@dataclass(frozen=True)
class Sent:
    """A share that the user has made.

    Attributes:
        id: its number.
        url: address of a link; "" otherwise.
        expires: last day of a link.
    """

    id: str
    url: str = ""
    expires: date | None = None


@dataclass(frozen=True)
class Received:
    """A share that the user has got.

    Attributes:
        id: its number.
        path: where the user sees it at the moment.
    """

    id: str
    path: str


class Shares:
    """The shares of one user, to be read only by those who get them."""

    def __init__(self, connection: Connection) -> None:
        """Ask by `connection`."""
        self._connection = connection

    def with_user(self, path: str, uid: str) -> Sent:
        """Share a file or folder with a user.

        Raises:
            InputError: there is no such user.
            NextcloudError: sharing is not allowed, or Nextcloud does not answer as it should.
        """
        return self._with(path, _USER, uid, f"Nextcloud knows no user {uid}")

    def with_group(self, path: str, group: str) -> Sent:
        """Share a file or folder with all members of a group.

        Raises:
            InputError: there is no such group.
            NextcloudError: sharing is not allowed, or Nextcloud does not answer as it should.
        """
        return self._with(path, _GROUP, group, f"Nextcloud knows no group {group}")

    def by_link(self, path: str, expires: date) -> Sent:
        """Share a file or folder read-only by link, until the end of a day.

        Raises:
            InputError: links are switched off, or must end sooner.
            NextcloudError: Nextcloud does not answer as it should.
        """
        asked = {"path": f"/{path}", "shareType": _LINK, "permissions": _READ}
        # one request with the day in it: the wrapper's link would be open for ever at first
        address = self._address(_FOLDER)
        refused = "Nextcloud makes no link: its administrator switched links off or limits them"
        with errors_about(path):
            try:
                answer = self._connection.session.request(
                    "POST", address, data=asked | {"expireDate": expires.isoformat()}
                )
            except Refusal as refusal:
                if refusal.status in (400, 403, 404):
                    raise InputError(refused) from refusal
                raise
            made = answer.json()["ocs"]["data"]
            sent = Sent(str(made["id"]), str(made["url"]), _day(made["expiration"]))
        if sent.expires is None or sent.expires > expires:
            self.end(sent.id)
            raise NextcloudError("Nextcloud's link would not end that day, it was taken back")
        return sent

    def end(self, share_id: str) -> None:
        """Delete a share."""
        with errors_about(f"share {share_id}"):
            self._connection.client.delete_share(share_id)

    def received(self) -> list[Received]:
        """Return what was shared with the user."""
        with errors_about("what was shared with you"):
            answer = self._connection.session.request(
                "GET", self._address(_FOLDER), params={"shared_with_me": "true"}
            )
            return [_received(known) for known in answer.json()["ocs"]["data"]]

    def find(self, share_id: str) -> Received:
        """Return a share that the user has got.

        Raises:
            NameRefused: there is none of this number for this user.
            NextcloudError: Nextcloud does not answer as it should.
        """
        for share in self.received():
            if share.id == share_id:
                return share
        raise NameRefused(f"nobody shares received/{share_id} with you")

    def _with(self, path: str, kind: int, whom: str, unknown: str) -> Sent:
        with errors_about(path):
            try:
                answer = self._connection.client.create_share(
                    f"/{path}", kind, share_with=whom, permissions=_READ
                )
            except Refusal as refusal:
                if refusal.status in (400, 404):
                    raise InputError(unknown) from refusal
                raise
            return Sent(str(answer.data["id"]))

    def _address(self, route: str) -> str:
        return f"{self._connection.address('ocs', 'v2.php')}/{route}?format=json"


def _received(known: Mapping[str, Any]) -> Received:
    return Received(str(known["id"]), str(known["file_target"]).strip("/"))


def _day(said: object) -> date | None:
    return date.fromisoformat(str(said)[:10]) if said else None
