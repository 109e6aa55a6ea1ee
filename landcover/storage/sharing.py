"""Share what one has made, with a user, a group, or by a link; or store it at one's Nextcloud.

On a plain folder tree a group gets a copy in team/GROUP/, and there is nothing else. With
Nextcloud the file is shared there: home/maps/ice.tif is Geoportal/home/maps/ice.tif in its owner's
Nextcloud. If an administrator shows the tree there, it is that very file, and else it is stored
there first; recipients read it as received/ID/NAME. What belongs to a file beside it, as a mask or
the names of a map's classes, is copied and stored with it; by Nextcloud the file alone is shared.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from landcover.errors import InputError, NameRefused, NotThere
from landcover.io.gdal_drivers import companions_of
from landcover.storage.copies import check_depth, copy_if_free, copy_into, visible
from landcover.storage.tree import DEPTH, home_path

if TYPE_CHECKING:
    from landcover.storage.nextcloud import AskAccess, Files, Nextcloud, Sent

FOLDER = "Geoportal"
"""The folder at Nextcloud below which a user's names are paths."""

LINKS = "GEOPORTAL_SHARE_LINKS"
"""The variable by which an administrator switches links off: off or on."""


@dataclass(frozen=True)
class Audience:
    """With whom something is shared; `of` makes one that does.

    Attributes:
        user: name of a user at Nextcloud.
        group: name of a group.
        expires: last day of a link.
    """

    user: str = ""
    group: str = ""
    expires: date | None = None

    @staticmethod
    def of(
        user: str | None = None,
        group: str | None = None,
        link: bool = False,
        expires: date | str | None = None,
    ) -> "Audience":
        """Check what was given.

        Raises:
            InputError: it is not one of the three, or a link without a day to come.
        """
        if bool(user) + bool(group) + link != 1:
            raise InputError("share with a user, with a group or by a link: one of them is needed")
        if expires and not link:
            raise InputError(
                "expires is for links, a user or group keeps a share until it is ended"
            )
        if not link:
            return Audience(user or "", group or "")
        if not links_are_offered():
            raise InputError("links are switched off here, share with a user or a group")
        return Audience(expires=_day_to_come(expires))


def links_are_offered() -> bool:
    """Return whether the administrator lets users share by a link."""
    return os.environ.get(LINKS) != "off"


@dataclass(frozen=True)
class Share:
    """A share that was made.

    Attributes:
        name: storage name of what was shared.
        audience: with whom.
        received_as: storage name under which they find it; "" for a link.
        url: address of a link; "" otherwise.
    """

    name: str
    audience: Audience
    received_as: str = ""
    url: str = ""

    def __str__(self) -> str:
        """Return who finds it where, as a sentence."""
        whom = self.audience
        if self.url:
            return f"whoever has {self.url} reads {self.name} until {whom.expires}"
        if whom.user:
            return f"{whom.user} reads {self.name} as {self.received_as}"
        return f"the members of {whom.group} read {self.name} as {self.received_as}"


class Tree(Protocol):
    """Where names lead to; `landcover.storage.Storage` is one."""

    def open(self, name: str) -> int:
        """Open a file or folder for reading."""

    def make_folder(self, name: str) -> int:
        """Open a folder, and make it if need be."""


def share(
    name: str,
    user: str | None = None,
    group: str | None = None,
    link: bool = False,
    expires: date | str | None = None,
) -> Share:
    """Share a file or folder of one's home; run in a user's own server.

    Args:
        name: storage name, home/...
        user: with this user of Nextcloud.
        group: with the members of this group. Without Nextcloud they get a copy in team/GROUP/;
            a copy that is there already stays, and another one is called NAME (2).
        link: with whoever gets the address.
        expires: last day of a link, as a date or 2027-01-31.

    Returns:
        What was done; as a text, a sentence.

    Raises:
        InputError: the file is not there or not yours, or this cannot be done here.
        NextcloudError: Nextcloud refuses it.
    """
    from landcover.storage.nextcloud.access import token_service

    return share_from(OwnServer(), name, Audience.of(user, group, link, expires), token_service())


def share_from(tree: Tree, name: str, audience: Audience, access: "AskAccess | None") -> Share:
    """Share a file or folder of a tree.

    Args:
        tree: where the names of its owner lead to.
        name: storage name, home/...
        audience: with whom.
        access: of the owner at Nextcloud; None if the tree is all there is.

    Raises:
        InputError: as for `share`.
        NextcloudError: as for `share`.
    """
    if not name.startswith("home/"):
        raise NameRefused(f"{name} is not yours to share, needs home/...")
    if access is None:
        return _copied(tree, name, audience)
    from landcover.storage.nextcloud import Nextcloud

    with Nextcloud(access) as nextcloud:
        sent = _shared(nextcloud, _stored(nextcloud.files, tree, name), audience)
    received_as = "" if sent.url else f"received/{sent.id}/{PurePosixPath(name).name}"
    return Share(name, audience, received_as, sent.url)


