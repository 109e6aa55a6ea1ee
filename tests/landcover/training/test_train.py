"""What training makes of samples folders, options and surroundings."""

import csv
import json
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.warp import reproject
from rasterio.windows import Window

from landcover import classify_scene, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.executors.workers import ForkedWorkers
from landcover.inference.block import BlockClassifier, Correction
from landcover.io.legend import Legend
from landcover.io.raster import Band, read_grown
from landcover.models.classifier import Classifier
from landcover.models.file import load_model
from landcover.models.training_set import TrainingSet
from landcover.training.cross_validation import predict, validate
from landcover.training.loading import load_samples
from tests.scenes import CRS, TRANSFORM, pixels, write_labels, write_raster

NAMES = ("blue", "red")


def cut(folder, classes, *, values=None, names=NAMES, legend_first=0, **tags):
    """Samples of a scene whose classes lie in rows of 6 pixels, each with its own spectrum."""
    folder.mkdir()
    if values is None:
        values = np.repeat(100 * (1 + np.arange(len(classes))), 6)[None, :, None]
        values = np.broadcast_to(values, (2, 6 * len(classes), 24)).astype(np.uint16).copy()
        values[1] = 1000 - values[1]
    scene = write_raster(folder / "scene.tif", values, names=names, **tags)
    shapes = [(name, pixels(6 * row, column, 5, 5)) for row, name in enumerate(classes)
              for column in (0, 8, 16)]  # fmt: skip
    labels = write_labels(folder / "labels.gpkg", shapes)
    return extract_samples(scene, labels, workdir=folder).samples


def test_several_folders_are_joined_by_the_names_of_classes(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))  # codes 1, 2
    second = cut(tmp_path / "b", ("beach", "forest"))  # codes 1, 2
    joined = load_samples([first, second], None, False)
    assert [(c.code, c.name) for c in joined.legend.classes] == [
        (1, "forest"), (2, "water"), (3, "beach"),
    ]  # fmt: skip
    codes = joined.training_set.codes
    assert np.bincount(codes).tolist() == [0, 150, 75, 75]
    # forest is 100 / 900 in the first scene and 200 / 800 in the second
    forest = joined.training_set.pixels[codes == 1]
    assert sorted(map(tuple, np.unique(forest, axis=0))) == [(100, 900), (200, 800)]


def test_bands_of_another_folder_are_taken_by_name(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))
    other = np.stack([np.full((12, 24), 70), np.full((12, 24), 30)]).astype(np.uint16)
    second = cut(tmp_path / "b", ("forest", "water"), values=other, names=NAMES[::-1])
    joined = load_samples([first, second], None, False)
    assert joined.training_set.pixels[-1].tolist() == [30, 70]  # blue, red


def test_folders_of_counts_and_of_reflectance_are_not_joined(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))
    counts = np.random.default_rng(0).normal(3e-2, 1e-3, (2, 12, 24)).astype(np.float32)
    second = cut(tmp_path / "b", ("forest", "sand"), values=counts)
    with pytest.raises(InputError, match="seem to be in another unit: bring the scenes to one"):
        load_samples([first, second], None, False)
    # another class may well be so dark
    third = cut(tmp_path / "c", ("shade", "tar"), values=counts)
    assert len(load_samples([first, third], None, False).training_set) == 300


def blobs(side=60, count=6):
    """Polygons of two classes, scattered, each with a spectrum of its own."""
    rng = np.random.default_rng(1)
    values = np.zeros((2, side, side), np.uint16)
    shapes = []
    for number in range(count * count):
        row, column = (10 * part for part in divmod(number, count))
        values[:, row : row + 10, column : column + 10] = rng.integers(0, 9000, 2)[:, None, None]
        shapes.append((str(rng.choice(["forest", "water"])), pixels(row, column, 8, 8)))
    return values, shapes


