"""What a GeoTIFF is, in words and as a picture."""

import io

import numpy as np
import pytest
from PIL import Image

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.inspection import read_at
from sample_map.data.layers import layers_of
from sample_map.server.looking import look_at, picture_of
from tests.scenes import write_raster


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_scene_is_told_with_its_bands_pixels_and_place(home):
    values = np.arange(3 * 900 * 300, dtype=np.uint16).reshape(3, 900, 300) % 1000
    write_raster(home / "s.tif", values, names=("red", "green", "blue"), SENSOR="Made")
    look = look_at("home/s.tif")
    assert (look.kind, look.has_place, look.classes) == ("scene", True, ())
    assert look.facts[0] == "3 bands: red, green, blue"
    assert look.facts[1].startswith("300 x 900 pixels")
    assert "Made" in look.facts[-1]
    assert Image.open(io.BytesIO(picture_of("home/s.tif"))).size == (213, 640)


def test_map_is_told_by_its_legend(home):
    tag = Legend.of(["ice", "water"]).to_tag()
    write_raster(home / "m.tif", np.ones((4, 4), np.uint8), nodata=255, LANDCOVER_LEGEND=tag)
    look = look_at("home/m.tif")
    assert look.kind == "map"
    assert [name for name, _ in look.classes] == ["ice", "water"]


def test_facts_are_told_in_russian(home):
    write_raster(home / "s.tif", np.ones((4, 4), np.uint8), names=["red {x}"])
    assert look_at("home/s.tif", "ru").facts == (
        "1 канал: red {x}", "4 x 4 пикселей по 10 м, uint8", "Система координат EPSG:32648",
    )  # fmt: skip
    assert look_at("home/s.tif", "xx").facts[0] == "1 band: red {x}"


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["plot",UNIT["metre",1]]'])
def test_raster_without_a_place_is_told_what_it_lacks(home, crs):
    write_raster(home / "s.tif", np.ones((4, 4), np.uint8), crs=crs)
    look = look_at("home/s.tif")
    assert not look.has_place
    assert "Assign Projection" in " ".join(look.facts)
    with pytest.raises(InputError, match=r"CRS|nowhere"):
        layers_of("home/s.tif")
    (reading,) = read_at(["home/s.tif"], 10.0, 50.0)
    assert not reading.is_inside


@pytest.mark.parametrize("name", ["home/none.tif", "home/text.tif", "home/../s.tif", "/etc/hosts"])
def test_what_is_no_raster_is_refused_in_words(home, name):
    (home / "text.tif").write_text("no raster")
    for ask in (look_at, picture_of):
        with pytest.raises(InputError):
            ask(name)
