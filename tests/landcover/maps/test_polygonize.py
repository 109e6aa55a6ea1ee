"""Polygons, held against those of the whole map, and against its pixels."""

import sqlite3
from xml.etree.ElementTree import fromstring

import geopandas
import pytest
import rasterio
import shapely
from rasterio.features import rasterize, shapes

from landcover import polygonize_map, sieve_map
from landcover.maps import polygonize
from tests.scenes import TRANSFORM


def layer(result):
    return geopandas.read_file(result.polygons, layer="polygons")


@pytest.mark.parametrize("tile", [16, 37, 2048])
def test_polygons_are_those_of_the_whole_map(write_map, speckled, tmp_path, monkeypatch, tile):
    monkeypatch.setattr(polygonize, "_TILE", tile)
    found = layer(polygonize_map(write_map("map.tif", speckled), workdir=tmp_path / "out"))
    whole = [
        (code, shapely.geometry.shape(shape))
        for shape, code in shapes(speckled, speckled != 255, 4, TRANSFORM)
    ]
    assert len(found) == len(whole)
    expected = {(code, shapely.normalize(shape).wkt) for code, shape in whole}
    assert {
        (code, shapely.normalize(shape).wkt)
        for code, shape in zip(found["code"], found.geometry, strict=True)
    } == expected


def test_polygons_burned_again_are_the_map(write_map, speckled, tmp_path):
    found = layer(polygonize_map(write_map("map.tif", speckled), workdir=tmp_path / "out"))
    burned = rasterize(
        zip(found.geometry, found["code"], strict=True), speckled.shape, 255, transform=TRANSFORM
    )
    assert (burned == speckled).all()
    assert set(zip(found["code"], found["class"], strict=True)) == {
        (1, "forest"), (2, "town"), (3, "water"),
    }  # fmt: skip
    on_grid = found.geometry.area / 10_000
    assert found["hectares"].to_numpy() == pytest.approx(on_grid / 0.9996**2, rel=1e-3)


def test_small_patches_are_sieved_first(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled)
    found = layer(polygonize_map(path, pixels=6, workdir=tmp_path / "out"))
    with rasterio.open(sieve_map(path, pixels=6, workdir=tmp_path / "sieved").map) as dataset:
        sieved = dataset.read(1)
    burned = rasterize(
        zip(found.geometry, found["code"], strict=True), speckled.shape, 255, transform=TRANSFORM
    )
    assert (burned == sieved).all()


def test_simplified_outlines_still_meet(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled)
    plain = layer(polygonize_map(path, pixels=6, workdir=tmp_path / "plain"))
    found = layer(polygonize_map(path, pixels=6, simplify=1.5, workdir=tmp_path / "out"))
    corners = shapely.get_num_coordinates
    assert corners(found.geometry).sum() < 0.7 * corners(plain.geometry).sum()
    assert shapely.coverage_is_valid(found.geometry.to_numpy())
    assert found.geometry.area.sum() == pytest.approx(plain.geometry.area.sum(), rel=0.02)


def test_qgis_and_others_find_a_style(write_map, speckled, tmp_path):
    result = polygonize_map(write_map("map.tif", speckled), workdir=tmp_path / "out")
    with sqlite3.connect(result.polygons) as database:
        ((name, qml, sld, default),) = database.execute(
            "select f_table_name, styleQML, styleSLD, useAsDefault from layer_styles"
        )
    assert (name, default) == ("polygons", 1)
    renderer = fromstring(qml).find("renderer-v2")
    assert renderer.get("attr") == "class"
    assert [c.get("value") for c in renderer.find("categories")] == ["forest", "town", "water"]
    space = "{http://www.opengis.net/sld}"
    assert [t.text for t in fromstring(sld).iter(f"{space}Title")] == ["forest", "town", "water"]


def test_same_map_gives_the_same_bytes(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled)
    one = polygonize_map(path, workdir=tmp_path / "1")
    other = polygonize_map(path, workdir=tmp_path / "2")
    assert one.polygons.read_bytes() == other.polygons.read_bytes()
    assert one.count == len(layer(one))