def test_labels_that_were_reordered_are_still_the_same_places(tmp_path):
    values, shapes = blobs()
    scene = write_raster(tmp_path / "scene.tif", values, names=NAMES)
    folders = []
    for name, some in (("all", shapes), ("fewer", shapes[1:]), ("reversed", shapes[::-1])):
        labels = write_labels(tmp_path / f"{name}.gpkg", some)
        folders.append(
            extract_samples(scene, labels, workdir=tmp_path / name, overwrite=True).samples
        )
    one = train_classifier(
        folders[0], options='{"trees": 20}', workdir=tmp_path, overwrite=True
    ).accuracy
    together = load_samples(folders, None, False)
    assert len(np.unique(together.training_set.places)) == 36
    report = train_classifier(
        folders, options='{"trees": 20}', workdir=tmp_path, overwrite=True
    ).report
    figures = json.loads(report.read_text())
    assert one < 0.7  # spectra say nothing of the class
    assert figures["accuracy_spatial"] < 0.7
    assert figures["groups"] == 36


def test_scenes_beside_one_another_share_no_place(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))
    second = cut(tmp_path / "b", ("forest", "water"))
    described = json.loads((second / "samples.json").read_text())
    described["transform"][2] += 240  # as many metres east as the first scene is wide
    (second / "samples.json").write_text(json.dumps(described))
    places = load_samples([first, second], None, False).training_set.places
    assert len(np.unique(places)) == 12  # six polygons each, of the same numbers


def test_the_same_ground_in_another_system_and_resolution_is_one_place(tmp_path):
    values, shapes = blobs()
    scene = write_raster(tmp_path / "scene.tif", values, names=NAMES)
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    to_other = pyproj.Transformer.from_crs(CRS, "EPSG:32649", always_xy=True)
    corners = [TRANSFORM @ corner for corner in ((0, 0), (60, 0), (60, 60), (0, 60))]
    x, y = to_other.transform(*zip(*corners, strict=True))
    transform = Affine.translation(min(x), max(y)) @ Affine.scale(15, -15)
    moved = np.zeros((2, 60, 60), np.uint16)
    reproject(values, moved, src_transform=TRANSFORM, src_crs=CRS, dst_transform=transform,
              dst_crs="EPSG:32649")  # fmt: skip
    other = write_raster(
        tmp_path / "other.tif", moved, names=NAMES, transform=transform, crs="EPSG:32649"
    )
    folders = [extract_samples(scene, labels, workdir=tmp_path / "a").samples,
               extract_samples(other, labels, workdir=tmp_path / "b").samples]  # fmt: skip
    joined = load_samples(folders, None, False).training_set
    assert len(np.unique(joined.places)) == 36
    for place in np.unique(joined.places):
        assert len(np.unique(joined.codes[joined.places == place])) == 1


def test_folders_that_do_not_say_where_they_lie_are_a_remark(tmp_path, caplog):
    folders = [cut(tmp_path / name, ("forest", "water"), values=values) for name, values in
               (("a", None), ("b", np.full((2, 12, 24), 5, np.uint16)))]  # fmt: skip
    described = json.loads((folders[1] / "samples.json").read_text())
    del described["transform"]
    (folders[1] / "samples.json").write_text(json.dumps(described))
    places = load_samples(folders, None, False).training_set.places
    assert len(np.unique(places)) == 12
    assert "not known where some samples lie" in " ".join(caplog.messages)


