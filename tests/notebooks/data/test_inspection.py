"""What rasters hold at a place."""

import numpy as np
import pyproj
import pytest

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.inspection import BandValue, read_at
from tests.scenes import CRS, TRANSFORM, write_raster

LEGEND = Legend.from_list([{"code": 3, "name": "water", "color": "#1f78b4"}])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    scene = np.arange(2 * 4 * 5, dtype="int16").reshape(2, 4, 5)
    write_raster(tmp_path / "scene.tif", scene, names=("B04", "B08"), nodata=0)
    codes = np.full((4, 5), 3, "uint8")
    codes[0, 0] = 255
    codes[0, 1] = 7
    write_raster(tmp_path / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=LEGEND.to_tag())
    return tmp_path


def place(column, row):
    to_degrees = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    return to_degrees.transform(*(TRANSFORM @ (column + 0.5, row + 0.5)))


def test_bands_are_told_by_name_wavelength_and_value(home):
    (found,) = read_at(["home/scene.tif"], *place(3, 2))
    assert found.is_inside
    assert [(band.name, band.value) for band in found.bands] == [("B04", 13.0), ("B08", 33.0)]
    assert all(band.wavelength for band in found.bands)


def test_nodata_is_no_value_band_by_band(home):
    (found,) = read_at(["home/scene.tif"], *place(0, 0))
    assert [band.value for band in found.bands] == [None, 20.0]


@pytest.mark.parametrize(
    ("column", "name", "color"), [(3, "water", "#1f78b4"), (1, "class 7", ""), (0, "", "")]
)
def test_class_is_told_by_name_and_color(home, column, name, color):
    (found,) = read_at(["home/map.tif"], *place(column, 0))
    assert (found.class_name, found.color) == (name, color)
    assert isinstance(found.bands[0], BandValue)


@pytest.mark.parametrize("where", [(-1, 0), (5, 0), (0, 4)])
def test_place_outside_is_outside(home, where):
    assert not read_at(["home/scene.tif"], *place(*where))[0].is_inside
    assert not read_at(["home/scene.tif"], 0.0, 90.0)[0].is_inside


def test_file_that_is_not_there_is_said(home):
    with pytest.raises(InputError):
        read_at(["home/nowhere.tif"], 1.0, 1.0)
