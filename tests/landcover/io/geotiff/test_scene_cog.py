"""Scenes of every type as COG: GDAL reads back what was given, at every level."""

from tempfile import TemporaryFile

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from landcover.io.geotiff.cog import writing_scene
from landcover.io.geotiff.pixels import Pixels
from landcover.io.raster import Grid, bands_of, measured_by
from tests.scenes import CRS as UTM
from tests.scenes import TRANSFORM

TYPES = {
    "uint8": 255,
    "int8": -128,
    "uint16": 0,
    "int16": -32768,
    "uint32": 0,
    "int32": None,
    "float32": np.nan,
    "float64": -1.5,
}


def scene_of(dtype, nodata, shape=(2, 1030, 700)):
    rng = np.random.default_rng(4)
    limits = (-100, 100) if dtype in ("int8", "uint8") else (-9000, 9000)
    smooth = np.cumsum(rng.normal(0, 3, shape), axis=2)
    values = np.clip(smooth, *limits)
    values = (values if dtype.startswith("float") else np.abs(values)).astype(dtype)
    if nodata is not None:
        values[:, 100:300, 200:400] = nodata
    return values


@pytest.mark.parametrize(("dtype", "nodata"), TYPES.items())
def test_every_type_is_read_back_and_thinned(tmp_path, dtype, nodata):
    values = scene_of(dtype, nodata)
    grid = Grid(CRS.from_user_input(UTM), TRANSFORM, 700, 1030)
    bands = [("a", {}), ("b", {})]
    pixels = Pixels.of_scene(np.dtype(dtype), nodata)
    with (
        TemporaryFile() as spool,
        writing_scene(
            tmp_path / "s.tif", grid, bands, pixels, {}, spool, [(0.5, -1.0)] * 2
        ) as writer,
    ):
        for window in grid.windows(300, 333):  # tiles come in pieces
            writer.write(values[:, *window.toslices()], window)
    with rasterio.open(tmp_path / "s.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.scales == (0.5, 0.5)
        assert dataset.overviews(1) == [2, 4]
        assert dataset.nodata == pytest.approx(nodata, nan_ok=True)
        half = dataset.read(1, out_shape=(515, 350))
    four = (
        values[0].reshape(515, 2, 350, 2).astype(float).transpose(0, 2, 1, 3).reshape(515, 350, 4)
    )
    hidden = (
        np.isnan(four) | (four == nodata) if nodata is not None else np.zeros(four.shape, bool)
    )
    four[hidden] = np.nan
    some = ~hidden.all(axis=2)
    mean = np.nanmean(four[some], axis=1)
    np.testing.assert_allclose(half[some], mean, atol=0 if dtype == "float64" else 0.51, rtol=1e-6)


def test_a_broken_run_goes_on_from_the_tiles_on_its_spool(tmp_path):
    values = scene_of("uint16", 0)
    grid = Grid(CRS.from_user_input(UTM), TRANSFORM, 700, 1030)
    bands, pixels = [("a", {}), ("b", {})], Pixels.of_scene(np.dtype("uint16"), 0)
    windows = list(grid.windows(512, 512))

    def interrupted(spool):
        with writing_scene(tmp_path / "s.tif", grid, bands, pixels, {}, spool) as writer:
            for window in windows[:4]:
                writer.write(values[:, *window.toslices()], window)
            raise KeyboardInterrupt

    with TemporaryFile() as spool:
        with pytest.raises(KeyboardInterrupt):
            interrupted(spool)
        spool.seek(0)
        with writing_scene(tmp_path / "s.tif", grid, bands, pixels, {}, spool) as writer:
            missing = [window for window in windows if writer.lacks(window)]
            for window in missing:
                writer.write(values[:, *window.toslices()], window)
    assert missing == windows[4:]
    with rasterio.open(tmp_path / "s.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)


def test_units_and_wavelengths_are_read_as_the_rest_of_the_code_reads_them(tmp_path):
    grid = Grid(CRS.from_user_input(UTM), TRANSFORM, 8, 8)
    bands = [
        ("B04", {"WAVELENGTH": "664.6", "WAVELENGTH_UNITS": "nm"}),
        ("B08", {"WAVELENGTH": "0.8328", "WAVELENGTH_UNITS": "um"}),
    ]
    pixels = Pixels.of_scene(np.dtype("uint16"), 0)
    units = [(1e-4, -0.1)] * 2
    with (
        TemporaryFile() as spool,
        writing_scene(
            tmp_path / "s.tif", grid, bands, pixels, {"LEVEL": "L2A"}, spool, units
        ) as writer,
    ):
        writer.write(np.ones((2, 8, 8), "uint16"), next(grid.windows()))
    with rasterio.open(tmp_path / "s.tif") as dataset:
        assert [band.wavelength for band in bands_of(dataset)] == [664.6, pytest.approx(832.8)]
        measured = measured_by(dataset)
    assert (measured.scale, measured.offset, measured.level) == (1e-4, -0.1, "L2A")
