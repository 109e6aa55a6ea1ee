"""Hostile and odd input: vectors."""

import sqlite3
from contextlib import closing

import geopandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import Polygon

from tests.landcover.hostile.desk import (
    a_map,
    a_scene,
    fresh_desk,
    some_labels,
    square,
    write_geojson,
)
from tests.scenes import CRS, TRANSFORM, pixels, write_labels

NEAR = square(105.0, 52.34, 105.001, 52.3501)


@pytest.mark.parametrize(
    "features",
    [
        [("a", square(1e300, 1e300, 1.1e300, 1.1e300))],
        [("a", square(-1e308, -1e308, 1e308, 1e308))],
        [("a", square(500, 400, 501, 401))],
        [("a", {"type": "Point", "coordinates": [1e309, 0]})],
        [("a", {"type": "Point", "coordinates": [float("nan"), 52]})],
        [("a", {"type": "Point", "coordinates": [float("inf"), 52]})],
        [("a", square(float("nan"), 52, 105, 53))],
        [("a", {"type": "Point", "coordinates": []})],
        [("a", {"type": "Point", "coordinates": [105]})],
        [("a", {"type": "Point", "coordinates": ["x", "y"]})],
        [("a", {"type": "Point", "coordinates": None})],
        [("a", {"type": "Polygon", "coordinates": []})],
        [("a", {"type": "Polygon", "coordinates": [[]]})],
        [("a", {"type": "Polygon", "coordinates": [[[105, 52]]]})],
        [("a", {"type": "Polygon", "coordinates": [[[105, 52], [106, 52]]]})],
        [("a", {"type": "GeometryCollection", "geometries": []})],
        [("a", {"type": "MultiPoint", "coordinates": []})],
        [("a", {"type": "Circle", "coordinates": [105, 52]})],
        [("a", {"type": "LineString", "coordinates": [[105, 52], [106, 53]]})],
        [("a", None)],
        [("a", NEAR), ("b", None)],
        [("a", NEAR), (None, NEAR)],
        [(None, NEAR)],
        [("", NEAR)],
        [],
    ],
)
def test_features_without_sense_are_refused_in_one_sentence(desk, features):
    labels = write_geojson(desk.inputs / "labels.geojson", *features)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    desk.refuses("assess-quality", map=a_map(desk), reference=labels)


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::999999"}},
        {"type": "name", "properties": {"name": "rubbish"}},
        {"type": "name", "properties": {"name": "x" * 10_000}},
        {"type": "name", "properties": {"name": "/etc/hostname"}},
        {"type": "EPSG", "properties": {"code": 999999}},
    ],
)
def test_an_unknown_coordinate_system_is_refused(desk, crs):
    labels = write_geojson(desk.inputs / "labels.geojson", ("a", NEAR), crs=crs)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": {}}',
        '{"type": "FeatureCollection", "features": [1, null, "x", []]}',
        '{"type": "FeatureCollection", "features": [' + '{"type": "Feature"},' * 100 + "{}]}",
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"type": "Feature", "properties": {"class": "a"}, "geometry": {"type": "Polygon", '
        '"coordinates": ' + "[" * 5000 + "]" * 5000 + "}}",
        '{"type": "Feature", "properties": {"class": ' + "[" * 400 + "]" * 400 + "}, "
        '"geometry": {"type": "Point", "coordinates": [105, 52]}}',
        '{"type": "Topology", "objects": {}, "arcs": []}',
        '\ufeff  \n{"type": "FeatureCollection", "features": [',
        '{"type": "FeatureCollection", "features": []}' + "\0" * 100,
    ],
)
def test_json_without_sense_is_refused_in_one_sentence(desk, text):
    labels = desk.inputs / "labels.geojson"
    labels.write_text(text)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def collections_of(depth):
    inner = NEAR
    for _ in range(depth):
        inner = {"type": "GeometryCollection", "geometries": [inner]}
    return inner


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_collections_in_collections_are_read_or_refused(desk, depth):
    labels = write_geojson(desk.inputs / "l.geojson", ("a", collections_of(depth)))
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_line_in_a_collection_of_polygons_labels_nothing(desk):
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)

    def at(column, row):
        return list(to_degrees.transform(*(TRANSFORM @ (column, row))))

    ring = [at(*corner) for corner in ((0, 0), (3, 0), (3, 3), (0, 3), (0, 0))]
    both = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Polygon", "coordinates": [ring]},
            {"type": "LineString", "coordinates": [at(0, 10.5), at(16, 10.5)]},
        ],
    }
    labels = write_geojson(desk.inputs / "l.geojson", ("a", both))
    result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert result is None or result["total"] == 9


def test_a_polygon_that_crosses_itself_is_read_or_refused(desk):
    bow = Polygon([TRANSFORM @ at for at in ((0, 0), (16, 16), (16, 0), (0, 16))])
    labels = write_labels(desk.inputs / "l.gpkg", [("a", bow)])
    result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert result is None or 100 < result["total"] < 160


def test_a_polygon_with_an_empty_one_beside_it_is_read_or_refused(desk):
    shapes = [("a", pixels(0, 0, 2, 2)), ("b", Polygon())]
    labels = write_labels(desk.inputs / "l.gpkg", shapes)
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts()["a"] == 4


