"""Composites against numpy's nanmedian and a medoid by brute force."""

import warnings
from datetime import date

import numpy as np
import pytest
import rasterio
from affine import Affine

from landcover.errors import InputError, Stopped
from landcover.executors.parts import carried_by
from landcover.executors.workers import ForkedWorkers
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.scenes import writing
from landcover.scenes.composites.compose import compose_scenes
from landcover.scenes.composites.middle import median_of, medoid_of
from landcover.scenes.writing import UNFINISHED
from tests.scenes import TRANSFORM, write_raster

BANDS = ("B02", "B03", "B04")
NODATA = 0
UNITS = {"SCALE": "0.0001", "OFFSET": "0"}


def made(count, height=40, width=50, dtype=np.uint16, seed=0):
    """Return values (dates, bands, H, W) in which some pixels of each date are nodata."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 10_000, (count, len(BANDS), height, width)).astype(dtype)
    clouds = rng.random((count, 1, height, width)) < 0.5
    return np.where(clouds, np.array(NODATA, dtype), values)


def write_all(folder, values, **tags):
    return [
        write_raster(folder / f"{number}.tif", of_date, names=BANDS, nodata=NODATA,
                     **{"DATE": f"2023-{number + 1:02}-15", **UNITS, **tags})
        for number, of_date in enumerate(values)
    ]  # fmt: skip


def nanmedian(values):
    """Return numpy's own, of values whose nodata is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(np.where(values == NODATA, np.nan, values), axis=0)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.descriptions, dataset.tags(), dataset.nodata


def composed(inputs, folder):
    done = by_identifier("compose-scenes").run(inputs, folder)
    return done.result.scene, done.remarks


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64]
)
@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_median_of_every_dtype_is_numpys_to_the_bit(dtype, count):
    rng = np.random.default_rng(count)
    values = (rng.random((count, 30, 31)) * 250).astype(dtype)
    valid = rng.random(values.shape) < 0.6
    small = np.dtype(dtype).itemsize <= 2 or dtype == np.float32
    given = np.where(valid, values, np.nan).astype(np.float32 if small else np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmedian(given, axis=0)
    np.testing.assert_array_equal(median_of(values, valid), expected)


def test_composite_is_nanmedian_and_counts_dates(tmp_path):
    values = made(7, 600, 530)
    path = compose_scenes(write_all(tmp_path, values), workdir=tmp_path).scene
    found, names, tags, nodata = read(path)
    np.testing.assert_array_equal(found[:-1], nanmedian(values))
    np.testing.assert_array_equal(found[-1], (values[:, 0] != NODATA).sum(axis=0))
    assert names == (*BANDS, "valid_dates")
    assert np.isnan(nodata)
    assert tags["SCALE"] == "0.0001"
    assert (tags["START_DATE"], tags["END_DATE"]) == ("2023-01-15", "2023-07-15")


def test_medoid_is_the_date_nearest_to_all_others(tmp_path):
    values = made(5, 12, 9)
    path = compose_scenes(write_all(tmp_path, values), method="medoid", workdir=tmp_path).scene
    found, *_ = read(path)
    for row, column in np.ndindex(12, 9):
        spectra = [v for v in values[:, :, row, column].astype(float) if v[0] != NODATA]
        sums = [sum(np.linalg.norm(one - other) for other in spectra) for one in spectra]
        expected = spectra[int(np.argmin(sums))] if spectra else np.full(3, np.nan)
        np.testing.assert_array_equal(found[:3, row, column], expected)


def test_medoid_of_equal_sums_is_the_earliest():
    values = np.array([[[[5]]], [[[9]]]], np.uint16)
    assert medoid_of(values, np.ones((2, 1, 1), bool)).item() == 5


def test_masks_leave_pixels_out(tmp_path):
    values = np.maximum(made(3), 1)
    scenes = write_all(tmp_path, values)
    clear = np.ones((3, 40, 50), np.uint8)
    clear[0, :10], clear[1, 5:20], clear[2, 15:] = 0, 255, 0
    masks = [write_raster(tmp_path / f"m{i}.tif", m, nodata=255) for i, m in enumerate(clear)]
    path = compose_scenes(scenes, masks, workdir=tmp_path).scene
    expected = nanmedian(np.where((clear == 1)[:, None], values, NODATA))
    np.testing.assert_array_equal(read(path)[0][:3], expected)


def test_each_scene_needs_its_mask(tmp_path):
    scenes = write_all(tmp_path, made(2))
    with pytest.raises(InputError, match="2 scenes and 1 masks"):
        compose_scenes(scenes, scenes[:1], workdir=tmp_path)


@pytest.mark.parametrize(
    ("start", "end", "used"),
    [
        ("2023-03-01", "2023-05-31", [2, 3, 4]),
        ("2023-06", "", [5, 6, 7]),
        ("", "2023-02", [0, 1]),
        ("04-01", "06-30", [3, 4, 5]),
        ("07-15", "02-14", [0, 6, 7]),
        ("2023", "2023", list(range(8))),
    ],
)
def test_season_chooses_dates(tmp_path, start, end, used):
    values = made(8)
    path = compose_scenes(write_all(tmp_path, values), start=start, end=end, workdir=tmp_path)
    np.testing.assert_array_equal(read(path.scene)[0][:3], nanmedian(values[used]))


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2024", "", "no scene lies between"),
        ("03-01", "2023-04-01", "of every year"),
        ("2023-05-01", "2023-04-01", "before start"),
        ("spring", "", "needs YYYY-MM-DD"),
        ("2023-02-30", "", "is no date"),
        ("2023-13", "", "is no date"),
        ("00-10", "01-01", "is no date"),
    ],
)
def test_season_that_cannot_be_is_refused(tmp_path, start, end, words):
    with pytest.raises(InputError, match=words):
        compose_scenes(write_all(tmp_path, made(2)), start=start, end=end, workdir=tmp_path)


