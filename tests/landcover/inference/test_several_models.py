"""Several models, an area, and the probabilities of all classes."""

import json
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import geopandas
import numpy as np
import onnx
import pytest
import rasterio
import shapely
from affine import Affine
from shapely.geometry import LineString, Point, Polygon

from landcover import check_radiometry, classify_scene, extract_samples, train_classifier
from landcover.errors import InputError, ModelError, Stopped
from landcover.inference.averaging import mean_of
from landcover.inference.block import BlockClassifier
from landcover.inference.classify import UNFINISHED
from landcover.io.legend import Legend
from landcover.models.classifier import Classifier, without_halo
from landcover.models.file import CARD_KEY, Model, load_model
from landcover.operations import by_identifier
from landcover.progress import progress_to
from tests.scenes import CRS, PIXEL, TRANSFORM, pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")
CLASSES = {1: "field", 2: "forest", 3: "meadow", 4: "water"}
"""By the code that their sorted names give."""


def land(seed):
    """Return values of four quarters, as in every scene here, and their codes."""
    values, codes = quarters(48, seed=1)
    return values + np.random.default_rng(seed).integers(0, 300, values.shape).astype("u2"), codes


def train(folder, method="random-forest", seed=0):
    """Train a small model on a scene of four quarters."""
    folder.mkdir()
    values, codes = land(seed)
    places = [(row, column) for row in (2, 12, 26, 38) for column in (3, 14, 28, 40)]
    shapes = [(CLASSES[int(codes[place])], pixels(*place, 5, 5)) for place in places]
    scene = write_raster(folder / "scene.tif", values, names=NAMES)
    labels = write_labels(folder / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=folder).samples
    options = {"random-forest": '{"trees": 12}', "gradient-boosting": '{"rounds": 12}'}[method]
    return train_classifier(
        samples, method=method, options=options, seed=seed, workdir=folder
    ).model


def changed(model, target, change, codes=None):
    """Write a model with another card, and with other codes of its classes."""
    proto = onnx.load(model)
    (card,) = (entry for entry in proto.metadata_props if entry.key == CARD_KEY)
    plain = json.loads(card.value)
    change(plain)
    card.value = json.dumps(plain)
    (labels,) = (a for a in proto.graph.node[0].attribute if a.name == "classlabels_int64s")
    labels.ints[:] = [codes[code] for code in labels.ints] if codes else labels.ints
    onnx.save(proto, target)
    return target


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models of the same classes that differ, the second one by its method."""
    folder = tmp_path_factory.mktemp("models")
    return [
        train(folder / "one", seed=0),
        train(folder / "two", seed=1, method="gradient-boosting"),
        train(folder / "three", seed=2),
    ]


def spectra(height, width):
    """Return (3, height, width) of mixed spectra, each class and much between them."""
    rng = np.random.default_rng(height + width)
    values = rng.integers(100, 2500, (3, height // 8 + 1, width // 8 + 1))
    values = np.kron(values, np.ones((1, 8, 8), int))[:, :height, :width]
    return (values + rng.integers(0, 50, values.shape)).astype("uint16")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of several windows, a part of it nodata."""
    values = spectra(600, 700)
    values[1, 40:90, 30:200] = 0
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=600, width=700, dtype="uint16", crs=CRS,
        transform=TRANSFORM, nodata=0, tiled=True,
    ) as dataset:  # fmt: skip
        dataset.write(values)
        dataset.descriptions = NAMES
    return path


def classify(scene, model, folder, **how):
    folder.mkdir(exist_ok=True)
    return classify_scene(scene, model, **({"radiometry": "ignore"} | how), workdir=folder)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def coverage_of(result):
    return json.loads(result.coverage.read_text())


def mean_by_numpy(models, values, valid):
    """Return the mean probability of each class, float64 (classes, H, W), from the trees."""
    found = [
        load_model(model).classifier.predict_proba(values[:, valid].T.astype(np.float32))
        for model in models
    ]
    mean = np.zeros((found[0].shape[1], *valid.shape))
    mean[:, valid] = np.mean(found, axis=0).T
    return mean


