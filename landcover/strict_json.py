"""JSON from anybody, read strictly: each member once, finite numbers, nothing that JSON lacks."""

import json
import math
from typing import Any

_MOST_DIGITS = 1000
"""Far more than any number of ours has, and quickly read."""


def loads(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is no JSON, a member stands twice, a number is not finite, or it is nested
            too deeply.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_refused,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _refused(token: str) -> None:
    raise ValueError(f"{token} is no number")


def _whole(token: str) -> int:
    if len(token) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(token)} digits is too large")
    return int(token)


def _finite(token: str) -> float:
    if not math.isfinite(float(token)):
        raise ValueError(f"{token} is too large")
    return float(token)