def test_season_needs_dates_of_all(tmp_path):
    scenes = write_all(tmp_path, made(2), DATE="2000")
    with pytest.raises(InputError, match=r"0\.tif does not say when it was taken"):
        compose_scenes(scenes, start="2000", workdir=tmp_path)


def test_scenes_without_a_date_are_dates_of_their_own(tmp_path):
    values = made(4)
    path, remarks = composed({"scenes": write_all(tmp_path, values, DATE="")}, tmp_path / "out")
    np.testing.assert_array_equal(read(path)[0][:3], nanmedian(values))
    assert any("no masks were given" in sentence for sentence in remarks)


def test_pieces_of_one_date_count_once(tmp_path):
    values = np.maximum(made(2, 20, 20), 1)
    shifted = TRANSFORM @ Affine.translation(15, 0)
    scenes = [
        write_raster(tmp_path / "west.tif", values[0], names=BANDS, nodata=0, DATE="2023-05-01"),
        write_raster(tmp_path / "east.tif", values[1], names=BANDS, nodata=0, DATE="2023-05-01",
                     transform=shifted),
    ]  # fmt: skip
    path, remarks = composed({"scenes": scenes}, tmp_path / "out")
    found, *_ = read(path)
    assert found.shape == (4, 20, 35)
    np.testing.assert_array_equal(found[:3, :, :20], values[0])
    np.testing.assert_array_equal(found[:3, :, 20:], values[1][:, :, 5:])
    assert (found[3] == 1).all()
    assert any("1 date of several scenes" in sentence for sentence in remarks)


def test_stack_of_dates_is_taken_apart(tmp_path):
    values = made(3)
    names = [f"2023-0{number}-01:{band}" for number in (1, 2, 3) for band in BANDS]
    stack = write_raster(tmp_path / "stack.tif", values.reshape(9, 40, 50), names=names, nodata=0)
    found, described, *_ = read(compose_scenes([stack], workdir=tmp_path).scene)
    np.testing.assert_array_equal(found[:3], nanmedian(values))
    assert described == (*BANDS, "valid_dates")


def test_other_units_are_converted_and_said(tmp_path):
    values = np.maximum(made(3), 1)
    scenes = write_all(tmp_path, values[:2])
    plus = write_raster(tmp_path / "new.tif", values[2] + 1000, names=BANDS, nodata=0,
                        DATE="2023-09-01", SCALE="0.0001", OFFSET="-0.1")  # fmt: skip
    path, remarks = composed({"scenes": [*scenes, plus]}, tmp_path / "out")
    np.testing.assert_allclose(read(path)[0][:3], nanmedian(values), atol=1e-3)
    assert any("new.tif has other units" in sentence for sentence in remarks)


