"""The map as the kernel sees it; test_drawing_in_the_browser.py drives it in a real browser."""

import json
import subprocess
import sys
import threading
import time

import geopandas
import numpy as np
import pytest
from shapely.geometry import Point, Polygon, box, mapping

from landcover.errors import InputError
from sample_map import SampleMap
from tests.scenes import write_raster

COLORS = {"water": "#1f78b4", "forest": "#33a02c"}
POND = mapping(box(13.0, 52.0, 13.1, 52.1))
WOOD = mapping(box(14.0, 52.0, 14.1, 52.1))
SECONDS = 20


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's home with a scene in shared/."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JUPYTERHUB_USER", "eve")
    (tmp_path / "shared" / "demo").mkdir(parents=True)
    values = np.arange(3 * 40 * 40, dtype="uint16").reshape(3, 40, 40)
    write_raster(tmp_path / "shared" / "demo" / "scene.tif", values, crs="EPSG:32633")
    return tmp_path


@pytest.fixture
def open_map(home):
    opened = []

    def open_one(legend=COLORS, **more):
        m = SampleMap("shared/demo/scene.tif", legend, **more)
        opened.append(m)
        m.sent = []
        m._panel.send = lambda content, buffers=None: m.sent.append(content)
        return m

    yield open_one
    for sample_map in opened:
        sample_map.close()


def ask(sample_map, verb, **content):
    """Ask as a browser does; return the reply, for which some questions need their time."""
    begun = len(sample_map.sent)
    message = {"verb": verb, "view": "tab", "request": 1, **content}
    sample_map._on_message(None, message, [])
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for told in sample_map.sent[begun:]:
            if told["kind"] == "reply":
                return told
    raise AssertionError(f"no reply to {verb}")


def draw(sample_map, geometry=POND, class_name="water"):
    content = {"class": class_name, "geometry": geometry, "image": sample_map.scene}
    return ask(sample_map, "draw", **content)


def saved(home, count, name="demo-scene"):
    """Return the features of the file once it holds so many."""
    path, deadline = home / "samples" / f"{name}.geojson", time.monotonic() + SECONDS
    found = []
    while time.monotonic() < deadline:
        found = json.loads(path.read_text())["features"] if path.exists() else []
        if len(found) == count:
            return found
    raise AssertionError(found)


def test_drawn_sample_is_told_and_folded_into_the_file_by_itself(open_map, home):
    m = open_map()
    began = time.monotonic()
    reply = draw(m, WOOD, "forest")
    assert reply["kind"] == "reply"
    assert reply["trouble"] == ""
    news = m.sent[-2]
    assert (news["kind"], news["counts"]) == ("news", {"forest": 1})
    assert news["areas"]["forest"] == pytest.approx(76.3e6, rel=0.01)
    (feature,) = saved(home, 1)
    assert time.monotonic() - began < 5
    assert feature["id"] == reply["selected"]
    assert feature["properties"] == {
        "id": reply["selected"],
        "class": "forest",
        "author": "eve",
        "image": "shared/demo/scene.tif",
        "drawn": feature["properties"]["drawn"],
        "version": 1,
    }


def test_last_stroke_is_in_the_file_before_an_operation_reads_it(open_map, home):
    m = open_map()
    draw(m)
    name = ask(m, "fold")["file"]
    assert name == "home/samples/demo-scene.geojson"
    (found,) = json.loads((home / name.removeprefix("home/")).read_text())["features"]
    assert found["properties"]["class"] == "water"


def test_samples_are_a_table(open_map):
    m = open_map()
    draw(m)
    draw(m, WOOD, "forest")
    assert m.samples["class"].tolist() == ["water", "forest"]
    assert m.samples.crs == "EPSG:4326"


def test_browser_that_opens_the_map_gets_all(open_map):
    m = open_map()
    draw(m)
    layers = ask(m, "open")["layers"]
    assert [layer["name"] for layer in layers] == ["shared/demo/scene.tif"]
    assert m.sent[-2]["kind"] == "samples"
    assert [c["name"] for c in m.sent[-2]["legend"]] == ["water", "forest"]


def test_two_open_maps_of_one_file_lose_nothing(open_map, home):
    first, second = open_map(), open_map()
    draw(first)
    draw(second, WOOD)
    assert {f["properties"]["class"] for f in saved(home, 2)} == {"water"}


