"""A sample, and a change of it."""

import json

import pytest
from pyproj import Geod
from shapely.geometry import shape

from landcover.errors import InputError
from sample_map.data.features import Change, Sample, checked, count_classes, sum_areas, to_frame

POND = {
    "type": "Polygon",
    "coordinates": [
        [[13.0, 52.0], [13.1, 52.0], [13.1, 52.1], [13.0, 52.1], [13.0, 52.0]],
        [[13.02, 52.02], [13.02, 52.04], [13.04, 52.04], [13.04, 52.02], [13.02, 52.02]],
    ],
}
ISLANDS = {
    "type": "MultiPolygon",
    "coordinates": [POND["coordinates"], [[[14, 52], [14.1, 52], [14.1, 52.1], [14, 52]]]],
}
POINT = {"type": "Point", "coordinates": [13.0, 52.0]}


def sample(geometry=POND, class_name="water"):
    return Sample.new(class_name, geometry, "eve", "shared/demo/scene.tif")


@pytest.mark.parametrize("geometry", [POND, ISLANDS, POINT])
def test_holes_and_parts_survive_the_file(geometry):
    drawn = sample(geometry)
    assert Sample.from_feature(json.loads(drawn.line)) == drawn
    assert shape(drawn.geometry).equals(shape(geometry))


def test_what_a_gis_added_is_kept():
    feature = sample().to_feature()
    feature["properties"]["seen in the field"] = True
    read = Sample.from_feature(feature)
    assert read.edited("bob", class_name="forest").to_feature()["properties"] == (
        feature["properties"] | {"class": "forest", "version": 2, "editor": "bob"}
    )


def test_outline_that_stays_is_not_measured_again_and_one_that_changes_is():
    drawn = sample()
    assert sum_areas([drawn])["water"] > 0
    reclassed = drawn.edited("bob", class_name="forest")
    assert reclassed.__dict__["area"] == drawn.area
    moved = drawn.edited("bob", geometry=ISLANDS)
    assert moved.area > drawn.area
    assert moved.shape.geom_type == "MultiPolygon"


def test_feature_from_elsewhere_is_the_same_sample_each_time_it_is_read():
    feature = {"type": "Feature", "properties": {"class": "water"}, "geometry": POND}
    other = {"type": "Feature", "properties": {"class": "forest"}, "geometry": POND}
    assert Sample.from_feature(feature) == Sample.from_feature(feature)
    assert Sample.from_feature(feature).id != Sample.from_feature(other).id


def test_lines_are_no_samples():
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    with pytest.raises(InputError, match="has the shape LineString, needs Point or"):
        Sample.from_feature({"type": "Feature", "properties": {}, "geometry": line})


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]], "crosses itself"),
        ([[0, 0], [1, 1], [0, 0], [0, 0]], "no area"),
    ],
)
def test_outline_that_is_none_is_refused(ring, words):
    with pytest.raises(InputError, match=words):
        checked({"type": "Polygon", "coordinates": [ring]})


def test_change_survives_the_journal():
    drawn = sample()
    for change in (Change(None, drawn), Change(drawn, drawn.edited("bob")), Change(drawn, None)):
        assert Change.from_json(json.loads(json.dumps(change.to_json()))) == change


def test_areas_are_those_on_the_ellipsoid():
    expected, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape(POND).reverse())
    islands, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape(ISLANDS).reverse())
    found = sum_areas([sample(), sample(ISLANDS, "forest"), sample(POINT)])
    assert found["water"] == pytest.approx(abs(expected), rel=1e-3)
    assert found["forest"] == pytest.approx(abs(islands), rel=1e-3)


def test_counts_are_by_class():
    assert count_classes([sample(), sample(), sample(POINT, "forest")]) == {
        "water": 2,
        "forest": 1,
    }


def test_table_has_the_columns_that_are_promised_also_when_empty():
    columns = ["id", "class", "geometry", "author", "image", "drawn", "version"]
    assert list(to_frame([]).columns) == columns
    frame = to_frame([sample()])
    assert list(frame.columns) == columns
    assert frame.crs == "EPSG:4326"
    assert frame.loc[0, "author"] == "eve"
