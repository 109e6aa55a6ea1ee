"""Land-cover maps that a region can trust: draw, balance, train, classify, assess.

Each step is one function here, one `landcover` command, and one process of the WPS; the list is
`landcover.operations.OPERATIONS`. Importing the package is light; an operation loads what it
needs when it is first asked for.
"""

from importlib.util import find_spec
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return list(_functions())
    is_module = find_spec(f"{__name__}.{name}") is not None  # it is imported after this
    if name.startswith("_") or is_module or name not in _functions():
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return _functions()[name]


def __dir__() -> list[str]:
    return sorted(_functions())


def _functions() -> dict[str, Any]:
    """Return the operations as functions, by name."""
    from landcover.operations import OPERATIONS

    return {operation.function.__name__: operation.as_function for operation in OPERATIONS}
