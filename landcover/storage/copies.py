"""Copy into a folder that others use: beside what is there, never over it."""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count, takewhile
from pathlib import PurePosixPath
from typing import BinaryIO

from landcover.errors import InputError
from landcover.io.files.atomic import draft_name
from landcover.storage.tree import DEPTH

_PIECE = 1 << 20
_MOST_OF_A_NAME = 1_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def copy_into(folder: int, source: int, name: str) -> str:
    """Copy a file or folder, and return the name that the copy got.

    It is `name`, or `name (2)` and so on if something else has it; a file that is there already,
    byte for byte, is not copied again. Links and hidden files in a folder stay behind.

    Args:
        folder: descriptor of the folder into which the copy goes.
        source: descriptor of what is copied.
        name: of the copy, if it is free.

    Raises:
        InputError: there is no room, there are too many of this name, or folders lie too deep.
    """
    is_folder = stat.S_ISDIR(os.fstat(source).st_mode)
    beside = draft_name("copy")
    try:
        if not is_folder and (same := _same_in(folder, source, name)):
            return same
        _copy(source, folder, beside, DEPTH)
        return _placed(folder, beside, name, is_folder)
    except OSError as error:
        raise _refused(error, name) from error
    finally:
        _remove(folder, beside, is_folder)


def copy_if_free(folder: int, source: int, name: str) -> None:
    """Copy a file under this very name, unless something has it.

    Args:
        folder: descriptor of the folder into which the copy goes.
        source: descriptor of the file.
        name: of the copy.

    Raises:
        InputError: there is no room.
    """
    beside = draft_name("copy")
    try:
        _copy(source, folder, beside, 0)
        os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError as error:
        raise _refused(error, name) from error
    finally:
        _remove(folder, beside, is_folder=False)


@contextmanager
def new_file(folder: int, name: str) -> Iterator[BinaryIO]:
    """Yield a file beside `name` in a folder; at the end it takes the place of `name`.

    If the block fails, nothing remains and the old file is as it was.
    """
    beside = draft_name("new")
    try:
        flags = _NEW & ~os.O_WRONLY | os.O_RDWR
        with os.fdopen(os.open(beside, flags, 0o660, dir_fd=folder), "w+b") as file:
            yield file
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        _remove(folder, beside, is_folder=False)


def visible(folder: int) -> Iterator[tuple[str, int]]:
    """Iterate over the files and folders in a folder, sorted, with a descriptor for the moment.

    Hidden names, links and whatever else lies there are passed over.
    """
    for name in sorted(os.listdir(folder)):
        with suppress(OSError):
            descriptor = os.open(name, _READ, dir_fd=folder)
            try:
                mode = os.fstat(descriptor).st_mode
                if not name.startswith(".") and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    yield name, descriptor
            finally:
                os.close(descriptor)


def check_depth(left: int) -> None:
    """Return if so many more folders may lie within one another: each keeps descriptors open.

    Raises:
        InputError: none may.
    """
    if left == 0:
        raise InputError(f"its folders lie more than {DEPTH} deep, needs fewer")


def _refused(error: OSError, name: str) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"there is no room left for a copy of {name}")
    return InputError(f"{name} cannot be copied: {error.strerror}")


def _copy(source: int, folder: int, name: str, depth: int) -> None:
    if stat.S_ISDIR(os.fstat(source).st_mode):
        check_depth(depth)
        os.mkdir(name, 0o770, dir_fd=folder)
        inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)
        try:
            for inside, descriptor in visible(source):
                _copy(descriptor, inner, inside, depth - 1)
        finally:
            os.close(inner)
        return
    with (
        _at_start(source) as read,
        os.fdopen(os.open(name, _NEW, 0o660, dir_fd=folder), "wb") as w,
    ):
        shutil.copyfileobj(read, w, _PIECE)


def _placed(folder: int, beside: str, name: str, is_folder: bool) -> str:
    for candidate in _names_like(name):
        try:
            if is_folder:  # refused if a folder with something in it is there
                os.rename(beside, candidate, src_dir_fd=folder, dst_dir_fd=folder)
            else:  # never takes another's place, as renaming would
                os.link(
                    beside,
                    candidate,
                    src_dir_fd=folder,
                    dst_dir_fd=folder,
                    follow_symlinks=False,  # others write to this folder, too
                )
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return candidate
    raise InputError(f"there are {_MOST_OF_A_NAME} of {name} already")


def _names_like(name: str) -> Iterator[str]:
    yield name
    path = PurePosixPath(name)
    for number in takewhile(lambda n: n <= _MOST_OF_A_NAME, count(2)):
        yield f"{path.stem} ({number}){path.suffix}"


def _same_in(folder: int, source: int, name: str) -> str:
    """Return the name of a file that is the same, "" if there is none."""
    for candidate in _names_like(name):
        try:
            known = os.open(candidate, _READ, dir_fd=folder)
        except OSError:
            return ""
        try:
            if _is_same(source, known):
                return candidate
        finally:
            os.close(known)
    return ""


def _is_same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    if not stat.S_ISREG(second.st_mode) or first.st_size != second.st_size:
        return False
    with _at_start(one) as left, _at_start(other) as right:
        pieces = iter(lambda: (left.read(_PIECE), right.read(_PIECE)), (b"", b""))
        return all(a == b for a, b in pieces)


@contextmanager
def _at_start(descriptor: int) -> Iterator[BinaryIO]:
    with closing(os.fdopen(os.dup(descriptor), "rb")) as file:
        file.seek(0)
        yield file


def _remove(folder: int, name: str, is_folder: bool) -> None:
    with suppress(OSError):
        if is_folder:
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
