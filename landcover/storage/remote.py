"""What lies at Nextcloud and not here, fetched before it is read.

    received/ID/NAME  what others shared with the caller
    home/...          what the caller keeps at Nextcloud alone, in the folder Geoportal/home

ID is the number of the share, and only among the caller's own is it looked for. NAME is for
people: owner and recipients call the file as they like. What follows lies below a shared folder.
A file of home/ that is here comes before one of its name there.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from landcover.errors import InputError, NameRefused, NotThere
from landcover.io.files.atomic import written_beside
from landcover.io.gdal_drivers import parts_beside
from landcover.progress import report_progress
from landcover.storage.copies import new_file
from landcover.storage.sharing import FOLDER, OwnServer, Tree
from landcover.storage.tree import DEPTH, NAMES, home_path

if TYPE_CHECKING:
    from landcover.storage.nextcloud import Nextcloud, Remote

MOST_MIB = 20 << 10
"""So much is fetched for one name if nothing else is said."""

_MOST_ENTRIES = 10_000  # files and folders
_LOCK = ".lock"
_CACHE = Path(".cache") / "geoportal" / "nextcloud"


def is_received(name: str) -> bool:
    """Return whether a name is one of received/..."""
    return name.split("/", 1)[0] == "received"


def is_remote(name: str, tree: Tree) -> bool:
    """Return whether a name is to be looked for at Nextcloud, which is not asked here.

    Args:
        name: storage name.
        tree: what its user has here.

    Raises:
        NameRefused: it can mean nothing, here or there.
    """
    if not is_received(name):
        try:
            os.close(tree.open(name))
            return False
        except NotThere:
            if not name.startswith("home/"):
                raise
    _Name.of(name)
    return True


def fetch(name: str) -> Path:
    """Return where a file or folder lies that a storage name means; run in a user's own server.

    What lies at Nextcloud alone is fetched, and again only after it has changed.

    Raises:
        NameRefused: there is no such file.
        InputError: it is too large.
        NextcloudError: Nextcloud does not give it.
    """
    from landcover.storage.nextcloud import Nextcloud
    from landcover.storage.nextcloud.access import token_service

    access = token_service()
    if access is None:
        if is_received(name):
            raise NameRefused(f"{name} needs Nextcloud, this storage is a plain folder")
        os.close(OwnServer().open(name))
    elif is_remote(name, OwnServer()):
        with Nextcloud(access) as nextcloud:
            return _cached(name, _found(nextcloud, _Name.of(name)), nextcloud)
    return home_path(name)


def fetch_into(folder: int, name: str, nextcloud: "Nextcloud", most: int) -> str:
    """Fetch what lies at Nextcloud into a folder.

    Args:
        folder: descriptor of the folder.
        name: storage name.
        nextcloud: of the caller.
        most: bytes that are fetched in all.

    Returns:
        The name that it got in the folder.

    Raises:
        NameRefused: the caller has nothing of this name there.
        InputError: it is too large.
        NextcloudError: Nextcloud does not give it.
    """
    found = _found(nextcloud, _Name.of(name))
    _Fetching(nextcloud, folder, most).fetch(found)
    return found[0].remote.name


@dataclass(frozen=True)
class _Name:
    """A name taken apart.

    Attributes:
        whole: the name.
        share_id: number of a share; "" for a name of home/.
        below: the folders and the file below what was shared, or below home/.
    """

    whole: str
    share_id: str
    below: tuple[str, ...]

    @staticmethod
    def of(name: str) -> "_Name":
        root, *parts = name.split("/")
        if "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise NameRefused(f"{name} is no storage name, needs {NAMES}")
        match root, parts:
            case "home", [_, *_]:
                return _Name(name, "", tuple(parts))
            case "received", [share_id, _, *below]:
                if not (share_id.isascii() and share_id.isdecimal()):
                    raise NameRefused(f"there is no {name}")
                return _Name(name, share_id, tuple(below))
        raise NameRefused(f"{name} is no storage name, needs {NAMES}")

    def path(self, nextcloud: "Nextcloud") -> str:
        """Return where it lies for its user."""
        if not self.share_id:
            return "/".join((FOLDER, "home", *self.below))
        return "/".join((nextcloud.shares.find(self.share_id).path, *self.below))


@dataclass(frozen=True)
class _Entry:
    """A file or folder at Nextcloud: where it lies for its user, and its description."""

    path: str
    remote: "Remote"


def _found(nextcloud: "Nextcloud", name: _Name) -> tuple[_Entry, ...]:
    """Return what a name means, and then what belongs to it and lies beside it."""
    try:
        path = name.path(nextcloud)
        remote = nextcloud.files.stat(path)
    except NameRefused as error:
        raise NameRefused(f"there is no {name.whole}") from error
    if remote.name != PurePosixPath(path).name or remote.name in ("", ".", ".."):
        raise NameRefused(f"there is no {name.whole}")
    beside = () if remote.is_folder else parts_beside(PurePosixPath(path))
    parts = (_stat(nextcloud, part) for part in beside)
    return _Entry(path, remote), *(part for part in parts if part is not None)


def _stat(nextcloud: "Nextcloud", path: PurePosixPath) -> _Entry | None:
    """Return a file that may be there; each is asked for, as folders can be very large."""
    try:
        remote = nextcloud.files.stat(str(path))
    except NameRefused:
        return None
    return None if remote.is_folder or remote.name != path.name else _Entry(str(path), remote)


def _cached(name: str, found: Sequence[_Entry], nextcloud: "Nextcloud") -> Path:
    """Return a copy of this version in the user's cache, where older ones make room for it."""
    etags = [f"{entry.path} {entry.remote.etag}" for entry in found]
    version = hashlib.sha256("\n".join(etags).encode()).hexdigest()[:16]
    caches = Path.home() / _CACHE / hashlib.sha256(name.encode()).hexdigest()[:16]
    cache, own_name = caches / version, found[0].remote.name
    is_kept = all(entry.remote.etag for entry in found)
    if is_kept and cache.is_dir():
        return cache / own_name
    with _room_for(own_name), _alone_in(caches):
        if not (is_kept and cache.is_dir()):
            with written_beside(cache) as beside:
                beside.mkdir()
                with _opened(beside) as folder:
                    _Fetching(nextcloud, folder, MOST_MIB << 20).fetch(found)
            for older in set(caches.iterdir()) - {cache, caches / _LOCK}:
                shutil.rmtree(older)
    return cache / own_name


