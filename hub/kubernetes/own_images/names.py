"""Names of container images, read as the container engines read them.

Source: the grammar of references in github.com/distribution/reference; what is not plainly one
of them is refused rather than guessed at.
"""

import re
from dataclasses import dataclass

from hub.errors import ImageRefused

_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_PLACE = re.compile(rf"(?P<host>{_HOST})(?:/(?P<path>{_PART}(?:/{_PART})*))?")
_NAME = re.compile(
    rf"(?:(?P<host>(?=[^/]*[.:]|localhost/){_HOST})/)?"  # without a dot or port it is no host
    rf"(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST = 400
_DOCKER_HUB = ("docker.io", "index.docker.io")


@dataclass(frozen=True)
class Place:
    """A registry, or a part of one.

    Attributes:
        host: with its port, if it is not 443.
        parts: the first parts of the paths that lie there.
    """

    host: str
    parts: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> "Place":
        """Read HOST[:PORT][/PATH]; host in lower case, nothing before it and no slash at the end.

        Raises:
            ValueError: it is no such thing.
        """
        found = _PLACE.fullmatch(text)
        if not found:
            raise ValueError(f"{text} is no registry, needs something like ghcr.io/our-team")
        path = found["path"]
        return cls(found["host"], tuple(path.split("/")) if path else ())

    def holds(self, name: "ImageName") -> bool:
        """Return whether an image lies there: team is no part of teammate."""
        parts = tuple(name.path.split("/"))
        return name.host == self.host and parts[: len(self.parts)] == self.parts


@dataclass(frozen=True)
class ImageName:
    """One image.

    Attributes:
        host: of its registry, with the port if there is one.
        path: of its repository, without slashes around it.
        tag: which of the repository's images, where no digest says so.
        digest: sha256:..., if it was named.
    """

    host: str
    path: str
    tag: str = "latest"
    digest: str | None = None

    @classmethod
    def read(cls, text: object) -> "ImageName":
        """Read a name as people write it; ubuntu is docker.io/library/ubuntu:latest.

        Raises:
            ImageRefused: it is no name of an image.
        """
        found = _NAME.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
        if not found:
            raise ImageRefused(
                f"{str(text)[:_LONGEST]!r} is no name of an image, needs something like "
                "ghcr.io/team/image:1.0."
            )
        host, path = found["host"] or _DOCKER_HUB[0], found["path"]
        if host in _DOCKER_HUB:
            host, path = _DOCKER_HUB[0], path if "/" in path else f"library/{path}"
        return cls(host, path, found["tag"] or "latest", found["digest"])

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> str:
        """Name the one image that has this digest, whatever its tag will be tomorrow."""
        return f"{self.host}/{self.path}@{digest}"

    def __str__(self) -> str:
        """Return the name in full."""
        return self.pinned(self.digest) if self.digest else f"{self.host}/{self.path}:{self.tag}"
