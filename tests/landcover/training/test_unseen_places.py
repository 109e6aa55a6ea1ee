"""The accuracy in unseen places: what is one place, into which folds it falls, how sure it is."""

import json
import math

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.ndimage import gaussian_filter
from shapely import MultiPolygon, Point

from landcover import extract_samples, train_classifier
from landcover.io.legend import Legend
from landcover.models.methods.random_forest import Options, fit
from landcover.models.training_set import TrainingSet
from landcover.training.cross_validation import accuracy_by_place, validate
from landcover.training.folds import partitions_by_place
from landcover.training.intervals import accuracy_interval
from landcover.training.joining import join_places
from landcover.training.variogram import range_between_places
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

SITES = [(row, column) for row in range(8, 120, 20) for column in range(8, 120, 20)]
NAMES = ("blue", "red")


def smooth(side, sigma=4, seed=0):
    """A scene of two bands whose pixels resemble those near them; uint16 (2, side, side)."""
    noise = np.random.default_rng(seed).normal(size=(2, side, side))
    field = gaussian_filter(noise, (0, sigma, sigma))
    return (2000 + 400 * field / field.std()).astype(np.uint16)


def by_chance(count):
    """Classes of sites, as many of the one as of the other."""
    return np.random.default_rng(5).permutation(np.resize(["a", "b"], count))


def report_of(tmp_path, values, labels, **how):
    scene = write_raster(tmp_path / "scene.tif", values, names=NAMES)
    samples = extract_samples(scene, labels, workdir=tmp_path, **how).samples
    training = train_classifier(samples, options='{"trees": 10}', workdir=tmp_path)
    return json.loads(training.report.read_text())


