"""Hostile and odd input: rasters."""

import json
import os
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import Point

from tests.landcover.hostile.desk import (
    ROTATED,
    a_map,
    a_reference,
    a_scene,
    fresh_desk,
    numbered,
    patched_tag,
    pixel_polygon,
    some_labels,
)
from tests.scenes import CRS, ORIGIN, TRANSFORM, pixels, write_labels


def tiff_bytes(values, **options):
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=values.shape[0], height=values.shape[1], width=values.shape[2],
            dtype=values.dtype, crs=CRS, transform=TRANSFORM, **options,
        ) as dataset:  # fmt: skip
            dataset.write(values)
        return bytes(memory.getbuffer())


WHOLE = [
    tiff_bytes(numbered()),
    tiff_bytes(numbered(), compress="deflate", tiled=True, blockxsize=16, blockysize=16),
    tiff_bytes(numbered(), compress="lzw", BIGTIFF="YES", interleave="band"),
]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.floats(0, 1, exclude_max=True))
def test_a_scene_cut_short_is_refused_or_gives_the_right_values(whole, share):
    with fresh_desk() as desk:
        scene = desk.inputs / "scene.tif"
        scene.write_bytes(whole[: int(len(whole) * share)])
        if desk.does_or_refuses("extract-samples", scene=scene, labels=some_labels(desk)):
            np.testing.assert_array_equal(
                desk.samples("a")[:, :, 0, 0].T, numbered().reshape(2, 256)
            )


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(WHOLE),
    st.dictionaries(st.integers(0, 420), st.integers(1, 255), min_size=1, max_size=3),
)
def test_a_scene_with_flipped_bytes_is_read_or_refused_in_one_sentence(whole, flips):
    with fresh_desk() as desk:
        spoilt = bytearray(whole)
        for at, flip in flips.items():
            spoilt[at] ^= flip
        scene = desk.inputs / "scene.tif"
        scene.write_bytes(spoilt)
        desk.does_or_refuses("extract-samples", scene=scene, labels=some_labels(desk))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0, 1, exclude_max=True))
def test_a_map_cut_short_is_refused_or_counted_rightly(share):
    with fresh_desk() as desk:
        whole = a_map(desk).read_bytes()
        cut = desk.inputs / "cut.tif"
        cut.write_bytes(whole[: int(len(whole) * share)])
        done = desk.does_or_refuses("assess-quality", map=cut, reference=a_reference(desk))
        assert done is None or (done["labelled"], done["accuracy"]) == (16, 1.0)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(277, 0), (256, 0), (257, 0), (258, 0), (258, 63), (259, 9999), (339, 9), (277, 60000)],
)
def test_a_header_without_sense_is_refused_in_one_sentence(desk, tag, value):
    scene = desk.inputs / "scene.tif"
    scene.write_bytes(patched_tag(WHOLE[0], tag, value))
    desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\0" * 4096, b"II*\0\x08\0\0\0\0\0"])
def test_a_scene_that_is_none_is_refused(desk, content):
    scene = desk.inputs / "scene.tif"
    scene.write_bytes(content)
    desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))
    desk.refuses("extract-samples", scene=a_scene(desk, name="good.tif"), labels=scene)
    desk.refuses("assess-quality", map=scene, reference=a_reference(desk))


def test_paths_that_are_no_files_are_refused(desk):
    labels, scene = some_labels(desk), a_scene(desk)
    for path in (desk.inputs, desk.root / "absent", desk.inputs / "scene.tif/x"):
        desk.refuses("extract-samples", scene=path, labels=labels)
        desk.refuses("extract-samples", scene=scene, labels=path)
        desk.refuses("balance-samples", samples=path)
        desk.refuses("assess-quality", map=path, reference=labels)


def test_a_pipe_instead_of_a_file_does_not_wait_for_a_writer(desk):
    os.mkfifo(desk.inputs / "pipe")
    done = subprocess.run(
        [sys.executable, "-m", "landcover", "extract-samples", "--scene", str(a_scene(desk)),
         "--labels", str(desk.inputs / "pipe"), "--workdir", str(desk.out)],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("landcover: ")


def test_a_scene_of_one_pixel_gives_one_sample(desk):
    scene = a_scene(desk, np.array([[[7]], [[9]]], np.uint8))
    assert desk.does("extract-samples", scene=scene, labels=some_labels(desk))["total"] == 1
    assert desk.samples("a").tolist() == [[[[7]], [[9]]]]
    balanced = desk.does("balance-samples", samples=desk.out / "samples")
    assert (balanced["before"], balanced["after"]) == (1, 1)


def test_a_map_of_one_pixel_is_assessed(desk):
    mapped = a_map(desk, np.ones((1, 1), np.uint8))
    result = desk.does("assess-quality", map=mapped, reference=a_reference(desk))
    assert (result["accuracy"], result["kappa"], result["labelled"]) == (1.0, None, 1)


@pytest.mark.parametrize(
    ("value", "dtype", "nodata"),
    [(0, "uint8", 0), (np.nan, "float32", None), (np.inf, "float64", None),
     (-9999, "int16", -9999), (np.nan, "float64", np.nan)],
)  # fmt: skip
def test_a_scene_without_a_valid_pixel_is_refused(desk, value, dtype, nodata):
    scene = a_scene(desk, np.full((2, 16, 16), value, dtype), nodata=nodata)
    said = desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))
    assert "nodata" in said


