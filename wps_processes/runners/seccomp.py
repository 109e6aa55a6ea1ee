"""System calls that a process gives up for ever: man 2 seccomp.

A filter in classic BPF, for x86-64 and 64-bit ARM; numbers of calls are those of the kernel's
`asm/unistd.h`. No call takes a filter back.
"""

import ctypes
import errno
import platform
import struct
import sys

# name: (x86-64, 64-bit ARM); 0 is no such call there
_REFUSED = {
    # other programs, and other processes' memory and descriptors
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # sessions and groups of its own, in which it would outlive the end of the job
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # what all processes of a system user share: System V memory, message queues, keys
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # namespaces, in which it would have privileges, and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    # sockets by another way, and doors to the kernel that nobody computing needs
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    # mode, owner, times and attributes of files elsewhere, which Landlock does not know
    "chmod": (90, 0),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, 0),
    "lchown": (94, 0),
    "fchownat": (260, 54),
    "utime": (132, 0),
    "utimes": (235, 0),
    "futimesat": (261, 0),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    # how other processes of the system user are scheduled, and where their memory lies
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
}
_MEMORY_FILES = {"memfd_create": (319, 279), "memfd_secret": (447, 447)}
"""Memory that is no process's, and so is not counted as the job's."""

_LIMITS, _TIMES = (302, 261), (280, 88)
_SOCKET, _SOCKETPAIR, _CLONE, _CLONE3 = (41, 198), (53, 199), (56, 220), (435, 435)
_SECCOMP = (317, 277)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column; AUDIT_ARCH_...

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _UNKNOWN = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # the same calls under other numbers
_NEW_NAMESPACES = 0x7E020000
_STREAM, _SEQPACKET = 1, 5

# BPF: code, jump if true, jump if false, constant
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_Instruction = tuple[int, int, int, int]

_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _ALL_THREADS = 1, 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_calls(gpus: bool = False) -> bool:
    """Refuse this process, all its threads and children, the calls above and all sockets.

    Connected pairs of Unix sockets remain, for processes that it forks.

    Args:
        gpus: let it make Unix sockets and files in memory, which a driver may need.

    Returns:
        Whether the kernel does so; not on other machines, nor where it knows no filters.
    """
    if platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        return False
    column, architecture = _MACHINES[platform.machine()]
    instructions = b"".join(
        struct.pack("=HBBI", *each) for each in _filter(column, architecture, gpus)
    )
    program = _Program(len(instructions) // 8, instructions)
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    set_ = _libc.syscall(_SECCOMP[column], _SET_FILTER, _ALL_THREADS, ctypes.byref(program))
    return bool(set_ == 0)


def _filter(column: int, architecture: int, gpus: bool) -> list[_Instruction]:
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
        *(
            part
            for call in (_REFUSED if gpus else _REFUSED | _MEMORY_FILES).values()
            if call[column]
            for part in _on(call[column], _returns(_REFUSE))
        ),
        *_on(_LIMITS[column], _of_itself()),
        *_on(_TIMES[column], _of_descriptors()),
        *_on(_CLONE3[column], _returns(_UNKNOWN)),  # its flags lie in memory; clone will do
        *_on(_CLONE[column], _refused_if((_ANY_BIT, _NEW_NAMESPACES))),
        *_on(_SOCKET[column], _sockets(gpus)),
        *_on(_SOCKETPAIR[column], _pairs()),
        *_returns(_ALLOW),
    ]


def _on(number: int, then: list[_Instruction]) -> list[_Instruction]:
    """Do something on one call; it ends with a return."""
    return [(_EQUAL, 0, len(then), number), *then]


def _returns(action: int) -> list[_Instruction]:
    return [(_RETURN, 0, 0, action)]


def _argument(number: int) -> _Instruction:
    """Load the lower half of an argument: of ints, the kernel looks at no more."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number)


def _refused_if(first_argument: tuple[int, int]) -> list[_Instruction]:
    comparison, value = first_argument
    return [_argument(0), (comparison, 0, 1, value), *_returns(_REFUSE), *_returns(_ALLOW)]


def _of_itself() -> list[_Instruction]:
    """Of limits its own: other processes' would end them."""
    return [_argument(0), (_EQUAL, 0, 1, 0), *_returns(_ALLOW), *_returns(_REFUSE)]


def _of_descriptors() -> list[_Instruction]:
    """Of times those of files that it could open: their name is NULL, in both halves."""
    lower, (load, _, _, offset) = _argument(1), _argument(1)
    return [
        *[lower, (_EQUAL, 0, 3, 0), (load, 0, 0, offset + 4), (_EQUAL, 0, 1, 0)],
        *_returns(_ALLOW),
        *_returns(_REFUSE),
    ]


def _sockets(unix: bool) -> list[_Instruction]:
    if not unix:
        return _returns(_REFUSE)
    return [_argument(0), (_EQUAL, 1, 0, 1), *_returns(_REFUSE), *_returns(_ALLOW)]


def _pairs() -> list[_Instruction]:
    """Of Unix sockets those that stay with each other: a datagram may go elsewhere."""
    return [
        *[_argument(0), (_EQUAL, 1, 0, 1), *_returns(_REFUSE)],
        *[_argument(1), (_AND, 0, 0, 0xF)],
        *[(_EQUAL, 1, 0, _STREAM), (_EQUAL, 0, 1, _SEQPACKET), *_returns(_ALLOW)],
        *_returns(_REFUSE),
    ]
