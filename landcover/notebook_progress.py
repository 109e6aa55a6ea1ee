"""What a notebook shows while an operation works: a bar, a sentence, the time left, remarks.

Work of less than two seconds shows nothing but its remarks. Nothing of this is loaded or seen
outside a kernel of Jupyter.
"""

import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Any

from landcover.progress import is_listened_to, progress_to, remark_listener, time_left

SECONDS_BEFORE = 2.0
_SECONDS_BETWEEN = 0.5


@contextmanager
def told_in_notebook(what: str) -> Iterator[Callable[[str], None]]:
    """Show progress and remarks of the `with` block in the notebook that runs it, if one does.

    Args:
        what: is being done, in words.

    Yields:
        What takes the remarks.
    """
    if not _is_notebook() or is_listened_to():
        yield remark_listener()
        return
    shown = _Shown(what)
    try:
        with progress_to(shown.report):
            yield shown.remark
    finally:
        shown.end(failed=sys.exc_info()[0] is not None)


class _Shown:
    """One output of a cell, written anew as the work goes on."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._fraction, self._sentence = 0.0, "beginning"
        self._remarks: list[str] = []
        self._output: Any = None
        self._is_over = threading.Event()
        # the context says in which cell is written
        watching = partial(copy_context().run, self._watch)
        self._watcher = threading.Thread(target=watching, name="progress", daemon=True)
        self._watcher.start()

    def report(self, fraction: float, sentence: str) -> None:
        self._fraction, self._sentence = fraction, sentence

    def remark(self, sentence: str) -> None:
        self._remarks.append(sentence)

    def end(self, failed: bool) -> None:
        self._is_over.set()
        self._watcher.join()
        seconds = time.monotonic() - self._began
        if self._output is None and not self._remarks:
            return
        words = "ended without a result" if failed else "done"
        self._write(f"<div>{self._what}: {words} after {seconds:.0f} s</div>")

    def _watch(self) -> None:
        """Write where the work is, however seldom it says so itself."""
        pause = SECONDS_BEFORE
        while not self._is_over.wait(pause):
            self._write(self._bar())
            pause = _SECONDS_BETWEEN

    def _bar(self) -> str:
        seconds = time.monotonic() - self._began
        left = "" if " left" in self._sentence else time_left(seconds, self._fraction)
        sentence = html.escape(f"{self._what}: {self._sentence}{left}")
        return f'<progress max="1" value="{self._fraction:.3f}"></progress> {sentence}'

    def _write(self, first: str) -> None:
        ipython: Any = import_module("IPython.display")  # a kernel has loaded it

        content = ipython.HTML(f"{first}{_listed(self._remarks)}")
        if self._output is None:
            self._output = ipython.display(content, display_id=True)
        else:
            self._output.update(content)


def _listed(remarks: list[str]) -> str:
    if not remarks:
        return ""
    items = "".join(f"<li>{html.escape(remark)}</li>" for remark in remarks)
    return f"<div><strong>Read this first:</strong><ul>{items}</ul></div>"


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
