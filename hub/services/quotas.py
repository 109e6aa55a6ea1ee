"""What the files of one user may take, as an administrator writes it and as servers read it."""

from typing import Annotated

from pydantic import Field

from kube.quantities import ROOM, in_bytes

Quota = Annotated[
    str,
    Field(pattern=r"^[1-9]\d*[MGT]$", description="what a user's files may take, such as 50G"),
]
VARIABLE = "GEOPORTAL_HOME_QUOTA"
"""Under this name servers and the WPS find it, in bytes."""


def quota_variables(quota: Quota | None) -> dict[str, str]:
    """Return the environment that tells a quota; empty if there is none."""
    return {} if quota is None else {VARIABLE: str(in_bytes(quota, ROOM))}
