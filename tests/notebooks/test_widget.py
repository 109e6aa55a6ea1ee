"""The map as the kernel sees it; a real browser drives it in tests/test_browser.py."""

import json
import subprocess
import sys

import numpy as np
import pytest

from landcover.errors import InputError
from sample_map import SampleMap
from sample_map.widget import LegendPanel
from tests.scenes import write_raster

COLORS = {"water": "#1f78b4", "forest": "#33a02c"}
POND = {
    "type": "Polygon",
    "coordinates": [[[13.0, 52.0], [13.1, 52.0], [13.1, 52.1], [13.0, 52.0]]],
}
WOOD = {
    "type": "Polygon",
    "coordinates": [[[14.0, 52.0], [14.1, 52.0], [14.1, 52.1], [14.0, 52.0]]],
}


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
    return lambda **more: SampleMap("shared/demo/scene.tif", COLORS, **more)


def draw(sample_map, *geometries):
    """Report shapes as the drawing tools do: what is there, then the new ones without an id."""
    fresh = [{"type": "Feature", "geometry": g, "properties": {}} for g in geometries]
    sample_map._tools.data = [*sample_map._tools.data, *fresh]


def choose(sample_map, name):
    sample_map._panel._buttons[name].click()


def saved(home, name="demo-scene"):
    return json.loads((home / "samples" / f"{name}.geojson").read_text())["features"]


def texts(sample_map):
    return [button.description for button in sample_map._panel._buttons.values()]


def test_drawn_sample_gets_the_active_class_and_is_saved_at_once(open_map, home):
    m = open_map()
    choose(m, "forest")
    draw(m, WOOD)
    (feature,) = saved(home)
    assert feature["geometry"] == WOOD
    assert feature["properties"]["class"] == "forest"
    assert feature["properties"]["author"] == "eve"
    assert feature["properties"]["image"] == "shared/demo/scene.tif"


def test_samples_are_a_table(open_map):
    m = open_map()
    draw(m, POND)
    choose(m, "forest")
    draw(m, WOOD)
    assert m.samples["class"].tolist() == ["water", "forest"]
    assert m.samples.crs == "EPSG:4326"


def test_drawing_tools_learn_id_and_colour_of_a_new_sample(open_map):
    m = open_map()
    choose(m, "forest")
    draw(m, WOOD)
    (layer,) = m._tools.data
    assert layer["properties"]["id"] == m.samples["id"][0]
    assert layer["properties"]["style"]["color"] == "#33a02c"


def test_edit_and_delete_are_saved(open_map, home):
    m = open_map()
    draw(m, POND)
    draw(m, WOOD)
    pond, wood = m._tools.data
    m._tools.data = [{**pond, "geometry": WOOD}, wood]
    assert [f["geometry"] for f in saved(home)] == [WOOD, WOOD]
    m._tools.data = [wood]
    assert [f["id"] for f in saved(home)] == [wood["properties"]["id"]]
    m._tools.data = []
    assert saved(home) == []


def test_samples_are_there_when_the_map_is_opened_anew(open_map):
    first = open_map()
    draw(first, POND)
    second = open_map()
    assert second.samples.equals(first.samples)
    assert [f["geometry"] for f in second._tools.data] == [POND]
    assert texts(second) == ["water (1)", "forest (0)"]


def test_two_open_maps_of_one_file_lose_nothing(open_map, home):
    first, second = open_map(), open_map()
    draw(first, POND)
    draw(second, WOOD)
    assert [f["geometry"] for f in saved(home)] == [POND, WOOD]


def test_legend_counts_the_samples_of_each_class(open_map):
    m = open_map()
    assert texts(m) == ["water (0)", "forest (0)"]
    draw(m, POND)
    draw(m, WOOD)
    assert texts(m) == ["water (2)", "forest (0)"]


def test_choice_of_a_class_colours_the_tools(open_map):
    m = open_map()
    choose(m, "forest")
    for tool in (m._tools.polygon, m._tools.rectangle, m._tools.circlemarker):
        assert tool["pathOptions"]["color"] == "#33a02c"


def test_sample_of_a_class_that_the_legend_lacks_is_kept_and_grey(open_map, home):
    draw(open_map(), POND)
    other = SampleMap("shared/demo/scene.tif", {"forest": "#33a02c"})
    assert other._tools.data[0]["properties"]["style"]["color"] == "#777777"
    draw(other, WOOD)
    assert [f["properties"]["class"] for f in saved(home)] == ["water", "forest"]


def test_point_is_shown_as_a_circle(open_map):
    m = open_map()
    draw(m, {"type": "Point", "coordinates": [13.0, 52.0]})
    assert m._tools.data[0]["properties"]["type"] == "circlemarker"


def test_name_chooses_the_file(open_map, home):
    m = open_map(name="lakes")
    draw(m, POND)
    assert m.file == "home/samples/lakes.geojson"
    assert len(saved(home, "lakes")) == 1


def test_map_needs_no_internet(open_map):
    (layer,) = open_map().children[0].layers[:1]
    assert layer.url.startswith("data:image/png;base64,")
    assert not any(hasattr(other, "max_native_zoom") for other in open_map().children[0].layers)


def test_failed_save_is_said_beside_the_map(open_map, home):
    m = open_map()
    (home / "samples").write_text("a file in the way")
    draw(m, POND)
    assert "NOT SAVED in home/samples/demo-scene.geojson" in m._panel._message.value


def test_broken_file_is_said_and_left_as_it_is(open_map, home):
    (home / "samples").mkdir()
    (home / "samples" / "demo-scene.geojson").write_text("no samples")
    with pytest.raises(InputError, match="holds no samples"):
        open_map()
    assert (home / "samples" / "demo-scene.geojson").read_text() == "no samples"


def test_missing_scene_is_said_in_a_sentence(home):
    with pytest.raises(InputError, match=r"there is no file scene.tif"):
        SampleMap("shared/nowhere/scene.tif", COLORS)


def test_legend_needs_a_class(home):
    with pytest.raises(InputError, match="at least one class"):
        SampleMap("shared/demo/scene.tif", {})


def test_text_in_the_legend_stays_text(home):
    m = SampleMap("shared/demo/scene.tif", {"<b>x</b>": "#1f78b4"}, name="<img src=x>")
    assert isinstance(m._panel, LegendPanel)
    assert "<img" not in m._panel._message.value


def test_import_of_the_package_loads_no_widgets():
    code = "import sys, sample_map; sys.exit('ipyleaflet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
