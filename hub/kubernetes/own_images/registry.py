"""Read what a registry says of an image, without believing more of it than its digests prove.

Source: the OCI distribution and image specifications. Everything that comes from a registry is
hostile: answers are bounded in size and time, a redirect leads only to hosts that the
administrator named, and addresses are public ones unless the administrator said otherwise.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    ThreadedResolver,
)
from aiohttp.abc import AbstractResolver
from pydantic import BaseModel
from yarl import URL

from hub.errors import ImageRefused
from hub.kubernetes.own_images.manifests import (
    ACCEPTED,
    Config,
    Index,
    Manifest,
    Unreadable,
    digest_of,
    read,
    read_manifest,
)
from hub.kubernetes.own_images.names import ImageName
from portal.addresses import PrivateAddress, PublicAddresses, refuse_private_literal

_LARGEST_ANSWER = 4 * 2**20  # what the specification asks of registries for a manifest
_REQUEST_SECONDS = 20.0
_SECONDS = 60.0
_REDIRECTS = range(300, 400)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_ELSEWHERE = {"docker.io": "registry-1.docker.io"}  # where its API is


class _Granted(BaseModel):
    token: str | None = None
    access_token: str | None = None


@dataclass(frozen=True)
class Found:
    """What a registry says of an image for one platform.

    Attributes:
        digest: of the manifest: sha256:...
        size: what is to be downloaded, in bytes.
        user: whom the image wants to run as; empty is root.
    """

    digest: str
    size: int
    user: str


@dataclass(frozen=True)
class Registry:
    """A registry that the administrator trusts to be asked.

    Attributes:
        host: with its port, if it is not 443; https always.
        others: further hosts to which it may send for tokens and image parts.
        internal: whether private addresses will do.
        authority: a file with the certificate authority that vouches for it, if no known one does.
        resolver: looks names up.
    """

    host: str
    others: frozenset[str] = frozenset()
    internal: bool = False
    authority: Path | None = None
    resolver: AbstractResolver | None = None

    async def find(self, name: ImageName, platform: str) -> Found:
        """Read manifest and configuration of an image; nothing of its layers but their sizes.

        Raises:
            ImageRefused: it is not there, not for this platform or not readable, or the registry
                does not answer as it should.
        """
        try:
            async with asyncio.timeout(_SECONDS), self._session() as session:
                return await _Reading(self, session, name).find(platform)
        except PrivateAddress as error:
            raise ImageRefused(
                f"{name} was not asked for: {error}; only the administrator can allow that."
            ) from error
        except TimeoutError as error:
            raise ImageRefused(
                f"{self.host} did not answer in time; try again later to start {name}."
            ) from error
        except (ClientError, OSError) as error:
            raise ImageRefused(
                f"{self.host} cannot be reached for {name} ({type(error).__name__}); try again "
                "later, or ask the administrator."
            ) from error

    @property
    def hosts(self) -> frozenset[str]:
        """All hosts that may be asked on its behalf."""
        return self.others | {self.address}

    @property
    def address(self) -> str:
        """The host that speaks for this registry."""
        return _ELSEWHERE.get(self.host, self.host)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[ClientSession]:
        resolver = self.resolver or ThreadedResolver()
        connector = TCPConnector(
            resolver=resolver if self.internal else PublicAddresses(resolver),
            use_dns_cache=False,
            ssl=ssl.create_default_context(cafile=self.authority),
        )
        async with ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=_REQUEST_SECONDS),
            auto_decompress=False,  # a small answer must not become a large one
            headers={"Accept-Encoding": "identity"},
        ) as session:
            yield session


@dataclass
class _Reading:
    """One conversation about one image."""

    registry: Registry
    session: ClientSession
    name: ImageName
    headers: dict[str, str] = field(default_factory=dict)

    async def find(self, platform: str) -> Found:
        try:
            content = await self._fetched(f"manifests/{self.name.reference}")
            digest = digest_of(content)
            if self.name.digest not in (None, digest):
                raise self._nonsense("another image than its digest says")
            found = read_manifest(content)
            if isinstance(found, Index):
                digest = self._chosen(found, platform)
                found = read_manifest(await self._proven("manifests", digest))
            return await self._described(digest, found, platform)
        except Unreadable as error:
            raise self._nonsense(str(error)) from error

    def _chosen(self, index: Index, platform: str) -> str:
        if platform not in index.offered:
            raise self._for_others(platform, index.offered)
        return index.offered[platform]

    async def _described(self, digest: str, found: Index | Manifest, platform: str) -> Found:
        if isinstance(found, Index):
            raise self._nonsense("a list of images within a list")
        if not found.can_be_started:
            raise ImageRefused(f"{self.name} is no image that can be started; name another.")
        config = read(Config, await self._proven("blobs", found.config.digest))
        if str(config) != platform:
            raise self._for_others(platform, [str(config)])
        return Found(digest, found.size, config.user)

    async def _proven(self, kind: str, digest: str) -> bytes:
        content = await self._fetched(f"{kind}/{digest}")
        if digest_of(content) != digest:
            raise self._nonsense("something else than its digest says")
        return content

    async def _fetched(self, path: str) -> bytes:
        url = URL(f"https://{self.registry.address}/v2/{self.name.path}/{path}")
        async with self._asked(url, self.headers) as answer:
            if answer.status != 401 or self.headers:
                return await self._content(answer, path)
            challenge = answer.headers.get("WWW-Authenticate", "")
        self.headers = {"Authorization": f"Bearer {await self._token(challenge)}"}
        async with self._asked(url, self.headers) as answer:
            return await self._content(answer, path)

    async def _content(self, answer: ClientResponse, path: str) -> bytes:
        if answer.status not in _REDIRECTS or not path.startswith("blobs/"):
            return await self._body(answer)
        # many keep blobs elsewhere; the digest proves them, the token is not taken along
        async with self._asked(self._permitted(answer.headers.get("Location", ""))) as moved:
            return await self._body(moved)

    async def _token(self, challenge: str) -> str:
        """Request an anonymous token, which public images need too."""
        scheme, _, parameters = challenge.partition(" ")
        if scheme.lower() != "bearer":
            raise self._not_there()
        pairs = [pair for pair in parse_http_list(parameters) if pair.partition("=")[2]]
        given = parse_keqv_list(pairs)
        query = {"scope": f"repository:{self.name.path}:pull"}
        query |= {"service": given["service"]} if "service" in given else {}
        realm = self._permitted(given.get("realm", "")).update_query(query)
        async with self._asked(realm) as answer:
            granted = read(_Granted, await self._body(answer))
        token = granted.token or granted.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise self._nonsense("no token")
        return token

    @asynccontextmanager
    async def _asked(
        self, url: URL, headers: dict[str, str] | None = None
    ) -> AsyncIterator[ClientResponse]:
        if not self.registry.internal:
            refuse_private_literal(url.host or "")
        accepted = {"Accept": ACCEPTED}
        async with self.session.get(
            url, headers=accepted | (headers or {}), allow_redirects=False
        ) as answer:
            try:
                yield answer
            except (ImageRefused, TimeoutError):
                # without goodbye: who answers without end would not hear it
                if answer.connection and answer.connection.transport:
                    answer.connection.transport.abort()
                raise

    def _permitted(self, address: str) -> URL:
        """Return an address to which a registry sends, if the administrator named its host."""
        try:
            url = URL(address, encoded=True)  # a signature holds for exactly these characters
            host = url.host if url.is_default_port() else f"{url.host}:{url.port}"
        except ValueError as error:
            raise self._nonsense("an address that is none") from error
        is_listed = host in self.registry.hosts and address.isascii()
        if url.scheme != "https" or url.user or not is_listed:
            remedy = "the administrator can list that host with this registry, under others"
            raise self._sent_on(address, remedy)
        return url

    async def _body(self, answer: ClientResponse) -> bytes:
        if answer.status in (401, 403, 404):
            raise self._not_there()
        if answer.status in _REDIRECTS:
            raise self._sent_on(answer.headers.get("Location", ""), "name the image where it lies")
        if answer.status in (429, 503):
            raise ImageRefused(f"{self.registry.host} is busy; try again later for {self.name}.")
        if answer.status != 200:
            raise self._nonsense(f"status {answer.status}")
        content = bytearray()
        async for piece in answer.content.iter_chunked(2**16):
            content += piece
            if len(content) > _LARGEST_ANSWER:
                raise self._nonsense("more than an image's description may be long")
        return bytes(content)

    def _not_there(self) -> ImageRefused:
        return ImageRefused(
            f"{self.name} is not there, or not for everybody: check the spelling of name and tag, "
            "and make it public."
        )

    def _for_others(self, platform: str, offered: Iterable[str]) -> ImageRefused:
        there = " and ".join(sorted(offered)) or "no known platform"
        return ImageRefused(
            f"{self.name} is for {there}, and the machines here are {platform}: build it with "
            f"--platform {platform}."
        )

    def _sent_on(self, address: str, remedy: str) -> ImageRefused:
        where = address.partition("?")[0][:100] or "nowhere"  # what follows may be a secret
        return ImageRefused(
            f"{self.registry.host} sends elsewhere for {self.name}, to {where}: {remedy}."
        )

    def _nonsense(self, what: str) -> ImageRefused:
        return ImageRefused(
            f"{self.registry.host} gave {what} for {self.name}: name another image, or tell the "
            "registry's administrator."
        )
