"""Tiles of a scene: the right pixels at the right place, whatever the CRS and size."""

import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import Transformer

from landcover.errors import InputError
from sample_map.data import tiles
from sample_map.data.tiles import Look, TileMaker, describe, stretch, tile_transform
from tests.scenes import write_raster

NAMES = ("red", "green", "blue")
SCENE = "home/blocks.tif"
PLAIN = Look((1, 2, 3), (0, 100))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_blocks(home, crs, transform, nodata=None):
    """Red in the west, green in the east; blue is 1 everywhere."""
    values = np.ones((3, 400, 600), "uint16")
    values[0, :, :300] = values[1, :, 300:] = 1000
    write_raster(home / "blocks.tif", values, names=NAMES, transform=transform, crs=crs,
                 nodata=nodata)  # fmt: skip


def color_at(longitude, latitude, zoom=12, look=PLAIN, name=SCENE):
    """Return what the map shows at a place: red, green, blue, opacity."""
    n = 2**zoom
    x = (longitude + 180) / 360 * n
    y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * n
    png = TileMaker().tile(name, look, zoom, int(x), int(y))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (256, 256, 4)
    return pixels[int(y % 1 * 256), int(x % 1 * 256)].tolist()


GRIDS = {
    "UTM": ("EPSG:32633", Affine(10, 0, 330000, 0, -10, 5822000)),
    "degrees": ("EPSG:4326", Affine(0.0001, 0, 13, 0, -0.0001, 52)),
    "polar": ("EPSG:3995", Affine(30, 0, 500000, 0, -30, -1500000)),
    "south up": ("EPSG:32633", Affine(10, 0, 330000, 0, 10, 5818000)),
    "turned": ("EPSG:32633", Affine(8, 6, 330000, 6, -8, 5822000)),
    "Lambert": ("EPSG:3035", Affine(25, 0, 4500000, 0, -25, 3300000)),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("zoom", [8, 11, 13, 16])
def test_places_have_their_colours_in_any_crs(home, grid, zoom):
    crs, transform = GRIDS[grid]
    write_blocks(home, crs, transform)
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for column, row, expected in (
        (100, 200, [255, 0, 128, 255]),
        (500, 200, [0, 255, 128, 255]),
        (300, -150, [0, 0, 0, 0]),
    ):
        place = to_degrees.transform(*(transform @ (column, row)))
        assert color_at(*place, zoom) == expected, (column, row)


def test_borders_of_pixels_lie_where_they_are(home):
    write_blocks(home, *GRIDS["UTM"])
    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west = to_degrees.transform(330000 + 2998, 5820000)
    east = to_degrees.transform(330000 + 3002, 5820000)
    assert color_at(*west, 19)[:2] == [255, 0]
    assert color_at(*east, 19)[:2] == [0, 255]


def test_preview_of_a_large_scene_shows_the_same_places(home, monkeypatch):
    monkeypatch.setattr(tiles, "PREVIEW_SIDE", 64)
    crs, transform = GRIDS["UTM"]
    write_blocks(home, crs, transform)
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for zoom in (8, 10, 12, 14):
        west = to_degrees.transform(*(transform @ (280, 200)))
        east = to_degrees.transform(*(transform @ (320, 200)))
        assert color_at(*west, zoom)[:2] == [255, 0]
        assert color_at(*east, zoom)[:2] == [0, 255]


def test_nodata_is_transparent(home):
    values = np.ones((3, 40, 40), "uint16")
    values[1, :, :20] = 0  # in one band is enough
    write_raster(home / "blocks.tif", values, transform=Affine(0.001, 0, 13, 0, -0.001, 52),
                 crs="EPSG:4326", nodata=0)  # fmt: skip
    assert color_at(13.01, 51.98)[3] == 0
    assert color_at(13.03, 51.98)[3] == 255


def test_not_a_number_is_transparent(home):
    values = np.ones((3, 40, 40), "float32")
    values[1, :, :20] = np.nan
    write_raster(home / "blocks.tif", values, transform=Affine(0.001, 0, 13, 0, -0.001, 52),
                 crs="EPSG:4326")  # fmt: skip
    assert color_at(13.01, 51.98)[3] == 0
    assert color_at(13.03, 51.98)[3] == 255


def test_tile_beside_the_scene_is_empty(home):
    write_blocks(home, *GRIDS["UTM"])
    assert color_at(100, -30) == [0, 0, 0, 0]


def test_other_bands_other_colours(home):
    write_blocks(home, *GRIDS["UTM"])
    west = Transformer.from_crs("EPSG:32633", "EPSG:4326").transform(331000, 5820000)[::-1]
    assert color_at(*west, look=Look((2, 1, 1), (0, 100))) == [0, 255, 255, 255]


def test_stretch_is_between_percentiles_of_the_scene(home):
    values = np.tile(np.arange(101, dtype="uint16"), (101, 1))  # each percentile is its value
    write_raster(home / "blocks.tif", values, transform=Affine(0.001, 0, 13, 0, -0.001, 52),
                 crs="EPSG:4326")  # fmt: skip
    look = Look((1, 1, 1), (10, 90))
    assert [color_at(13 + (v + 0.5) / 1000, 51.95, 15, look)[0] for v in (5, 10, 50, 90, 95)] == [
        0, 0, 128, 255, 255,
    ]  # fmt: skip


def test_map_is_shown_in_the_colours_of_its_legend(home):
    codes = np.ones((40, 40), "uint8")
    codes[:, :20], codes[0] = 2, 255
    write_raster(home / "blocks.tif", codes, transform=Affine(0.001, 0, 13, 0, -0.001, 52),
                 crs="EPSG:4326", nodata=255)  # fmt: skip
    with rasterio.open(home / "blocks.tif", "r+") as dataset:
        dataset.write_colormap(1, {1: (31, 120, 180, 255), 2: (17, 119, 51, 255)})
    look = Look((1, 1, 1))
    assert color_at(13.01, 51.98, look=look) == [17, 119, 51, 255]
    assert color_at(13.03, 51.98, look=look) == [31, 120, 180, 255]
    assert color_at(13.03, 51.9995, 15, look)[3] == 0


def test_changed_scene_is_drawn_anew(home):
    write_blocks(home, *GRIDS["UTM"])
    maker = TileMaker()
    first = maker.tile(SCENE, PLAIN, 8, 136, 83)
    values = np.ones((3, 400, 600), "uint16")
    values[2, 100:200] = 7
    write_raster(home / "new.tif", values, transform=GRIDS["UTM"][1], crs="EPSG:32633")
    (home / "new.tif").rename(home / "blocks.tif")
    assert maker.tile(SCENE, PLAIN, 8, 136, 83) != first


def test_description_names_bands_and_place(home):
    write_blocks(home, *GRIDS["UTM"])
    scene = describe(SCENE)
    assert scene.bands == NAMES
    assert scene.natural == (1, 2, 3)
    south, west, north, east = scene.bounds
    place = Transformer.from_crs("EPSG:32633", "EPSG:4326").transform(333000, 5820000)
    assert place == pytest.approx(((south + north) / 2, (west + east) / 2), abs=1e-3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B08", "B02", "B03", "B04"), (4, 3, 2)),
        (("blue", "green", "red", "nir"), (3, 2, 1)),
        ((), (3, 2, 1)),
    ],
)
def test_natural_colours_are_chosen_by_what_bands_are_called(home, names, expected):
    values = np.zeros((4, 2, 2), "uint16")
    write_raster(home / "blocks.tif", values, names=names)
    assert describe(SCENE).natural == expected


