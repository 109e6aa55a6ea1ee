"""Regions grown at a click, on a scene whose regions are known."""

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import shape

from landcover.errors import InputError
from landcover.io.raster import open_raster
from sample_map.data.tiles import spans_of
from sample_map.tools import growing
from sample_map.tools.growing import grow, region_of
from tests.scenes import CRS, TRANSFORM, pixels, write_raster

TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


@pytest.fixture
def scene(tmp_path):
    """A lake of 10 × 12 pixels with an island, in a plain; another lake apart; one row no data."""
    values = np.full((2, 60, 80), 1000, "uint16")
    values[:, 10:20, 30:42] = 100
    values[:, 14:16, 34:38] = 1000
    values[:, 40:50, 60:70] = 100
    values[0, 10:20, 30] = 160  # the western shore is a little brighter
    values[:, 59] = 0
    return write_raster(tmp_path / "lakes.tif", values, nodata=0)


def grown_at(path, row, column, tolerance=0.05):
    x, y = TO_DEGREES.transform(*(TRANSFORM @ (column + 0.5, row + 0.5)))
    with open_raster(path) as dataset:
        return grow(dataset, x, y, tolerance, spans_of(dataset))


def in_metres(region):
    back = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    return shapely.transform(
        shape(region.geometry), lambda xy: np.column_stack(back.transform(*xy.T))
    )


def test_region_is_the_lake_with_its_island_as_a_hole(scene):
    region = grown_at(scene, 12, 40, tolerance=0.1)
    expected = pixels(10, 30, 10, 12).difference(pixels(14, 34, 2, 4))
    assert region.pixels == 120 - 8
    assert len(region.geometry["coordinates"]) == 2
    assert in_metres(region).symmetric_difference(expected).area < 1  # of 11,200 m²
    assert not region.reaches_limit


def test_tolerance_decides_what_is_alike(scene):
    # the shore differs by 60 of 900 in one of two bands: 0.067 / sqrt(2) = 0.047
    assert grown_at(scene, 12, 40, tolerance=0.046).pixels == 112 - 10
    assert grown_at(scene, 12, 40, tolerance=0.048).pixels == 112
    assert grown_at(scene, 12, 40, tolerance=1).pixels == 59 * 80


def test_scene_in_degrees_grows_the_same(tmp_path):
    values = np.full((1, 40, 40), 1.0, "float32")
    values[0, 10:20, 10:20] = 0.0
    values[0, 30:] = np.nan
    path = write_raster(
        tmp_path / "degrees.tif",
        values,
        transform=Affine(0.001, 0, 13, 0, -0.001, 52),
        crs="EPSG:4326",
    )
    with open_raster(path) as dataset:
        region = grow(dataset, 13.0155, 51.9845, 0.1, spans_of(dataset))
    assert shape(region.geometry).bounds == pytest.approx((13.01, 51.98, 13.02, 51.99))
    assert region.pixels == 100


def test_region_is_bounded_and_says_so(scene, monkeypatch):
    monkeypatch.setattr(growing, "REACH", 5)
    region = grown_at(scene, 30, 10, tolerance=0.1)
    assert region.pixels == 11 * 11
    assert region.reaches_limit
    # the border of the scene is no limit of ours
    assert grown_at(scene, 3, 77, tolerance=0.1).pixels == 9 * 8


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(59, 10, "no data at this place"), (-5, 10, "outside the scene"), (5, 80, "outside")],
)
def test_place_without_data_is_said(scene, row, column, words):
    with pytest.raises(InputError, match=words):
        grown_at(scene, row, column)


def test_pixels_that_touch_at_a_corner_only_are_not_connected():
    values = np.zeros((1, 4, 4), "float32")
    values[0, :2, :2] = values[0, 2:, 2:] = 1
    everywhere = np.ones((4, 4), bool)
    grown = region_of(values, everywhere, (0, 0), 0.1, np.ones(1))
    assert grown.sum() == 4
