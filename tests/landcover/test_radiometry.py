"""What a model says of scenes in other units, with other bands, and of other lands."""

import csv

import numpy as np
import pytest

from landcover import check_radiometry, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.models import load_model
from landcover.radiometry import sample_pixels
from landcover.rasters import open_raster
from landcover.spectra import MOST_NUMBERS, find_clusters
from tests.scenes import pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    values, _ = quarters(seed=1)
    scene = write_raster(
        folder / "s.tif", values, names=NAMES, SENSOR="Sentinel-2A MSI", LEVEL="L2A",
        SCALE="1e-4 reflectance", OFFSET="0",
    )  # fmt: skip
    fields = [(name, pixels(row, column, 8, 8))
              for name, top, left in (("a", 0, 0), ("b", 0, 32), ("c", 32, 0), ("d", 32, 32))
              for row, column in ((top + 2, left + 2), (top + 16, left + 16))]  # fmt: skip
    labels = write_labels(folder / "l.gpkg", fields)
    samples = extract_samples(scene=scene, labels=labels, workdir=folder).samples
    return train_classifier(samples=samples, workdir=folder).model


@pytest.fixture
def check(model, tmp_path):
    def check(values, names=NAMES, **tags):
        scene = write_raster(tmp_path / "scene.tif", values, names=names, **tags)
        found = check_radiometry(scene=scene, model=model, workdir=tmp_path)
        with found.bands.open(newline="") as file:
            return found, list(csv.DictReader(file))

    return check


def other_scene():
    """The same four classes, other noise, other shares."""
    values, _ = quarters(size=96, seed=5)
    order = np.random.default_rng(3).permutation(96)
    return values[:, order][:, :, order]


def test_a_scene_of_the_same_kind_is_ok(check):
    found, bands = check(other_scene())
    assert found.verdict == "ok"
    assert [band["band"] for band in bands] == list(NAMES)
    assert {(band["offset"], band["gain"]) for band in bands} == {("0.0", "1.0")}
    assert all(float(band["outside share"]) < 0.02 for band in bands)


@pytest.mark.parametrize("quarter", range(4))
def test_a_scene_of_one_class_alone_is_ok(check, quarter):
    top, left = divmod(quarter, 2)
    values = quarters(size=64, seed=6)[0]
    assert check(values[:, 32 * top :, 32 * left :][:, :32, :32])[0].verdict == "ok"


@pytest.mark.parametrize(
    ("shift", "gain", "offset"),
    [
        (lambda v: v + 1000, 1, -1000),
        (lambda v: v.astype(np.int32) - 1000, 1, 1000),
        (lambda v: v + 2000, 1, -2000),
        (lambda v: (v / 1e4).astype(np.float32), 1e4, 0),
        (lambda v: (v / 100).astype(np.float32), 100, 0),
        (lambda v: ((v / 1e4 + 0.2) / 2.75e-5).round().astype(np.uint16), 0.275, -2000),
    ],
    ids=["offset left on", "offset off twice", "offset on twice", "reflectance", "percent",
         "Landsat counts"],
)  # fmt: skip
def test_a_known_shift_is_told_with_what_corrects_it(check, shift, gain, offset):
    found, bands = check(shift(other_scene()))
    assert found.verdict == "shifted"
    for band in bands:
        assert float(band["gain"]) == pytest.approx(gain)
        assert float(band["offset"]) == pytest.approx(offset, abs=1e-6)
    assert "harmonise" in found.advice


def test_the_scenes_own_scale_is_tried_too(check):
    odd = (other_scene() / 1e4 * 0.37 / 1e-3).astype(np.float32)  # no usual unit
    assert check(odd)[0].verdict == "foreign"
    found, bands = check(odd, SCALE=str(1e-3 / 0.37), OFFSET="0")
    assert found.verdict == "shifted"
    assert float(bands[0]["gain"]) == pytest.approx(10 / 0.37)


def test_exchanged_bands_are_named(check):
    found, _ = check(other_scene()[[0, 2, 1]])
    assert found.verdict == "foreign"
    assert "B03 seems to hold B04" in found.advice
    assert "B04 seems to hold B03" in found.advice


def test_renamed_bands_that_fit_in_file_order_get_that_advice(check):
    found, bands = check(other_scene(), names=("blue", "green", "red"))
    assert found.verdict == "foreign"
    assert "has no band B02, B03, B04" in found.advice
    assert "taken in file order they fit" in found.advice
    assert len(bands) == 3


def test_bands_without_names_are_taken_in_file_order(check):
    assert check(other_scene(), names=())[0].verdict == "ok"


def test_a_missing_band_is_named_and_nothing_measured(check):
    found, bands = check(other_scene()[:2], names=("B02", "B03"))
    assert found.verdict == "foreign"
    assert "has no band B04" in found.advice
    assert [band["offset"] for band in bands] == ["", "", ""]


def test_values_cut_off_at_zero_are_foreign(check):
    found, _ = check(np.maximum(other_scene().astype(int) - 1000, 0).astype(np.uint16))
    assert found.verdict == "foreign"
    assert "cut off at 0" in found.advice


def test_another_sensor_is_foreign_and_its_own_words_are_quoted(check):
    rng = np.random.default_rng(0)
    counts = rng.normal((60, 90, 40), 8, (64, 64, 3)).clip(1, 255).astype(np.uint8)
    found, _ = check(np.moveaxis(counts, 2, 0), SENSOR="Landsat 7 ETM+", LEVEL="counts")
    assert found.verdict == "foreign"
    assert "Landsat 7 ETM+ not Sentinel-2A MSI" in found.advice