def store(name: str) -> str:
    """Store a file or folder of one's home at one's Nextcloud too; run in a user's own server.

    The same one is not sent twice. Its name leads there once it is no more here.

    Args:
        name: storage name, home/...

    Returns:
        Its path at Nextcloud.

    Raises:
        InputError: the file is not there or not yours, or there is no Nextcloud.
        NextcloudError: Nextcloud refuses it.
    """
    from landcover.storage.nextcloud.access import token_service

    return store_from(OwnServer(), name, token_service())


def store_from(tree: Tree, name: str, access: "AskAccess | None") -> str:
    """Store a file or folder of a tree at its owner's Nextcloud.

    Args:
        tree: where the names of its owner lead to.
        name: storage name, home/...
        access: of the owner at Nextcloud; None if the tree is all there is.

    Returns:
        Its path at Nextcloud.

    Raises:
        InputError: as for `store`.
        NextcloudError: as for `store`.
    """
    if not name.startswith("home/"):
        raise NameRefused(f"{name} is not yours to store, needs home/...")
    if access is None:
        raise InputError("there is no Nextcloud to store in, this storage is a plain folder")
    from landcover.storage.nextcloud import Nextcloud

    with Nextcloud(access) as nextcloud:
        return _stored(nextcloud.files, tree, name)


class OwnServer:
    """The tree as a user's own server sees it."""

    def open(self, name: str) -> int:
        """Open a file or folder for reading.

        Raises:
            NameRefused: there is none.
        """
        try:
            return os.open(home_path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotThere(f"there is no {name}") from error
        except (OSError, ValueError) as error:
            raise NameRefused(f"there is no {name}") from error

    def make_folder(self, name: str) -> int:
        """Open a team's folder, which is there for its members.

        Raises:
            NameRefused: it is not there.
        """
        try:
            return os.open(home_path(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise NameRefused(
                f"{name} is not there for you: you are no member, or were none when your server "
                "started"
            ) from error


def _copied(tree: Tree, name: str, audience: Audience) -> Share:
    if not audience.group:
        raise InputError(
            "users and links need Nextcloud, this storage is a plain folder: share with a group"
        )
    team = f"team/{audience.group}"
    if PurePosixPath(audience.group).parts != (audience.group,) or audience.group == "..":
        raise NameRefused(f"{audience.group} is no group")
    with _descriptor(tree.open, name) as source, _descriptor(tree.make_folder, team) as folder:
        copy = copy_into(folder, source, PurePosixPath(name).name)
        copied = companions_of(PurePosixPath(copy))
        for part, its_name in zip(companions_of(PurePosixPath(name)), copied, strict=True):
            with suppress(NameRefused), _descriptor(tree.open, str(part)) as beside:
                _copy_plain(folder, beside, its_name.name)
    return Share(name, audience, f"{team}/{copy}")


def _copy_plain(folder: int, source: int, name: str) -> None:
    if stat.S_ISREG(os.fstat(source).st_mode):
        copy_if_free(folder, source, name)


def _shared(nextcloud: "Nextcloud", path: str, audience: Audience) -> "Sent":
    if audience.user:
        return nextcloud.shares.with_user(path, audience.user)
    if audience.group:
        return nextcloud.shares.with_group(path, audience.group)
    assert audience.expires is not None  # by Audience.of
    return nextcloud.shares.by_link(path, audience.expires)


def _stored(files: "Files", tree: Tree, name: str) -> str:
    """Upload to Nextcloud what a name means here; what lies only there stays as it is."""
    path = f"{FOLDER}/{name}"
    try:
        with _descriptor(tree.open, name) as source:
            _bring(files, source, path, DEPTH)
        for part in companions_of(PurePosixPath(name)):
            with suppress(NameRefused), _descriptor(tree.open, str(part)) as beside:
                _bring(files, beside, f"{FOLDER}/{part}", DEPTH)
    except NotThere:
        if not files.exists(path):
            raise
    return path


def _bring(files: "Files", source: int, path: str, depth: int) -> None:
    """Upload what is here to Nextcloud; no file is sent twice, and none is deleted there."""
    here = os.fstat(source)
    if stat.S_ISDIR(here.st_mode):
        check_depth(depth)
        files.make_folder(path)
        for name, descriptor in visible(source):
            _bring(files, descriptor, f"{path}/{name}", depth - 1)
        return
    try:
        there = files.stat(path)
    except NameRefused:
        there = None
    if there is None or (there.size, int(there.modified)) != (here.st_size, int(here.st_mtime)):
        with os.fdopen(os.dup(source), "rb") as file:
            files.upload(file, path, replace=there is not None)


@contextmanager
def _descriptor(opened: Callable[[str], int], name: str) -> Iterator[int]:
    descriptor = opened(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _day_to_come(expires: date | str | None) -> date:
    try:
        day = date.fromisoformat(expires) if isinstance(expires, str) else expires
    except ValueError:
        day = None
    if day is None or day < date.today():
        raise InputError("a link needs a last day that is to come, such as 2027-01-31")
    return day
