"""Read protobuf messages as views of a file, as far as a model needs it.

Not with the classes of onnx: of two bytes of a hostile file they make a hundred and fifty in
memory, before anything can be checked. Here a message is the table of its fields, a list of
numbers becomes an array at once, and nothing is copied. A forest of 1.3 million nodes took 0.6
CPU seconds, and 1.2 and 540 MB with those classes in a process of its own. Networks, whose files
are weights in one run of bytes, are read with them (`landcover.models.network.reader`).

Source: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from landcover.errors import ModelError

NUMBER, BYTES = 0, 2
"""The two of the six wire types that are read."""
MAX_FIELDS = 100
"""Of one message; a forest with its card has some twenty."""
_LAST_BYTE = 0x80  # what is less ends a number
_WIDEST = 5  # bytes of a number below 2^31

Field = tuple[int, int]


def fields(message: memoryview) -> dict[Field, list[Any]]:
    """Return the values of each field, by its number and wire type.

    Args:
        message: a protobuf message.

    Returns:
        Of a NUMBER ints, of BYTES views.

    Raises:
        ModelError: it is none, or has more than MAX_FIELDS.
    """
    found: dict[Field, list[Any]] = {}
    for count, (field, value) in enumerate(walk(message)):
        if count >= MAX_FIELDS:
            raise ModelError("the model holds more than one forest and its card")
        found.setdefault(field, []).append(value)
    return found


def count_integers(run: memoryview) -> int:
    """Return how many integers a list holds if it is whole; needs next to no memory."""
    return int(np.count_nonzero(_array(run) < _LAST_BYTE)) // 2


def integers(run: memoryview, tag: int) -> np.ndarray:
    """Decode a list of integers, each after its tag of one byte.

    Args:
        run: the list, not packed.
        tag: what stands before each.

    Returns:
        int32; only numbers of 0 .. 2^31 - 1 are read.
    """
    data = _array(run)
    ends = np.flatnonzero(data < _LAST_BYTE)
    tags, ends = ends[::2], ends[1::2]
    whole = len(tags) == len(ends) and np.array_equal(tags, np.append(-1, ends)[:-1] + 1)
    if not whole or (ends[-1] if len(ends) else -1) != len(data) - 1 or (data[tags] != tag).any():
        raise damaged()
    width = ends - tags
    if (width > _WIDEST).any():
        raise ModelError("the model holds a number out of range")
    values = np.zeros(len(ends), np.int64)
    for byte in range(int(width.max(initial=0))):
        longer = width > byte
        values[longer] |= (data[tags[longer] + 1 + byte] & 0x7F).astype(np.int64) << 7 * byte
    if (values > np.iinfo(np.int32).max).any():
        raise ModelError("the model holds a number out of range")
    return values.astype(np.int32)


def floats(run: memoryview, tag: int) -> np.ndarray:
    """Decode a list of float32, each after its tag of one byte."""
    data = _array(run)
    if len(data) % 5 or (data[::5] != tag).any():
        raise damaged()
    # (N, 5) -> (N, 4) bytes -> (N,)
    return np.ascontiguousarray(data.reshape(-1, 5)[:, 1:]).view("<f4").ravel().astype(np.float32)


def damaged() -> ModelError:
    """Return what is to be raised where a file breaks off or makes no sense."""
    return ModelError("the model is damaged, or the file is no ONNX file")


def walk(message: memoryview) -> Iterator[tuple[Field, Any]]:
    """Yield field by field what `fields` returns."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        number, at = _number(message, at)
        field = (key >> 3, key & 7)
        if field[1] == NUMBER:
            yield field, number
        elif field[1] == BYTES and number <= len(message) - at:
            yield field, message[at : at + number]
            at += number
        else:
            raise damaged()


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts there, seven bits a byte, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < _LAST_BYTE:
            return value, at + place + 1
    raise damaged()


def _array(run: memoryview) -> np.ndarray:
    return np.frombuffer(run, np.uint8)
