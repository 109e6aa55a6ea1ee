"""People look at layers: order, comparison, values; by mouse and keys, on two screens and tabs.

The screenshots are kept in test-artifacts/: look at them.
"""

import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from affine import Affine
from playwright.sync_api import Browser, expect

from tests.browser import PATIENCE, chromium
from tests.conftest import Geoportal
from tests.desk import SIDE, Desk, desks, write_lakes
from tests.scenes import write_raster
from tests.stand_ins.backgrounds import RELIEF, ROADS, backgrounds

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

GRID = {"transform": Affine(10, 0, 330000, 0, -10, 5822000), "crs": "EPSG:32633"}
SMALL, LARGE = (1280, 720), (1920, 1080)
TOP = ["unknown", "confidence", "map", "scene"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def rasters(geoportal: Geoportal) -> None:
    """The plain with its lake, and a map of it: sure of the lake, unsure of a corner."""
    write_lakes(geoportal)
    folder = geoportal.storage / "users" / "demo" / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    legend = [
        {"code": 1, "name": "water", "color": "#1f78b4"},
        {"code": 2, "name": "farm", "color": "#ddcc77"},
    ]
    codes = np.full((SIDE, SIDE), 2, "uint8")
    codes[150:250, 150:250] = 1
    percent = np.full((SIDE, SIDE), 90, "uint8")
    percent[:100, :100] = 30
    write_raster(
        folder / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=json.dumps(legend), **GRID
    )
    write_raster(folder / "confidence.tif", percent, names=["confidence in percent"], nodata=255,
                 **GRID)  # fmt: skip


@pytest.fixture
def desk_for(browser: Browser, geoportal: Geoportal) -> Iterator:
    with desks(browser, geoportal) as sit_down:
        yield sit_down


def order(desk: Desk) -> list[str | None]:
    rows = desk.page.locator(".sample-map-layer")
    return [row.get_attribute("data-kind") for row in rows.all()]


def act(desk: Desk, kind: str, name: str) -> None:
    desk.layer(kind).locator(f".sample-map-layer-{name}").click()


def color_at(desk: Desk, right: float, down: float) -> tuple[int, ...]:
    """Return the colour that the window shows at a place of the map."""
    return pixel(desk, *desk.at(right, down))


def beside_the_middle(desk: Desk) -> tuple[int, ...]:
    """Return the colour to the left of the middle of the second map, where an island is."""
    box = desk.page.locator(".sample-map-second").bounding_box()
    assert box is not None
    return pixel(desk, box["x"] + box["width"] / 2 - 14, box["y"] + box["height"] / 2)


def pixel(desk: Desk, x: float, y: float) -> tuple[int, ...]:
    png = desk.page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
    return tuple(desk.page.evaluate(
        """async (bytes) => {
            const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
            const pen = new OffscreenCanvas(1, 1).getContext("2d");
            pen.drawImage(image, 0, 0);
            return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""", [*png],
    ))  # fmt: skip


def expect_color(
    desk: Desk, place: tuple[float, float], color: tuple[int, int, int], is_there: bool = True
) -> None:
    """Wait until a place of the map has a colour, or has it no more."""
    wait_for(desk, lambda: (color_at(desk, *place) == color) is is_there)


def wait_for(desk: Desk, fits: Callable[[], bool]) -> None:
    for _ in range(100):
        if fits():
            return
        desk.page.wait_for_timeout(100)
    desk.shot("failed")
    raise AssertionError("the map does not show what it should, look at drawing-failed.png")


WATER, FARM, UNKNOWN = (0x1F, 0x78, 0xB4), (0xDD, 0xCC, 0x77), (230, 0, 126)
IN_LAKE, IN_CORNER = (0.465, 0.465), (0.25, 0.3)


def test_layers_are_ordered_shown_compared_and_brought_back(desk_for) -> None:
    desk = desk_for("layers", more=' language="en",', size=SMALL)
    page = desk.page
    desk.tab("layers")
    form = page.get_by_label("Name of a scene or map")
    form.fill("home/maps/map.tif")
    form.press("Enter")
    expect(desk.layer("map")).to_contain_text("Map · maps/map.tif")
    assert order(desk) == TOP
    expect_color(desk, IN_LAKE, WATER)
    # the legend of a map has hectares, of 10 m pixels in a zone of UTM
    water = desk.layer("map").locator('.sample-map-map-class[data-class-name="water"]')
    expect(water).to_contain_text("ha")
    hectares = float(re.search(r"([\d.]+) ha", water.inner_text())[1])
    assert hectares == pytest.approx(100.0, rel=2e-3)
    expect(desk.layer("map").get_by_label("Red", exact=True)).to_have_count(0)
    desk.shot("20-layers-1280")

    # hidden by the keyboard, moved, removed, brought back
    box = desk.layer("map").get_by_role("checkbox")
    box.focus()
    box.press("Space")
    expect(box).not_to_be_checked()
    box.press("Space")
    expect_color(desk, IN_LAKE, WATER)
    act(desk, "map", "down")
    expect(page.locator(".sample-map-layer").last).to_have_attribute("data-kind", "map")
    act(desk, "map", "remove")
    expect(desk.layer("map")).to_have_count(0)
    page.click(".sample-map-restore")
    expect(desk.layer("map")).to_have_count(1)
    # so it is by the keys, and goes again
    act(desk, "map", "remove")
    expect(desk.layer("map")).to_have_count(0)
    desk.click((0.5, 0.9))
    for keys, count in (("Control+z", 1), ("Control+y", 0), ("Control+z", 1)):
        page.keyboard.press(keys)
        expect(desk.layer("map")).to_have_count(count)
    act(desk, "map", "up")
    expect(page.locator(".sample-map-layer").last).to_have_attribute("data-kind", "scene")
    assert order(desk) == TOP

    # where the confidence is low
    desk.layer("unknown").get_by_role("checkbox").check()
    expect_color(desk, IN_CORNER, UNKNOWN)
    desk.layer("unknown").locator(".sample-map-layer-name").click()
    slider = page.get_by_label("Confidence below")
    slider.focus()
    slider.press("Home")
    expect_color(desk, IN_CORNER, FARM)
    desk.layer("unknown").get_by_role("checkbox").uncheck()

    # a curtain: the map to the left, the scene to the right of it
    desk.layer("unknown").locator(".sample-map-layer-name").click()
    page.select_option(".sample-map-compare", "swipe")
    curtain = page.get_by_label("Curtain between left and right")
    expect(curtain).to_be_attached()
    expect_color(desk, IN_LAKE, WATER)
    assert color_at(desk, 0.55, 0.5) != WATER
    desk.shot("21-swipe-1280")
    curtain.focus()
    curtain.press("Home")
    expect_color(desk, IN_LAKE, WATER, is_there=False)
    # to drag it with a tool in hand draws nothing
    desk.tool("rectangle")
    box = curtain.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 21, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*desk.at(0.6, 0.5), steps=4)
    page.mouse.up()
    expect_color(desk, IN_LAKE, WATER)
    page.mouse.move(*desk.at(0.2, 0.8))
    expect(page.locator(".leaflet-tooltip")).to_have_text("Click to place first vertex")
    desk.tool("select")

    # two maps that move as one
    page.select_option(".sample-map-compare", "beside")
    second = page.locator(".sample-map-second")
    expect(second.locator("img").first).to_be_visible()
    expect(curtain).to_have_count(0)
    wait_for(desk, lambda: max(beside_the_middle(desk)) < 60)  # the lake is dark in the scene
    desk.tool("select")
    desk.drag((0.5, 0.5), (0.3, 0.42))
    wait_for(desk, lambda: min(beside_the_middle(desk)) > 150)  # the plain is bright
    panel = page.locator(".sample-map-panel").bounding_box()
    assert panel is not None
    assert panel["x"] + panel["width"] <= SMALL[0]
    desk.shot("22-beside-1280")
    desk.tool("inspect")
    second.click()
    expect(page.locator(".sample-map-inspected")).to_contain_text("maps/map.tif")
    desk.tab("layers")
    page.select_option(".sample-map-compare", "off")
    expect(second).to_have_count(0)
    assert desk.hosts - {""} == {
        urlsplit(desk.geoportal.url).netloc
    }  # nothing comes from elsewhere


