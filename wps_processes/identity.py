"""Who calls: a hub token or a browser's hub session becomes a caller; nobody else comes in."""

import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlencode

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer
from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError
from werkzeug.wrappers import Request, Response

from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted, Unavailable

LOGGER = logging.getLogger(__name__)
SESSION, STATE = "geoportal-wps", "geoportal-wps-state"
STATE_SECONDS = 600
READ_SECONDS = 30.0
"""So long the hub is not asked again about a token that only reads."""

ACT_SECONDS = 4.0
"""The same for a token that changes something: one that is revoked ends within 5 s."""

MEMORY_SECONDS = 3_600.0
_MOST_KNOWN = 10_000  # tokens
CALLER = "geoportal.caller"
"""Under this name the caller stands in a request's environment."""


class Identity(Protocol):
    """Tells who calls."""

    def caller(self, request: Request) -> Caller | None:
        """Return the caller, None if the request carries no valid identity.

        Raises:
            NotPermitted: it is known, and may not use this service.
            Unavailable: who tells identities does not answer.
        """

    def remembered(self, request: Request) -> str | None:
        """Return the user whose identity a request carries if it was valid not long ago.

        Nobody is asked, and nothing follows from it but whose turn it is. It is "" if the request
        carries no identity, and None if the hub has to be asked.
        """

    def sign_in(self, request: Request) -> Response | None:
        """Return what sends a browser to sign in, None if there is no such way."""

    def signed_in(self, request: Request) -> Response:
        """Answer the browser that comes back from signing in."""

    def form_token(self, request: Request) -> str:
        """Return what the forms of this browser session carry, and nobody else can know."""


class HubIdentity:
    """Asks the hub."""

    def __init__(self, state: Path, prefix: str) -> None:
        """Store the key of session cookies in the state folder; cookies are for `prefix` alone."""
        self._key = kept_key(state / "wps-cookie.key")
        self._prefix = prefix
        self._known = _Known()
        self._making = Lock()
        self._made: HubOAuth | None = None

    def caller(self, request: Request) -> Caller | None:
        """Return the caller by token, else by session.

        Raises:
            NotPermitted: the token may not use the WPS.
            Unavailable: the hub does not answer.
        """
        token, by_token = self._token_in(request)
        if token is None:
            return None
        known = self._known.get(token, ACT_SECONDS if _is_act(request) else READ_SECONDS)
        if known is None:
            known = self._asked(token)
            self._known.keep(token, known)
        return None if known is None else replace(known, by_token=by_token)

    def remembered(self, request: Request) -> str | None:
        """Return the user of the request's token or session if the hub has named it lately."""
        token, _ = self._token_in(request)
        if token is None:
            return ""
        known = self._known.get(token, MEMORY_SECONDS)
        return None if known is None else known.name

    def sign_in(self, request: Request) -> Response:
        """Send a browser to the hub, which sends it back with a code."""
        state = secrets.token_urlsafe(16)
        query = urlencode({"state": state})
        answer = Response(status=302, headers={"Location": f"{self._hub.login_url}&{query}"})
        signed = self._sign({"state": state, "next": request.full_path.rstrip("?")}, "state")
        self._set_cookie(answer, request, STATE, signed, STATE_SECONDS)
        return answer

    def signed_in(self, request: Request) -> Response:
        """Turn the hub's code into a session.

        Raises:
            NotPermitted: this browser did not begin to sign in here.
            Unavailable: the hub did not complete the sign-in.
        """
        asked = self._unsign(request.cookies.get(STATE, ""), "state", STATE_SECONDS)
        if asked is None or not secrets.compare_digest(
            asked["state"], request.args.get("state", "")
        ):
            raise NotPermitted("this sign-in did not begin here, open the page again")
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
        """Stop the thread that asks the hub."""
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
                self._made = HubOAuth()
                _ = self._made._pool
        return self._made

    def _token_for(self, code: str) -> str:
        try:
            return str(self._hub.token_for_code(code, sync=True))
        except HTTPError as error:
            LOGGER.warning("the hub gives no token for a code: %s", error)
            raise Unavailable(
                "the hub did not complete this sign-in, open the page again"
            ) from error

    def _token_in(self, request: Request) -> tuple[str | None, bool]:
        """Return the hub's token that a request carries, and whether in its header."""
        token = token_of(request)
        if token is not None:
            return token, True
        return self._unsign(request.cookies.get(SESSION, ""), "session", None), False

    def _asked(self, token: str) -> Caller | None:
        try:
            user = self._hub.user_for_token(token, use_cache=False, sync=True)
        except HTTPError as error:
            LOGGER.warning("the hub does not answer: %s", error)
            raise Unavailable("the hub does not answer, try again later") from error
        if not user or user.get("kind") != "user":
            return None
        if not self._hub.check_scopes(self._hub.access_scopes, user):
            raise NotPermitted("this token may not use the WPS")
        return Caller(user["name"], tuple(user.get("groups", ())), bool(user.get("admin")))

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


class _Known:
    """What the hub has said of tokens, by their digests; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._callers: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._lock = Lock()

    def get(self, token: str, seconds: float) -> Caller | None:
        """Return whose token it is if the hub has said so in the last seconds."""
        since, caller = self._callers.get(_digest(token), (0.0, None))
        return caller if time.monotonic() - since < seconds else None

    def keep(self, token: str, caller: Caller | None) -> None:
        """Remember whose token it is, or forget one that is nobody's."""
        digest = _digest(token)
        with self._lock:
            self._callers.pop(digest, None)
            if caller is not None:
                self._callers[digest] = time.monotonic(), caller
            if len(self._callers) > _MOST_KNOWN:
                self._callers.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _is_act(request: Request) -> bool:
    """Return whether a request may change something: WPS executes by GET too."""
    asked = (value.lower() for name, value in request.args.items(multi=True)
             if name.lower() == "request")  # fmt: skip
    return request.method not in ("GET", "HEAD") or "execute" in asked


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
