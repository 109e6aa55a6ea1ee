"""A registry on loopback that speaks the OCI distribution API over TLS, and can be told to lie."""

import asyncio
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from certipy import Certipy

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PATIENCE = 10


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class StandInRegistry:
    """What lies there, and what was asked for.

    Attributes:
        content: bytes by the path below /v2/.
        moved: where a path is to be had instead.
        token: if set, what everybody needs to be answered.
        challenge: how that is said; None is as it should be, with the token to be had here.
        asked: every request: host, path with query, and the token it carried.
    """

    port: int = 0
    authority: Path = Path()
    content: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    token: str | None = None
    challenge: str | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def other_host(self) -> str:
        """The same server by another name."""
        return f"127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def put(self, repository: str, kind: str, content: bytes, *names: str) -> dict[str, object]:
        """Store something by its digest, and by other names; return its descriptor."""
        for name in (digest_of(content), *names):
            self.content[f"{repository}/{kind}/{name}"] = content
        return {"digest": digest_of(content), "size": len(content)}

    def put_image(
        self,
        name: str,
        *,
        platform: str = "linux/amd64",
        user: str = "1000",
        layers: tuple[int, ...] = (1000, 2000),
    ) -> dict[str, object]:
        """Store an image without its layers; return its descriptor as an index has it."""
        system, architecture = platform.split("/")
        described = {"os": system, "architecture": architecture, "config": {"User": user}}
        config = self.put(name.partition(":")[0], "blobs", json.dumps(described).encode())
        parts = [
            {"mediaType": LAYER, "digest": digest_of(bytes(number)), "size": size}
            for number, size in enumerate(layers)
        ]
        return self.put_manifest(name, config | {"mediaType": CONFIG}, *parts) | {
            "platform": {"os": system, "architecture": architecture}
        }

    def put_manifest(
        self, name: str, config: dict[str, object], *layers: dict[str, object]
    ) -> dict[str, object]:
        """Store a manifest, by its tag if there is one; return its descriptor."""
        repository, _, tag = name.partition(":")
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        names = [tag] if tag else []
        part = self.put(repository, "manifests", json.dumps(manifest).encode(), *names)
        return part | {"mediaType": MANIFEST}

    def put_index(self, name: str, *parts: dict[str, object]) -> str:
        """Store an index; return its digest."""
        repository, _, tag = name.partition(":")
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}
        return str(self.put(repository, "manifests", json.dumps(index).encode(), tag)["digest"])

    def challenge_from(self, host: str) -> str:
        return f'Bearer realm="https://{host}/token",service="stand-in, the",scope="all:*"'

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v2/")
        carried = request.headers.get("Authorization")
        self.asked.append((request.host, request.path_qs, carried))
        if path in self.silent:
            await asyncio.Event().wait()
        if path == "/token":
            return web.json_response({"token": self.token})
        if path.startswith("/moved/"):
            return web.Response(body=self.content[path.removeprefix("/moved/")])
        if self.token and carried != f"Bearer {self.token}":
            told = self.challenge_from(self.host) if self.challenge is None else self.challenge
            return web.Response(status=401, headers={"WWW-Authenticate": told})
        if path in self.moved:
            return web.Response(status=307, headers={"Location": self.moved[path]})
        if path in self.endless:
            return await self._without_end(request)
        if path in self.status or path not in self.content:
            return web.Response(status=self.status.get(path, 404))
        return web.Response(body=self.content[path])

    async def _without_end(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        # 64 MiB will do: a transport that was cut off takes everything, and gives nobody a turn
        for _ in range(2**10):
            if request.transport is None or request.transport.is_closing():
                break
            await response.write(bytes(2**16))
            await asyncio.sleep(0)
        return response


@contextmanager
def served(folder: Path) -> Iterator[StandInRegistry]:
    """Run a registry on a free port until the block ends."""
    files = _certificate(folder)
    registry = StandInRegistry(authority=Path(files["ca"]))
    loop = asyncio.new_event_loop()
    runner = _runner(registry)
    registry.port = loop.run_until_complete(_listening(runner, files))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield registry
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


def _runner(registry: StandInRegistry) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/{anything:.*}", registry.answer)
    return web.AppRunner(app, access_log=None, shutdown_timeout=0.1)


async def _listening(runner: web.AppRunner, files: dict[str, str]) -> int:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["cert"], files["key"])
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return int(runner.addresses[0][1])


def _certificate(folder: Path) -> dict[str, str]:
    certificates = Certipy(store_dir=str(folder))
    certificates.create_ca("authority")
    names = ["DNS:localhost", "IP:127.0.0.1"]
    pair = certificates.create_signed_pair("registry", "authority", alt_names=names)
    return dict(pair["files"])
