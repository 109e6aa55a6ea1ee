"""A scene as a picture for a web map."""

import base64
import io

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.warp import transform

from landcover.errors import InputError
from landcover.rasters import open_raster
from sample_map import imagery
from sample_map.imagery import band_indexes, picture_of, stretch
from tests.scenes import write_raster


def pixels_of(picture):
    """Decode the PNG: (H, W, 4)."""
    return np.asarray(Image.open(io.BytesIO(picture.png)))


@pytest.fixture
def blocks(tmp_path):
    """40 × 60 pixels of 10 m in Brandenburg: red in the west, green in the east."""
    values = np.ones((3, 40, 60), "uint16")
    values[0, :, :30] = values[1, :, 30:] = 1000
    return write_raster(
        tmp_path / "blocks.tif",
        values,
        names=("red", "green", "blue"),
        transform=Affine.translation(330000, 5822000) @ Affine.scale(10, -10),
        crs="EPSG:32633",
    )


def test_picture_lies_where_the_scene_lies(blocks):
    (south, west), (north, east) = picture_of(blocks).bounds
    longitudes, latitudes = transform("EPSG:32633", "EPSG:4326", [330300], [5821800])
    assert west < longitudes[0] < east
    assert south < latitudes[0] < north
    assert (west + east) / 2 == pytest.approx(longitudes[0], abs=1e-4)
    assert (south + north) / 2 == pytest.approx(latitudes[0], abs=1e-4)


def test_colours_and_sides_are_not_swapped(blocks):
    pixels = pixels_of(picture_of(blocks))
    middle = pixels.shape[0] // 2
    assert pixels[middle, 10].tolist() == [255, 0, 128, 255]
    assert pixels[middle, -10].tolist() == [0, 255, 128, 255]


def test_outside_of_the_turned_scene_is_transparent(blocks):
    opacity = pixels_of(picture_of(blocks))[..., 3]
    assert opacity[0, 0] == 0  # UTM's north is not the map's north
    assert set(np.unique(opacity)) == {0, 255}
    assert (opacity == 255).mean() > 0.9


def test_nodata_is_transparent_and_does_not_count_in_the_stretch(tmp_path):
    values = np.full((1, 50, 50), -9999, "float32")
    values[0, :, 25:] = np.linspace(0.1, 0.2, 50)[:, None]
    pixels = pixels_of(picture_of(write_raster(tmp_path / "a.tif", values, nodata=-9999)))
    assert (pixels[5:-5, 3, 3] == 0).all()
    assert (pixels[5:-5, -5, 3] == 255).all()
    assert pixels[-3, -8, 0] - pixels[3, -8, 0] > 200


def test_nan_is_transparent(tmp_path):
    values = np.ones((1, 50, 50), "float32")
    values[0, 20:30] = np.nan
    pixels = pixels_of(picture_of(write_raster(tmp_path / "a.tif", values)))
    assert pixels[25, 25, 3] == 0
    assert pixels[10, 25, 3] == 255


def test_large_scene_becomes_a_small_picture(blocks, monkeypatch):
    monkeypatch.setattr(imagery, "LONGEST_SIDE", 20)
    pixels = pixels_of(picture_of(blocks))
    assert max(pixels.shape[:2]) == 20


def test_data_url_holds_the_png(blocks):
    picture = picture_of(blocks)
    kind, content = picture.url.split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == picture.png


SENTINEL = ("B01", "B02", "B03", "B04", "B05")


@pytest.mark.parametrize(
    ("names", "count", "bands", "expected"),
    [
        (SENTINEL, 5, None, (4, 3, 2)),
        (("blue", "green", "red", "nir"), 4, None, (3, 2, 1)),
        ((), 6, None, (3, 2, 1)),
        ((), 1, None, (1, 1, 1)),
        (SENTINEL, 5, (5, 4, 3), (5, 4, 3)),
        (SENTINEL, 5, ("B05", "B04", "B03"), (5, 4, 3)),
    ],
)
def test_which_bands_are_shown(tmp_path, names, count, bands, expected):
    path = write_raster(tmp_path / "a.tif", np.zeros((count, 4, 4), "uint16"), names=names)
    with open_raster(path) as dataset:
        assert band_indexes(dataset, bands) == expected


@pytest.mark.parametrize(
    ("bands", "sentence"),
    [
        ((1, 2), "bands names 2 bands, needs three: red, green and blue"),
        ((1, 2, 6), "there is no band 6, the scene has 1 to 5: B01, B02, B03, B04, B05"),
        ((0, 1, 2), "there is no band 0"),
        (("B04", "B03", "B99"), "there is no band B99"),
    ],
)
def test_band_that_is_not_there_is_named(tmp_path, bands, sentence):
    path = write_raster(tmp_path / "a.tif", np.zeros((5, 4, 4), "uint16"), names=SENTINEL)
    with open_raster(path) as dataset, pytest.raises(InputError, match=sentence):
        band_indexes(dataset, bands)


def test_scene_without_crs_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((1, 4, 4), "uint8"), crs=None)
    with pytest.raises(InputError, match=r"a.tif has no CRS"):
        picture_of(path)


def test_stretch_uses_the_percentiles_of_valid_pixels():
    values = np.concatenate([np.arange(101.0), [1e9]])[None, None]  # (1, 1, 102)
    valid = np.array([[True] * 101 + [False]])
    stretched = stretch(values, valid)[0, 0]
    # 2 becomes black and 98 white: 50 lies in the middle
    assert stretched[[0, 2, 50, 98, 100, 101]].tolist() == [0, 0, 128, 255, 255, 0]


def test_band_of_one_value_is_grey_and_nothing_valid_is_black():
    values = np.full((1, 2, 2), 7.0)
    assert (stretch(values, np.ones((2, 2), bool)) == 128).all()
    assert (stretch(values, np.zeros((2, 2), bool)) == 0).all()
