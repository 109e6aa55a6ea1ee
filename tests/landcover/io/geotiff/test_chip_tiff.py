import numpy as np
import pytest
import rasterio

from landcover.io.geotiff.chip_tiff import parse_chip
from landcover.samples.folder import read_samples
from tests.scenes import CRS, TRANSFORM

SIDE = {"width": 33, "height": 70}


def write(path, dtype="uint16", bands=3, seed=0, **how):
    rng = np.random.default_rng(seed)
    values = (rng.normal(3000, 800, (bands, SIDE["height"], SIDE["width"]))).astype(dtype)
    profile = {"driver": "GTiff", "dtype": dtype, "count": bands, "crs": CRS, **SIDE, **how}
    with rasterio.open(path, "w", transform=TRANSFORM, **profile) as dataset:
        dataset.write(values)
    return values


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32",
                                   "float32", "float64"])  # fmt: skip
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"interleave": "band"},
        {"compress": "deflate"},
        {"compress": "deflate", "predictor": 2},
        {"compress": "deflate", "interleave": "band", "blockysize": 16},
        {"bands": 1, "compress": "deflate", "predictor": 2},
        {"nodata": 7, "blockysize": 9},
    ],
)
def test_an_ordinary_chip_is_read_as_gdal_reads_it(tmp_path, dtype, how):
    values = write(tmp_path / "x.tif", dtype, **how)
    chip = parse_chip((tmp_path / "x.tif").read_bytes())
    if dtype.startswith("float") and "predictor" in how:
        assert chip is None
        return
    assert chip.values.dtype == dtype
    np.testing.assert_array_equal(chip.values, values)
    assert chip.nodata == how.get("nodata")


@pytest.mark.parametrize(
    "how",
    [
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "lzw"},
        {"compress": "zstd"},
        {"bigtiff": "yes"},
        {"endianness": "big"},
        {"dtype": "complex64"},
        {"bands": 4, "photometric": "rgb", "alpha": "yes", "dtype": "uint8"},
        {"dtype": "float32", "compress": "deflate", "predictor": 3},
        {"sparse_ok": True, "nbits": 12},
    ],
)
def test_what_is_unusual_is_left_to_gdal(tmp_path, how):
    write(tmp_path / "x.tif", **how)
    assert parse_chip((tmp_path / "x.tif").read_bytes()) is None


def test_a_chip_with_a_mask_is_left_to_gdal(tmp_path):
    write(tmp_path / "x.tif", bands=1)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "x.tif", "r+") as it:
        it.write_mask(np.eye(*it.shape, dtype=bool))
    assert parse_chip((tmp_path / "x.tif").read_bytes()) is None


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_chip_cut_short_is_never_read_in_part(tmp_path, compress):
    values = write(tmp_path / "x.tif", compress=compress)
    whole = (tmp_path / "x.tif").read_bytes()
    for length in range(0, len(whole), 97):
        chip = parse_chip(whole[:length])
        assert chip is None or np.array_equal(chip.values, values)


def test_flipped_bytes_raise_nothing(tmp_path):
    write(tmp_path / "x.tif", compress="deflate")
    whole = (tmp_path / "x.tif").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(3000):
        spoilt = bytearray(whole)
        spoilt[rng.integers(0, 500)] ^= rng.integers(1, 256)
        parse_chip(bytes(spoilt))


def test_both_ways_give_the_same_sample(tmp_path):
    (tmp_path / "s/a").mkdir(parents=True)
    for name, how in (("plain", {}), ("tiled", {"tiled": True, "blockxsize": 16,
                                                "blockysize": 16})):  # fmt: skip
        write(tmp_path / f"s/a/{name}.tif", nodata=3000, **how)
    plain, tiled = read_samples(tmp_path / "s").batches()
    np.testing.assert_array_equal(plain.chips, tiled.chips)
    np.testing.assert_array_equal(plain.valid, tiled.valid)
    assert not plain.valid.all()
    np.testing.assert_array_equal(plain.places, tiled.places)
