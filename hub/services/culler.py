"""End servers that nobody uses, and never one that computes; off unless an administrator asks.

The maintained jupyterhub-idle-culler lists, paces and stops. It goes by the time of the last
activity alone, which a cell that computes silently for a day does not move; so this service gives
it a hook that asks the server itself, just before the stop. Whatever cannot be known counts as
work: a server that does not answer, a kernel whose state is unclear, a terminal of an image
without our extension.

A user's server is in the hands of its user, so the culler's own token never goes there: for each
look the hub makes one that opens this one server, for a minute.

    python -m hub.services.culler        started by the hub
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from jupyterhub_idle_culler import IdleCuller
from pydantic import BaseModel, Field, TypeAdapter
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPInputError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from portal.base_model import Strict

LOGGER = logging.getLogger("culler")
NAME = "culler"
_IDLE, _EVERY, _PROXY = "GEOPORTAL_IDLE_SECONDS", "GEOPORTAL_LOOK_SECONDS", "GEOPORTAL_PROXY_URL"
_ANSWER_SECONDS = 20
_LARGEST_ANSWER = 1 << 20
_PASS_SECONDS = 60


class Culler(Strict):
    """What an administrator decides about idle servers."""

    idle_hours: float | None = Field(
        default=None, gt=0, description="a server without work for so long ends; absent: none ends"
    )
    look_minutes: float = Field(default=10, gt=0, description="how often all are looked at")

    @property
    def roles(self) -> list[dict[str, Any]]:
        """What the service may do at the hub; `tokens` is for the passes to single servers."""
        scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers", "tokens"]
        return [] if self.idle_hours is None else [
            {"name": NAME, "scopes": scopes, "services": [NAME]}
        ]  # fmt: skip

    def services(self, proxy_url: str) -> list[dict[str, Any]]:
        """Return the service that the hub starts, none if no server ends.

        Args:
            proxy_url: where the service reaches users' servers.
        """
        if self.idle_hours is None:
            return []
        environment = {
            _IDLE: str(max(1, round(self.idle_hours * 3600))),
            _EVERY: str(max(1, round(self.look_minutes * 60))),
            _PROXY: proxy_url,
        }
        command = [sys.executable, "-m", "hub.services.culler"]
        return [{"name": NAME, "command": command, "environment": environment}]


class Found(Exception):  # no error: it ends a look
    """Something that must not be taken away; the sentence says what."""


class _Server(BaseModel):
    """A server as the hub knows it."""

    name: str
    full_name: str
    url: str
    ready: bool
    pending: str | None
    last_activity: datetime | None
    started: datetime | None

    @property
    def user(self) -> str:
        return self.full_name.removesuffix(f"/{self.name}")


class _Status(BaseModel):
    """What a server says of itself; it knows of activity before the hub does."""

    last_activity: datetime


class _Kernel(BaseModel):
    execution_state: str
    last_activity: datetime


class _Work(BaseModel):
    """What our extension counts in the server."""

    terminals: int = Field(ge=0)
    loose: int = Field(ge=0)


_KERNELS = TypeAdapter(list[_Kernel])
_TERMINALS = TypeAdapter(list[dict[str, Any]])


@dataclass
class Examiner:
    """Looks into servers.

    Attributes:
        hub_url: the hub's API.
        token: of this service, for the hub alone.
        proxy_url: the address below which users' servers are.
    """

    hub_url: str
    token: str
    proxy_url: str

    @cached_property
    def _client(self) -> SimpleAsyncHTTPClient:
        """A client that reads little, whatever a server sends; it belongs to the running loop."""
        return SimpleAsyncHTTPClient(force_instance=True, max_body_size=_LARGEST_ANSWER)

    async def is_idle(
        self, *, inactive: timedelta | None, inactive_limit: float, server: Mapping[str, Any]
    ) -> bool:
        """Return whether a server may be stopped now; this is the culler's hook.

        Args:
            inactive: for how long the hub has known of no activity.
            inactive_limit: seconds after which a server is idle.
            server: the server as the hub lists it.
        """
        if inactive is None or inactive.total_seconds() < inactive_limit:
            return False
        name = server.get("full_name")
        limit = timedelta(seconds=inactive_limit)
        try:
            kernels = await self._look(_Server.model_validate(server), limit)
        except Found as found:
            LOGGER.info("Server %s stays: %s.", name, found)
            return False
        except (HTTPClientError, HTTPInputError, OSError, ValueError) as error:
            LOGGER.warning("Server %s stays: it cannot be looked at (%s).", name, _line(error))
            return False
        LOGGER.info(
            "Server %s is stopped: no activity for %s, none of its %d kernels busy, no terminal "
            "at work.", name, timedelta(seconds=round(inactive.total_seconds())), kernels,
        )  # fmt: skip
        return True

    async def _look(self, listed: _Server, limit: timedelta) -> int:
        """Return how many kernels there are, all idle.

        Raises:
            Found: there is something that must not be taken away.
        """
        server = await self._as_it_is_now(listed)
        if server.pending or not server.ready:
            raise Found(f"it is pending ({server.pending})" if server.pending else "not ready")
        _must_be_old(server.last_activity or server.started, limit, "the hub has seen it active")
        made = await self._make_pass(server)
        try:
            return await self._ask(server, str(made["token"]), limit)
        finally:
            await self._hub(f"{_tokens(server)}/{quote(str(made['id']))}", "DELETE")

    async def _as_it_is_now(self, listed: _Server) -> _Server:
        """Ask the hub again: its list was made before other servers were checked."""
        user = json.loads(await self._hub(f"/users/{quote(listed.user, safe='')}"))
        servers = user.get("servers") or {}
        if listed.name not in servers:
            raise Found("it has ended by itself")
        return _Server.model_validate(servers[listed.name])

    async def _ask(self, server: _Server, secret: str, limit: timedelta) -> int:
        status = _Status.model_validate_json(await self._of(server, secret, "api/status"))
        _must_be_old(status.last_activity, limit, "it has been active")
        await self._ask_for_terminals(server, secret)
        # last, because this is what changes fastest
        kernels = _KERNELS.validate_json(await self._of(server, secret, "api/kernels"))
        for kernel in kernels:
            if kernel.execution_state != "idle":
                raise Found(f"a kernel is {kernel.execution_state[:20]}")
            _must_be_old(kernel.last_activity, limit, "a kernel has been active")
        return len(kernels)

    async def _ask_for_terminals(self, server: _Server, secret: str) -> None:
        try:
            work = _Work.model_validate_json(await self._of(server, secret, "geoportal/work"))
        except HTTPClientError as error:
            if error.code != 404:
                raise
        else:
            if work.terminals:
                raise Found(f"programs run in {work.terminals} terminals")
            if work.loose:
                raise Found(f"{work.loose} programs run in the background")
            return
        await self._ask_an_image_of_its_own(server, secret)

    async def _ask_an_image_of_its_own(self, server: _Server, secret: str) -> None:
        """Count every open terminal as busy: without our extension its state is unknown."""
        try:
            answer = await self._of(server, secret, "api/terminals")
        except HTTPClientError as error:
            if error.code != 404:
                raise
            return  # this image has none
        if terminals := _TERMINALS.validate_json(answer):
            raise Found(f"{len(terminals)} terminals are open, and its image tells no more")

    async def _make_pass(self, server: _Server) -> dict[str, Any]:
        body = {
            "note": "looks whether this server is idle",
            "scopes": [f"access:servers!server={server.full_name}"],
            "expires_in": _PASS_SECONDS,
        }
        made = json.loads(await self._hub(_tokens(server), "POST", json.dumps(body)))
        return dict(made)

    async def _hub(self, path: str, method: str = "GET", body: str | None = None) -> bytes:
        return await self._fetch(f"{self.hub_url}{path}", _bearing(self.token), method, body)

    async def _of(self, server: _Server, secret: str, path: str) -> bytes:
        address = urlsplit(server.url)  # with its host, if it has one of its own
        host = {"Host": address.netloc} if address.netloc else {}
        url = f"{self.proxy_url}{address.path}{path}?no_track_activity=1"
        return await self._fetch(url, _bearing(secret) | host)

    async def _fetch(
        self, url: str, headers: dict[str, str], method: str = "GET", body: str | None = None
    ) -> bytes:
        request = HTTPRequest(
            url, method, headers, body,
            connect_timeout=_ANSWER_SECONDS, request_timeout=_ANSWER_SECONDS,
            follow_redirects=False,
        )  # fmt: skip
        return (await self._client.fetch(request)).body


def _bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


def _tokens(server: _Server) -> str:
    return f"/users/{quote(server.user, safe='')}/tokens"


def _must_be_old(moment: datetime | None, limit: timedelta, otherwise: str) -> None:
    if moment is None:
        raise Found("nobody knows when it was active")
    ago = datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if ago < limit:
        raise Found(f"{otherwise} {timedelta(seconds=max(0, round(ago.total_seconds())))} ago")


def _line(error: Exception) -> str:
    return ascii(" ".join(str(error).split()))[1:201]


def main() -> None:
    """Check all servers periodically, until stopped."""
    logging.basicConfig(
        level=logging.INFO, format="[%(levelname)1.1s %(asctime)s %(name)s] %(message)s"
    )
    examiner = Examiner(
        hub_url=os.environ["JUPYTERHUB_API_URL"].rstrip("/"),
        token=os.environ["JUPYTERHUB_API_TOKEN"],
        proxy_url=os.environ[_PROXY].rstrip("/"),
    )
    IdleCuller(
        config_file="",
        log_level=logging.WARNING,  # what it does is said here, with the reason
        timeout=int(os.environ[_IDLE]),
        cull_every=int(os.environ[_EVERY]),
        concurrency=0,  # no stop waits in a queue behind other looks
        cull_arbiter_hook=examiner.is_idle,
    ).start()


if __name__ == "__main__":
    main()