def add_background(desk: Desk, name: str, address: str, wms: str = "") -> None:
    page = desk.page
    form = page.locator(".sample-map-part-background")
    if form.get_attribute("open") is None:
        form.locator("summary").click()
    page.get_by_label("Name of the background").fill(name)
    page.get_by_label("Address of tiles or of a WMS").fill(address)
    page.get_by_label("WMS layers").fill(wms)
    page.get_by_label("Attribution").fill("© the <makers>")
    page.get_by_role("button", name="Add background").click()


def test_background_comes_from_a_wms_or_tiles_and_is_off_where_it_is_silent(desk_for) -> None:
    desk = desk_for("backgrounds", more=' language="en",', size=SMALL)
    page, beside = desk.page, (0.05, 0.5)  # a place beside the scene
    desk.tab("layers")
    layer = desk.layer("background")
    with backgrounds() as maps:
        add_background(desk, "relief", f"{maps.url}/wms", "relief")
        expect_color(desk, beside, RELIEF)
        asked = maps.asked[0]
        assert (asked["WIDTH"], asked["HEIGHT"], asked["STYLES"]) == ("256", "256", "")
        expect(page.locator(".leaflet-control-attribution")).to_have_text("© the <makers>")
        desk.shot("27-wms-1280")
        # it is compared as any other layer, and is not printed, which is said
        page.select_option(".sample-map-compare", "swipe")
        expect_color(desk, beside, RELIEF, is_there=False)
        expect_color(desk, (0.95, 0.5), RELIEF)
        page.select_option(".sample-map-compare", "off")
        page.locator(".sample-map-part-print summary").click()
        page.get_by_label("home/map.pdf or .png").fill("home/relief.png")
        page.click(".sample-map-print")
        printed = page.locator(".sample-map-printed")
        expect(printed).to_contain_text("not printed", timeout=PATIENCE)
        expect(desk.state).to_contain_text("Saved in")  # the kernel answered all the while
        act(desk, "background", "remove")
        expect(layer).to_have_count(0)
        add_background(desk, "roads", maps.url + "/tiles/{z}/{x}/{y}.png")
        expect_color(desk, beside, ROADS)
        act(desk, "background", "remove")

        # a layer that the server has not is answered by XML, which is no picture
        add_background(desk, "none", f"{maps.url}/wms", "nothing")
        expect(desk.message()).to_contain_text("cannot be reached, so it is off")
        expect(layer.get_by_role("checkbox")).not_to_be_checked()
        act(desk, "background", "remove")

        # a server that takes the question and never answers holds up nothing
        maps.speaks.clear()
        add_background(desk, "silent", f"{maps.url}/silent", "relief")  # nothing of it is kept
        expect(layer.get_by_role("checkbox")).to_be_checked()
        desk.rectangle((0.44, 0.44), (0.48, 0.48))
        desk.saved(1)
        expect(layer.get_by_role("checkbox")).not_to_be_checked()
        expect(desk.message()).to_contain_text("cannot be reached, so it is off")


