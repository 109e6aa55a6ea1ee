"""Bands by the names that people's files give them, and those that are no bands at all."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from landcover import classify_scene, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.io.bands import choose_bands, match_bands, match_named
from landcover.io.raster import Band, bands_of, mask_bands, open_raster, read_valid
from landcover.io.sensors import wavelength_in, wavelengths_of
from landcover.progress import collecting_notes
from landcover.samples.folder import read_samples
from landcover.training.loading import load_samples
from tests.scenes import pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")
FIELDS = [(name, pixels(row, column, 8, 8))
          for name, top, left in (("a", 0, 0), ("b", 0, 32), ("c", 32, 0), ("d", 32, 32))
          for row, column in ((top + 2, left + 2), (top + 16, left + 16))]  # fmt: skip


def bands(names, sensor=None):
    known = wavelengths_of(names, sensor)
    return [Band(name, found) for name, found in zip(names, known, strict=True)]


@pytest.mark.parametrize("sensor", ["Landsat 1 MSS", "Landsat 5 MSS", "Landsat 3"])
def test_numbers_of_the_multispectral_scanner_are_not_those_of_later_sensors(sensor):
    assert wavelengths_of(["B4", "B5"], sensor) == [None, None]


def trained(scene, folder, **inputs):
    labels = write_labels(folder / "l.gpkg", FIELDS)
    samples = extract_samples(scene, labels, workdir=folder, **inputs).samples
    return train_classifier(samples, options='{"trees": 20}', workdir=folder).model


def right(scene, model, workdir, codes, **inputs):
    """Return the share of the scene's pixels whose class is right."""
    found = classify_scene(scene, model, workdir=workdir, **inputs)
    with rasterio.open(found.map) as dataset:
        return float((dataset.read(1) == codes).mean())


def tagged(path, values, names, colors):
    """Write a scene whose bands have colour interpretations."""
    write_raster(path, values, names=names)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = colors
    return path


RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("B2", "B3", "B4", "B8"),
        ("b02", "b03", "b04", "b08"),
        ("b2", "b3", "b4", "b8"),
        ("blue", "green", "red", "nir"),
        ("Blue", "GREEN", "Red", "NIR"),
        ("B02_20230801", "B03_20230801", "B04_20230801", "B08_20230801"),
        ("2023-08-01:B02", "2023-08-01:B03", "2023-08-01:B04", "2023-08-01:B08"),
        tuple(f"T33UUU_20230801T101031_B0{i}_10m" for i in (2, 3, 4, 8)),
    ],
)
def test_one_band_has_many_names(names):
    model = bands(("B02", "B03", "B04", "B08"))
    shuffled = [names[i] for i in (3, 0, 2, 1)]
    assert match_named(model, bands(shuffled)).at == (1, 3, 2, 0)
    assert match_named(bands(shuffled), model).at == (3, 0, 2, 1)


@pytest.mark.parametrize(
    ("wanted", "present", "sensors", "expected"),
    [
        (["B02"], ["B02_20230801", "B02_20240801"], (None, None), (None,)),
        (["B02"], ["B02_1", "B02_2"], (None, None), (None,)),
        # unnamed bands are no B1, B2
        (["b1", "b2"], ["B1", "B2"], (None, None), (None, None)),
        (["B1", "B2"], ["b1", "b2"], (None, None), (None, None)),
        # Landsat's B5 is near infrared, that of Sentinel-2 red edge
        (["B04", "B05"], ["B4", "B5"], ("Sentinel-2A", "LANDSAT_8"), (0, None)),
        (["red", "nir"], ["SR_B3", "SR_B4"], (None, "Landsat 7"), (0, 1)),
        (["red", "nir"], ["SR_B4", "SR_B5"], (None, None), (None, None)),
        (["B08", "B8A"], ["nir08", "nir"], (None, None), (1, 0)),
        (["B08"], ["nir08"], (None, None), (None,)),
    ],
)
def test_what_could_mean_another_band_is_not_taken(wanted, present, sensors, expected):
    found = match_named(*(bands(*pair) for pair in zip((wanted, present), sensors, strict=True)))
    assert found.at == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"CENTRAL_WAVELENGTH_UM": "0.49"}, 490),
        ({"wavelength": "842", "wavelength_units": "Nanometers"}, 842),
        ({"wavelength": "0.842"}, 842),
        ({"wavelength": "far"}, None),
        ({"wavelength": "-5"}, None),
        ({}, None),
    ],
)
def test_wavelengths_are_read_from_a_bands_tags(tags, expected):
    assert wavelength_in(tags) == (expected and pytest.approx(expected))


