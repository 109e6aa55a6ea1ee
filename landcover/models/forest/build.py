"""Build the C kernel beside its sources: `python landcover/models/forest/build.py`.

The build hook runs this file before anything else is installed, so it needs Python alone.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = (
    FOLDER / "tree_walk.c",
    FOLDER / "window_features.c",
    FOLDER.parents[1] / "scenes" / "auto_labels" / "colours.c",
)
# no contraction: a product and a sum rounded together would differ from numpy's; the flags
# of errors, which nobody reads, would keep comparisons and roots out of vectors
FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off",
         "-fno-math-errno", "-fno-trapping-math")  # fmt: skip
# by itself it compiles for this very processor, checks every sum, and keeps names for a debugger
ZIG = [sys.executable, "-m", "ziglang", "cc",
       "-mcpu=baseline", "-fno-sanitize=undefined", "-s"]  # fmt: skip
# a wheel of a hundred megabytes; for other processors neither it nor our own requirements have one
ZIGLANG = "ziglang>=0.17; platform_machine in 'x86_64 aarch64 arm64'"


def library_name() -> str:
    """Return the name of the library of these sources; one of older ones is never loaded."""
    headers = sorted(FOLDER.glob("*.h"))
    text = b"".join(file.read_bytes() for file in (*SOURCES, *headers))
    return f"_tree_walk-{hashlib.sha256(text).hexdigest()[:16]}.so"


def named_compiler() -> list[str]:
    """Return the command in $CC, nothing where it names no program."""
    command = shlex.split(os.environ.get("CC", ""))
    return command if command and shutil.which(command[0]) else []


def compilers() -> list[list[str]]:
    """Return the commands of the C compilers to try: $CC alone where it names one."""
    if named := named_compiler():
        return [named]
    found = [[name] for name in ("cc", "gcc", "clang") if shutil.which(name)]
    return found + ([ZIG] if find_spec("ziglang") else [])


def requirements() -> list[str]:
    """Return what pip has to bring first: Zig's C compiler, if none that is here can do.

    Nothing where $CC names a compiler: who says which one wants no other.
    """
    if named_compiler():
        return []
    with tempfile.TemporaryDirectory() as folder:
        try:
            build(Path(folder))
        except RuntimeError:
            return [ZIGLANG]
    return []


def build(folder: Path = FOLDER) -> Path:
    """Compile the kernel into a folder, with the first compiler that can.

    Raises:
        RuntimeError: there is no compiler, or all fail.
    """
    target = folder / library_name()
    failures = []
    for command in compilers():
        try:
            _compile(command, target)
            break
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or "it failed").strip()
            failures.append(f"{shlex.join(command)}: {said.splitlines()[-1]}")
    else:
        raise RuntimeError("; ".join(failures) or "there is no C compiler")
    for older in folder.glob("_tree_walk-*.so"):
        if older != target:
            older.unlink()
    return target


def _compile(command: Sequence[str], target: Path) -> None:
    """Move the library into place atomically, since others may load it now."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        # Zig's caches; nothing is left of them, and no home is needed
        caches = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        subprocess.run([*command, *FLAGS, *map(str, SOURCES), "-o", str(made)],
                       env=os.environ | caches, check=True, capture_output=True,
                       text=True)  # fmt: skip
        made.replace(target)


if __name__ == "__main__":
    try:
        print(build())
    except RuntimeError as error:
        sys.exit(f"the C kernel was not built: {error}")
