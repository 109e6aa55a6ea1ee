"""Samples as they are drawn, edited, deleted and kept, without a browser."""

import json
import re
from uuid import UUID

import pytest
from shapely.geometry import Point, Polygon

from landcover.errors import InputError
from sample_map.features import (
    Sample,
    count_classes,
    load_samples,
    local_path,
    merge,
    name_change,
    reconcile,
    samples_name,
    save_samples,
    to_frame,
)

POND = {
    "type": "Polygon",
    "coordinates": [[[13.0, 52.0], [13.1, 52.0], [13.1, 52.1], [13.0, 52.0]]],
}
WOOD = {
    "type": "Polygon",
    "coordinates": [[[14.0, 52.0], [14.1, 52.0], [14.1, 52.1], [14.0, 52.0]]],
}
SPOT = {"type": "Point", "coordinates": [13.5, 52.5]}


def drawn(geometry, class_name="water"):
    return Sample.new(class_name, geometry, author="eve", image="shared/demo/scene.tif")


def shown(sample, geometry=None):
    """The feature as the browser reports a sample that it was told of."""
    properties = {"id": sample.id, "type": "polygon", "style": {"color": "#1f78b4"}}
    return {"type": "Feature", "geometry": geometry or sample.geometry, "properties": properties}


def fresh(geometry):
    """The feature as the browser reports one that was just drawn."""
    return {"type": "Feature", "geometry": geometry, "properties": {"type": "polygon"}}


def refuse(geometry):
    raise AssertionError(f"nothing new was drawn, but {geometry} is taken for new")


def test_new_sample_knows_who_drew_what_when_and_where():
    sample = drawn(POND)
    assert UUID(sample.id).version == 4
    assert (sample.class_name, sample.author, sample.image) == (
        "water",
        "eve",
        "shared/demo/scene.tif",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sample.drawn)


def test_fresh_feature_becomes_a_sample_and_the_others_stay_as_they_are():
    pond = drawn(POND)
    result = reconcile([shown(pond), fresh(WOOD)], [pond], lambda g: drawn(g, "forest"))
    assert result[0] is pond
    assert (result[1].class_name, result[1].geometry) == ("forest", WOOD)


def test_edited_sample_keeps_all_but_its_outline():
    pond = drawn(POND)
    (edited,) = reconcile([shown(pond, WOOD)], [pond], refuse)
    assert edited.geometry == WOOD
    assert (edited.id, edited.class_name, edited.drawn) == (pond.id, "water", pond.drawn)


def test_deleted_sample_is_gone():
    pond, wood = drawn(POND), drawn(WOOD, "forest")
    assert reconcile([shown(wood)], [pond, wood], refuse) == (wood,)


def test_feature_reported_twice_before_it_has_an_id_is_one_sample():
    pond = drawn(POND)
    assert reconcile([fresh(POND)], [pond], refuse) == (pond,)


def test_copy_of_a_sample_gets_an_id_of_its_own():
    pond = drawn(POND)
    first, second = reconcile([shown(pond), shown(pond, WOOD)], [pond], drawn)
    assert first is pond
    assert second.id != pond.id


def test_saved_samples_are_read_again_as_they_were(tmp_path):
    samples = (drawn(POND), drawn(SPOT, "farm"))
    save_samples(samples, tmp_path / "new" / "folder" / "lakes.geojson")
    assert load_samples(tmp_path / "new" / "folder" / "lakes.geojson") == samples


def test_file_is_geojson_with_the_columns_of_the_contract(tmp_path):
    sample = drawn(POND)
    save_samples([sample], tmp_path / "lakes.geojson")
    saved = json.loads((tmp_path / "lakes.geojson").read_text())
    assert saved["type"] == "FeatureCollection"
    (feature,) = saved["features"]
    assert feature["geometry"] == POND
    assert feature["properties"] == {
        "id": sample.id,
        "class": "water",
        "author": "eve",
        "image": "shared/demo/scene.tif",
        "drawn": sample.drawn,
    }