def test_a_declared_wavelength_finds_the_band(tmp_path):
    path = write_raster(tmp_path / "s.tif", quarters()[0], names=("x", "y", "z"))
    with rasterio.open(path, "r+") as dataset:
        for index, wavelength in ((1, 665), (2, 560), (3, 490)):
            dataset.update_tags(index, wavelength=wavelength, wavelength_units="nm")
    with open_raster(path) as dataset, collecting_notes(lambda sentence: None) as notes:
        assert match_bands(choose_bands(dataset), bands(NAMES))[0] == [3, 2, 1]
    assert "z for B02, y for B03, x for B04" in notes.remarks[0]


def test_a_stack_of_two_dates_keeps_both(tmp_path):
    """Classes a and c differ on the second date only."""
    values, codes = quarters()
    first = np.where(codes >= 3, values[:, :32].repeat(2, axis=1), values)
    stack = write_raster(tmp_path / "s.tif", np.concatenate([first, values]), names=NAMES * 2)
    model = trained(stack, tmp_path)
    numbered = [f"{name}_{date}" for date in (1, 2) for name in NAMES]
    described = json.loads((tmp_path / "samples/samples.json").read_text())
    assert [band["name"] for band in described["bands"]] == numbered
    assert right(stack, model, tmp_path, codes) == 1
    single = write_raster(tmp_path / "single.tif", values, names=NAMES)
    with pytest.raises(InputError, match=r"has no band B02_1, .* say by bands"):
        classify_scene(single, model, workdir=tmp_path / "single")


def test_samples_whose_bands_share_a_name_are_matched_in_their_order(tmp_path):
    """Models and samples of before may name a band twice."""
    path = write_raster(tmp_path / "s.tif", quarters()[0], names=("B02", "B02", "B03"))
    with open_raster(path) as dataset:
        wanted = [Band("B02", 490), Band("B02", 490), Band("B03", 560)]
        assert match_bands(choose_bands(dataset), wanted) == ([1, 2, 3], "by name")


# --- bands --------------------------------------------------------------------------------------


@pytest.fixture
def rgb(tmp_path):
    return write_raster(tmp_path / "rgb.tif", quarters()[0], names=("red", None, "blue"))


@pytest.mark.parametrize(
    ("text", "indexes", "names"),
    [
        ("", (1, 2, 3), ["red", "b2", "blue"]),
        ("blue, red", (3, 1), ["blue", "red"]),
        ("B02=blue,green=b2,b1", (3, 2, 1), ["B02", "green", "b1"]),
    ],
)
def test_bands_are_chosen_ordered_and_renamed(rgb, text, indexes, names):
    with open_raster(rgb) as dataset:
        chosen = choose_bands(dataset, text)
    assert (chosen.indexes, chosen.names) == (indexes, names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("green", "bands names green, which rgb.tif has not: it has red, b2, blue; bN is the Nth"),
        ("x=red,x=blue", "bands names x twice"),
        ("red,,blue", "bands has nothing between commas"),
        ("a=b=red", "needs names as in B04,red=B4,B8A"),
        ("=red", "needs names"),
    ],
)
def test_bands_that_make_no_sense_are_refused(rgb, text, message):
    with open_raster(rgb) as dataset, pytest.raises(InputError, match=message):
        choose_bands(dataset, text)


def test_bands_bring_any_scene_to_a_model(tmp_path):
    values, codes = quarters()
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES)
    model = trained(scene, tmp_path, bands="red=B04,x=B02")
    assert read_samples(tmp_path / "samples").bands == (Band("red", 665), Band("x", 490))
    other = write_raster(tmp_path / "o.tif", values, names=("one", "two", "three"))
    with pytest.raises(InputError, match="needs red, x: say by bands which is which"):
        classify_scene(other, model, workdir=tmp_path / "o")
    assert right(other, model, tmp_path / "o", codes, bands="x=one,red=three") == 1


