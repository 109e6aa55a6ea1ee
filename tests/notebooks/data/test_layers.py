"""The layers of a map: what a raster is, their order, and what can be taken back."""

import json

import numpy as np
import pytest

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.layers import Layers, background, layers_of
from tests.scenes import write_raster

LEGEND = Legend.of(["water", "forest"])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "maps").mkdir()
    scene = np.ones((2, 8, 8), "uint16")
    write_raster(tmp_path / "scene.tif", scene, names=("B03", "B04"), DATE="2021-06-14T10:00")
    write_raster(tmp_path / "maps" / "map.tif", np.ones((8, 8), "uint8"), nodata=255,
                 LANDCOVER_LEGEND=LEGEND.to_tag())  # fmt: skip
    return tmp_path


def beside(home, name, bands, count=1):
    values = np.full((count, 8, 8), 50, "uint8")
    write_raster(home / "maps" / name, values, names=bands, nodata=255)


def kinds(layers):
    return [layer.kind for layer in layers]


def test_scene_is_named_by_file_and_date_and_knows_its_wavelengths(home):
    (layer,) = layers_of("home/scene.tif")
    assert (layer.kind, layer.title) == ("scene", "scene.tif · 2021-06-14")
    assert [band.name for band in layer.bands] == ["B03", "B04"]
    assert layer.shown


def test_with_a_map_comes_what_was_written_beside_it_hidden(home):
    beside(home, "confidence.tif", ["confidence in percent"])
    beside(home, "probabilities.tif", LEGEND.names, 2)
    found = layers_of("home/maps/map.tif")
    assert kinds(found) == ["unknown", "confidence", "probabilities", "map"]
    assert [layer.shown for layer in found] == [False, False, False, True]
    assert {layer.title for layer in found} == {"maps/map.tif"}
    assert found[2].colors == (1, 1, 1)


def test_what_check_radiometry_tells_of_pixels_is_no_scene_to_draw_upon(home):
    beside(home, "unknown.tif", ["resemblance in percent"])
    (layer,) = layers_of("home/maps/unknown.tif")
    assert (layer.kind, layer.shown) == ("unknown", True)
    layers = Layers()
    layers.add(layers_of("home/scene.tif"))
    layers.add([layer])
    assert layers.scene() == "home/scene.tif"


def test_file_beside_a_map_that_is_something_else_is_no_layer(home):
    write_raster(home / "maps" / "confidence.tif", np.ones((8, 8), "float32"))
    (home / "maps" / "probabilities.tif").write_text("no raster")
    assert kinds(layers_of("home/maps/map.tif")) == ["map"]


def test_map_is_named_by_the_scene_that_it_was_made_of(home):
    run = {"run": {"files": {"scene": "home/scene.tif"}}}
    (home / "maps" / "run.json").write_text(json.dumps(run))
    (layer,) = layers_of("home/maps/map.tif")
    assert layer.title == "scene.tif · 2021-06-14"
    (home / "maps" / "run.json").write_text('{"run": {"files": {"scene": "../../etc/passwd"}}}')
    assert layers_of("home/maps/map.tif")[0].title == "passwd"


@pytest.mark.parametrize("record", ["no json", "[]", '{"run": 3}', '{"run": {"files": {}}}'])
def test_record_that_says_nothing_names_no_scene(home, record):
    (home / "maps" / "run.json").write_text(record)
    assert layers_of("home/maps/map.tif")[0].title == "maps/map.tif"


@pytest.fixture
def layers(home):
    made = Layers()
    made.add(layers_of("home/scene.tif"))
    made.add(layers_of("home/maps/map.tif"))
    made.add([background("streets", "https://a/{z}/{x}/{y}.png", "the makers")], below=True)
    return made


def test_newest_lies_on_top_and_backgrounds_below_all(layers):
    assert kinds(layers) == ["map", "scene", "background"]
    layers.add(layers_of("home/scene.tif"))  # it is there already
    assert len(layers) == 3
    assert len({layer.key for layer in layers}) == 3
    assert layers.scene() == "home/scene.tif"


def test_layer_moves_and_stays_among_the_others(layers):
    top, scene, last = layers
    layers.move(top.key, 1)
    assert list(layers) == [scene, top, last]
    layers.move(top.key, 99)
    layers.move(last.key, -5)
    assert list(layers) == [last, scene, top]


def test_removed_layer_comes_back_to_its_place_as_it_was_shown(layers):
    top, scene, _ = layers
    layers.change(scene.key, {"opacity": 0.4, "shown": False})
    layers.remove(scene.key)
    layers.remove(top.key)
    assert kinds(layers) == ["background"]
    assert layers.removed == top
    assert layers.swap([top.key, "sample"]) == ("sample",)
    layers.swap([scene.key])
    assert kinds(layers) == ["map", "scene", "background"]
    assert (list(layers)[1].opacity, list(layers)[1].shown) == (0.4, False)
    layers.swap([scene.key])
    assert layers.removed.key == scene.key
    assert kinds(layers) == ["map", "background"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colors": [1, 2, 3]}, "band is 3, needs 1 to 2"),
        ({"colors": [1]}, "cannot be shown so"),
        ({"opacity": 2}, "opacity is 2"),
        ({"limits": [1, 2]}, "six numbers"),
        ({"below": "much"}, "cannot be shown so"),
        ({"name": "home/other.tif"}, "has no name to change"),
    ],
)
def test_change_that_cannot_be_is_refused(layers, changes, words):
    scene = list(layers)[1]
    with pytest.raises(InputError, match=words):
        layers.change(scene.key, changes)
    assert list(layers)[1] == scene


def test_layer_that_is_gone_is_said(layers):
    with pytest.raises(InputError, match="removed meanwhile"):
        layers.move("layer99", 0)


@pytest.mark.parametrize(
    ("title", "address", "wms", "words"),
    [
        ("a", "javascript:alert(1)", "", "begins with https"),
        ("a", "https://a/tiles", "", "needs {z}, {x} and {y}"),
        (" ", "https://a/wms", "roads", "needs a name"),
    ],
)
def test_background_that_cannot_be_is_refused(title, address, wms, words):
    with pytest.raises(InputError, match=words):
        background(title, address, "", wms)
