"""The blocks of code in the READMEs, for the tests that run them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run(page: str, *which: int, changed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run Python blocks of a page, all by default, as one program; return its names.

    Args:
        page: the README.
        which: numbers of the blocks, from 0.
        changed: what stands in the place of names that a reader has to replace.
    """
    found = blocks(page, "python")
    code = "\n".join(found[number] for number in which or range(len(found)))
    for name, value in (changed or {}).items():
        assert name in code
        code = code.replace(name, value)
    names: dict[str, Any] = {}
    exec(compile(code, page, "exec"), names)
    return names
