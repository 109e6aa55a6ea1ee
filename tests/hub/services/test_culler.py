"""Idle servers end, and never one that computes: in a real hub, and against servers that lie."""

import asyncio
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
import websocket

from hub.services.culler import Culler, Examiner
from hub.settings import Settings

SECONDS = 240.0
SETTINGS = """
authenticator: {kind: shared-password}
spawner: {kind: local}
culler: {idle_hours: %f, look_minutes: 0.02}
"""


def test_no_server_ends_unless_somebody_asks_for_it():
    assert Culler().services("http://127.0.0.1") == []
    assert Culler().roles == []


def test_service_may_neither_enter_servers_nor_change_users():
    (role,) = Culler(idle_hours=1).roles
    assert role["services"] == ["culler"]
    assert not any(scope.startswith(("access:", "admin:")) for scope in role["scopes"])


@pytest.mark.parametrize("hours", [0, -1])
def test_idle_time_is_more_than_nothing(hours):
    with pytest.raises(ValueError, match="greater than 0"):
        Settings.model_validate(
            {"authenticator": {"kind": "shared-password"}, "spawner": {"kind": "local"},
             "culler": {"idle_hours": hours}}
        )  # fmt: skip


# -- in a real hub


@pytest.fixture(scope="module")
def culling(start_geoportal, tmp_path_factory):
    """A geoportal that ends servers after some idle seconds."""
    root = tmp_path_factory.mktemp("culling")
    (root / "settings.yaml").write_text(SETTINGS % (8 / 3600))
    running = start_geoportal(root / "state", GEOPORTAL_SETTINGS=str(root / "settings.yaml"))
    yield running
    assert running.stop() == 0


def said(geoportal, pattern: str) -> str:
    """Wait for a line of the hub's log."""
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", geoportal.state / "hub.log"], stdout=subprocess.PIPE, text=True
    ) as tail:
        deadline = threading.Timer(SECONDS, tail.kill)
        deadline.start()
        assert tail.stdout is not None
        found = next((line for line in tail.stdout if re.search(pattern, line)), None)
        deadline.cancel()
        tail.kill()
    assert found is not None, f"the hub's log has no line {pattern}"
    return found


def is_running(geoportal, session, name: str) -> bool:
    known = session.get(f"{geoportal.url}/hub/api/users/{name}", timeout=SECONDS).json()
    return known["server"] is not None or known["pending"] is not None


@contextmanager
def channel(session, address: str) -> Iterator[websocket.WebSocket]:
    header = [f"Authorization: {session.headers['Authorization']}"]
    connection = websocket.create_connection(
        address.replace("http", "ws", 1), SECONDS, header=header
    )
    try:
        yield connection
    finally:
        connection.close()


def execute(connection: websocket.WebSocket, code: str) -> None:
    """Start a cell, and do not wait for it."""
    header = {"msg_id": uuid4().hex, "msg_type": "execute_request", "session": uuid4().hex,
              "username": "", "version": "5.3", "date": ""}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    connection.send(json.dumps(message | {"channel": "shell", "buffers": []}))


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_server_with_a_busy_kernel_ends_only_after_its_cell(culling):
    session, server = culling.start_server("busy")
    fifo = culling.storage / "users" / "busy" / "fifo"
    os.mkfifo(fifo)
    kernel = session.post(f"{server}api/kernels", json={}, timeout=SECONDS).json()["id"]
    with channel(session, f"{server}api/kernels/{kernel}/channels") as connection:
        execute(connection, "open('fifo').read()")
        said(culling, r"Server busy/ stays: a kernel is busy")
        assert is_running(culling, session, "busy")
        with fifo.open("w") as release:
            release.write("done")
        said(culling, r"Server busy/ is stopped: .*none of its 1 kernels busy")
    session.close()


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_server_whose_terminal_runs_a_program_ends_only_after_it(culling):
    session, server = culling.start_server("shell")
    home = culling.storage / "users" / "shell"
    for fifo in ("first", "second"):
        os.mkfifo(home / fifo)
    name = session.post(f"{server}api/terminals", json={}, timeout=SECONDS).json()["name"]
    with channel(session, f"{server}terminals/websocket/{name}") as connection:
        connection.send(json.dumps(["stdin", "cat first\n"]))
        said(culling, r"Server shell/ stays: programs run in 1 terminals")
        # and one that outlives the terminal
        connection.send(json.dumps(["stdin", "setsid cat second > kept & exit\n"]))
        (home / "first").write_text("done")
        said(culling, r"Server shell/ stays: 1 programs run in the background")
    assert is_running(culling, session, "shell")
    (home / "second").write_text("done")
    line = said(culling, r"Server shell/ is stopped")
    assert re.search(r"no activity for 0:\d\d:\d\d, none of its 0 kernels busy", line)
    said(culling, r"User shell server took .* to stop")
    assert not is_running(culling, session, "shell")
    session.close()


# -- against a hub and servers that answer as told


class Answers(ThreadingHTTPServer):
    """A hub with one server behind it; what it answers is in `pages`, by method and path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, tuple[int, object]] = {}
        self.asked: list[tuple[str, str]] = []
        self.hosts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        called = f"{self.command} {self.path.partition('?')[0]}"
        self.server.asked.append((called, self.headers["Authorization"]))
        self.server.hosts.append(self.headers["Host"])
        status, content = self.server.pages.get(called, (404, {}))
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


OLD = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
HOUR = 3600


def model(**more: object) -> dict[str, object]:
    return {"name": "", "full_name": "eve/", "url": "/user/eve/", "ready": True, "pending": None,
            "last_activity": OLD, "started": OLD} | more  # fmt: skip


@pytest.fixture
def answers():
    """A server of eve's that has nothing to do."""
    with Answers() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        server.pages = {
            "GET /hub/api/users/eve": (200, {"servers": {"": model()}}),
            "POST /hub/api/users/eve/tokens": (201, {"token": "pass", "id": "a7"}),
            "DELETE /hub/api/users/eve/tokens/a7": (204, b""),
            "GET /user/eve/api/status": (200, {"last_activity": OLD}),
            "GET /user/eve/api/kernels": (200, []),
            "GET /user/eve/geoportal/work": (200, {"terminals": 0, "loose": 0}),
        }
        yield server
        server.shutdown()


