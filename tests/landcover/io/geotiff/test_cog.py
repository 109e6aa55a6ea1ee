import struct
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from rasterio.crs import CRS

from landcover.io.geotiff import cog
from landcover.io.geotiff.cog import mean_of_four, mode_of_four, writing_cog
from landcover.io.legend import LEGEND_TAG, Legend
from landcover.io.raster import Grid
from tests.scenes import CRS as UTM
from tests.scenes import TRANSFORM

LEGEND = Legend.of(["field", "forêt", "water"])
SIZES = [(1, 1), (1, 700), (511, 513), (512, 512), (1025, 1030), (2100, 600)]
GRIDS = {
    "north-up": (UTM, TRANSFORM),
    "south-up": (UTM, Affine(10, 0, 500_000, 0, 10, 5_000_000)),
    "rotated": (UTM, TRANSFORM @ Affine.rotation(30)),
    "degrees": ("EPSG:4326", Affine(1e-4, 0, 107, 0, -1e-4, 52)),
    "own": ("+proj=aea +lat_1=50 +lat_2=70 +lat_0=56 +lon_0=100 +ellps=krass +units=m", TRANSFORM),
}


def codes_of(height, width):
    """Return patches of three classes, with single pixels of others and of nodata."""
    rng = np.random.default_rng(height * width)
    coarse = rng.integers(1, 4, (height // 9 + 1, width // 9 + 1))
    codes = np.kron(coarse, np.ones((9, 9), int))[:height, :width]
    return np.where(rng.random(codes.shape) < 0.2, rng.choice([1, 2, 3, 255], codes.shape), codes
                    ).astype(np.uint8)  # fmt: skip


def write(path, codes, legend=LEGEND, windows=None, grid="north-up", **how):
    crs, transform = GRIDS[grid]
    grid = Grid(CRS.from_user_input(crs), transform, codes.shape[1], codes.shape[0])
    with writing_cog(path, grid, "class", legend, {"NOTE": "a & b"}, **how) as writer:
        for window in windows or grid.windows(300, 700):
            writer.write(codes[window.toslices()], window)
    return path


def mode(four):
    """Brute force: of the most frequent codes that are not nodata, the first."""
    known = [int(code) for code in four if code != 255]
    return max(known, key=lambda code: (known.count(code), -known.index(code)), default=255)


def mean(four):
    known = [int(value) for value in four if value != 255]
    return int(sum(known) / len(known) + 0.5) if known else 255


def by_hand(values, rule):
    """Brute force."""
    height, width = values.shape
    rows, columns = range(0, height, 2), range(0, width, 2)
    four = [[values[row : row + 2, column : column + 2].ravel() for column in columns]
            for row in rows]  # fmt: skip
    return np.array([[rule(pixels) for pixels in row] for row in four], np.uint8)


def thinned(codes, rule):
    """Thin a whole array of any size at once."""
    height, width = codes.shape
    return rule(np.pad(codes, ((0, height % 2), (0, width % 2)), constant_values=255))


few_codes = arrays(np.uint8, (6, 8), elements=st.sampled_from([1, 2, 3, 255]))
any_bytes = arrays(np.uint8, (6, 8), elements=st.integers(0, 255))


@settings(max_examples=200)
@given(few_codes)
def test_an_overview_shows_the_most_frequent_class(codes):
    np.testing.assert_array_equal(mode_of_four(codes), by_hand(codes, mode))


@settings(max_examples=200)
@given(any_bytes)
def test_an_overview_of_quantities_is_the_mean_of_what_is_known(values):
    np.testing.assert_array_equal(mean_of_four(values), by_hand(values, mean))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("legend", [LEGEND, None])
def test_every_level_is_the_one_below_thinned(size, legend, tmp_path):
    codes = codes_of(*size)
    path = write(tmp_path / "map.tif", codes, legend)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), codes)
        factors = dataset.overviews(1)
    levels = max(0, int(np.ceil(np.log2(max(size) / 512))))
    assert factors == [2 ** (level + 1) for level in range(levels)]
    for level in range(levels):
        codes = thinned(codes, mode_of_four if legend else mean_of_four)
        with rasterio.open(path, overview_level=level) as dataset:
            np.testing.assert_array_equal(dataset.read(1), codes)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_windows_of_any_size_in_any_order_give_the_same_file(data):
    height, width = data.draw(st.tuples(st.integers(1, 1100), st.integers(1, 1100)))
    codes = codes_of(height, width)
    grid = Grid(CRS.from_string(UTM), TRANSFORM, width, height)
    step = data.draw(st.tuples(st.integers(100, 1200), st.integers(100, 1200)))
    windows = data.draw(st.permutations(list(grid.windows(*step))))
    with scratch() as folder:
        one = write(folder / "one.tif", codes).read_bytes()
        assert write(folder / "other.tif", codes, windows=windows).read_bytes() == one