def test_place_is_inspected_measured_and_seen_at_one_glance(desk_for) -> None:
    desk = desk_for("values", more=' scenes=["home/maps/map.tif"], language="en",', size=SMALL)
    page = desk.page
    desk.rectangle((0.44, 0.44), (0.48, 0.48))
    desk.saved(1)
    page.keyboard.press("i")
    desk.click(IN_LAKE)
    read = page.locator(".sample-map-inspected")
    expect(read).to_contain_text("maps/map.tif: water, confidence 90 %")
    expect(read).to_contain_text("training: water · demo")
    expect(read.locator("svg polyline")).to_have_count(1)
    rows = read.locator(".sample-map-values tr")
    expect(rows).to_have_count(3)
    name, wave, value = (rows.first.locator("th, td").nth(i).inner_text() for i in range(3))
    assert name == "red"
    assert wave.endswith("nm") or not wave
    assert 200 < float(value) < 400  # the lake is 300, spread 12
    desk.shot("23-values-1280")
    page.keyboard.press("d")
    desk.click((0.3, 0.3))
    page.mouse.dblclick(*desk.at(0.6, 0.3))
    expect(desk.message()).to_have_text(re.compile(r"^\d+(\.\d+)? km$"))
    page.mouse.move(*desk.at(0.5, 0.5))
    expect(page.locator(".sample-map-coordinates")).to_have_text(
        re.compile(r"^52\.\d+° N, 12\.\d+° E$")
    )
    expect(page.locator(".leaflet-control-scale")).to_be_visible()
    page.keyboard.press("s")

    # training polygons as outlines, or not at all
    desk.tab("layers")
    page.keyboard.press("Escape")
    for how in ("filled", "hidden"):
        page.select_option(".sample-map-polygons", how)
        canvas = page.locator(".sample-map-shapes")
        expect(canvas).to_have_attribute("data-drawn", "1" if how == "filled" else "0")

    # the whole of it at one glance, and nothing scrolls within what scrolls
    for size in (SMALL, LARGE):
        desk.resize(size)
        nested = page.evaluate(
            """() => [...document.querySelectorAll(".sample-map-panel *")].filter((one) =>
                one.scrollHeight > one.clientHeight + 1 && one.tagName === "DIV"
                && getComputedStyle(one).overflowY === "auto"
                && one.parentElement.closest(".sample-map-page")).length"""
        )
        assert nested == 0
        for tab in ("classes", "layers", "inspect", "samples", "run"):
            desk.tab(tab)
            expect(page.locator(f".sample-map-page-{tab}")).to_be_visible()
        expect(page.locator(".sample-map-tool-full")).to_be_in_viewport()
        desk.tab("layers")
        desk.shot(f"24-layers-{size[0]}")
    desk.tool("full")
    expect(page.locator(".sample-map-full")).to_have_count(1)
    height = page.locator(".leaflet-container").bounding_box()
    assert height is not None
    assert height["height"] > 1000
    desk.shot("25-full")
    desk.tool("full")
    expect(page.locator(".sample-map-full")).to_have_count(0)


