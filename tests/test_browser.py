"""A person at a browser: signs in, draws on the map of the course, and runs processes.

The screenshots are kept in test-artifacts/: look at them.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from landcover.legend import Legend
from tests.conftest import Geoportal
from tests.scenes import write_raster

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

ARTIFACTS = Path(__file__).parents[1] / "test-artifacts"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 180_000  # ms; a server starts, and a kernel imports much, on a busy machine
PAGE = "lab/tree/course/01_draw_samples.ipynb?reset"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "there is no chromium on PATH"
        if os.environ.get("GEOPORTAL_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    ARTIFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        opened = browser.new_page(viewport={"width": 1500, "height": 1000})
        opened.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield opened
        browser.close()


def test_person_draws_a_sample_on_the_map_of_the_first_page(
    page: Page, geoportal: Geoportal
) -> None:
    sign_in(page, geoportal)
    open_notebook(page, f"{geoportal.url}/user/{geoportal.user}/{PAGE}")
    run_all_cells(page)
    check_map_and_legend(page)
    saved = geoportal.storage / "users" / geoportal.user / "samples" / "demo-scene.geojson"
    draw_polygon(page, "water")
    (pond,) = samples_in(saved)
    assert pond["properties"]["class"] == "water"
    assert pond["properties"]["author"] == geoportal.user
    assert len(pond["geometry"]["coordinates"][0]) == 5  # four corners, closed
    draw_rectangle(page, "forest")
    assert [f["properties"]["class"] for f in samples_in(saved)] == ["water", "forest"]
    move_corner(page)
    edited = samples_in(saved)
    assert edited[0]["id"] == pond["id"]
    assert edited[0]["geometry"] != pond["geometry"]
    delete_first(page)
    assert [f["properties"]["class"] for f in samples_in(saved)] == ["forest"]


def test_the_report_is_read_in_both_languages_where_no_script_may_run(
    page: Page, geoportal: Geoportal
) -> None:
    folder = geoportal.storage / "users" / geoportal.user / "report"
    folder.mkdir(parents=True)
    codes = np.ones((40, 40), np.uint8)
    codes[:, 20:] = 2
    legend = Legend.of(["forest", "water"]).to_tag()
    for name, values in (("map.tif", codes), ("truth.tif", np.roll(codes, 2, axis=1))):
        write_raster(folder / name, values, nodata=255, LANDCOVER_LEGEND=legend)
    inputs = "map=home/report/map.tif;reference=home/report/truth.tif;design=stratified"
    answer = requests.get(
        geoportal.wps,
        params={"service": "WPS", "version": "1.0.0", "request": "Execute",
                "identifier": "assess-quality", "datainputs": inputs},
        headers={"Authorization": f"token {geoportal.token}"},
        timeout=120,
    )  # fmt: skip
    assert "ProcessSucceeded" in answer.text, answer.text
    jobs = requests.get(f"{geoportal.wps}jobs", headers=answer.request.headers, timeout=30).json()
    sign_in(page, geoportal)
    page.goto(f"{geoportal.url}{urlsplit(jobs['jobs'][0]['outputs']['report']['href']).path}")
    expect(page.get_by_role("heading", name="How good is map.tif?")).to_be_visible()
    expect(page.get_by_text("of the map right")).to_be_visible()
    picture = page.get_by_alt_text("The matrix as a picture: shares of each reference class")
    assert picture.evaluate("image => image.naturalWidth") > 300
    assert page.locator("th").first.evaluate("cell => getComputedStyle(cell).borderStyle") == (
        "solid"
    )
    page.screenshot(path=ARTIFACTS / "7-report.png", full_page=True)
    page.get_by_text("Русский").click()
    expect(page.get_by_role("heading", name="Насколько хороша карта map.tif?")).to_be_visible()
    expect(page.get_by_role("heading", name="How good is map.tif?")).to_be_hidden()
    page.screenshot(path=ARTIFACTS / "8-report-ru.png", full_page=True)


def test_a_person_runs_processes_by_their_forms_where_no_script_runs(
    page: Page, geoportal: Geoportal
) -> None:
    assert page.context.browser is not None
    window = {"width": 1280, "height": 900}
    with page.context.browser.new_context(java_script_enabled=False, viewport=window) as context:
        plain = context.new_page()
        plain.set_default_timeout(PATIENCE)
        plain.goto(geoportal.wps)
        give_password(plain, geoportal)  # to the hub, which one is sent to
        expect(plain.get_by_role("heading", name="My jobs")).to_be_visible()
        samples = extract_by_the_form(plain)
        folder = geoportal.storage / "users" / geoportal.user
        assert (folder / samples.removeprefix("home/") / "samples.json").is_file()
        with plain.expect_download() as download:
            plain.get_by_role("link", name="counts.csv").click()
        assert download.value.path().read_text().startswith("class,code,samples")
        plain.get_by_role("link", name="Train classifier").click()
        expect(plain.get_by_label("Samples")).to_have_value(samples)
        plain.get_by_role("button", name="Run").click()
        plain.get_by_role("button", name="Dismiss").click()  # it would take much longer
        expect(plain.get_by_text("dismissed by its owner")).to_be_visible()
        expect(plain.get_by_role("button", name="Dismiss")).to_have_count(0)
        plain.get_by_role("link", name="Geoportal processing").click()
        states = plain.locator(".jobs .state")
        expect(states.nth(0)).to_have_text("dismissed")
        expect(states.nth(1)).to_have_text("successful")
        plain.screenshot(path=ARTIFACTS / "11-processing.png", full_page=True)


def extract_by_the_form(page: Page) -> str:
    """Run extract-samples, watch it succeed, and return the storage name of its samples."""
    page.get_by_role("link", name="Extract samples").last.click()
    scene = page.get_by_label("Scene")
    offered = f"datalist#{scene.get_attribute('list')} option[value='shared/demo/scene.tif']"
    expect(page.locator(offered)).to_have_count(1)
    scene.fill("shared/demo/scene.tif")
    page.get_by_label("Labels").fill("shared/demo/labels.gpkg")
    page.get_by_role("button", name="Run").click()
    page.screenshot(path=ARTIFACTS / "9-job.png", full_page=True)
    expect(page.locator(".state")).to_have_text("successful")  # the page loads itself again
    page.screenshot(path=ARTIFACTS / "10-results.png", full_page=True)
    return page.locator(".results code").first.inner_text()


def sign_in(page: Page, geoportal: Geoportal) -> None:
    page.context.clear_cookies()
    page.goto(f"{geoportal.url}/hub/login")
    give_password(page, geoportal)
    page.wait_for_url(re.compile(r"/lab"))


def give_password(page: Page, geoportal: Geoportal) -> None:
    page.fill("#username_input", geoportal.user)
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
    page.wait_for_selector(".leaflet-container")
    wait_for_idle_kernel(page)


def check_map_and_legend(page: Page) -> None:
    scene = page.locator(".leaflet-container img.leaflet-image-layer")
    expect(scene).to_be_visible()
    assert scene.evaluate("image => image.naturalWidth") > 1000
    expect(page.locator(".sample-map-class")).to_have_count(5)
    expect(page.locator(".jp-OutputArea-output [data-mime-type*=stderr]")).to_have_count(0)
    page.locator(".leaflet-container").scroll_into_view_if_needed()
    page.screenshot(path=ARTIFACTS / "2-map.png")


def draw_polygon(page: Page, class_name: str) -> None:
    choose(page, class_name)
    page.click(".leaflet-pm-icon-polygon")
    corners = ((0.74, 0.39), (0.80, 0.36), (0.81, 0.42), (0.77, 0.45))
    for corner in (*corners, corners[0]):
        page.mouse.click(*at(page, *corner))
    expect(legend_entry(page, class_name)).to_contain_text("(1)")
    page.screenshot(path=ARTIFACTS / "3-polygon.png")


def draw_rectangle(page: Page, class_name: str) -> None:
    choose(page, class_name)
    page.click(".leaflet-pm-icon-rectangle")
    for corner in ((0.08, 0.53), (0.12, 0.61)):
        page.mouse.click(*at(page, *corner))
    expect(legend_entry(page, class_name)).to_contain_text("(1)")
    page.screenshot(path=ARTIFACTS / "4-rectangle.png")


def move_corner(page: Page) -> None:
    page.click(".leaflet-pm-icon-edit")
    page.mouse.move(*at(page, 0.74, 0.39))
    page.mouse.down()
    page.mouse.move(*at(page, 0.72, 0.43), steps=5)
    page.mouse.up()
    expect(page.locator(".sample-map-message")).to_contain_text("1 changed")
    page.screenshot(path=ARTIFACTS / "5-edited.png")
    page.click(".leaflet-pm-icon-edit")


def delete_first(page: Page) -> None:
    page.click(".leaflet-pm-icon-delete")
    page.mouse.click(*at(page, 0.78, 0.41))
    expect(legend_entry(page, "water")).to_contain_text("(0)")
    page.screenshot(path=ARTIFACTS / "6-deleted.png")


def choose(page: Page, class_name: str) -> None:
    legend_entry(page, class_name).click()
    expect(legend_entry(page, class_name).locator("i.fa-pencil")).to_be_visible()


def legend_entry(page: Page, class_name: str):
    return page.locator(".sample-map-class", has_text=class_name)


def at(page: Page, right: float, down: float) -> tuple[float, float]:
    """Return a place on the map in pixels of the window, given in shares of the map's size."""
    box = page.locator(".leaflet-container").bounding_box()
    assert box is not None
    return box["x"] + right * box["width"], box["y"] + down * box["height"]


def samples_in(path: Path) -> list[dict]:
    return json.loads(path.read_text())["features"]
