"""What a model says of scenes in other units, with other bands, and of other lands."""

import csv
import dataclasses

import numpy as np
import pytest
import rasterio

from landcover import check_radiometry, classify_scene, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.inference.radiometry import spectra_of
from landcover.inference.shifts.faults import cut_at_ends
from landcover.inference.shifts.registration import Change
from landcover.inference.shifts.resemblance import Resemblance
from landcover.io.raster import open_raster
from landcover.io.scene_pixels import sample_pixels
from landcover.models.file import load_model, save_model
from landcover.models.spectra import MOST_NUMBERS, find_clusters
from landcover.progress import collecting_notes
from tests.scenes import TRANSFORM, pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")
ELSEWHERE = TRANSFORM @ TRANSFORM.translation(10_000, 0)


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
    assert "multiplying by 27 in all bands" in check(odd)[0].advice
    found, bands = check(odd, SCALE=str(1e-3 / 0.37), OFFSET="0")
    assert found.verdict == "shifted"
    assert float(bands[0]["gain"]) == pytest.approx(10 / 0.37)


def test_exchanged_bands_are_named(check):
    found, _ = check(other_scene()[[0, 2, 1]])
    assert found.verdict == "foreign"
    assert "B03 seems to hold B04" in found.advice
    assert "B04 seems to hold B03" in found.advice


def test_bands_that_begin_with_the_last_are_named(check):
    found, _ = check(other_scene()[[2, 0, 1]])
    assert found.verdict == "foreign"
    assert "B02 seems to hold B04, B03 seems to hold B02, B04 seems to hold B03" in found.advice


def test_renamed_bands_that_fit_in_file_order_get_that_advice(check):
    found, bands = check(other_scene(), names=("one", "two", "three"))
    assert found.verdict == "foreign"
    assert "has no band B02, B03, B04" in found.advice
    assert found.advice.endswith(
        "taken in file order they fit what it learned, set bands to B02=one,B03=two,B04=three"
    )
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


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [(65535, "uint16"), (-9999, "int16"), (1e20, "float32"), (-3.4e38, "float32")],
)
def test_an_undeclared_fill_is_refused_with_the_remedy(check, fill, dtype):
    values = other_scene().astype(dtype)
    values[:, :, :5] = fill
    found, _ = check(values)
    assert found.verdict == "foreign"
    assert f"all hold {fill:g}, which is no land that the model knows" in found.advice
    assert "declare it as the scene's nodata" in found.advice


def test_a_fill_near_dark_land_is_refused_too(check):
    values = other_scene() - 60  # the darkest class comes close to 0
    values[:, :, :10] = 1
    found, _ = check(values)
    assert found.verdict == "foreign"
    assert "all hold 1, which is no land" in found.advice


def test_values_that_are_strange_only_together_are_told_so(check):
    rng = np.random.default_rng(0)
    values = np.stack([rng.permutation(band.ravel()).reshape(96, 96) for band in other_scene()])
    found, bands = check(values)
    assert found.verdict == "foreign"
    assert "with the other bands as in the training scene" in found.advice
    assert all(float(band["outside share"]) < 0.02 for band in bands)


def test_a_fill_that_differs_from_band_to_band_is_refused_too(check):
    values = other_scene()
    values[:, :5] = np.array([65535, 3, 65534], np.uint16)[:, None, None]
    assert "all hold 3, 65534, 65535" in check(values)[0].advice


def test_what_a_mask_hides_is_not_compared(model, tmp_path):
    values, shown = other_scene(), np.ones((96, 96), np.uint8)
    values[:, :, :20], shown[:, :20] = 65535, 0
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    mask = write_raster(tmp_path / "m.tif", shown)
    assert check_radiometry(scene, model, workdir=tmp_path).verdict == "foreign"
    assert check_radiometry(scene, model, mask=mask, workdir=tmp_path).verdict == "ok"
    classified = classify_scene(scene, model, mask=mask, workdir=tmp_path)
    with rasterio.open(classified.map) as dataset:
        np.testing.assert_array_equal(dataset.read(1) == 255, shown == 0)


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


