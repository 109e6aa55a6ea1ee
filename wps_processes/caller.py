"""The hub user on whose behalf something is done."""

import re
from dataclasses import dataclass

# kubespawner leaves such names as they are; it is asked about all others
_OWN_SLUG = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Caller:
    """A hub user.

    Attributes:
        name: the hub's name of the user.
        groups: the user's groups.
        administrator: whether the hub says so.
        by_token: whether the request carries a token; a browser's session may only read.
    """

    name: str
    groups: tuple[str, ...] = ()
    administrator: bool = False
    by_token: bool = True

    @property
    def folder(self) -> str:
        """The user's folder below users/, as kubespawner names it."""
        if _OWN_SLUG.fullmatch(self.name) and "--" not in self.name:
            return self.name
        from kubespawner.slugs import safe_slug  # slow to import, seldom needed

        return str(safe_slug(self.name))
