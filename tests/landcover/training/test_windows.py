"""Windows around pixels: what samples need for them, and that maps see what training saw."""

import csv
import json

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from landcover import classify_scene, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.inference.block import BlockClassifier
from landcover.io.raster import read_grown
from landcover.models.file import load_model
from landcover.models.forest.window_features import KINDS, REACH, window_features
from landcover.models.forest.windowed import WindowedForest
from landcover.training.loading import load_samples
from tests.scenes import pixels, write_labels, write_raster

FEW = '{"trees": 10}'


def scene_in(folder, height=60, width=64):
    """Write a scene of two textures of one mean, with holes, and labels that reach its border."""
    rng = np.random.default_rng(3)
    values = np.full((2, height, width), 1000.0)
    values[:, :, width // 2 :] += 400 * rng.standard_normal((2, height, width - width // 2))
    values = values.clip(1).astype(np.uint16)
    values[:, rng.random((height, width)) < 0.05] = 0
    scene = write_raster(folder / "scene.tif", values, names=("red", "nir"), nodata=0)
    shapes = [(name, pixels(row, column, 8, 8)) for name, column in (("smooth", 0), ("rough", 40))
              for row in (0, 17, 34, 52)]  # fmt: skip
    return scene, write_labels(folder / "labels.gpkg", shapes)


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """Scene, labels, and samples with a context of 3 pixels."""
    folder = tmp_path_factory.mktemp("cut")
    scene, labels = scene_in(folder)
    return scene, labels, extract_samples(scene, labels, context=3, workdir=folder).samples


def report_of(trained):
    return json.loads(trained.report.read_text())


def test_windows_are_used_where_the_samples_have_the_context(cut, tmp_path):
    scene, labels, samples = cut
    with_windows = train_classifier(samples, options=FEW, workdir=tmp_path / "a")
    model = load_model(with_windows.model)
    assert isinstance(model.classifier, WindowedForest)
    assert model.card.options["windows"] == "3,7"
    assert report_of(with_windows)["windows"] == "3,7"
    assert [band.name for band in model.card.bands] == ["red", "nir"]
    assert with_windows.accuracy > 0.95
    plain = extract_samples(scene, labels, workdir=tmp_path).samples
    without = train_classifier(plain, options=FEW, workdir=tmp_path / "b")
    model = load_model(without.model)
    assert model.classifier.halo == 0
    assert (model.card.options["windows"], report_of(without)["windows"]) == ("none", "none")
    assert without.accuracy < with_windows.accuracy
    # radiometry knows the bands alone
    with_context = load_model(with_windows.model).card
    assert with_context.bands == model.card.bands
    assert with_context.samples_sha256 != ""


def test_windows_can_be_left_out(cut, tmp_path):
    options = '{"trees": 10, "windows": "none"}'
    trained = train_classifier(cut[2], options=options, workdir=tmp_path)
    assert load_model(trained.model).classifier.halo == 0


@pytest.mark.parametrize("method", ["random-forest", "gradient-boosting"])
def test_samples_without_the_context_are_refused_with_the_call_that_is_needed(
    method, cut, tmp_path
):
    scene, labels, _ = cut
    samples = extract_samples(scene, labels, context=2, workdir=tmp_path).samples
    with pytest.raises(InputError, match="extract-samples with --context 3") as caught:
        train_classifier(samples, method=method, options='{"windows": "3,7"}', workdir=tmp_path)
    assert "the samples have 2" in str(caught.value)


def test_chips_have_the_context_around_their_centre(cut, tmp_path):
    scene, labels, _ = cut
    samples = extract_samples(scene, labels, chip_size=7, workdir=tmp_path).samples
    trained = train_classifier(samples, options=FEW, workdir=tmp_path)
    assert load_model(trained.model).classifier.halo == REACH
    masked = extract_samples(scene, labels, chip_size=7, masks=True, workdir=tmp_path / "m")
    trained = train_classifier(masked.samples, options=FEW, workdir=tmp_path / "m")
    assert load_model(trained.model).classifier.halo == 0


def test_a_training_pixel_has_the_features_of_the_map_to_the_bit(cut):
    scene, _, samples = cut
    labelled = load_samples([samples], None, False, lambda context: context == 3)
    training_set = labelled.training_set
    with rasterio.open(scene) as dataset:
        whole = Window(0, 0, dataset.width, dataset.height)
        of_scene = window_features(*read_grown(dataset, whole, [1, 2], REACH))
    columns, rows = np.floor(labelled.ground.regions[0].at).astype(int).T
    on_border = (rows < REACH) | (columns < REACH) | (rows >= 60 - REACH)
    assert on_border.sum() > 50
    expected = of_scene[:, rows, columns].T
    assert training_set.features.shape == (len(training_set), 2 * len(KINDS))
    assert training_set.features.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_the_map_and_its_confidence_do_not_depend_on_the_blocks(cut, tmp_path):
    scene, _, samples = cut
    model = train_classifier(samples, options=FEW, workdir=tmp_path).model
    with rasterio.open(scene) as dataset:
        values, valid = read_grown(dataset, Window(0, 0, 64, 60), [1, 2], REACH)
        expected = load_model(model).classifier.classify(values, valid)
    for name, how in {
        "rows": {"blockysize": 1}, "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32}
    }.items():  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        with rasterio.open(scene) as source:
            profile = source.profile | how
            with rasterio.open(folder / "scene.tif", "w", **profile) as target:
                target.write(source.read())
                target.descriptions = source.descriptions
        found = classify_scene(folder / "scene.tif", model, workdir=folder)
        for path, band in zip((found.map, found.confidence), expected, strict=True):
            with rasterio.open(path) as dataset:
                np.testing.assert_array_equal(dataset.read(1), band)


def test_parts_of_a_window_see_beyond_one_another(cut, tmp_path, monkeypatch):
    scene, _, samples = cut
    forest = load_model(train_classifier(samples, options=FEW, workdir=tmp_path).model).classifier
    with rasterio.open(scene) as dataset:
        values, valid = read_grown(dataset, Window(0, 0, 64, 60), [1, 2], REACH)
    whole = forest.classify(values, valid)
    monkeypatch.setattr("landcover.inference.block._HALOS", 4)
    found = BlockClassifier(forest, [1, 2]).classify(values, valid, None, lambda: False)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_importance_is_that_of_bands_with_their_windows_and_of_each_kind(cut, tmp_path):
    trained = train_classifier(cut[2], options=FEW, workdir=tmp_path)
    with trained.importance.open() as file:
        rows = {row["band"]: float(row["importance"]) for row in csv.DictReader(file)}
    kinds = {f"{kind} of all bands" for kind in KINDS[1:]}
    assert set(rows) == {"red", "nir"} | kinds
    assert max(kinds, key=rows.get).startswith("deviation")
    assert list(rows.values()) == sorted(rows.values(), reverse=True)