def half_new():
    values = other_scene().astype(float)
    values[:, :40] = np.random.default_rng(1).normal(4000, 50, (3, 40, 96))
    return values.astype(np.uint16)


def test_new_land_in_a_part_of_another_scene_is_no_shift_but_said(model, tmp_path):
    scene = write_raster(tmp_path / "s.tif", half_new(), names=NAMES, transform=ELSEWHERE)
    with collecting_notes(lambda sentence: None) as notes:
        found = check_radiometry(scene=scene, model=model, workdir=tmp_path)
    assert found.verdict == "ok"
    assert "resemble no training pixel" in found.advice
    (where,) = [r for r in notes.remarks if "in its north, most of all in B02, B03, B04" in r]
    assert float(where.split("%")[0]) == pytest.approx(100 * 40 / 96, abs=5)


def test_the_same_where_the_model_was_trained_must_be_hidden(check):
    found, _ = check(half_new())
    assert found.verdict == "foreign"
    assert found.advice.startswith("its north differs from the rest of the scene")
    assert "hide it with a mask" in found.advice


@pytest.mark.parametrize("gain", [0.6, 0.8, 0.9, 1.1, 1.2, 1.65])
def test_a_plain_gain_is_told_with_what_corrects_it(check, gain):
    found, bands = check((other_scene() * gain).round().astype(np.uint16))
    assert found.verdict == "shifted"
    assert [float(band["gain"]) for band in bands] == pytest.approx(3 * [1 / gain], rel=0.01)
    assert {band["offset"] for band in bands} == {"0.0"}
    assert f"after multiplying by {float(bands[0]['gain']):.3g} in all bands" in found.advice


def test_a_gain_of_each_band_is_told_band_by_band(check):
    gains = np.array([0.8, 1.1, 1.2])
    found, bands = check((other_scene() * gains[:, None, None]).round().astype(np.uint16))
    assert found.verdict == "shifted"
    assert [float(band["gain"]) for band in bands] == pytest.approx(1 / gains, rel=0.02)
    assert "from 0.83" in found.advice


def test_bright_and_dark_exchanged_in_all_bands_are_told(check):
    values = other_scene().astype(int)
    ends = values.min(axis=(1, 2)) + values.max(axis=(1, 2))
    found, _ = check((ends[:, None, None] - values).astype(np.uint16))
    assert found.verdict == "foreign"
    assert "as in a negative" in found.advice


def test_a_gain_that_cut_the_brightest_off_is_told_and_not_corrected(check):
    found, _ = check((other_scene() * 1.2).clip(max=2800).astype(np.uint16))
    assert found.verdict == "foreign"
    assert "cut off" in found.advice


@pytest.mark.parametrize(("share", "is_told"), [(0.1, False), (0.2, True)])
def test_many_values_at_the_end_of_a_band_let_no_gain_be_told(model, share, is_told):
    card = load_model(model).card
    values = other_scene().reshape(3, -1).T.astype(float)
    end = np.round(np.quantile(values[:, 2], 1 - share))
    values[:, 2] = values[:, 2].clip(max=end)
    change = Change(np.array([1, 1, card.bands[2].quantiles[-1] / end]), np.zeros(3))
    assert ("cut off" in cut_at_ends(values, change, card)) == is_told


def test_values_too_coarse_to_be_corrected_are_told(tmp_path):
    def scene(seed, change):
        levels = np.kron([[60, 61], [90, 120]], np.ones((32, 32)))
        noise = np.random.default_rng(seed).normal(0, 0.8, (3, 64, 64))
        whole = np.rint(levels * np.array([1, 0.8, 0.6])[:, None, None] + noise)
        return np.rint(change * whole).astype(np.uint8)

    fields = [(name, pixels(top + row, left + 4, 10, 20))
              for name, top, left in (("a", 0, 0), ("b", 0, 32), ("c", 32, 0), ("d", 32, 32))
              for row in (2, 18)]  # fmt: skip
    clean = write_raster(tmp_path / "s.tif", scene(1, 1.0), names=NAMES)
    labels = write_labels(tmp_path / "l.gpkg", fields)
    samples = extract_samples(scene=clean, labels=labels, workdir=tmp_path).samples
    trained = train_classifier(samples=samples, workdir=tmp_path).model
    found = [
        check_radiometry(scene=write_raster(tmp_path / "o.tif", scene(2, gain), names=NAMES),
                         model=trained, workdir=tmp_path)
        for gain in (1.3, 0.6)
    ]  # fmt: skip
    assert [one.verdict for one in found] == ["shifted", "foreign"]
    assert "so coarse that rounding took away what tells classes apart" in found[1].advice


