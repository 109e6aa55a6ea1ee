import csv
import math

import numpy as np
import pytest

from landcover import balance_samples
from landcover.balancing import cluster, features_of, keep
from landcover.errors import InputError
from tests.scenes import write_raster


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path):
    """400 samples of a frequent spectrum, 7 of a rare one; containers and chips mixed."""
    rng = np.random.default_rng(3)
    (tmp_path / "s/field").mkdir(parents=True)
    (tmp_path / "s/ice").mkdir()
    field = rng.normal(1000, 5, (400, 2, 4, 4)).astype(np.int16)
    ice = rng.normal(9000, 5, (6, 2, 4, 4)).astype(np.int16)
    np.save(tmp_path / "s/field/a.npy", field)
    np.save(tmp_path / "s/ice/a.npy", ice)
    write_raster(tmp_path / "s/ice/b.tif", ice[0] + 1)
    return tmp_path / "s"


def test_rare_cluster_is_kept_whole_and_a_large_one_thinned(folder, tmp_path):
    balance = balance_samples(folder, clusters=2, threshold=50, workdir=tmp_path)
    table = rows(balance.selection)
    assert list(table[0]) == ["file", "index", "class", "cluster", "kept"]
    assert [row["file"] for row in table] == ["field/a.npy"] * 400 + ["ice/a.npy"] * 6 + [
        "ice/b.tif"
    ]
    assert {row["cluster"] for row in table if row["class"] == "ice"} == {"0"}
    assert all(row["kept"] == "1" for row in table if row["class"] == "ice")
    kept = [int(row["index"]) for row in table if row["class"] == "field" and row["kept"] == "1"]
    assert kept == list(range(0, 400, 8))  # 8 = ceil(400 / 50)
    assert (balance.before, balance.after) == (407, 57)
    assert balance.diagram.read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_selection(folder, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    one = balance_samples(folder, seed=5, workdir=first).selection.read_bytes()
    assert one == balance_samples(folder, seed=5, workdir=second).selection.read_bytes()


def test_scope_class_clusters_each_class_by_itself(folder, tmp_path):
    balance = balance_samples(folder, clusters=2, scope="class", workdir=tmp_path)
    of_class = {}
    for row in rows(balance.selection):
        of_class.setdefault(row["class"], set()).add(row["cluster"])
    assert not of_class["field"] & of_class["ice"]


@pytest.mark.parametrize(
    ("size", "threshold", "step", "expected"),
    [(49, 50, 0, 49), (50, 50, 0, 50), (51, 50, 0, 26), (100, 50, 3, 34), (10, 50, 3, 10)],
)
def test_a_cluster_keeps_every_sth_member(size, threshold, step, expected):
    kept = keep(np.zeros(size, int), threshold, step)
    assert kept.sum() == expected
    if size >= threshold:
        assert kept.sum() == math.ceil(size / (step or math.ceil(size / threshold)))
    assert kept[0]


def test_clusters_are_numbered_by_size_then_first_member():
    features = np.array([[5.0], [0], [0], [0], [9], [5], [9]])
    assert cluster(features, 3, seed=0).tolist() == [0, 2, 2, 2, 1, 0, 1]


def test_no_more_clusters_than_distinct_features():
    assert set(cluster(np.array([[1.0, 7], [2, 7], [1, 7]]), 8, seed=0).tolist()) == {0, 1}


def test_features_are_mean_and_population_deviation_of_valid_pixels():
    chips = np.array([[[[1.0, 3], [np.nan, 8]]]])
    valid = np.array([[[True, True], [False, True]]])
    np.testing.assert_allclose(
        features_of(chips, valid), [[np.mean([1, 3, 8]), np.std([1, 3, 8])]]
    )


def test_a_sample_without_a_valid_pixel_is_named(tmp_path):
    (tmp_path / "s/a").mkdir(parents=True)
    chips = np.ones((3, 1, 1, 1))
    chips[2] = np.nan
    np.save(tmp_path / "s/a/x.npy", chips)
    with pytest.raises(InputError, match=r"sample 2 of a/x.npy has no valid pixel"):
        balance_samples(tmp_path / "s", workdir=tmp_path)
