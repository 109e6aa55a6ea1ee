"""Keeps the file of the samples up with what is drawn here, and the map with what others draw."""

import atexit
import threading
import time
from collections.abc import Callable

from landcover.errors import LandcoverError, NameRefused
from sample_map.data.store import News, SampleStore, message_of

LOOK = 0.5  # seconds between two looks at the storage
_FOLD_AFTER = 1.0  # seconds; the file is to hold a stroke within 5, however large it is
_UNWATCHED = 30.0  # seconds without a question from a browser, after which looking stops


class Synchronizer:
    """Looks at the storage while somebody looks at the map, and folds the journal into the file.

    Attributes:
        trouble: a sentence if the file cannot be written, else empty.
    """

    def __init__(self, store: SampleStore, tell: Callable[[News], None]) -> None:
        """Begin to look.

        Args:
            store: the samples.
            tell: called with what others changed.
        """
        self.trouble = ""
        self._store, self._tell = store, tell
        self._woken = time.monotonic()
        self._stirred = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._look, name="samples", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    @property
    def is_asleep(self) -> bool:
        """Whether nobody looks at the map."""
        return time.monotonic() - self._woken > _UNWATCHED

    def wake(self) -> None:
        """Go on looking; somebody is there."""
        was_asleep = self.is_asleep
        self._woken = time.monotonic()
        if was_asleep:
            self._store.checked = self._woken
            self._stirred.set()

    def stop(self) -> None:
        """Bring everything into the file."""
        if not self._stopped:
            self._stopped = True
            atexit.unregister(self.stop)
            self._stirred.set()
            self._thread.join()
            self._store.close()

    def _look(self) -> None:
        pending_since: float | None = None
        while not self._stopped:
            is_outdated = self._store.check()
            now = time.monotonic()
            if not self._store.is_pending:
                pending_since = None
            elif pending_since is None:
                pending_since = now
            if is_outdated or (pending_since is not None and now - pending_since >= _FOLD_AFTER):
                self.fold()
            idle = self.is_asleep and not self._store.is_pending
            self._stirred.wait(None if idle else LOOK)
            self._stirred.clear()

    def fold(self) -> str:
        """Bring the journal into the file, and tell what others changed; return the trouble."""
        try:
            news = self._store.fold()
        except (OSError, NameRefused) as error:
            self.trouble = message_of(error)
        except LandcoverError as error:
            self.trouble = str(error)
        else:
            self.trouble = ""
            if news != News():
                self._tell(news)
        return self.trouble
