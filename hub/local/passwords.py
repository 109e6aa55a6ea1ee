"""Passwords of the embedded geoportal: made once, kept in files that only their owner reads."""

import os
import secrets
from pathlib import Path

# without signs that look alike; 16 of 54 are more than 90 bits
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 16
ADMIN_LENGTH = 32
"""As JupyterHub asks of an administrator's."""


def kept_password(path: Path, length: int = _LENGTH) -> str:
    """Return the password kept in the file; make both, of so many signs, if there is none yet."""
    if not path.exists():
        _write_once(path, "".join(secrets.choice(_ALPHABET) for _ in range(length)))
    return path.read_text(encoding="ascii").strip()


def _write_once(path: Path, password: str) -> None:
    """Write the file whole or not at all, readable by its owner alone."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{password}\n")
    draft.replace(path)
