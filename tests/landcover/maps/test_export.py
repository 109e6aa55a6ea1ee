"""A map handed on: what is in the package, and that it opens as meant."""

import json
from xml.etree.ElementTree import fromstring
from zipfile import ZipFile

import numpy as np
import pytest
import rasterio

from landcover import assess_quality, draw_reference_sample, export_map
from landcover.errors import InputError
from landcover.io.legend import Legend
from tests.scenes import label_points

NAMES = {1: "forest", 2: "town", 3: "water"}


@pytest.fixture
def path(write_map, speckled):
    return write_map("map.tif", speckled, DATE="2021-07-01")


@pytest.fixture
def assessed(path, speckled, tmp_path):
    drawn = draw_reference_sample(path, per_class=20, workdir=tmp_path / "points")
    labelled = label_points(
        drawn.points, tmp_path / "labelled.gpkg", lambda r, c: NAMES[speckled[r, c]]
    )
    assess_quality(path, labelled, design="stratified", workdir=tmp_path / "assessed")
    return tmp_path / "assessed"


def test_package_holds_all_that_is_needed(path, assessed, tmp_path):
    result = export_map(
        path, "Land cover", "A. Author", "CC-BY-4.0", assessed, workdir=tmp_path / "out"
    )
    with ZipFile(result.package) as package:
        package.extractall(tmp_path / "there")
        names = package.namelist()
    there = tmp_path / "there" / "map"
    assert sorted(names) == [f"map/{name}" for name in (
        "README.txt", "legend.csv", "map.png", "map.qml", "map.sld", "map.tif", "map.tif.aux.xml",
        "metadata.json",
    )]  # fmt: skip
    assert (there / "map.tif").read_bytes() == path.read_bytes()
    about = json.loads((there / "metadata.json").read_text())
    assert (about["licence"], about["date"]) == ("CC-BY-4.0", "2021-07-01")
    assert about["accuracy"]["overall"] == 1
    readme = (there / "README.txt").read_text()
    assert "95 % interval" in readme
    assert "CC-BY-4.0" in readme
    colors = fromstring((there / "map.sld").read_text()).iter(
        "{http://www.opengis.net/sld}ColorMapEntry"
    )
    assert [entry.get("label") for entry in colors] == ["forest", "town", "water"]


def test_names_of_a_map_without_table_are_beside_it(path, tmp_path):
    with ZipFile(export_map(path, workdir=tmp_path / "out").package) as package:
        package.extractall(tmp_path / "there")
    with rasterio.open(tmp_path / "there" / "map" / "map.tif") as dataset:
        assert dataset.read(1).max() == 255
    names = fromstring((tmp_path / "there/map/map.tif.aux.xml").read_text()).iter("Category")
    assert [each.text or "" for each in names] == ["", "forest", "town", "water"]


def test_what_is_missing_is_told(path, tmp_path, caplog):
    result = export_map(path, workdir=tmp_path / "out")
    assert "no licence was said, so nobody may use the map" in caplog.text
    assert "the package tells no accuracy" in caplog.text
    with ZipFile(result.package) as package:
        assert "Accuracy: not assessed" in package.read("map/README.txt").decode()


def test_map_of_one_class_is_handed_on_with_its_assessment(write_map, tmp_path):
    path = write_map("map.tif", np.ones((20, 20), np.uint8), Legend.of(["forest"]))
    assess_quality(path, path, workdir=tmp_path / "assessed")
    export_map(path, assessment=tmp_path / "assessed", workdir=tmp_path / "out")
    with ZipFile(tmp_path / "out" / "package.zip") as package:
        readme = package.read("map/README.txt").decode()
    assert "100.0 % of the compared reference pixels agree" in readme
    assert "forest: –, –" in readme


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("overall", {"Overall ACC": "all", "Kappa": 1}),
        ("overall", {"Overall ACC": 7, "Kappa": 1}),
        ("area_adjusted", {"accuracy": 5}),
        ("classes", 3),
        ("class", {"PPV": []}),
    ],
)
def test_assessment_that_somebody_spoilt_is_refused(path, assessed, tmp_path, key, value):
    spoilt = json.loads((assessed / "statistics.json").read_text())
    (assessed / "statistics.json").write_text(json.dumps({**spoilt, key: value}))
    with pytest.raises(InputError, match="assessed holds no assessment"):
        export_map(path, assessment=assessed, workdir=tmp_path / "out")


def test_assessment_of_another_map_is_refused(write_map, assessed, tmp_path):
    other = write_map("other.tif", np.ones((9, 9), np.uint8))
    with pytest.raises(InputError, match=r"is of another map than other\.tif: assess this one"):
        export_map(other, assessment=assessed, workdir=tmp_path / "out")


def test_folder_without_an_assessment_is_refused(path, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"run\.assess-quality\.json"):
        export_map(path, assessment=tmp_path / "empty", workdir=tmp_path / "out")


def test_same_map_gives_the_same_bytes(path, tmp_path):
    one, other = (export_map(path, workdir=tmp_path / name) for name in ("1", "2"))
    assert one.package.read_bytes() == other.package.read_bytes()
