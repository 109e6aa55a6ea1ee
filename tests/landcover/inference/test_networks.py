"""Maps by networks: blocks, borders, invalid pixels, lists of models, interruptions."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import rasterio
from onnx import numpy_helper

from landcover import classify_scene
from landcover.errors import InputError, ModelError, Stopped
from landcover.inference.classify import UNFINISHED
from landcover.models.file import Model, load_model, save_model
from landcover.models.forest.ensemble import Tree, joined
from landcover.models.network import graph as network_graph
from landcover.models.network.classifier import NetworkClassifier
from landcover.models.training_set import TrainingSet
from landcover.progress import progress_to
from tests.networks import card_for, chip_net, model_of, unet, write_network
from tests.scenes import CRS, TRANSFORM, write_raster

CODES = np.array([1, 2, 3, 4])
MEAN = 500.0
GRAPHS = {"unet": unet(), "chips": chip_net(seed=2)}


def run(graph, values):
    """What the network gives for one image (bands, H, W), by ONNX Runtime alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_of(graph).SerializeToString(), options)
    return session.run(None, {"pixels": values[None].astype(np.float32)})[0][0]


def whole(name, values, valid):
    """The probabilities of a whole scene in one piece, as the documentation says."""
    pixels = np.where(valid, values, MEAN).astype(np.float32)
    height, width = valid.shape
    if name == "chips":  # a chip of 16 around each pixel, the centre at 8
        around = ((0, 0), (8, 7), (8, 7))
    else:  # whole pools
        around = ((0, 0), (0, -height % 4), (0, -width % 4))
    padded = np.pad(pixels, around, constant_values=MEAN)
    return run(GRAPHS[name], padded)[:, :height, :width]


def scene_of(height, width, seed=0):
    rng = np.random.default_rng(seed)
    smooth = np.kron(rng.integers(0, 900, (3, height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))
    values = (smooth[:, :height, :width] + rng.integers(1, 100, (3, height, width))).astype("u2")
    valid = rng.random((height, width)) > 0.1
    valid[: height // 3, : width // 3] = True
    return np.where(valid, values, 0).astype(np.uint16), valid


def write_scene(path, values, **how):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, crs=CRS, transform=TRANSFORM, nodata=0, **how,
    ) as dataset:  # fmt: skip
        dataset.write(values)
        dataset.descriptions = [f"b{i}" for i in range(1, len(values) + 1)]
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


BLOCKS = {
    "tiles": {"tiled": True, "blockxsize": 128, "blockysize": 128},
    "odd tiles": {"tiled": True, "blockxsize": 208, "blockysize": 48},
    "rows": {"blockysize": 5},
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("how", BLOCKS.values(), ids=BLOCKS)
def test_a_map_in_blocks_is_that_of_the_whole_scene(name, how, tmp_path, monkeypatch):
    monkeypatch.setattr(network_graph, "_MEMORY_WANTED", 1 << 20)  # several parts of a window
    monkeypatch.setattr(network_graph, "LEAST_BLOCK", 16)
    values, valid = scene_of(1043, 541)
    scene = write_scene(tmp_path / "scene.tif", values, **how)
    model = write_network(tmp_path / "m.onnx", GRAPHS[name])
    made = classify_scene(
        scene, model, radiometry="ignore", probabilities=True, workdir=tmp_path / "out"
    )
    expected = whole(name, values, valid)
    codes = np.where(valid, CODES[expected.argmax(axis=0)], 255)
    np.testing.assert_array_equal(read(made.map), codes)
    assert len(np.unique(codes)) > 2  # the map shows something
    percent = np.where(valid, np.rint(expected * 100), 255)
    with rasterio.open(made.probabilities) as dataset:
        assert np.abs(dataset.read().astype(int) - percent).max() <= 1
        assert dataset.descriptions == ("c0", "c1", "c2", "c3")
    assert made.classified == valid.sum()


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (8, 8), (40, 17)])
@pytest.mark.parametrize("name", GRAPHS)
def test_small_scenes_are_mapped_too(name, shape, tmp_path):
    values = scene_of(*shape)[0].clip(1)
    scene = write_scene(tmp_path / "scene.tif", values)
    model = write_network(tmp_path / "m.onnx", GRAPHS[name])
    made = classify_scene(scene, model, radiometry="ignore", workdir=tmp_path / "out")
    expected = whole(name, values, np.ones(shape, bool))
    np.testing.assert_array_equal(read(made.map), CODES[expected.argmax(axis=0)])


