"""`python -m hub.local.read_only FOLDER COMMAND`: run a program that cannot write below a folder.

It is for programs of the system user who owns the folder, whom no mode of a file keeps out. The
kernel does (man 7 landlock), and for all that the program starts, but only names what a program
may write: everything beside the folder and beside the folders that lead there. So neither can new
entries be made right in those, such as in the root directory. Reading is as before; mode, owner
and times of files are not kept; nor does the program, or what it starts, gain privileges (sudo).
"""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from landlockpy import AccessFS, AccessNet, Ruleset, abi_version

_TO_FILES = AccessFS.WRITE_FILE | AccessFS.TRUNCATE
_WRITE = (
    _TO_FILES
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_DIR
    | AccessFS.MAKE_SYM
    | AccessFS.MAKE_SOCK
    | AccessFS.MAKE_FIFO
    | AccessFS.MAKE_CHAR
    | AccessFS.MAKE_BLOCK
    | AccessFS.REMOVE_FILE
    | AccessFS.REMOVE_DIR
    | AccessFS.REFER
)
_RENAMES, _TRUNCATES = 2, 3
"""Versions of Landlock: before the first one nobody could move a file to another folder."""


def is_kept() -> bool:
    """Return whether this kernel can keep a program from writing to a folder."""
    return _version() >= _RENAMES


def what_is_kept() -> str:
    """Return in a sentence how far `shared/` is read-only in servers of this machine."""
    if not is_kept():
        return (
            "shared/ can be written by users' servers: the kernel has no Landlock or an early one "
            "(Linux 5.19 or newer has what is needed, unless it is switched off)."
        )
    weak = "" if _version() >= _TRUNCATES else " Files in there can be cut short (Linux 6.2)."
    return f"shared/ is read-only in users' servers but administrators', by Landlock.{weak}"


def command(folder: Path) -> list[str]:
    """Return what runs the command that follows as one word; nothing if it cannot be kept."""
    return [sys.executable, "-m", "hub.local.read_only", str(folder)] if is_kept() else []


def forbid_writing(folder: Path) -> None:
    """Refuse this process, and all that it starts, to write below a folder, for ever."""
    with Ruleset(handled_fs=_WRITE, handled_net=AccessNet.NONE) as rules:
        for path in _beside(folder.resolve(strict=True)):
            rules.allow_path(path, _WRITE if path.is_dir() else _TO_FILES)
        rules.restrict()


def _beside(folder: Path) -> Iterator[Path]:
    """Yield what lies beside a folder, and beside each that leads there; not where links lead."""
    for inner, outer in zip((folder, *folder.parents), folder.parents, strict=False):
        for path in outer.iterdir():
            if path != inner and not path.is_symlink():
                yield path


def _version() -> int:
    try:
        return int(abi_version())
    except OSError:  # a container's filter refuses it
        return 0


def main() -> None:
    """Run the command."""
    folder, words = sys.argv[1:]
    forbid_writing(Path(folder))
    program, *rest = shlex.split(words)
    os.execvp(program, [program, *rest])


if __name__ == "__main__":
    main()