def test_a_scene_in_one_window_is_sampled_as_well(tmp_path):
    values, _ = quarters(size=96, seed=5)
    with open_raster(write_raster(tmp_path / "s.tif", values)) as dataset:
        assert len(sample_pixels(dataset, [1, 2, 3])) > 2000


def test_land_of_the_training_scene_that_is_0_was_not_cut_off(tmp_path):
    values, _ = quarters(seed=1)
    values[2, :8, 32:] = 0
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    fields = [(name, pixels(12 + top, left + column, 8, 8))
              for name, top, left in (("a", 0, 0), ("b", 0, 32), ("c", 32, 0), ("d", 32, 32))
              for column in (2, 16)]  # fmt: skip
    labels = write_labels(tmp_path / "l.gpkg", fields)
    samples = extract_samples(scene=scene, labels=labels, workdir=tmp_path).samples
    trained = train_classifier(samples=samples, workdir=tmp_path).model
    assert check_radiometry(scene=scene, model=trained, workdir=tmp_path).verdict == "ok"


def test_haze_is_told_and_taken_off(check):
    path = 300 * (483 / np.array([490, 560, 665])) ** 2
    found, bands = check((other_scene() + path[:, None, None]).round().astype(np.uint16))
    assert found.verdict == "shifted"
    assert "taking off haze, 29" in found.advice
    assert [float(band["offset"]) for band in bands] == pytest.approx(-path, abs=10)


def test_a_dead_band_is_named(check):
    values = other_scene()
    values[1] = 700
    found, _ = check(values)
    assert found.verdict == "foreign"
    assert found.advice.startswith("B03 holds nothing but 700")


def test_a_band_written_twice_is_named(check):
    values = other_scene()
    values[1] = values[0]
    found, _ = check(values)
    assert found.verdict == "foreign"
    assert found.advice.startswith("B02 and B03 hold the same values in every pixel")


@pytest.mark.parametrize(
    "change",
    [
        lambda band: band[::-1, ::-1],
        lambda band: band.max() - band + 100,
        lambda band: (band + np.random.default_rng(2).normal(0, 500, band.shape)).clip(1),
    ],
    ids=["of another place", "inverted", "noisy"],
)
def test_a_band_that_does_not_go_with_the_others_is_foreign(check, change):
    values = other_scene()
    values[2] = change(values[2].astype(float)).astype(np.uint16)
    found, _ = check(values)
    assert found.verdict == "foreign"


def test_a_part_in_another_unit_is_told_with_where_it_lies(check):
    values = quarters(size=96, seed=5)[0][:, :, np.r_[0:96:2, 1:96:2]]  # like land on both sides
    values[:, :, 48:] += 1000
    found, _ = check(values)
    assert found.verdict == "foreign"
    assert "put together of parts: its east fits what the model learned" in found.advice


def test_a_layer_says_how_much_each_pixel_resembles_the_training_pixels(model, tmp_path):
    values, shown = half_new(), np.ones((96, 96), np.uint8)
    shown[90:] = 0
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, transform=ELSEWHERE)
    mask = write_raster(tmp_path / "m.tif", shown, transform=ELSEWHERE)
    found = check_radiometry(scene=scene, model=model, mask=mask, workdir=tmp_path)
    with rasterio.open(found.unknown) as dataset:
        percent = dataset.read(1)
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), 255)
        assert dataset.transform == ELSEWHERE
    assert (percent[90:] == 255).all()
    assert (percent[:40] == 0).all()
    assert (percent[40:90] > 90).mean() > 0.99


