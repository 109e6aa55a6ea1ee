"""The course in a user's own server, executed page by page as a reader would."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
import requests
import websocket

from tests.conftest import Geoportal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

READER = "reader"
SECONDS = 240.0  # for a server to start, or a cell to end, on a busy machine
PAGES = [
    "01_draw_samples.ipynb",
    "02_balance.ipynb",
    "03_train.ipynb",
    "04_check_radiometry.ipynb",
    "05_classify.ipynb",
    "06_assess.ipynb",
]


@dataclass(frozen=True)
class Server:
    """A user's running Jupyter server, reached through the hub's proxy."""

    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def call(self, method: str, path: str, **more) -> requests.Response:
        url = f"{self.url}/api/{path}"
        answer = requests.request(method, url, headers=self.headers, timeout=SECONDS, **more)
        answer.raise_for_status()
        return answer

    def execute(self, page: str) -> list["Executed"]:
        """Execute the code cells of a notebook in a kernel of its own."""
        notebook = self.call("GET", f"contents/course/{page}").json()["content"]
        kernel = self.call("POST", "kernels", json={"path": f"course/{page}"}).json()["id"]
        channels = f"{self.url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
        try:
            connection = websocket.create_connection(channels, SECONDS, header=self.headers)
            with closing(connection):
                return [
                    execute(connection, cell["source"])
                    for cell in notebook["cells"]
                    if cell["cell_type"] == "code"
                ]
        finally:
            self.call("DELETE", f"kernels/{kernel}")


@dataclass
class Executed:
    """What a cell gave."""

    source: str
    errors: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    text: str = ""

    def add(self, kind: str, content: dict) -> None:
        if kind == "error":
            self.errors.append(f"{content['ename']}: {content['evalue']}\n{self.source}")
        elif kind == "stream":
            self.text += content["text"]
        elif kind in ("display_data", "execute_result"):
            self.kinds |= set(content["data"])


def execute(connection: websocket.WebSocket, source: str) -> Executed:
    """Execute a cell and read messages until the kernel is idle again."""
    request = uuid4().hex
    header = {"msg_id": request, "msg_type": "execute_request", "session": request}
    header |= {"username": READER, "version": "5.3", "date": ""}
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    connection.send(json.dumps(message | {"channel": "shell", "buffers": []}))
    executed = Executed(source)
    while True:
        answer = json.loads(connection.recv())
        if answer["parent_header"].get("msg_id") != request or answer["channel"] != "iopub":
            continue
        if answer["content"].get("execution_state") == "idle":
            return executed
        executed.add(answer["msg_type"], answer["content"])


@pytest.fixture(scope="module")
def server(geoportal: Geoportal) -> Iterator[Server]:
    token = geoportal.token_for(READER)
    headers = {"Authorization": f"token {token}"}
    api = f"{geoportal.url}/hub/api/users/{READER}/server"
    requests.post(api, headers=headers, timeout=SECONDS).raise_for_status()
    wait_until_started(f"{api}/progress", headers)
    yield Server(f"{geoportal.url}/user/{READER}", token)
    requests.delete(api, headers=headers, timeout=SECONDS).raise_for_status()


def wait_until_started(progress: str, headers: dict[str, str]) -> None:
    """Follow the hub's stream of events until the server is ready."""
    with requests.get(progress, headers=headers, timeout=SECONDS, stream=True) as events:
        for line in events.iter_lines(decode_unicode=True):
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                assert not event.get("failed"), event
                if event.get("ready"):
                    return
    pytest.fail("the hub stopped telling how the server starts")


def test_course_appears_as_notebooks(server: Server):
    listed = server.call("GET", "contents/course").json()["content"]
    assert sorted(e["name"] for e in listed if e["type"] == "notebook") == PAGES


def test_course_runs_from_the_first_page_to_the_last(server: Server, geoportal: Geoportal):
    pages = {page: server.execute(page) for page in PAGES}
    errors = [error for cells in pages.values() for cell in cells for error in cell.errors]
    assert errors == []
    kinds = {page: set().union(*(cell.kinds for cell in cells)) for page, cells in pages.items()}
    assert "application/vnd.jupyter.widget-view+json" in kinds["01_draw_samples.ipynb"]
    assert all("image/png" in found for found in kinds.values())
    # page 4 compares the map of the notebook with the one that the WPS made
    assert "the map is the same" in pages["05_classify.ipynb"][-1].text
    work = geoportal.storage / "users" / READER / "course" / "work"
    statistics = json.loads((work / "assess" / "statistics.json").read_text())
    assert 0.5 < statistics["overall"]["Overall ACC"] < 0.8  # more would be a leak
