"""Both kernels against a walk written in numpy, and against scikit-learn's own predictions."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from landcover.models.forest import build, kernel_c, layout
from landcover.models.forest import kernel as kernels
from landcover.models.forest.ensemble import Tree, TreeEnsemble, joined
from landcover.models.forest.kernel_numpy import NumpyKernel
from landcover.models.methods import gradient_boosting, random_forest
from landcover.models.training_set import TrainingSet

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8", ">u2", ">f4")
GRID = np.array([-3e38, -70000, -32768, -129, -128, -2.5, -1, 0, 0.5, 1, 2, 100, 127, 128, 254,
                 255, 256, 32767, 32768, 65534, 65535, 65536, 2e9, 3e38], np.float32)  # fmt: skip
"""Thresholds at and beyond the ends of integer types."""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if not build.compilers():
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("library")
    assert build.build(folder).name == build.library_name()
    return kernel_c.library(folder)


@pytest.fixture(params=["numpy", "c"])
def kernel(request, monkeypatch) -> str:
    """Whatever trees are laid out next, this kernel passes through them."""
    built = request.getfixturevalue("library") if request.param == "c" else None
    monkeypatch.setattr(kernels, "library", lambda: built)
    return str(request.param)


def random_tree(rng: np.random.Generator, branches: int, scores: int, bands: int) -> Tree:
    """Grow a tree at random leaves; it is numbered so that children follow their parents."""
    left, right = [-1], [-1]
    for _ in range(branches):
        leaf = int(rng.choice([n for n, child in enumerate(left) if child < 0]))
        left[leaf], right[leaf] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    count = len(left)
    values = rng.random((count, scores)).astype(np.float32)
    values *= rng.random((count, scores)) < rng.choice([0.1, 1.0])
    is_leaf = np.array(left) < 0
    return Tree(
        feature=np.where(is_leaf, 0, rng.integers(0, bands, count)),
        threshold=np.where(is_leaf, 0, rng.choice(GRID, count)).astype(np.float32),
        left=np.array(left),
        right=np.array(right),
        values=np.where(is_leaf[:, None], values, 0).astype(np.float32),
    )


def ensemble(
    seed: int, *, trees: int, branches: int, classes: int, bands: int = 3, transform="NONE"
) -> TreeEnsemble:
    rng = np.random.default_rng(seed)
    scores = 1 if classes == 2 else classes
    grown = [random_tree(rng, int(rng.integers(0, branches + 1)), scores, bands)
             for _ in range(trees)]  # fmt: skip
    if transform == "NONE":
        grown = [replace(tree, values=tree.values / np.float32(trees)) for tree in grown]
    return joined(grown, rng.permutation(255)[:classes], transform, bands)


def walked(trees: TreeEnsemble, pixels: np.ndarray) -> np.ndarray:
    """Return the sums (N, scores) of pixels float32 (N, bands), step by step in numpy."""
    sums = np.zeros((len(pixels), trees.values.shape[1]))
    for root in trees.roots:
        at = np.full(len(pixels), root)
        while (trees.left[at] >= 0).any():
            value = pixels[np.arange(len(at)), trees.feature[at]]
            below = np.where(value <= trees.threshold[at], trees.left[at], trees.right[at])
            at = np.where(trees.left[at] >= 0, below, at)
        sums += trees.values[at]
    return sums


def expected(trees: TreeEnsemble, values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, ...]:
    with np.errstate(over="ignore"):
        pixels = values.astype(np.float32)[:, valid].T
    sums = walked(trees, pixels)
    if trees.transform == "SOFTMAX":
        grown = np.exp(sums - sums.max(axis=1, keepdims=True))
        sums = grown / grown.sum(axis=1, keepdims=True)
    elif trees.transform == "LOGISTIC":
        sums = (1 + np.tanh(sums / 2)) / 2
    if len(trees.codes) == 2:
        sums = np.hstack([1 - sums, sums])
    codes, confidence = np.full(valid.shape, 255), np.full(valid.shape, 255)
    codes[valid] = trees.codes[sums.argmax(axis=1)]
    confidence[valid] = np.clip(np.rint(sums.max(axis=1) * 100), 0, 100)
    return codes, confidence


def block(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return values of which many equal thresholds or lie at the ends of the type."""
    if np.dtype(dtype).kind == "f":
        return np.where(rng.random(shape) < 0.5, rng.choice(GRID, shape),
                        rng.normal(0, 300, shape)).astype(dtype)  # fmt: skip
    ends = np.iinfo(dtype)
    edge = rng.choice(np.clip(GRID.astype(float), ends.min, ends.max / 2).astype(dtype), shape)
    near = rng.choice(np.array([ends.min, ends.max, ends.max - 1, 0, 1, 100], dtype), shape)
    return np.where(rng.random(shape) < 0.5, edge, near).astype(dtype)


