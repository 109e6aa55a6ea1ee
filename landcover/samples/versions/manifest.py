"""Manifests: one small JSON a version, which names its parts; its SHA-256 is the version."""

import hashlib
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from landcover.errors import InputError
from landcover.io.files.atomic import to_json
from landcover.io.legend import Legend
from landcover.strict_json import loads

FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("author", "time", "message")


@dataclass(frozen=True)
class Part:
    """A part of a version.

    Attributes:
        sha256: of its file, which is called by it.
        samples: that it holds.
        merges: whether it holds nothing new, but what many parts of earlier versions held.
    """

    sha256: str
    samples: int
    merges: bool = False


@dataclass(frozen=True)
class Manifest:
    """What a version is made of.

    Attributes:
        number: from 1.
        parent: SHA-256 of the manifest before; empty of the first one.
        parts: in the order in which they are read, later ones replace what earlier ones say.
        removed: ids that the parts hold and the version does not, sorted.
        author: who made it.
        time: when, RFC 3339 in UTC.
        message: what the author says of it.
        restores: number of the version that it brings back; 0 if none.
        legend: codes and colours of the classes, as a list; empty where nobody said.
    """

    number: int
    parent: str
    parts: tuple[Part, ...]
    removed: tuple[str, ...]
    author: str
    time: str
    message: str = ""
    restores: int = 0
    legend: tuple[dict[str, Any], ...] = field(default=())

    def to_bytes(self) -> bytes:
        """Return the file; equal manifests have equal bytes."""
        return f"{to_json({'format': FORMAT, **asdict(self)})}\n".encode()

    @property
    def sha256(self) -> str:
        """The version."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, content: bytes, number: int) -> "Manifest":
        """Read a manifest that stands under a number.

        Raises:
            InputError: it is none.
        """
        try:
            found = cls(**_checked(loads(content.decode())))
        except (ValueError, TypeError, KeyError, InputError) as error:
            raise InputError(f"{name_of(number)} is no manifest of a version") from error
        if found.number != number or found.to_bytes() != content:
            raise InputError(f"{name_of(number)} is not as it was written, or was renamed")
        return found


def name_of(number: int) -> str:
    """Return the file of a version.

    >>> name_of(7)
    '000007.json'
    """
    return f"{number:06}.json"


def _checked(found: Any) -> dict[str, Any]:
    """Return the attributes of a manifest; what is no manifest raises any of many errors."""
    if found.pop("format") != FORMAT:
        raise ValueError("another format")
    parts = tuple(Part(**part) for part in found.pop("parts"))
    removed = tuple(found.pop("removed"))
    well = [
        all(isinstance(found[name], str) for name in _TEXTS),
        all(type(found[name]) is int for name in ("number", "restores")),
        found["parent"] == "" or _DIGEST.fullmatch(found["parent"]),
        all(_DIGEST.fullmatch(part.sha256) and type(part.samples) is int for part in parts),
        all(type(part.merges) is bool for part in parts),
        all(isinstance(id_, str) for id_ in removed),
    ]
    if not all(well):
        raise ValueError("a member has another type")
    legend = tuple(found.pop("legend"))
    if legend:
        Legend.from_list(list(legend))
    return {**found, "parts": parts, "removed": removed, "legend": legend}
