import numpy as np
import pytest
import rasterio
from affine import Affine

from landcover.errors import InputError
from landcover.io.bands import choose_bands
from landcover.operations import by_identifier
from tests.scenes import TRANSFORM, write_raster

NAMES = ("B04", "B08")


def values_of(seed, shape=(2, 30, 40), low=1):
    return np.random.default_rng(seed).integers(low, 9000, shape).astype(np.uint16)


def stacked(scenes, folder):
    done = by_identifier("stack-scenes").run({"scenes": scenes}, folder)
    with rasterio.open(done.result.scene) as dataset:
        return dataset.read(), dataset.descriptions, dataset, done.remarks


def test_bands_are_named_by_date_in_its_order(tmp_path):
    late = write_raster(tmp_path / "late.tif", values_of(1), names=NAMES, DATE="2023-09-02")
    early = write_raster(tmp_path / "early.tif", values_of(2), names=NAMES, DATE="2023-04-01")
    found, names, dataset, _ = stacked([late, early], tmp_path / "out")
    assert names == ("2023-04-01:B04", "2023-04-01:B08", "2023-09-02:B04", "2023-09-02:B08")
    np.testing.assert_array_equal(found, np.concatenate([values_of(2), values_of(1)]))
    assert found.dtype == np.uint16
    assert dataset.nodata is None


def test_names_stay_unique_and_wavelengths_known(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{i}.tif", values_of(i), names=("B04", "B04"),
                     DATE=f"2023-0{i}-01", SENSOR="Sentinel-2A MSI")
        for i in (1, 2)
    ]  # fmt: skip
    _, names, _, _ = stacked(scenes, tmp_path / "out")
    assert len(set(names)) == 4
    with rasterio.open(tmp_path / "out/scene.tif") as dataset:
        bands = choose_bands(dataset).bands
    assert [band.wavelength for band in bands] == [665] * 4
    assert str(bands[2].date) == "2023-02-01"


def test_bands_that_have_no_unit_of_the_scene_are_not_converted(tmp_path):
    names = ("B04", "NDVI", "B04_std3", "B04_mean3", "SCL")
    old, new = np.full((2, 5, 30, 40), 0.5, np.float32)
    old[[0, 3]], new[[0, 3]], old[2], new[2], new[4] = 900, 1900, 30, 30, 4
    scenes = [
        write_raster(tmp_path / f"{date}.tif", values, names=names, DATE=date, SCALE="0.0001",
                     OFFSET=offset)
        for date, values, offset in (("2021-06-01", old, "0"), ("2023-06-01", new, "-0.1"))
    ]  # fmt: skip
    found, described, _, _ = stacked(scenes, tmp_path / "out")
    later = dict(zip(described, found[:, 0, 0], strict=True))
    assert later["2023-06-01:B04"] == later["2023-06-01:B04_mean3"] == 900
    assert later["2023-06-01:NDVI"] == 0.5
    assert later["2023-06-01:B04_std3"] == 30
    assert later["2023-06-01:SCL"] == 4


def test_pieces_of_one_date_are_a_mosaic(tmp_path):
    values = values_of(3)
    west = write_raster(tmp_path / "w.tif", values[:, :, :25], names=NAMES, nodata=0,
                        DATE="2023-04-01")  # fmt: skip
    east = write_raster(tmp_path / "e.tif", values[:, :, 20:], names=NAMES, nodata=0,
                        DATE="2023-04-01",
                        transform=TRANSFORM @ Affine.translation(20, 0))  # fmt: skip
    found, names, _, remarks = stacked([west, east], tmp_path / "out")
    np.testing.assert_array_equal(found, values)
    assert names == ("2023-04-01:B04", "2023-04-01:B08")
    assert any("2 scenes of 2023-04-01 were joined" in sentence for sentence in remarks)


def test_pieces_without_a_date_are_joined_with_a_remark(tmp_path):
    values = values_of(4)
    pieces = [
        write_raster(tmp_path / f"{left}.tif", values[:, :, left : left + 20], names=NAMES,
                     transform=TRANSFORM @ Affine.translation(left, 0))
        for left in (0, 20)
    ]  # fmt: skip
    found, names, _, remarks = stacked(pieces, tmp_path / "out")
    assert names == NAMES
    np.testing.assert_array_equal(found, values)
    assert any("joined as pieces of one scene" in sentence for sentence in remarks)


def test_dates_that_nobody_said_are_refused(tmp_path):
    scenes = [write_raster(tmp_path / f"{n}.tif", values_of(5), names=NAMES) for n in "ab"]
    with pytest.raises(InputError, match="does not say when it was taken"):
        stacked(scenes, tmp_path / "out")


