"""What a registry says of an image, read from JSON that may be anybody's.

Source: the OCI image specification 1.1, and Docker's image manifest 2, schema 2. What is not read
here is not needed to judge an image before it starts.
"""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, FailFast, Field, ValidationError

_INDEX = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFEST = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIG = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
ACCEPTED = ", ".join((*_INDEX, *_MANIFEST, *_CONFIG, "application/json"))

_Model = TypeVar("_Model", bound=BaseModel)


class Unreadable(ValueError):
    """Something is no description of an image; the words say where."""


class Platform(BaseModel):
    """The machines that something is for."""

    os: str
    architecture: str

    def __str__(self) -> str:
        """Return it as in a build: linux/amd64."""
        return f"{self.os}/{self.architecture}"


class Part(BaseModel):
    """A descriptor: something by its digest, size in bytes."""

    media_type: str = Field(default="", alias="mediaType")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0, strict=True)
    urls: tuple[()] | None = None  # a node would fetch these, whatever they are
    platform: Platform | None = None


class Index(BaseModel):
    """A list of images, one for each platform."""

    manifests: Annotated[tuple[Part, ...], FailFast()]  # an error for each would fill the memory

    @property
    def offered(self) -> dict[str, str]:
        """Digests by platform, the first of each; attestations are for none."""
        parts = [(str(part.platform), part.digest) for part in reversed(self.manifests)]
        return {name: digest for name, digest in parts if name not in ("None", "unknown/unknown")}


class Manifest(BaseModel):
    """One image for one platform."""

    config: Part
    layers: Annotated[tuple[Part, ...], FailFast()]

    @property
    def size(self) -> int:
        """What is to be downloaded, in bytes."""
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def can_be_started(self) -> bool:
        """Whether it is an image and not something else that registries keep."""
        return self.config.media_type in _CONFIG


class _Running(BaseModel):
    user: str = Field(default="", alias="User")


class Config(Platform):
    """How an image wants to be run."""

    running: _Running | None = Field(default=None, alias="config")

    @property
    def user(self) -> str:
        """Whom it wants to run as; empty is root."""
        return self.running.user if self.running else ""


class _Either(BaseModel):
    version: Literal[2] = Field(alias="schemaVersion")
    manifests: Any = None
    config: Any = None
    layers: Any = None


def read(model: type[_Model], content: bytes) -> _Model:
    """Read JSON as a model.

    Raises:
        Unreadable: it is none.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its form"
        raise Unreadable(f"a description that cannot be read, {where} in it") from error


def read_manifest(content: bytes) -> Index | Manifest:
    """Read what stands under a tag or a digest.

    Raises:
        Unreadable: it is none, or could be read both ways (CVE-2021-41190).
    """
    either = read(_Either, content)
    if either.manifests is None:
        return read(Manifest, content)
    if either.config is not None or either.layers is not None:
        raise Unreadable("an image and a list of images in one")
    return read(Index, content)


def digest_of(content: bytes) -> str:
    """Return what proves content: sha256:..."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
