"""Errors of whoever starts a service: one sentence each, that says what to do."""

from landcover.errors import LandcoverError


class CannotStart(LandcoverError):
    """The geoportal cannot start, or has ended, for a reason that a person can remove."""


class SettingsError(CannotStart):
    """The settings are invalid; the sentence names the path of the fault in them."""