def test_units_said_by_some_alone_are_refused(tmp_path):
    scenes = write_all(tmp_path, made(2))
    silent = write_raster(tmp_path / "silent.tif", made(1)[0], names=BANDS, nodata=0)
    with pytest.raises(InputError, match=r"silent\.tif does not"):
        compose_scenes([*scenes, silent], workdir=tmp_path)


def test_counts_beside_reflectance_are_refused_where_no_units_are_said(tmp_path):
    values = np.maximum(made(2), 1).astype(np.float32)
    scenes = [
        write_raster(tmp_path / "a.tif", values[0], names=BANDS, nodata=0),
        write_raster(tmp_path / "b.tif", values[1] / 10_000, names=BANDS, nodata=0),
    ]
    with pytest.raises(InputError, match="as in other units"):
        compose_scenes(scenes, workdir=tmp_path)


def test_levels_that_differ_in_how_pixels_are_placed_do_mix(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{level}.tif", values, names=BANDS, nodata=0, LEVEL=level,
                     DATE=f"2023-0{day}-01")
        for day, (level, values) in enumerate(zip(("L1TP", "L1GT"), made(2), strict=True), 1)
    ]  # fmt: skip
    path, remarks = composed({"scenes": scenes}, tmp_path / "out")
    assert read(path)[2]["DATES"] == "2"
    assert not any("level" in sentence for sentence in remarks)


def test_levels_do_not_mix(tmp_path):
    values = made(2)
    scenes = [write_raster(tmp_path / f"{level}.tif", v, names=BANDS, nodata=0, LEVEL=level)
              for level, v in zip(("L1C", "L2A"), values, strict=True)]  # fmt: skip
    with pytest.raises(InputError, match=r"L1C and L2A\.tif L2A"):
        compose_scenes(scenes, workdir=tmp_path)


def test_band_of_one_name_and_another_wavelength_is_refused(tmp_path):
    values = made(2)[:, :1]
    scenes = [
        write_raster(tmp_path / "seven.tif", values[0], names=["B4"], nodata=0,
                     SENSOR="Landsat 7 ETM+"),
        write_raster(tmp_path / "eight.tif", values[1], names=["B4"], nodata=0,
                     SENSOR="Landsat 8 OLI"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="not the same band"):
        compose_scenes(scenes, workdir=tmp_path)


def test_missing_band_is_named(tmp_path):
    scenes = write_all(tmp_path, made(1))
    poorer = write_raster(tmp_path / "poor.tif", made(1)[0][:2], names=BANDS[:2], nodata=0,
                          DATE="2023-09-01", **UNITS)  # fmt: skip
    with pytest.raises(InputError, match=r"poor\.tif has no band B04"):
        compose_scenes([*scenes, poorer], workdir=tmp_path)


def test_another_system_is_brought_to_the_first_grid_and_said(tmp_path):
    values = np.full((1, 3, 60, 60), 500, np.uint16)
    first = write_all(tmp_path, values)[0]
    degrees = Affine(1e-4, 0, 107 - 0.003, 0, -1e-4, 52.6)
    with rasterio.open(first) as dataset:
        west, south, east, north = rasterio.warp.transform_bounds(
            dataset.crs, "EPSG:4326", *dataset.bounds
        )
    degrees = Affine((east - west) / 60, 0, west, 0, (south - north) / 60, north)
    other = write_raster(tmp_path / "d.tif", values[0] + 300, names=BANDS, nodata=0,
                         crs="EPSG:4326", transform=degrees, DATE="2023-10-01",
                         **UNITS)  # fmt: skip
    path, remarks = composed({"scenes": [first, other]}, tmp_path / "out")
    found, *_ = read(path)
    middle = found[:, 25:35, 25:35]
    assert (middle[:3] == 650).all()
    assert any("d.tif lies on another grid and system" in sentence for sentence in remarks)


def test_one_cloudy_pixel_of_a_finer_mask_hides_the_larger_one(tmp_path):
    scene = write_all(tmp_path, np.full((1, 3, 20, 20), 500, np.uint16))[0]
    finer = np.ones((1, 60, 60), np.uint8)
    finer[0, 31, 40] = 0
    mask = write_raster(tmp_path / "m.tif", finer, nodata=255,
                        transform=TRANSFORM @ Affine.scale(1 / 3))  # fmt: skip
    path, _ = composed({"scenes": [scene], "masks": [mask]}, tmp_path / "out")
    assert np.argwhere(read(path)[0][3] == 0).tolist() == [[10, 13]]


def test_scenes_far_apart_are_refused(tmp_path):
    values = made(2)
    scenes = write_all(tmp_path, values[:1])
    far = write_raster(tmp_path / "far.tif", values[1], names=BANDS, nodata=0, **UNITS,
                       transform=TRANSFORM @ Affine.translation(40_000, 30_000))  # fmt: skip
    with pytest.raises(InputError, match="far apart"):
        compose_scenes([*scenes, far], workdir=tmp_path)


def test_nothing_valid_is_refused_and_leaves_nothing(tmp_path):
    scenes = write_all(tmp_path, np.zeros((2, 3, 20, 20), np.uint16))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match="no pixel of the result"):
        compose_scenes(scenes, workdir=out)
    assert list(out.iterdir()) == []


