"""Nextcloud: a user's files there, what is shared, and with whom.

    access.py       who the caller is there, asked for just before each use
    connection.py   one request: its token, its time limits, and what a refusal means
    listings.py     what is in a folder
    files.py        folders, and files that stream in and out
    shares.py       shares with users, groups and links, and what was shared with the caller

nextcloud-api-wrapper speaks to the server wherever it does so rightly. Version 0.2.3 cuts names at
# and ?, takes an overwriting upload for a failure, reads whole files and listings into memory,
waits for ever, and mixes up the headers of its interfaces; that is mended here, and it is imported
nowhere else.
"""

from landcover.storage.nextcloud.access import Access, AskAccess, token_service
from landcover.storage.nextcloud.connection import Connection, Timeouts
from landcover.storage.nextcloud.files import Files
from landcover.storage.nextcloud.listings import Remote
from landcover.storage.nextcloud.shares import Received, Sent, Shares

__all__ = [
    "Access",
    "AskAccess",
    "Files",
    "Nextcloud",
    "Received",
    "Remote",
    "Sent",
    "Shares",
    "Timeouts",
    "token_service",
]


class Nextcloud:
    """One user's Nextcloud, for one thread at a time; close it, or use it in a `with` block.

    Attributes:
        files: the user's files.
        shares: what the user shares, and what was shared with the user.
    """

    def __init__(self, access: AskAccess, timeouts: Timeouts | None = None) -> None:
        """Speak for the user whom `access` names, now and before each request.

        Raises:
            NextcloudError: there is no access at the moment.
        """
        self._connection = Connection(access, timeouts or Timeouts.from_environment())
        self.files = Files(self._connection)
        self.shares = Shares(self._connection)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __enter__(self) -> "Nextcloud":
        """Use it."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Close the connections."""
        self.close()
