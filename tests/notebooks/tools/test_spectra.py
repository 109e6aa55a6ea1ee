"""Mean and spread of classes, against numbers worked out by hand."""

import numpy as np
import pytest
from pyproj import Transformer

from landcover.io.raster import open_raster
from sample_map.data.features import Sample
from sample_map.tools.spectra import spectra_of
from tests.scenes import CRS, pixels, write_raster


@pytest.fixture
def scene(tmp_path):
    values = np.zeros((2, 60, 60), "int16")
    values[0, 10:12, 10:12] = [[1, 3], [5, 7]]
    values[1] = 9
    values[:, 30:32, 30] = 100
    values[1, 40] = -1  # no data in one band
    return write_raster(tmp_path / "scene.tif", values, nodata=-1)


def sample(class_name, *place):
    x, y = pixels(*place).exterior.xy
    degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    geometry = {"type": "Polygon", "coordinates": [[list(p) for p in zip(*degrees, strict=True)]]}
    return Sample.new(class_name, geometry, "eve", "")


def spectra(path, *samples, **more):
    with open_raster(path) as dataset:
        return spectra_of(dataset, samples, **more)


def test_mean_and_spread_are_over_the_pixels_of_a_class(scene):
    found = spectra(scene, sample("water", 10, 10, 2, 2), sample("ice", 30, 30, 2, 1))
    assert found["water"].mean == pytest.approx((4, 9))
    assert found["water"].spread == pytest.approx((np.sqrt(5), 0))
    assert (found["water"].pixels, found["water"].samples) == (4, 1)
    assert found["ice"].mean == pytest.approx((100, 100))


def test_pixels_without_data_and_samples_beside_the_scene_do_not_count(scene):
    found = spectra(scene, sample("water", 39, 0, 3, 10), sample("ice", 90, 90, 5, 5))
    assert set(found) == {"water"}
    assert found["water"].pixels == 20
    assert found["water"].mean == pytest.approx((0, 9))


def test_of_many_samples_some_are_drawn_at_random_the_same_each_time(scene):
    many = [sample("water", row, 20, 1, 1) for row in range(30)]
    first, second = spectra(scene, *many, most=7), spectra(scene, *many, most=7)
    assert first == second
    assert first["water"].samples == 7