def percent(probability, valid):
    return np.where(valid, np.rint(probability * 100), 255)


def remarks_of(caplog):
    return [record.getMessage() for record in caplog.records]


# probabilities


def test_probabilities_are_those_of_the_model(models, scene, tmp_path):
    result = classify(scene, models[0], tmp_path / "maps", probabilities=True)
    values = read(scene)
    valid = (values != 0).all(axis=0)
    expected = percent(mean_by_numpy(models[:1], values, valid), valid)
    with rasterio.open(result.probabilities) as dataset:
        np.testing.assert_array_equal(dataset.read(), expected)
        assert dataset.descriptions == tuple(CLASSES.values())
        assert set(dataset.nodatavals) == {255}
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(4) == [2]
    with rasterio.open(result.probabilities, overview_level=0) as dataset:
        thin = dataset.read(2)
    known = expected[1].reshape(300, 2, 350, 2)
    full = (known != 255).all(axis=(1, 3))
    means = np.floor(known.mean(axis=(1, 3)) + 0.5)
    np.testing.assert_array_equal(thin[full], means[full])


@pytest.mark.parametrize("which", [0, 1])
def test_the_map_is_the_same_with_probabilities(which, models, scene, tmp_path):
    alone = classify(scene, models[which], tmp_path / "alone")
    beside = classify(scene, models[which], tmp_path / "beside", probabilities=True)
    assert alone.probabilities is None
    for name in ("map", "confidence"):
        np.testing.assert_array_equal(read(getattr(alone, name)), read(getattr(beside, name)))
    np.testing.assert_array_equal(
        read(beside.probabilities).max(axis=0), read(alone.confidence)[0]
    )


def test_probabilities_not_asked_for_are_no_output_and_old_ones_go(models, scene, tmp_path):
    operation = by_identifier("classify-scene")
    inputs = {"scene": scene, "model": models[0], "radiometry": "ignore"}
    first = operation.run(inputs | {"probabilities": True}, tmp_path)
    assert first.outputs["probabilities"] == tmp_path / "probabilities.tif"
    record = json.loads((tmp_path / "run.json").read_text())
    beside = {"map.tif.aux.xml", "map.qml"}
    outputs = {"map", "confidence", "coverage"} | beside
    assert set(record["run"]["outputs"]) == outputs | {"probabilities"}
    (tmp_path / "probabilities.qml").write_text("the user's own")
    second = operation.run(inputs, tmp_path)
    assert set(second.outputs) == {"map", "confidence", "coverage", "classified"}
    assert not (tmp_path / "probabilities.tif").exists()
    assert (tmp_path / "probabilities.qml").exists()
    record = json.loads((tmp_path / "run.json").read_text())
    assert set(record["run"]["outputs"]) == outputs
    assert record["recipe"]["options"]["probabilities"] is False


def test_an_interrupted_run_with_probabilities_goes_on(models, scene, tmp_path):
    expected = classify(scene, models[0], tmp_path / "whole", probabilities=True)
    said = []

    def listen(fraction, sentence):
        said.append(sentence)
        if fraction > 0.4:
            raise Stopped("by the test")

    with pytest.raises(Stopped), progress_to(listen):
        classify(scene, models[0], tmp_path / "broken", probabilities=True)
    assert {path.name for path in (tmp_path / "broken").iterdir()} >= set(UNFINISHED)
    said.clear()
    with progress_to(lambda fraction, sentence: said.append(sentence)):
        found = classify(scene, models[0], tmp_path / "broken", probabilities=True)
    assert any(sentence.startswith("continuing at") for sentence in said)
    for name in ("map", "confidence", "probabilities"):
        assert getattr(found, name).read_bytes() == getattr(expected, name).read_bytes()
    names = {path.name for path in (tmp_path / "broken").iterdir()}
    assert not names & set(UNFINISHED)


# several models


