"""Errors for the person who can act on them: what was found, and what is needed.

    LandcoverError
    ├── InputError       something given to an operation does not do
    │   ├── NameRefused  a storage name that does not exist or that leaves the caller's folders
    │   └── ModelError   a model file that is not one of ours, or is not safe to run
    └── Stopped          the work was told to stop

Only these cross to a user; anything else is our fault and goes to the log.
"""


class LandcoverError(Exception):
    """The one family of errors whose sentence is shown to a user."""


class InputError(LandcoverError):
    """Something given to an operation does not do; the sentence says what is needed."""


class NameRefused(InputError):
    """A storage name does not exist or leaves the caller's folders."""


class ModelError(InputError):
    """A model file is not one of ours, or is not safe to run."""


class Stopped(LandcoverError):
    """The work was told to stop before it was done."""