def test_a_copy_of_a_folder_is_refused(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(InputError, match="samples folder 2 is a copy of folder 1"):
        train_classifier([first, tmp_path / "copy"], workdir=tmp_path)


def test_a_class_that_the_selection_leaves_out_is_a_remark(tmp_path):
    samples = cut(tmp_path / "a", ("forest", "water", "town"))
    kept = [f"{name}/samples.npy,{i},{name},0,1" for name in ("forest", "water")
            for i in range(75)]  # fmt: skip
    selection = tmp_path / "selection.csv"
    selection.write_text("\n".join(["file,index,class,cluster,kept", *kept]))
    report = train_classifier(samples, selection, workdir=tmp_path).report
    assert "no sample of town was used" in " ".join(json.loads(report.read_text())["remarks"])


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"names": ("blue", "nir")}, r"bands blue, nir, those of scene\.tif blue, red"),
        ({"SCALE": "0.0001", "OFFSET": "-0.1"}, "different units"),
    ],
)
def test_folders_that_do_not_fit_together_are_refused(how, sentence, tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"), SCALE="0.0001")
    second = cut(tmp_path / "b", ("forest", "water"), **how)
    with pytest.raises(InputError, match=sentence):
        train_classifier([first, second], workdir=tmp_path)


def test_a_folder_by_two_names_is_refused(tmp_path):
    first = cut(tmp_path / "a", ("forest", "water"))
    (tmp_path / "again").symlink_to(first)
    with pytest.raises(InputError, match="twice"):
        train_classifier([first, tmp_path / "again"], workdir=tmp_path)


def test_a_selection_belongs_to_one_folder(tmp_path):
    folders = [cut(tmp_path / name, ("forest", "water")) for name in "ab"]
    selection = tmp_path / "selection.csv"
    selection.write_text("file,index,class,cluster,kept\nforest/samples.npy,0,forest,0,1\n")
    with pytest.raises(
        InputError, match="the selection was made from one samples folder, 2 are given"
    ):
        train_classifier(folders, selection, workdir=tmp_path)


def test_options_reach_the_model_and_its_card(tmp_path):
    samples = cut(tmp_path / "a", ("forest", "water"))
    trained = train_classifier(samples, options='{"trees": 4}', seed=3, workdir=tmp_path)
    model = load_model(trained.model)
    assert len(model.classifier.roots) == 4
    assert model.card.options == {
        "trees": 4, "leaf_pixels": 3, "max_depth": 0, "max_features": 0.0, "class_weight": 0.5,
        "windows": "none",
    }  # fmt: skip
    assert model.card.seed == 3
    assert model.card.threads >= 1
    with pytest.raises(InputError, match="options has no member leaf, it has trees"):
        train_classifier(samples, options='{"leaf": 4}', workdir=tmp_path)


@pytest.mark.slow
def test_equal_options_are_one_recipe(tmp_path):
    samples = cut(tmp_path / "a", ("forest", "water"))
    texts = ("", " {} ", '{"trees": 150}', '{"trees":150,"class_weight":0.5}', '{"trees": 151}')
    recipes = []
    for number, text in enumerate(texts):
        train_classifier(samples, options=text, workdir=tmp_path / str(number))
        recipe = json.loads((tmp_path / str(number) / "run.json").read_text())["recipe"]
        recipes.append(recipe["options"]["options"])
    assert len(set(recipes[:-1])) == 1
    assert json.loads(recipes[-1])["trees"] == 151


def test_the_band_that_tells_classes_apart_is_the_important_one(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1000, (3, 24, 24)).astype(np.uint16)
    values[1] = np.repeat([100, 300, 500, 700], 6)[:, None]
    samples = cut(tmp_path / "a", ("a", "b", "c", "d"), values=values, names=("x", "y", "z"))
    trained = train_classifier(samples, workdir=tmp_path)
    with trained.importance.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["band", "importance", "deviation"]
    assert rows[0]["band"] == "y"
    # by chance a quarter is right without it, up to what the samples of the other bands tell
    assert 0.5 < float(rows[0]["importance"]) < 0.9
    assert all(abs(float(row["importance"])) < 0.1 for row in rows[1:])


def test_classes_without_a_second_place_are_a_remark(tmp_path):
    values = np.zeros((1, 12, 24), np.uint16)
    values[:, 6:] = 9
    scene = write_raster(tmp_path / "scene.tif", values)
    shapes = [("a", pixels(0, 0, 5, 5)), ("a", pixels(0, 8, 5, 5)), ("b", pixels(6, 0, 5, 5))]
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=tmp_path).samples
    report = json.loads(train_classifier(samples, workdir=tmp_path).report.read_text())
    remarks = " ".join(report["remarks"])
    assert "the accuracy says nothing of b" in remarks
    assert "no accuracy can be told" in remarks


