"""From names to files: one tree with a folder for every user, every group, and everybody.

    users/FOLDER/    home/...        its user's own
    team/GROUP/      team/GROUP/...  read and written by the members of a group
    shared/          shared/...      read by all

A name never reaches another user's folder: it is resolved to an open descriptor below one of the
three roots (`landcover.io.files.safe_open`), and that descriptor is what the library reads.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from landcover.errors import NameRefused, NotThere
from landcover.io.files.safe_open import make_beneath, open_beneath
from landcover.io.gdal_drivers import parts_beside

NAMES = "home/..., shared/..., team/GROUP/... or received/ID/NAME"

DEPTH = 8
"""So many folders deep a walk goes."""
_NAME_BYTES = 255  # of a file's name, on all file systems that one meets


@dataclass(frozen=True)
class Entry:
    """A file or folder that a walk comes by.

    Attributes:
        name: its storage name.
        is_folder: whether it is a folder.
        modified: when, in seconds since 1970.
    """

    name: str
    is_folder: bool
    modified: float


@dataclass(frozen=True)
class Storage:
    """What one user sees of the tree.

    Attributes:
        root: the folder that holds users/, team/ and shared/.
        folder: the user's folder below users/.
        groups: the groups whose team folders the user may enter.
        administrator: whether the user may write below shared/.
    """

    root: Path
    folder: str
    groups: tuple[str, ...] = ()
    administrator: bool = False

    def open(self, name: str) -> int:
        """Open an existing file or folder for reading and return its descriptor.

        Raises:
            NameRefused: the name is malformed, leaves the caller's folders, or names nothing.
        """
        base, parts = self._split(name)
        with _errors_about(name), _opened(base) as top:
            return _need_folder(open_beneath(top, parts), name)

    @contextmanager
    def readable(self, name: str) -> Iterator[Path]:
        """Yield a path under which the library finds the file or folder, name and ending kept.

        The path leads to the descriptor, not to the name: what the name means later, or what
        else lies beside the file, is out of reach. The parts of a shapefile come along, and what
        belongs to a raster: its mask, and the .aux.xml of GDAL.

        Raises:
            NameRefused: as for `open`.
        """
        with ExitStack() as stack:
            path = _lend(PurePosixPath(name).name, self.open(name), stack)
            self._link_parts(name, path.parent, stack)
            yield path

    def make_folder(self, name: str) -> int:
        """Make a folder with its parents, following no link; return its descriptor.

        Raises:
            NameRefused: the caller may not write there, or something else is in the way.
        """
        base, parts = self._split(name)
        if base == self.root / "shared" and not self.administrator:
            raise NameRefused(f"{name} is read-only, write to home/... instead")
        if base != self.root / "shared":
            # a user's first job may come before a server, a group's first file before its folder
            base.mkdir(parents=True, exist_ok=True)
        with _errors_about(name), _opened(base) as top:
            return make_beneath(top, parts)

    def roots(self) -> tuple[Path, ...]:
        """Return the folders in which all lies that the user may read."""
        teams = (self.root / "team" / group for group in self.groups if is_folder_name(group))
        return (self.root / "users" / self.folder, *teams, self.root / "shared")

    def walk(self, depth: int = DEPTH) -> Generator[Entry, None, None]:
        """Iterate over the caller's files and folders, those nearest to the roots first.

        No link is followed; hidden names and those that no page can show are left out. A tree may
        be large: whoever walks stops when there is enough.
        """
        roots = ("home", *(f"team/{group}" for group in self.groups), "shared")
        folders = deque((root, 1) for root in roots)
        while folders:
            folder, level = folders.popleft()
            for entry in self._entries(folder):
                yield entry
                if entry.is_folder and level < depth:
                    folders.append((entry.name, level + 1))

    def _entries(self, folder: str) -> Iterator[Entry]:
        try:
            descriptor = self.open(folder)
        except NameRefused:
            return  # not made yet, or gone since its parent was read
        try:
            with suppress(OSError), os.scandir(descriptor) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        known = entry.stat(follow_symlinks=False)
                        if _is_shown(entry.name, known.st_mode):
                            is_folder = stat.S_ISDIR(known.st_mode)
                            yield Entry(f"{folder}/{entry.name}", is_folder, known.st_mtime)
        finally:
            os.close(descriptor)

    def _split(self, name: str) -> tuple[Path, tuple[str, ...]]:
        """Return the root that a name lies under, and its components below it."""
        parts = tuple(name.removesuffix("/").split("/"))
        if "://" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise NameRefused(f"{name} is no storage name, needs {NAMES}")
        match parts:
            case ("home", *rest):
                return self.root / "users" / self.folder, tuple(rest)
            case ("shared", *rest):
                return self.root / "shared", tuple(rest)
            case ("team", group, *rest) if group in self.groups:
                return self.root / "team" / group, tuple(rest)
            case ("team", group, *_):
                raise NameRefused(f"{name} is not there for you: you are no member of {group}")
            case ("received", *_):
                raise NameRefused(f"{name} needs Nextcloud, this storage is a plain folder")
        raise NameRefused(f"{name} is no storage name, needs {NAMES}")

    def _link_parts(self, name: str, home: Path, stack: ExitStack) -> None:
        for part in parts_beside(PurePosixPath(name)):
            try:
                descriptor = self.open(str(part))
            except NameRefused:
                continue  # only .dbf and .shx are obligatory, and the reader says so
            link = home / part.name
            link.symlink_to(_descriptor_path(descriptor, stack))


def _need_folder(descriptor: int, name: str) -> int:
    """Return a descriptor, unless its name ends in a slash and it is no folder."""
    if name.endswith("/") and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NameRefused(f"{name} ends in a slash, leave it out: it is a file")
    return descriptor


def is_folder_name(group: str) -> bool:
    """Return whether a group's name can be a folder's; another group has no team folder."""
    is_part = group not in ("", ".", "..") and "/" not in group and "\0" not in group
    return is_part and len(os.fsencode(group)) <= _NAME_BYTES


def is_mountable(folder: str) -> bool:
    """Return whether Kubernetes takes a folder's name in the path of a mount."""
    return folder.isprintable() and ":" not in folder