def test_two_tabs_show_the_same_layers(desk_for) -> None:
    desk = desk_for("layers-in-tabs", more=' scenes=["home/maps/map.tif"], language="en",')
    desk.save()
    second = desk.second_tab()
    for one in (desk, second):
        one.tab("layers")
    act(second, "scene", "down")
    for one in (desk, second):
        moved = one.page.locator(".sample-map-layer").nth(1)
        expect(moved).to_have_attribute("data-kind", "scene")
    desk.layer("map").get_by_role("checkbox").uncheck()
    expect(second.layer("map").get_by_role("checkbox")).not_to_be_checked()
    # what is compared and how polygons are shown is the same in both
    second.page.select_option(".sample-map-compare", "swipe")
    second.page.select_option(".sample-map-polygons", "outlines")
    expect(desk.page.locator(".sample-map-compare")).to_have_value("swipe")
    expect(desk.page.locator(".sample-map-polygons")).to_have_value("outlines")
    expect(desk.page.get_by_label("Curtain between left and right")).to_be_attached()
    desk.page.select_option(".sample-map-compare", "off")
    expect(second.page.get_by_label("Curtain between left and right")).to_have_count(0)
    # the region as it would be, while the slider moves
    desk.tool("grow")
    desk.click((0.45, 0.5))
    desk.saved(1)
    slider = desk.page.locator(".sample-map-tolerance")
    slider.evaluate("one => { one.value = 40; one.dispatchEvent(new Event('input')); }")
    expect(desk.page.locator(".leaflet-overlay-pane path.sample-map-preview")).to_have_count(1)
    expect(desk.message()).to_contain_text("Region of")
    desk.shot("26-preview")
    (still,) = desk.saved(1)
    assert still["properties"]["version"] == 1
    desk.page.keyboard.press("s")
    expect(desk.page.locator(".leaflet-overlay-pane path.sample-map-preview")).to_have_count(0)
