"""Open files below a folder, whatever links, dots or races a name contains.

What is opened is a descriptor: a link swapped in after the check changes nothing any more.
Linux's openat2 does it in one call (man 2 openat2, RESOLVE_BENEATH); where it is missing, the name
is walked component by component and no link at all is followed.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_beneath(folder: int, parts: Sequence[str]) -> int:
    """Open an existing file or folder for reading.

    Args:
        folder: descriptor of the folder that nothing may leave.
        parts: the components of the name; none opens the folder itself.

    Returns:
        A descriptor; the caller closes it.

    Raises:
        OSError: there is no such file; EXDEV or ELOOP if the name leads out; EINVAL if it is
            neither a file nor a folder.
    """
    # a pipe must not block whoever opens it
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = _openat2(folder, "/".join(parts) or ".", flags)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        descriptor = walk_beneath(folder, parts, flags)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "neither a file nor a folder", "/".join(parts))
    return descriptor


def make_beneath(folder: int, parts: Sequence[str], mode: int = 0o770) -> int:
    """Make a folder with its parents, following no link, and open it.

    Args:
        folder: descriptor of the folder that nothing may leave.
        parts: the components of the new folder's name.
        mode: permissions of what is made, before the umask.

    Returns:
        A descriptor; the caller closes it.

    Raises:
        OSError: a component is a link or a file.
    """
    current = os.dup(folder)
    for part in parts:
        with suppress(FileExistsError):
            os.mkdir(part, mode, dir_fd=current)
        current = _step(current, part, os.O_RDONLY | os.O_DIRECTORY)
    return current


def walk_beneath(folder: int, parts: Sequence[str], flags: int) -> int:
    """Open component by component, refusing every link."""
    current = os.dup(folder)
    for part in parts:
        if part in ("", ".", ".."):
            os.close(current)
            raise OSError(errno.EXDEV, "leaves its folder", part)
        current = _step(current, part, flags)
    return current


def _step(folder: int, part: str, flags: int) -> int:
    try:
        return os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _openat2(folder: int, name: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    encoded = os.fsencode(name)
    while True:
        result = _libc.syscall(
            _SYS_OPENAT2, folder, encoded, ctypes.byref(how), ctypes.sizeof(how)
        )
        if result >= 0:
            return int(result)
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):  # a rename raced with the look-up
            raise OSError(code, os.strerror(code), name)