def look(answers: Answers, server: dict[str, object], idle_hours: float = 5.0) -> bool:
    async def examine() -> bool:
        examiner = Examiner(f"{answers.url}/hub/api", "own", answers.url)
        return await examiner.is_idle(
            inactive=timedelta(hours=idle_hours), inactive_limit=HOUR, server=server
        )

    return asyncio.run(examine())


def kernel(state: str, last_activity: str = OLD) -> dict[str, object]:
    return {"id": "1", "execution_state": state, "last_activity": last_activity}


def test_idle_server_may_be_stopped(answers):
    answers.pages["GET /user/eve/api/kernels"] = (200, [kernel("idle"), kernel("idle")])
    assert look(answers, model())


def test_server_never_sees_a_token_that_opens_another(answers):
    assert look(answers, model())
    seen = {token for called, token in answers.asked if " /user/" in called}
    assert seen == {"token pass"}
    assert {token for called, token in answers.asked if " /hub/" in called} == {"token own"}
    assert answers.asked[-1][0] == "DELETE /hub/api/users/eve/tokens/a7"


def test_server_on_a_host_of_its_own_is_asked_through_the_proxy_by_that_host(answers):
    there = model(url="https://eve.geo.example.org/user/eve/")
    answers.pages["GET /hub/api/users/eve"] = (200, {"servers": {"": there}})
    assert look(answers, there)
    here = answers.url.removeprefix("http://")
    assert answers.hosts == [here, here, *["eve.geo.example.org"] * 3, here]


def test_server_active_as_the_hub_knows_is_not_even_asked(answers):
    assert not look(answers, model(), idle_hours=0.5)
    assert answers.asked == []


NOW = datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("page", "answer"),
    [
        ("api/kernels", (200, [kernel("idle"), kernel("busy")])),
        ("api/kernels", (200, [kernel("starting")])),
        ("api/kernels", (200, [kernel("unknown")])),
        ("api/kernels", (200, [kernel("idle", NOW)])),
        ("api/kernels", (200, [{"id": "1", "last_activity": OLD}])),
        ("api/kernels", (200, {})),
        ("api/kernels", (200, b"<html>")),
        ("api/kernels", (200, b"[" + b" " * (2 << 20) + b"]")),
        ("api/kernels", (302, b"")),
        ("api/kernels", (404, {})),
        ("api/kernels", (503, {})),
        ("api/status", (200, {"last_activity": NOW})),
        ("api/status", (200, {})),
        ("api/status", (403, {})),
        ("geoportal/work", (200, {"terminals": 1, "loose": 0})),
        ("geoportal/work", (200, {"terminals": 0, "loose": 2})),
        ("geoportal/work", (200, {"terminals": -1, "loose": 0})),
        ("geoportal/work", (500, {})),
    ],
)
def test_server_at_work_or_in_doubt_stays(answers, page, answer):
    answers.pages[f"GET /user/eve/{page}"] = answer
    assert not look(answers, model())
    assert answers.asked[-1][0] == "DELETE /hub/api/users/eve/tokens/a7"


@pytest.mark.parametrize(
    ("terminals", "may_stop"),
    [((404, {}), True), ((200, []), True), ((200, [{"name": "1"}]), False), ((500, {}), False)],
)
def test_image_without_our_extension_is_asked_for_terminals(answers, terminals, may_stop):
    del answers.pages["GET /user/eve/geoportal/work"]
    answers.pages["GET /user/eve/api/terminals"] = terminals
    assert look(answers, model()) is may_stop


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"": model(pending="spawn")},
        {"": model(ready=False)},
        {"": model(last_activity=NOW)},
        {"": model(last_activity=None, started=NOW)},
        {"": model(last_activity=None, started=None)},
    ],
)
def test_server_that_changed_since_the_list_was_made_stays(answers, now):
    answers.pages["GET /hub/api/users/eve"] = (200, {"servers": now})
    assert not look(answers, model())


def test_without_a_pass_nothing_is_stopped(answers):
    answers.pages["POST /hub/api/users/eve/tokens"] = (403, {})
    assert not look(answers, model())


def test_hub_that_does_not_answer_stops_nothing(answers):
    answers.pages = {}
    assert not look(answers, model())


def test_named_server_is_looked_at_as_itself(answers):
    named = model(
        name="big one", full_name="eve@lab.org/big one", url="/user/eve%40lab.org/big%20one/"
    )
    answers.pages = {
        "GET /hub/api/users/eve%40lab.org": (200, {"servers": {"": model(), "big one": named}}),
        "POST /hub/api/users/eve%40lab.org/tokens": (201, {"token": "pass", "id": "a7"}),
        "DELETE /hub/api/users/eve%40lab.org/tokens/a7": (204, b""),
        "GET /user/eve%40lab.org/big%20one/api/status": (200, {"last_activity": OLD}),
        "GET /user/eve%40lab.org/big%20one/api/kernels": (200, [kernel("busy")]),
        "GET /user/eve%40lab.org/big%20one/geoportal/work": (200, {"terminals": 0, "loose": 0}),
    }  # fmt: skip
    assert not look(answers, named)
    answers.pages["GET /user/eve%40lab.org/big%20one/api/kernels"] = (200, [])
    assert look(answers, named)