def around(row, column):
    """Twelve points that lie a pixel or two apart."""
    rng = np.random.default_rng(row * 128 + column)
    cells = rng.choice(25, 12, replace=False)
    return [Point(TRANSFORM @ (column + c % 5 + 0.5, row + c // 5 + 0.5)) for c in cells]


def raster_of(classes):
    codes = np.zeros((128, 128), np.uint8)
    for (row, column), name in zip(SITES, classes, strict=True):
        codes[row : row + 5, column : column + 5] = 1 + (name == "b")
    return codes


@pytest.mark.parametrize("kind", ["points", "polygons", "chips", "raster"])
def test_labels_by_chance_score_as_chance_however_they_were_collected(kind, tmp_path):
    classes = by_chance(len(SITES))
    labelled = list(zip(classes, SITES, strict=True))
    if kind == "raster":
        labels = write_raster(tmp_path / "labels.tif", raster_of(classes), nodata=0)
    elif kind == "points":
        shapes = [(name, point) for name, site in labelled for point in around(*site)]
        labels = write_labels(tmp_path / "labels.gpkg", shapes)
    else:
        shapes = [(name, pixels(*site, 6, 6)) for name, site in labelled]
        labels = write_labels(tmp_path / "labels.gpkg", shapes)
    report = report_of(tmp_path, smooth(128), labels, chip_size=3 if kind == "chips" else 1)
    lower, upper = report["accuracy_spatial_interval"]
    assert report["groups"] <= len(SITES)
    assert lower < 0.5 < upper
    assert report["accuracy_spatial"] < 0.62 < report["accuracy_random"] + 0.05
    assert report["gap"] == report["accuracy_random"] - report["accuracy_spatial"]


def test_parts_of_a_multipolygon_are_places_of_their_own(tmp_path):
    shapes = [
        (name, MultiPolygon([pixels(row, column, 4, 4) for column in (4, 40, 76, 112)]))
        for name, row in (("a", 10), ("b", 60), ("c", 110))
    ]
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    report = report_of(tmp_path, smooth(128), labels)
    assert report["groups"] == 12
    assert {figures["places"] for figures in report["per_class"].values()} == {4}
    assert report["skipped"] == {}


def test_points_in_a_close_grid_are_fewer_places_and_this_is_told(tmp_path):
    shapes = [("ab"[(row // 16 + column // 16) % 2], Point(TRANSFORM @ (column, row)))
              for row in range(2, 126, 4) for column in range(2, 126, 4)]  # fmt: skip
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    report = report_of(tmp_path, smooth(128), labels)
    assert report["distance"] > 4
    assert 40 < report["groups"] < len(shapes) / 2
    told = " ".join(report["remarks"])
    assert f"961 labelled features or blocks are {report['groups']} places" in told
    assert "places touch" in told


def test_points_may_lie_on_one_pixel(tmp_path):
    shapes = [(name, Point(TRANSFORM @ (column + part, row + part)))
              for name, (row, column) in zip(by_chance(len(SITES)), SITES, strict=True)
              for part in (0.2, 0.4, 0.6)]  # fmt: skip
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    report = report_of(tmp_path, smooth(128), labels)
    assert report["distance"] >= 1
    assert report["groups"] <= len(SITES)


def test_the_report_says_from_how_many_places_it_speaks(tmp_path):
    shapes = [(name, pixels(row, column, 4, 4)) for name, row in (("a", 10), ("b", 90))
              for column in (4, 40, 76)]  # fmt: skip
    shapes.append(("c", pixels(50, 50, 4, 4)))
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    report = report_of(tmp_path, smooth(128), labels)
    assert list(report["skipped"]) == ["c"]
    (told,) = [remark for remark in report["remarks"] if "with a confidence of 95 %" in remark]
    assert told.endswith(
        "told by 6 places; they are fewer than 10, and the interval is too narrow"
    )


@pytest.mark.parametrize("sigma", [3, 6])
def test_the_range_of_a_made_field_is_found(sigma):
    """A field smoothed by a Gaussian correlates with itself by less than 5 % at 3.5 sigma."""
    rng = np.random.default_rng(1)
    values = smooth(256, sigma)[0].astype(float)
    at = rng.integers(0, 256, (1500, 2))
    found = range_between_places(values[at[:, 1], at[:, 0]], at, np.arange(1500), (1.0, 60.0))
    assert 2 * sigma < found < 6 * sigma


def test_without_structure_the_range_is_the_least_one():
    rng = np.random.default_rng(1)
    at = rng.integers(0, 400, (800, 2))
    assert range_between_places(rng.normal(size=800), at, np.arange(800), (1.0, 40.0)) < 10
    assert range_between_places(np.ones(800), at, np.arange(800), (1.0, 40.0)) == 1.0
    assert range_between_places(np.ones(3), at[:3], np.arange(3), (1.0, 40.0)) == 1.0


@pytest.mark.parametrize("layout", ["anywhere", "one row", "one spot"])
def test_places_are_joined_as_single_linkage_joins_them(layout):
    rng = np.random.default_rng(3)
    at = rng.uniform(0, 4000, (60, 2))
    at[:, 1] = {"anywhere": at[:, 1], "one row": 7.5, "one spot": 7.5}[layout]
    at[:, 0] = 7.5 if layout == "one spot" else at[:, 0]
    joined = joined_of(at)
    assert joined.distance is not None
    expected = fcluster(linkage(at), joined.distance, "distance")
    if not joined.is_cut:
        same = joined.places[:, None] == joined.places
        np.testing.assert_array_equal(same, expected[:, None] == expected)


def joined_of(at, codes=None, pixel_values=None):
    count = len(at)
    values = np.zeros((count, 1)) if pixel_values is None else pixel_values
    codes = np.ones(count, np.uint8) if codes is None else codes
    return join_places(np.arange(count), at, values, codes, np.zeros(count, bool), spacing=1.0)


def test_of_few_places_each_is_left_out_alone():
    codes = np.repeat([1, 1, 1, 2, 2, 2], 5).astype(np.uint8)
    places = np.repeat(np.arange(6), 5)
    (fold,) = partitions_by_place(codes, places, 5, 0)
    np.testing.assert_array_equal(fold, places)


def test_partitions_differ_and_spread_each_class_over_the_folds():
    main = np.resize([1, 2, 3], 60).astype(np.uint8)
    places = np.repeat(np.arange(60), 4)
    codes = main[places]
    partitions = partitions_by_place(codes, places, 5, 0)
    assert len({fold.tobytes() for fold in partitions}) == 5
    for fold in partitions:
        assert len(np.unique(np.column_stack([places, fold]), axis=0)) == 60
        counts = np.array([np.bincount(fold[codes == code], minlength=5) for code in (1, 2, 3)])
        assert (counts == 16).all()


def test_a_slow_method_trains_less_than_five_times_on_all():
    trained_on = []

    def counting(training_set):
        trained_on.append(len(training_set))
        return fit(training_set, Options(trees=3), 0)

    rng = np.random.default_rng(0)
    codes = np.resize([1, 2], 400).astype(np.uint8)
    values = (codes[:, None] + rng.normal(0, 0.1, (400, 2))).astype(np.float32)
    training_set = TrainingSet.of_pixels(values, codes, np.arange(400) // 4)
    report = validate(counting, training_set, Legend.of(["a", "b"]), 0, partitions=1).report
    assert sum(trained_on) <= 5 * 400
    assert (report["partitions"], report["partition_spread"]) == (1, None)
    assert report["accuracy_random"] > 0.9


def interval(right, sizes, main=None, spread=0.0):
    main = np.zeros(len(sizes), int) if main is None else main
    return accuracy_interval(np.array(right, float), np.array(sizes), main, spread, 0)


def test_an_interval_is_of_places_and_never_without_width():
    few = interval([10] * 5 + [0] * 5, [10] * 10)
    many = interval([10] * 50 + [0] * 50, [10] * 100)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
    large = interval([1000] * 5 + [0] * 5, [1000] * 10)  # more pixels, as many places
    np.testing.assert_allclose(large, few)
    lower, upper = interval([10] * 20, [10] * 20)
    assert 0.75 < lower < 0.97 < upper <= 1
    assert interval([10] * 20, [10] * 20, spread=0.1)[0] < lower


def test_macro_f1_is_the_mean_of_the_classes():
    rng = np.random.default_rng(0)
    codes = np.resize([1, 2, 3], 300).astype(np.uint8)
    values = (codes[:, None] + rng.normal(0, 0.7, (300, 2))).astype(np.float32)
    training_set = TrainingSet.of_pixels(values, codes, np.arange(300) // 3)
    legend = Legend.of(["a", "b", "c"])
    report = validate(
        lambda part: fit(part, Options(trees=9), 0), training_set, legend, 0, 5
    ).report
    by_class = report["per_class"].values()
    assert math.isclose(report["macro_f1"], np.mean([figures["f1"] for figures in by_class]))
    assert {figures["n"] for figures in by_class} == {100}
    recall = np.mean([figures["tpr"] for figures in by_class])
    assert math.isclose(report["accuracy_spatial"], recall)  # classes are of one size
    assert 0 < report["partition_spread"] < 0.1


def test_accuracy_alone_is_that_of_one_partition_of_the_whole_report():
    rng = np.random.default_rng(2)
    place = np.repeat(np.arange(12), 9)
    codes = (place % 3 + 1).astype(np.uint8)
    codes[place == 11] = 4  # of one place
    values = (codes[:, None] + rng.normal(0, 0.8, (len(place), 2))).astype(np.float32)
    known = TrainingSet.of_pixels(values, codes, place)

    def fitted(training_set):
        return fit(training_set, Options(trees=10), 0)

    report = validate(fitted, known, Legend.of(["a", "b", "c", "d"]), 3, partitions=1).report
    found = accuracy_by_place(fitted, known, 3)
    for name in ("accuracy_spatial", "accuracy_spatial_interval"):
        assert found[name] == report[name]
    assert (found["places"], found["skipped"]) == (11, [4])


def test_no_accuracy_is_told_of_classes_of_one_place():
    known = TrainingSet.of_pixels(
        np.zeros((4, 1), np.float32), np.array([1, 1, 1, 2], np.uint8), np.array([0, 0, 1, 2])
    )
    found = accuracy_by_place(lambda one: fit(one, Options(trees=1), 0), known, 0)
    assert found["accuracy_spatial"] is None
    assert found["skipped"] == [2]