def test_map_that_is_closed_has_folded_all(open_map, home):
    m = open_map()
    draw(m)
    m.close()
    assert len(saved(home, 1)) == 1
    assert list((home / "samples").glob(".*.journal")) == []


def test_kernel_that_ends_has_folded_all(home):
    code = (
        "import sys; from sample_map import SampleMap\n"
        f"m = SampleMap('shared/demo/scene.tif', {COLORS!r})\n"
        f"m._drawing.draw('water', {POND!r}, m.scene)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(saved(home, 1)) == 1


def test_error_is_one_sentence_to_who_asked(open_map):
    m = open_map()
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 1], [0, 0]]]}
    reply = draw(m, bow_tie)
    assert reply["error"] == "the outline crosses itself, draw it without crossing"
    assert len(m.samples) == 0


@pytest.mark.parametrize("content", [{}, {"geometry": 5}, {"class": "water", "geometry": {}}])
def test_message_that_makes_no_sense_harms_nothing(open_map, content):
    m = open_map()
    assert ask(m, "draw", **content)["error"]
    assert "error" not in ask(m, "ping")


def test_failed_save_is_said_in_every_answer(open_map, home):
    m = open_map()
    (home / "samples").rename(home / "away")
    assert draw(m)["trouble"] == "the folder of the samples cannot be reached"
    assert ask(m, "ping")["trouble"]
    (home / "away").rename(home / "samples")
    assert len(saved(home, 1)) == 1
    assert ask(m, "ping")["trouble"] == ""


def test_samples_from_a_table_are_added_in_degrees(open_map):
    m = open_map()
    frame = geopandas.GeoDataFrame(
        {"kind": ["water", "forest"]},
        geometry=[Point(330000, 5820000), box(330000, 5820000, 331000, 5821000)],
        crs="EPSG:32633",
    )
    m.add(frame, class_field="kind", author="OpenStreetMap")
    assert sorted(m.samples["class"]) == ["forest", "water"]
    assert set(m.samples["author"]) == {"OpenStreetMap"}
    assert 12 < m.samples.geometry[0].centroid.x < 13
    with pytest.raises(InputError, match="need a column class and a CRS"):
        m.add(frame)


@pytest.mark.parametrize(
    ("classes", "shapes", "sentence"),
    [
        (["water", "forest"], [Point(1, 1), None], "feature 2 has no geometry"),
        (["water", "lake"], [Point(1, 1), Point(2, 2)], "no class lake in the legend, add it"),
        (
            ["water", "forest"],
            [Point(1, 1), Polygon([(0, 0), (2, 2), (2, 0), (0, 1)])],
            "feature 2: the outline crosses itself",
        ),
    ],
)
def test_of_a_table_with_a_fault_nothing_is_added(open_map, classes, shapes, sentence):
    m = open_map()
    frame = geopandas.GeoDataFrame({"class": classes}, geometry=shapes, crs="EPSG:4326")
    with pytest.raises(InputError, match=sentence):
        m.add(frame)
    assert not len(m.samples)


def test_blanks_around_a_class_of_a_table_do_not_count(open_map):
    m = open_map()
    frame = geopandas.GeoDataFrame({"class": ["water "]}, geometry=[Point(1, 1)], crs="EPSG:4326")
    m.add(frame)
    assert list(m.samples["class"]) == ["water"]


def test_reference_points_wait_for_their_class_with_their_seals(open_map, home, caplog):
    m = open_map()
    points = geopandas.GeoDataFrame(
        {"id": [1, 2], "class": [None, "water"], "map": ["ab", "ab"], "stratum": ["s1", "s2"]},
        geometry=[Point(13, 52), Point(14, 52)],
        crs="EPSG:4326",
    )
    m.add(points)
    assert "1 of 2 samples have no class yet" in caplog.text
    assert list(m.samples["class"]) == ["", "water"]
    assert list(m.samples["stratum"]) == ["s1", "s2"]
    first, _ = saved(home, 2)
    assert (first["properties"]["map"], first["properties"]["source_id"]) == ("ab", 1)
    reply = ask(m, "reclass", id=first["id"], version=1, **{"class": "forest"})
    assert "error" not in reply
    assert list(m.samples["stratum"]) == ["s1", "s2"]
    ask(m, "undo")
    ask(m, "undo")  # what was added at once goes at once
    assert not len(m.samples)


