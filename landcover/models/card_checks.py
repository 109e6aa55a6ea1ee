"""The JSON of a model's card, hostile until checked: types, ranges, and that its parts agree.

Keys that are not known here are left alone, so that a later version may add some.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from landcover import strict_json
from landcover.counts import counted
from landcover.errors import InputError, ModelError
from landcover.io.legend import MAX_CODE, Legend
from landcover.models.footprint import Footprint
from landcover.models.methods import METHODS
from landcover.models.spectra import MOST_CLUSTERS, MOST_DIMENSIONS, MOST_SCENE_CLUSTERS

CARD_VERSION = 1
ELSEWHERE = "network"
"""The method of a network that was trained by another program."""
_NOT_OURS = "the model's card is damaged or not ours: train it with train-classifier"
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAX_BANDS = 65_535
"""GDAL opens no more."""
_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
           "float64")  # fmt: skip
_ROUNDING = 1e-6
_LARGEST = float(np.finfo(np.float32).max)  # of a training pixel


def checked_card(text: str) -> dict[str, Any]:
    """Read a card and check it.

    Args:
        text: JSON from anybody.

    Returns:
        The card, with tuples for lists.

    Raises:
        ModelError: it is no card of a version we read; the sentence names the part.
    """
    card = _parse(text)
    version = card.get("version")
    if type(version) is not int:
        raise ModelError(_NOT_OURS)
    if version != CARD_VERSION:
        raise ModelError(f"the model's card has version {version}, needs {CARD_VERSION}")
    for key, check in _CHECKS.items():
        if key not in card and key not in _OPTIONAL:
            raise ModelError(f"the model's card lacks {key}")
        if key in card:
            card[key] = _checked(key, check, card[key])
    bands, correlated = len(card["bands"]), len(card["correlation"])
    clusters = (*card.get("clusters", ()), *card.get("scene_clusters", ()))
    sketched = min(bands, MOST_DIMENSIONS) if card.get("clusters") else bands
    if {len(cluster["mean"]) for cluster in clusters} not in (set(), {bands}, {sketched}):
        raise ModelError(
            f"the model's card has {counted(bands, '# band|bands')} and clusters of another number"
        )
    if bands != correlated:
        raise ModelError(f"the model's card has {bands} bands and a correlation of {correlated}")
    return card


def _checked(key: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except InputError as error:
        raise ModelError(f"the model's card is invalid: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ModelError(f"the model's card has an invalid {key}") from error


def _parse(text: str) -> dict[str, Any]:
    try:
        card = strict_json.loads(text)
        # a lone surrogate, escaped, could be read but never written
        json.dumps(card, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ModelError(_NOT_OURS) from error
    if not isinstance(card, dict):
        raise ModelError(_NOT_OURS)
    return card


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("no number")
    float(value)  # refuses a whole number that no float could hold
    return value  # type: ignore[no-any-return]


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)


def _scale(value: Any) -> float | None:
    if value is not None and _number(value) <= 0:
        raise ValueError("no scale")
    return _number_or_none(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _method(value: Any) -> str:
    if value not in METHODS and value != ELSEWHERE:
        raise ValueError("a method that is not known here")
    return _text(value)


def _dtype(value: Any) -> str:
    if value not in _DTYPES:
        raise ValueError("no dtype of a scene")
    return _text(value)


def _chip_size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError("no size")
    return value


def _legend(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list) and len(value) > MAX_CODE:
        raise ValueError("too many classes")
    if any(not isinstance(entry.get("color", ""), str) for entry in value):
        raise ValueError("no colour")
    return Legend.from_list(value).to_list()


def _bands(value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_BANDS:
        raise ValueError("no bands")
    return tuple(_band(band) for band in value)


def _band(plain: dict[str, Any]) -> dict[str, Any]:
    mean, std = _number(plain["mean"]), _number(plain["std"])
    quantiles = _numbers(plain["quantiles"])
    room = _ROUNDING * max(map(abs, quantiles))
    falls = any(b < a - room for a, b in pairwise(quantiles))
    largest = max(abs(mean), std, *map(abs, quantiles))
    if len(quantiles) != len(QUANTILES) or std < 0 or falls or largest > _LARGEST:
        raise ValueError("no statistics")
    name, wavelength = _text(plain["name"]), _number_or_none(plain.get("wavelength"))
    return {"name": name, "wavelength": wavelength, "mean": mean, "std": std,
            "quantiles": quantiles}  # fmt: skip


def _correlation(value: Any) -> tuple[tuple[float, ...], ...]:
    rows = tuple(_numbers(row) for row in value)
    if any(len(row) != len(rows) for row in rows):
        raise ValueError("not square")
    matrix = np.array(rows)
    if np.abs(matrix).max() > 1 + _ROUNDING or np.abs(matrix - matrix.T).max() > _ROUNDING:
        raise ValueError("no correlation")
    return rows


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("no list of numbers")
    return tuple(_number(number) for number in value)


def _clusters(value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or len(value) > MAX_CODE * MOST_CLUSTERS:
        raise ValueError("no clusters")
    return tuple(_cluster(cluster, _code(cluster["code"])) for cluster in value)


def _scene_clusters(value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or len(value) > MOST_SCENE_CLUSTERS:
        raise ValueError("no clusters")
    return tuple(_cluster(cluster, 0) for cluster in value)


def _cluster(plain: dict[str, Any], code: int) -> dict[str, Any]:
    mean, rows = _numbers(plain["mean"]), tuple(_numbers(row) for row in plain["covariance"])
    matrix = np.array(rows, np.float64)  # refuses rows of different lengths
    if matrix.shape != (len(mean), len(mean)) or (np.diag(matrix) <= 0).any():
        raise ValueError("no covariance")
    if max(np.abs(mean).max(), np.sqrt(np.abs(matrix).max())) > _LARGEST:
        raise ValueError("too large")
    if np.abs(matrix - matrix.T).max() > _ROUNDING * np.abs(matrix).max():
        raise ValueError("not symmetric")
    share = _number(plain.get("share", 1.0))
    if not 0 < share <= 1:
        raise ValueError("no share")
    return {"code": code, "mean": mean, "covariance": rows, "share": share}


def _code(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_CODE:
        raise ValueError("no code")
    return value


def _places(value: Any) -> Footprint | None:
    return None if value is None else Footprint.from_plain(value)


def _options(value: Any) -> dict[str, Any] | None:
    plain = (bool, int, float, str)
    if value is not None and not all(isinstance(one, plain) for one in dict(value).values()):
        raise ValueError("no options")
    return None if value is None else dict(value)


def _whole_or_none(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < 1 << 32):
        raise ValueError("no whole number")
    return value


def _validation(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no figures")
    skipped = value.get("skipped", [])
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        raise ValueError("no names of classes")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "method": _method,
    "legend": _legend,
    "bands": _bands,
    "correlation": _correlation,
    "dtype": _dtype,
    "nodata": _number_or_none,
    "chip_size": _chip_size,
    "samples_sha256": _text,
    "code_version": _text,
    "validation": _validation,
    "options": _options,
    "threads": _whole_or_none,
    "seed": _whole_or_none,
    "scale": _scale,
    "offset": _number_or_none,
    "sensor": _text_or_none,
    "level": _text_or_none,
    "clusters": _clusters,
    "scene_clusters": _scene_clusters,
    "places": _places,
    "halo": _whole_or_none,
}
_OPTIONAL = {"options", "threads", "seed", "scale", "offset", "sensor", "level", "clusters",
             "scene_clusters", "places", "halo"}  # fmt: skip