def test_the_layer_leaves_no_cluster_out_that_would_change_it(model):
    values = np.random.default_rng(0).integers(0, 3000, (40_000, 3))
    values[:20_000] = quarters(size=142)[0].reshape(3, -1).T[:20_000]
    found = Resemblance.of(spectra_of(load_model(model).card), values[::50].astype(float))
    density = found.spectra.log_density(values.astype(float)) + np.log(found.shares)
    likely = np.exp(density - density.max(axis=1)[:, None])
    percent = 100 * (1 - likely[:, -1] / likely.sum(axis=1))
    assert np.abs(found.percent(values) - percent).max() < 0.51
    assert ((percent > 1) & (percent < 99)).sum() > 100  # not only what is plain


def test_without_the_models_bands_no_pixel_resembles_anything(check):
    found, _ = check(other_scene()[:2], names=("B02", "B03"))
    assert "by name and wavelength it shares B02, B03: train a model on this scene" in found.advice
    with rasterio.open(found.unknown) as dataset:
        assert (dataset.read(1) == 0).all()


def test_half_unknown_land_is_foreign_elsewhere(model, tmp_path):
    values = half_new()
    values[:, 40:60] = values[:, :20]
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, transform=ELSEWHERE)
    assert check_radiometry(scene=scene, model=model, workdir=tmp_path).verdict == "foreign"


def test_a_first_map_of_two_classes_goes_on_where_it_was_trained(tmp_path):
    values, _ = quarters(seed=1)
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    fields = [("a", pixels(row, column, 8, 8)) for row, column in ((2, 2), (16, 2))]
    fields += [("b", pixels(row, column, 8, 8)) for row, column in ((2, 40), (16, 40))]
    labels = write_labels(tmp_path / "l.gpkg", fields)
    samples = extract_samples(scene=scene, labels=labels, workdir=tmp_path).samples
    trained = train_classifier(samples=samples, workdir=tmp_path).model
    with collecting_notes(lambda sentence: None) as notes:
        found = check_radiometry(scene=scene, model=trained, workdir=tmp_path)
    assert found.verdict == "ok"
    (said,) = [r for r in notes.remarks if "without labels" in r]
    assert "for the most part in its south" in said
    assert "are land that the training scene has without labels" in said
    shifted = write_raster(tmp_path / "t.tif", (values * 1.2).astype(np.uint16), names=NAMES)
    assert (
        check_radiometry(scene=shifted, model=trained, workdir=tmp_path / "s").verdict == "shifted"
    )


def test_a_model_that_knows_no_scene_says_what_is_not_found(model, tmp_path):
    trained = load_model(model)
    bare = dataclasses.replace(trained.card, scene_clusters=())
    save_model(tmp_path / "bare.onnx", dataclasses.replace(trained, card=bare))
    scene = write_raster(tmp_path / "s.tif", other_scene(), names=NAMES)
    with collecting_notes(lambda sentence: None) as notes:
        found = check_radiometry(scene=scene, model=tmp_path / "bare.onnx", workdir=tmp_path)
    assert found.verdict == "ok"
    assert any("train anew on samples of extract-samples" in remark for remark in notes.remarks)


def test_a_scene_without_a_valid_pixel_is_refused(model, tmp_path):
    empty = np.zeros((3, 20, 20), np.uint16)
    scene = write_raster(tmp_path / "s.tif", empty, names=NAMES, nodata=0)
    with pytest.raises(InputError, match="no valid pixel"):
        check_radiometry(scene=scene, model=model, workdir=tmp_path)


def test_pixels_are_found_wherever_the_valid_ones_are(tmp_path):
    values = np.zeros((1, 1500, 1500), np.uint16)
    values[0, 700:712, 1300:1312] = 7
    with open_raster(write_raster(tmp_path / "s.tif", values, nodata=0)) as dataset:
        found = sample_pixels(dataset, [1])
    assert set(found.values.ravel()) == {7}
    assert found.at.min(axis=0).tolist() == [700, 1300]


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
    found = check_radiometry(scene=shifted, model=trained, workdir=tmp_path, overwrite=True)
    assert found.verdict == "shifted"


def test_the_card_keeps_what_the_scene_said_of_itself(model):
    card = load_model(model).card
    assert (card.sensor, card.level, card.scale, card.offset) == (
        "Sentinel-2A MSI", "L2A", 1e-4, 0.0)  # fmt: skip
    assert {cluster.code for cluster in card.clusters} == {1, 2, 3, 4}


