"""Writes `operations.json`, which freezes what clients rely on: `make contract`.

A change there is a change of the contract: a new version of the operation, and a line in
CHANGELOG.md.
"""

import json
from pathlib import Path

from landcover.operations import OPERATIONS

FROZEN = Path(__file__).with_name("operations.json")


def described() -> dict[str, object]:
    """Return all operations without their descriptions, as JSON holds them."""
    return {operation.identifier: operation.to_dict() for operation in OPERATIONS}


def main() -> None:
    """Write the file."""
    text = json.dumps(described(), indent=2, ensure_ascii=False)
    FROZEN.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
