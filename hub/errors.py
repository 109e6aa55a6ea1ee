"""Errors for the administrator who starts the hub; each is one sentence that says what to do."""

from landcover.errors import LandcoverError


class CannotStart(LandcoverError):
    """The geoportal cannot start, or has ended, for a reason that a person can remove."""


class SettingsError(CannotStart):
    """The settings file does not do; the sentence names the path of the fault in it."""
