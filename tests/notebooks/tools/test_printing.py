"""Sheets: what is on them, and that lengths on them are true."""

import doctest
import json

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from landcover.errors import InputError
from landcover.progress import collecting_notes
from sample_map.data.features import Sample
from sample_map.data.layers import background, layers_of
from sample_map.tools import printing
from sample_map.tools.printing import Sheet, print_sheet
from tests.scenes import write_raster

LEGEND = [{"code": 1, "name": "вода", "color": "#0000ff"}]
PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5800000)}
POND = {"type": "Point", "coordinates": [15.003, 52.347]}


@pytest.fixture
def map_layer(tmp_path, monkeypatch):
    """A map of 1 km, all of it water."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tag = {"LANDCOVER_LEGEND": json.dumps(LEGEND)}
    codes = np.ones((100, 100), np.uint8)
    write_raster(tmp_path / "map.tif", codes, nodata=255, **PLACE, **tag)
    (layer,) = layers_of("home/map.tif")
    return layer


def test_lengths_of_the_bar_are_round():
    assert doctest.testmod(printing).failed == 0


def test_sheet_shows_the_map_in_its_colours_and_is_a4(map_layer, tmp_path):
    sample = Sample.new("вода", POND, "eve", "home/map.tif")
    sheet = Sheet(map_layer.bounds, [map_layer], [sample], {"вода": "#ff0000"}, "Озеро", "ru")
    print_sheet(sheet, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as shown:
        pixels = np.asarray(shown.convert("RGB"))
    assert pixels.shape == (1654, 2338, 3)
    blue = (pixels == (0, 0, 255)).all(axis=-1)
    assert blue.mean() > 0.3
    assert (pixels == (255, 0, 0)).all(axis=-1).any()  # the sample, and its line in the legend


def test_outline_is_seen_where_the_map_has_its_colour(map_layer, tmp_path):
    ring = [[15.003, 52.344], [15.008, 52.344], [15.008, 52.347], [15.003, 52.344]]
    area = Sample.new("вода", {"type": "Polygon", "coordinates": [ring]}, "eve", "home/map.tif")
    dark = []
    for samples in ([], [area]):
        print_sheet(Sheet(map_layer.bounds, [map_layer], samples, {"вода": "#0000ff"}),
                    tmp_path / "sheet.png")  # fmt: skip
        with Image.open(tmp_path / "sheet.png") as shown:
            inside = np.asarray(shown.convert("RGB"))[300:1200, 300:1500]
        dark.append((inside.max(axis=-1) < 60).sum())
    assert dark[1] > dark[0] + 500


def test_pdf_names_title_classes_and_sources(map_layer, tmp_path, monkeypatch):
    figure = printing.new_figure(11.69, 8.27)
    monkeypatch.setattr(printing, "new_figure", lambda *size: figure)
    print_sheet(Sheet(map_layer.bounds, [map_layer], title="Lake"), tmp_path / "sheet.pdf")
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
    picture, beside = figure.axes
    assert picture.get_title() == "Lake"
    assert [t.get_text() for t in beside.get_legend().get_texts()] == ["вода"]
    assert "home/map.tif" in figure.get_supxlabel()
    assert "200 m" in [t.get_text() for t in picture.texts]
    (bar,) = picture.collections
    # 52 degrees north, where a metre on the ground is 1.63 of Web Mercator
    west, east = bar.get_paths()[0].get_extents().intervalx
    assert east - west == pytest.approx(200 * 1.634, rel=0.005)


def test_background_is_left_out_and_named(map_layer, tmp_path):
    tiles = background("Streets", "https://example.org/{z}/{x}/{y}.png", "")
    said = []
    with collecting_notes(said.append):
        print_sheet(Sheet(map_layer.bounds, [map_layer, tiles]), tmp_path / "sheet.png")
    assert "not printed" in said[0]
    with pytest.raises(InputError, match="no layer is shown"):
        print_sheet(Sheet(map_layer.bounds, [tiles]), tmp_path / "none.png")


@pytest.mark.parametrize(
    ("name", "bounds", "words"),
    [
        ("map.svg", None, "needs to end in .png or .pdf"),
        ("map.png", (52, 15, 52, 16), "beyond the map"),
        ("map.png", (-90, 15, 52, 16), "beyond the map"),
    ],
)
def test_what_cannot_be_printed_is_refused(map_layer, tmp_path, name, bounds, words):
    with pytest.raises(InputError, match=words):
        print_sheet(Sheet(bounds or map_layer.bounds, [map_layer]), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_view_far_larger_than_the_scene_is_printed(map_layer, tmp_path):
    print_sheet(Sheet((-60, -170, 80, 170), [map_layer]), tmp_path / "world.png")
    assert (tmp_path / "world.png").stat().st_size > 1000