def test_nan_and_infinity_in_any_band_are_never_a_sample(desk):
    values = numbered("float32")
    values[0, 3, 4], values[1, 5, 6], values[1, 7, 8] = np.nan, np.inf, -np.inf
    labels = some_labels(desk)
    assert desk.does("extract-samples", scene=a_scene(desk, values), labels=labels)["total"] == 253
    kept = values[:, np.isfinite(values).all(axis=0)]
    np.testing.assert_array_equal(desk.samples("a")[:, :, 0, 0].T, kept)
    balanced = desk.does("balance-samples", samples=desk.out / "samples")
    assert balanced["before"] == 253


@pytest.mark.parametrize(
    "dtype",
    ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32",
     "float64"],
)  # fmt: skip
def test_every_dtype_keeps_its_extreme_values(desk, dtype):
    kind = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    values = np.array([[[kind.min, kind.max], [1, 0]]], dtype)
    labels = some_labels(desk)
    assert desk.does("extract-samples", scene=a_scene(desk, values), labels=labels)["total"] == 4
    found = desk.samples("a")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.ravel(), values.ravel())
    if dtype == "float64":
        assert "too large" in desk.refuses("balance-samples", samples=desk.out / "samples")
    else:
        balanced = desk.does("balance-samples", samples=desk.out / "samples")
        assert (balanced["before"], balanced["after"]) == (4, 4)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_numbers_are_refused(desk, dtype):
    path = desk.inputs / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=16, height=16, count=1, dtype=dtype, crs=CRS,
        transform=TRANSFORM,
    ) as dataset:  # fmt: skip
        dataset.write(np.full((1, 16, 16), 1 + 2j, np.complex64))
    said = desk.refuses("extract-samples", scene=path, labels=some_labels(desk))
    assert "scene.tif" in said
    assert "complex" in said
    desk.refuses("assess-quality", map=path, reference=a_reference(desk))
    desk.refuses("extract-samples", scene=a_scene(desk, name="good.tif"), labels=path)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int8", -128), ("uint8", 255), ("int16", -9999), ("uint32", 2**32 - 1),
     ("float32", float(np.finfo("float32").min)), ("float32", np.float32(0.1).item()),
     ("float64", -1e300)],
)  # fmt: skip
def test_nodata_of_every_dtype_reaches_the_balancing(desk, dtype, nodata):
    values = numbered(dtype, bands=1, side=9) % 50 + 1
    values[0, 3:6, 3] = nodata  # the edge of the middle chip
    labels = some_labels(desk)
    scene = a_scene(desk, values, nodata=nodata)
    assert desk.does("extract-samples", scene=scene, labels=labels, chip_size=3)["total"] == 9
    assert json.loads((desk.out / "samples/samples.json").read_text())["nodata"] == nodata
    balanced = desk.does("balance-samples", samples=desk.out / "samples", clusters=2)
    # spectra are alike but for the nodata: no chip is far from the others
    assert balanced["before"] == 9
    scene = a_scene(desk, np.where(values == nodata, values.dtype.type(1), values), "plain.tif")
    plain = desk.does("extract-samples", scene=scene, labels=labels)
    assert plain["total"] == 81


def test_a_rotated_scene_gives_the_pixels_under_polygons_and_points(desk):
    values = numbered()
    scene = a_scene(desk, values, transform=ROTATED)
    labels = write_labels(
        desk.inputs / "labels.gpkg",
        [("a", pixel_polygon(ROTATED, 3, 5, 4, 2)), ("b", pixel_polygon(ROTATED, 10, 0, 1, 16))],
    )
    if desk.does_or_refuses("extract-samples", scene=scene, labels=labels):
        found = desk.samples("a")[:, :, 0, 0].T
        np.testing.assert_array_equal(found, values[:, 3:7, 5:7].reshape(2, 8))
        np.testing.assert_array_equal(desk.samples("b")[:, :, 0, 0].T, values[:, 10])
    at = [(2, 3), (15, 15), (0, 9)]
    points = [("p", Point(ROTATED @ (column + 0.6, row + 0.3))) for row, column in at]
    labels = write_labels(desk.inputs / "points.geojson", points, crs="EPSG:4326")
    if desk.does_or_refuses("extract-samples", scene=scene, labels=labels):
        found = {tuple(sample) for sample in desk.samples("p")[:, :, 0, 0].tolist()}
        assert found == {tuple(values[:, row, column].tolist()) for row, column in at}