# --- alpha --------------------------------------------------------------------------------------


def test_alpha_is_a_mask_and_no_band_of_a_model(tmp_path):
    values, codes = quarters()
    values = (values // 16).astype(np.uint8)
    alpha = np.full((1, 64, 64), 255, np.uint8)
    alpha[:, :5] = 0
    names = ("R", "G", "B")
    drone = tagged(tmp_path / "a.tif", np.concatenate([values, alpha]), (*names, None), RGBA)
    model = trained(drone, tmp_path)
    assert len(read_samples(tmp_path / "samples").bands) == 3
    plain = write_raster(tmp_path / "rgb.tif", values, names=names)
    assert right(plain, model, tmp_path / "rgb", codes) > 0.99
    masked = classify_scene(drone, model, workdir=tmp_path / "rgba").map
    with rasterio.open(masked) as dataset:
        assert ((dataset.read(1) == 255) == (alpha[0] == 0)).all()
    with open_raster(drone) as dataset, pytest.raises(InputError, match="it has R, G, B"):
        choose_bands(dataset, "R,b4")


def test_near_infrared_that_is_called_alpha_is_a_band(tmp_path):
    values = np.random.default_rng(0).integers(0, 200, (4, 64, 64)).astype(np.uint8)
    values[3, :5] = 0  # water
    path = tagged(tmp_path / "s.tif", values, ("R", "G", "B", "NIR"), RGBA)
    with open_raster(path) as dataset, collecting_notes(lambda sentence: None) as notes:
        chosen = choose_bands(dataset)
        read, valid = read_valid(dataset, next(dataset.block_windows(1))[1], chosen.indexes)
    assert chosen.names == ["R", "G", "B", "NIR"]
    assert valid.all()
    assert len(read) == 4
    assert "is tagged alpha and holds more" in notes.remarks[0]


def test_soft_edges_do_not_make_alpha_a_band(tmp_path):
    values = np.full((4, 64, 64), 255, np.uint8)
    values[3, 0, :30] = np.arange(30) + 100  # 0.7 % of the pixels
    path = tagged(tmp_path / "s.tif", values, (), RGBA)
    with open_raster(path) as dataset:
        assert mask_bands(dataset) == (4,)
    values[3, 1, :30] = np.arange(30) + 100
    with open_raster(tagged(tmp_path / "t.tif", values, (), RGBA)) as dataset:
        assert mask_bands(dataset) == ()


# --- patches ------------------------------------------------------------------------------------


def write_patches(folder, values, codes, names, **tags):
    """Write patches of one class each, one folder per class."""
    for code in (1, 2, 3, 4):
        (folder / "abcd"[code - 1]).mkdir(parents=True)
        for number, (row, column) in enumerate(np.argwhere(codes == code)[[100, 500, 900]]):
            top, left = row // 8 * 8, column // 8 * 8
            patch = values[:, top : top + 8, left : left + 8]
            write_raster(folder / "abcd"[code - 1] / f"{number}.tif", patch, names=names, **tags)
    return folder


def test_patches_know_their_bands_and_units(tmp_path):
    values, codes = quarters()
    patches = write_patches(tmp_path / "p", values, codes, NAMES, SCALE="0.0001", SENSOR="MSI")
    samples = read_samples(patches)
    assert samples.bands == (Band("B02", 490), Band("B03", 560), Band("B04", 665))
    assert (samples.measured.scale, samples.measured.sensor) == (1e-4, "MSI")
    model = train_classifier(patches, options='{"trees": 20}', workdir=tmp_path).model
    scene = write_raster(tmp_path / "s.tif", values[::-1], names=NAMES[::-1])
    assert right(scene, model, tmp_path, codes) == 1


def test_patches_that_differ_in_names_or_units_are_refused(tmp_path):
    values, codes = quarters()
    patches = write_patches(tmp_path / "p", values, codes, NAMES)
    write_raster(patches / "b/7.tif", values[:, :8, :8], names=NAMES[::-1])
    with pytest.raises(InputError, match=r"b/7.tif has the bands B04, B03, B02, other chips have"):
        list(read_samples(patches).batches())
    write_raster(patches / "b/7.tif", values[:, :8, :8], names=NAMES, SCALE="0.1")
    with pytest.raises(InputError, match=r"b/7.tif has another unit"):
        list(read_samples(patches).batches())
    write_raster(patches / "b/7.tif", values[:, :8, :8])
    with collecting_notes(lambda sentence: None) as notes:
        assert len(list(read_samples(patches).batches())) == 13
    assert any("some chips name no bands" in remark for remark in notes.remarks)


def test_samples_json_that_contradicts_the_names_in_patches_is_refused(tmp_path):
    values, codes = quarters()
    patches = write_patches(tmp_path / "p", values, codes, ("b02", "b03", "b04"))
    described = {"version": 1, "bands": [{"name": name} for name in NAMES]}
    (patches / "samples.json").write_text(json.dumps(described))
    assert [band.name for band in read_samples(patches).bands] == list(NAMES)
    (patches / "samples.json").write_text(
        json.dumps(described | {"bands": described["bands"][::-1]})
    )
    with pytest.raises(InputError, match="have the bands b02, b03, b04 by their own names"):
        read_samples(patches)


def test_alpha_of_patches_is_a_mask(tmp_path):
    values, codes = quarters()
    patches = write_patches(
        tmp_path / "p", (values // 16).astype(np.uint8), codes, ("R", "G", "B")
    )
    alpha = np.full((4, 8, 8), 255, np.uint8)
    alpha[3, 0, 0] = 0
    tagged(patches / "b/7.tif", alpha, ("R", "G", "B", None), RGBA)
    batch = list(read_samples(patches).batches())[6]
    assert batch.container.file == "b/7.tif"
    assert batch.chips.shape == (1, 3, 8, 8)
    assert not batch.valid[0, 0, 0]
    assert batch.valid.sum() == 63


def test_folders_that_name_bands_differently_are_joined(tmp_path):
    values, _ = quarters()
    labels = write_labels(tmp_path / "l.gpkg", FIELDS)
    folders = []
    for name, names, order in (("a", NAMES, 1), ("b", ("red", "green", "blue"), -1)):
        scene = write_raster(tmp_path / f"{name}.tif", values[::order], names=names)
        folders.append(extract_samples(scene, labels, workdir=tmp_path / name).samples)
    with collecting_notes(lambda sentence: None) as notes:
        joined = load_samples(folders, None, False).training_set
    assert (joined.pixels[: len(joined) // 2] == joined.pixels[len(joined) // 2 :]).all()
    assert any("blue for B02, green for B03, red for B04" in remark for remark in notes.remarks)


def test_viewers_see_every_band_by_a_name_of_its_own(tmp_path):
    path = write_raster(tmp_path / "s.tif", quarters()[0], names=("B02", "B02", None))
    with open_raster(path) as dataset:
        assert [band.name for band in bands_of(dataset)] == ["B02_1", "B02_2", "b3"]


def test_bands_about_pixels_are_left_out_unless_they_are_named(tmp_path):
    names = ("B04", "2023-04-01:valid_dates", "scl")
    path = write_raster(tmp_path / "s.tif", np.ones((3, 4, 4), np.uint8), names=names)
    with open_raster(path) as dataset, collecting_notes(lambda sentence: None) as notes:
        assert choose_bands(dataset).names == ["B04"]
        assert choose_bands(dataset, "scl,B04").names == ["scl", "B04"]
        assert choose_bands(dataset, about_pixels=True).names == list(names)
    assert len(notes.remarks) == 1
    assert "say how pixels were measured" in notes.remarks[0]


def test_scene_of_nothing_else_keeps_them(tmp_path):
    path = write_raster(tmp_path / "s.tif", np.ones((1, 4, 4), np.uint8), names=["SCL"])
    with open_raster(path) as dataset:
        assert choose_bands(dataset).names == ["SCL"]