@dataclass(frozen=True)
class MeanAround(Classifier):
    """A classifier that looks around: is the mean of 3 x 3 pixels of band 0 above a level?"""

    level: float
    codes: np.ndarray = field(default_factory=lambda: np.array([1, 2], np.uint8))
    bands: int = 1
    halo: int = 1

    def probabilities(self, block, valid, scene=None):
        values = np.where(valid, block[0], 0).astype(np.float32)
        height, width = values.shape
        shifted = [values[r : height - 2 + r, c : width - 2 + c] for r in range(3)
                   for c in range(3)]  # fmt: skip
        high = (np.mean(shifted, axis=0) > self.level).astype(np.float32)
        probability = np.stack([1 - high, high])
        return np.where(valid[1:-1, 1:-1], probability, 0)

    def to_graph(self):
        return onnx.GraphProto()


def test_windows_grown_by_a_halo_give_the_map_of_the_whole_scene(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 100, (1, 37, 41)).astype(np.uint8)
    values[0, 5:9, 30:] = 255
    scene = write_raster(tmp_path / "scene.tif", values, nodata=255)
    blocks = BlockClassifier(MeanAround(50.0), [1])
    padded, valid = np.pad(values[0], 1), np.pad(values[0] != 255, 1)
    expected, sure = blocks.classify(padded[None], valid, None, lambda: False)
    assert expected.shape == (37, 41)
    assert set(np.unique(expected)) == {1, 2, 255}
    found = np.zeros_like(expected)
    with rasterio.open(scene) as dataset:
        for top in range(0, 37, 10):
            for left in range(0, 41, 16):
                window = Window(left, top, min(16, 41 - left), min(10, 37 - top))
                codes, _ = blocks.classify(*blocks.read(dataset, window), lambda: False)
                found[top : top + window.height, left : left + window.width] = codes
    np.testing.assert_array_equal(found, expected)
    assert (sure[expected != 255] == 100).all()


def test_a_grown_window_is_the_scene_with_an_invalid_margin(tmp_path):
    values = np.arange(2 * 6 * 7, dtype=np.uint16).reshape(2, 6, 7)
    scene = write_raster(tmp_path / "scene.tif", values)
    with rasterio.open(scene) as dataset:
        for top, left, height, width in ((0, 0, 6, 7), (2, 3, 2, 2), (5, 6, 1, 1)):
            got, valid = read_grown(dataset, Window(left, top, width, height), [2, 1], 4)
            rows, columns = slice(top, top + height + 8), slice(left, left + width + 8)
            np.testing.assert_array_equal(
                got, np.pad(values[::-1], ((0, 0), (4, 4), (4, 4)))[:, rows, columns]
            )
            np.testing.assert_array_equal(valid, np.pad(np.ones((6, 7), bool), 4)[rows, columns])


