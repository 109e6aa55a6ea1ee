"""What the service publishes: the operations of the library, and one that tries a client."""

import json
from dataclasses import dataclass
from pathlib import Path

from landcover import operations
from landcover.operation import JSON, Needs, Operation


@dataclass(frozen=True)
class Echoed:
    """What was sent.

    Attributes:
        text: as it was sent.
        number: as it was sent.
        flag: as it was sent.
        document: all three in one file.
    """

    text: str
    number: float
    flag: bool
    document: JSON


def echo(
    text: str = "", number: float = 0.0, flag: bool = False, workdir: Path = Path()
) -> Echoed:
    """Return what was sent, to try a client.

    Args:
        text: any text.
        number: any number.
        flag: true or false.
        workdir: where to write.
    """
    document = workdir / "document.json"
    sent = {"text": text, "number": number, "flag": flag}
    document.write_text(json.dumps(sent, ensure_ascii=False) + "\n", encoding="utf-8")
    return Echoed(text, number, flag, document)


ECHO = Operation.of(echo, "1.0", Needs(memory_mib=256, seconds=600))


def published() -> dict[str, Operation]:
    """Return the published operations by identifier, in the order of the work."""
    return {each.identifier: each for each in (*operations.OPERATIONS, ECHO)}


def by_identifier(identifier: str) -> Operation:
    """Return one operation.

    Raises:
        KeyError: there is none of this name.
    """
    return published()[identifier]
