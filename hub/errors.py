"""Errors of the hub; each is one sentence that says what to do.

The first two are for the administrator who starts it, the last is for who starts a server.
"""

from landcover.errors import LandcoverError


class CannotStart(LandcoverError):
    """The geoportal cannot start, or has ended, for a reason that a person can remove."""


class SettingsError(CannotStart):
    """The settings file does not do; the sentence names the path of the fault in it."""


class ImageRefused(LandcoverError):
    """An image that somebody brought cannot be started; the sentence says why."""
