"""What a process leaves behind: the machine's network, and privileges.

Sources: man 7 network_namespaces, user_namespaces and capabilities.
"""

import ctypes
import os
from pathlib import Path

_NEW_NETWORK, _NEW_MOUNTS, _NEW_USER = 0x40000000, 0x00020000, 0x10000000
_SLAVE_AND_BELOW, _NO_PROGRAMS_OR_DEVICES = 0x84000, 0xE
_DROP_BOUND = 24
_CAPABILITIES = 64
_VERSION_3 = 0x20080522
_SHARED_MEMORY = b"/dev/shm"
_SMALL = b"mode=1777,size=64m"  # for semaphores; its files are no process's memory

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def leave_network() -> bool:
    """Move this process into a network without interfaces, and a /dev/shm of its own.

    Needs a process of one thread. Who has no privilege makes a user namespace for it, where the
    machine lets everybody do so.

    Returns:
        Whether it was done.
    """
    user, group = os.geteuid(), os.getegid()
    own = _NEW_NETWORK | _NEW_MOUNTS
    is_known = True
    if _libc.unshare(own) != 0:
        if _libc.unshare(own | _NEW_USER) != 0:
            return False
        is_known = _keep_identity(user, group)
    # who is nobody in there can make no file in it; of mounts made or ended later outside, the
    # latter end here too
    if is_known and _libc.mount(None, b"/", None, _SLAVE_AND_BELOW, None) == 0:
        _libc.mount(b"tmpfs", _SHARED_MEMORY, b"tmpfs", _NO_PROGRAMS_OR_DEVICES, _SMALL)
    return True


def _keep_identity(user: int, group: int) -> bool:
    """Map the only user and group of a new user namespace.

    Returns:
        Whether it does; not of the administrator without privileges.
    """
    own = Path("/proc/self")
    try:  # else they are nobody's by name, and the same to the kernel
        (own / "uid_map").write_text(f"{user} {user} 1")
        (own / "setgroups").write_text("deny")
        (own / "gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return True


def drop_capabilities() -> None:
    """Drop all privileges for good, including root's."""
    for number in range(_CAPABILITIES):
        _libc.prctl(_DROP_BOUND, number, 0, 0, 0)  # refused to who has none anyway
    header, none = _Header(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if _libc.capset(ctypes.byref(header), none) != 0:
        raise OSError(ctypes.get_errno(), "privileges cannot be given up")
