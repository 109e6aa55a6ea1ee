"""Images that users bring: from where, how large, and what is known of one before it starts.

Nothing in the image is trusted. It runs as every other one does, as the portal's user, without
privileges and without an account at the cluster; and it runs by the digest that was looked at.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, FilePath, field_validator
from traitlets.config import Config

from hub.errors import ImageRefused
from hub.kubernetes.own_images import registry
from hub.kubernetes.own_images.names import ImageName, Place
from kube.quantities import DOWNLOAD, in_bytes, size
from portal.base_model import Strict

_ROOT = ("", "0", "root")


class Registry(Strict):
    """A registry, or a part of one, from which users may take images."""

    name: str = Field(description="host[:port][/path], such as ghcr.io/our-team")
    others: frozenset[str] = Field(
        default=frozenset(), description="hosts it sends to: for its tokens, to its store of blobs"
    )
    internal: bool = Field(default=False, description="whether its addresses may be private ones")
    authority: FilePath | None = Field(
        default=None, description="certificates that vouch for it, if it is not publicly known"
    )

    @field_validator("name")
    @classmethod
    def _is_a_place(cls, name: str) -> str:
        Place.read(name)
        return name

    @field_validator("others")
    @classmethod
    def _are_hosts(cls, others: frozenset[str]) -> frozenset[str]:
        for host in others:
            if Place.read(host).parts:
                raise ValueError(f"{host} is no host, needs something like auth.docker.io")
        return others

    @property
    def place(self) -> Place:
        """Which images lie there."""
        return Place.read(self.name)

    @property
    def client(self) -> registry.Registry:
        """Who asks it."""
        return registry.Registry(self.place.host, self.others, self.internal, self.authority)


@dataclass(frozen=True)
class OwnImage:
    """An image that may be started.

    Attributes:
        pinned: its name with the digest that was looked at.
        size: what is to be downloaded, in bytes.
        sentences: what whoever starts it should know of it.
    """

    pinned: str
    size: int
    sentences: tuple[str, ...]


class OwnImages(Strict):
    """What an administrator decides about images that users bring."""

    registries: tuple[Registry, ...] = Field(default=(), description="none: nobody brings any")
    largest: str = Field(default="20G", pattern=r"^\d+[MGT]$", description="to download")
    platform: Literal["linux/amd64", "linux/arm64"] = "linux/amd64"

    @property
    def offered(self) -> bool:
        """Whether anybody may bring an image."""
        return bool(self.registries)

    def configure(self, c: Config) -> None:
        """Configure the spawner of pods; no other starts images."""
        c.PodSpawner.own_images = self

    async def checked(self, text: object, runs_as: str) -> OwnImage:
        """Inspect a user's image at its registry.

        Args:
            text: what they wrote.
            runs_as: the user and group that every server runs as, for the sentence about it.

        Raises:
            ImageRefused: it is from elsewhere, not there, for other machines or too large.
        """
        name = ImageName.read(text)
        found = await self._registry_of(name).client.find(name, self.platform)
        self._bounded(name, found.size)
        told = tuple(_told(name, found, runs_as))
        return OwnImage(name.pinned(found.digest), found.size, told)

    def _registry_of(self, name: ImageName) -> Registry:
        if not self.registries:
            raise ImageRefused("No image of one's own can be started here; choose one on offer.")
        for each in self.registries:
            if each.place.holds(name):
                return each
        allowed = ", ".join(each.name for each in self.registries)
        raise ImageRefused(
            f"{name} is not from where images may come from: put it on one of {allowed}, or ask "
            "the administrator to list its registry."
        )

    def _bounded(self, name: ImageName, download: int) -> None:
        largest = in_bytes(self.largest, DOWNLOAD)
        if download > largest:
            raise ImageRefused(
                f"{name} is {size(download)} to download, and {size(largest)} is the most: leave "
                "out what is not needed."
            )


def _told(name: ImageName, found: registry.Found, runs_as: str) -> list[str]:
    told = [f"{name} is there, {size(found.size)} to download."]
    user = found.user.partition(":")[0]
    if user in _ROOT:
        told.append(f"It was made to run as root and runs as {runs_as}: what needs root fails.")
    elif user != runs_as.partition(":")[0]:
        told.append(f"It was made to run as {found.user[:60]!r} and runs as {runs_as}.")
    return told
