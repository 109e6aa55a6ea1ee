"""Errors of the hub for who starts a server; those for an administrator are in `portal.errors`."""

from landcover.errors import LandcoverError


class ImageRefused(LandcoverError):
    """An image that somebody brought cannot be started; the sentence says why."""
