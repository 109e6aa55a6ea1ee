"""Storage names in a user's own server, where Python and command line take paths as well."""

import os
from pathlib import Path
from typing import Any

from landcover.errors import InputError
from landcover.storage.remote import fetch, is_received
from landcover.storage.tree import home_path

_SERVER = "JUPYTERHUB_SERVICE_PREFIX"
"""A variable that JupyterHub sets in every user's server, and nobody elsewhere."""
_ROOTS = ("home", "shared", "team")


def path_of(given: Any, written: bool = False) -> Any:
    """Return the path that a storage name means in a user's server; all else as it is.

    What lies at Nextcloud alone is fetched.

    Args:
        given: a storage name or a path.
        written: whether it is to be written, so that it may be missing.

    Raises:
        InputError: the name leads out, or means one thing as a name and another as a path.
    """
    if not isinstance(given, str) or _SERVER not in os.environ:
        return given
    if is_received(given):
        return fetch(given)
    if given.split("/")[0] not in _ROOTS or "/" not in given:
        return given
    named, plain = home_path(given), Path(given)
    if plain.exists() and not (named.exists() and named.samefile(plain)):
        if named.exists():
            raise InputError(
                f"{given} is {named} as a storage name and {plain.absolute()} as a path: give the "
                "whole path of the one that is meant"
            )
        return given
    return named if named.exists() or written else fetch(given)
