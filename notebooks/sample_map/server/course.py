"""Put the course into a user's home, as notebooks, and keep it up to date.

The pages are kept as Python or R files (jupytext's percent format). A page that is missing is
installed, so deleting or renaming one brings a fresh copy at the next start of the server. A page
that is there is replaced by a newer one only if it is byte for byte what was installed: whoever
edited a page, or ran it and saved its results, keeps it. An untouched page that the course has no
more, because it was renamed, goes.
"""

import hashlib
import json
from pathlib import Path, PurePath

import jupytext
from nbformat import NotebookNode

from landcover.io.files.atomic import write_json, written_beside

MANIFEST = ".installed.json"
_KERNELS = {
    ".py": {"name": "python3", "display_name": "Python 3", "language": "python"},
    ".R": {"name": "ir", "display_name": "R", "language": "R"},
}


def install_course(source: Path, target: Path, with_r: bool = False) -> tuple[str, ...]:
    """Install the pages of the course that are missing or were never touched.

    Args:
        source: folder with the pages as Python and R files.
        target: folder for the notebooks, made if it is missing; a hidden file in it remembers
            the SHA-256 of every page as it was installed.
        with_r: whether there is a kernel for the pages in R and the file that they read.

    Returns:
        The names of the files written.
    """
    target.mkdir(parents=True, exist_ok=True)
    installed = _read_manifest(target / MANIFEST)
    written = []
    offered = _offered(source, with_r)
    _clear(target, installed, set(offered))
    for name, content in offered.items():
        if _place(target / name, content, installed.get(name)):
            written.append(name)
        if _digest_of(target / name) == _digest(content):
            installed[name] = _digest(content)
    write_json(target / MANIFEST, installed)
    return tuple(written)


def _offered(source: Path, with_r: bool) -> dict[str, bytes]:
    """Return the content of the course's files by their names in the home."""
    in_r = source.glob("[0-9]*.R") if with_r else ()
    pages = sorted([*source.glob("*.py"), *in_r])
    helpers = source.glob("[a-z]*.R") if with_r else ()
    return {f"{page.stem}.ipynb": notebook_of(page) for page in pages} | {
        helper.name: helper.read_bytes() for helper in helpers
    }


def notebook_of(page: Path) -> bytes:
    """Convert a page to a notebook; the same page gives the same bytes."""
    language = page.suffix.removeprefix(".")
    notebook = jupytext.reads(page.read_text(encoding="utf-8"), fmt=f"{language}:percent")
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(_KERNELS[page.suffix]))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{page.stem[:50]}-{number}"  # jupytext draws them at random
    return jupytext.writes(notebook, fmt="ipynb").encode()


def _clear(target: Path, installed: dict[str, str], offered: set[str]) -> None:
    """Remove the untouched pages that the course has no more, and forget the others."""
    for name in set(installed) - offered:
        path = target / PurePath(name).name  # the list lies in the user's folder
        if _digest_of(path) == installed.pop(name):
            path.unlink()


def _place(path: Path, content: bytes, installed: str | None) -> bool:
    """Write a page unless it is there already, or somebody else's work is."""
    found = _digest_of(path)
    if found == _digest(content) or (found is not None and found != installed):
        return False
    with written_beside(path) as beside:
        beside.write_bytes(content)
    return True


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # nothing counts as installed, so nothing is overwritten
    return found if isinstance(found, dict) else {}


def _digest_of(path: Path) -> str | None:
    return _digest(path.read_bytes()) if path.exists() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
