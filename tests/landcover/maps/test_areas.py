"""Areas, held against the area of each pixel on the ellipsoid, and against a known example."""

import csv

import numpy as np
import pyproj
import pytest
from affine import Affine

from landcover import draw_reference_sample, polygonize_map, tabulate_areas
from landcover.errors import InputError
from tests.scenes import TRANSFORM, label_points, pixels, write_labels

NAMES = {1: "forest", 2: "town", 3: "water"}


def table(result):
    with result.areas.open(encoding="utf-8") as file:
        return {(line["map"], line["zone"], line["class"]): line for line in csv.DictReader(file)}


def on_the_ellipsoid(codes, transform, crs):
    """Return hectares by code, pixel by pixel."""
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod, total = pyproj.Geod(ellps="WGS84"), dict.fromkeys(NAMES, 0.0)
    for row, column in np.argwhere(codes != 255).tolist():
        corners = [(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)]
        x, y = zip(*(transform @ corner for corner in corners), strict=True)
        area, _ = geod.polygon_area_perimeter(*to_degrees.transform(x, y))
        total[int(codes[row, column])] += abs(area) / 10_000
    return total


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32648", TRANSFORM),
        ("EPSG:3857", Affine(100, 0, 1_000_000, 0, -100, 8_399_738)),
        ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 70)),
    ],
)
def test_areas_are_those_of_the_pixels(write_map, speckled, tmp_path, crs, transform):
    path = write_map("map.tif", speckled, crs=crs, transform=transform)
    found = table(tabulate_areas(path, workdir=tmp_path / "out"))
    for code, hectares in on_the_ellipsoid(speckled, transform, crs).items():
        line = found["map.tif", "", NAMES[code]]
        assert float(line["hectares"]) == pytest.approx(hectares, rel=2e-4)
        assert int(line["pixels"]) == (speckled == code).sum()
    assert sum(float(line["share"]) for line in found.values()) == pytest.approx(1)


def test_districts_hold_the_pixels_whose_centre_is_inside(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled)
    shapes = [
        ("north", pixels(0, 0, 40, 120)),
        ("south", pixels(40, 0, 50, 60)),
        ("south", pixels(40, 60, 50, 60)),
    ]
    zones = write_labels(tmp_path / "zones.gpkg", shapes, field="name", crs="EPSG:3857")
    found = table(tabulate_areas(path, zones, "name", workdir=tmp_path / "out"))
    for zone, rows in (("north", slice(0, 40)), ("south", slice(40, 90))):
        for code, name in NAMES.items():
            assert int(found["map.tif", zone, name]["pixels"]) == (speckled[rows] == code).sum()


def test_zones_without_a_name_are_numbered(write_map, speckled, tmp_path):
    zones = write_labels(tmp_path / "zones.gpkg", [("a", pixels(0, 0, 9, 9)),
                                                   ("b", pixels(50, 50, 9, 9))])  # fmt: skip
    found = table(tabulate_areas(write_map("map.tif", speckled), zones, workdir=tmp_path / "out"))
    assert {zone for _, zone, _ in found} == {"", "1", "2"}


def test_overlaps_and_what_the_map_lacks_are_told(write_map, speckled, tmp_path, caplog):
    shapes = [("a", pixels(0, 0, 50, 50)), ("b", pixels(40, 40, 100, 50))]
    zones = write_labels(tmp_path / "zones.gpkg", shapes, field="name")
    tabulate_areas(write_map("map.tif", speckled), zones, "name", workdir=tmp_path / "out")
    assert "zones of zones.gpkg overlap, and what lies in both counts in both: a and b" in (
        caplog.text
    )
    assert "map.tif does not cover 2 zones wholly" in caplog.text


