"""People run operations from the panel: draw, extract, train, classify, and again elsewhere.

The screenshots are kept in test-artifacts/: look at them.
"""

import fcntl
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Request, expect

from tests.browser import ARTIFACTS, PATIENCE, chromium
from tests.conftest import Geoportal
from tests.desk import Desk, desks, write_lakes

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SMALL = (1280, 720)
DRAWN = {
    "water": [(0.43, 0.46, 0.46, 0.49), (0.54, 0.53, 0.57, 0.56)],
    "farm": [(0.25, 0.30, 0.28, 0.33), (0.70, 0.70, 0.73, 0.73)],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def scenes(geoportal: Geoportal) -> None:
    write_lakes(geoportal)
    shared = geoportal.storage / "shared"
    shutil.copy(shared / "lakes.tif", shared / "other.tif")


@pytest.fixture
def desk_for(browser: Browser, geoportal: Geoportal) -> Iterator:
    with desks(browser, geoportal) as sit_down:
        yield sit_down


def draw(desk: Desk) -> None:
    for name, places in DRAWN.items():
        desk.legend(name).click()
        for left, top, right, bottom in places:
            desk.rectangle((left, top), (right, bottom))
    desk.saved(4)


def field(desk: Desk, name: str) -> Locator:
    return desk.page.locator(f'.sample-map-field [name="{name}"]')


def start(desk: Desk, operation: str, **filled: str) -> Locator:
    """Start an operation as its form is filled in; return the row of its job."""
    desk.page.select_option(".sample-map-operation", operation)
    for name, value in filled.items():
        expect(field(desk, name)).to_have_value(value)
    return press_run(desk)


def press_run(desk: Desk) -> Locator:
    with desk.page.expect_response(lambda a: is_start(a.request)) as answer:
        desk.page.click(".sample-map-start")
    return desk.page.locator(f'.sample-map-job[data-job="{answer.value.json()["id"]}"]')


def is_start(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/sample_map/jobs")


def run(desk: Desk, operation: str, **filled: str) -> Locator:
    """Run an operation as its form is filled in, and wait until it is done."""
    row = start(desk, operation, **filled)
    expect(row).to_have_attribute("data-state", "successful", timeout=PATIENCE)
    return row


def folder_of(row: Locator) -> str:
    return f"home/jobs/{row.get_attribute('data-job')}"


def test_map_is_made_in_the_panel_and_again_of_another_scene(desk_for) -> None:
    desk = desk_for("runs", more=' language="en",', size=SMALL)
    page = desk.page
    draw(desk)
    desk.save()
    desk.tab("run")
    cut = run(
        desk, "extract-samples", scene="shared/lakes.tif", labels="home/samples/runs.geojson"
    )
    expect(cut).to_contain_text("Total")
    samples = f"{folder_of(cut)}/samples"
    desk.shot("30-run-1280")
    model = f"{folder_of(run(desk, 'train-classifier', samples=samples))}/model.onnx"
    made = start(desk, "classify-scene", scene="shared/lakes.tif", model=model)
    expect(made).to_have_count(1)

    # the map is a layer, with its legend; so it is where the page was loaded again meanwhile
    page.reload()
    desk.wait()
    expect(desk.layer("map")).to_have_count(1, timeout=PATIENCE)
    legend = desk.layer("map").locator(".sample-map-map-class")
    expect(legend).to_contain_text(["water", "farm"])  # as they were drawn, by codes and colours
    for name, color in (("water", "rgb(31, 120, 180)"), ("farm", "rgb(221, 204, 119)")):
        swatch = legend.filter(has_text=name).locator(".sample-map-swatch")
        expect(swatch).to_have_css("background-color", color)
    desk.tab("run")
    expect(made).to_have_attribute("data-state", "successful")
    expect(cut).to_have_count(1)
    desk.shot("31-ran-1280")
    with page.expect_popup() as opened:
        made.get_by_role("link", name="Log").click()
    expect(opened.value.locator("body")).to_contain_text("classify-scene")
    opened.value.screenshot(path=ARTIFACTS / "drawing-31-log.png")
    opened.value.close()

    # the steps that led to it, on another scene
    made.get_by_role("button", name="Repeat on ...").click()
    page.get_by_label("Train anew on each scene").check()
    expect(page.locator(".sample-map-steps summary")).to_have_text(
        "Extract samples → Train classifier → Classify scene"
    )
    page.get_by_label("Scenes, with commas").fill("shared/other.tif")
    desk.shot("32-repeat-1280")
    page.get_by_role("button", name="Repeat", exact=True).click()
    chain = page.locator(".sample-map-chain")
    expect(chain).to_have_attribute("data-state", "successful", timeout=PATIENCE)
    desk.tab("layers")
    expect(desk.layer("map")).to_have_count(2)
    expect(desk.layer("map").first).to_contain_text("other.tif")
    water = desk.layer("map").first.locator('.sample-map-map-class[data-class-name="water"]')
    expect(water).to_contain_text("ha")
    desk.shot("33-repeated-1280")

    # what fails says why, and stays
    desk.tab("run")
    page.select_option(".sample-map-operation", "assess-quality")
    field(desk, "reference").fill("home/nowhere.gpkg")
    page.click(".sample-map-start")
    expect(page.locator(".sample-map-run-said")).to_contain_text("nowhere.gpkg")
    desk.shot("34-refused-1280")


def test_job_is_followed_and_dismissed_in_russian(desk_for) -> None:
    desk = desk_for("runs-ru", more=' language="ru",', size=SMALL)
    page = desk.page
    draw(desk)
    desk.tab("run")
    expect(page.locator(".sample-map-operation option").first).to_have_text("Принять снимок")
    expect(page.locator(".sample-map-field").first).to_contain_text("Снимок")
    cut = run(desk, "extract-samples", labels="home/samples/runs-ru.geojson")
    cut.get_by_role("button", name="Взять на вход").click()
    page.select_option(".sample-map-operation", "train-classifier")
    page.locator(".sample-map-options").evaluate("part => { part.open = true; }")
    field(desk, "options").fill('{"trees": 2000}')  # which takes its time
    training = press_run(desk)
    expect(training).to_have_attribute("data-state", "running", timeout=PATIENCE)
    expect(training.get_by_role("progressbar")).to_be_visible()
    desk.shot("35-runs-ru-1280")
    training.get_by_role("button", name="Отменить задание").click()
    expect(training).to_have_attribute("data-state", "dismissed")
    tabs = page.locator(".sample-map-tabs").bounding_box()
    panel = page.locator(".sample-map-panel").bounding_box()
    assert tabs is not None
    assert panel is not None
    assert tabs["height"] < 40  # one line
    assert panel["x"] + panel["width"] <= SMALL[0]
    desk.shot("36-dismissed-ru-1280")


def test_job_runs_beside_a_cell_and_both_tabs_lay_its_result_once(desk_for) -> None:
    desk = desk_for("runs-beside", more=' language="en",', size=SMALL)
    page = desk.page
    draw(desk)
    desk.save()
    second = desk.second_tab()
    second.tab("run")
    held = (desk.home / "held-by-a-test").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    page.locator(".jp-Cell").last.locator(".cm-content").click()
    page.keyboard.insert_text(f"import fcntl; fcntl.flock(open('{held.name}'), fcntl.LOCK_EX)")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".jp-InputPrompt", has_text="[*]")).to_be_visible()
    desk.tab("run")
    # the last strokes are brought into the file, though the kernel runs a cell
    cut = run(desk, "extract-samples", labels="home/samples/runs-beside.geojson")
    expect(cut).to_contain_text("Total")
    page.select_option(".sample-map-operation", "derive-bands")
    page.locator(".sample-map-options").evaluate("part => { part.open = true; }")
    field(desk, "windows").fill("3")
    made = press_run(desk)
    expect(made).to_have_attribute("data-state", "successful", timeout=PATIENCE)
    # the other tab was told of it by looking, as long as it shows jobs
    job = made.get_attribute("data-job")
    second.tab("layers")
    second.tab("run")
    there = second.page.locator(f'.sample-map-job[data-job="{job}"]')
    expect(there).to_have_attribute("data-state", "successful")
    for one in (desk, second):
        one.tab("layers")
        expect(one.layer("scene")).to_have_count(2)
    expect(page.locator(".jp-InputPrompt", has_text="[*]")).to_be_visible()
    desk.shot("37-beside-a-cell-1280")
    second.tab("run")
    there.get_by_role("button", name="Show on the map").click()
    second.tab("layers")
    expect(second.layer("scene")).to_have_count(2)  # it is there already
    held.close()
    expect(page.locator(".jp-InputPrompt", has_text="[*]")).to_have_count(0)
