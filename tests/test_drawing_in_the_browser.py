"""People draw samples: by mouse and keys, in two tabs, two at a time, with kernels killed.

The screenshots are kept in test-artifacts/: look at them.
"""

import fcntl
import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from shapely.geometry import shape

from tests.browser import (
    chromium,
    run_all_cells,
    wait_for_idle_kernel,
)
from tests.conftest import Geoportal
from tests.desk import desks, write_lakes

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]


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


def ring(feature: dict) -> list:
    return feature["geometry"]["coordinates"][0]


def has_hole(feature: dict) -> bool:
    return feature["geometry"]["type"] == "Polygon" and len(feature["geometry"]["coordinates"]) > 1


def area(feature: dict) -> float:
    return shape(feature["geometry"]).area


def test_person_draws_changes_and_undoes(desk_for) -> None:
    desk = desk_for("strokes")
    desk.shot("1-opened")

    desk.legend("water").click()
    desk.tool("polygon")
    desk.click((0.3, 0.2), (0.45, 0.2), (0.45, 0.35), (0.3, 0.35), (0.3, 0.2))
    desk.expect_count("water", 1)
    (pond,) = desk.saved(1)
    assert pond["properties"]["class"] == "water"
    assert pond["properties"]["author"] == "demo"
    assert pond["properties"]["image"] == "shared/lakes.tif"
    assert len(ring(pond)) == 5
    desk.shot("2-polygon")

    desk.page.keyboard.press("2")  # the map has the keys since it was clicked
    expect(desk.legend("forest")).to_have_attribute("aria-pressed", "true")
    desk.page.keyboard.press("r")
    desk.click((0.6, 0.2), (0.7, 0.3))
    desk.page.keyboard.press("3")
    desk.page.keyboard.press("o")
    desk.click((0.2, 0.8))
    for name in ("water", "forest", "farm"):
        desk.expect_count(name, 1)
    expect(desk.page.locator(".sample-map-balance")).to_contain_text("water has")
    classes = [f["properties"]["class"] for f in desk.saved(3)]
    assert classes == ["water", "forest", "farm"]

    desk.page.keyboard.press("s")
    desk.click((0.35, 0.25))
    expect(desk.page.locator(".sample-map-selected")).to_contain_text("water")
    desk.page.keyboard.press("e")
    desk.drag((0.3, 0.2), (0.25, 0.15))
    (edited, *_) = desk.folded(lambda found: found[0]["properties"]["version"] == 2)
    desk.expect_version(2)
    assert edited["id"] == pond["id"]
    assert area(edited) > area(pond)
    desk.shot("3-edited")

    desk.tool("move")
    desk.drag((0.4, 0.3), (0.4, 0.4))
    (moved, *_) = desk.folded(lambda found: found[0]["properties"]["version"] == 3)
    desk.expect_version(3)
    assert area(moved) == pytest.approx(area(edited), rel=0.01)
    assert shape(moved["geometry"]).centroid.y < shape(edited["geometry"]).centroid.y

    desk.page.keyboard.press("s")
    desk.page.keyboard.press("c")
    expect(desk.message()).to_contain_text("Choose the class that this sample gets")
    desk.page.keyboard.press("2")
    (reclassed, *_) = desk.folded(lambda found: found[0]["properties"]["version"] == 4)
    assert reclassed["properties"]["class"] == "forest"
    expect(desk.message()).to_contain_text("The sample was water and is forest now. Undo")
    desk.expect_version(4)

    desk.tool("split")
    desk.click((0.2, 0.36))
    desk.page.mouse.dblclick(*desk.at(0.55, 0.36))
    pieces = [f for f in desk.saved(4) if f["properties"]["class"] == "forest"]
    assert len(pieces) == 3
    assert area(pieces[0]) + area(pieces[-1]) == pytest.approx(area(moved))
    desk.shot("4-split")

    desk.tool("cut")
    desk.click((0.36, 0.29), (0.40, 0.29), (0.40, 0.33), (0.36, 0.33), (0.36, 0.29))
    desk.folded(lambda found: any(map(has_hole, found)))
    desk.shot("5-hole")

    desk.page.keyboard.press("Delete")
    desk.saved(3)
    desk.page.keyboard.press("Control+z")  # the deletion
    assert any(map(has_hole, desk.saved(4)))
    desk.page.keyboard.press("Control+z")  # the hole
    whole = desk.folded(lambda found: not any(map(has_hole, found)))
    assert not any(map(has_hole, whole))
    desk.page.keyboard.press("Control+z")  # the split
    desk.saved(3)
    desk.page.keyboard.press("Control+z")  # the class
    found = desk.folded(lambda found: "water" in {f["properties"]["class"] for f in found})
    (again,) = (f for f in found if f["id"] == pond["id"])
    assert again["geometry"] == moved["geometry"]
    desk.page.keyboard.press("Control+y")
    desk.folded(lambda found: "water" not in {f["properties"]["class"] for f in found})

    # whatever came after, one sample is taken back by itself
    desk.tool("select")
    desk.click((0.65, 0.25))
    expect(desk.page.locator(".sample-map-selected")).to_contain_text("forest")
    desk.page.click(".sample-map-own-undo")
    desk.saved(2)
    desk.shot("6-undone")


