"""The storage: names to files, copies for others, and what others gave.

tree.py      home/..., shared/..., team/GROUP/...: folders of this machine or its volume
copies.py    a copy beside others, never over one
sharing.py   with a user, a group, or by a link; or stored at one's own Nextcloud
remote.py    what lies at Nextcloud alone: fetched when it is needed
"""

from landcover.storage.remote import fetch
from landcover.storage.sharing import Audience, Share, share, store
from landcover.storage.tree import (
    DEPTH,
    NAMES,
    Entry,
    Storage,
    folder_at_home,
    home_path,
    name_at_home,
    readable_at_home,
)

__all__ = [
    "DEPTH",
    "NAMES",
    "Audience",
    "Entry",
    "Share",
    "Storage",
    "fetch",
    "folder_at_home",
    "home_path",
    "name_at_home",
    "readable_at_home",
    "share",
    "store",
]