def test_what_a_hostile_scene_says_of_itself_stays_one_short_sentence(check):
    values = np.full((3, 40, 40), 9000, np.uint16)
    found, _ = check(values, SENSOR="a\n\x1b[2J<b>" + 500 * "x", SCALE="1e999", OFFSET="nan")
    assert found.verdict == "foreign"
    assert found.advice.isprintable()
    assert len(found.advice) < 500


def test_new_land_in_half_of_a_scene_is_no_shift_but_said(check):
    values = other_scene().astype(float)
    values[:, :48] = np.random.default_rng(1).normal(4000, 50, (3, 48, 96))
    found, _ = check(values.astype(np.uint16))
    assert found.verdict == "ok"
    assert "resemble no training pixel" in found.advice


def test_a_scene_without_a_valid_pixel_is_refused(model, tmp_path):
    empty = np.zeros((3, 20, 20), np.uint16)
    scene = write_raster(tmp_path / "s.tif", empty, names=NAMES, nodata=0)
    with pytest.raises(InputError, match="no valid pixel"):
        check_radiometry(scene=scene, model=model, workdir=tmp_path)


def test_pixels_are_found_wherever_the_valid_ones_are(tmp_path):
    values = np.zeros((1, 1500, 1500), np.uint16)
    values[0, 700:712, 1300:1312] = 7
    with open_raster(write_raster(tmp_path / "s.tif", values, nodata=0)) as dataset:
        assert set(sample_pixels(dataset, [1]).ravel()) == {7}


def test_a_constant_band_does_not_disturb(tmp_path):
    values = np.concatenate([quarters(seed=1)[0], np.full((1, 64, 64), 12, np.uint16)])
    scene = write_raster(tmp_path / "s.tif", values)
    fields = [("a", pixels(2, 2, 8, 8)), ("b", pixels(2, 40, 8, 8)), ("a", pixels(16, 2, 8, 8)),
              ("b", pixels(16, 40, 8, 8))]  # fmt: skip
    labels = write_labels(tmp_path / "l.gpkg", fields)
    samples = extract_samples(scene=scene, labels=labels, workdir=tmp_path).samples
    trained = train_classifier(samples=samples, workdir=tmp_path).model
    assert check_radiometry(scene=scene, model=trained, workdir=tmp_path).verdict == "ok"
    shifted = write_raster(tmp_path / "t.tif", values + 1000)
    assert check_radiometry(scene=shifted, model=trained, workdir=tmp_path).verdict == "shifted"


def test_the_card_keeps_what_the_scene_said_of_itself(model):
    card = load_model(model).card
    assert (card.sensor, card.level, card.scale, card.offset) == (
        "Sentinel-2A MSI", "L2A", 1e-4, 0.0)  # fmt: skip
    assert {cluster.code for cluster in card.clusters} == {1, 2, 3, 4}


@pytest.mark.parametrize(("bands", "each"), [(20, 4), (130, 1), (300, 0)])
def test_many_bands_do_not_make_the_card_too_long(bands, each):
    rng = np.random.default_rng(0)
    codes = np.repeat([1, 2], 900).astype(np.uint8)
    values = rng.normal(codes[:, None] * 1000.0, 50, (1800, bands)).astype(np.float32)
    clusters = find_clusters(values, codes, 0)
    assert each * 2 >= len(clusters) >= min(each, 1) * 2
    assert len(clusters) * bands**2 <= MOST_NUMBERS


def test_a_card_without_clusters_still_tells_a_wrong_unit(model, tmp_path):
    import dataclasses

    from landcover.models import save_model

    trained = load_model(model)
    bare = dataclasses.replace(trained, card=dataclasses.replace(trained.card, clusters=()))
    save_model(tmp_path / "bare.onnx", bare)
    for values, verdict in ((other_scene(), "ok"), (other_scene() / 1e4, "shifted")):
        scene = write_raster(tmp_path / "s.tif", values.astype(np.float32), names=NAMES)
        found = check_radiometry(scene=scene, model=tmp_path / "bare.onnx", workdir=tmp_path)
        assert found.verdict == verdict


def test_a_model_of_reflectance_tells_counts(model, tmp_path):
    values, _ = quarters(seed=1)
    scene = write_raster(tmp_path / "s.tif", (values / 1e4).astype(np.float32))
    fields = [("a", pixels(2, 2, 8, 8)), ("b", pixels(2, 40, 8, 8)), ("a", pixels(16, 2, 8, 8)),
              ("b", pixels(16, 40, 8, 8))]  # fmt: skip
    labels = write_labels(tmp_path / "l.gpkg", fields)
    samples = extract_samples(scene=scene, labels=labels, workdir=tmp_path).samples
    trained = train_classifier(samples=samples, workdir=tmp_path).model
    assert check_radiometry(scene=scene, model=trained, workdir=tmp_path).verdict == "ok"
    for shifted in (values, values / 1e4 + 0.1):
        scene = write_raster(tmp_path / "t.tif", shifted.astype(np.float32))
        found = check_radiometry(scene=scene, model=trained, workdir=tmp_path)
        assert found.verdict == "shifted"