def test_classes_are_edited_and_their_samples_follow(desk_for) -> None:
    desk = desk_for("classes")
    desk.legend("forest").click()
    desk.rectangle((0.6, 0.2), (0.7, 0.3))
    desk.expect_count("forest", 1)
    page = desk.page
    page.locator(".sample-map-part-classes summary").click()
    row = page.locator('.sample-map-classes-row[data-class-name="forest"]')
    row.get_by_label("Name").fill("taiga")
    row.get_by_label("Name").press("Enter")
    desk.expect_count("taiga", 1)
    expect(desk.message()).to_contain_text("1 samples went along")
    page.get_by_label("Up: taiga", exact=True).click()
    first = page.locator(".sample-map-class").first
    expect(first).to_have_attribute("data-class-name", "taiga")
    page.get_by_label("Merge into: taiga").select_option("farm")
    desk.expect_count("farm", 1)
    expect(desk.legend("taiga")).to_have_count(0)
    page.get_by_label("home/legend.csv, .json or .qml").fill("home/classes.qml")
    page.click(".sample-map-export")
    expect(desk.message()).to_have_text("Saved as home/classes.qml")
    desk.shot("classes")
    desk.tool("select")
    desk.click((0.1, 0.9))
    for _ in range(3):
        page.keyboard.press("Control+z")
    desk.expect_count("forest", 1)
    rows = page.locator(".sample-map-class")
    expect(rows.locator(".sample-map-name")).to_have_text(["water", "forest", "farm"])
    assert (desk.home / "classes.qml").read_text().count("paletteEntry") == 2
    page.get_by_label("Delete with its samples: farm").click()
    expect(desk.legend("farm")).to_have_count(0)
    page.click(".sample-map-import")
    expect(desk.legend("farm")).to_be_visible()


def test_class_goes_to_no_sample_that_was_not_selected_to_be_changed(desk_for) -> None:
    desk = desk_for("safe")
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.saved(1)
    chosen = desk.page.locator(".sample-map-selected")
    for ways_in in ((), ("s",)):  # as it was drawn, and with another tool
        for key in ways_in:
            desk.page.keyboard.press(key)
        desk.legend("farm").click()
        expect(desk.legend("farm")).to_have_attribute("aria-pressed", "true")
    desk.tool("select")
    desk.click((0.35, 0.35))  # to look at it
    expect(chosen).to_contain_text("water")
    desk.legend("forest").click()
    desk.page.keyboard.press("c")
    expect(chosen).to_have_attribute("data-changing", "true")
    desk.shot("15-changing")
    desk.page.keyboard.press("Escape")
    expect(chosen).to_be_hidden()
    desk.legend("farm").click()
    desk.click((0.35, 0.35))
    desk.page.click(".sample-map-change")
    desk.click((0.1, 0.1))  # nothing is there
    expect(chosen).to_be_hidden()
    desk.page.keyboard.press("2")
    desk.rectangle((0.5, 0.3), (0.6, 0.4))
    first, second = desk.saved(2)
    assert (first["properties"]["class"], first["properties"]["version"]) == ("water", 1)
    assert second["properties"]["class"] == "forest"


