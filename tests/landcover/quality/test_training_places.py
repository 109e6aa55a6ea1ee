"""A map is not assessed by what trained it without a word."""

import json
from pathlib import Path
from shutil import copytree

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import Point

from landcover import (
    assess_quality,
    classify_scene,
    draw_reference_sample,
    extract_samples,
    train_classifier,
)
from landcover.io.legend import Legend
from landcover.models.file import load_model
from landcover.models.footprint import PLACES_TAG
from landcover.training.loading import load_samples
from tests.scenes import CRS, TRANSFORM, pixels, quarters, write_labels, write_raster

TRAINING = [
    (name, pixels(row + 2, column + 2, 9, 9))
    for name, row, column in (
        ("a", 0, 0), ("b", 0, 128), ("c", 128, 0), ("d", 128, 128),
        ("a", 96, 96), ("b", 96, 224), ("c", 224, 96), ("d", 224, 224),
    )
]  # fmt: skip
ELSEWHERE = [
    (name, pixels(row + 50, column + 50, 9, 9))
    for name, row, column in (("a", 0, 0), ("b", 0, 128), ("c", 128, 0), ("d", 128, 128))
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a map of 256 x 256 pixels, 16 of them wrong outside the training places."""
    folder = tmp_path_factory.mktemp("made")
    values, _ = quarters(256)
    values[:, 50:54, 50:54] = values[:, 180:184, 180:184]
    scene = write_raster(folder / "scene.tif", values, names=["b1", "b2", "b3"], nodata=0)
    samples = extract_samples(scene, write_labels(folder / "t.gpkg", TRAINING), workdir=folder)
    trained = train_classifier(samples.samples, options='{"trees": 5}', workdir=folder)
    classify_scene(scene, trained.model, workdir=folder)
    return folder


def assessed(made, reference, tmp_path):
    result = assess_quality(
        made / "map.tif", reference, workdir=tmp_path / "assessed", overwrite=True
    )
    statistics = json.loads(result.statistics.read_text())
    remarks = json.loads((tmp_path / "assessed" / "run.json").read_text())["run"]["remarks"]
    return statistics, remarks, result.report.read_text()


def test_card_and_map_carry_the_cells_of_the_training_pixels(made):
    places = load_model(made / "model.onnx").card.places
    assert (places.crs, places.cell, places.complete) == (CRS, 16, True)
    assert Affine(*places.transform) == TRANSFORM @ Affine.scale(16)
    assert (0, 0, 0) in places.runs
    assert len(places.runs) == len(TRAINING)
    with rasterio.open(made / "map.tif") as dataset:
        assert json.loads(dataset.tags()[PLACES_TAG]) == json.loads(places.to_json())


def as_raster(path):
    codes = np.zeros((256, 256), np.uint8)
    for name, polygon in TRAINING:
        left, _, _, top = polygon.bounds
        column, row = (round(at) for at in ~TRANSFORM @ (left, top))
        codes[row : row + 9, column : column + 9] = "abcd".index(name) + 1
    return write_raster(
        path, codes, nodata=0, LANDCOVER_LEGEND=Legend.of(["a", "b", "c", "d"]).to_tag()
    )


def beside(path):
    ring = [(name, shape.buffer(20, join_style="mitre") - shape) for name, shape in TRAINING]
    return write_labels(path, ring)


REFERENCES = {
    "the polygons": lambda path: write_labels(path / "r.gpkg", TRAINING),
    "half of them": lambda path: write_labels(path / "r.gpkg", TRAINING[::2]),
    "another format": lambda path: write_labels(path / "r.geojson", TRAINING, crs="EPSG:4326"),
    "another CRS": lambda path: write_labels(path / "r.gpkg", TRAINING, crs="EPSG:3035"),
    "a raster": lambda path: as_raster(path / "r.tif"),
    "pixels beside": lambda path: beside(path / "r.gpkg"),
}


@pytest.mark.parametrize("which", REFERENCES)
def test_what_trained_the_map_is_found_in_any_form(made, tmp_path, which):
    statistics, remarks, page = assessed(made, REFERENCES[which](tmp_path), tmp_path)
    share = statistics["inside_training"]
    assert share == 1 if which != "pixels beside" else share > 0.8
    assert statistics["trained_on_reference"] is True
    assert list(statistics)[:2] == ["inside_training", "trained_on_reference"]
    assert "% of the compared pixels lie where the map's model was trained" in remarks[0]
    assert 0 < page.index("model was trained") < page.index('class="key"')
    if share == 1:
        assert statistics["outside_training"] is None
        assert "No compared pixel lies elsewhere" in remarks[0]


def test_the_figure_without_the_training_places_stands_beside(made, tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", TRAINING + ELSEWHERE)
    statistics, remarks, _ = assessed(made, reference, tmp_path)
    assert statistics["inside_training"] == 8 / 12
    outside = statistics["outside_training"]
    assert (outside["labelled"], outside["accuracy"]) == (4 * 81, 1 - 16 / (4 * 81))
    assert outside["kappa"] == pytest.approx(0.934, abs=1e-3)  # by hand: (po - 1/4) / (3/4), about
    assert statistics["overall"]["Overall ACC"] == 1 - 16 / (12 * 81)
    assert remarks[0].startswith("66.7 % of the compared pixels")
    assert "Of the 324 other pixels 95.1 % are right (kappa 0.934)." in remarks[0]


def test_a_reference_from_other_places_is_not_warned_of(made, tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", ELSEWHERE)
    statistics, remarks, page = assessed(made, reference, tmp_path)
    assert (statistics["inside_training"], statistics["trained_on_reference"]) == (0, False)
    assert remarks == []
    assert "Of these pixels 0.0 % lie where the map&#39;s model was trained." in page


def test_one_pixel_of_a_hundred_is_enough(made, tmp_path):
    at = TRANSFORM @ (5.5, 5.5)
    for others, is_trained in ((81, True), (4 * 81, False)):
        shapes = [("a", Point(at).buffer(4)), *ELSEWHERE[: others // 81]]
        reference = write_labels(tmp_path / f"{others}.gpkg", shapes)
        statistics, *_ = assessed(made, reference, tmp_path / str(others))
        assert statistics["inside_training"] == 1 / (others + 1)
        assert statistics["trained_on_reference"] is is_trained
        assert statistics["outside_training"]["labelled"] == others


@pytest.mark.parametrize("per_class", [2, 100])
def test_a_drawn_sample_is_not_called_too_good(made, tmp_path, per_class):
    """It holds as much of the training places as the map does."""
    drawn = draw_reference_sample(made / "map.tif", per_class=per_class, workdir=tmp_path).points
    points = geopandas.read_file(drawn).assign(**{"class": "a"})
    points.to_file(tmp_path / "labelled.gpkg")
    result = assess_quality(
        made / "map.tif", tmp_path / "labelled.gpkg", design="stratified", workdir=tmp_path / "q"
    )
    page, statistics = result.report.read_text(), json.loads(result.statistics.read_text())
    assert "too good" not in page
    assert "from other places" not in page
    assert ("of the compared pixels lie where" in page) is statistics["trained_on_reference"]
    if per_class == 100:
        assert statistics["trained_on_reference"]
        assert "other pixels" in page


def test_of_a_map_that_does_not_say_it_is_not_known(made, tmp_path):
    with rasterio.open(made / "map.tif") as dataset:
        codes, tags = dataset.read(1), dataset.tags()
    write_raster(
        tmp_path / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=tags["LANDCOVER_LEGEND"]
    )
    reference = write_labels(tmp_path / "r.gpkg", ELSEWHERE)
    statistics, remarks, _ = assessed(tmp_path, reference, tmp_path)
    assert statistics["inside_training"] is statistics["trained_on_reference"] is None
    assert remarks[0].startswith("It is not known whether this reference trained the map")


def test_samples_that_do_not_say_where_they_lie_are_told(made, tmp_path, caplog):
    folder = Path(copytree(made / "samples", tmp_path / "samples"))
    described = json.loads((folder / "samples.json").read_text())
    del described["transform"]
    (folder / "samples.json").write_text(json.dumps(described))
    assert load_samples([folder], None, with_context=False).footprint is None
    assert "it is not known where these samples lie" in caplog.text


def test_a_class_that_no_reference_pixel_lies_on_is_named(made, tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", ELSEWHERE[:3])
    _, remarks, page = assessed(made, reference, tmp_path)
    # d stands on 16 pixels of a polygon of a: of those something is known
    assert not any("No reference pixel" in remark for remark in remarks)
    _, remarks, page = assessed(made, write_labels(tmp_path / "b.gpkg", ELSEWHERE[1:2]), tmp_path)
    assert "No reference pixel lies on what is mapped as a, c, d: nothing is known" in remarks[0]
    assert "mapped as a, c, d" in page
