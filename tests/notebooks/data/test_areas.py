"""Hectares of classes, held against areas known by other means."""

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine

from landcover.io.legend import Legend
from sample_map.data.areas import class_areas
from tests.scenes import write_raster

LEGEND = Legend.from_list([{"code": 1, "name": "water"}, {"code": 2, "name": "forest"}])


def areas(path, values, **how):
    write_raster(path, values, nodata=255, LANDCOVER_LEGEND=LEGEND.to_tag(), **how)
    with rasterio.open(path) as dataset:
        return {one.name: one for one in class_areas(dataset)}


def test_pixels_are_counted_and_nodata_is_none(tmp_path):
    values = np.array([[1, 1, 2], [2, 2, 255]], "uint8")
    found = areas(tmp_path / "map.tif", values)
    assert (found["water"].pixels, found["forest"].pixels) == (2, 3)
    # 10 m pixels in the middle of a zone of UTM, whose scale there is 0.9996
    assert found["water"].hectares == pytest.approx(2 * 0.01 / 0.9996**2, rel=1e-3)


def test_scale_of_a_projection_is_taken_out(tmp_path):
    # at 60 degrees north Web Mercator shows lengths twice as long, so areas four times
    to_60 = Affine(100, 0, 1_000_000, 0, -100, 8_399_738)
    found = areas(
        tmp_path / "map.tif", np.ones((10, 10), "uint8"), transform=to_60, crs="EPSG:3857"
    )
    assert found["water"].hectares == pytest.approx(100 * 1.0 / 4, rel=0.01)


def test_degrees_narrow_towards_the_pole(tmp_path):
    values = np.ones((40, 10), "uint8")
    values[20:] = 2
    grid = Affine(1, 0, 10, 0, -1, 80)  # from 80 to 40 degrees north
    found = areas(tmp_path / "map.tif", values, transform=grid, crs="EPSG:4326")

    def band(south, north):  # in a projection that keeps areas
        to_metres = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
        (west, east), (bottom, top) = to_metres.transform((10, 20), (south, north))
        return (east - west) * (top - bottom) / 10_000

    assert found["water"].hectares == pytest.approx(band(60, 80), rel=1e-3)
    assert found["forest"].hectares == pytest.approx(band(40, 60), rel=1e-3)


def test_map_without_a_place_has_pixels_alone(tmp_path):
    found = areas(tmp_path / "map.tif", np.ones((4, 4), "uint8"), crs=None)
    assert (found["water"].pixels, found["water"].hectares) == (16, None)


def test_code_that_the_legend_lacks_is_counted_too(tmp_path):
    found = areas(tmp_path / "map.tif", np.array([[1, 9]], "uint8"))
    assert found["class 9"].pixels == 1
    assert found["forest"].pixels == 0
