import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely

from landcover.errors import InputError
from landcover.samples.extraction import extract_samples
from landcover.samples.versions.drawn_changes import commit_drawn
from landcover.samples.versions.exchange import read_drawn, write_version
from landcover.samples.versions.ledger import Ledger
from landcover.samples.versions.record import wkb_of
from landcover.training.train import train_classifier
from tests.scenes import CRS, pixels, quarters, write_raster

LEGEND = [
    {"code": 3, "name": "water", "color": "#1f78b4"},
    {"code": 1, "name": "forest", "color": "#33a02c"},
]


def export(ledger, number, path):
    manifest = ledger.manifest(number)
    write_version(path, manifest, ledger.records(manifest))
    return path


def test_geojson_goes_out_and_comes_back(ledger, record, tmp_path, write_geojson):
    drawn = [record("a", more='{"note": 5}'), record("b", review="accepted", validated_by="bob")]
    done = commit_drawn(
        ledger, read_drawn(write_geojson("x.geojson", drawn, legend=LEGEND)), "ann"
    )
    out = export(ledger, 1, tmp_path / "out.geojson")
    found = read_drawn(out)
    assert list(found.records.values()) == drawn
    assert found.legend is not None
    assert found.legend.names == ("forest", "water")
    assert found.base == done.number
    assert json.loads(out.read_bytes())["ledger"]["version"] == done.sha256
    assert commit_drawn(ledger, found, "bob").number == 1


def test_what_an_exported_file_lacks_was_removed(ledger, record, tmp_path):
    ledger.commit([record("a"), record("b")], [], "ann")
    out = export(ledger, 1, tmp_path / "out.geojson")
    content = json.loads(out.read_bytes())
    del content["features"][0]
    out.write_text(json.dumps(content))
    ledger.commit([record("c")], [], "bob")
    commit_drawn(ledger, read_drawn(out), "ann")
    assert list(ledger.records(ledger.manifest(3))) == ["b", "c"]


def test_of_a_file_from_nowhere_nothing_is_removed_and_nothing_overwritten(
    ledger, record, write_geojson
):
    ledger.commit([record("a"), record("b"), record("c", version=2)], [], "ann")
    drawn = [record("a", "forest", version=2), record("c", "forest", version=1)]
    done = commit_drawn(ledger, read_drawn(write_geojson("x.geojson", drawn)), "bob")
    found = ledger.records(ledger.manifest(2))
    (conflict,) = done.conflicts
    assert {k: r.class_name for k, r in found.items()} == {
        "a": "forest", "b": "water", "c": "water", conflict.rival: "forest"
    }  # fmt: skip
    again = commit_drawn(ledger, read_drawn(write_geojson("x.geojson", drawn)), "bob")
    assert again.number == 2


def test_a_file_of_another_ledger_removes_nothing(ledger, record, tmp_path):
    (tmp_path / "other").mkdir()
    other = Ledger(tmp_path / "other")
    for owner, id_ in ((ledger, "a"), (other, "b")):
        owner.commit([record(id_)], [], "ann")
    drawn = read_drawn(export(other, 1, tmp_path / "out.geojson"))
    with pytest.raises(InputError, match="another ledger"):
        commit_drawn(ledger, drawn, "ann")
    assert list(ledger.records(ledger.manifest(ledger.last))) == ["a"]


def test_a_file_from_before_changes_nothing(ledger, record, write_geojson):
    old = write_geojson("old.geojson", [record("a"), record("b")])
    commit_drawn(ledger, read_drawn(old), "ann")
    ledger.commit([record("a", "forest", version=2)], ["b"], "bob")
    done = commit_drawn(ledger, read_drawn(old), "ann")
    assert (done.number, done.conflicts) == (2, ())