def test_what_invalid_pixels_hold_changes_nothing(tmp_path):
    classifier = load_model(write_network(tmp_path / "m.onnx", GRAPHS["unet"])).classifier
    values, valid = scene_of(120, 120)
    found = classifier.probabilities(values, valid)
    for other in (7, 65_535):
        changed = np.where(valid, values, other).astype(np.uint16)
        np.testing.assert_array_equal(classifier.probabilities(changed, valid), found)
    as_floats = np.where(valid, values, np.nan)
    np.testing.assert_array_equal(classifier.probabilities(as_floats, valid), found)
    inside = valid[24:-24, 24:-24]
    assert (found[:, ~inside] == 0).all()
    np.testing.assert_allclose(found.sum(axis=0)[inside], 1, atol=1e-5)


def test_the_mean_of_the_card_stands_for_invalid_pixels(tmp_path):
    values, valid = scene_of(96, 96)
    path = write_network(tmp_path / "m.onnx", GRAPHS["unet"], card_for(mean=321.0))
    found = load_model(path).classifier.probabilities(values, valid)
    expected = run(GRAPHS["unet"], np.where(valid, values, 321.0))[:, 24:-24, 24:-24]
    inside = valid[24:-24, 24:-24]
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=1e-6)


def test_threads_and_processes_share_a_network(tmp_path):
    classifier = load_model(write_network(tmp_path / "m.onnx", GRAPHS["unet"])).classifier
    values, valid = scene_of(112, 112)
    expected = classifier.probabilities(values, valid)
    sent = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(sent.probabilities(values, valid), expected)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: sent.probabilities(values, valid), range(8)):
            np.testing.assert_array_equal(found, expected)


def test_an_interrupted_map_goes_on(tmp_path):
    values, valid = scene_of(1043, 541)
    scene = write_scene(tmp_path / "scene.tif", values, **BLOCKS["tiles"])
    model = write_network(tmp_path / "m.onnx", GRAPHS["unet"])
    folder = tmp_path / "out"

    def stop(fraction, sentence):
        if fraction > 0.4:
            raise Stopped("by the test")

    with pytest.raises(Stopped), progress_to(stop):
        classify_scene(scene, model, radiometry="ignore", workdir=folder)
    assert all((folder / name).exists() for name in UNFINISHED[:2])
    made = classify_scene(scene, model, radiometry="ignore", workdir=folder)
    expected = CODES[whole("unet", values, valid).argmax(axis=0)]
    np.testing.assert_array_equal(read(made.map), np.where(valid, expected, 255))


def test_a_mean_of_networks_of_different_halos(tmp_path):
    values, valid = scene_of(300, 280)
    scene = write_scene(tmp_path / "scene.tif", values, **BLOCKS["tiles"])
    models = [write_network(tmp_path / f"{name}.onnx", graph) for name, graph in GRAPHS.items()]
    made = classify_scene(scene, models, radiometry="ignore", workdir=tmp_path / "out")
    mean = np.mean([whole(name, values, valid) for name in GRAPHS], axis=0)
    np.testing.assert_array_equal(read(made.map), np.where(valid, CODES[mean.argmax(axis=0)], 255))


def forest():
    """Two trees of random leaves over the first two bands."""
    rng = np.random.default_rng(3)

    def tree(band):
        leaves = rng.dirichlet(np.ones(4), 3).astype(np.float32) / 2
        values = np.zeros((5, 4), np.float32)
        values[[1, 3, 4]] = leaves
        return Tree(
            feature=np.array([band, 0, band, 0, 0]),
            threshold=np.array([300, 0, 700, 0, 0], np.float32),
            left=np.array([1, -1, 3, -1, -1]), right=np.array([2, -1, 4, -1, -1]), values=values,
        )  # fmt: skip

    return joined([tree(0), tree(1)], CODES, "NONE", 3)


def test_a_mean_of_a_forest_and_a_network(tmp_path):
    values, valid = scene_of(200, 210)
    scene = write_scene(tmp_path / "scene.tif", values, **BLOCKS["tiles"])
    trees = forest()
    save_model(tmp_path / "f.onnx", Model(replace(card_for(), method="random-forest"), trees))
    models = [tmp_path / "f.onnx", write_network(tmp_path / "n.onnx", GRAPHS["unet"])]
    made = classify_scene(scene, models, radiometry="ignore", workdir=tmp_path / "out")
    by_trees = trees.predict_proba(values.reshape(3, -1).T.astype(np.float32)).T.reshape(
        4, 200, 210
    )
    mean = (by_trees + whole("unet", values, valid)) / 2
    np.testing.assert_array_equal(read(made.map), np.where(valid, CODES[mean.argmax(axis=0)], 255))
    turned = classify_scene(scene, models[::-1], radiometry="ignore", workdir=tmp_path / "turned")
    np.testing.assert_array_equal(read(turned.map), read(made.map))


