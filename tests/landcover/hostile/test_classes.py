"""Hostile and odd input: classes and names."""

import json

import numpy as np
import pytest
from pyproj import Transformer

from landcover.io.legend import Legend
from tests.landcover.hostile.desk import a_map, a_scene, some_labels, write_geojson
from tests.scenes import CRS, ORIGIN, pixels, write_labels, write_raster


def strips(names):
    """One polygon of one pixel for each name, row by row of a scene 16 wide."""
    return [(name, pixels(*divmod(i, 16), 1, 1)) for i, name in enumerate(names)]


@pytest.mark.parametrize("count", [255, 10_000])
def test_more_than_254_classes_are_refused(desk, count):
    labels = write_labels(desk.inputs / "l.gpkg", strips(f"c{i}" for i in range(count)))
    assert "at most 254" in desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    said = desk.refuses("assess-quality", map=a_map(desk), reference=labels)
    assert "at most 254" in said


def test_254_classes_are_told_apart(desk):
    names = [f"c{i:03}" for i in range(254)]
    labels = write_labels(desk.inputs / "l.gpkg", strips(names))
    assert desk.does("extract-samples", scene=a_scene(desk), labels=labels)["total"] == 254
    assert desk.counts() == dict.fromkeys(names, 1)
    assert desk.samples("c253").ravel().tolist() == [254, 254 + 256]


def test_a_label_raster_of_many_codes_is_refused(desk):
    codes = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    labels = write_raster(desk.inputs / "codes.tif", codes)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    desk.refuses("assess-quality", map=a_map(desk), reference=labels)
    for odd in (np.full((16, 16), -3, np.int16), np.full((16, 16), 1.5, np.float32),
                np.full((16, 16), np.nan, np.float32), np.zeros((16, 16), np.uint8)):  # fmt: skip
        path = write_raster(desk.inputs / "odd.tif", odd)
        desk.refuses("extract-samples", scene=a_scene(desk), labels=path)
        desk.refuses("assess-quality", map=a_map(desk), reference=path)


NAMES = [
    "сосновый лес", "a/b", "../../etc", "..", ".", ".hidden", 'say "no"', "it's", "a\\b", "$x_{$",
    "<b>bold</b>", "{{ 7*7 }}", "50%", "%2E", "a:b*c?", "samples.json", "CON", "-rf", "=1+1",
    "nul\tl", "é", "e\u0301", "ﬁr", "1.0", "0", "255", "class", "٣",
]  # fmt: skip


def test_odd_class_names_come_back_as_they_were(desk):
    labels = write_labels(desk.inputs / "l.gpkg", strips(NAMES))
    assert desk.does("extract-samples", scene=a_scene(desk), labels=labels)["total"] == len(NAMES)
    assert desk.counts() == dict.fromkeys(NAMES, 1)
    folders = [path.name for path in (desk.out / "samples").iterdir() if path.is_dir()]
    assert len(folders) == len(NAMES)
    assert not any(name.startswith(".") for name in folders)
    assert all(path.parent == desk.out for path in desk.out.iterdir())
    desk.does("balance-samples", samples=desk.out / "samples")
    assert sorted(name for _, name in desk.selection()) == sorted(NAMES)


@pytest.mark.parametrize("name", ["$\\frac{$", "$x_{$", "a\\", "<b>", "{x}", "_hidden", "50%"])
def test_odd_class_names_stand_in_the_diagram_of_each_class(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name, "wood", name]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    desk.does("balance-samples", samples=desk.out / "samples", scope="class")
    assert sorted(found for _, found in desk.selection()) == sorted([name, "wood", name])


@pytest.mark.parametrize("name", ["森林", "🌲"])
def test_names_that_the_font_lacks_do_no_harm(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name, "wood"]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    desk.does("balance-samples", samples=desk.out / "samples", scope="class")
    assert sorted(found for _, found in desk.selection()) == sorted([name, "wood"])
    mapped = a_map(desk, np.full((16, 16), 2, np.uint8), tag=Legend.of([name, "wood"]).to_tag())
    desk.does("assess-quality", map=mapped, reference=labels)
    assert desk.statistics()["classes"] == sorted([name, "wood"])


@pytest.mark.parametrize("name", ["x" * 5000, "лес " * 60, "/" * 100])
def test_a_class_name_of_any_length_is_a_class_or_refused(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name]))
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts() == {name.strip(): 1}
    desk.does_or_refuses("assess-quality", map=a_map(desk), reference=labels)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred\x1b[0m", "bell\x07", "\u202eback"])
def test_a_class_name_writes_no_second_line_on_the_terminal(desk, name):
    bare = write_geojson(desk.inputs / "bare.geojson", (name, None))
    desk.refuses("extract-samples", scene=a_scene(desk), labels=bare)
    labels = write_labels(desk.inputs / "l.geojson", strips([name]), crs="EPSG:4326")
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts() == {name: 1}
    field = write_labels(desk.inputs / "f.gpkg", strips(["a"]), field=name)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=field)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=field, class_field=f"{name}x")
    desk.refuses("extract-samples", scene=desk.inputs / f"{name}.tif", labels=labels)


def test_names_that_differ_by_space_around_them_are_one_class(desk):
    labels = write_labels(desk.inputs / "l.gpkg", strips([" a", "a", "a\u00a0"]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    assert desk.counts() == {"a": 3}


def test_half_a_character_in_a_class_name_is_read_or_refused(desk):
    text = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": '
    text += '{"class": "x\\ud800y"}, "geometry": {"type": "Point", "coordinates": [105, 52]}}]}'
    (desk.inputs / "l.geojson").write_text(text)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(ORIGIN[0] + 25, ORIGIN[1] - 25)
    (desk.inputs / "l.geojson").write_text(text.replace("[105, 52]", f"[{lon}, {lat}]"))
    labels = desk.inputs / "l.geojson"
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    (desk.inputs / "b.geojson").write_bytes(
        labels.read_bytes().replace(b"\\ud800", b"\xff\xfe\xc3")
    )
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=desk.inputs / "b.geojson")


@pytest.mark.parametrize(
    "name", ["a scene", "снимок №1", "it's", 'a"b', "-rf", "a%20b", "a:b", "x?y=1", "a#b", "<i>"]
)
def test_files_of_any_name_are_read(desk, name):
    scene = a_scene(desk, name=f"{name}.tif")
    labels = some_labels(desk).rename(desk.inputs / f"{name}.gpkg")
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    described = json.loads((desk.out / "samples/samples.json").read_text())
    assert described["scene"] == f"{name}.tif"
    reference = write_labels(desk.inputs / "r.gpkg", strips(["forest", "town"]))
    reference = reference.rename(desk.inputs / f"{name} r.gpkg")
    mapped = a_map(desk, name=f"{name} map.tif")
    result = desk.does("assess-quality", map=mapped, reference=reference)
    assert (result["labelled"], result["accuracy"]) == (2, 0.5)
    assert "<i>" not in (desk.out / "report.html").read_text()
