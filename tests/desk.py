"""A person's window with a notebook in which a map is open, for tests of the map in a browser."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import numpy as np
import psutil
from affine import Affine
from playwright.sync_api import Browser, Locator, expect

from tests.browser import ARTIFACTS, PATIENCE, new_page, open_notebook, run_all_cells, sign_in
from tests.conftest import Geoportal
from tests.scenes import write_raster

SECONDS = 20.0
SIDE = 400  # pixels of 10 m
CODE = """from sample_map import SampleMap
m = SampleMap(
    "shared/lakes.tif",
    {{"water": "#1f78b4", "forest": "#117733", "farm": "#ddcc77"}},
    name="{name}",{more}
)
m"""


def write_lakes(geoportal: Geoportal) -> None:
    """A plain with a square lake of 100 pixels in its middle; the lake has an island."""
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 12, (3, SIDE, SIDE))
    values[:, 150:250, 150:250] = rng.normal(300, 12, (3, 100, 100))
    values[:, 190:210, 190:210] = rng.normal(1000, 12, (3, 20, 20))
    write_raster(
        geoportal.storage / "shared" / "lakes.tif",
        values.astype("uint16"),
        names=("red", "green", "blue"),
        transform=Affine(10, 0, 330000, 0, -10, 5822000),
        crs="EPSG:32633",
    )


class Desk:
    """A person's window with a notebook in which a map is open."""

    def __init__(
        self,
        browser: Browser,
        geoportal: Geoportal,
        name: str,
        user: str,
        more: str,
        size: tuple[int, int] = (1500, 1000),
    ) -> None:
        self.geoportal, self.user, self.name = geoportal, user, name
        self.home = geoportal.storage / "users" / user
        self.book = f"{name.replace('/', '-')}.ipynb"
        self.page = new_page(browser)
        self.hosts: set[str] = set()  # that the browser asked for anything
        self.page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).netloc))
        self.resize(size)
        sign_in(self.page, geoportal, user)
        cell = nbformat.v4.new_code_cell(CODE.format(name=name, more=more), id="map")
        empty = nbformat.v4.new_code_cell("", id="more")
        book = nbformat.v4.new_notebook(cells=[cell, empty])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(book, self.home / self.book)
        self.open()
        run_all_cells(self.page)
        self.wait()

    @property
    def file(self) -> Path:
        below = f"samples/{self.name}" if "/" not in self.name else self.name
        root = self.home if "/" not in self.name else self.geoportal.storage
        return root / f"{below}.geojson"

    def open(self) -> None:
        url = f"{self.geoportal.url}/user/{self.user}/lab/tree/{self.book}"
        open_notebook(self.page, f"{url}?reset")

    def wait(self) -> None:
        saved = self.page.locator('.sample-map-state[data-kind="saved"]')  # in any language
        expect(saved).to_be_visible(timeout=PATIENCE)
        expect(self.page.locator(".sample-map-tile img").first).to_be_visible()
        self.page.locator(".leaflet-container").first.scroll_into_view_if_needed()

    @property
    def state(self) -> Locator:
        return self.page.locator(".sample-map-state")

    def message(self) -> Locator:
        return self.page.locator(".sample-map-message")

    def legend(self, name: str) -> Locator:
        return self.page.locator(f'.sample-map-class[data-class-name="{name}"]')

    def expect_count(self, name: str, count: int) -> None:
        expect(self.legend(name).locator(".sample-map-count")).to_have_text(str(count))

    def tool(self, name: str) -> None:
        self.page.click(f".sample-map-tool-{name}")

    def resize(self, size: tuple[int, int]) -> None:
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def tab(self, name: str) -> None:
        self.page.click(f".sample-map-tab-{name}")

    def layer(self, kind: str) -> Locator:
        return self.page.locator(f'.sample-map-layer[data-kind="{kind}"]')

    def second_tab(self) -> "Desk":
        """Open the notebook in another tab of the same browser; it has to be saved."""
        second = Desk.__new__(Desk)
        second.__dict__ |= self.__dict__ | {"page": self.page.context.new_page()}
        url = f"{self.geoportal.url}/user/{self.user}/lab/workspaces/second/tree/{self.book}?reset"
        open_notebook(second.page, url)
        second.wait()
        return second

    def at(self, right: float, down: float) -> tuple[float, float]:
        """Return a place on the map in pixels of the window, given in shares of the map's size."""
        box = self.page.locator(".leaflet-container").first.bounding_box()
        assert box is not None
        return box["x"] + right * box["width"], box["y"] + down * box["height"]

    def click(self, *places: tuple[float, float]) -> None:
        for place in places:
            self.page.mouse.click(*self.at(*place))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=6)
        self.page.mouse.up()

    def rectangle(self, corner: tuple[float, float], other: tuple[float, float]) -> None:
        self.tool("rectangle")
        self.click(corner, other)

    def saved(self, count: int) -> list[dict]:
        """Return the samples of the file once it holds so many."""
        return self.folded(lambda found: len(found) == count)

    def expect_version(self, number: int) -> None:
        """Wait until the panel knows a change: what it sends next is about what it shows."""
        expect(self.page.locator(".sample-map-selected")).to_contain_text(f"version {number}")

    def folded(self, fits) -> list[dict]:
        """Return the samples of the file as soon as they fit."""
        deadline = time.monotonic() + SECONDS
        found: list[dict] = []
        while time.monotonic() < deadline:
            if self.file.exists():
                found = json.loads(self.file.read_text())["features"]
                if fits(found):
                    return found
            self.page.wait_for_timeout(50)
        self.shot("failed")
        raise AssertionError(f"the file holds {[f['properties'] for f in found]}")

    def save(self) -> None:
        """Save the notebook, and wait until it is on the disk."""
        self.page.click('[data-jp-item-name="save"]')
        deadline = time.monotonic() + SECONDS
        while "widget-view" not in (self.home / self.book).read_text():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(50)

    def shot(self, name: str) -> None:
        self.page.screenshot(path=ARTIFACTS / f"drawing-{name}.png")

    def kernels(self) -> list[psutil.Process]:
        """Return the kernels of this person, the youngest last."""
        prefix, found = f"/user/{self.user}/", []
        for process in self.geoportal.processes():
            with suppress(psutil.Error):
                if (
                    "ipykernel_launcher" in " ".join(process.cmdline())
                    and process.environ().get("JUPYTERHUB_SERVICE_PREFIX") == prefix
                ):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def close(self) -> None:
        self.page.context.close()
        for kernel in self.kernels():
            with suppress(psutil.Error):
                kernel.kill()


@contextmanager
def desks(browser: Browser, geoportal: Geoportal) -> Iterator[Callable[..., Desk]]:
    """Give desks to whoever asks, and clear them away. Once a map is open, nothing takes long."""
    expect.set_options(timeout=SECONDS * 1000)
    opened: list[Desk] = []

    def sit_down(name: str, user: str = "demo", more: str = "", **how: Any) -> Desk:
        opened.append(Desk(browser, geoportal, name, user, more, **how))
        return opened[-1]

    yield sit_down
    for desk in opened:
        desk.close()
    expect.set_options(timeout=PATIENCE)