def test_blocks_are_classified_by_another_process_as_here(tmp_path):
    samples = cut(tmp_path / "a", ("forest", "water"))
    model = load_model(train_classifier(samples, workdir=tmp_path).model)
    blocks = BlockClassifier(
        model.classifier, [1, 2], Correction(np.ones(2), np.zeros(2), is_whole=False)
    )
    values = np.random.default_rng(0).integers(0, 1000, (2, 9, 11)).astype(np.uint16)
    valid = np.ones((9, 11), bool)
    here = blocks.classify(values, valid, None, lambda: False)
    sent = pickle.loads(pickle.dumps(blocks))  # as a pool of processes sends it
    for found, expected in zip(
        sent.classify(values, valid, None, lambda: False), here, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_forest_on_chips_says_that_it_uses_their_centres(tmp_path):
    values = np.repeat([100, 900], 12)[None, :, None] * np.ones((2, 24, 24))
    scene = write_raster(tmp_path / "scene.tif", values.astype(np.uint16))
    shapes = [(name, pixels(row, column, 12, 8)) for name, row in (("a", 0), ("b", 12))
              for column in (0, 8, 16)]  # fmt: skip
    labels = write_labels(tmp_path / "labels.gpkg", shapes)

    def remarks(**how):
        samples = extract_samples(scene, labels, workdir=tmp_path, **how).samples
        report = train_classifier(samples, options='{"trees": 8}', workdir=tmp_path).report
        return " ".join(json.loads(report.read_text())["remarks"])

    assert "the centre pixel of each sample alone" in remarks(chip_size=3)
    assert "the centre pixel of each sample alone" in remarks(context=1)
    assert "centre" not in remarks(chip_size=3, masks=True)
    assert "centre" not in remarks(patches=8)
    assert "centre" not in remarks()
    assert "centre" not in remarks(context=3)
    assert "the centre pixel of each sample and the windows of 3 and 7" in remarks(chip_size=7)


def patches(rng):
    """Two patches of 8 x 8 pixels; in each, pixels of two places and classes."""
    chips = rng.integers(0, 40, (2, 1, 8, 8)).astype(np.uint8)
    chips[:, :, :, 4:] += 60
    at = np.argwhere(np.ones((2, 8, 8), bool))
    codes = np.where(at[:, 2] < 4, 1, 2).astype(np.uint8)
    places = at[:, 0] * 2 + (at[:, 2] >= 4) + (at[:, 1] >= 4) * 4
    valid = np.ones((2, 8, 8), bool)
    return TrainingSet(chips, valid, at, codes, places, (Band("b1", None),))


def test_labelled_pixels_of_patches_are_predicted_with_what_surrounds_them():
    training_set = patches(np.random.default_rng(0))
    classifier = MeanAround(50.0)
    predicted = predict(classifier, training_set)
    for chip in range(2):
        inside, _ = BlockClassifier(classifier, [1]).classify(
            np.pad(training_set.chips[chip], ((0, 0), (1, 1), (1, 1))),
            np.pad(np.ones((8, 8), bool), 1), None, lambda: False,
        )  # fmt: skip
        np.testing.assert_array_equal(predicted.reshape(2, 8, 8)[chip], inside)


def test_folds_part_patches_by_the_place_of_the_pixel():
    training_set = patches(np.random.default_rng(0))
    seen = []

    def fit(fold):
        seen.append(fold)
        return MeanAround(50.0)

    validated = validate(fit, training_set, Legend.of(["a", "b"]), 0, partitions=1)
    *spatial, _ = seen  # the last one is of the random split
    assert len(spatial) >= 2
    for fold in spatial:
        left_out = set(training_set.places) - set(fold.places)
        assert left_out
        assert not left_out & set(fold.places)
        assert fold.chips is training_set.chips  # shared, not copied
        assert (fold.masks == 255).sum() == 128 - len(fold)
    assert validated.report["groups"] == 8


def test_bands_of_a_date_stack_know_their_dates():
    bands = (Band("2021-05-03:B04", None), Band("2021-07-13:B04", None), Band("B04", None),
             Band("2021-13-01:B04", None))  # fmt: skip
    training_set = TrainingSet.of_pixels(np.ones((1, 4)), np.ones(1, np.uint8), bands=bands)
    assert [str(date) for date in training_set.dates] == [
        "2021-05-03", "2021-07-13", "None", "None",
    ]  # fmt: skip


def test_the_map_of_a_scene_without_names_says_so(tmp_path):
    samples = cut(tmp_path / "a", ("forest", "water"))
    model = train_classifier(samples, workdir=tmp_path).model
    values = np.full((2, 8, 8), 100, np.uint16)
    values[1] = 900
    scene = write_raster(tmp_path / "bare.tif", values)
    classify_scene(scene, model, workdir=tmp_path)
    said = json.loads(Path(tmp_path / "run.json").read_text())["run"]["remarks"]
    assert any("taken in file order as blue, red" in remark for remark in said)


@pytest.mark.parametrize("method", ["random-forest", "gradient-boosting"])
def test_folds_that_workers_compute_give_the_bytes_of_one_process(method, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 300, (2, 18, 24)).astype(np.uint16)
    values[0] += np.repeat([100, 200, 300], 6)[:, None].astype(np.uint16)
    samples = cut(tmp_path / "samples", ("forest", "water", "sand"), values=values)
    inputs = {"samples": samples, "method": method, "seed": 4}
    train_classifier(**inputs, workdir=tmp_path / "one")
    with ForkedWorkers(2) as workers:
        train_classifier(**inputs, workdir=tmp_path / "parts", executor=workers)
    for name in ("model.onnx", "report.json", "importance.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not [*(tmp_path / "parts").glob(".*")]