def test_where_a_date_is_missing_is_nodata(tmp_path):
    first = write_raster(tmp_path / "a.tif", values_of(6), names=NAMES, nodata=0,
                         DATE="2023-04-01")  # fmt: skip
    part = write_raster(tmp_path / "b.tif", values_of(7)[:, :10, :10], names=NAMES, nodata=0,
                        DATE="2023-05-01")  # fmt: skip
    found, _, dataset, _ = stacked([first, part], tmp_path / "out")
    assert dataset.nodata == 0
    np.testing.assert_array_equal(found[:2], values_of(6))
    assert (found[2:, 10:] == 0).all()
    np.testing.assert_array_equal(found[2:, :10, :10], values_of(7)[:, :10, :10])


def test_without_nodata_what_is_missing_is_nan(tmp_path):
    first = write_raster(tmp_path / "a.tif", values_of(6), names=NAMES, DATE="2023-04-01")
    part = write_raster(tmp_path / "b.tif", values_of(7, low=0)[:, :10], names=NAMES,
                        DATE="2023-05-01")  # fmt: skip
    found, _, dataset, _ = stacked([first, part], tmp_path / "out")
    assert np.isnan(dataset.nodata)
    assert np.isnan(found[2:, 10:]).all()
    np.testing.assert_array_equal(found[2:, :10], values_of(7, low=0)[:, :10])


def test_two_sensors_of_one_date_are_refused(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{n}.tif", values_of(8), names=("red", "nir"),
                     DATE="2023-04-01", SENSOR=sensor)
        for n, sensor in enumerate(("Sentinel-2A MSI", "Landsat 8 OLI"))
    ]  # fmt: skip
    with pytest.raises(InputError, match="of different sensors"):
        stacked(scenes, tmp_path / "out")


def test_another_sensor_is_said(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{n}.tif", values_of(8), names=("red", "nir"),
                     DATE=f"2023-0{n + 4}-01", SENSOR=sensor, LEVEL=level)
        for n, (sensor, level) in enumerate(
            (("Sentinel-2A MSI", "L1C"), ("Landsat 8 OLI", "L2SP"))
        )
    ]  # fmt: skip
    remarks = stacked(scenes, tmp_path / "out")[3]
    assert any("1.tif is of Landsat 8 OLI" in sentence for sentence in remarks)
    assert any("1.tif has the level L2SP" in sentence for sentence in remarks)


def test_first_row_in_the_south_is_turned(tmp_path):
    values = values_of(9)
    south_up = TRANSFORM @ Affine.translation(0, 30) @ Affine.scale(1, -1)
    scenes = [
        write_raster(tmp_path / "n.tif", values, names=NAMES, DATE="2023-04-01"),
        write_raster(tmp_path / "s.tif", values[:, ::-1], names=NAMES, DATE="2023-05-01",
                     transform=south_up),
    ]  # fmt: skip
    found, *_ = stacked(scenes, tmp_path / "out")
    np.testing.assert_array_equal(found[2:], values)


def test_units_of_single_bands_must_be_those_of_the_other_scenes(tmp_path):
    scenes = [
        write_raster(tmp_path / f"{day}.tif", values_of(1), names=("B4", "B10"), DATE=day)
        for day in ("2023-04-01", "2023-09-01")
    ]
    for path, gain in zip(scenes, (2e-5, 4e-5), strict=True):
        with rasterio.open(path, "r+") as dataset:
            dataset.scales, dataset.offsets = (gain, 3e-4), (-0.2, 0.1)
    with pytest.raises(InputError, match="without thermal ones"):
        stacked(scenes, tmp_path / "out")
    with rasterio.open(scenes[1], "r+") as dataset:
        dataset.scales = (2e-5, 3e-4)
    *_, remarks = stacked(scenes, tmp_path / "again")
    assert not any("do not say their units" in sentence for sentence in remarks)


def test_several_units_stay_with_their_bands(tmp_path):
    scenes = []
    for date in ("2023-06-01", "2023-07-01"):
        scenes.append(write_raster(tmp_path / f"{date}.tif", values_of(1), names=("B4", "ST_B10"),
                                   DATE=date))  # fmt: skip
        with rasterio.open(scenes[-1], "r+") as dataset:
            dataset.scales, dataset.offsets = (2.75e-5, 0.003), (-0.2, 149)
    stacked(scenes, tmp_path / "stack")
    with rasterio.open(tmp_path / "stack/scene.tif") as dataset:
        assert dataset.scales == (2.75e-5, 0.003) * 2
        assert dataset.offsets == (-0.2, 149) * 2
    by_identifier("compose-scenes").run({"scenes": scenes}, tmp_path / "composite")
    with rasterio.open(tmp_path / "composite/scene.tif") as dataset:
        assert dataset.scales == (2.75e-5, 0.003, 1)
        assert dataset.offsets == (-0.2, 149, 0)


def test_a_band_is_taken_once(tmp_path):
    scene = write_raster(tmp_path / "a.tif", values_of(1), names=NAMES)
    with rasterio.open(scene) as dataset:
        with pytest.raises(InputError, match="B04 and b1, which are one band"):
            choose_bands(dataset, "B04,b1")
        with pytest.raises(InputError, match="B04 and B04, which are one band"):
            choose_bands(dataset, "B04,red=B04")