@pytest.mark.parametrize(("bands", "each"), [(20, 4), (130, 4), (300, 4)])
def test_many_bands_do_not_make_the_card_too_long(bands, each):
    rng = np.random.default_rng(0)
    codes = np.repeat([1, 2], 900).astype(np.uint8)
    values = rng.normal(codes[:, None] * 1000.0, 50, (1800, bands)).astype(np.float32)
    clusters = find_clusters(values, codes, 0)
    assert each * 2 >= len(clusters) >= 2
    assert sum(np.size(cluster.covariance) for cluster in clusters) <= MOST_NUMBERS


def _embedding(bands, classes, side=48, seed=0):
    """Return values (bands, H, W) that mix eight hidden ones, and fields of 8 x 8 pixels."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.permutation(np.arange(36) % classes).reshape(6, 6), np.ones((8, 8), int))
    made = np.random.default_rng(1)  # the land is the same in every scene
    hidden = made.normal(0, 1, (classes, 8))[fields] + rng.normal(0, 0.4, (side, side, 8))
    mixed = hidden @ made.normal(0, 0.1, (8, bands)) + rng.normal(0, 0.02, (side, side, bands))
    return mixed.transpose(2, 0, 1).astype(np.float32), fields


@pytest.fixture(scope="module", params=[(64, 5, 3), (128, 9, 3), (128, 4, 1)])
def embedded(request, tmp_path_factory):
    """A model of many bands and few pixels: each field has side x side labelled ones."""
    bands, classes, side = request.param
    folder = tmp_path_factory.mktemp("embedded")
    values, fields = _embedding(bands, classes)
    names = [f"A{band}" for band in range(bands)]
    scene = write_raster(folder / "s.tif", values, names=names)
    labels = write_labels(
        folder / "l.gpkg",
        [(f"c{fields[8 * row, 8 * column]}", pixels(8 * row + 3, 8 * column + 3, side, side))
         for row in range(6) for column in range(6)],
    )  # fmt: skip
    samples = extract_samples(scene=scene, labels=labels, workdir=folder).samples
    return train_classifier(samples=samples, workdir=folder).model, names, bands, classes


@pytest.mark.slow
def test_embeddings_of_few_samples_are_not_foreign(embedded, tmp_path):
    trained, names, bands, classes = embedded
    for seed in (0, 5):  # the scene itself, and other fields of the same land
        values, _ = _embedding(bands, classes, seed=seed)
        scene = write_raster(tmp_path / f"{seed}.tif", values, names=names)
        found = check_radiometry(scene=scene, model=trained, workdir=tmp_path / f"{seed}")
        assert found.verdict == "ok", found.advice


@pytest.mark.slow
def test_a_wrong_unit_and_strange_land_are_found_in_embeddings(embedded, tmp_path):
    trained, names, bands, classes = embedded
    values, _ = _embedding(bands, classes)
    strange = np.random.default_rng(9).normal(0, values.std(), values.shape)
    for name, changed, verdict in (
        ("scaled", 1e4 * values, "shifted"),
        ("strange", strange.astype(np.float32), "foreign"),
        ("reversed", values[::-1], "foreign"),
        ("rolled", np.roll(values, 1, axis=0), "foreign"),
        ("by name", values[np.argsort(names)], "foreign"),
    ):
        scene = write_raster(tmp_path / f"{name}.tif", changed, names=names)
        found = check_radiometry(scene=scene, model=trained, workdir=tmp_path / name)
        assert found.verdict == verdict, (name, found.advice)
        assert ("exchanged" in found.advice) == (name in ("reversed", "rolled", "by name"))
        assert len(found.advice) < 300


def test_a_card_without_clusters_still_tells_a_wrong_unit(model, tmp_path):
    trained = load_model(model)
    card = dataclasses.replace(trained.card, clusters=(), scene_clusters=())
    bare = dataclasses.replace(trained, card=card)
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
        found = check_radiometry(scene=scene, model=trained, workdir=tmp_path, overwrite=True)
        assert found.verdict == "shifted"