def test_map_without_a_legend_begins_with_an_empty_one(open_map, home):
    m = open_map(legend=None)
    assert m.legend.classes == ()
    assert "no class water" in draw(m)["error"]
    assert ask(m, "add_class", name="water")["class"] == "water"
    draw(m)
    assert saved(home, 1)[0]["properties"]["class"] == "water"


def test_empty_legend_takes_over_the_classes_of_a_table(open_map):
    m = open_map(legend=None)
    shapes = [Point(13, 52), Point(14, 52), Point(15, 52)]
    frame = geopandas.GeoDataFrame(
        {"class": ["town", "lake", "town"]}, geometry=shapes, crs="EPSG:4326"
    )
    m.add(frame)
    assert m.legend.names == ("lake", "town")
    m.close()
    assert open_map(legend=None).legend.names == ("lake", "town")


def test_legend_is_taken_from_samples_drawn_before(open_map):
    first = open_map(name="first")
    draw(first)
    first.close()
    assert open_map(legend=None, name="first").legend.names == ("water", "forest")
    other = open_map(legend="home/samples/first.geojson", name="second")
    assert [c.color for c in other.legend.classes] == list(COLORS.values())


def test_legend_is_taken_from_a_map_or_from_names(open_map, home):
    tag = json.dumps([{"code": 7, "name": "ice", "color": "#ffffff"}])
    write_raster(home / "map.tif", np.ones((2, 2), "uint8"), LANDCOVER_LEGEND=tag)
    assert open_map(legend="home/map.tif").legend.codes == (7,)
    named = open_map(legend=["sand", "ice"], name="named").legend
    assert named.names == ("sand", "ice")
    assert len({c.color for c in named.classes}) == 2


@pytest.mark.parametrize(
    ("legend", "words"),
    [({}, "at least one class"), ("home/plain.json", "needs a list of classes")],
)
def test_legend_that_is_none_is_said(open_map, home, legend, words):
    (home / "plain.json").write_text("{}")
    with pytest.raises(InputError, match=words):
        open_map(legend=legend)


def test_broken_file_is_said_and_left_as_it_is(open_map, home):
    (home / "samples").mkdir()
    (home / "samples" / "demo-scene.geojson").write_text("no samples")
    with pytest.raises(InputError, match="holds no samples"):
        open_map()
    assert (home / "samples" / "demo-scene.geojson").read_text() == "no samples"


@pytest.mark.parametrize("scene", ["shared/nowhere/scene.tif", "/etc/passwd", "home/../x.tif"])
def test_scene_that_is_not_there_is_said(home, scene):
    with pytest.raises(InputError):
        SampleMap(scene, COLORS)


def test_path_below_the_home_directory_is_a_name_too(home):
    m = SampleMap(str(home / "shared" / "demo" / "scene.tif"), COLORS)
    assert m.scene == "shared/demo/scene.tif"
    m.close()


def test_nothing_comes_from_the_internet(open_map):
    m = open_map()
    assert m.children[0].layers == ()
    assert [layer.kind for layer in m.layers] == ["scene"]


def lay_map(home):
    """Put a map with its confidence into the home."""
    (home / "work").mkdir()
    tag = json.dumps([{"code": 1, "name": "water", "color": "#1f78b4"}])
    codes, percent = np.ones((4, 4), "uint8"), np.full((4, 4), 80, "uint8")
    write_raster(home / "work" / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=tag)
    write_raster(home / "work" / "confidence.tif", percent, names=["confidence in percent"])


def test_map_and_its_confidence_are_laid_on_top(open_map, home):
    lay_map(home)
    m = open_map()
    m.add_layer("home/work/map.tif", title="mine")
    assert [layer.kind for layer in m.layers] == ["unknown", "confidence", "map", "scene"]
    assert [layer.shown for layer in m.layers] == [False, False, True, True]
    assert m.layers[2].title == "mine"
    told = m.sent[-1]
    assert (told["kind"], len(told["layers"]), told["scene"]) == ("layers", 4, m.scene)
    m.remove_layer("mine")
    assert [layer.kind for layer in m.layers] == ["scene"]
    with pytest.raises(InputError, match=r"no layer home/x\.tif, there are shared/demo"):
        m.remove_layer("home/x.tif")


