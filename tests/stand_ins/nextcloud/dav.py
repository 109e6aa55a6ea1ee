"""A stand-in for Nextcloud's files and shares, with its quirks, and with faults on demand.

WebDAV is wsgidav's; around it stands what was recorded from Nextcloud 34: Bearer tokens, chunked
uploads, the shares of OCS with their mounts at the recipients, quota, maintenance and throttling.
Sign-in is not here (`oauth.py`), nor what nothing of ours asks for: capabilities, the search for
sharees, the files behind public links, other properties than those of a listing.
"""

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http import HTTPStatus
from io import BytesIO
from pathlib import Path, PurePosixPath
from shutil import copyfileobj, rmtree
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream
from wsgidav.wsgidav_app import WsgiDAVApp

FILES, UPLOADS = "/remote.php/dav/files", "/remote.php/dav/uploads"
_SHARES = "/apps/files_sharing/api/v1/shares"
_CREEP_SECONDS = 0.02
_WRITING = ("PUT", "MKCOL", "DELETE", "MOVE", "COPY", "PROPPATCH")
_EXCEPTIONS = {401: "NotAuthenticated", 403: "Forbidden", 404: "NotFound",
               429: "TooManyRequests", 503: "ServerMaintenanceMode",
               507: "InsufficientStorage", 400: "BadRequest"}  # fmt: skip


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong with the next requests of a kind."""

    method: str
    act: Callable[..., Any]
    times: int
    part: str


@dataclass
class Share:
    """A share, and where each recipient sees it."""

    id: str
    owner: str
    path: str
    kind: int
    whom: str | None
    permissions: int
    expires: str | None
    token: str | None
    mounts: dict[str, str] = field(default_factory=dict)


class StandIn:
    """The server; `url` is its address while it serves."""

    def __init__(self, root: Path):
        self.root, self.url = root, ""
        self.tokens: dict[str, str] = {}
        self.groups: dict[str, set[str]] = {}
        self.shares: dict[str, Share] = {}
        self.seen: list[Seen] = []
        self.quota: int | None = None
        self.maintenance, self.links, self.keeps_expiry = False, True, True
        self._faults: list[Fault] = []
        self._released = threading.Event()
        self._next = 35
        for folder in ("files", "uploads"):
            (root / folder).mkdir(parents=True)
        self._dav = WsgiDAVApp({
            "provider_mapping": {FILES: {"root": str(root / "files")},
                                 UPLOADS: {"root": str(root / "uploads")}},
            "simple_dc": {"user_mapping": {"*": True}},
            "fs_dav_provider": {"follow_symlinks": True},
            "dir_browser": {"enable": False},
            "hotfixes": {"re_encode_path_info": True},
            "verbose": 0,
        })  # fmt: skip

    # what a test does

    def add_user(self, uid: str, *groups: str) -> str:
        for folder in ("files", "uploads"):
            (self.root / folder / uid).mkdir()
        for group in groups:
            self.groups.setdefault(group, set()).add(uid)
        return self.new_token(uid)

    def new_token(self, uid: str) -> str:
        """Give a user a token; the earlier ones have expired."""
        self.tokens = {known: whose for known, whose in self.tokens.items() if whose != uid}
        token = uuid4().hex
        self.tokens[token] = uid
        return token

    def token(self, uid: str) -> str:
        return next(token for token, whose in self.tokens.items() if whose == uid)

    def files(self, uid: str) -> Path:
        return self.root / "files" / uid

    def answer(
        self,
        method: str,
        status: int,
        times: int = 1,
        part: str = "",
        body: bytes | None = None,
        **headers: str,
    ):
        """Refuse the next requests, or answer them with something else."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}

        def act(environ, start_response):
            if body is None:
                return self._refused(start_response, status, given)
            start_response(f"{status} Odd", [("Content-Length", str(len(body)))])
            return [body]

        self._faults.append(Fault(method, act, times, part))

    def on(self, method: str, do: Callable[[], object], part: str = ""):
        """Do something when the next request of a kind comes, and answer it as ever."""

        def act(environ, start_response):
            do()
            return self._answered(environ, start_response)

        self._faults.append(Fault(method, act, 1, part))

    def break_off(self, method: str, after: int, times: int = 1, part: str = ""):
        """Cut the connection after so many bytes of the file have gone either way."""
        self._faults.append(Fault(method, self._cut(after, lambda: None), times, part))

    def stall(self, method: str, after: int = 0, times: int = 1, part: str = ""):
        """Say nothing more after so many bytes, until the server is closed."""
        self._faults.append(Fault(method, self._cut(after, self._released.wait), times, part))

    def creep(self, method: str, times: int = 1, part: str = ""):
        """Answer a byte at a time, as long as somebody listens and the server is not closed."""

        def act(environ, start_response):
            sent = (bytes([byte]) for byte in b"".join(self._answered(environ, start_response)))
            return (byte for byte in sent if not self._released.wait(_CREEP_SECONDS))

        self._faults.append(Fault(method, act, times, part))

    def methods(self, part: str = "") -> list[str]:
        return [seen.method for seen in self.seen if part in seen.path]

    @contextmanager
    def serving(self):
        with served(self) as self.url:
            try:
                yield self
            finally:
                self._released.set()

    # what the server does

    def __call__(self, environ, start_response):
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"].encode("latin-1").decode()
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        self.seen.append(Seen(method, path, headers))
        environ["wsgi.input"] = get_input_stream(environ)  # wsgidav reads to its end
        if method != "PUT":
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read())
        try:
            return self._faulty(environ, start_response, method, path)
        finally:  # werkzeug waits for more of what nobody reads
            with suppress(OSError, ClientDisconnected):
                while environ["wsgi.input"].read(1 << 16):
                    pass

    def _faulty(self, environ, start_response, method, path):
        fault = next((f for f in self._faults if f.method == method and f.part in path), None)
        if fault is not None:
            fault.times -= 1
            self._faults = [left for left in self._faults if left.times]
            return fault.act(environ, start_response)
        return self._answered(environ, start_response)

    def _answered(self, environ, start_response):
        path = environ["PATH_INFO"].encode("latin-1").decode()
        if self.maintenance:
            return self._refused(start_response, 503, {"X-Nextcloud-Maintenance-Mode": "1"})
        uid = self.tokens.get(environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer "))
        if path.startswith("/ocs/"):
            return self._ocs(environ, start_response, path, uid)
        if uid is None:
            basic = {"WWW-Authenticate": 'Basic realm="Nextcloud", charset="UTF-8"'}
            return self._refused(start_response, 401, basic)
        for root, act in ((FILES, self._file), (UPLOADS, self._upload)):
            if path.startswith(f"{root}/"):
                whose, _, below = path.removeprefix(f"{root}/").partition("/")
                if whose != uid:
                    status = 404 if environ["REQUEST_METHOD"] == "GET" else 403
                    return self._refused(start_response, status)
                return act(environ, start_response, uid, below)
        return self._refused(start_response, 404)

    def _file(self, environ, start_response, uid, below):
        method = environ["REQUEST_METHOD"]
        mount = self._mount(uid, below)
        local = self.files(uid) / below
        if method in _WRITING and mount and not mount.permissions & 2:
            is_mount = below.rstrip("/") == mount.mounts[uid]
            if not (is_mount and method in ("MOVE", "DELETE")):
                return self._refused(start_response, 403)
        if method == "PUT" and self._too_much(environ, uid):
            return self._refused(start_response, 507)
        if method == "GET" and local.is_dir():
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"This is the WebDAV interface."]
        if method == "MOVE":
            return self._moved(environ, start_response, uid, local, mount)
        answer = self._through_dav(environ, start_response, no_parent=404)
        if method == "PUT" and local.is_file() and "HTTP_X_OC_MTIME" in environ:
            os.utime(local, (int(environ["HTTP_X_OC_MTIME"]),) * 2)
        return answer

    def _moved(self, environ, start_response, uid, local, mount):
        """Move as Nextcloud does; wsgidav cuts the destination at a #."""
        target = self._target(environ, uid)
        existed = (self.files(uid) / target).exists()
        if not os.path.lexists(local):
            return self._refused(start_response, 404)
        if existed and environ.get("HTTP_OVERWRITE") == "F":
            return self._refused(start_response, 412)
        local.rename(self.files(uid) / target)
        if mount:
            mount.mounts[uid] = target
        start_response("204 No Content" if existed else "201 Created", [("Content-Length", "0")])
        return []

    def _upload(self, environ, start_response, uid, below):
        method, parts = environ["REQUEST_METHOD"], below.split("/")
        if method == "PUT" and self._too_much(environ, uid):
            return self._refused(start_response, 507)
        if method == "MOVE" and parts[1:] == [".file"]:
            return self._assembled(environ, start_response, uid, parts[0])
        return self._through_dav(environ, start_response, no_parent=409)

    def _assembled(self, environ, start_response, uid, upload_id):
        folder = self.root / "uploads" / uid / upload_id
        mount = self._mount(uid, self._target(environ, uid))
        if mount and not mount.permissions & 2:
            return self._refused(start_response, 403)
        target = self.files(uid) / self._target(environ, uid)
        chunks = sorted(folder.iterdir())
        total = sum(chunk.stat().st_size for chunk in chunks)
        if str(total) != environ.get("HTTP_OC_TOTAL_LENGTH", str(total)):
            return self._refused(start_response, 400)
        existed = target.exists()
        if existed and environ.get("HTTP_OVERWRITE") == "F":
            return self._refused(start_response, 412)
        with target.open("wb") as whole:
            for chunk in chunks:
                with chunk.open("rb") as part:
                    copyfileobj(part, whole)
        if "HTTP_X_OC_MTIME" in environ:
            os.utime(target, (int(environ["HTTP_X_OC_MTIME"]),) * 2)
        rmtree(folder)
        start_response("204 No Content" if existed else "201 Created", [("Content-Length", "0")])
        return []

    def _through_dav(self, environ, start_response, no_parent):
        method = environ["REQUEST_METHOD"]

        def begin(status, headers, error=None):
            if method == "PUT" and status.startswith("409"):
                status = f"{no_parent} No Parent"  # 404 where others see a conflict
            kept = [(n, v) for n, v in headers if (method, n) != ("PROPFIND", "Content-Length")]
            return start_response(status, kept)

        answer = self._dav(environ, begin)
        if method == "GET":
            return answer
        body = b"".join(answer)
        # Nextcloud quotes them, as in the header
        return [re.sub(rb"(getetag>)([^<]+)<", rb'\1"\2"<', body)]

    def _too_much(self, environ, uid):
        if self.quota is None:
            return False
        folders = (self.root / kind / uid for kind in ("files", "uploads"))
        used = sum(f.stat().st_size for top in folders for f in top.rglob("*") if f.is_file())
        return used + int(environ.get("CONTENT_LENGTH") or 0) > self.quota

    def _target(self, environ, uid):
        destination = unquote(urlsplit(environ["HTTP_DESTINATION"]).path)
        return destination.removeprefix(f"{FILES}/{uid}/").rstrip("/")

    def _mount(self, uid, below):
        top = below.split("/")[0]
        return next((s for s in self.shares.values() if s.mounts.get(uid) == top), None)

    # OCS

    def _ocs(self, environ, start_response, path, uid):
        if uid is None:
            return self._said(start_response, 401, [], "Current user is not logged in", 997)
        route = path.partition(".php")[2]
        if route == _SHARES:
            act = {"GET": self._listed, "POST": self._shared}[environ["REQUEST_METHOD"]]
            return act(environ, start_response, uid)
        share = self.shares.get(route.removeprefix(f"{_SHARES}/"))
        if share is None or share.owner != uid:
            return self._said(start_response, 404, [], "Wrong share ID, share does not exist")
        if environ["REQUEST_METHOD"] == "DELETE":
            for whose, name in share.mounts.items():
                (self.files(whose) / name).unlink()
            del self.shares[share.id]
            return self._said(start_response, 200, [])
        return self._said(start_response, 200, [self._described(share, uid)])

    def _listed(self, environ, start_response, uid):
        asked = parse_qs(environ["QUERY_STRING"])
        if asked.get("shared_with_me") == ["true"]:
            found = [share for share in self.shares.values() if uid in share.mounts]
        else:
            found = [share for share in self.shares.values() if share.owner == uid]
        return self._said(start_response, 200, [self._described(s, uid) for s in found])

    def _shared(self, environ, start_response, uid):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        form = {name: values[-1] for name, values in parse_qs(body).items()}
        kind, path, whom = int(form["shareType"]), form["path"], form.get("shareWith")
        members = {0: {whom} & set(self.tokens.values()), 1: self.groups.get(whom, set()), 3: {""}}
        if not (self.files(uid) / path.strip("/")).exists():
            return self._said(start_response, 404, [], "Wrong path, file/folder does not exist")
        if kind == 3 and not self.links:
            return self._said(start_response, 404, [], "Public link sharing is disabled")
        if not members[kind]:
            return self._said(start_response, 404, [], "Please specify a valid group")
        for known in self.shares.values():
            if (known.owner, known.path, known.kind, known.whom) == (uid, path, kind, whom) != 3:
                return self._said(start_response, 200, self._described(known, uid))
        share = Share(
            id=str(self._next),
            owner=uid,
            path=path,
            kind=kind,
            whom=whom,
            permissions=int(form.get("permissions", "31")),
            expires=form.get("expireDate") if self.keeps_expiry else None,
            token=uuid4().hex[:15] if kind == 3 else None,
        )
        self._next += 4
        if share.expires and date.fromisoformat(share.expires) < date.today():
            return self._said(start_response, 404, [], "Expiration date is in the past")
        self.shares[share.id] = share
        for recipient in members[kind] - {uid, ""}:
            self._mounted(share, recipient)
        return self._said(start_response, 200, self._described(share, uid))

    def _mounted(self, share, recipient):
        """Let a recipient see a share, under another name if that is taken."""
        name = PurePosixPath(share.path).name
        number, target = 2, name
        while os.path.lexists(self.files(recipient) / target):
            path = PurePosixPath(name)
            target, number = f"{path.stem} ({number}){path.suffix}", number + 1
        (self.files(recipient) / target).symlink_to(
            self.files(share.owner) / share.path.strip("/")
        )
        share.mounts[recipient] = target

    def _described(self, share, uid):
        """Tell of a share; a recipient is not told what its owner calls it."""
        seen = f"/{share.mounts[uid]}" if uid in share.mounts else share.path
        known = {
            "id": share.id, "share_type": share.kind, "uid_owner": share.owner,
            "permissions": 17 if share.kind == 3 else share.permissions, "path": seen,
            "expiration": f"{share.expires} 23:59:59" if share.expires else None,
            "token": share.token, "share_with": share.whom,
            "file_target": f"/{PurePosixPath(seen).name}",
        }  # fmt: skip
        return known | ({"url": f"{self.url}/s/{share.token}"} if share.token else {})

    def _said(self, start_response, status, data, message="OK", code=None):
        meta = {"status": "ok" if status < 300 else "failure", "statuscode": code or status,
                "message": message}  # fmt: skip
        body = json.dumps({"ocs": {"meta": meta, "data": data}}).encode()
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _refused(self, start_response, status, headers=None):
        exception = f"Sabre\\DAV\\Exception\\{_EXCEPTIONS.get(status, 'Exception')}"
        body = (
            '<?xml version="1.0"?><d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns">'
            f"<s:exception>{exception}</s:exception></d:error>"
        ).encode()
        more = list((headers or {}).items())
        length = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", length + more)
        return [body]

    def _cut(self, after, then):
        """Return what passes so many bytes, and cuts the connection."""

        def act(environ, start_response):
            if environ["REQUEST_METHOD"] == "GET":
                return self._cut_answer(environ, start_response, after, then)
            if after:
                environ["wsgi.input"].read(after)
            then()
            _hang_up(environ)
            start_response("500 Broken", [])
            return []

        return act

    def _cut_answer(self, environ, start_response, after, then):
        def pieces():
            left = after
            for piece in self._answered(environ, start_response):
                if left:
                    yield piece[:left]
                left -= len(piece[:left])
                if not left:
                    break
            then()
            _hang_up(environ)

        return pieces()


@contextmanager
def served(application):
    """Serve an application on a free port, and yield its address."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    """Says nothing of connections that were cut on purpose."""

    protocol_version = "HTTP/1.0"  # one request a connection

    def log(self, *said):
        pass


def _hang_up(environ):
    with suppress(OSError):
        environ["werkzeug.socket"].shutdown(SHUT_RDWR)
