"""A stand-in for Nextcloud's sign-in: accounts, OAuth 2.0 and the OCS calls about users.

Every status, header and body follows recordings of Nextcloud 34.0.1, and 33.0.3 answers alike. The
pages carry both the data that Nextcloud's scripts read and plain forms, so that a script and a
browser can use them.
"""

import base64
import html
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

ADMINISTRATOR = "admin"
TOKEN_SECONDS, CODE_SECONDS = 3600, 600
_SESSION = "nc_session_id"
_BAD_LOGINS = 10


@dataclass
class Account:
    """A user of the cloud."""

    uid: str
    password: str
    groups: list[str] = field(default_factory=list)
    enabled: bool = True


@dataclass
class Grant:
    """What one sign-in through OAuth has: one code, then one pair of tokens at a time."""

    uid: str
    code: str | None
    until: float
    access_token: str = ""
    refresh_token: str = ""

    def renew(self, seconds: int) -> dict[str, Any]:
        """Change both tokens; where Nextcloud has a cache, the old one lives 10 s more."""
        self.code = None
        self.access_token, self.refresh_token = (secrets.token_urlsafe(54) for _ in range(2))
        self.until = time.time() + seconds
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": seconds,
            "refresh_token": self.refresh_token,
            "user_id": self.uid,
        }

    def takes(self, token: str) -> bool:
        """Return whether this access token is good."""
        return token == self.access_token and time.time() < self.until