def test_single_band_is_shown_grey(home):
    write_raster(home / "blocks.tif", np.zeros((2, 2), "uint8"))
    assert describe(SCENE).natural == (1, 1, 1)


@pytest.mark.parametrize(
    ("bands", "words"),
    [((1, 2), "names 2 bands, needs three"), (("red", "B99", "blue"), "no band B99"),
     ((1, 2, 4), "1 to 3: red, green, blue")],
)  # fmt: skip
def test_bands_that_are_not_there_are_said(home, bands, words):
    write_blocks(home, *GRIDS["UTM"])
    with pytest.raises(InputError, match=words):
        describe(SCENE, bands)


@pytest.mark.parametrize(
    ("bands", "percentiles"), [("1,2", "2,98"), ("a,b,c", "2,98"), ("1,2,3", "98,2"),
                               ("1,2,3", "nan,98"), ("1,2,3", "2,101"), ("", "")]
)  # fmt: skip
def test_address_that_asks_nonsense_is_refused(bands, percentiles):
    with pytest.raises(InputError):
        Look.read(bands, percentiles)


@pytest.mark.parametrize("tile", [(-1, 0, 0), (2, 4, 0), (2, 0, -1), (99, 0, 0)])
def test_tile_that_is_none_is_refused(home, tile):
    write_blocks(home, *GRIDS["UTM"])
    with pytest.raises(InputError, match="there is no tile"):
        TileMaker().tile(SCENE, PLAIN, *tile)


def test_scene_without_crs_is_said(home):
    write_blocks(home, None, Affine(2, 0, 5, 0, -2, 0))
    with pytest.raises(InputError, match="has no CRS"):
        describe(SCENE)