@contextmanager
def scratch():
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("legend", [LEGEND, None])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_file_says_all_that_gdals_own_says(grid, legend, tmp_path):
    codes = codes_of(700, 1300)
    ours, theirs = write(tmp_path / "map.tif", codes, legend, grid=grid), tmp_path / "gdal.tif"
    crs, transform = GRIDS[grid]
    with rasterio.open(
        tmp_path / "plain.tif", "w", driver="GTiff", dtype="uint8", count=1, width=1300,
        height=700, crs=crs, transform=transform, nodata=255,
    ) as plain:  # fmt: skip
        plain.write(codes, 1)
        plain.set_band_description(1, "class")
        plain.update_tags(NOTE="a & b")
        if legend:
            plain.update_tags(**{LEGEND_TAG: legend.to_tag()})
            plain.write_colormap(1, legend.colormap())
    rasterio.shutil.copy(tmp_path / "plain.tif", theirs, driver="COG", COMPRESS="DEFLATE")
    with rasterio.open(ours) as one, rasterio.open(theirs) as other:
        assert said(one, legend) == said(other, legend)
        assert one.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    for level in (0, 1):
        with (
            rasterio.open(ours, overview_level=level) as one,
            rasterio.open(theirs, overview_level=level) as other,
        ):
            assert one.profile == other.profile
            assert one.colorinterp == other.colorinterp


def said(dataset, legend):
    return (
        dataset.profile, dataset.tags(), dataset.tags(1), dataset.tags(ns="IMAGE_STRUCTURE"),
        dataset.descriptions, dataset.colorinterp, dataset.overviews(1), dataset.mask_flag_enums,
        dataset.colormap(1) if legend else None,
    )  # fmt: skip


@pytest.mark.parametrize("big", [False, True])
def test_the_layout_is_cloud_optimized(big, tmp_path, monkeypatch):
    """The rules of GDAL's validate_cloud_optimized_geotiff, the full check."""
    if big:
        monkeypatch.setattr(cog, "_CLASSIC_END", 0)
    codes = codes_of(1100, 1500)
    path = write(tmp_path / "map.tif", codes)
    file = path.read_bytes()
    assert file[:4] == (b"II\x2b\0" if big else b"II\x2a\0")
    ghost = 16 if big else 8
    size = int(file[ghost:].split(b"=", 1)[1][:6])
    first_directory = ghost + 43 + size + (43 + size) % 2
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), codes)
        shapes = [(3, 3), (2, 2), (1, 1)]
        directories = [item(dataset, "IFD_OFFSET", level) for level in range(3)]
        begins, end = [], len(file)
        for level, (down, across) in enumerate(shapes):
            tiles = [
                (item(dataset, f"BLOCK_OFFSET_{column}_{row}", level),
                 item(dataset, f"BLOCK_SIZE_{column}_{row}", level))
                for row in range(down) for column in range(across)
            ]  # fmt: skip
            begins.append(tiles[0][0] - 4)
            for offset, length in reversed(tiles):  # row by row, each follows the one before
                assert offset + length + 4 == end
                assert struct.unpack_from("<I", file, offset - 4) == (length,)
                assert file[end - 4 : end] == file[end - 8 : end - 4]
                assert len(zlib.decompress(file[offset : offset + length])) == 512 * 512
                end = offset - 4
    assert directories[0] == first_directory
    assert directories == sorted(directories)
    assert directories[-1] < begins[2] < begins[1] < begins[0]


def item(dataset, name, level):
    return int(dataset.get_tag_item(name, "TIFF", bidx=1, ovr=level - 1 if level else None))


def test_another_reader_sees_the_same(tmp_path):
    codes = codes_of(700, 900)
    with Image.open(write(tmp_path / "map.tif", codes)) as image:
        np.testing.assert_array_equal(np.asarray(image), codes)
        red_green_blue = tuple(image.getpalette()[3:6])
        image.seek(1)
        np.testing.assert_array_equal(np.asarray(image), thinned(codes, mode_of_four))
    assert red_green_blue == LEGEND.colormap()[1][:3]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "map.tif").write_text("old")
    with pytest.raises(RuntimeError, match="on purpose"):
        interrupted(tmp_path / "map.tif", codes_of(600, 600))
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    assert (tmp_path / "map.tif").read_text() == "old"