def home_path(name: str) -> Path:
    """Return where a storage name lies in a user's own server, whose home directory is home/.

    Raises:
        NameRefused: the name is not one of home/..., shared/... or team/...
    """
    base, parts = _split_at_home(name)
    return base.joinpath(*parts)


@contextmanager
def readable_at_home(name: str) -> Iterator[Path]:
    """Yield a path to a file in a user's own server, as `Storage.readable` does elsewhere.

    Raises:
        NameRefused: the name is malformed, leads out of its folder, or names nothing.
    """
    base, parts = _split_at_home(name)
    with ExitStack() as stack:
        with _errors_about(name), _opened(base) as top:
            descriptor = open_beneath(top, parts)
        yield _lend(PurePosixPath(name).name, descriptor, stack)


@contextmanager
def folder_at_home(name: str, make: bool = False) -> Iterator[Path]:
    """Yield a path to a folder in a user's own server; the path leads to its descriptor.

    Args:
        name: storage name of the folder.
        make: make it and its parents where they are missing; then no link is followed.

    Raises:
        NameRefused: the name is malformed, leads out, or names nothing.
    """
    base, parts = _split_at_home(name)
    with _errors_about(name), _opened(base) as top:
        descriptor = make_beneath(top, parts) if make else open_beneath(top, parts)
    with ExitStack() as stack:
        yield Path(_descriptor_path(descriptor, stack))


def name_at_home(path: str) -> str:
    """Return the storage name of a path in a user's own server; a storage name stays as it is.

    Raises:
        NameRefused: the path lies in none of the user's folders.
    """
    if path.split("/")[0] in _AT_HOME and "/" in path:
        return path
    absolute = Path(path).expanduser().absolute()
    for root in ("shared", "team", "home"):
        with suppress(ValueError):
            return "/".join((root, *absolute.relative_to(_base_at_home(root)).parts))
    raise NameRefused(f"{path} lies outside your folders, needs {NAMES}")


_AT_HOME = ("home", "shared", "team")


def _base_at_home(root: str) -> Path:
    return Path.home() if root == "home" else Path.home() / root


def _split_at_home(name: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that a name lies under in a user's own server, and what follows."""
    root, *rest = name.removesuffix("/").split("/")
    if root not in _AT_HOME or "\0" in name or any(part in ("", ".", "..") for part in rest):
        raise NameRefused(f"{name} is no storage name, needs {NAMES}")
    return _base_at_home(root), tuple(rest)


def _lend(name: str, descriptor: int, stack: ExitStack) -> Path:
    """Return a path for a descriptor that ends in a name, valid while the stack is open."""
    link = _descriptor_path(descriptor, stack)
    path = Path(stack.enter_context(TemporaryDirectory(prefix="landcover-"))) / name
    path.symlink_to(link)
    return path


def _is_shown(name: str, mode: int) -> bool:
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return is_plain and not name.startswith(".") and name.isprintable()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _descriptor_path(descriptor: int, stack: ExitStack) -> str:
    stack.callback(os.close, descriptor)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


@contextmanager
def _errors_about(name: str) -> Iterator[None]:
    """Turn what the system says of a name into a sentence."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThere(f"there is no {name}") from error
    except OSError as error:
        reasons = {
            errno.EXDEV: f"{name} leads out of your folders",
            errno.ELOOP: f"{name} leads out of your folders",
            errno.EACCES: f"{name} may not be read",
            errno.EINVAL: f"{name} is neither a file nor a folder",
            errno.EEXIST: f"{name} is in the way",
            errno.ENAMETOOLONG: "the name is too long",
        }
        reason = reasons.get(error.errno or 0, f"{name} cannot be opened: {error.strerror}")
        raise NameRefused(reason) from error