def test_the_map_of_several_models_is_that_of_their_mean(models, scene, tmp_path):
    result = classify(scene, models, tmp_path / "maps", probabilities=True)
    values = read(scene)
    valid = (values != 0).all(axis=0)
    mean = mean_by_numpy(models, values, valid)
    ranked = np.sort(mean, axis=0)
    clear = valid & (ranked[-1] - ranked[-2] > 1e-5)  # ties may fall either way
    assert clear.sum() > 0.9 * valid.sum()
    codes = np.array(list(CLASSES))[mean.argmax(axis=0)]
    np.testing.assert_array_equal(read(result.map)[0][clear], codes[clear])
    assert (read(result.map)[0][~valid] == 255).all()
    near = np.abs(read(result.probabilities) - percent(mean, valid))
    assert near.max() <= 1
    assert (near == 0).mean() > 0.999
    single = read(classify(scene, models[0], tmp_path / "single").map)
    assert (single[0][clear] != codes[clear]).any(), "the models never differ"


def test_the_order_of_models_changes_no_class(models, scene, tmp_path):
    one = read(classify(scene, models, tmp_path / "one").map)
    other = read(classify(scene, models[::-1], tmp_path / "other").map)
    assert (one == other).mean() > 0.999


@pytest.mark.parametrize("as_list", [False, True])
def test_a_list_of_one_is_that_model(as_list, models, scene, tmp_path):
    given = [models[0]] if as_list else models[0]
    result = classify(scene, given, tmp_path / "maps")
    coverage = coverage_of(result)
    assert "models" not in coverage
    assert coverage["bands"] == "by name"
    plain = classify(scene, models[0], tmp_path / "plain")
    for name in ("map", "confidence", "coverage"):
        assert getattr(result, name).read_bytes() == getattr(plain, name).read_bytes()