def test_a_geopackage_is_the_same_bytes_each_time_and_lacks_what_was_rejected(
    ledger, record, tmp_path
):
    drawn = [record("a", at=(104.5, 51.25)), record("b", review="rejected", validated_by="bob")]
    ledger.commit(drawn, [], "ann")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        export(ledger, 1, tmp_path / folder / "v.gpkg")
    assert (tmp_path / "one/v.gpkg").read_bytes() == (tmp_path / "two/v.gpkg").read_bytes()
    frame = geopandas.read_file(tmp_path / "one/v.gpkg")
    assert list(zip(frame["id"], frame["class"], frame["author"], strict=True)) == [
        ("a", "water", "ann")
    ]
    assert frame.geometry[0] == shapely.Point(104.5, 51.25)


def feature(**changes):
    good = {
        "type": "Feature",
        "properties": {"id": "a", "class": "water"},
        "geometry": {"type": "Point", "coordinates": [105, 52]},
    }
    return {**good, **changes}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ("[]", "GeoJSON features"),
        ('{"features": 5}', "GeoJSON features"),
        ('{"features": [5]}', "something else"),
        ({"features": [feature(geometry=None)]}, "no geometry"),
        ({"features": [feature(geometry={"type": "Point", "coordinates": ["x", 1]})]}, "geometry"),
        (
            {
                "features": [
                    feature(geometry={"type": "LineString", "coordinates": [[1, 1], [2, 2]]})
                ]
            },
            "LineString",
        ),
        (
            {
                "features": [
                    feature(geometry={"type": "Point", "coordinates": [500000, 5_800_000]})
                ]
            },
            "degrees",
        ),
        ({"features": [feature(), feature()]}, "stands twice"),
        ({"features": [feature(properties={"version": -1})]}, "version -1"),
        ({"features": [feature(properties={"version": "x"})]}, "version x"),
        ({"features": [feature(properties={"review": "good"})]}, "review good"),
        ({"features": [feature(properties={"class": ["a"]})]}, "a list"),
        ({"features": [feature()], "crs": {"type": "name"}}, "coordinate system"),
        ({"features": [], "legend": [5]}, "x.geojson"),
    ],
)
def test_broken_geojson_is_refused_with_words(tmp_path, content, said):
    path = tmp_path / "x.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=said):
        read_drawn(path)


def test_an_old_version_rebuilds_the_same_model_bytes(ledger, record, tmp_path):
    values, codes = quarters()
    scene = write_raster(tmp_path / "scene.tif", values, names=["red", "green", "nir"])
    shapes = {
        f"{code}-{n}": (f"class {code}", pixels(*corner, 5, 5))
        for code in range(1, 5)
        for n, corner in enumerate(_corners(codes == code))
    }
    degrees = geopandas.GeoSeries([shape for _, shape in shapes.values()], crs=CRS).to_crs(4326)
    drawn = [
        replace(record(id_, name), wkb=wkb_of(shape))
        for (id_, (name, _)), shape in zip(shapes.items(), degrees, strict=True)
    ]
    ledger.commit(drawn, [], "ann")
    first = _model(ledger, 1, scene, tmp_path / "first")
    ledger.commit([replace(drawn[0], class_name="class 2", version=2)], [drawn[1].id], "bob")
    other = _model(ledger, 2, scene, tmp_path / "other")
    ledger.restore(1, "ann")
    assert _model(ledger, 1, scene, tmp_path / "again") == first
    assert _model(ledger, 3, scene, tmp_path / "restored") == first
    assert other != first


def _corners(inside):
    rows, columns = np.nonzero(inside)
    top, left = rows.min(), columns.min()
    return [(top + 2, left + 2), (top + 2, left + 20), (top + 20, left + 2), (top + 20, left + 20)]


def _model(ledger, number, scene, workdir) -> bytes:
    workdir.mkdir()
    labels = export(ledger, number, workdir / "labels.gpkg")
    samples = extract_samples(scene=scene, labels=labels, workdir=workdir).samples
    model = train_classifier(samples=samples, options='{"trees": 10}', workdir=workdir).model
    return model.read_bytes()