@pytest.mark.parametrize(
    ("work", "answers"),
    [
        ("import fcntl; fcntl.flock(open('{}'), fcntl.LOCK_EX)", True),
        # often before its own "busy" is sent: then only the page knows that a cell was started
        ("import ctypes; f = open('{}'); ctypes.PyDLL(None).flock(f.fileno(), 2)", False),
    ],
    ids=["while others may run", "alone"],
)
def test_kernel_that_works_is_no_lost_kernel(desk_for, work: str, answers: bool) -> None:
    """The work lasts until a lock is free, with Python's own lock held or not."""
    desk = desk_for(f"busy-{answers}")
    held = (desk.home / f"held-{answers}").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    seen = desk.page.evaluate_handle(
        """() => {
            const seen = new Set();
            const state = document.querySelector(".sample-map-state");
            new MutationObserver(() => seen.add(state.textContent)).observe(
                state, { childList: true });
            return seen;
        }"""
    )
    desk.page.locator(".jp-Cell").last.locator(".cm-content").click()
    desk.page.keyboard.press("Control+a")
    desk.page.keyboard.insert_text(work.format(held.name))  # without the editor's help
    desk.page.keyboard.press("Control+Enter")
    expect(desk.page.locator(".jp-InputPrompt", has_text="[*]")).to_be_visible()
    if answers:
        desk.rectangle((0.3, 0.3), (0.4, 0.4))
        desk.expect_count("water", 1)
        expect(desk.page.locator(".jp-InputPrompt", has_text="[*]")).to_be_visible()
        expect(desk.state).to_contain_text("Saved in")
    else:
        expect(desk.state).to_contain_text("The kernel is busy. What you draw now is saved")
        desk.rectangle((0.3, 0.3), (0.4, 0.4))
        expect(desk.state).to_contain_text("Strokes not saved: 1")
        desk.shot("16-busy")
    held.close()
    expect(desk.state).to_contain_text("Saved in")
    desk.saved(1)
    said = " ".join(desk.page.evaluate("seen => [...seen]", seen))
    assert "NOT SAVED" not in said
    assert ("busy" in said) != answers


def test_kernel_that_is_killed_at_work_is_a_lost_one(desk_for) -> None:
    """Its cell waits for ever, and so does the next kernel know nothing of the map."""
    desk = desk_for("killed-at-work")
    desk.page.locator(".jp-Cell").last.locator(".cm-content").click()
    desk.page.keyboard.insert_text("import signal; signal.pause()")
    desk.page.keyboard.press("Control+Enter")
    expect(desk.page.locator(".jp-InputPrompt", has_text="[*]")).to_be_visible()
    desk.kernels()[-1].kill()
    expect(desk.state).to_contain_text("NOT SAVED")
    desk.page.click(".jp-Dialog button.jp-mod-accept")
    wait_for_idle_kernel(desk.page)
    expect(desk.state).to_contain_text("NOT SAVED: the kernel does not answer")


def test_reload_shows_what_was_drawn(desk_for) -> None:
    desk = desk_for("reload")
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.expect_count("water", 1)
    desk.save()
    desk.page.reload()
    desk.wait()
    desk.expect_count("water", 1)
    expect(desk.page.locator(".sample-map-shapes")).to_have_attribute("data-drawn", "1")
    desk.rectangle((0.5, 0.3), (0.6, 0.4))
    desk.saved(2)
    notebook = (desk.home / desk.book).read_text()
    assert "image/png" not in notebook  # the scene comes as tiles, not inside the notebook
    assert len(notebook) < 400_000


def test_killed_kernel_is_said_and_loses_nothing(desk_for) -> None:
    desk = desk_for("killed")
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.expect_count("water", 1)
    desk.kernels()[-1].kill()  # before the journal is folded
    killed = time.monotonic()
    expect(desk.state).to_contain_text("NOT SAVED", timeout=5000)
    took = time.monotonic() - killed
    desk.shot("7-kernel-killed")
    assert took < 2.0 + 0.3  # the browser is asked every 100 ms
    desk.page.click(".jp-Dialog button.jp-mod-accept")  # Lab says that it starts another kernel
    wait_for_idle_kernel(desk.page)
    run_all_cells(desk.page)
    desk.wait()
    desk.expect_count("water", 1)
    assert len(desk.saved(1)) == 1


