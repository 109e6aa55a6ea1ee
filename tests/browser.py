"""A person at a browser, for tests that start the whole geoportal."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import Geoportal

ARTIFACTS = Path(__file__).parents[1] / "test-artifacts"
PATIENCE = 180_000  # ms; a server starts, and a kernel imports much, on a busy machine
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip the tests, or fail them where they must run, if there is none."""
    found = shutil.which("chromium")
    if found is None:
        missing = "there is no chromium on PATH"
        if os.environ.get("GEOPORTAL_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    ARTIFACTS.mkdir(exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """Open a window of a browser that knows nobody yet."""
    page = browser.new_context(viewport={"width": 1500, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE)
    return page


def sign_in(page: Page, geoportal: Geoportal, user: str | None = None) -> None:
    page.context.clear_cookies()
    page.goto(f"{geoportal.url}/hub/login")
    give_password(page, geoportal, user)
    page.wait_for_url(re.compile(r"/lab"))


def give_password(page: Page, geoportal: Geoportal, user: str | None = None) -> None:
    page.fill("#username_input", user or geoportal.user)
    page.fill("#password_input", geoportal.password)
    page.screenshot(path=ARTIFACTS / "1-sign-in.png")
    page.click("#login_submit")


def open_notebook(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    wait_for_idle_kernel(page)


def wait_for_idle_kernel(page: Page) -> None:
    """Shift+Enter before the kernel is connected would wait for ever."""
    page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/")


def run_all_cells(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
