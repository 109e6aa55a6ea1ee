import csv
import math

import numpy as np
import pytest

from landcover import balance_samples, extract_samples
from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.samples.balance_diagram import Thinned
from landcover.samples.balancing import cluster, features_of, keep
from tests.scenes import pixels, write_labels, write_raster


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
    balance = balance_samples(folder, clusters=2, threshold=50, scope="all", workdir=tmp_path)
    table = rows(balance.selection)
    assert list(table[0]) == ["file", "index", "class", "cluster", "kept", "samples"]
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


def test_each_class_is_clustered_by_itself_unless_asked_otherwise(folder, tmp_path):
    balance = balance_samples(folder, clusters=2, workdir=tmp_path)
    of_class = {}
    for row in rows(balance.selection):
        of_class.setdefault(row["class"], set()).add(row["cluster"])
    assert not of_class["field"] & of_class["ice"]


@pytest.fixture
def plantation(tmp_path):
    """11 samples of coffee that look like 209 of forest, and 80 of water."""
    rng = np.random.default_rng(7)
    for name, size, level in (("coffee", 11, 3000), ("forest", 209, 3000), ("water", 80, 100)):
        (tmp_path / "s" / name).mkdir(parents=True)
        chips = rng.normal(level, 5, (size, 2, 1, 1)).astype(np.int16)
        np.save(tmp_path / "s" / name / "x.npy", chips)
    return tmp_path / "s"


def remarks_and_kept(folder, workdir, **inputs):
    with collecting_notes(lambda sentence: None) as notes:
        table = rows(balance_samples(folder, workdir=workdir, **inputs).selection)
    kept = [row["class"] for row in table if row["kept"] == "1"]
    # the folder is a bare one: that it names no bands and no classes is said too
    said = [sentence for sentence in notes.remarks if not sentence.startswith("s does not")]
    return said, {name: kept.count(name) for name in set(kept)}


def test_a_rare_class_thinned_with_a_frequent_one_is_named(plantation, tmp_path):
    remarks, kept = remarks_and_kept(plantation, tmp_path, clusters=2, scope="all")
    # clusters: water, 80, every 2nd; coffee and forest, 220, every 5th: 0, 5, 10 of the first 11
    assert kept == {"coffee": 3, "water": 40, "forest": 41}
    assert remarks == [
        "kept of the classes that were thinned: coffee 3 of 11, water 40 of 80, forest 41 of 209",
        "coffee is rare and was thinned all the same, because it shares clusters with other "
        "classes: set scope to class, which clusters each by itself",
    ]


def test_a_rare_class_by_itself_is_kept_whole(plantation, tmp_path):
    remarks, kept = remarks_and_kept(plantation, tmp_path, clusters=1)
    assert kept == {"coffee": 11, "water": 40, "forest": 42}
    assert remarks == ["kept of the classes that were thinned: water 40 of 80, forest 42 of 209"]


def test_a_threshold_that_no_cluster_reaches_is_said(plantation, tmp_path):
    remarks, kept = remarks_and_kept(plantation, tmp_path, clusters=1, threshold=210)
    assert sum(kept.values()) == 300
    assert remarks == [
        "nothing was thinned: the largest cluster has 209 samples, fewer than the threshold of 210"
    ]


def test_the_diagram_shows_the_rarest_and_the_largest_of_many_groups():
    sizes = np.roll(np.arange(1, 61), 25)  # the smallest one has the number 25
    group = np.repeat(np.arange(60), sizes)
    counted = Thinned.of(group, group != 25, [f"g{n}" for n in range(60)])
    assert sorted(sizes[counted.shown]) == [*range(1, 21), *range(41, 61)]
    assert counted.thinned.tolist() == [25]
    assert counted.after[25] == 0


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


def test_the_context_of_a_sample_does_not_count(folder, tmp_path):
    plain, framed = tmp_path / "plain", tmp_path / "framed"
    plain.mkdir()
    framed.mkdir()
    (folder / "ice/b.tif").unlink()
    expected = rows(balance_samples(folder, workdir=plain).selection)
    rng = np.random.default_rng(0)
    for name in ("field/a.npy", "ice/a.npy"):
        inner = np.load(folder / name)
        around = rng.integers(0, 30_000, (len(inner), 2, 8, 8)).astype(np.int16)
        around[..., 2:6, 2:6] = inner
        np.save(folder / name, around)
    (folder / "samples.json").write_text('{"version": 1, "context": 2, "chip_size": 4}')
    found = rows(balance_samples(folder, workdir=framed).selection)
    assert [row | {"samples": ""} for row in found] == [row | {"samples": ""} for row in expected]


def test_patches_are_refused_with_the_remedy(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.ones((1, 8, 8), np.uint8))
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 8, 8))])
    samples = extract_samples(scene, labels, patches=4, workdir=tmp_path).samples
    with pytest.raises(
        InputError, match=r"holds patches, which mix classes.*with context instead"
    ):
        balance_samples(samples, workdir=tmp_path)
