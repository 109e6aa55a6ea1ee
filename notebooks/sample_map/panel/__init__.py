"""The panel as it lives in the browser: ES modules by subject, handed over as one.

Jupyter loads the code of a widget as one module that can import nothing beside it. So the modules
are joined here: each becomes a function of its own that returns what it exports, so that their
other names never meet. Nothing is translated or renamed, and nothing has to be built.
"""

import re
from graphlib import TopologicalSorter
from pathlib import Path

from portal.theme import theme

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def style() -> str:
    """Return the style sheet of the panel, after the one that all of the geoportal share."""
    return theme() + (FOLDER / "panel.css").read_text(encoding="utf-8")


def script(folder: Path = FOLDER, entry: str = "panel") -> str:
    """Return one module that does what the entry and all that it imports do.

    Args:
        folder: with modules NAME.js that import one another as `import { ... } from "./NAME.js"`
            and export functions, classes and constants where they are declared.
        entry: name of the module whose default export is kept.

    Raises:
        graphlib.CycleError: modules import one another in a circle.
        FileNotFoundError: a module imports one that is not there.
        ValueError: one imports or exports in another form.
    """
    sources: dict[str, str] = {}
    graph: dict[str, set[str]] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = (folder / f"{name}.js").read_text(encoding="utf-8")
            graph[name] = {needed for _, needed in _IMPORT.findall(sources[name])}
            waiting += graph[name]
    *inner, last = TopologicalSorter(graph).static_order()
    return "\n".join([*(_scoped(name, sources[name]) for name in inner), _bound(sources[last])])


def _scoped(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _bound(source))
    if found := _LEFT.search(body):
        raise ValueError(f"{name}.js says {found[0]}, needs another form to be joined")
    return f"const $${name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def _bound(source: str) -> str:
    """Take what a module imports from the modules that stand before it."""
    return _IMPORT.sub(lambda m: f"const {{{m[1].replace(' as ', ': ')}}} = $${m[2]};", source)
