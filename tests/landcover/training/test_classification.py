import json
import math

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from onnx import helper
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from landcover import balance_samples, classify_scene, extract_samples, train_classifier
from landcover.errors import InputError, ModelError
from landcover.models.file import CARD_KEY, load_model
from landcover.models.forest.ensemble import round_down
from landcover.models.methods import METHODS, random_forest
from landcover.models.training_set import TrainingSet
from tests.scenes import pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")
CLASSES = {1: "field", 2: "forest", 3: "meadow", 4: "water"}
FEW_ROUNDS = {
    "gradient-boosting": {
        "rounds": 20, "learning_rate": 0.1, "leaves": 31, "leaf_pixels": 20, "l2": 0.0,
        "max_features": 1.0, "class_weight": 1.0,
    }
}  # fmt: skip
"""scikit-learn's own options, for fewer rounds."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A scene of four quarters, six polygons in each, samples and a model."""
    folder = tmp_path_factory.mktemp("campaign")
    values, codes = quarters(96)
    scene = write_raster(folder / "scene.tif", values, names=NAMES)
    shapes = [
        (CLASSES[int(codes[row, column])], pixels(row, column, 5, 5))
        for row in (2, 18, 34, 50, 66, 82)
        for column in (3, 20, 52, 80)
    ]
    labels = write_labels(folder / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=folder).samples
    training = train_classifier(samples, workdir=folder)
    return {"folder": folder, "scene": scene, "codes": codes, "samples": samples,
            "training": training, "labels": labels}  # fmt: skip


def test_a_clear_scene_is_mapped_without_error(campaign, tmp_path):
    result = classify_scene(campaign["scene"], campaign["training"].model, workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        np.testing.assert_array_equal(dataset.read(1), campaign["codes"])
        assert dataset.nodata == 255
        assert dataset.overviews(1) == [] or min(dataset.shape) >= 512
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        legend = json.loads(dataset.tags()["LANDCOVER_LEGEND"])
        assert [(c["code"], c["name"]) for c in legend] == list(CLASSES.items())
        color = legend[0]["color"]
        assert dataset.colormap(1)[1][:3] == tuple(bytes.fromhex(color[1:]))
    with rasterio.open(result.confidence) as dataset:
        assert dataset.read(1).min() > 50
        assert dataset.read(1).max() <= 100
    assert result.classified == 96 * 96
    coverage = json.loads(result.coverage.read_text())
    assert coverage["valid"] == coverage["classified"] == 96 * 96


def test_the_report_holds_both_figures_and_every_class(campaign):
    report = json.loads(campaign["training"].report.read_text())
    assert set(report) == {
        "accuracy_spatial", "accuracy_spatial_interval", "partition_spread", "accuracy_random",
        "gap", "macro_f1", "per_class", "groups", "partitions", "distance", "skipped", "remarks",
        "recipe", "windows", "reliability", "importance", "scenes", "labels_by",
    }  # fmt: skip
    assert report["accuracy_spatial"] == campaign["training"].accuracy == 1.0
    assert report["groups"] == 24
    assert report["per_class"]["water"] == {"ppv": 1.0, "tpr": 1.0, "f1": 1.0, "n": 150,
                                             "places": 6}  # fmt: skip


@pytest.mark.slow
def test_places_are_never_shared_between_folds(tmp_path):
    """Each polygon has a spectrum of its own: only a pixel of the same polygon could help."""
    rng = np.random.default_rng(0)
    values = np.zeros((3, 60, 60), np.uint16)
    shapes = []
    for i, row in enumerate(range(0, 60, 6)):
        values[:, row : row + 5, :20] = rng.integers(0, 5000, 3)[:, None, None]
        shapes.append((("a", "b")[i % 2], pixels(row, 0, 5, 20)))
    scene = write_raster(tmp_path / "scene.tif", values)
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=tmp_path).samples
    report = json.loads(train_classifier(samples, workdir=tmp_path).report.read_text())
    assert report["accuracy_random"] == 1.0
    assert report["accuracy_spatial"] < 0.8
    assert math.isclose(report["gap"], 1 - report["accuracy_spatial"])
    random = train_classifier(samples, validation="random", workdir=tmp_path)
    assert random.accuracy == 1.0