def test_failing_save_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "lakes.geojson"
    save_samples([drawn(POND)], path)
    before = path.read_bytes()

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_samples([drawn(WOOD)], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_yet_means_no_samples(tmp_path):
    assert load_samples(tmp_path / "none.geojson") == ()


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"features": [{}]}', '{"features": [1]}'])
def test_file_that_holds_no_samples_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "lakes.geojson").write_text(text)
    with pytest.raises(InputError, match=r"lakes.geojson holds no samples, rename it"):
        load_samples(tmp_path / "lakes.geojson")


def test_feature_made_elsewhere_needs_only_a_class(tmp_path):
    feature = {"type": "Feature", "geometry": SPOT, "properties": {"class": "farm"}}
    (tmp_path / "a.geojson").write_text(json.dumps({"features": [feature]}))
    (sample,) = load_samples(tmp_path / "a.geojson")
    assert (sample.class_name, sample.author, sample.drawn) == ("farm", "", "")
    assert UUID(sample.id)


def test_two_maps_on_one_file_lose_nothing():
    pond, wood, spot = drawn(POND), drawn(WOOD, "forest"), drawn(SPOT, "farm")
    saved_by_another = (pond, wood)  # wood came after this map was opened
    assert merge(saved_by_another, before=(pond,), after=(pond, spot)) == (pond, wood, spot)
    assert merge(saved_by_another, before=(pond,), after=()) == (wood,)


def test_edit_replaces_the_saved_outline_in_its_place():
    pond, wood = drawn(POND), drawn(WOOD, "forest")
    (edited,) = reconcile([shown(pond, SPOT)], [pond], refuse)
    assert merge((pond, wood), before=(pond,), after=(edited,)) == (edited, wood)


def test_what_happened_is_said_in_words():
    pond, wood = drawn(POND), drawn(WOOD)
    (edited,) = reconcile([shown(pond, SPOT)], [pond], refuse)
    assert name_change([], [pond]) == "1 drawn"
    assert name_change([pond, wood], [edited, wood]) == "1 changed"
    assert name_change([pond, wood], []) == "2 deleted"
    assert name_change([pond], [wood]) == "1 drawn, 1 deleted"


def test_counts_by_class():
    assert count_classes([drawn(POND), drawn(WOOD), drawn(SPOT, "farm")]) == {
        "water": 2,
        "farm": 1,
    }


def test_table_has_the_columns_of_the_contract_in_degrees():
    frame = to_frame([drawn(POND), drawn(SPOT, "farm")])
    assert list(frame.columns) == ["id", "class", "geometry", "author", "image", "drawn"]
    assert frame.crs == "EPSG:4326"
    assert frame.geometry[0].equals(Polygon(POND["coordinates"][0]))
    assert frame.geometry[1] == Point(13.5, 52.5)


def test_empty_table_has_the_same_columns():
    frame = to_frame([])
    assert list(frame.columns) == ["id", "class", "geometry", "author", "image", "drawn"]
    assert len(frame) == 0
    assert frame.crs == "EPSG:4326"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "home/samples/demo-scene.geojson"),
        ("lakes", "home/samples/lakes.geojson"),
        ("lakes.geojson", "home/samples/lakes.geojson"),
        ("2017/lakes", "home/samples/2017/lakes.geojson"),
        ("team/ice/floes", "team/ice/floes.geojson"),
    ],
)
def test_where_samples_are_kept(name, expected):
    assert samples_name("shared/demo/scene.tif", name) == expected


def test_scenes_of_the_same_file_name_have_samples_of_their_own():
    one, other = (samples_name(f"shared/{f}/scene.tif", None) for f in ("demo", "demo-landsat"))
    assert one != other


def test_storage_names_lie_in_the_home_and_paths_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("home/a.tif") == tmp_path / "a.tif"
    assert local_path("shared/demo/scene.tif") == tmp_path / "shared" / "demo" / "scene.tif"
    assert local_path("~/a.tif") == tmp_path / "a.tif"
    assert local_path(str(tmp_path / "b.tif")) == tmp_path / "b.tif"


def test_name_that_leaves_the_home_is_refused():
    with pytest.raises(InputError, match="is no storage name"):
        local_path(samples_name("shared/demo/scene.tif", "../../elsewhere"))