def assert_equal(trees: TreeEnsemble, values: np.ndarray, valid: np.ndarray) -> None:
    found = trees.classify(values, valid)
    assert all(array.dtype == np.uint8 for array in found)
    for ours, theirs in zip(found, expected(trees, values, valid), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("branches", [6, 90], ids=["small", "walked"])
def test_every_type_is_compared_as_float32(kernel, dtype, branches):
    rng = np.random.default_rng(3)
    values = block(rng, dtype, (3, 37, 41))
    trees = ensemble(4, trees=11, branches=branches, classes=5)
    assert_equal(trees, values, rng.random((37, 41)) < 0.7)


@settings(max_examples=25, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    seed=st.integers(0, 2**32 - 1),
    trees=st.integers(1, 20),
    branches=st.sampled_from([0, 1, 5, 63, 64, 150]),
    classes=st.sampled_from([2, 3, 4, 5, 8, 9, 254]),
    transform=st.sampled_from(["NONE", "OTHER"]),
    shape=st.sampled_from([(0, 5), (1, 1), (3, 5), (31, 33), (130, 130)]),
    holes=st.sampled_from([0.0, 0.3, 1.0]),
    dtype=st.sampled_from(["u1", "i2", "f4"]),
)
def test_any_trees_give_what_numpy_does(
    kernel, seed, trees, branches, classes, transform, shape, holes, dtype
):
    if transform != "NONE":
        transform = "LOGISTIC" if classes == 2 else "SOFTMAX"
    grown = ensemble(seed, trees=trees, branches=branches, classes=classes, transform=transform)
    rng = np.random.default_rng(seed)
    assert_equal(grown, block(rng, dtype, (3, *shape)), rng.random(shape) >= holes)


def test_one_score_a_tree_gives_what_numpy_does(kernel):
    rng = np.random.default_rng(0)
    trees = ensemble(0, trees=24, branches=30, classes=4, transform="SOFTMAX")
    tree = np.repeat(np.arange(24), np.diff(np.append(trees.roots, len(trees.left))))
    trees = replace(trees, values=trees.values * (np.arange(4) == tree[:, None] % 4))
    values = block(rng, "i2", (3, 40, 50))
    assert_equal(trees, values, rng.random((40, 50)) < 0.9)
    assert trees._ranked.form == layout.ONE_SCORE


@pytest.mark.parametrize("branches", [60, 600], ids=["bytes", "words"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_more_thresholds_than_ranks_become_columns(kernel, branches, dtype):
    rng = np.random.default_rng(1)
    trees = ensemble(1, trees=40 if branches == 60 else 2, branches=branches, classes=3, bands=2)
    threshold = rng.uniform(0, 3000, trees.threshold.size).astype(np.float32)
    trees = replace(trees, threshold=threshold)
    values = rng.uniform(-5, 3100, (2, 50, 50)).clip(0).astype(dtype)
    assert_equal(trees, values, np.ones((50, 50), bool))
    columns = trees._ranked.columns
    assert (len(columns.band) > 2) == (branches == 60)


def test_words_that_do_not_suffice_become_columns(kernel):
    count = 140_001  # a chain of 70,000 branches of one band, each with a threshold of its own
    node = np.arange(count)
    branch = node % 2 == 0
    branch[-1] = False
    chain = Tree(
        feature=np.zeros(count, int),
        threshold=np.where(branch, (count - node) / 4, 0).astype(np.float32),
        left=np.where(branch, node + 2, -1),
        right=np.where(branch, node + 1, -1),
        values=np.where(branch[:, None], 0, np.eye(3)[node % 3]).astype(np.float32),
    )
    trees = joined([chain], np.arange(3), "NONE", 1)
    assert len(trees._ranked.columns.band) == 2
    rng = np.random.default_rng(2)
    # near the top of the chain, so that the walk in numpy ends soon; and beyond both ends
    values = rng.uniform(count / 4 - 50, count / 4 + 1, (1, 9, 10)).astype(np.float32)
    assert_equal(trees, values, np.ones((9, 10), bool))
    lowest = trees.classify(np.full((1, 1, 1), -1, np.float32), np.ones((1, 1), bool))
    assert lowest[0][0, 0] == (count - 1) % 3


def test_a_node_of_two_parents_is_found_by_both(kernel):
    both = Tree(
        feature=np.array([0, 1, 1, 0, 0]),
        threshold=np.array([0, 5, 9, 0, 0], np.float32),
        left=np.array([1, 3, 3, -1, -1]),
        right=np.array([2, 4, 4, -1, -1]),
        values=np.array([[0, 0, 0]] * 3 + [[0.5, 0.25, 0], [0, 0.25, 0.5]], np.float32),
    )
    for copies in (1, 2):
        trees = joined([both] * copies, np.array([7, 8, 9]), "NONE", 2)
        rng = np.random.default_rng(0)
        values = rng.integers(-10, 12, (2, 20, 20)).astype(np.int16)
        assert_equal(trees, values, np.ones((20, 20), bool))


def test_of_equal_classes_the_first_is_chosen(kernel):
    leaf = np.array([[0.1, 0.45, 0.45]], np.float32)
    one = Tree(np.zeros(1), np.zeros(1), np.full(1, -1), np.full(1, -1), leaf)
    trees = joined([one], np.array([3, 9, 2]), "NONE", 1)
    codes, confidence = trees.classify(np.zeros((1, 2, 2), np.uint8), np.eye(2, dtype=bool))
    assert codes.tolist() == [[9, 255], [255, 9]]
    assert confidence.tolist() == [[45, 255], [255, 45]]


@cache
def learned(method: str, classes: int) -> tuple[TreeEnsemble, np.ndarray, np.ndarray]:
    """Return our trees, pixels (N, 4), and scikit-learn's probabilities of them."""
    rng = np.random.default_rng(5)
    codes = rng.integers(1, classes + 1, 1500).astype(np.uint8)
    pixels = (codes[:, None] * 40 + rng.normal(0, 60, (1500, 4))).round().astype(np.float32)
    samples = TrainingSet.of_pixels(pixels[:500], codes[:500])
    if method == "forest":
        trees = random_forest.fit(samples, random_forest.Options(), 0)
        theirs = random_forest.trainer(codes[:500], 0).fit(pixels[:500], codes[:500])
    else:
        options = gradient_boosting.Options()
        trees = gradient_boosting.fit(samples, options, 0)
        theirs = gradient_boosting.boost(pixels[:500], codes[:500], options, 0)
    return trees, pixels, theirs.predict_proba(pixels)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("method", ["forest", "boosting"])
def test_labels_are_those_of_scikit_learn(kernel, method, classes):
    with threadpool_limits(1):  # threads that wait for one another are slow on a busy machine
        trees, pixels, probability = learned(method, classes)
    best = np.sort(probability, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-6
    assert clear.mean() > 0.98
    trees = replace(trees)  # without the kernel of another test
    found, confidence = trees.classify(pixels.T.reshape(4, 30, 50), np.ones((30, 50), bool))
    labels = trees.codes[probability.argmax(axis=1)]
    np.testing.assert_array_equal(found.ravel()[clear], labels[clear])
    np.testing.assert_allclose(confidence.ravel(), best[:, -1] * 100, atol=0.5001)
    np.testing.assert_allclose(trees.predict_proba(pixels), probability, atol=1e-6)


def test_a_part_of_a_larger_array_and_of_threads_is_the_same(kernel):
    rng = np.random.default_rng(6)
    trees = ensemble(6, trees=9, branches=100, classes=4)
    values = block(rng, "u2", (3, 64, 80))
    valid = rng.random((64, 80)) < 0.8
    whole = trees.classify(values, valid)
    with ThreadPoolExecutor(4) as pool:
        columns = [slice(x, x + 9) for x in range(0, 80, 9)]
        parts = list(pool.map(lambda x: trees.classify(values[:, :, x], valid[:, x]), columns))
    for k in range(2):
        np.testing.assert_array_equal(np.hstack([part[k] for part in parts]), whole[k])


def test_what_is_no_number_goes_right_as_in_scikit_learn(kernel):
    trees = ensemble(7, trees=9, branches=40, classes=4)
    values = np.full((3, 4, 4), np.nan, np.float32)
    assert_equal(trees, values, np.ones((4, 4), bool))


def test_shapes_that_do_not_match_are_refused(kernel):
    trees = ensemble(8, trees=1, branches=3, classes=3)
    with pytest.raises(ValueError, match="pixels have 2 bands, the model needs 3"):
        trees.classify(np.zeros((2, 4, 4)), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match=r"\(4, 5\) pixels"):
        trees.classify(np.zeros((3, 4, 4)), np.ones((4, 5), bool))
    assert trees.predict_proba(np.zeros((0, 3), np.float32)).shape == (0, 3)
    with pytest.raises(ValueError, match="pixels have 2 bands"):
        trees.predict_proba(np.zeros((5, 2), np.float32))


def test_numpy_is_used_where_no_library_loads(tmp_path, monkeypatch):
    broken = tmp_path / build.library_name()
    broken.write_bytes(b"no library")
    assert kernel_c.library(tmp_path) is None
    monkeypatch.setattr(kernels, "library", lambda: None)
    trees = ensemble(9, trees=1, branches=3, classes=3)
    assert isinstance(trees._kernel, NumpyKernel)
    assert "ziglang" in trees.slowness()


def test_nothing_is_said_of_slowness_where_the_library_loads(library, monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: library)
    assert ensemble(9, trees=1, branches=3, classes=3).slowness() == ""


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("branches", [6, 90], ids=["small", "walked"])
def test_both_kernels_give_the_same_sums_to_the_last_bit(library, monkeypatch, dtype, branches):
    rng = np.random.default_rng(11)
    trees = ensemble(12, trees=40, branches=branches, classes=7)
    pixels = block(rng, dtype, (3, 900)).T.astype(np.float32)
    monkeypatch.setattr(kernels, "library", lambda: None)
    in_numpy = replace(trees).predict_proba(pixels)
    monkeypatch.setattr(kernels, "library", lambda: library)
    assert replace(trees).predict_proba(pixels).tobytes() == in_numpy.tobytes()