class StandIn:
    """One Nextcloud, in the memory of the test.

    Attributes:
        url: its address, once it is served.
        fault: answers in place of the cloud where the hub asks; None is a sound cloud.
        renewals: whether each renewal that was asked for was granted, in order.
        token_seconds: how long access tokens live that are given from now on.
        access_tokens: all that it ever gave.
        refresh_tokens: likewise.
        looks: how often somebody was asked for by an access token.
    """

    def __init__(self, callback_url: str) -> None:
        self.client_id, self.client_secret = secrets.token_hex(32), secrets.token_hex(32)
        self.callback_url = callback_url
        self.url = ""
        self.password = secrets.token_urlsafe(24)
        self.accounts = {ADMINISTRATOR: Account(ADMINISTRATOR, self.password, ["admin"])}
        self.groups = {"admin"}
        self.fault: Callable[[Request], Response] | None = None
        self.faults = 0
        self.renewals: list[bool] = []
        self.looks = 0
        self.token_seconds = TOKEN_SECONDS
        self.access_tokens: list[str] = []
        self.refresh_tokens: list[str] = []
        self._grants: list[Grant] = []
        self._sessions: dict[str, dict[str, str]] = {}
        self._bad_logins: dict[str, int] = {}
        self._lock = threading.RLock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._answer(Request(environ))(environ, start_response)

    # what a test looks at

    def user_of(self, request: Request) -> Account | None:
        """Return who is behind an Authorization header, by token or by password."""
        given = request.authorization
        if given is None:
            return None
        if given.type == "bearer":
            return self._account_by_token(given.token or "")
        account = self._account(given.username or "")
        if account and secrets.compare_digest(account.password, given.password or ""):
            return account if account.enabled else None
        by_token = self._account_by_token(given.password or "")
        return by_token if by_token is account else None

    def tokens_for(self, uid: str) -> dict[str, Any]:
        """Return what the token endpoint answers at the end of a sign-in."""
        with self._lock:
            self._grants.append(Grant(uid, None, 0))
            return self._renewed(self._grants[-1])

    def revoke(self, uid: str) -> None:
        """Take every token of a user away, as they can on their page of devices."""
        with self._lock:
            self._grants = [grant for grant in self._grants if grant.uid != uid]

    # routing

    def _answer(self, request: Request) -> Response:
        # with and without pretty addresses
        path = request.path.removeprefix("/index.php")
        try:
            endpoint, values = _ROUTES.bind("").match(path, method=request.method)
            if endpoint in ("token", "user") and self.fault is not None:
                self.faults += 1
                return self.fault(request)
            with self._lock:
                return getattr(self, f"_{endpoint}")(request, **values)
        except HTTPException as error:
            return _page(f"<h2>{error.name}</h2>", status=error.code)

    def _status(self, request: Request) -> Response:
        return json_answer({"installed": True, "maintenance": False, "versionstring": "34.0.1"})

    def _discovery(self, request: Request, name: str) -> Response:
        return json_answer({"message": f"{name} not supported"}, 404)

    # OAuth 2.0

    def _authorize(self, request: Request) -> Response:
        if request.args.get("client_id") != self.client_id:
            return _page("<h2>Your client is not authorized to connect.</h2>")
        state = request.args.get("state", "")
        if request.args.get("response_type") != "code":
            query = urlencode({"error": "unsupported_response_type", "state": state})
            return _see(f"{self.callback_url}?{query}")
        session_id, session = self._session(request)
        session["state"] = state
        query = urlencode({"providedRedirectUri": "", "clientIdentifier": self.client_id})
        return _remember(_see(f"{self.url}/login/flow?{query}"), session_id)

    def _flow(self, request: Request) -> Response:
        session_id, session = self._session(request)
        session["state token"] = secrets.token_urlsafe(32)
        target = self._grant_page(session["state token"])
        answer = _page(
            f'<h2>Connect to your account</h2><p><a href="{html.escape(target)}">Log in</a></p>',
            request_token=session["request token"],
            core_loginFlowAuth={
                "stateToken": session["state token"],
                "loginRedirectUrl": target,
            },
        )
        return _remember(answer, session_id)

    def _grant(self, request: Request) -> Response:
        _, session = self._session(request)
        if not secrets.compare_digest(
            request.args.get("stateToken", ""), session.get("state token", "-")
        ):
            return _page("<h2>Access forbidden</h2><p>State token does not match</p>", status=403)
        if "uid" not in session:
            if "html" not in request.headers.get("Accept", ""):
                return json_answer({"message": "Current user is not logged in"}, 401)
            return _see(f"/login?redirect_url={quote(request.full_path, safe='/?')}")
        fields = {
            "requesttoken": session["request token"],
            "stateToken": session["state token"],
            "clientIdentifier": self.client_id,
            "providedRedirectUri": "",
        }
        return _page(
            f"<h2>Account access</h2><p>You are {html.escape(session['uid'])}.</p>"
            + _form("/login/flow", "Grant access", fields),
            request_token=session["request token"],
            core_loginFlowGrant={
                "actionUrl": f"{self.url}/login/flow",
                "stateToken": session["state token"],
                "clientIdentifier": self.client_id,
            },
        )

    def _login(self, request: Request) -> Response:
        session_id, session = self._session(request)
        target = request.args.get("redirect_url", "/")
        fields = {
            "requesttoken": session["request token"],
            "redirect_url": target,
            "timezone": "UTC",
            "timezone_offset": "0",
        }
        seen = (
            '<p><label>Account name <input name="user"></label></p>'
            '<p><label>Password <input name="password" type="password"></label></p>'
        )
        answer = _page(
            "<h2>Log in</h2>" + _form("/login", "Log in", fields, seen),
            request_token=session["request token"],
        )
        return _remember(answer, session_id)

    def _login_sent(self, request: Request) -> Response:
        _, session = self._session(request)
        form = request.form
        if not _same(form, session, "requesttoken", "request token"):
            return _page("<h2>Access forbidden</h2><p>CSRF check failed</p>", status=412)
        account = self._account(form.get("user", ""))
        if (
            account is None
            or not account.enabled
            or not secrets.compare_digest(account.password, form.get("password", ""))
        ):
            return _see("/login?direct=1&user=")
        session["uid"] = account.uid
        return _see(self.url + form.get("redirect_url", "/"))

    def _flow_sent(self, request: Request) -> Response:
        _, session = self._session(request)
        form = request.form
        sound = _same(form, session, "requesttoken", "request token") and _same(
            form, session, "stateToken", "state token"
        )
        if not sound or "uid" not in session:
            return _page("<h2>Access forbidden</h2>", status=403)
        grant = Grant(session["uid"], secrets.token_urlsafe(96), time.time() + CODE_SECONDS)
        self._grants.append(grant)
        query = urlencode({"state": session.pop("state"), "code": grant.code})
        return _see(f"{self.callback_url}?{query}")

    def _token(self, request: Request) -> Response:
        form = request.form
        kind = form.get("grant_type")
        if kind not in ("authorization_code", "refresh_token"):
            return json_answer({"error": "invalid_grant"}, 400)
        given = request.authorization
        if given is not None and given.type == "basic":
            client = (given.username, given.password)
        else:
            client = (form.get("client_id"), form.get("client_secret"))
        if client[1] is None:
            return _page("<h2>Internal Server Error</h2>", status=500)
        grant = self._granted(kind, form)
        sound = client == (self.client_id, self.client_secret)
        if kind == "refresh_token":
            self.renewals.append(sound and grant is not None)
        if grant is None or not sound:
            return json_answer({"error": "invalid_request" if sound else "invalid_client"}, 400)
        return json_answer(self._renewed(grant))

    def _renewed(self, grant: Grant) -> dict[str, Any]:
        answer = grant.renew(self.token_seconds)
        self.access_tokens.append(grant.access_token)
        self.refresh_tokens.append(grant.refresh_token)
        return answer

    def _granted(self, kind: str, form: Any) -> Grant | None:
        # a disabled user's tokens are renewed all the same
        for grant in self._grants:
            if kind == "refresh_token" and grant.refresh_token == form.get("refresh_token"):
                return grant
            if kind != "refresh_token" and grant.code and grant.code == form.get("code"):
                return grant if time.time() < grant.until else None
        return None

    # OCS

    def _user(self, request: Request, version: int) -> Response:
        given = request.authorization
        by_token = given is not None and given.type == "bearer"
        self.looks += by_token
        refusal = self._unwelcome(request, version)
        if refusal is not None:
            return refusal
        account = self.user_of(request)
        assert account is not None
        data = {
            "enabled": account.enabled,
            "id": account.uid,
            "quota": {"free": -3, "used": 0, "total": -3, "relative": 0, "quota": -3},
            "email": None,
            "displayname": account.uid,
            "groups": account.groups,
            "language": "en",
        }
        return _ocs(request, version, data, headers={"X-User-Id": account.uid})

    def _give_up(self, request: Request, version: int) -> Response:
        given = request.authorization
        held = [g for g in self._grants if given and given.token and g.takes(given.token)]
        if not held:
            return _ocs(request, version, [], 997, "Current user is not logged in")
        self._grants.remove(held[0])
        return _ocs(request, version, [])

    def _add_user(self, request: Request, version: int) -> Response:
        uid = request.form["userid"]
        if self._account(uid):
            return _ocs(request, version, [], 102, "User already exists")
        self.accounts[uid] = Account(uid, request.form["password"])
        return _ocs(request, version, {"id": uid})

    def _remove_user(self, request: Request, version: int, uid: str) -> Response:
        del self.accounts[uid]
        self.revoke(uid)
        return _ocs(request, version, [])

    def _switch_user(self, request: Request, version: int, uid: str, state: str) -> Response:
        self.accounts[uid].enabled = state == "enable"
        return _ocs(request, version, [])

    def _add_group(self, request: Request, version: int) -> Response:
        group = request.form["groupid"]
        if group in self.groups:
            return _ocs(request, version, [], 102, "group exists")
        self.groups.add(group)
        return _ocs(request, version, [])

    def _join(self, request: Request, version: int, uid: str) -> Response:
        group = request.form["groupid"]
        if group not in self.groups:
            return _ocs(request, version, [], 102)
        self.accounts[uid].groups.append(group)
        return _ocs(request, version, [])

    def _leave(self, request: Request, version: int, uid: str) -> Response:
        self.accounts[uid].groups.remove(request.form["groupid"])
        return _ocs(request, version, [])

    def _unwelcome(self, request: Request, version: int) -> Response | None:
        """Return the refusal of a request that no user is behind, None if all is well."""
        given = request.authorization
        basic = given is not None and given.type == "basic"
        place = request.remote_addr or ""
        if basic and self._bad_logins.get(place, 0) >= _BAD_LOGINS:
            return json_answer({"message": "Too many requests"}, 429)
        if basic and "OCS-APIRequest" not in request.headers:
            return json_answer({"message": "CSRF check failed"}, 412)
        if self.user_of(request) is not None:
            return None
        if basic:
            self._bad_logins[place] = self._bad_logins.get(place, 0) + 1
        return _ocs(request, version, [], 997, "Current user is not logged in")

    def _managed(self, request: Request, version: int, deed: str, **values: str) -> Response:
        """Let only the administrator through, and only by password."""
        refusal = self._unwelcome(request, version)
        if refusal is not None:
            return refusal
        account = self.user_of(request)
        assert account is not None
        given = request.authorization
        if "admin" not in account.groups:
            return _ocs(
                request, version, [], 403, "Logged in account must be at least a sub admin"
            )
        if given is None or given.password != account.password:
            return _ocs(request, version, [], 403, "Password confirmation is required")
        if "uid" in values and values["uid"] not in self.accounts:
            return _ocs(request, version, [], 404, "User does not exist")
        return getattr(self, f"_{deed}")(request, version, **values)

    # who is who

    def _account(self, uid: str) -> Account | None:
        # names are one, however they are written
        found = [known for known in self.accounts.values() if known.uid.lower() == uid.lower()]
        return found[0] if found else None

    def _account_by_token(self, token: str) -> Account | None:
        for grant in self._grants:
            if token and grant.takes(token):
                account = self.accounts.get(grant.uid)
                return account if account and account.enabled else None
        return None

    def _session(self, request: Request) -> tuple[str, dict[str, str]]:
        session_id = request.cookies.get(_SESSION, "")
        if session_id not in self._sessions:
            session_id = secrets.token_urlsafe(16)
            self._sessions[session_id] = {"request token": secrets.token_urlsafe(32)}
        return session_id, self._sessions[session_id]

    @staticmethod
    def _grant_page(state_token: str) -> str:
        query = {"user": "", "providedRedirectUri": "", "direct": "0", "stateToken": state_token}
        return f"/login/flow/grant?{urlencode(query)}"


