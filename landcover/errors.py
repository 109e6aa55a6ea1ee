"""Errors for the person who can act on them: what was found, and what is needed.

    LandcoverError
    ├── InputError       something given to an operation is invalid
    │   ├── NameRefused  a storage name that does not exist or that leaves the caller's folders
    │   │   └── NotThere one of the caller's folders, where there is nothing of this name
    │   └── ModelError   a model file that is not one of ours, or is not safe to run
    ├── NextcloudError   Nextcloud did not do what it was asked for
    │   ├── NotSignedIn  the token has expired and there is no new one
    │   ├── NotAllowed   a share that is read-only, or not to be passed on
    │   ├── QuotaFull    the user has no room left
    │   ├── Maintenance  nothing works at the moment
    │   ├── Throttled    too many requests from this address
    │   └── Unavailable  no answer, or one that breaks off
    └── Stopped          the work was told to stop

Only these cross to a user; anything else is our fault and goes to the log.
"""

_LONGEST = 500


def sentence_of(text: str) -> str:
    """Return a text that may hold names from files as one bounded, printable line."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ..."


class LandcoverError(Exception):
    """The one family of errors whose sentence is shown to a user.

    A name from a file stands in many of them: what no terminal should print is escaped, and a
    sentence stays a sentence.
    """

    def __init__(self, sentence: str) -> None:
        """Store the sentence, on one line."""
        super().__init__(sentence_of(sentence))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the sentence, and no path through our modules."""
        return [f"{type(self).__name__}: {self}"]


class InputError(LandcoverError):
    """Something given to an operation is invalid; the sentence says what is needed.

    Attributes:
        input: the name of the operation's input, where that is known; else "".
    """

    def __init__(self, sentence: str, name: str = "") -> None:
        """Store the sentence, and which input it is about."""
        super().__init__(sentence)
        self.input = name


class NameRefused(InputError):
    """A storage name does not exist or leaves the caller's folders."""


class NotThere(NameRefused):
    """A storage name is in order, and there is nothing in the folder that it leads to."""


class ModelError(InputError):
    """A model file is not one of ours, or is not safe to run."""


class NextcloudError(LandcoverError):
    """Nextcloud did not do what it was asked for; nothing was lost by asking."""


class NotSignedIn(NextcloudError):
    """The user's token has expired and there is no new one."""


class NotAllowed(NextcloudError):
    """Nextcloud does not let the user do this."""


class QuotaFull(NextcloudError):
    """The user has no room left."""


class Maintenance(NextcloudError):
    """Nextcloud does nothing at the moment."""


class Throttled(NextcloudError):
    """Nextcloud has had too many requests from this address."""


class Unavailable(NextcloudError):
    """Nextcloud does not answer, or its answer broke off."""


class Stopped(LandcoverError):
    """The work was told to stop before it was done."""
