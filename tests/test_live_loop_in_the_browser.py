"""People draw, see the map at once, and are told where to look next: by mouse and by keys alone.

The screenshots are kept in test-artifacts/: look at them.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import PATIENCE, chromium
from tests.conftest import Geoportal
from tests.desk import Desk, desks, write_lakes

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]
LAKE = ((0.45, 0.42), (0.47, 0.45)), ((0.53, 0.55), (0.55, 0.58))
PLAIN = ((0.32, 0.3), (0.35, 0.34)), ((0.64, 0.66), (0.67, 0.7))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def scene(geoportal: Geoportal) -> None:
    write_lakes(geoportal)


@pytest.fixture
def desk_for(browser: Browser, geoportal: Geoportal) -> Iterator:
    with desks(browser, geoportal) as sit_down:
        yield sit_down


def draw_lake_and_plain(desk: Desk, count: int) -> None:
    for name, places in (("water", LAKE), ("forest", PLAIN)):
        desk.legend(name).click()
        for corners in places[:count]:
            desk.rectangle(*corners)
    desk.expect_count("forest", count)


def expect_stage(desk: Desk, stage: str) -> None:
    expect(desk.page.locator(".sample-map-previewing")).to_have_attribute("data-stage", stage)


def expect_another(question: Locator, before: str) -> str:
    """Wait for the next place, and return where it is."""
    place = re.compile(rf"^(?!{before}$)\d+ \d+$")
    expect(question).to_have_attribute("data-at", place)
    return question.get_attribute("data-at") or ""


def test_strokes_become_a_map_and_a_place_is_proposed(desk_for) -> None:
    desk = desk_for("loop")
    page = desk.page
    page.locator(".sample-map-preview-on").click()
    expect(page.locator(".sample-map-preview-said")).to_contain_text("draw places of two classes")
    draw_lake_and_plain(desk, 2)
    expect_stage(desk, "unknown")
    expect(page.locator("img.sample-map-previewed-map")).to_have_count(1)
    expect(page.locator(".sample-map-preview-accuracy")).to_contain_text("told by 4 places")
    desk.shot("loop-1-preview")

    page.locator(".sample-map-next-next").click()
    question = page.locator(".sample-map-next-question")
    expect(question).to_contain_text("Is this")
    expect(page.locator(".sample-map-next-ring")).to_have_count(1)
    desk.shot("loop-2-asked")
    page.locator(".sample-map-next-yes").click()
    labelled = [f for f in desk.saved(5) if f["properties"]["class"] in ("water", "forest")]
    assert len(labelled) == 5
    expect(question).to_contain_text("Is this")  # the next one comes by itself
    expect(page.locator(".sample-map-preview-accuracy")).to_contain_text("points since")
    desk.shot("loop-3-moved")
    page.keyboard.press("Escape")

    page.locator(".sample-map-preview-on").click()
    expect(page.locator("img.sample-map-previewed-map")).to_have_count(0)
    expect(page.locator(".sample-map-next-ring")).to_have_count(0)


def test_keys_alone_are_enough(desk_for) -> None:
    desk = desk_for("keys")
    page, keys = desk.page, desk.page.keyboard
    page.click(".sample-map-language")
    draw_lake_and_plain(desk, 1)
    keys.press("n")  # switches the preview on, and asks as soon as there is one
    question = page.locator(".sample-map-next-question")
    at = [expect_another(question, "")]
    expect(question).to_contain_text("Здесь")
    expect(question).to_be_in_viewport()
    desk.shot("loop-4-keys")
    for key in ("k", "u", "n"):
        keys.press(key)
        at.append(expect_another(question, at[-1]))
    keys.press("y")
    desk.saved(3)
    at.append(expect_another(question, at[-1]))
    keys.press("2")
    keys.press("l")
    assert desk.saved(4)[-1]["properties"]["class"] == "forest"
    at.append(expect_another(question, at[-1]))
    assert len(set(at[1:])) == len(at) - 1  # the first one was put off, and may come again
    keys.press("Escape")
    expect(page.locator(".sample-map-next-ring")).to_have_count(0)
    keys.press("v")
    expect(page.locator("img.sample-map-previewed-map")).to_have_count(0)


def test_one_click_makes_the_whole_map(desk_for) -> None:
    desk = desk_for("whole")
    page = desk.page
    draw_lake_and_plain(desk, 2)
    page.locator(".sample-map-preview-on").click()
    expect_stage(desk, "unknown")
    page.locator(".sample-map-preview-more summary").click()
    page.locator(".sample-map-make-map").click()
    expect(desk.message()).to_contain_text("Jobs make the map")
    desk.tab("layers")
    expect(desk.layer("map")).to_have_count(1, timeout=PATIENCE)
    expect(desk.layer("scene")).to_have_count(1)  # what is drawn upon is still the scene
    desk.tab("run")
    for operation in ("extract-samples", "train-classifier", "check-radiometry", "classify-scene"):
        job = page.locator(f'.sample-map-job[data-operation="{operation}"]')
        expect(job).to_have_attribute("data-state", "successful")
    desk.shot("loop-5-map")