def test_interrupted_run_goes_on_and_gives_the_same_file(tmp_path):
    scenes = write_all(tmp_path, made(3, 600, 1100))
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir()
    again.mkdir()
    expected = compose_scenes(scenes, workdir=whole).scene.read_bytes()
    shares = []

    def stop(share, sentence):
        shares.append(share)
        if share > 0.3:
            raise Stopped("on purpose")

    with pytest.raises(Stopped), progress_to(stop):
        compose_scenes(scenes, workdir=again)
    assert [path.name for path in again.iterdir()] == list(UNFINISHED)
    shares.clear()
    with progress_to(lambda share, sentence: shares.append(share)):
        found = compose_scenes(scenes, workdir=again).scene.read_bytes()
    assert shares[0] > 0.3
    assert found == expected
    assert [path.name for path in again.iterdir()] == ["scene.tif"]


def test_date_of_a_season_over_new_year_lies_in_it(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{day}.tif", values, names=BANDS, nodata=0, DATE=day)
        for day, values in zip(("2021-12-20", "2022-01-10", "2022-12-25"), made(3), strict=True)
    ]  # fmt: skip
    path, _ = composed({"scenes": scenes, "start": "12-01", "end": "02-28"}, tmp_path / "out")
    assert read(path)[2]["DATE"] == "2022-01-10"


def test_quality_bands_are_no_bands_of_a_composite(tmp_path):
    values = made(3)
    scenes = [
        write_raster(tmp_path / f"{i}.tif", np.concatenate([v, v[:1]]), names=(*BANDS, "SCL"),
                     nodata=0)
        for i, v in enumerate(values)
    ]  # fmt: skip
    path, remarks = composed({"scenes": scenes}, tmp_path / "out")
    assert read(path)[1] == (*BANDS, "valid_dates")
    assert any("mask-clouds makes them" in sentence for sentence in remarks)


def test_date_in_the_file_name_is_found_and_said(tmp_path):
    scene = write_raster(tmp_path / "S2A_20230504T101031.tif", made(1)[0], names=BANDS, nodata=0)
    path, remarks = composed({"scenes": [scene], "start": "2023-05", "end": "2023-05"},
                             tmp_path / "out")  # fmt: skip
    assert date.fromisoformat(read(path)[2]["DATE"]) == date(2023, 5, 4)
    assert any("from its name: 2023-05-04" in sentence for sentence in remarks)


def test_strips_are_read_in_rows_and_give_the_same(tmp_path):
    values = made(3, 70, 1300)
    wide = write_all(tmp_path, values)  # rasterio writes strips
    with rasterio.open(wide[0]) as dataset:
        assert dataset.block_shapes[0][1] == 1300
    windows = []
    with progress_to(lambda share, sentence: windows.append(share)):
        found, *_ = read(compose_scenes(wide, workdir=tmp_path).scene)
    np.testing.assert_array_equal(found[:3], nanmedian(values))
    assert len(windows) <= 3  # begun, one window of all rows, written


@pytest.mark.parametrize("method", ["median", "medoid"])
def test_parts_give_the_bytes_of_one_process(method, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_SIDE", 512)
    scenes = write_all(tmp_path, made(3, 600, 530))
    inputs = {"scenes": scenes, "method": method}
    one, remarks = composed(inputs, tmp_path / "one")
    with ForkedWorkers(2) as workers, carried_by(workers):
        other, told = composed(inputs, tmp_path / "parts")
    assert other.read_bytes() == one.read_bytes()
    assert told == remarks
    assert not [*(tmp_path / "parts").glob(".*")]