@contextmanager
def served(cloud: StandIn) -> Iterator[StandIn]:
    """Serve a stand-in on a free port of loopback."""
    server = make_server("127.0.0.1", 0, cloud, threaded=True, request_handler=_Silent)
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    """Does not write a line for every request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def too_many(request: Request) -> Response:
    """The brute-force protection, as it answers."""
    return json_answer({"message": "Too many requests"}, 429)


def refuses(status: int) -> Callable[[Request], Response]:
    """A refusal that says nothing of the user."""

    def answer(request: Request) -> Response:
        return json_answer({"message": "No"}, status)

    answer.__name__ = f"refuses-{status}"
    return answer


def maintenance(request: Request) -> Response:
    """Maintenance mode."""
    answer = _page("<h2>Maintenance mode</h2>", status=503)
    answer.headers.update({"X-Nextcloud-Maintenance-Mode": "1", "Retry-After": "120"})
    return answer


def nonsense(request: Request) -> Response:
    """A page where JSON was asked for, as a wrong proxy gives it."""
    return _page("<h2>It works!</h2>")


def moved(request: Request) -> Response:
    """A proxy that wants another address."""
    return _see("https://elsewhere.example.org/")


def dropped(request: Request) -> Response:
    """A connection that ends without a word."""
    raise ConnectionResetError


def _same(form: Any, session: dict[str, str], name: str, kept: str) -> bool:
    return secrets.compare_digest(form.get(name, ""), session.get(kept, "-"))


def _see(address: str) -> Response:
    return Response(status=303, headers={"Location": address})


def _remember(answer: Response, session_id: str) -> Response:
    answer.set_cookie(_SESSION, session_id, httponly=True, samesite="Lax")
    return answer


def json_answer(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json; charset=utf-8")


def _ocs(
    request: Request,
    version: int,
    data: Any,
    code: int = 0,
    message: str = "OK",
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer as OCS does: version 1 says 100 and HTTP 200, version 2 says what HTTP says."""
    code = code or (100 if version == 1 else 200)
    status = {100: 200, 997: 401, 102: 400}.get(code, code)
    if version == 1 and status != 401:
        status = 200
    meta = {
        "status": "ok" if code in (100, 200) else "failure",
        "statuscode": code,
        "message": message,
    }
    if request.args.get("format") == "json":
        answer = json_answer({"ocs": {"meta": meta, "data": data}}, status)
    else:
        root = ElementTree.Element("ocs")
        for name, value in meta.items():
            ElementTree.SubElement(root, name).text = str(value)
        answer = Response(ElementTree.tostring(root), status, content_type="application/xml")
    answer.headers.update(headers or {})
    return answer