def test_storage_that_goes_away_is_said_and_loses_nothing(desk_for) -> None:
    desk = desk_for("unplugged")
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.saved(1)
    folder = desk.file.parent
    folder.rename(folder.with_name("away"))
    gone = time.monotonic()
    expect(desk.state).to_contain_text("NOT SAVED", timeout=5000)
    assert time.monotonic() - gone < 2.0 + 0.3
    desk.rectangle((0.5, 0.3), (0.6, 0.4))
    desk.expect_count("water", 2)
    desk.shot("8-storage-gone")
    folder.with_name("away").rename(folder)
    expect(desk.state).to_contain_text("Saved in")
    desk.saved(2)


def test_two_tabs_show_the_same(desk_for) -> None:
    desk = desk_for("tabs")
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.saved(1)
    desk.save()
    second = desk.second_tab()
    second.expect_count("water", 1)
    second.legend("forest").click()
    second.rectangle((0.5, 0.3), (0.6, 0.4))
    desk.expect_count("forest", 1)
    desk.rectangle((0.5, 0.5), (0.6, 0.6))
    second.expect_count("water", 2)
    assert len({f["id"] for f in desk.saved(3)}) == 3
    second.shot("9-second-tab")


def test_two_people_draw_in_one_file_and_see_what_they_both_changed(desk_for) -> None:
    demo, bob = desk_for("team/ice/floes"), desk_for("team/ice/floes", user="bob")
    demo.rectangle((0.3, 0.3), (0.45, 0.45))
    bob.expect_count("water", 1)
    bob.legend("forest").click()
    bob.rectangle((0.6, 0.6), (0.7, 0.7))
    demo.expect_count("forest", 1)
    authors = {f["properties"]["author"] for f in demo.saved(2)}
    assert authors == {"demo", "bob"}
    for desk in (demo, bob):
        desk.tool("select")
        desk.click((0.35, 0.35))
        expect(desk.page.locator(".sample-map-selected")).to_contain_text("by demo")
    demo.page.keyboard.press("c")
    bob.page.keyboard.press("c")
    demo.page.keyboard.press("2")
    bob.page.keyboard.press("3")  # before either is folded into the file
    expect(demo.page.locator(".sample-map-conflict")).to_contain_text("at the same time")
    expect(bob.page.locator(".sample-map-conflict")).to_contain_text("at the same time")
    bob.shot("10-conflict")
    classes = sorted(f["properties"]["class"] for f in demo.saved(3))
    assert classes == ["farm", "forest", "forest"]
    bob.page.get_by_role("button", name="Keep both").click()
    expect(demo.page.locator(".sample-map-conflict")).to_have_count(0)
    expect(bob.page.locator(".sample-map-conflict")).to_have_count(0)


def test_region_grows_at_a_click_and_with_the_tolerance(desk_for) -> None:
    desk = desk_for("regions")
    desk.tool("grow")
    desk.click((0.45, 0.5))
    expect(desk.message()).to_contain_text("pixels")
    (lake,) = desk.saved(1)
    assert len(lake["geometry"]["coordinates"]) >= 2  # the island
    (metres,) = (desk.legend("water").locator(".sample-map-area").inner_text(),)
    assert metres.endswith("ha")
    assert 90 < float(metres.split()[0]) <= 96.5  # 100² - 20² pixels of 100 m²
    desk.shot("11-region")
    slider = desk.page.locator(".sample-map-tolerance")
    slider.focus()
    slider.press("End")
    (wide,) = desk.folded(lambda found: found[0]["properties"]["version"] > 1)
    assert wide["id"] == lake["id"]
    assert area(wide) >= area(lake)
    desk.page.keyboard.press("Control+z")
    (again,) = desk.folded(lambda found: found[0]["properties"]["version"] > 2)
    assert again["geometry"] == lake["geometry"]
    desk.click((0.05, 0.9))
    expect(desk.message()).to_contain_text("outside the scene")


