"""Read small files from outside: no pipe, no device, and no more bytes than are expected."""

import os
import stat
from pathlib import Path

from landcover.errors import InputError


def read_plain_file(path: Path, most: int) -> bytes:
    """Return the bytes of a file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        InputError: it is missing, no plain file, or larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path.name} is no plain file, it needs to be one")
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise InputError(f"{path.name} has more than {most:,} bytes, which are the most read")
    return content