@contextmanager
def _alone_in(caches: Path) -> Iterator[None]:
    """Serialise fetching among the user's kernels: the others may find what one fetched."""
    caches.mkdir(parents=True, exist_ok=True)
    with (caches / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Fetching:
    """Fetches a file with what belongs to it, or a folder."""

    def __init__(self, nextcloud: "Nextcloud", folder: int, most: int) -> None:
        self._files, self._folder = nextcloud.files, folder
        self._left = most
        self._entries_left = 1 + _MOST_ENTRIES  # the one that is asked for, and what is in it

    def fetch(self, found: Sequence[_Entry]) -> None:
        for entry in found:
            with _room_for(entry.remote.name):
                self._fetch(entry.path, entry.remote, self._folder, DEPTH)

    def _fetch(self, path: str, remote: "Remote", folder: int, depth: int) -> None:
        self._entries_left -= 1
        if self._entries_left < 0:
            raise InputError(
                f"{path} is among more than {_MOST_ENTRIES:,} files and folders, fewer are needed"
            )
        # whoever waits may stop it here: of folders and empty files no byte is fetched
        report_progress(0.0, f"fetching {remote.name}")
        if remote.is_folder:
            self._fetch_folder(path, remote, folder, depth)
            return
        with new_file(folder, remote.name) as file:
            self._left -= self._files.download(path, file, self._left).size

    def _fetch_folder(self, path: str, remote: "Remote", folder: int, depth: int) -> None:
        if depth == 0:
            raise InputError(f"{path} lies more than {DEPTH} folders deep, needs fewer")
        os.mkdir(remote.name, 0o700, dir_fd=folder)
        with _opened(remote.name, folder) as inner:
            for entry in self._files.inside(path, _MOST_ENTRIES):
                self._fetch(f"{path}/{entry.name}", entry, inner, depth - 1)


@contextmanager
def _opened(folder: str | Path, within: int | None = None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder, flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"there is no room left here for {name}") from error