def test_panel_shows_spectra_scenes_and_samples_in_two_languages(desk_for) -> None:
    desk = desk_for("looking")
    desk.rectangle((0.44, 0.44), (0.48, 0.48))
    desk.legend("forest").click()
    desk.rectangle((0.3, 0.3), (0.35, 0.35))
    desk.saved(2)
    desk.tab("inspect")
    # not by a click, which a page that is still being laid out may lose
    desk.page.locator(".sample-map-part-spectra").evaluate("part => { part.open = true; }")
    expect(desk.page.locator(".sample-map-spectrum")).to_have_count(2)
    desk.tab("samples")
    rows = desk.page.locator(".sample-map-page-samples .sample-map-listed")
    expect(rows).to_have_count(2)
    rows.nth(1).click()
    expect(desk.page.locator(".sample-map-selected")).to_contain_text("water")
    desk.tab("layers")
    desk.layer("scene").locator(".sample-map-layer-name").click()
    first = desk.page.locator(".sample-map-tile img").first
    red = desk.page.get_by_label("Red", exact=True)
    with desk.page.expect_response(lambda r: "bands=3%2C2%2C3" in r.url) as answer:
        red.select_option("3")
    assert answer.value.status == 200
    with desk.page.expect_response(lambda r: "stretch=10%2C90" in r.url) as answer:
        desk.page.get_by_label("Stretch", exact=True).select_option("10,90")
    assert answer.value.headers["content-type"] == "image/png"
    expect(first).to_be_visible()
    form = desk.page.get_by_label("Name of a scene or map")
    form.fill("shared/demo/scene.tif")
    form.press("Enter")
    expect(desk.layer("scene")).to_have_count(2)
    form.fill("home/nowhere.tif")
    form.press("Enter")
    expect(desk.message()).to_contain_text("there is no home/nowhere.tif")
    expect(desk.state).to_contain_text("Saved in")
    desk.shot("12-looking")
    desk.tab("classes")
    desk.page.get_by_role("button", name="Русский").click()
    expect(desk.state).to_contain_text("Сохранено")
    expect(desk.page.locator(".sample-map-tool-polygon")).to_have_text("Полигон")
    desk.shot("13-russian")


def test_background_map_that_cannot_be_reached_is_off(desk_for) -> None:
    desk = desk_for("offline", more='basemap="http://127.0.0.1:9/{z}/{x}/{y}.png",')
    expect(desk.message()).to_contain_text("cannot be reached, so it is off")
    desk.tab("layers")
    expect(desk.layer("background").get_by_role("checkbox")).not_to_be_checked()
    expect(desk.page.locator(".sample-map-tile img").first).to_be_visible()


@pytest.mark.proof
def test_stroke_is_on_the_disk_within_300_ms(desk_for) -> None:
    desk = desk_for("swift")
    desk.tool("point")
    took = []
    for i in range(40):
        # the count changes when the kernel has answered, after the journal was synced
        desk.page.evaluate(
            """() => {
                const shown = () => document.querySelector(".sample-map-count").textContent;
                const before = shown();
                window.saved = new Promise((done) => addEventListener("pointerup", () => {
                    const began = performance.now();
                    const look = () => shown() === before
                        ? setTimeout(look, 1) : done(performance.now() - began);
                    look();
                }, { once: true, capture: true }));
            }"""
        )
        desk.click((0.3 + 0.01 * (i % 20), 0.4 + 0.02 * (i // 20)))
        took.append(desk.page.evaluate("() => window.saved"))
    desk.saved(40)
    assert np.percentile(took, 95) < 300, sorted(took)[-5:]


@pytest.mark.proof
def test_fifty_thousand_samples_stay_usable(desk_for, geoportal: Geoportal) -> None:
    file = geoportal.storage / "users" / "demo" / "samples" / "many.geojson"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(many(50_000)))
    desk = desk_for("many")
    expect(desk.legend("water").locator(".sample-map-count")).to_have_text("25,000")
    began = time.monotonic()
    desk.legend("farm").click()
    desk.rectangle((0.3, 0.3), (0.4, 0.4))
    desk.expect_count("farm", 1)
    assert time.monotonic() - began < 5
    assert desk.page.locator(".leaflet-container svg path").count() < 10
    desk.shot("14-many")
    desk.saved(50_001)


def many(count: int) -> dict:
    """Return small triangles all over the scene."""
    rng = np.random.default_rng(0)
    features = []
    for i, (x, y) in enumerate(rng.uniform((12.50, 52.49), (12.56, 52.52), (count, 2))):
        corners = [[x, y], [x + 0.0002, y], [x, y + 0.0002], [x, y]]
        features.append(
            {
                "type": "Feature",
                "properties": {"id": f"s{i}", "class": ("water", "forest")[i % 2], "version": 1},
                "geometry": {"type": "Polygon", "coordinates": [corners]},
            }
        )
    return {"type": "FeatureCollection", "features": features}
