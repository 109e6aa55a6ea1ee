"""Who calls: a hub token or a browser's hub session becomes a caller; nobody else comes in."""

import hashlib
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlencode

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer
from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError
from werkzeug.exceptions import Forbidden, ServiceUnavailable
from werkzeug.wrappers import Request, Response

LOGGER = logging.getLogger(__name__)
SESSION, STATE = "geoportal-wps", "geoportal-wps-state"
STATE_SECONDS = 600
CALLER = "geoportal.caller"
"""Under this name the caller stands in a request's environment."""
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


class Identity(Protocol):
    """Tells who calls."""

    def caller(self, request: Request) -> Caller | None:
        """Return the caller, None if the request carries no valid identity."""

    def sign_in(self, request: Request) -> Response | None:
        """Return what sends a browser to sign in, None if there is no such way."""

    def signed_in(self, request: Request) -> Response:
        """Answer the browser that comes back from signing in."""

    def form_token(self, request: Request) -> str:
        """Return what the forms of this browser session carry, and nobody else can know."""


class HubIdentity:
    """Asks the hub."""

    def __init__(self, state: Path, prefix: str) -> None:
        """Keep the key of session cookies in the state folder; cookies are for `prefix` alone."""
        self._key = kept_key(state / "wps-cookie.key")
        self._prefix = prefix
        self._making = Lock()
        self._made: HubOAuth | None = None

    def caller(self, request: Request) -> Caller | None:
        """Return the caller by token, else by session."""
        token = token_of(request)
        if token is not None:
            return self._caller_of(token, by_token=True)
        session = self._unsign(request.cookies.get(SESSION, ""), "session", None)
        return None if session is None else self._caller_of(session, by_token=False)

    def sign_in(self, request: Request) -> Response:
        """Send a browser to the hub, which sends it back with a code."""
        state = secrets.token_urlsafe(16)
        query = urlencode({"state": state})
        answer = Response(status=302, headers={"Location": f"{self._hub.login_url}&{query}"})
        signed = self._sign({"state": state, "next": request.full_path.rstrip("?")}, "state")
        self._set_cookie(answer, request, STATE, signed, STATE_SECONDS)
        return answer

    def signed_in(self, request: Request) -> Response:
        """Turn the hub's code into a session."""
        asked = self._unsign(request.cookies.get(STATE, ""), "state", STATE_SECONDS)
        if asked is None or not secrets.compare_digest(
            asked["state"], request.args.get("state", "")
        ):
            raise Forbidden("this sign-in did not begin here, open the page again")
        token = self._token_for(request.args.get("code", ""))
        answer = Response(status=302, headers={"Location": self._own_path(asked["next"])})
        self._set_cookie(answer, request, SESSION, self._sign(token, "session"), None)
        answer.delete_cookie(STATE, path=self._prefix)
        return answer

    def form_token(self, request: Request) -> str:
        """Return the signature of the session, which is the caller's alone."""
        signer = Signer(self._key, salt="form", digest_method=hashlib.sha256)
        return signer.get_signature(request.cookies.get(SESSION, "")).decode()

    def close(self) -> None:
        """End the thread that asks the hub."""
        with self._making:
            if self._made is not None:
                self._made._pool.submit(self._made._thread_loop.close).result()
                self._made._pool.shutdown()
                self._made = None

    @property
    def _hub(self) -> HubOAuth:
        """JupyterHub's client; it owns a thread, which two callers at once would make twice."""
        with self._making:
            if self._made is None:
                self._made = HubOAuth(cache_max_age=30)
                _ = self._made._pool
        return self._made

    def _token_for(self, code: str) -> str:
        try:
            return str(self._hub.token_for_code(code, sync=True))
        except HTTPError as error:
            LOGGER.warning("the hub gives no token for a code: %s", error)
            raise ServiceUnavailable(
                "the hub did not complete this sign-in, open the page again"
            ) from error

    def _caller_of(self, token: str, by_token: bool) -> Caller | None:
        try:
            user = self._hub.user_for_token(token, sync=True)
        except HTTPError as error:
            LOGGER.warning("the hub does not answer: %s", error)
            raise ServiceUnavailable("the hub does not answer, try again later") from error
        if not user or user.get("kind") != "user":
            return None
        if not self._hub.check_scopes(self._hub.access_scopes, user):
            raise Forbidden("this token may not use the WPS")
        return Caller(
            user["name"], tuple(user.get("groups", ())), bool(user.get("admin")), by_token
        )

    def _own_path(self, path: str) -> str:
        return path if path.startswith(self._prefix) else self._prefix

    def _set_cookie(
        self, answer: Response, request: Request, name: str, value: str, seconds: int | None
    ) -> None:
        secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
        answer.set_cookie(
            name, value, max_age=seconds, path=self._prefix, httponly=True, secure=secure,
            samesite="Lax",
        )  # fmt: skip

    def _sign(self, value: Any, purpose: str) -> str:
        return str(URLSafeTimedSerializer(self._key, salt=purpose).dumps(value))

    def _unsign(self, signed: str, purpose: str, seconds: int | None) -> Any:
        try:
            return URLSafeTimedSerializer(self._key, salt=purpose).loads(signed, max_age=seconds)
        except BadSignature:
            return None


def token_of(request: Request) -> str | None:
    """Return the token that a request carries in its header, None without one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() in ("token", "bearer") and token.strip() else None


def kept_key(path: Path) -> str:
    """Return the key in a file, which is made if need be."""
    if not path.exists():  # else it may be mounted, and not ours to touch
        path.touch(mode=0o600)
    if not path.read_text():  # new, or left empty by a full disk
        path.write_text(secrets.token_hex(32))
    return path.read_text()