def interrupted(path, codes, spool=None, windows=1):
    """Write some windows and fail."""
    grid = Grid(CRS.from_string(UTM), TRANSFORM, codes.shape[1], codes.shape[0])
    with writing_cog(path, grid, "class", LEGEND, {"NOTE": "a & b"}, spool) as writer:
        for window in list(grid.windows())[:windows]:
            writer.write(codes[window.toslices()], window)
        raise RuntimeError("on purpose")


@pytest.fixture
def begun(tmp_path):
    """A spool with four of nine tiles, behind seven bytes of somebody else's; and the codes."""
    codes = codes_of(1025, 1100)
    with TemporaryFile() as spool:
        spool.write(b"*" * 7)
        with pytest.raises(RuntimeError, match="on purpose"):
            interrupted(tmp_path / "map.tif", codes, spool, 4)
        yield spool, codes


def missing(spool, codes):
    """Return which of nine windows a writer lacks that takes over a spool, and the pixels held."""
    spool.seek(7)
    grid = Grid(CRS.from_string(UTM), TRANSFORM, codes.shape[1], codes.shape[0])
    with ExitStack() as opened:

        def spools():
            yield spool
            while True:
                yield opened.enter_context(TemporaryFile())

        writer = cog.CogWriter(grid, spools(), mode_of_four)
        lacking = [i for i, window in enumerate(grid.windows()) if writer.lacks(window)]
    return lacking, writer.filled


def test_finished_tiles_are_taken_over(begun, tmp_path):
    spool, codes = begun
    assert missing(spool, codes)[0] == [4, 5, 6, 7, 8]
    spool.seek(7)
    grid = Grid(CRS.from_string(UTM), TRANSFORM, 1100, 1025)
    rest = list(grid.windows())[4:]
    path = write(tmp_path / "map.tif", codes, windows=rest, spool=spool)
    assert path.read_bytes() == write(tmp_path / "whole.tif", codes).read_bytes()


def test_what_is_held_is_counted(begun):
    spool, codes = begun
    held = [codes[:512, :512], codes[:512, 512:1024], codes[:512, 1024:], codes[512:1024, :512]]
    assert missing(spool, codes)[1] == sum(int((tile != 255).sum()) for tile in held)


@pytest.mark.parametrize(
    "damage",
    ["cut", "flipped", "zeros", "foreign tile", "twice", "size", "bomb", "appended"],
)
def test_a_damaged_tile_ends_what_is_taken_over(begun, damage):
    spool, codes = begun
    places = records(spool)
    last, end = places[-1], spool.seek(0, 2)
    match damage:
        case "cut":
            spool.truncate(end - 3)
        case "flipped":
            patch(spool, last + 40, b"\x55\xaa\x55")
        case "zeros":  # a disk that lost power after the length, before the pixels
            patch(spool, last, bytes(end - last))
        case "foreign tile":
            patch(spool, last, struct.pack("<II", 7, 0))
        case "twice":
            patch(spool, last, struct.pack("<II", 0, 0))
        case "size":
            patch(spool, last + 8, struct.pack("<I", 2**32 - 1))
        case "bomb":
            spool.truncate(last)
            packed = zlib.compress(bytes(10**8))
            record = struct.pack("<III", 1, 0, len(packed)) + packed + packed[-4:]
            patch(spool, last, record)
        case "appended":
            patch(spool, end, b"anything")
    lacking, _ = missing(spool, codes)
    assert lacking == ([4, 5, 6, 7, 8] if damage == "appended" else [3, 4, 5, 6, 7, 8])
    assert spool.seek(0, 2) == (end if damage == "appended" else last)  # the rest is dropped


def patch(spool, place, data):
    spool.seek(place)
    spool.write(data)
    spool.flush()


def records(spool):
    places, place = [], 7
    while True:
        spool.seek(place)
        head = spool.read(12)
        if not head:
            return places
        places.append(place)
        place += 12 + struct.unpack("<III", head)[2] + 4


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_on_a_spool_break_the_writer(junk):
    with TemporaryFile() as spool:
        spool.write(b"*" * 7 + junk)
        assert missing(spool, np.ones((600, 600), np.uint8)) == ([0, 1, 2, 3], 0)
