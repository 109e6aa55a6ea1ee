"""Build the C kernel beside its source: `python landcover/classifiers/build_tree_walk.py`.

The build hook runs this file before anything else is installed, so it needs Python alone.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("tree_walk.c")
# no contraction: a product and a sum rounded together would differ from numpy's
FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off")


def library_name() -> str:
    """Return the name of the library of this source; one of an older source is never loaded."""
    text = SOURCE.read_bytes() + SOURCE.with_suffix(".h").read_bytes()
    return f"_tree_walk-{hashlib.sha256(text).hexdigest()[:16]}.so"


def compiler() -> list[str] | None:
    """Return the command of the C compiler, None if there is none."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in (named, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def build(folder: Path = SOURCE.parent) -> Path:
    """Compile the kernel into a folder.

    Raises:
        RuntimeError: there is no compiler, or it fails.
    """
    command = compiler()
    if command is None:
        raise RuntimeError("there is no C compiler")
    target = folder / library_name()
    try:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            made = Path(name) / target.name
            subprocess.run([*command, *FLAGS, str(SOURCE), "-o", str(made)],
                           check=True, capture_output=True, text=True)  # fmt: skip
            made.replace(target)  # at once: others may load it now
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or f"{command[0]} failed").strip()
        raise RuntimeError(said.splitlines()[-1]) from error
    for older in folder.glob("_tree_walk-*.so"):
        if older != target:
            older.unlink()
    return target


if __name__ == "__main__":
    try:
        print(build())
    except RuntimeError as error:
        sys.exit(f"the C kernel was not built: {error}")
