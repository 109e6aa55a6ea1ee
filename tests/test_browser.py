"""A person at a browser: reads a report, runs processes. Drawing has a module of its own.

The screenshots are kept in test-artifacts/: look at them.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests
from playwright.sync_api import Page, expect

from landcover import draw_reference_sample
from landcover.io.legend import Legend
from tests.browser import ARTIFACTS, PATIENCE, chromium, give_password, new_page, sign_in
from tests.conftest import Geoportal
from tests.scenes import label_points, write_raster

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield new_page(browser)


def test_the_report_is_read_in_both_languages_where_no_script_may_run(
    page: Page, geoportal: Geoportal
) -> None:
    folder = geoportal.storage / "users" / geoportal.user / "report"
    folder.mkdir(parents=True)
    codes = np.ones((40, 40), np.uint8)
    codes[:, 20:] = 2
    legend = Legend.of(["forest", "water"]).to_tag()
    mapped = write_raster(folder / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=legend)
    drawn = draw_reference_sample(mapped, per_class=20, workdir=folder)
    label_points(
        drawn.points, folder / "truth.gpkg", lambda _, column: "forest" if column < 22 else "water"
    )
    inputs = "map=home/report/map.tif;reference=home/report/truth.gpkg;design=stratified"
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


@pytest.mark.timeout(900)
def test_the_first_screen_says_what_this_is_and_where_the_doors_are(
    page: Page, geoportal: Geoportal
) -> None:
    assert page.context.browser is not None
    with page.context.browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        lab = context.new_page()
        lab.set_default_timeout(PATIENCE)
        sign_in(lab, geoportal, "guest")
        expect(lab.get_by_role("heading", name="Geoportal: land-cover maps")).to_be_visible()
        lab.screenshot(path=ARTIFACTS / "12-first-screen.png")
        scene = geoportal.storage / "shared" / "demo" / "scene.tif"
        lab.get_by_label("Bring a scene").set_input_files(scene)
        expect(lab.get_by_role("heading", name="A scene: scene.tif")).to_be_visible()
        expect(lab.get_by_text("13 bands: B01, B02")).to_be_visible()
        expect(lab.get_by_text("is home/scene.tif")).to_be_visible()
        assert (geoportal.storage / "users" / "guest" / "scene.tif").is_file()
        lab.screenshot(path=ARTIFACTS / "13-scene.png")
        lab.get_by_role("button", name="Draw samples on it").click()
        state = lab.locator(".sample-map-state")
        expect(state).to_contain_text("Saved in home/samples/home-scene.geojson")
        expect(lab.locator(".sample-map-tile .leaflet-tile-loaded").first).to_be_visible()
        wait_for_whole_map(lab)
        lab.screenshot(path=ARTIFACTS / "14-scene-on-the-map.png")
        go_on_to_a_map_that_is_shared(lab, geoportal)
        # a page that is opened again with another kernel
        lab.click('[data-jp-item-name="save"]')
        lab.get_by_role("menuitem", name="Kernel", exact=True).click()
        lab.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
        lab.goto(f"{geoportal.url}/user/guest/lab/tree/map of scene.ipynb?reset")
        expect(lab.get_by_text("Run this cell (Shift+Enter) to see it").first).to_be_visible()
        run_cell(lab, 0)
        wait_for_whole_map(lab)  # though JupyterLab goes to the cell below


def wait_for_whole_map(lab: Page) -> None:
    lab.wait_for_function(
        """() => {
            const map = document.querySelector(".leaflet-container").getBoundingClientRect();
            const page = document.querySelector(".jp-WindowedPanel-outer, .jp-Notebook");
            const {top, bottom, right} = page.getBoundingClientRect();
            return map.top >= top && map.bottom <= bottom && map.right <= right;
        }"""
    )


CELLS = ".jp-Notebook .jp-Cell"
DRAW = """
import geopandas
labels = geopandas.read_file("shared/demo/labels.gpkg").groupby("class").head(6)
labels = labels.set_geometry(labels.representative_point().buffer(25))
m.add(labels)
"""
LABEL = """
drawing = points._drawing
for one in list(drawing.store.samples.values()):
    drawing.reclass(one.id, one.version, "forest")
"""


def go_on_to_a_map_that_is_shared(lab: Page, geoportal: Geoportal) -> None:
    """Run the cells below the map of an own scene; samples and labels come from a cell, too."""
    assert "right in places it has not seen" in run_cell(lab, 2, add=DRAW)
    run_cell(lab, 3)
    assert "50 of 50 samples have no class yet" in run_cell(lab, 5)
    assert "of the map" in run_cell(lab, 6, add=LABEL)
    # the first of the teams that guest is a member of, which other tests may have made
    told = re.search(r"members of (\w+) read home/maps/scene/map/map.tif", run_cell(lab, 8))
    assert told is not None
    home = geoportal.storage / "users" / "guest"
    assert (geoportal.storage / "team" / told[1] / "map.tif").is_file()
    samples = json.loads((home / "samples" / "home-scene.geojson").read_text())
    with rasterio.open(home / "maps" / "scene" / "map" / "map.tif") as dataset:
        made = Legend.from_tag(dataset.tags()["LANDCOVER_LEGEND"])
    assert made.to_list() == samples["legend"]  # in the colours in which they were drawn
    lab.screenshot(path=ARTIFACTS / "15-own-map.png")


def run_cell(lab: Page, number: int, add: str = "") -> str:
    """Run a cell as a person does, with code before its own, and return what it gave."""
    cell = lab.locator(CELLS).nth(number)
    cell.locator(".cm-content").click()
    if add:
        lab.keyboard.press("Control+Home")
        lab.keyboard.insert_text(add)
    lab.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]:"))
    given = "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())
    assert "Error" not in given
    return given


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
    offered = page.locator("select[name='scene'] option", has_text="shared/demo/scene.tif")
    expect(offered).to_have_count(1)
    page.get_by_label("Scene").fill("shared/demo/scene.tif")
    page.get_by_label("Labels").fill("shared/demo/labels.gpkg")
    page.get_by_role("button", name="Run").click()
    page.screenshot(path=ARTIFACTS / "9-job.png", full_page=True)
    expect(page.locator(".state")).to_have_text("successful")  # the page loads itself again
    page.screenshot(path=ARTIFACTS / "10-results.png", full_page=True)
    return page.locator(".results code").first.inner_text()
