"""Place a file once and for all: whole, synced, and never over one that is there already."""

import errno
import os
from pathlib import Path

from landcover.disk import explaining_unwritable
from landcover.errors import InputError
from landcover.io.files.atomic import draft_name

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def make_own_folder(folder: Path) -> None:
    """Make a folder if it is not there; a link, which may lead anywhere, is none.

    Raises:
        InputError: something else has its name, or it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}") from error
    if folder.is_symlink():
        raise InputError(f"{folder} is a link, nothing is written through it: make it a folder")


def place_once(target: Path, content: bytes) -> bool:
    """Write a file beside the target and link it there.

    A link fails where something is: of two who write one name at once, one gets it, and the
    other one learns that.

    Returns:
        Whether it is ours.

    Raises:
        InputError: the file system has no hard links.
        Unwritable: the disk is full or read-only.
    """
    beside = target.with_name(draft_name(target.name))
    try:
        with explaining_unwritable(target.parent):
            _write_synced(beside, content)
        return _linked(beside, target)
    except PermissionError as error:
        raise InputError(f"{target.parent} cannot be written by you") from error
    finally:
        beside.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _linked(beside: Path, target: Path) -> bool:
    try:
        target.hardlink_to(beside)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise InputError(
            f"{target.parent} lies on a file system without hard links, versions need them: "
            "keep the ledger in a folder of the storage"
        ) from error
    _sync_folder(target.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