def test_the_report_and_the_recipe_list_all_models(models, scene, tmp_path):
    result = classify(scene, models, tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    listed = coverage_of(result)["models"]
    assert [one["name"] for one in listed] == ["model.onnx"] * 3
    assert [one["sha256"] for one in listed] == record["recipe"]["inputs"]["model"]
    assert all(one["radiometry"]["verdict"] for one in listed)
    assert record["run"]["files"]["model"] == [str(model) for model in models]


def test_classes_meet_by_name_whatever_their_codes(models, scene, tmp_path, caplog):
    """Of a legend from before in which the same names have other codes."""
    code_of = {1: 9, 2: 3, 3: 2, 4: 1}

    def recode(card):
        for entry in card["legend"]:
            entry["code"] = code_of[entry["code"]]

    other = changed(models[2], tmp_path / "model.onnx", recode, code_of)
    assert load_model(other).card.legend.names == ("water", "meadow", "forest", "field")
    values, valid = read(scene), (read(scene) != 0).all(axis=0)
    mean = mean_by_numpy(models[:1], values, valid)
    mean = (mean + mean_by_numpy([models[2]], values, valid)) / 2
    ranked = np.sort(mean, axis=0)
    clear = valid & (ranked[-1] - ranked[-2] > 1e-5)
    result = classify(scene, [models[0], other], tmp_path / "maps")
    codes = np.array(list(CLASSES))[mean.argmax(axis=0)]
    np.testing.assert_array_equal(read(result.map)[0][clear], codes[clear])
    assert any("model 2 (model.onnx) has other codes of classes" in r for r in remarks_of(caplog))


def test_each_model_takes_its_own_bands_in_its_own_order(models, scene, tmp_path):
    order = ("B04", "B02", "B03")

    def rename(card):
        for band, name in zip(card["bands"], order, strict=True):
            band |= {"name": name, "wavelength": None}

    other = changed(models[2], tmp_path / "model.onnx", rename)
    result = classify(scene, [models[0], other], tmp_path / "maps", probabilities=True)
    values, valid = read(scene), (read(scene) != 0).all(axis=0)
    one = mean_by_numpy(models[:1], values, valid)
    two = mean_by_numpy([other], values[[NAMES.index(name) for name in order]], valid)
    near = np.abs(read(result.probabilities) - percent((one + two) / 2, valid))
    assert near.max() <= 1


def test_other_classes_or_bands_are_named(models, scene, tmp_path):
    def freeze(card):
        card["legend"][3]["name"] = "ice"

    def infrared(card):
        card["bands"][2]["name"] = "B08"

    classes = changed(models[2], tmp_path / "classes.onnx", freeze)
    said = r"model 2 \(classes.onnx\) has other classes than .* lacks water and has ice besides"
    with pytest.raises(InputError, match=said):
        classify(scene, [models[0], classes], tmp_path / "maps")
    bands = changed(models[2], tmp_path / "bands.onnx", infrared)
    with pytest.raises(InputError, match=r"has other bands than .* lacks B04 and has B08 besides"):
        classify(scene, [models[0], bands], tmp_path / "maps")
    assert list((tmp_path / "maps").iterdir()) == []


def test_a_copy_of_a_model_is_refused(models, scene, tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(models[0].read_bytes())
    with pytest.raises(InputError, match="model 3 is a copy of model 1: it would count twice"):
        classify(scene, [*models[:2], copy], tmp_path / "maps")
    with pytest.raises(InputError, match="twice, each is read once"):
        classify(scene, [models[0], models[0]], tmp_path / "maps")


def test_one_that_is_no_model_is_refused(models, scene, tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="damaged"):
        classify(scene, [models[0], tmp_path / "text.onnx"], tmp_path / "maps")


def in_reflectance(scene, folder):
    """Return the training scene as reflectance, where the models know counts."""
    values, _ = land(3)
    return write_raster(folder / "r.tif", values.astype(np.float32) / 10_000, names=NAMES)


def test_the_radiometry_of_each_model_counts(models, scene, tmp_path):
    """A model of reflectance and one of counts: no scene is right for both."""
    values, codes = land(3)
    reflectance = in_reflectance(scene, tmp_path)
    places = [(r, c) for r in (2, 12, 26, 38) for c in (3, 14, 28, 40)]
    shapes = [(CLASSES[int(codes[place])], pixels(*place, 5, 5)) for place in places]
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    samples = extract_samples(reflectance, labels, workdir=tmp_path / "s").samples
    other = train_classifier(samples, workdir=tmp_path / "t").model
    counts = write_raster(tmp_path / "counts.tif", values, names=NAMES)
    for one in (reflectance, counts):
        with pytest.raises(InputError, match=r"was not classified with model [12] \(model.onnx\)"):
            classify(one, [models[0], other], tmp_path / "maps", radiometry="refuse")
    result = classify(
        counts, [models[0], other], tmp_path / "maps", radiometry="harmonise", probabilities=True
    )
    np.testing.assert_array_equal(read(result.map)[0], codes)
    listed = coverage_of(result)["models"]
    assert [one["radiometry"]["corrected"] for one in listed] == [False, True]
    assert coverage_of(result)["radiometry"] == listed[1]["radiometry"]
    ignored = classify(counts, [models[0], other], tmp_path / "ignored")
    with rasterio.open(ignored.map) as dataset:
        assert dataset.tags()["RADIOMETRY"] == "ignored:shifted"


def test_the_map_says_where_all_its_models_were_trained(models, scene, tmp_path):
    def tag(model, name):
        with rasterio.open(classify(scene, model, tmp_path / name).map) as dataset:
            return json.loads(dataset.tags()["LANDCOVER_PLACES"])

    one = tag(models[0], "one")
    assert isinstance(one, dict)
    assert tag(models[:1] + models[2:], "same places") == one
    elsewhere = changed(
        models[2], tmp_path / "e.onnx", lambda c: c["places"].update(runs=[[9] * 3])
    )
    found = tag([models[0], elsewhere], "two")
    assert found == [one, one | {"runs": [[9, 9, 9]]}]
    unknown = changed(models[2], tmp_path / "u.onnx", lambda card: card.update(places=None))
    assert tag([models[0], unknown], "unknown") == one | {"complete": False}


@dataclass(frozen=True)
class Around(Classifier):
    """How bright the pixels around are in one band: a classifier with a halo."""

    band: int
    halo: int
    codes: np.ndarray = field(default_factory=lambda: np.array([1, 2, 3, 4], np.uint8))
    bands: int = 3

    def probabilities(self, block, valid, scene=None):
        side = 2 * self.halo + 1
        seen = np.where(valid, block[self.band], 0).astype(np.float64)
        mean = (
            np.lib.stride_tricks.sliding_window_view(seen, (side, side)).mean(axis=(2, 3)) / 3000
        )
        both = np.stack([mean, 1 - mean, np.zeros_like(mean), np.zeros_like(mean)])
        return np.where(without_halo(valid, self.halo), both, 0).astype(np.float32)

    def to_graph(self):
        raise NotImplementedError


def test_models_that_look_around_by_different_widths_are_averaged():
    """The first takes bands 3, 1, 2 of the scene, corrected, and the second one 2, 3, 1."""
    rng = np.random.default_rng(0)
    scene = rng.integers(1, 2000, (3, 30, 40)).astype(np.float32)
    valid = rng.random((30, 40)) > 0.1
    correction = (np.array([1.0, 0.5, 1.0]), np.array([0.0, 10.0, 0.0]))
    parts = [
        BlockClassifier(Around(1, 2), [3, 1, 2], correction),
        BlockClassifier(Around(0, 0), [2, 3, 1]),
    ]
    card = SimpleNamespace(legend=Legend.of("abcd"))
    mean = mean_of(parts, [card, card])
    assert (mean.bands, mean.classifier.halo) == ([1, 2, 3], 2)
    grown, grown_valid = np.pad(scene, ((0, 0), (2, 2), (2, 2))), np.pad(valid, 2)
    found = mean.classifier.probabilities(grown, grown_valid)
    one = Around(1, 2).probabilities(
        grown[[2, 0, 1]] * np.float32([1, 0.5, 1])[:, None, None]
        + np.float32([0, 10, 0])[:, None, None],
        grown_valid,
    )
    two = Around(0, 0).probabilities(scene[[1, 2, 0]], valid)
    np.testing.assert_allclose(found, (one.astype(float) + two) / 2, atol=1e-9)


# area


def write_area(path, shapes, crs=CRS, to=None):
    frame = geopandas.GeoDataFrame({"name": range(len(shapes))}, geometry=shapes, crs=crs)
    (frame if to is None else frame.to_crs(to)).to_file(path)
    return path


def centres(height, width, transform=TRANSFORM):
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return shapely.points(*(transform @ (columns, rows)))


def on_pixels(points):
    """Return a polygon by columns and rows."""
    return Polygon([TRANSFORM @ point for point in points])


ODD = on_pixels([(100.2, 20.7), (640.9, 250.1), (333.3, 590.4), (301.1, 300.9), (40.4, 410.8)])


@pytest.mark.parametrize("to", [None, "EPSG:4326", "EPSG:3857", "EPSG:32649"])
def test_only_pixels_whose_centre_lies_inside_are_mapped(to, models, scene, tmp_path):
    hole = on_pixels([(300, 200), (400, 210), (350, 260)])
    apart = on_pixels([(10.5, 500.2), (60, 512.7), (30, 560)])
    area = write_area(tmp_path / "area.gpkg", [ODD.difference(hole), apart], to=to)
    whole = classify(scene, models[0], tmp_path / "whole")
    part = classify(scene, models[0], tmp_path / "part", area=area, probabilities=True)
    moved = geopandas.read_file(area).to_crs(CRS).geometry.union_all()
    inside = shapely.contains(moved, centres(600, 700))
    expected = np.where(inside, read(whole.map)[0], 255)
    np.testing.assert_array_equal(read(part.map)[0], expected)
    np.testing.assert_array_equal(
        read(part.confidence)[0], np.where(inside, read(whole.confidence)[0], 255)
    )
    assert ((read(part.probabilities) != 255).all(axis=0) == (expected != 255)).all()
    coverage = coverage_of(part)
    assert coverage["classified"] == coverage["valid"] == (expected != 255).sum()
    assert coverage["masked"] == {
        "nodata in a band that the model uses": (inside & (read(whole.map)[0] == 255)).sum(),
        "outside the area": (~inside).sum(),
    }
    assert coverage["valid"] + sum(coverage["masked"].values()) == 600 * 700


def test_the_edges_are_right_on_a_rotated_scene(models, tmp_path):
    turned = TRANSFORM @ Affine.rotation(33)
    scene = write_raster(tmp_path / "s.tif", spectra(90, 120), names=NAMES, transform=turned)
    corner = turned @ (60, 40)
    area = write_area(tmp_path / "a.geojson", [Point(corner).buffer(23.4 * PIXEL)], to="EPSG:4326")
    result = classify(scene, models[0], tmp_path / "maps", area=area)
    moved = geopandas.read_file(area).to_crs(CRS).geometry.union_all()
    inside = shapely.contains(moved, centres(90, 120, turned))
    assert inside.sum() > 1000
    np.testing.assert_array_equal(read(result.map)[0] != 255, inside)


def test_what_surrounds_an_area_is_looked_at(models, scene, tmp_path, monkeypatch):
    """Inside, the map of a model that looks around is that of the whole scene."""
    card = load_model(models[0]).card
    given = [("the model", Model(card, Around(0, 2)))]
    monkeypatch.setattr("landcover.inference.classify.load_models", lambda paths: given)
    area = write_area(tmp_path / "area.gpkg", [ODD])
    whole = classify(scene, models[0], tmp_path / "whole", probabilities=True)
    part = classify(scene, models[0], tmp_path / "part", probabilities=True, area=area)
    inside = shapely.contains(ODD, centres(600, 700))
    for name in ("map", "confidence", "probabilities"):
        expected = np.where(inside, read(getattr(whole, name)), 255)
        np.testing.assert_array_equal(read(getattr(part, name)), expected)


def test_overlapping_polygons_are_one_area(models, scene, tmp_path):
    shapes = [pixels(10, 10, 30, 30), pixels(20, 20, 30, 30)]
    result = classify(
        scene, models[0], tmp_path / "maps", area=write_area(tmp_path / "a.gpkg", shapes)
    )
    inside = np.zeros((600, 700), bool)
    inside[10:40, 10:40] = inside[20:50, 20:50] = True
    valid = (read(scene) != 0).all(axis=0)
    np.testing.assert_array_equal(read(result.map)[0] != 255, inside & valid)


def test_an_area_that_reaches_beyond_the_scene_is_remarked(models, scene, tmp_path, caplog):
    shapes = [pixels(-50, -50, 100, 100), pixels(200, 200, 50, 50), pixels(100.1, 100.1, 0.2, 0.2)]
    area = write_area(tmp_path / "a.gpkg", shapes)
    result = classify(scene, models[0], tmp_path / "maps", area=area)
    said = remarks_of(caplog)
    assert any("1 of 3 polygons of a.gpkg reach beyond the scene" in r for r in said)
    assert any("1 polygons of a.gpkg hold no pixel centre" in r for r in said)
    assert result.classified == 50 * 50 + 50 * 50 - 10 * 20


@pytest.mark.parametrize(
    ("shapes", "to", "sentence"),
    [([pixels(9000, 0, 9, 9)], None, "area.gpkg lies outside the scene, nothing would be mapped"),
     ([pixels(3.3, 3.3, 0.1, 0.1)], None, "lies in the scene and holds no centre of its pixels"),
     ([Point(TRANSFORM @ (9, 9))], None, "feature 1 is a Point, an area needs polygons"),
     ([pixels(0, 0, 9, 9), LineString([TRANSFORM @ (1, 1), TRANSFORM @ (5, 5)])], None,
      "feature 2 is a LineString, an area needs polygons"),
     ([pixels(50, 40, 10, 10)], None, "scene.tif holds no valid pixel inside area.gpkg")],
)  # fmt: skip
def test_an_area_that_cannot_be_meant_is_refused(shapes, to, sentence, models, scene, tmp_path):
    area = write_area(tmp_path / "area.gpkg", shapes, to=to)
    with pytest.raises(InputError, match=sentence):
        classify(scene, models[0], tmp_path / "maps", area=area)
    assert list((tmp_path / "maps").iterdir()) == []


def test_a_raster_is_no_area(models, scene, tmp_path):
    with pytest.raises(
        InputError, match=r"scene.tif is a raster, an area needs polygons: give it"
    ):
        classify(scene, models[0], tmp_path / "maps", area=scene)


def test_an_area_of_several_layers_needs_one(models, scene, tmp_path):
    path = tmp_path / "a.gpkg"
    for name, shape in (("north", pixels(0, 0, 20, 20)), ("south", pixels(300, 300, 10, 10))):
        geopandas.GeoDataFrame(geometry=[shape], crs=CRS).to_file(path, layer=name)
    with pytest.raises(
        InputError, match="holds the layers north, south: say with the input layer"
    ):
        classify(scene, models[0], tmp_path / "maps", area=path)
    result = classify(scene, models[0], tmp_path / "maps", area=path, layer="south")
    assert result.classified == 100
    with pytest.raises(InputError, match="layer south is that of an area, and no area is given"):
        classify(scene, models[0], tmp_path / "maps", layer="south")


def test_only_the_area_is_compared_with_what_the_model_learned(models, tmp_path):
    """Where the rest of the scene is foreign, the area still is mapped."""
    known, codes = land(3)
    values = np.random.default_rng(0).integers(5000, 9000, (3, 400, 400)).astype(np.uint16)
    values[:, 200:248, 100:148] = known
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    assert check_radiometry(scene, models[0], workdir=tmp_path / "r").verdict == "foreign"
    area = write_area(tmp_path / "a.gpkg", [pixels(200, 100, 48, 48)])
    result = classify(scene, models[0], tmp_path / "maps", area=area, radiometry="refuse")
    np.testing.assert_array_equal(read(result.map)[0][200:248, 100:148], codes)
    assert Counter(np.ravel(read(result.map)))[255] == 400 * 400 - 48 * 48
    outside = write_area(tmp_path / "o.gpkg", [pixels(0, 0, 48, 48)])
    with pytest.raises(InputError, match="was not classified"):
        classify(scene, models[0], tmp_path / "outside", area=outside, radiometry="refuse")


@pytest.mark.parametrize("change", ["file", "layer", "models", "probabilities"])
def test_tiles_of_other_work_are_not_taken(change, models, scene, tmp_path):
    path = tmp_path / "area.gpkg"
    for name, shape in (("most", pixels(0, 0, 600, 650)), ("part", pixels(0, 0, 90, 90))):
        geopandas.GeoDataFrame(geometry=[shape], crs=CRS).to_file(path, layer=name)
    other = write_area(tmp_path / "other.gpkg", [pixels(50, 50, 520, 580)])
    begun = {"model": models[0], "area": path, "layer": "most"}
    wanted = (
        begun
        | {
            "file": {"area": other, "layer": ""},
            "layer": {"layer": "part"},
            "models": {"model": models[::2]},
            "probabilities": {"probabilities": True},
        }[change]
    )

    def listen(fraction, sentence):
        if fraction > 0.4:
            raise Stopped("by the test")

    with pytest.raises(Stopped), progress_to(listen):
        classify(scene, folder=tmp_path / "maps", **begun)
    found = classify(scene, folder=tmp_path / "maps", **wanted)
    expected = classify(scene, folder=tmp_path / "clean", **wanted)
    for name in ("map", "confidence"):
        assert getattr(found, name).read_bytes() == getattr(expected, name).read_bytes()
