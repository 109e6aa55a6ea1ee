"""Forests that look at the neighbourhood: features by two kernels, by ONNX, by plain sums."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from landcover.errors import ModelError
from landcover.models.classifier import without_halo
from landcover.models.file import Model, load_model, save_model
from landcover.models.forest import build, kernel_c, window_features, windowed
from landcover.models.forest.window_features import KINDS, REACH, features_at
from landcover.models.forest.windowed import WindowedForest
from landcover.models.methods import METHODS
from landcover.models.training_set import TrainingSet
from tests.landcover.models.test_hostile_models import card_of

BANDS = 2


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if not build.compilers():
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("library")
    build.build(folder)
    return kernel_c.library(folder)


@pytest.fixture(params=["numpy", "c"])
def kernel(request, monkeypatch):
    """Whatever features are computed next, this kernel does it."""
    built = request.getfixturevalue("library") if request.param == "c" else None
    monkeypatch.setattr(window_features, "library", lambda: built)


def block_of(dtype="uint16", height=19, width=37, share=0.8):
    rng = np.random.default_rng(7)
    block = (rng.random((BANDS, height, width)) * 4000).astype(dtype)
    valid = rng.random((height, width)) < share
    if np.issubdtype(dtype, np.floating):
        block[:, ~valid] = np.nan
    return block, valid


def by_hand(block, valid, row, column):
    """Return the features of a pixel of the middle, (kinds, bands)."""
    at = row + REACH, column + REACH
    kinds = [block[(slice(None), *at)].astype(np.float64)]
    for reach in (1, 3):
        window = tuple(slice(middle - reach, middle + reach + 1) for middle in at)
        seen = block[(slice(None), *window)][:, valid[window]].astype(np.float64)
        kinds += [seen.mean(axis=1), seen.std(axis=1)]
    return np.array(kinds)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.usefixtures("kernel")
def test_features_are_means_and_deviations_of_valid_pixels(dtype):
    block, valid = block_of(dtype)
    found = window_features.window_features(block, valid)
    assert found.dtype == np.float32
    features = found.reshape(len(KINDS), BANDS, *found.shape[1:])
    inside = without_halo(valid, REACH)
    assert 0 < inside.sum() < inside.size
    for row, column in np.argwhere(inside):
        expected = by_hand(block, valid, row, column)
        np.testing.assert_allclose(features[:, :, row, column], expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_both_kernels_give_the_same_bytes(dtype, library, monkeypatch):
    block, valid = block_of(dtype, 40, 61)
    monkeypatch.setattr(window_features, "library", lambda: library)
    by_c = window_features.window_features(block, valid)
    monkeypatch.setattr(window_features, "library", lambda: None)
    inside = without_halo(valid, REACH)
    by_numpy = window_features.window_features(block, valid)
    assert by_c[:, inside].tobytes() == by_numpy[:, inside].tobytes()


@pytest.mark.usefixtures("kernel")
def test_a_constant_neighbourhood_has_no_deviation():
    block = np.full((1, 7, 9), 0.1, np.float32)
    features = window_features.window_features(block, np.ones((7, 9), bool))
    np.testing.assert_allclose(features[[2, 4]], 0, atol=1e-7)
    np.testing.assert_array_equal(features[[0, 1, 3]], np.float32(0.1))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.usefixtures("kernel")
def test_pixels_of_chips_have_the_features_of_the_scene_to_the_bit(dtype):
    block, valid = block_of(dtype, 23, 31)
    of_scene = window_features.window_features(block, valid)
    side, corners = 10, [(0, 0), (5, 9), (13, 21)]
    chips = np.stack([block[:, r : r + side, c : c + side] for r, c in corners])
    validity = np.stack([valid[r : r + side, c : c + side] for r, c in corners])
    at = np.argwhere(validity)
    at = at[((at[:, 1:] >= REACH) & (at[:, 1:] < side - REACH)).all(axis=1)]
    found = features_at(chips, validity, at)
    assert found.shape == (len(at), len(KINDS) - 1, BANDS)
    for (chip, row, column), features in zip(at, found, strict=True):
        top, left = corners[chip]
        expected = of_scene[BANDS:, top + row - REACH, left + column - REACH]
        assert features.ravel().tobytes() == expected.tobytes()


def training_set(count=200):
    """Return three classes that differ in brightness, deviation and nothing."""
    rng = np.random.default_rng(0)
    codes = np.repeat([1, 2, 3], count)
    spread = np.array([0, 5, 5, 300])[codes][:, None, None, None]
    level = np.array([0, 300, 1500, 1500])[codes][:, None, None, None]
    chips = level + spread * rng.standard_normal((len(codes), BANDS, 7, 7))
    chips = chips.clip(0).astype(np.uint16)
    valid = np.ones((len(codes), 7, 7), bool)
    at = np.column_stack([np.arange(len(codes)), np.full((len(codes), 2), 3)])
    return TrainingSet.of_pixels(
        chips[:, :, 3, 3].astype(np.float32), codes.astype(np.uint8),
        around=features_at(chips, valid, at),
    )  # fmt: skip


def trained(method="random-forest", **options):
    chosen = METHODS[method].options(**options)
    return METHODS[method].fit(training_set(), chosen, 0)


@pytest.mark.parametrize("method", ["random-forest", "gradient-boosting"])
def test_a_class_that_only_its_texture_tells_is_learned(method):
    found = trained(method)
    assert isinstance(found, WindowedForest)
    assert (found.bands, found.halo) == (BANDS, REACH)
    known = training_set()
    codes = found.codes[found.probabilities_at(known).argmax(axis=0)]
    assert (codes == known.codes).mean() > 0.99
    alone = TrainingSet.of_pixels(known.pixels, known.codes)
    assert METHODS[method].fit(alone, METHODS[method].options(), 0).halo == 0


def test_blocks_of_any_size_give_the_same_codes_and_percentages(monkeypatch):
    forest = trained(trees=20)
    block, valid = block_of("float32", 60, 50)
    whole = forest.classify_with_all(block, valid)
    np.testing.assert_array_equal(forest.classify(block, valid)[1], whole[1])
    monkeypatch.setattr(windowed, "AT_ONCE", 97)
    inner = (60 - 2 * REACH, 50 - 2 * REACH)
    for rows, columns in ((1, 44), (7, 11), (54, 1)):
        found = [np.zeros_like(part) for part in whole]
        for top in range(0, inner[0], rows):
            for left in range(0, inner[1], columns):
                window = slice(top, top + rows + 6), slice(left, left + columns + 6)
                parts = forest.classify_with_all(block[(slice(None), *window)], valid[window])
                for all_of, part in zip(found, parts, strict=True):
                    all_of[..., top : top + rows, left : left + columns] = part
        for one, other in zip(found, whole, strict=True):
            np.testing.assert_array_equal(one, other)


def saved(tmp_path, forest):
    path = tmp_path / "model.onnx"
    save_model(path, Model(card_of(), forest))
    return path


@pytest.mark.parametrize("method", ["random-forest", "gradient-boosting"])
def test_the_file_is_ordinary_onnx_that_gives_the_same(method, tmp_path):
    forest = trained(method)
    path = saved(tmp_path, forest)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    block, valid = block_of("float32", 50, 61)
    codes, probability = session.run(None, {"pixels": block, "valid": valid})
    expected = load_model(path).classifier.probabilities(
        np.pad(block, ((0, 0), (3, 3), (3, 3))), np.pad(valid, 3)
    )
    assert probability.shape == (50 * 61, 3)
    inside = valid.ravel()
    found = probability.T.reshape(expected.shape)
    np.testing.assert_allclose(found[:, valid], expected[:, valid], atol=2e-6)
    chosen = forest.codes[expected.argmax(axis=0)].ravel()
    clear = np.sort(expected.reshape(3, -1), axis=0)
    clear = (clear[-1] - clear[-2] > 1e-5) & inside
    assert clear.sum() > 0.9 * inside.sum()
    np.testing.assert_array_equal(codes[clear], chosen[clear])


def test_onnx_finds_the_features_to_the_bit(tmp_path):
    graph = windowed.windows_graph(BANDS, 3)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(windowed.FEATURES, TensorProto.FLOAT, [None, None])
    )
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    block, valid = block_of("float32", 30, 41)
    (found,) = session.run(None, {"pixels": block, "valid": valid})
    expected = window_features.window_features(
        np.pad(block, ((0, 0), (3, 3), (3, 3))), np.pad(valid, 3)
    )
    assert found.T.reshape(expected.shape)[:, valid].tobytes() == expected[:, valid].tobytes()


def test_a_model_comes_back_as_it_was(tmp_path):
    forest = trained(trees=9)
    back = load_model(saved(tmp_path, forest)).classifier
    assert isinstance(back, WindowedForest)
    block, valid = block_of()
    for one, other in zip(back.classify(block, valid), forest.classify(block, valid), strict=True):
        np.testing.assert_array_equal(one, other)


def another_node(graph):
    graph.node[3].op_type = "Neg"


def another_order(graph):
    first = helper.make_node("Identity", ["pixels"], ["x"])
    graph.node.insert(0, first)


def a_node_less(graph):
    del graph.node[5]


def another_number(graph):
    next(one for one in graph.initializer if one.name == "int64_3").raw_data = b"\2" + bytes(7)


def a_name_more(graph):
    graph.initializer.add().CopyFrom(helper.make_tensor("x", TensorProto.FLOAT, [1], [0.0]))


def an_attribute_more(graph):
    graph.node[2].attribute.append(helper.make_attribute("axis", 5))


def a_domain(graph):
    graph.node[4].domain = "com.example"


def other_trees_input(graph):
    graph.node[-1].input[0] = "pixels"


def other_shape(graph):
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3


def feature_beyond(graph):
    name = "nodes_featureids"
    attribute = next(one for one in graph.node[-1].attribute if one.name == name)
    attribute.ints[0] = len(KINDS) * BANDS


def only_the_trees(graph):
    del graph.node[:-1]


HOSTILE = (another_node, another_order, a_node_less, another_number, a_name_more,
           an_attribute_more, a_domain, other_trees_input, other_shape, feature_beyond,
           only_the_trees)  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_another_graph_before_the_trees_is_refused(change, tmp_path):
    import onnx

    path = saved(tmp_path, trained(trees=9))
    proto = onnx.load(path)
    change(proto.graph)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError):
        load_model(path)


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("windows", ["none", "3,7"])
def test_every_so_maniest_pixel_is_classified_as_all_of_them_are(step, windows):
    block, valid = block_of()
    rng = np.random.default_rng(3)
    around = rng.random((60, len(KINDS) - 1, BANDS)).astype(np.float32) * 4000
    known = TrainingSet.of_pixels(
        (rng.random((60, BANDS)) * 4000).astype(np.float32),
        np.resize(np.array([1, 2, 3], np.uint8), 60),
        around=around if windows == "3,7" else None,
    )
    method = METHODS["random-forest"]
    forest = method.fit(known, method.options(trees=8), 0)
    whole = forest.classify_with_all(block, valid)
    some = forest.classify_every(block, valid, step)
    for every, thinned in zip(whole, some, strict=True):
        np.testing.assert_array_equal(every[..., ::step, ::step], thinned)