def test_a_class_of_one_place_is_named_and_left_out(tmp_path):
    values, _ = quarters(32)
    scene = write_raster(tmp_path / "scene.tif", values)
    two = [("a", pixels(0, 0, 4, 4)), ("a", pixels(8, 0, 4, 4)), ("b", pixels(20, 0, 4, 4))]
    samples = extract_samples(
        scene, write_labels(tmp_path / "l.gpkg", two), workdir=tmp_path
    ).samples
    training = train_classifier(samples, workdir=tmp_path)
    report = json.loads(training.report.read_text())
    assert report["skipped"] == {"b": "fewer than two places"}
    assert report["accuracy_spatial"] is None
    assert math.isnan(training.accuracy)
    assert load_model(training.model).card.legend.names == ("a", "b")


@pytest.mark.parametrize("method", ["random-forest", "gradient-boosting"])
@pytest.mark.parametrize("classes", [2, 4])
def test_labels_from_the_file_equal_the_trainers(method, classes, campaign, tmp_path):
    rng = np.random.default_rng(7)
    x = rng.integers(0, 900, (3000, 3)).astype(np.float32)
    y = (1 + (x[:, 0] > x[:, 1]) + 2 * (x[:, 2] > 450) * (classes == 4)).astype(np.uint8)
    options = METHODS[method].options(**FEW_ROUNDS.get(method, {}))
    trained = METHODS[method].fit(TrainingSet.of_pixels(x[:1500], y[:1500]), options, 0)
    proto = helper.make_model(
        trained.to_graph(), opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    label, probability = session.run(None, {"pixels": x})
    reference = {
        "random-forest": random_forest.trainer(y[:1500], 0),
        "gradient-boosting": HistGradientBoostingClassifier(
            max_iter=20, class_weight="balanced", early_stopping=False, random_state=0
        ),
    }[method]
    with threadpool_limits(1, user_api="openmp"):  # several spin where the machine is busy
        reference.fit(x[:1500], y[:1500])
    expected = reference.predict_proba(x)
    ours = trained.predict_proba(x)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    np.testing.assert_allclose(probability, expected, atol=2e-5)
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-5  # near-ties may fall either way
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(trained.predict(x)[clear], reference.predict(x)[clear])
    np.testing.assert_array_equal(label[clear], reference.predict(x)[clear])


def test_thresholds_are_rounded_down():
    thresholds = np.array([0.1, -0.1, 5.0, 1e39, 123456789.3])
    rounded = round_down(thresholds)
    assert rounded.dtype == np.float32
    assert (rounded.astype(float) <= thresholds).all()
    assert (np.nextafter(rounded[:3], np.float32(np.inf)).astype(float) > thresholds[:3]).all()


def test_nodata_stays_nodata_and_is_counted(campaign, tmp_path):
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read()
    values[1, 10:20, 10:30] = 0
    scene = write_raster(tmp_path / "scene.tif", values, names=NAMES, nodata=0)
    result = classify_scene(scene, campaign["training"].model, workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        codes = dataset.read(1)
    expected = campaign["codes"].copy()
    expected[10:20, 10:30] = 255
    np.testing.assert_array_equal(codes, expected)
    coverage = json.loads(result.coverage.read_text())
    assert coverage["valid"] + sum(coverage["masked"].values()) == 96 * 96
    assert sum(coverage["masked"].values()) == 200


def test_edges_of_a_scene_larger_than_a_block_are_classified(campaign, tmp_path):
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read()
    wide = np.tile(values, (1, 1, 6))[:, :70, :523]
    scene = write_raster(tmp_path / "scene.tif", wide, names=NAMES)
    result = classify_scene(scene, campaign["training"].model, workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        np.testing.assert_array_equal(
            dataset.read(1), np.tile(campaign["codes"], (1, 6))[:70, :523]
        )


def test_a_scene_without_a_valid_pixel_leaves_no_map(campaign, tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.zeros((3, 9, 9), np.uint16), names=NAMES, nodata=0)
    with pytest.raises(InputError, match="holds no valid pixel"):
        classify_scene(scene, campaign["training"].model, workdir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_one_pixel_is_classified(campaign, tmp_path):
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read()[:, :1, :1]
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    assert classify_scene(scene, campaign["training"].model, workdir=tmp_path).classified == 1


def test_bands_are_matched_by_name_not_by_order(campaign, tmp_path):
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read()
    scene = write_raster(tmp_path / "s.tif", values[[2, 0, 1]], names=("B04", "B02", "B03"))
    result = classify_scene(scene, campaign["training"].model, workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        np.testing.assert_array_equal(dataset.read(1), campaign["codes"])


def test_bands_without_names_are_taken_in_file_order_and_that_is_said(campaign, tmp_path):
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read()
    nameless = write_raster(tmp_path / "s.tif", values)
    result = classify_scene(nameless, campaign["training"].model, workdir=tmp_path, overwrite=True)
    assert "file order" in json.loads(result.coverage.read_text())["bands"]
    with pytest.raises(InputError, match="has 2 bands without names, the model needs 3"):
        classify_scene(
            write_raster(tmp_path / "t.tif", values[:2]), campaign["training"].model,
            workdir=tmp_path, overwrite=True,
        )  # fmt: skip


def test_a_missing_band_is_named(campaign, tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((2, 4, 4), np.uint16), names=("B02", "B04"))
    with pytest.raises(InputError, match="has no band B03, it has B02, B04"):
        classify_scene(scene, campaign["training"].model, workdir=tmp_path)


@pytest.fixture
def reflectance(campaign, tmp_path):
    """The campaign's scene as reflectance, where the model knows counts."""
    with rasterio.open(campaign["scene"]) as dataset:
        values = dataset.read().astype(np.float32) / 10_000
    return write_raster(tmp_path / "s.tif", values, names=NAMES)


def test_a_shifted_scene_is_refused_and_nothing_is_written(campaign, reflectance, tmp_path):
    with pytest.raises(InputError, match=r"was not classified: .*multiplying by 10000"):
        classify_scene(reflectance, campaign["training"].model, workdir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_a_harmonised_scene_is_mapped_as_the_clean_one(campaign, reflectance, tmp_path):
    model = campaign["training"].model
    result = classify_scene(reflectance, model, radiometry="harmonise", workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        np.testing.assert_array_equal(dataset.read(1), campaign["codes"])
        assert "RADIOMETRY" not in dataset.tags()
    said = json.loads(result.coverage.read_text())["radiometry"]
    assert said["corrected"] is True
    assert said["verdict"] == "shifted"
    assert [(band["name"], band["gain"]) for band in said["bands"]] == [
        (name, pytest.approx(10_000)) for name in NAMES
    ]


def test_an_ignored_check_is_written_on_the_map(campaign, reflectance, tmp_path):
    model = campaign["training"].model
    result = classify_scene(reflectance, model, radiometry="ignore", workdir=tmp_path)
    with rasterio.open(result.map) as dataset:
        assert dataset.tags()["RADIOMETRY"] == "ignored:shifted"


@pytest.mark.parametrize("way", ["refuse", "harmonise"])
def test_foreign_spectra_are_refused_whatever_is_asked(campaign, tmp_path, way):
    values = np.random.default_rng(0).integers(5000, 9000, (3, 40, 40)).astype(np.uint16)
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    with pytest.raises(InputError, match="was not classified"):
        classify_scene(scene, campaign["training"].model, radiometry=way, workdir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


@pytest.mark.slow
def test_a_selection_decides_what_is_learned_from(campaign, tmp_path):
    balance = balance_samples(campaign["samples"], threshold=20, workdir=tmp_path)
    training = train_classifier(campaign["samples"], balance.selection, workdir=tmp_path)
    report = json.loads(training.report.read_text())
    assert sum(c["n"] for c in report["per_class"].values()) == balance.after < balance.before


def test_a_selection_of_other_samples_is_refused(campaign, tmp_path):
    (tmp_path / "selection.csv").write_text(
        "file,index,class,cluster,kept\nwood/x.npy,3,wood,0,1\n"
    )
    with pytest.raises(InputError, match=r"names sample 3 of wood/x.npy, which is not there"):
        train_classifier(campaign["samples"], tmp_path / "selection.csv", workdir=tmp_path)


def test_one_class_cannot_be_trained(tmp_path):
    (tmp_path / "s/only").mkdir(parents=True)
    np.save(tmp_path / "s/only/x.npy", np.ones((5, 2, 1, 1)))
    with pytest.raises(InputError, match="hold only the class only, training needs two"):
        train_classifier(tmp_path / "s", workdir=tmp_path)


def test_start_is_for_networks(campaign, tmp_path):
    with pytest.raises(InputError, match="start continues the training of a network"):
        train_classifier(campaign["samples"], start=campaign["training"].model, workdir=tmp_path)


def test_the_card_says_what_the_model_was_trained_on(campaign):
    card = load_model(campaign["training"].model).card
    assert (card.method, card.dtype, card.chip_size) == ("random-forest", "uint16", 1)
    assert [(band.name, band.wavelength) for band in card.bands] == [
        ("B02", 490), ("B03", 560), ("B04", 665)
    ]  # fmt: skip
    assert len(card.samples_sha256) == 64
    blue = card.bands[0]
    assert blue.quantiles[0] < blue.quantiles[3] < blue.quantiles[-1]
    assert card.validation["accuracy_spatial"] == 1.0


def damaged(change):
    """Return a test case that changes one attribute of the forest."""

    def apply(proto):
        attribute = {a.name: a for a in proto.graph.node[0].attribute}
        change(attribute)

    return apply


def cycle(a):
    a["nodes_truenodeids"].ints[0] = 0


def far_child(a):
    a["nodes_falsenodeids"].ints[0] = 10**6


def foreign_band(a):
    a["nodes_featureids"].ints[0] = 99


def not_a_number(a):
    a["nodes_values"].floats[0] = math.nan


def foreign_class(a):
    a["class_ids"].ints[0] = 200


def class_elsewhere(a):
    a["class_nodeids"].ints[0] = 10**6


def shorter(a):
    a["nodes_featureids"].ints.pop()


def other_comparison(a):
    a["nodes_modes"].strings[0] = b"BRANCH_GT"


def unknown_label(a):
    a["classlabels_int64s"].ints[0] = 77


@pytest.mark.parametrize(
    "change",
    [cycle, far_child, foreign_band, not_a_number, foreign_class, class_elsewhere, shorter,
     other_comparison, unknown_label],
)  # fmt: skip
def test_a_crafted_forest_is_refused_before_it_runs(campaign, tmp_path, change):
    proto = onnx.load(campaign["training"].model)
    damaged(change)(proto)
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="the model"):
        load_model(tmp_path / "m.onnx")


def test_other_graphs_and_files_are_refused(campaign, tmp_path):
    proto = onnx.load(campaign["training"].model)
    proto.graph.node.append(helper.make_node("Loop", ["a"], ["b"]))
    onnx.save(proto, tmp_path / "loop.onnx")
    bare = onnx.load(campaign["training"].model)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    (tmp_path / "cut.onnx").write_bytes(campaign["training"].model.read_bytes()[:1000])
    (tmp_path / "text.onnx").write_text("not a model")
    for name, sentence in (("loop", "not one forest"), ("bare", "no card"),
                           ("cut", "damaged"), ("text", "damaged")):  # fmt: skip
        with pytest.raises(ModelError, match=sentence):
            load_model(tmp_path / f"{name}.onnx")


def test_a_card_of_another_version_is_refused(campaign, tmp_path):
    proto = onnx.load(campaign["training"].model)
    card = next(p for p in proto.metadata_props if p.key == CARD_KEY)
    card.value = json.dumps(json.loads(card.value) | {"version": 9})
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="card has version 9"):
        load_model(tmp_path / "m.onnx")