def test_file_of_another_format_is_not_opened(home):
    (home / "blocks.tif").write_text('<VRTDataset rasterXSize="1" rasterYSize="1"/>')
    with pytest.raises(InputError, match="is a VRT"):
        describe(SCENE)


def test_tiles_of_the_world_cover_it():
    west, north = tile_transform(0, 0, 0) @ (0, 0)
    east, south = tile_transform(1, 1, 1) @ (256, 256)
    half = math.pi * 6378137
    assert (west, south, east, north) == pytest.approx((-half, -half, half, half))


def test_stretch_of_one_value_is_grey_and_of_none_black():
    values = np.full((1, 2, 2), 7.0)
    valid = np.array([[True, True], [True, False]])
    assert stretch(values, valid)[0].tolist() == [[128, 128], [128, 0]]
    assert stretch(values, np.zeros((2, 2), bool)).max() == 0


def test_gigabyte_without_overviews_is_drawn_in_bounded_memory(home):
    with rasterio.open(
        home / "large.tif", "w", driver="GTiff", count=3, height=13_000, width=13_000,
        dtype="uint16", crs="EPSG:32633", transform=Affine(10, 0, 300000, 0, -10, 5900000),
        tiled=True, blockxsize=512, blockysize=512, compress="zstd", SPARSE_OK=True,
    ) as dataset:  # fmt: skip
        dataset.write(np.full((3, 512, 512), 9, "uint16"), window=((0, 512), (0, 512)))
    code = (
        "import resource\n"
        "from sample_map.data.tiles import *\n"
        "scene, maker = describe('home/large.tif'), TileMaker()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for tile in ((6, 34, 20), (8, 136, 83), (11, 1092, 668), (14, 8740, 5346)):\n"
        "    maker.tile(scene.name, Look(scene.natural), *tile)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 600_000  # KiB; the pixels are 1 GB


def percent_at(values, style):
    """Return the colours that a band of percent has, one per value."""
    raster = np.array([values], "uint8")
    write_raster(Path.home() / "percent.tif", raster, nodata=255,
                 transform=Affine(1, 0, 10, 0, -1, 50), crs="EPSG:4326")  # fmt: skip
    look = Look.read("1,1,1", "2,98", style=style)
    places = [(10.5 + i, 49.5) for i in range(len(values))]
    return [color_at(*place, 8, look, "home/percent.tif") for place in places]


def test_percent_goes_from_dark_to_light_and_nodata_is_nothing(home):
    low, middle, high, none = percent_at([0, 50, 100, 255], "percent")
    assert (low, middle, high) == (
        [68, 1, 84, 255], [33, 145, 140, 255], [253, 231, 37, 255],
    )  # fmt: skip
    assert none[3] == 0


def test_only_what_is_below_is_painted(home):
    shown = percent_at([0, 49, 50, 100, 255], "below:50")
    assert [color[3] for color in shown] == [255, 255, 0, 0, 0]


def test_stretch_to_the_view_takes_black_and_white_from_what_is_there(home):
    write_blocks(home, *GRIDS["degrees"])
    maker, view = TileMaker(), (51.97, 13.0, 52.0, 13.02)  # the western half: red 1000, green 1
    limits = maker.limits(SCENE, PLAIN, view)
    assert limits == (1000, 1000, 1, 1, 1, 1)
    look = Look.read("1,2,3", "0,100", limits="0,2000,0,2,0,2")
    assert color_at(13.01, 51.98, 12, look) == [128, 128, 128, 255]
    with pytest.raises(InputError, match="nothing of the scene is in view"):
        maker.limits(SCENE, PLAIN, (0, 0, 1, 1))


@pytest.mark.parametrize(
    ("limits", "style", "words"),
    [
        ("1,2", "scene", "six numbers"),
        ("1,2,3,4,5,nan", "scene", "six numbers"),
        ("", "below:x", "style"),
        ("1,2,3,4,5,a", "scene", "needs bands"),
    ],
)
def test_look_that_makes_no_sense_is_refused(limits, style, words):
    with pytest.raises(InputError, match=words):
        Look.read("1,1,1", "2,98", limits, style)


def test_map_with_a_legend_alone_has_its_colours(home):
    tag = '[{"code": 3, "name": "water", "color": "#1f78b4"}]'
    write_raster(
        home / "map.tif", np.array([[3, 255]], "uint8"), nodata=255, crs="EPSG:4326",
        transform=Affine(1, 0, 10, 0, -1, 50), LANDCOVER_LEGEND=tag,
    )  # fmt: skip
    assert color_at(10.5, 49.5, 8, Look((1, 1, 1)), "home/map.tif") == [0x1F, 0x78, 0xB4, 255]
    assert color_at(11.5, 49.5, 8, Look((1, 1, 1)), "home/map.tif")[3] == 0