def test_years_stand_beside_one_another(write_map, speckled, tmp_path):
    later = np.where(speckled == 1, 2, speckled)
    maps = [
        write_map("a.tif", speckled, DATE="2020-07-01"),
        write_map("b.tif", later, DATE="2024-07-01"),
    ]
    result = tabulate_areas(maps, workdir=tmp_path / "out")
    found = table(result)
    assert found["a.tif", "", "town"]["date"] == "2020-07-01"
    assert int(found["b.tif", "", "forest"]["pixels"]) == 0
    page = result.report.read_text()
    assert "2024-07-01" in page
    assert "Площади классов" in page
    assert result.figure.read_bytes().startswith(b"\x89PNG")


def test_sample_gives_areas_without_the_errors_of_the_map(write_map, tmp_path):
    rng = np.random.default_rng(3)
    truth = np.ones((200, 200), np.uint8)
    truth[:, 120:] = 2
    codes = truth.copy()
    wrong = (rng.random(truth.shape) < 0.2) & (truth == 2)
    codes[wrong] = 1  # the map takes a fifth of the town for forest
    path = write_map("map.tif", codes)
    drawn = draw_reference_sample(path, per_class=300, workdir=tmp_path / "points")
    labelled = label_points(
        drawn.points, tmp_path / "labelled.gpkg", lambda r, c: NAMES[truth[r, c]]
    )
    found = table(tabulate_areas(path, reference=labelled, workdir=tmp_path / "out"))
    town = found["map.tif", "", "town"]
    hectare_of_pixel = float(town["hectares"]) / int(town["pixels"])
    really = (truth == 2).sum() * hectare_of_pixel
    assert float(town["hectares"]) < 0.85 * really
    assert float(town["low"]) < really < float(town["high"])
    assert float(town["estimated"]) == pytest.approx(really, rel=0.1)


def test_district_with_too_few_points_gets_no_estimate(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled)
    drawn = draw_reference_sample(path, per_class=20, workdir=tmp_path / "points")
    labelled = label_points(
        drawn.points, tmp_path / "labelled.gpkg", lambda r, c: NAMES[speckled[r, c]]
    )
    shapes = [("large", pixels(0, 0, 89, 119)), ("small", pixels(30, 30, 6, 6))]
    zones = write_labels(tmp_path / "zones.gpkg", shapes, field="name")
    result = tabulate_areas(path, zones, "name", labelled, workdir=tmp_path / "out")
    found = table(result)
    assert found["map.tif", "large", "town"]["estimated"]
    assert not found["map.tif", "small", "town"]["estimated"]
    assert "fewer than two points of some class there: small" in result.report.read_text()


def test_reference_of_several_maps_is_refused(write_map, speckled, tmp_path):
    maps = [write_map("a.tif", speckled), write_map("b.tif", speckled)]
    with pytest.raises(InputError, match="the one map it was drawn from, 2 maps were given"):
        tabulate_areas(maps, reference=maps[0], workdir=tmp_path / "out")


def test_zones_elsewhere_are_refused(write_map, speckled, tmp_path):
    zones = write_labels(tmp_path / "zones.gpkg", [("a", pixels(5000, 5000, 9, 9))])
    with pytest.raises(InputError, match=r"no zone of zones\.gpkg meets the map"):
        tabulate_areas(write_map("map.tif", speckled), zones, workdir=tmp_path / "out")


def test_map_in_a_local_system_has_pixels_and_no_hectares(write_map, speckled, tmp_path, caplog):
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    path = write_map("map.tif", speckled, crs=local)
    found = table(tabulate_areas(path, workdir=tmp_path / "out"))
    assert int(found["map.tif", "", "town"]["pixels"]) == (speckled == 2).sum()
    assert not found["map.tif", "", "town"]["hectares"]
    assert float(found["map.tif", "", "town"]["share"]) == pytest.approx(
        (speckled == 2).sum() / (speckled != 255).sum()
    )
    assert "lies nowhere on the ground, so there are pixels and no hectares" in caplog.text
    assert polygonize_map(path, workdir=tmp_path / "polygons").count > 10