@pytest.mark.parametrize(
    ("values", "names"),
    [([1, 2], ["1", "2"]), ([1.0, 2.5], ["1", "2.5"]), ([True, False], None)],
)
def test_classes_that_are_numbers_are_names(desk, values, names):
    shapes = [pixels(0, 0, 1, 1), pixels(0, 1, 1, 1)]
    frame = geopandas.GeoDataFrame({"class": values}, geometry=shapes, crs=CRS)
    frame.to_file(desk.inputs / "l.gpkg")
    done = desk.does_or_refuses(
        "extract-samples", scene=a_scene(desk), labels=desk.inputs / "l.gpkg"
    )
    if names is not None:
        assert done
        assert desk.counts() == dict.fromkeys(names, 1)


@pytest.mark.parametrize(
    "field", ["", " ", "absent", "class; DROP TABLE l", '"', "%s", "x" * 5000, "Class", "fid"]
)
def test_a_field_that_is_not_there_is_named_in_one_sentence(desk, field):
    labels = some_labels(desk)
    said = desk.refuses("extract-samples", scene=a_scene(desk), labels=labels, class_field=field)
    assert "field" in said


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([".gpkg", ".fgb", ".shp", ".geojson"]), st.floats(0, 1, exclude_max=True))
def test_vectors_cut_short_are_refused_or_read_to_the_end(suffix, share):
    with fresh_desk() as desk:
        shapes = [("a", pixels(0, 0, 4, 4)), ("a", pixels(8, 8, 4, 4))]
        labels = write_labels(desk.inputs / f"whole{suffix}", shapes)
        whole = labels.read_bytes()
        labels.write_bytes(whole[: int(len(whole) * share)])
        result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
        assert result is None or result["total"] == 32


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([".gpkg", ".fgb", ".shp", ".geojson"]),
    st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(1, 255), min_size=1),
)
def test_vectors_with_flipped_bytes_are_read_or_refused_in_one_sentence(suffix, flips):
    with fresh_desk() as desk:
        labels = some_labels(desk, pixels(0, 0, 4, 4), name=f"l{suffix}")
        spoilt = bytearray(labels.read_bytes())
        for share, flip in flips.items():
            spoilt[int(share * len(spoilt))] ^= flip
        labels.write_bytes(spoilt)
        desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_shapefile_without_its_other_parts_is_refused(desk):
    for suffix in (".dbf", ".shx", ".prj"):
        labels = some_labels(desk, name=f"without{suffix[1:]}.shp")
        labels.with_suffix(suffix).unlink()
        desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_geopackage_with_no_layer_of_features_is_refused(desk):
    for number, statement in enumerate(
        [
            "DELETE FROM gpkg_contents",
            "UPDATE gpkg_contents SET data_type = 'attributes'",
            "DELETE FROM gpkg_geometry_columns",
            "DELETE FROM gpkg_spatial_ref_sys",
            "UPDATE gpkg_geometry_columns SET srs_id = 4711",
            "UPDATE gpkg_contents SET table_name = 'absent'",
            "UPDATE gpkg_contents SET table_name = 'x\"; DROP TABLE labels; --'",
        ]
    ):
        labels = some_labels(desk).rename(desk.inputs / f"l{number}.gpkg")
        database = sqlite3.connect(labels)
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(statement)
        database.commit()
        database.close()
        desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    plain = sqlite3.connect(desk.inputs / "plain.gpkg")
    plain.execute("CREATE TABLE x (class TEXT)")
    plain.commit()
    plain.close()
    desk.refuses("extract-samples", scene=a_scene(desk), labels=desk.inputs / "plain.gpkg")


def test_a_geopackage_of_several_layers_is_refused_or_read_without_a_guess_unsaid(desk):
    path = desk.inputs / "l.gpkg"
    frame = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[pixels(0, 0, 1, 1)], crs=CRS)
    frame.to_file(path, layer="one")
    frame.to_file(path, layer="two")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=path)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
         "SELECT i FROM n", "the view endless"),
        ("CREATE TRIGGER mine AFTER INSERT ON l BEGIN DELETE FROM l; END", "the trigger mine"),
        ("ALTER TABLE l ADD COLUMN big AS (hex(zeroblob(100000000)))",
         "the computed column l.big"),
        ("CREATE VIRTUAL TABLE words USING fts5(rtree)", "the virtual table words"),
        ('CREATE VIRTUAL TABLE words USING fts5(" USING rtree")', "the virtual table words"),
        ("CREATE VIRTUAL /* USING rtree */ TABLE words USING fts5(x)", "the virtual table words"),
    ],
)  # fmt: skip
def test_a_geopackage_with_sql_of_its_own_is_refused_before_it_is_read(desk, statement, named):
    labels = some_labels(desk, name="l.gpkg")
    with closing(sqlite3.connect(labels)) as database:
        database.execute(statement)
        database.commit()
    assert named in desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_view_in_the_place_of_the_layer_is_not_computed(desk):
    labels = some_labels(desk, name="l.gpkg")
    with closing(sqlite3.connect(labels)) as database:
        database.executescript(
            "ALTER TABLE l RENAME TO hidden; CREATE VIEW l AS "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS fid, geom, class FROM n, hidden"
        )
    assert "the view l" in desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_geopackage_in_wal_mode_is_read(desk):
    labels = some_labels(desk)
    with closing(sqlite3.connect(labels)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert desk.does("extract-samples", scene=a_scene(desk), labels=labels)["total"] == 256