def _page(body: str, status: int = 200, request_token: str = "", **initial: Any) -> Response:
    states = "".join(
        f'<input type="hidden" id="initial-state-{name.replace("_", "-")}" '
        f'value="{base64.b64encode(json.dumps(value).encode()).decode()}">'
        for name, value in initial.items()
    )
    return Response(
        f'<!DOCTYPE html><html lang="en"><head data-requesttoken="{request_token}">'
        f"<title>Nextcloud</title></head><body><h1>Nextcloud (stand-in)</h1>{body}{states}"
        "</body></html>",
        status,
        content_type="text/html; charset=UTF-8",
    )


def _form(action: str, button: str, hidden: dict[str, str], seen: str = "") -> str:
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in hidden.items()
    )
    return f'<form method="post" action="{action}">{fields}{seen}<button>{button}</button></form>'


def _managing(path: str, method: str, deed: str) -> Rule:
    return Rule(
        f"/ocs/v<int:version>.php/cloud/{path}",
        methods=[method],
        endpoint="managed",
        defaults={"deed": deed},
    )


_ROUTES = Map(
    [
        Rule("/status.php", methods=["GET"], endpoint="status"),
        Rule("/.well-known/<name>", methods=["GET"], endpoint="discovery"),
        Rule("/apps/oauth2/authorize", methods=["GET"], endpoint="authorize"),
        Rule("/apps/oauth2/api/v1/token", methods=["POST"], endpoint="token"),
        Rule("/login", methods=["GET"], endpoint="login"),
        Rule("/login", methods=["POST"], endpoint="login_sent"),
        Rule("/login/flow", methods=["GET"], endpoint="flow"),
        Rule("/login/flow", methods=["POST"], endpoint="flow_sent"),
        Rule("/login/flow/grant", methods=["GET"], endpoint="grant"),
        Rule("/ocs/v<int:version>.php/cloud/user", methods=["GET"], endpoint="user"),
        Rule("/ocs/v<int:version>.php/core/apppassword", methods=["DELETE"], endpoint="give_up"),
        _managing("users", "POST", "add_user"),
        _managing("users/<uid>", "DELETE", "remove_user"),
        _managing("users/<uid>/<any(enable, disable):state>", "PUT", "switch_user"),
        _managing("users/<uid>/groups", "POST", "join"),
        _managing("users/<uid>/groups", "DELETE", "leave"),
        _managing("groups", "POST", "add_group"),
    ]
)