def test_layer_is_changed_moved_removed_and_brought_back_by_the_panel(open_map, home):
    lay_map(home)
    m = open_map()
    assert "error" not in ask(m, "add_layer", name="home/work/map.tif")
    key = m.layers[2].key
    ask(m, "change_layer", key=key, changes={"opacity": 0.5})
    assert m.layers[2].opacity == 0.5
    ask(m, "move_layer", key=key, place=0)
    assert m.layers[0].key == key
    assert ask(m, "remove_layer", key=key)["removed"] == "work/map.tif"
    assert ask(m, "restore_layer")["removed"] is None
    assert m.layers[0].key == key
    assert "removed meanwhile" in ask(m, "remove_layer", key="layer77")["error"]
    assert "did not understand" in ask(m, "change_layer", key=key)["error"]


def test_background_lies_below_all_with_who_made_it(open_map):
    m = open_map(basemap="https://a/{z}/{x}/{y}.png")
    m.add_background("roads", "https://b/wms", "the makers", wms="roads")
    assert [layer.kind for layer in m.layers] == ["scene", "background", "background"]
    assert (m.layers[1].wms, m.layers[1].attribution) == ("roads", "the makers")
    with pytest.raises(InputError, match="https"):
        m.add_background("roads", "file:///etc/passwd")


def test_removed_layer_is_a_step_among_the_strokes(open_map, home):
    lay_map(home)
    m = open_map()
    ask(m, "add_layer", name="home/work/map.tif")
    draw(m)
    key = m.layers[2].key
    ask(m, "remove_layer", key=key)
    assert m.sent[-3]["kind"] == "news"
    assert m.sent[-3]["undo"] == 2
    draw(m, WOOD, "forest")
    ask(m, "undo")
    assert len(m.samples) == 1
    assert len(m.layers) == 3
    assert ask(m, "undo")["selected"] is None
    assert m.layers[2].key == key
    assert len(m.samples) == 1
    ask(m, "redo")
    assert len(m.layers) == 3
    assert "error" not in ask(m, "restore_layer")  # the same step, by the button
    assert m.layers[2].key == key
    ask(m, "undo")
    assert len(m.samples) == 0
    assert ask(m, "restore_layer")["error"] == "no layer was removed"


def test_what_takes_long_is_answered_while_others_are_answered(open_map, home, monkeypatch):
    m = open_map()
    begun, ended = threading.Event(), threading.Event()

    def print_slowly(sheet, path):
        begun.set()
        assert ended.wait(SECONDS)
        path.write_bytes(b"")

    monkeypatch.setattr("sample_map.widget.print_sheet", print_slowly)
    asked = {"name": "home/a.png", "title": "", "samples": True, "language": "en"}
    question = {"verb": "print", "view": "tab", "request": 7, "bounds": [1, 1, 2, 2], **asked}
    m._on_message(None, question, [])
    assert begun.wait(SECONDS)
    assert "error" not in draw(m)
    assert len(m.samples) == 1
    ended.set()
    ask(m, "fold")  # in its turn
    assert [told["name"] for told in m.sent if told.get("request") == 7] == ["home/a.png"]


@pytest.mark.parametrize("changes", [{"compare": "both"}, {"polygons": 3}, {"scene": "x"}])
def test_view_is_shared_and_one_that_is_not_is_refused(open_map, changes):
    m = open_map()
    told = ask(m, "change_view", changes={"compare": "swipe", "left": m.layers[0].key})
    assert told["view"]["compare"] == "swipe"
    assert m.sent[-2]["view"]["left"] == m.layers[0].key
    assert "cannot be looked at" in ask(m, "change_view", changes=changes)["error"]
    assert ask(m, "open")["view"]["compare"] == "swipe"


def test_region_is_previewed_and_nothing_kept(open_map):
    m = open_map()
    south, west, north, east = m.layers[0].bounds
    place = {"longitude": (west + east) / 2, "latitude": (south + north) / 2, "image": m.scene}
    small, large = (ask(m, "preview", tolerance=t, **place) for t in (0.001, 2.0))
    assert small["region"]["pixels"] < large["region"]["pixels"] == 1600
    assert large["geometry"]["type"] == "Polygon"
    assert len(m.samples) == 0


def test_import_of_the_package_loads_no_widgets():
    code = "import sys, sample_map; sys.exit('ipyleaflet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
