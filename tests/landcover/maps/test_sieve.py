"""Small patches, held against a slow search of our own and against SciPy."""

import json

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from landcover import sieve_map
from landcover.errors import InputError
from landcover.maps import sieve
from landcover.maps.sieve import most_frequent
from tests.scenes import PIXEL, write_raster


def patches(codes, structure=None):
    """Return the number of each pixel's patch (H, W), and the sizes by number."""
    numbers, last = np.zeros(codes.shape, int), 0
    for code in np.unique(codes[codes != 255]):
        found, n = ndimage.label(codes == code, structure)
        numbers[found > 0] = found[found > 0] + last
        last += n
    return numbers, np.bincount(numbers.ravel())


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("neighbours", ["4", "8"])
def test_small_patches_go_to_their_largest_neighbour(write_map, speckled, tmp_path, neighbours):
    result = sieve_map(
        write_map("map.tif", speckled), pixels=6, neighbours=neighbours, workdir=tmp_path / "out"
    )
    after = read(result.map)
    structure = np.ones((3, 3)) if neighbours == "8" else None
    before_of, sizes = patches(speckled, structure)
    for number in range(1, len(sizes)):
        patch = before_of == number
        found = np.unique(after[patch])
        assert len(found) == 1, "a patch stays one"
        assert sizes[number] < 6 or found[0] == speckled[patch][0]
    assert (after == 255).sum() == (speckled == 255).sum()
    assert result.changed == pytest.approx(
        np.mean(after[speckled != 255] != speckled[speckled != 255])
    )
    least = patches(after, structure)[1][1:].min()
    assert least >= 6


def test_a_patch_becomes_what_surrounds_it_most(write_map, tmp_path):
    codes = np.ones((20, 40), np.uint8)
    codes[:, 25:] = 2
    codes[8:10, 24:26] = 3  # touches both, forest is larger
    after = read(sieve_map(write_map("map.tif", codes), pixels=5, workdir=tmp_path / "out").map)
    assert (after[8:10, 24:26] == 1).all()


def test_patch_of_the_smallest_size_stays_and_one_pixel_less_goes(write_map, tmp_path):
    codes = np.ones((20, 20), np.uint8)
    codes[2, 2:6] = 2
    codes[10, 2:5] = 2
    after = read(sieve_map(write_map("map.tif", codes), workdir=tmp_path / "out").map)
    assert (after[2, 2:6] == 2).all()
    assert (after[10] == 1).all()


def test_hectares_are_those_on_the_ground(write_map, tmp_path):
    codes = np.ones((30, 30), np.uint8)
    codes[5, 5:15], codes[10, 5:14] = 2, 2  # ten and nine hundredths of a hectare
    after = read(
        sieve_map(write_map("map.tif", codes), hectares=0.0951, workdir=tmp_path / "out").map
    )
    assert PIXEL == 10
    assert (after[5, 5:15] == 2).all()
    assert (after[10] == 1).all()


def test_majority_is_that_of_a_slow_search(speckled):
    codes = np.where(speckled == 255, 0, speckled)
    found = most_frequent(codes, 5)
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, codes.shape, (400, 2)):
        around = codes[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        counts = np.bincount(around[around != 0], minlength=4)
        own = codes[row, column]
        expected = own if own == 0 or counts[own] == counts.max() else counts.argmax()
        assert found[row, column] == expected


def test_majority_does_not_depend_on_windows(write_map, speckled, tmp_path, monkeypatch):
    path = write_map("map.tif", speckled)
    whole = sieve_map(path, method="majority", pixels=25, workdir=tmp_path / "whole")
    monkeypatch.setattr(sieve, "_BLOCK", 32)
    parts = sieve_map(path, method="majority", pixels=25, workdir=tmp_path / "parts")
    assert whole.map.read_bytes() == parts.map.read_bytes()
    assert 0.05 < whole.changed < 0.5


def test_map_keeps_legend_places_and_date(write_map, speckled, tmp_path):
    path = write_map("map.tif", speckled, DATE="2021-07-01", RADIOMETRY="ignored:foreign")
    with rasterio.open(sieve_map(path, workdir=tmp_path / "out").map) as dataset:
        tags = dataset.tags()
        assert dataset.nodata == 255
        assert [c["name"] for c in json.loads(tags["LANDCOVER_LEGEND"])] == [
            "forest", "town", "water",
        ]  # fmt: skip
    assert (tags["DATE"], tags["RADIOMETRY"]) == ("2021-07-01", "ignored:foreign")


def test_nothing_is_left_beside_the_map(write_map, speckled, tmp_path):
    sieve_map(write_map("map.tif", speckled), workdir=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "map.qml", "map.tif", "map.tif.aux.xml", "run.json", "run.sieve-map.json",
    ]  # fmt: skip


def test_scene_is_no_map(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.full((2, 5, 5), 300, np.uint16))
    with pytest.raises(InputError, match=r"scene\.tif holds 300, a map needs whole codes"):
        sieve_map(scene, workdir=tmp_path / "out")


def test_area_larger_than_the_map_is_refused(write_map, speckled, tmp_path):
    with pytest.raises(InputError, match=r"pixels are to go, .* in all"):
        sieve_map(write_map("map.tif", speckled), hectares=1e6, workdir=tmp_path / "out")
    with pytest.raises(
        InputError, match=r"fewer than 20 pixels are to go, small\.tif has 12 in all"
    ):
        sieve_map(write_map("small.tif", speckled[20:23, :4]), pixels=20, workdir=tmp_path / "out")
