"""A person at a browser: reads a report. Drawing is in test_drawing_in_the_browser.py.

The screenshots are kept in test-artifacts/: look at them.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from playwright.sync_api import Page, expect

from landcover.legend import Legend
from tests.browser import ARTIFACTS, chromium, new_page, sign_in
from tests.conftest import Geoportal
from tests.scenes import write_raster

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