def test_a_rotated_map_is_compared_pixel_by_pixel(desk):
    codes = np.ones((16, 16), np.uint8)
    codes[:, 8:] = 2
    mapped = a_map(desk, codes, transform=ROTATED)
    shapes = [("forest", pixel_polygon(ROTATED, 0, 0, 5, 10))]
    reference = write_labels(desk.inputs / "reference.gpkg", shapes)
    result = desk.does_or_refuses("assess-quality", map=mapped, reference=reference)
    assert result is None or (result["labelled"], result["accuracy"]) == (50, 0.8)
    same = a_map(desk, codes, "same.tif", transform=ROTATED)
    result = desk.does_or_refuses("assess-quality", map=mapped, reference=same)
    assert result is None or (result["labelled"], result["accuracy"]) == (256, 1.0)


def test_a_rotated_label_raster_is_brought_to_an_upright_scene(desk):
    quarter = TRANSFORM @ Affine.translation(16, 0) @ Affine.rotation(90)
    codes = np.zeros((16, 16), np.uint8)
    codes[2, 3] = 1  # upright: 2 from the right, 3 from the top
    labels = a_map(desk, codes, "labels.tif", transform=quarter)
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        found = desk.samples("forest")[:, :, 0, 0]
        np.testing.assert_array_equal(found, numbered()[None, :, 3, 13])


def test_the_first_row_of_a_chip_is_the_north_even_if_the_scene_lies_upside_down(desk):
    upright = numbered()
    south_up = TRANSFORM @ Affine.translation(0, 16) @ Affine.scale(1, -1)
    scene = a_scene(desk, upright[:, ::-1], transform=south_up)
    labels = write_labels(desk.inputs / "l.gpkg", [("a", Point(TRANSFORM @ (5.5, 3.5)))])
    if desk.does_or_refuses("extract-samples", scene=scene, labels=labels, chip_size=3):
        np.testing.assert_array_equal(desk.samples("a")[0], upright[:, 2:5, 4:7])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "transform",
    [Affine(0, 0, ORIGIN[0], 0, 0, ORIGIN[1]), Affine(10, 0, np.nan, 0, -10, 5e6),
     Affine(10, 10, 5e5, 10, 10, 5e6), Affine(np.inf, 0, 5e5, 0, -10, 5e6),
     Affine(1e-300, 0, 5e5, 0, -1e-300, 5e6)],
)  # fmt: skip
def test_a_geotransform_without_sense_is_refused(desk, transform):
    scene = a_scene(desk, transform=transform)
    for labels in (some_labels(desk), some_labels(desk, Point(ORIGIN), "points.gpkg")):
        desk.refuses("extract-samples", scene=scene, labels=labels)
    mapped = a_map(desk, transform=transform)
    desk.refuses("assess-quality", map=mapped, reference=a_reference(desk))
    good = a_map(desk, name="good.tif")
    desk.refuses("assess-quality", map=good, reference=mapped)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_without_a_coordinate_system_are_refused(desk):
    labels, bare = some_labels(desk), a_scene(desk, crs=None)
    assert "coordinate system" in desk.refuses("extract-samples", scene=bare, labels=labels)
    mapped = a_map(desk, crs=None)
    said = desk.refuses("assess-quality", map=mapped, reference=a_reference(desk))
    assert "coordinate system" in said
    said = desk.refuses("extract-samples", scene=a_scene(desk, name="s.tif"), labels=mapped)
    assert "coordinate system" in said
    nowhere = a_scene(desk, name="nowhere.tif", crs=None, transform=Affine.identity())
    desk.refuses("extract-samples", scene=nowhere, labels=labels)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_vectors_without_a_coordinate_system_are_refused(desk, suffix):
    path = desk.inputs / f"labels{suffix}"
    geopandas.GeoDataFrame({"class": ["a"]}, geometry=[pixels(0, 0, 3, 3)]).to_file(path)
    said = desk.refuses("extract-samples", scene=a_scene(desk), labels=path)
    assert "coordinate system" in said


LOCAL = 'ENGCRS["here",EDATUM["here"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],UNIT["m",1]]'
LOCAL_1 = 'LOCAL_CS["here",UNIT["metre",1]]'


def test_a_scene_in_local_coordinates_meets_labels_of_the_world_in_one_sentence(desk):
    scene = a_scene(desk, crs=LOCAL_1)
    desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))
    desk.refuses("extract-samples", scene=scene, labels=a_map(desk, name="codes.tif"))


@pytest.mark.parametrize(
    "crs", [LOCAL, LOCAL_1, "", "rubbish", "GEOGCS[", "x" * 5000, "http://127.0.0.1:9/"]
)
def test_a_projection_file_without_sense_is_refused(desk, crs):
    labels = some_labels(desk, name="labels.shp")
    labels.with_suffix(".prj").write_text(crs)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
