"""The course in a user's own server, executed page by page as a reader would."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
import requests
import websocket
from playwright.sync_api import Page, expect

from tests.browser import (
    ARTIFACTS,
    chromium,
    new_page,
    open_notebook,
    run_all_cells,
    sign_in,
)
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
    "07_seasons.ipynb",
    "08_bring_your_own_scene.ipynb",
    "09_networks.ipynb",
    "10_where_next.ipynb",
    "11_labels_without_labellers.ipynb",
    "12_after_a_map.ipynb",
]
IN_R = "13_from_r.ipynb"
"""It is there where Jupyter has R; tests/notebooks/test_from_r.py runs it."""


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
    names = {e["name"] for e in listed if e["type"] == "notebook"}
    assert sorted(names - {IN_R}) == PAGES


@pytest.fixture(scope="module")
def strokes(server: Server, geoportal: Geoportal) -> None:
    """What a reader may do on page 1: each tool once, and a class of their own."""
    if shutil.which("chromium") is None and os.environ.get("GEOPORTAL_REQUIRE_BROWSER") != "1":
        return  # then the course runs with the samples that others drew
    with chromium() as browser:
        page = new_page(browser)
        sign_in(page, geoportal, READER)
        open_notebook(page, f"{server.url}/lab/tree/course/{PAGES[0]}?reset")
        run_all_cells(page)
        expect(page.locator(".sample-map-count").first).to_have_text("72")  # those of others
        expect(page.locator(".sample-map-state")).to_contain_text("Saved in")
        page.locator(".leaflet-container").scroll_into_view_if_needed()
        draw_with_each_tool(page)
        expect(page.locator(".sample-map-state")).to_contain_text("Saved in")
        page.screenshot(path=ARTIFACTS / "course-own-strokes.png")
        page.context.close()


def draw_with_each_tool(page: Page) -> None:
    box = page.locator(".leaflet-container").bounding_box()
    assert box is not None

    def at(right: float, down: float) -> tuple[float, float]:
        return box["x"] + right * box["width"], box["y"] + down * box["height"]

    def use(tool: str, *places: tuple[float, float]) -> None:
        page.click(f".sample-map-tool-{tool}")
        for place in places:
            page.mouse.click(*at(*place))
            page.wait_for_timeout(300)  # as a hand does; two at once would be a double click

    def count(name: str) -> int:
        row = page.locator(f'.sample-map-class[data-class-name="{name}"]')
        return int(row.locator(".sample-map-count").inner_text())

    def expect_count(name: str, number: int) -> None:
        row = page.locator(f'.sample-map-class[data-class-name="{name}"]')
        expect(row.locator(".sample-map-count")).to_have_text(str(number))

    page.keyboard.press("Escape")
    page.fill(".sample-map-row input[placeholder='New class']", "cloud")
    page.get_by_role("button", name="Add class").click()
    expect_count("cloud", 0)
    square = ((0.40, 0.40), (0.55, 0.40), (0.55, 0.55), (0.40, 0.55), (0.40, 0.40))
    use("polygon", *square)
    expect_count("cloud", 1)
    page.locator('.sample-map-class[data-class-name="water"]').click()
    expect_count("cloud", 1)
    water = count("water")
    use("rectangle", (0.50, 0.35), (0.60, 0.60))  # over what others drew
    expect_count("water", water + 1)
    use("point", (0.45, 0.45))
    expect_count("water", water + 2)
    use("grow", (0.48, 0.52))
    expect_count("water", water + 3)
    use("select", (0.42, 0.42))
    use("edit")
    for start, end in (((0.40, 0.40), (0.38, 0.38)), ((0.45, 0.50), (0.46, 0.51))):
        if start == (0.45, 0.50):
            use("move")
        page.mouse.move(*at(*start))
        page.mouse.down()
        page.mouse.move(*at(*end), steps=5)
        page.mouse.up()
        page.wait_for_timeout(300)
    use("split", (0.30, 0.47))
    page.mouse.dblclick(*at(0.70, 0.47))
    page.wait_for_timeout(500)
    use("select", (0.42, 0.43))
    use("cut", (0.42, 0.42), (0.44, 0.42), (0.44, 0.44), (0.42, 0.44), (0.42, 0.42))
    page.wait_for_timeout(500)
    use("select", (0.57, 0.58))
    page.keyboard.press("c")
    page.locator('.sample-map-class[data-class-name="forest"]').click()
    page.wait_for_timeout(500)
    use("delete")
    use("undo")
    use("redo")
    use("undo")


def test_course_runs_from_the_first_page_to_the_last(
    server: Server, geoportal: Geoportal, strokes: None
):
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
    assert 0.45 < statistics["overall"]["Overall ACC"] < 0.8  # more would be a leak
    assert (geoportal.storage / "team" / "practice" / "map.tif").is_file()