def test_models_of_other_classes_are_not_averaged(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", scene_of(40, 40)[0])
    models = [
        write_network(tmp_path / "a.onnx", unet()),
        write_network(tmp_path / "b.onnx", unet(classes=3)),
    ]
    with pytest.raises(InputError, match=r"other classes than model 1 .* lacks c3"):
        classify_scene(scene, models, radiometry="ignore", workdir=tmp_path / "out")


def test_a_chip_ends_as_a_scene_does():
    """What a network says of labelled pixels is what it learned: it pads at a chip's border."""
    values, valid = scene_of(48, 16)
    chips = values.reshape(3, 3, 16, 16).swapaxes(0, 1)
    inside = valid.reshape(3, 16, 16)
    at = np.argwhere(inside)[::7]
    training_set = TrainingSet(
        chips, inside, at, np.ones(len(at), np.uint8), np.zeros(len(at), int), ()
    )
    network = NetworkClassifier.of_graph(GRAPHS["unet"], CODES, np.full(3, MEAN))
    found = network.probabilities_at(training_set)
    expected = np.stack(
        [run(GRAPHS["unet"], np.where(v, c, MEAN)) for c, v in zip(chips, inside, strict=True)]
    )
    chip, row, column = at.T
    np.testing.assert_allclose(found, expected[chip, :, row, column].T, atol=1e-6)


def test_values_that_overflow_are_refused_with_a_reason(tmp_path):
    graph = unet()
    for weight in graph.initializer:
        if len(weight.dims) == 4 and weight.dims[2] == 3:
            large = numpy_helper.to_array(weight) * 1e20
            weight.CopyFrom(numpy_helper.from_array(large.astype(np.float32), weight.name))
    scene = write_raster(
        tmp_path / "scene.tif", np.full((3, 40, 40), 900, np.uint16), names=("b1", "b2", "b3")
    )
    model = write_network(tmp_path / "m.onnx", graph)
    with pytest.raises(ModelError, match="gives no number for a valid pixel"):
        classify_scene(scene, model, radiometry="ignore", workdir=tmp_path / "out")
    assert not (tmp_path / "out" / "map.tif").exists()


def test_without_its_runtime_a_network_says_what_to_install(tmp_path, monkeypatch):
    path = write_network(tmp_path / "m.onnx", GRAPHS["unet"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install 'onnxruntime"):
        load_model(path)


def test_a_graph_of_a_method_is_checked_like_one_from_a_file():
    made = NetworkClassifier.of_graph(GRAPHS["unet"], CODES, np.full(3, MEAN))
    assert (made.halo, made.step, made.bands, made.codes.dtype) == (24, 4, 3, np.uint8)
    assert made.plan.before == made.plan.after == (0, 0)
    chips = NetworkClassifier.of_graph(GRAPHS["chips"], CODES, np.full(3, MEAN))
    assert (chips.halo, chips.step) == (8, 1)
    assert (chips.plan.before, chips.plan.after) == ((8, 8), (7, 7))
    with pytest.raises(ModelError, match="needs 1 x 5"):
        NetworkClassifier.of_graph(GRAPHS["unet"], np.arange(1, 6), np.full(3, MEAN))


@pytest.mark.parametrize("name", GRAPHS)
def test_what_lies_beyond_the_halo_changes_nothing(name, tmp_path):
    classifier = NetworkClassifier.of_graph(GRAPHS[name], CODES, np.full(3, MEAN))
    halo, side = classifier.halo, 16
    values, _ = scene_of(side + 2 * halo, side + 2 * halo)
    valid = np.ones(values.shape[1:], bool)
    around = 2 * classifier.step
    grown = np.pad(values, ((0, 0), (around, around), (around, around)), mode="edge")
    wider = run(GRAPHS[name], grown)
    start = around + halo - classifier.plan.before[0]
    inside = slice(start, start + side)
    np.testing.assert_allclose(
        classifier.probabilities(values, valid), wider[:, inside, inside], atol=1e-6
    )
