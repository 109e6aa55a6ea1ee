"""Derived bands against the formulas worked out by hand, and others' terrain and windows."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import generic_filter

from landcover.errors import InputError, Stopped
from landcover.io import derived_names
from landcover.io.raster import Grid
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.scenes.features.derive import derive_bands
from landcover.scenes.features.indices import INDICES
from landcover.scenes.features.terrain import BANDS as TERRAIN
from landcover.scenes.features.terrain import metres_per_pixel
from tests.scenes import TRANSFORM, write_raster

NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")
UNITS = {"SENSOR": "Sentinel-2A MSI", "SCALE": "0.0001", "OFFSET": "-0.1"}
# reflectances of one pixel and, by hand, what they give
B, G, R, N, S1, S2 = 0.05, 0.08, 0.06, 0.40, 0.20, 0.10
EXPECTED = {
    "NDVI": 0.34 / 0.46,
    "NDWI": -0.32 / 0.48,
    "MNDWI": -0.12 / 0.28,
    "NDBI": -0.20 / 0.60,
    "NBR": 0.30 / 0.50,
    "EVI2": 2.5 * 0.34 / (0.40 + 0.144 + 1),
    "SAVI": 1.5 * 0.34 / (0.46 + 0.5),
    "NDMI": 0.20 / 0.60,
    "BSI": (0.26 - 0.45) / (0.26 + 0.45),
}


def counts(height=4, width=5):
    """Return the pixel as Sentinel-2 delivers it since baseline 04.00: times 10000 plus 1000."""
    pixel = np.array([B, G, R, N, S1, S2]) * 10_000 + 1000
    return np.broadcast_to(pixel[:, None, None], (6, height, width)).round().astype(np.uint16)


def derived(inputs, folder):
    done = by_identifier("derive-bands").run(inputs, folder)
    with rasterio.open(done.result.scene) as dataset:
        found = dict(zip(dataset.descriptions, dataset.read(), strict=True))
        tags = {name: dataset.tags(i) for i, name in enumerate(dataset.descriptions, 1)}
    return found, tags, done.remarks


@pytest.fixture
def scene(tmp_path):
    return write_raster(tmp_path / "s.tif", counts(), names=NAMES, nodata=0, **UNITS)


@pytest.mark.parametrize("name", EXPECTED)
def test_index_is_computed_on_reflectance(name, scene, tmp_path):
    found, tags, remarks = derived({"scene": scene, "indices": name}, tmp_path / "out")
    np.testing.assert_allclose(found[name], EXPECTED[name], rtol=1e-6)
    assert list(found) == [*NAMES, name]
    assert tags[name]["SOURCE"]
    assert not remarks


def test_all_are_derived_and_the_scene_stays_as_it_is(scene, tmp_path):
    found, tags, _ = derived({"scene": scene, "indices": "all"}, tmp_path / "out")
    assert set(found) == {*NAMES, *EXPECTED}
    np.testing.assert_array_equal(np.stack([found[name] for name in NAMES]), counts())
    assert tags["NDVI"]["FORMULA"] == "(B08 - B04) / (B08 + B04)"
    assert tags["B08"]["CENTRAL_WAVELENGTH_UM"] == "0.842"
    with rasterio.open(tmp_path / "out/scene.tif") as dataset:
        assert dataset.tags()["OFFSET"] == "-0.1"


def test_units_of_single_bands_count_where_the_scene_has_several(tmp_path):
    values = np.concatenate([counts(), counts()[:1]])
    scene = write_raster(tmp_path / "s.tif", values, names=(*NAMES, "ST_B10"), nodata=0)
    with rasterio.open(scene, "r+") as dataset:
        dataset.scales, dataset.offsets = (*[1e-4] * 6, 0.003), (*[-0.1] * 6, 149)
    found, _, remarks = derived({"scene": scene, "indices": "NDVI,SAVI"}, tmp_path / "out")
    np.testing.assert_allclose(found["NDVI"], EXPECTED["NDVI"], rtol=1e-6)
    np.testing.assert_allclose(found["SAVI"], EXPECTED["SAVI"], rtol=1e-6)
    assert not remarks


def test_nodata_of_one_band_makes_only_what_uses_it_nodata(tmp_path):
    values = counts()
    values[4, 1, 2] = 0
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **UNITS)
    found, *_ = derived({"scene": scene, "indices": "NDVI,NDMI"}, tmp_path / "out")
    assert not np.isnan(found["NDVI"]).any()
    assert np.argwhere(np.isnan(found["NDMI"])).tolist() == [[1, 2]]
    assert np.argwhere(np.isnan(found["B11"])).tolist() == [[1, 2]]


def test_dark_pixels_below_zero_stay_within_bounds(tmp_path):
    values = counts()
    values[3, 0, 0], values[2, 0, 0] = 990, 1010
    values[2:4, 0, 1] = 950
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **UNITS)
    ndvi = derived({"scene": scene, "indices": "NDVI"}, tmp_path / "out")[0]["NDVI"]
    assert ndvi[0, 0] == pytest.approx((0.0001 - 0.001) / 0.0011)
    assert ndvi[0, 1] == 0


def test_each_date_of_a_stack_has_its_own(tmp_path):
    names = [f"2023-0{m}-01:{band}" for m in (4, 8) for band in ("B04", "B08")]
    values = np.concatenate([counts()[2:4], counts()[[3, 2]]])
    scene = write_raster(tmp_path / "s.tif", values, names=names, nodata=0, **UNITS)
    found, *_ = derived({"scene": scene, "indices": "NDVI"}, tmp_path / "out")
    np.testing.assert_allclose(found["2023-04-01:NDVI"], EXPECTED["NDVI"], rtol=1e-6)
    np.testing.assert_allclose(found["2023-08-01:NDVI"], -EXPECTED["NDVI"], rtol=1e-6)


def test_unknown_units_are_said_or_refused(tmp_path):
    scene = write_raster(tmp_path / "s.tif", counts(), names=NAMES, nodata=0)
    _, _, remarks = derived({"scene": scene, "indices": "NDVI"}, tmp_path / "out")
    assert any("does not say its units" in sentence for sentence in remarks)
    with pytest.raises(InputError, match="EVI2 needs reflectance"):
        derive_bands(scene, "EVI2", workdir=tmp_path)


def test_scale_without_offset_is_said(tmp_path):
    scene = write_raster(tmp_path / "s.tif", counts(), names=NAMES, nodata=0, SCALE="1e-4")
    _, _, remarks = derived({"scene": scene, "indices": "NDVI"}, tmp_path / "out")
    assert any("no offset" in sentence for sentence in remarks)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"indices": "NDVI,__import__('os')"}, "needs one or more of NDVI"),
        ({"indices": "NDVI2"}, "needs one or more of NDVI"),
        ({}, "nothing is to be derived"),
        ({"windows": "4"}, "needs odd numbers"),
        ({"windows": "3,B99=5"}, "names the band B99"),
        ({"windows": "3x3"}, "needs odd numbers"),
    ],
)
def test_what_is_not_on_the_list_is_refused(inputs, words, scene, tmp_path):
    with pytest.raises(InputError, match=words):
        derive_bands(scene, workdir=tmp_path, **inputs)


def test_missing_band_is_named_with_a_remedy(tmp_path):
    scene = write_raster(
        tmp_path / "s.tif", counts()[2:4], names=("one", "two"), nodata=0, **UNITS
    )
    with pytest.raises(InputError, match="NDVI needs nir and red, which"):
        derive_bands(scene, "NDVI", workdir=tmp_path)
    found, *_ = derived({"scene": scene, "indices": "NDVI", "bands": "red=one,nir=two"},
                        tmp_path / "out")  # fmt: skip
    np.testing.assert_allclose(found["NDVI"], EXPECTED["NDVI"], rtol=1e-6)


def test_name_that_is_there_already_is_refused(scene, tmp_path):
    derived({"scene": scene, "indices": "NDVI"}, tmp_path / "out")
    with pytest.raises(InputError, match="NDVI would stand twice"):
        derive_bands(tmp_path / "out/scene.tif", "NDVI", workdir=tmp_path)


@pytest.mark.parametrize("size", [(9, 11), (530, 20)])
def test_windows_count_what_is_valid_inside(size, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 60_000, (1, *size)).astype(np.uint16)
    values[rng.random(values.shape) < 0.2] = 0
    scene = write_raster(tmp_path / "s.tif", values, names=["B04"], nodata=0)
    found, *_ = derived({"scene": scene, "windows": "3,7"}, tmp_path / "out")
    known = np.where(values[0] == 0, np.nan, values[0].astype(float))
    for side in (3, 7):
        with np.errstate(all="ignore"):
            around = {"mean": np.nanmean, "std": np.nanstd}
            for name, rule in around.items():
                expected = np.full(size, np.nan)
                there = ~np.isnan(known)
                all_of = generic_filter(
                    np.where(there, known, np.nan), rule, side, mode="constant", cval=np.nan
                ) if size[0] < 100 else _by_hand(known, rule, side)  # fmt: skip
                expected[there] = all_of[there]
                np.testing.assert_allclose(
                    found[f"B04_{name}{side}"], expected, rtol=1e-5, atol=0.01
                )


def _by_hand(known, rule, side):
    reach = side // 2
    grown = np.pad(known, reach, constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(grown, (side, side))
    flat = views.reshape(*known.shape, -1)
    return np.array([[rule(p) if not np.isnan(p).all() else np.nan for p in row] for row in flat])


def plane(east, north, height=40, width=30, pixel=10.0):
    """Return heights that rise by so many metres for each metre to the east and to the north."""
    rows, columns = np.mgrid[:height, :width]
    return (100 + east * pixel * columns - north * pixel * rows).astype(np.float32)


@pytest.mark.parametrize(
    ("east", "north", "aspect"),
    [(0.5, 0, 270), (-0.5, 0, 90), (0, 0.2, 180), (0, -0.2, 0), (0.3, 0.3, 225), (0, 0, -1)],
)
def test_terrain_of_a_plane(east, north, aspect, tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 40, 30), np.uint8), names=["B04"])
    heights = write_raster(tmp_path / "dem.tif", plane(east, north))
    found, _, remarks = derived({"scene": scene, "elevation": heights}, tmp_path / "out")
    inside = (slice(1, -1), slice(1, -1))
    slope = np.degrees(np.arctan(np.hypot(east, north)))
    np.testing.assert_allclose(found["slope"][inside], slope, rtol=1e-4)
    np.testing.assert_allclose(found["aspect"][inside], aspect, atol=0.01)
    facing = np.radians(315 - (aspect if aspect >= 0 else 0))
    light = np.cos(np.pi / 4) * (
        np.cos(np.radians(slope)) + np.sin(np.radians(slope)) * np.cos(facing)
    )
    np.testing.assert_allclose(
        found["hillshade"][inside], 255 * max(light, 0), rtol=1e-4, atol=1e-3
    )
    assert np.isnan(found["slope"][0]).all()
    assert np.isnan(found["slope"][:, -1]).all()
    assert any("no height beside a pixel" in sentence for sentence in remarks)


def test_slope_of_a_rough_ground_is_horns(tmp_path):
    rng = np.random.default_rng(3)
    heights = rng.normal(500, 20, (30, 25)).astype(np.float32)
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 30, 25), np.uint8), names=["B04"])
    dem = write_raster(tmp_path / "dem.tif", heights)
    slope = derived({"scene": scene, "elevation": dem}, tmp_path / "out")[0]["slope"]
    (a, b, c), (d, _, f), (g, h, i) = heights[4:7, 9:12].astype(float)
    dx = ((c + 2 * f + i) - (a + 2 * d + g)) / 80
    dy = ((g + 2 * h + i) - (a + 2 * b + c)) / 80
    assert slope[5, 10] == pytest.approx(np.degrees(np.arctan(np.hypot(dx, dy))), rel=1e-5)


def test_heights_that_reach_further_lose_no_edge(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 40, 30), np.uint8), names=["B04"])
    around = TRANSFORM @ Affine.translation(-5, -5)
    dem = write_raster(tmp_path / "dem.tif", plane(0.5, 0, 50, 40), transform=around)
    found, _, remarks = derived({"scene": scene, "elevation": dem}, tmp_path / "out")
    np.testing.assert_allclose(found["slope"], np.degrees(np.arctan(0.5)), rtol=1e-4)
    assert not remarks


def test_coarser_heights_are_interpolated_and_said(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 40, 30), np.uint8), names=["B04"])
    coarse = TRANSFORM @ Affine.translation(-9, -9) @ Affine.scale(3)
    dem = write_raster(tmp_path / "dem.tif", plane(0.5, 0.2, 22, 20, 30.0), transform=coarse)
    found, _, remarks = derived({"scene": scene, "elevation": dem}, tmp_path / "out")
    np.testing.assert_allclose(
        found["slope"], np.degrees(np.arctan(np.hypot(0.5, 0.2))), rtol=0.01
    )
    assert any("by linear interpolation" in sentence for sentence in remarks)


def test_degrees_are_metres_of_their_latitude(tmp_path):
    transform = Affine(1e-4, 0, 107, 0, -1e-4, 60)
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 20, 20), np.uint8), names=["B04"],
                         crs="EPSG:4326", transform=transform)  # fmt: skip
    rise = np.mgrid[:20, :20][1].astype(np.float32)  # 1 m for each pixel to the east
    dem = write_raster(tmp_path / "dem.tif", rise, crs="EPSG:4326", transform=transform)
    slope = derived({"scene": scene, "elevation": dem}, tmp_path / "out")[0]["slope"]
    metres = 55_800.24e-4  # of 0.0001 degrees of longitude at 60 degrees north on WGS 84
    assert slope[5, 5] == pytest.approx(np.degrees(np.arctan(1 / metres)), rel=1e-3)


def test_projection_that_stretches_is_refused():
    mercator = Grid(CRS.from_epsg(3857), Affine(10, 0, 1_400_000, 0, -10, 6_800_000), 100, 100)
    with pytest.raises(InputError, match="from true metres here"):
        metres_per_pixel(mercator)


def test_feet_are_metres_in_the_end():
    feet = Grid(CRS.from_epsg(2264), Affine(30, 0, 2_000_000, 0, -30, 700_000), 10, 10)
    width, height = metres_per_pixel(feet)
    np.testing.assert_allclose([width[0], height[0]], 30 * 0.3048006, rtol=1e-6)


def test_heights_in_feet_are_refused(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((1, 40, 30), np.uint8), names=["B04"])
    dem = write_raster(tmp_path / "dem.tif", plane(0.5, 0))
    with rasterio.open(dem, "r+") as dataset:
        dataset.units = ["ft"]
    with pytest.raises(InputError, match="heights in ft"):
        derive_bands(scene, elevation=dem, workdir=tmp_path)


def test_interrupted_run_goes_on_and_gives_the_same_file(tmp_path):
    values = np.random.default_rng(0).integers(1, 9000, (2, 600, 1100)).astype(np.uint16)
    scene = write_raster(tmp_path / "s.tif", values, names=("B04", "B08"), nodata=0, **UNITS)
    (tmp_path / "whole").mkdir()
    (tmp_path / "again").mkdir()
    given = {"indices": "NDVI", "windows": "B08=5"}
    expected = derive_bands(scene, **given, workdir=tmp_path / "whole").scene.read_bytes()

    def stop(share, sentence):
        if share > 0.3:
            raise Stopped("on purpose")

    with pytest.raises(Stopped), progress_to(stop):
        derive_bands(scene, **given, workdir=tmp_path / "again")
    found = derive_bands(scene, **given, workdir=tmp_path / "again").scene.read_bytes()
    assert found == expected


def test_several_units_stay_with_their_bands(tmp_path):
    values = np.concatenate([counts(), counts()[:1]])
    scene = write_raster(tmp_path / "s.tif", values, names=(*NAMES, "ST_B10"), nodata=0)
    with rasterio.open(scene, "r+") as dataset:
        dataset.scales, dataset.offsets = (*[1e-4] * 6, 0.003), (*[-0.1] * 6, 149)
    derived({"scene": scene, "indices": "NDVI", "windows": "ST_B10=3"}, tmp_path / "out")
    with rasterio.open(tmp_path / "out/scene.tif") as dataset:
        names = dataset.descriptions
        units = dict(zip(names, zip(dataset.scales, dataset.offsets, strict=True), strict=True))
    assert units["B02"] == (1e-4, -0.1)
    assert units["ST_B10"] == units["ST_B10_mean3"] == (0.003, 149)
    assert units["ST_B10_std3"] == (0.003, 0)
    assert units["NDVI"] == (1, 0)


def test_names_of_derived_bands_are_those_that_are_known_below():
    assert set(INDICES) == derived_names.INDICES
    assert set(TERRAIN) == derived_names.TERRAIN
