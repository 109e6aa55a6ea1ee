"""Rendered documents that are the same for everybody, in so many bytes and no more."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock


class Documents:
    """The documents, of which the one that was longest not asked for goes first."""

    def __init__(self, most: int) -> None:
        """Bound the cache by bytes."""
        self._most, self._size = most, 0
        self._kept: OrderedDict[Hashable, tuple[bytes, str]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> tuple[bytes, str] | None:
        """Return a document and its content type, None if it is not here."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, content: bytes, content_type: str) -> None:
        """Cache a document, unless it alone is too large."""
        with self._lock:
            if key in self._kept or len(content) > self._most:
                return
            self._kept[key] = content, content_type
            self._size += len(content)
            while self._size > self._most:
                _, (dropped, _) = self._kept.popitem(last=False)
                self._size -= len(dropped)
