"""Hostile and odd input: maps."""

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from tests.landcover.hostile.desk import a_map, a_reference, a_scene
from tests.scenes import label_points


@pytest.mark.parametrize(
    "tag",
    [
        "no JSON", "[1, 2]", "1", '"x"', '""', "{}", "null", "true", "[[]]", "[null]", "[{}]", "[",
        '[{"code": 1}]', '[{"code": 1, "name": null}]', '[{"code": 1, "name": ""}]',
        '[{"code": 1, "name": "a"}, {"code": 1, "name": "b"}]',
        '[{"code": 1, "name": "a"}, {"code": 1, "name": "a"}]',
        '[{"code": 1, "name": "a"}, {"code": 2, "name": "a "}]',
        '[{"code": 0, "name": "a"}]', '[{"code": 255, "name": "a"}]',
        '[{"code": -1, "name": "a"}]',
        '[{"code": true, "name": "a"}]', '[{"code": 1.5, "name": "a"}]',
        '[{"code": Infinity, "name": "a"}]', '[{"code": NaN, "name": "a"}]',
        '[{"code": 1e400, "name": "a"}]', '[{"code": ' + "9" * 5000 + ', "name": "a"}]',
        '[{"code": 1, "name": ["a"]}]', '[{"code": 1, "name": {"a": 1}}]',
        '[{"code": 1, "name": "a", "color": "red; } body { display: none"}]',
        '[{"code": 1, "name": "a", "color": {"a": 1}}]',
        '{"code": 1, "name": "a"}', "[" * 50_000, '[{"code": 1, "name": ' + "[" * 50_000,
    ],
    ids=lambda tag: tag[:45],
)  # fmt: skip
def test_a_map_whose_legend_is_none_is_refused(desk, tag):
    mapped = a_map(desk, tag=tag)
    reference = a_reference(desk, "a")
    desk.refuses("assess-quality", map=mapped, reference=reference)
    desk.refuses("assess-quality", map=a_map(desk, name="good.tif"), reference=mapped)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=mapped)


def test_a_legend_is_text_in_the_report_never_a_page(desk):
    name = "<script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    tag = json.dumps([{"code": 1, "name": name}, {"code": 2, "name": "'\"&"}])
    codes = np.ones((16, 16), np.uint8)
    codes[2:] = 2
    mapped = a_map(desk, codes, tag=tag)
    drawn = desk.does("draw-reference-sample", map=mapped, per_class=256)
    reference = label_points(Path(drawn["points"]), desk.inputs / "r.gpkg", lambda *_: name)
    result = desk.does("assess-quality", map=mapped, reference=reference, design="stratified")
    assert (result["labelled"], result["accuracy"]) == (256, 32 / 256)
    assert desk.statistics()["classes"] == [name, "'\"&"]
    page = (desk.out / "report.html").read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert ">49<" not in page


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int8", "float32", "uint32"])
def test_a_map_of_any_dtype_is_read_and_refused_for_what_is_no_code(desk, dtype):
    mapped = a_map(desk, np.ones((16, 16), dtype), nodata=None)
    done = desk.does("assess-quality", map=mapped, reference=a_reference(desk))
    assert (done["labelled"], done["accuracy"]) == (16, 1.0)
    wrong = np.ones((16, 16), dtype)
    wrong[2, 2] = {"u": 256, "i": -7, "f": 0.5}[np.dtype(dtype).kind]
    said = desk.refuses(
        "assess-quality", map=a_map(desk, wrong, nodata=None), reference=a_reference(desk)
    )
    assert f"holds {wrong[2, 2]}, a map needs whole codes" in said


def test_a_picture_of_several_bands_is_no_map_and_no_label_raster(desk):
    picture = np.ones((3, 16, 16), np.uint8)
    mapped = a_map(desk, picture)
    said = desk.refuses("assess-quality", map=mapped, reference=a_reference(desk))
    assert "band" in said
    desk.refuses("assess-quality", map=a_map(desk, name="good.tif"), reference=mapped)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=mapped)


def test_a_map_or_a_reference_of_nothing_is_refused(desk):
    nothing = a_map(desk, np.full((16, 16), 255, np.uint8))
    unlabelled = a_map(desk, np.zeros((16, 16), np.uint8), name="zero.tif")
    good = a_map(desk, name="good.tif")
    for mapped, reference in ((nothing, good), (good, nothing), (unlabelled, good),
                              (good, unlabelled)):  # fmt: skip
        desk.refuses("assess-quality", map=mapped, reference=reference)


def test_a_reference_on_the_other_side_of_the_world_is_refused(desk):
    far = a_map(
        desk, name="far.tif", transform=Affine(10, 0, 300_000, 0, -10, 1_000), crs="EPSG:32701"
    )
    desk.refuses("assess-quality", map=a_map(desk), reference=far)
    pole = a_map(desk, name="pole.tif", transform=Affine(10, 0, 0, 0, -10, 0), crs="EPSG:3031")
    desk.refuses("assess-quality", map=a_map(desk), reference=pole)
