"""Hostile and odd input: the command does its work rightly or says in one sentence why not."""

import csv
import http.server
import json
import os
import pickle
import re
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import Point, Polygon

from landcover.cli import main
from landcover.legend import Legend
from tests.scenes import CRS, ORIGIN, TRANSFORM, pixels, write_labels, write_raster

CPU_SECONDS = 20.0
PROGRESS = re.compile(r" *\d+% .*")
ROTATED = TRANSFORM @ Affine.rotation(30)
LEGEND = Legend.of(["forest", "town", "water"])


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """A folder of inputs, and one to write to."""

    root: Path

    @property
    def inputs(self):
        return self.root / "in"

    @property
    def out(self):
        return self.root / "out"

    def run(self, operation, **inputs):
        given = {"workdir": self.out} | inputs
        arguments = [operation, *(f"--{name}={value}" for name, value in given.items())]
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), _in_reasonable_time():
            status = main(arguments)
        return Done(status, out.getvalue(), err.getvalue())

    def refuses(self, operation, **inputs):
        """Run it, need exit 2, one sentence and no trace; return the sentence."""
        before = self._files()
        return self._one_sentence(self.run(operation, **inputs), before)

    def does(self, operation, **inputs):
        """Run it, need exit 0, one JSON object and nothing half-written; return the object."""
        return self._one_object(self.run(operation, **inputs))

    def does_or_refuses(self, operation, **inputs):
        """Return the object, or None where one sentence refused."""
        before = self._files()
        done = self.run(operation, **inputs)
        if done.status == 0:
            return self._one_object(done)
        self._one_sentence(done, before)
        return None

    def _one_sentence(self, done, before):
        assert done.status == 2, done
        assert done.out == ""
        *said, sentence = done.err.splitlines()
        assert all(PROGRESS.fullmatch(line) for line in said), done.err
        assert re.fullmatch(r"landcover: \S.*", sentence)
        assert sentence.isprintable()
        assert len(sentence) < 1000, "a sentence, no book"
        assert self._files() == before
        return sentence

    def _one_object(self, done):
        assert done.status == 0, done.err
        assert all(PROGRESS.fullmatch(line) for line in done.err.splitlines()), done.err
        result = json.loads(done.out, parse_constant=pytest.fail)
        assert isinstance(result, dict)
        assert not [path for path in self.out.rglob(".*") if path.is_file()]
        return result

    def _files(self):
        """Everything in both folders, hidden files too; a file with size and time."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            regular = stat.S_ISREG(status.st_mode)
            found[path] = (status.st_size, status.st_mtime_ns) if regular else None
        return found

    def samples(self, name):
        """The container of a class, by its folder."""
        return np.load(self.out / "samples" / name / "samples.npy")

    def counts(self):
        with (self.out / "counts.csv").open(newline="", encoding="utf-8") as file:
            return {row["class"]: int(row["samples"]) for row in csv.DictReader(file)}

    def selection(self):
        with (self.out / "selection.csv").open(newline="", encoding="utf-8") as file:
            return [(row["file"], row["class"]) for row in csv.DictReader(file)]

    def statistics(self):
        return json.loads((self.out / "statistics.json").read_text())


@contextmanager
def _in_reasonable_time():
    """End what takes more than seconds of this processor: a tiny file must not cost hours."""

    def end(signum, frame):
        raise TimeoutError(f"still at work after {CPU_SECONDS} seconds of CPU time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _desk(root):
    desk = Desk(root)
    desk.inputs.mkdir()
    desk.out.mkdir()
    return desk


@contextmanager
def fresh_desk():
    with tempfile.TemporaryDirectory() as root:
        yield _desk(Path(root))


@pytest.fixture(scope="module", autouse=True)
def every_driver():
    """`restrict_process` is for a process of its own; below, one subprocess keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landcover.cli.restrict_process", lambda: None)
        yield


@pytest.fixture
def desk(tmp_path):
    return _desk(tmp_path)


def numbered(dtype="uint16", bands=2, side=16):
    """Every pixel of every band holds another number."""
    return np.arange(1, 1 + bands * side * side).astype(dtype).reshape(bands, side, side)


def a_scene(desk, values=None, name="scene.tif", **how):
    return write_raster(desk.inputs / name, numbered() if values is None else values, **how)


def some_labels(desk, shape=None, name="labels.gpkg", label="a"):
    return write_labels(desk.inputs / name, [(label, shape or pixels(0, 0, 16, 16))])


def write_geojson(path, *features, crs=None):
    """Write (class, geometry) pairs as they are; a geometry is a dict, in degrees by default."""
    listed = [
        {"type": "Feature", "properties": {"class": name}, "geometry": geometry}
        for name, geometry in features
    ]
    collection = {"type": "FeatureCollection", "features": listed}
    path.write_text(json.dumps(collection | ({"crs": crs} if crs else {})))
    return path


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def a_map(desk, codes=None, name="map.tif", tag=None, **how):
    codes = np.ones((16, 16), np.uint8) if codes is None else codes
    tags = {"LANDCOVER_LEGEND": LEGEND.to_tag() if tag is None else tag}
    return write_raster(desk.inputs / name, codes, **({"nodata": 255} | how), **tags)


def a_reference(desk, label="forest"):
    return some_labels(desk, pixels(0, 0, 4, 4), name="reference.gpkg", label=label)


def some_samples(desk, **arrays):
    """Write a samples folder: a class of five good samples, and one per array given."""
    folder = desk.inputs / "samples"
    good = {"good": np.arange(10, dtype=np.float32).reshape(5, 2, 1, 1)}
    for name, array in (good | arrays).items():
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "x.npy", array)
    return folder


def npy_header(text, version=(1, 0)):
    """A .npy header of any text."""
    body = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(body)) + body


def pixel_polygon(transform, row, column, height=1, width=1):
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return Polygon([transform @ (column + x, row + y) for x, y in corners])


# --- rasters ------------------------------------------------------------------------------------


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


def patched_tag(content, tag, value):
    """Set a SHORT or LONG tag of a small little-endian TIFF."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    patched = bytearray(content)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        number, kind = struct.unpack_from("<HH", content, entry)
        if number == tag:
            struct.pack_into({3: "<HH", 4: "<I"}[kind], patched, entry + 8,
                             *((value, 0) if kind == 3 else (value,)))  # fmt: skip
    assert bytes(patched) != content
    return bytes(patched)


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


# --- the antimeridian ---------------------------------------------------------------------------

BEYOND = Affine.translation(179, 1) @ Affine.scale(0.125, -0.125)
"""Degrees, 16 pixels from 179 to 181."""


def test_labels_beyond_the_antimeridian_meet_a_scene_that_crosses_it_in_degrees(desk):
    values = numbered()
    scene = a_scene(desk, values, crs="EPSG:4326", transform=BEYOND)
    labels = write_geojson(
        desk.inputs / "labels.geojson",
        ("east", square(179.25, 0.5, 179.5, 0.75)),
        ("west", square(-179.75, 0.5, -179.5, 0.75)),
        ("far", square(180.5, -0.25, 180.75, 0)),
    )
    desk.does("extract-samples", scene=scene, labels=labels)
    for name, window in (("east", np.s_[:, 2:4, 2:4]), ("west", np.s_[:, 2:4, 10:12]),
                         ("far", np.s_[:, 8:10, 12:14])):  # fmt: skip
        found = desk.samples(name)[:, :, 0, 0].T
        np.testing.assert_array_equal(found, values[window].reshape(2, 4))


@pytest.mark.parametrize("zone", [60, 1])
def test_labels_on_both_sides_of_the_antimeridian_meet_a_scene_in_utm(desk, zone):
    crs = f"EPSG:326{zone:02}"
    to_utm = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_utm.transform(180, 60)
    transform = Affine.translation(round(x) - 800, round(y) + 800) @ Affine.scale(100, -100)
    values = numbered()
    scene = a_scene(desk, values, crs=crs, transform=transform)
    at = {"east": (4, 2), "west": (9, 13)}
    points = []
    for name, (row, column) in at.items():
        east, north = transform @ (column + 0.5, row + 0.5)
        lon, lat = to_utm.transform(east, north, direction="INVERSE")
        points.append((name, {"type": "Point", "coordinates": [lon, lat]}))
    east, west = (points[i][1]["coordinates"][0] for i in range(2))
    assert east > 179.9
    assert west < -179.9
    desk.does(
        "extract-samples", scene=scene, labels=write_geojson(desk.inputs / "l.geojson", *points)
    )
    for name, (row, column) in at.items():
        assert desk.samples(name)[0, :, 0, 0].tolist() == values[:, row, column].tolist()


def test_a_polygon_across_the_antimeridian_meets_a_scene_in_utm(desk):
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = to_utm.transform(180, 60)
    transform = Affine.translation(x - 800, y + 800) @ Affine.scale(100, -100)
    shape = pixel_polygon(transform, 6, 5, 3, 7)
    corners = [to_utm.transform(*xy, direction="INVERSE") for xy in shape.exterior.coords]
    assert min(lon for lon, _ in corners) < -179 < 179 < max(lon for lon, _ in corners)
    rings = {"jumps": corners, "grows": [(lon % 360, lat) for lon, lat in corners]}
    scene = a_scene(desk, crs="EPSG:32660", transform=transform)
    for name, ring in rings.items():
        polygon = {"type": "Polygon", "coordinates": [ring]}
        labels = write_geojson(desk.inputs / f"{name}.geojson", (name, polygon))
        assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 21
        found = desk.samples(name)[:, :, 0, 0].T
        np.testing.assert_array_equal(found, numbered()[:, 6:9, 5:12].reshape(2, 21))


def test_a_label_raster_in_degrees_meets_a_scene_in_utm_on_both_sides(desk):
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = to_utm.transform(180, 0.5)
    transform = Affine.translation(x - 8000, y + 8000) @ Affine.scale(1000, -1000)
    scene = a_scene(desk, crs="EPSG:32660", transform=transform)
    codes = np.ones((16, 16), np.uint8)
    codes[:, 8:] = 2
    labels = a_map(desk, codes, "labels.tif", crs="EPSG:4326", transform=BEYOND)
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    assert desk.counts() == {"forest": 128, "town": 128, "water": 0}


# --- sidecars, and names that are more than a name ----------------------------------------------

AUX = """<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>
<Metadata><MDI key="LANDCOVER_LEGEND">[{"code": 1, "name": "lie"}]</MDI></Metadata>
<PAMRasterBand band="1"><Description>lie</Description><NoDataValue>5</NoDataValue>
</PAMRasterBand></PAMDataset>"""


def add_sidecars(path):
    """Put beside a raster whatever GDAL would believe."""
    path.with_name(f"{path.name}.aux.xml").write_text(AUX)
    path.with_suffix(".aux.xml").write_text(AUX)
    for name in (f"{path.name}.msk", f"{path.name}.ovr"):
        write_raster(path.with_name(name), np.zeros((16, 16), np.uint8))
    for suffix in (".tfw", ".tifw", ".wld"):
        path.with_suffix(suffix).write_text("1\n0\n0\n-1\n0\n0\n")
    vrt = "<VRTDataset rasterXSize='16' rasterYSize='16'></VRTDataset>"
    path.with_name(f"{path.name}.vrt").write_text(vrt)
    path.with_suffix(".rpb").write_text("lie")
    path.with_suffix(".IMD").write_text("lie")


def test_files_beside_a_scene_change_nothing(desk):
    scene, labels = a_scene(desk, names=("B03", "B04")), some_labels(desk)
    add_sidecars(scene)
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    np.testing.assert_array_equal(desk.samples("a")[:, :, 0, 0].T, numbered().reshape(2, 256))
    described = json.loads((desk.out / "samples/samples.json").read_text())
    assert [band["name"] for band in described["bands"]] == ["B03", "B04"]
    assert (described["crs"], described["nodata"]) == (CRS, None)


def test_files_beside_a_map_and_a_label_raster_change_nothing(desk):
    mapped, reference = a_map(desk), a_map(desk, name="reference.tif")
    add_sidecars(mapped)
    add_sidecars(reference)
    result = desk.does("assess-quality", map=mapped, reference=reference)
    assert (result["labelled"], result["accuracy"]) == (256, 1.0)
    assert desk.statistics()["classes"] == ["forest"]
    desk.does("extract-samples", scene=a_scene(desk), labels=reference)
    assert desk.counts() == {"forest": 256, "town": 0, "water": 0}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_world_file_gives_no_place_to_a_scene_without_one(desk):
    scene = a_scene(desk, transform=Affine.identity())
    scene.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500005\n5799995\n")
    desk.refuses("extract-samples", scene=scene, labels=some_labels(desk))


class _Heard(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.heard.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def listener():
    """A server on this machine that remembers who asked it for something."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Heard) as server:
        server.heard = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_name_reaches_no_other_host_and_no_archive(desk, listener):
    labels, scene, mapped = some_labels(desk), a_scene(desk), a_map(desk)
    with zipfile.ZipFile(desk.inputs / "a.zip", "w") as archive:
        archive.write(scene, "scene.tif")
        archive.write(labels, "labels.gpkg")
    names = [
        f"/vsicurl/{listener.url}/x.tif",
        f"{listener.url}/x.tif",
        f"/vsizip/{desk.inputs}/a.zip/scene.tif",
        f"zip://{desk.inputs}/a.zip!scene.tif",
        f"vrt://{scene}",
        f"GTIFF_DIR:1:{scene}",
        f"/vsisubfile/0_{scene.stat().st_size},{scene}",
    ]
    for name in names:
        desk.refuses("extract-samples", scene=name, labels=labels)
        desk.refuses("extract-samples", scene=scene, labels=name)
        desk.refuses("assess-quality", map=name, reference=mapped)
    desk.refuses("extract-samples", scene=scene, labels=f"/vsizip/{desk.inputs}/a.zip/labels.gpkg")
    assert listener.heard == []


@pytest.mark.parametrize("kind", ["link", "url"])
def test_a_coordinate_system_is_not_fetched(desk, listener, kind):
    at = f"{listener.url}/crs"
    crs = {"type": kind, "properties": {"href": at, "url": at, "type": "ogcwkt"}}
    labels = write_geojson(desk.inputs / "l.geojson", ("a", square(105, 52, 106, 53)), crs=crs)
    done = desk.run("extract-samples", scene=a_scene(desk), labels=labels)
    assert listener.heard == []
    assert done.status == 2, done


def test_rasters_and_vectors_that_refer_elsewhere_are_refused(desk, listener):
    scene, labels = a_scene(desk), some_labels(desk)
    raster = (
        "<VRTDataset rasterXSize='16' rasterYSize='16'><SRS>EPSG:32648</SRS><VRTRasterBand "
        f"dataType='UInt16' band='1'><SimpleSource><SourceFilename>{scene}</SourceFilename>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    vector = (
        "<OGRVRTDataSource><OGRVRTLayer name='labels'>"
        f"<SrcDataSource>{labels}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    algorithm = json.dumps(
        {
            "type": "gdal_streamed_alg",
            "command_line": f"gdal vector pipeline ! read {labels} ! write streamed_dataset",
        }
    )
    wms = (
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{listener.url}</ServerUrl></Service></GDAL_WMS>"
    )
    stac = json.dumps({"type": "FeatureCollection", "stac_version": "1.0.0", "features": [
        {"type": "Feature", "geometry": None, "properties": {}, "assets": {
            "x": {"href": f"{listener.url}/x.tif"}}}]})  # fmt: skip
    esri = json.dumps({"geometryType": "esriGeometryPolygon", "fields": [], "features": []})
    for number, content in enumerate((raster, vector, algorithm, wms, stac, esri)):
        for suffix in (".tif", ".geojson", ".gpkg", ".shp"):
            path = desk.inputs / f"evil{number}{suffix}"
            path.write_text(content)
            desk.refuses("extract-samples", scene=path, labels=labels)
            desk.refuses("extract-samples", scene=scene, labels=path)
            desk.refuses("assess-quality", map=path, reference=labels)
            desk.refuses("assess-quality", map=a_map(desk), reference=path)
    assert listener.heard == []


def test_a_job_process_refuses_the_same_in_one_sentence(desk):
    """The one subprocess that keeps `restrict_process`, as every job does."""
    scene, labels = a_scene(desk), some_labels(desk)
    other = some_labels(desk, name="other.geojson")
    (desk.inputs / "evil.geojson").write_text(
        json.dumps(
            {
                "type": "gdal_streamed_alg",
                "command_line": f"gdal vector pipeline ! read {labels} ! write {desk.out}/x.gpkg",
            }
        )
    )
    (desk.inputs / "evil.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
    (desk.inputs / "cut.tif").write_bytes(scene.read_bytes()[:300])
    (desk.inputs / "cut.gpkg").write_bytes(labels.read_bytes()[:20000])
    coarse = write_raster(
        desk.inputs / "coarse.tif",
        np.ones((8, 8), np.uint8),
        transform=TRANSFORM @ Affine.scale(2),
    )
    runs = [
        *([str(scene), str(desk.inputs / name)] for name in ("evil.geojson", "cut.gpkg")),
        *([str(desk.inputs / name), str(labels)] for name in ("evil.tif", "cut.tif")),
        [str(scene), str(coarse)],
        [str(scene), str(labels)],
        [str(scene), str(other)],
    ]
    code = (
        "import json, sys; from landcover.cli import main\n"
        "for scene, labels in json.loads(sys.argv[1]):\n"
        "    status = main(['extract-samples', '--scene', scene, '--labels', labels,"
        " '--workdir', sys.argv[2]])\n"
        "    print('status', status, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs), str(desk.out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert [line for line in lines if line.startswith("status")] == ["status 2"] * 4 + [
        "status 0"
    ] * 3
    sentences = [line for line in lines if not line.startswith("status")]
    assert len(sentences) == 4
    assert all(line.startswith("landcover: ") for line in sentences)
    assert sorted(path.name for path in desk.out.iterdir()) == ["counts.csv", "samples"]
    assert desk.counts() == {"a": 256}


# --- classes and names --------------------------------------------------------------------------


def strips(names):
    """One polygon of one pixel for each name, row by row of a scene 16 wide."""
    return [(name, pixels(*divmod(i, 16), 1, 1)) for i, name in enumerate(names)]


@pytest.mark.parametrize("count", [255, 10_000])
def test_more_than_254_classes_are_refused(desk, count):
    labels = write_labels(desk.inputs / "l.gpkg", strips(f"c{i}" for i in range(count)))
    assert "at most 254" in desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    said = desk.refuses("assess-quality", map=a_map(desk), reference=labels)
    assert "at most 254" in said


def test_254_classes_are_told_apart(desk):
    names = [f"c{i:03}" for i in range(254)]
    labels = write_labels(desk.inputs / "l.gpkg", strips(names))
    assert desk.does("extract-samples", scene=a_scene(desk), labels=labels)["total"] == 254
    assert desk.counts() == dict.fromkeys(names, 1)
    assert desk.samples("c253").ravel().tolist() == [254, 254 + 256]


def test_a_label_raster_of_many_codes_is_refused(desk):
    codes = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    labels = write_raster(desk.inputs / "codes.tif", codes)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    desk.refuses("assess-quality", map=a_map(desk), reference=labels)
    for odd in (np.full((16, 16), -3, np.int16), np.full((16, 16), 1.5, np.float32),
                np.full((16, 16), np.nan, np.float32), np.zeros((16, 16), np.uint8)):  # fmt: skip
        path = write_raster(desk.inputs / "odd.tif", odd)
        desk.refuses("extract-samples", scene=a_scene(desk), labels=path)
        desk.refuses("assess-quality", map=a_map(desk), reference=path)


NAMES = [
    "сосновый лес", "a/b", "../../etc", "..", ".", ".hidden", 'say "no"', "it's", "a\\b", "$x_{$",
    "<b>bold</b>", "{{ 7*7 }}", "50%", "%2E", "a:b*c?", "samples.json", "CON", "-rf", "=1+1",
    "nul\tl", "é", "e\u0301", "ﬁr", "1.0", "0", "255", "class", "٣",
]  # fmt: skip


def test_odd_class_names_come_back_as_they_were(desk):
    labels = write_labels(desk.inputs / "l.gpkg", strips(NAMES))
    assert desk.does("extract-samples", scene=a_scene(desk), labels=labels)["total"] == len(NAMES)
    assert desk.counts() == dict.fromkeys(NAMES, 1)
    folders = [path.name for path in (desk.out / "samples").iterdir() if path.is_dir()]
    assert len(folders) == len(NAMES)
    assert not any(name.startswith(".") for name in folders)
    assert all(path.parent == desk.out for path in desk.out.iterdir())
    desk.does("balance-samples", samples=desk.out / "samples")
    assert sorted(name for _, name in desk.selection()) == sorted(NAMES)


@pytest.mark.parametrize("name", ["$\\frac{$", "$x_{$", "a\\", "<b>", "{x}", "_hidden", "50%"])
def test_odd_class_names_stand_in_the_diagram_of_each_class(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name, "wood", name]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    desk.does("balance-samples", samples=desk.out / "samples", scope="class")
    assert sorted(found for _, found in desk.selection()) == sorted([name, "wood", name])


@pytest.mark.parametrize("name", ["森林", "🌲"])
def test_names_that_the_font_lacks_do_no_harm(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name, "wood"]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    desk.does("balance-samples", samples=desk.out / "samples", scope="class")
    assert sorted(found for _, found in desk.selection()) == sorted([name, "wood"])
    mapped = a_map(desk, np.full((16, 16), 2, np.uint8), tag=Legend.of([name, "wood"]).to_tag())
    desk.does("assess-quality", map=mapped, reference=labels)
    assert desk.statistics()["classes"] == sorted([name, "wood"])


@pytest.mark.parametrize("name", ["x" * 5000, "лес " * 60, "/" * 100])
def test_a_class_name_of_any_length_is_a_class_or_refused(desk, name):
    labels = write_labels(desk.inputs / "l.gpkg", strips([name]))
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts() == {name.strip(): 1}
    desk.does_or_refuses("assess-quality", map=a_map(desk), reference=labels)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred\x1b[0m", "bell\x07", "\u202eback"])
def test_a_class_name_writes_no_second_line_on_the_terminal(desk, name):
    bare = write_geojson(desk.inputs / "bare.geojson", (name, None))
    desk.refuses("extract-samples", scene=a_scene(desk), labels=bare)
    labels = write_labels(desk.inputs / "l.geojson", strips([name]), crs="EPSG:4326")
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts() == {name: 1}
    field = write_labels(desk.inputs / "f.gpkg", strips(["a"]), field=name)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=field)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=field, class_field=f"{name}x")
    desk.refuses("extract-samples", scene=desk.inputs / f"{name}.tif", labels=labels)


def test_names_that_differ_by_space_around_them_are_one_class(desk):
    labels = write_labels(desk.inputs / "l.gpkg", strips([" a", "a", "a\u00a0"]))
    desk.does("extract-samples", scene=a_scene(desk), labels=labels)
    assert desk.counts() == {"a": 3}


def test_half_a_character_in_a_class_name_is_read_or_refused(desk):
    text = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": '
    text += '{"class": "x\\ud800y"}, "geometry": {"type": "Point", "coordinates": [105, 52]}}]}'
    (desk.inputs / "l.geojson").write_text(text)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(ORIGIN[0] + 25, ORIGIN[1] - 25)
    (desk.inputs / "l.geojson").write_text(text.replace("[105, 52]", f"[{lon}, {lat}]"))
    labels = desk.inputs / "l.geojson"
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    (desk.inputs / "b.geojson").write_bytes(
        labels.read_bytes().replace(b"\\ud800", b"\xff\xfe\xc3")
    )
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=desk.inputs / "b.geojson")


@pytest.mark.parametrize(
    "name", ["a scene", "снимок №1", "it's", 'a"b', "-rf", "a%20b", "a:b", "x?y=1", "a#b", "<i>"]
)
def test_files_of_any_name_are_read(desk, name):
    scene = a_scene(desk, name=f"{name}.tif")
    labels = some_labels(desk).rename(desk.inputs / f"{name}.gpkg")
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    described = json.loads((desk.out / "samples/samples.json").read_text())
    assert described["scene"] == f"{name}.tif"
    reference = write_labels(desk.inputs / "r.gpkg", strips(["forest", "town"]))
    reference = reference.rename(desk.inputs / f"{name} r.gpkg")
    mapped = a_map(desk, name=f"{name} map.tif")
    result = desk.does("assess-quality", map=mapped, reference=reference)
    assert (result["labelled"], result["accuracy"]) == (2, 0.5)
    assert "<i>" not in (desk.out / "report.html").read_text()


# --- vectors ------------------------------------------------------------------------------------

NEAR = square(105.0, 52.34, 105.001, 52.3501)


@pytest.mark.parametrize(
    "features",
    [
        [("a", square(1e300, 1e300, 1.1e300, 1.1e300))],
        [("a", square(-1e308, -1e308, 1e308, 1e308))],
        [("a", square(500, 400, 501, 401))],
        [("a", {"type": "Point", "coordinates": [1e309, 0]})],
        [("a", {"type": "Point", "coordinates": [float("nan"), 52]})],
        [("a", {"type": "Point", "coordinates": [float("inf"), 52]})],
        [("a", square(float("nan"), 52, 105, 53))],
        [("a", {"type": "Point", "coordinates": []})],
        [("a", {"type": "Point", "coordinates": [105]})],
        [("a", {"type": "Point", "coordinates": ["x", "y"]})],
        [("a", {"type": "Point", "coordinates": None})],
        [("a", {"type": "Polygon", "coordinates": []})],
        [("a", {"type": "Polygon", "coordinates": [[]]})],
        [("a", {"type": "Polygon", "coordinates": [[[105, 52]]]})],
        [("a", {"type": "Polygon", "coordinates": [[[105, 52], [106, 52]]]})],
        [("a", {"type": "GeometryCollection", "geometries": []})],
        [("a", {"type": "MultiPoint", "coordinates": []})],
        [("a", {"type": "Circle", "coordinates": [105, 52]})],
        [("a", {"type": "LineString", "coordinates": [[105, 52], [106, 53]]})],
        [("a", None)],
        [("a", NEAR), ("b", None)],
        [("a", NEAR), ("b", {"type": "Point", "coordinates": [105, 52]})],
        [("a", NEAR), (None, NEAR)],
        [(None, NEAR)],
        [("", NEAR)],
        [],
    ],
)
def test_features_without_sense_are_refused_in_one_sentence(desk, features):
    labels = write_geojson(desk.inputs / "labels.geojson", *features)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    desk.refuses("assess-quality", map=a_map(desk), reference=labels)


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::999999"}},
        {"type": "name", "properties": {"name": "rubbish"}},
        {"type": "name", "properties": {"name": "x" * 10_000}},
        {"type": "name", "properties": {"name": "/etc/hostname"}},
        {"type": "EPSG", "properties": {"code": 999999}},
    ],
)
def test_an_unknown_coordinate_system_is_refused(desk, crs):
    labels = write_geojson(desk.inputs / "labels.geojson", ("a", NEAR), crs=crs)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": {}}',
        '{"type": "FeatureCollection", "features": [1, null, "x", []]}',
        '{"type": "FeatureCollection", "features": [' + '{"type": "Feature"},' * 100 + "{}]}",
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"type": "Feature", "properties": {"class": "a"}, "geometry": {"type": "Polygon", '
        '"coordinates": ' + "[" * 5000 + "]" * 5000 + "}}",
        '{"type": "Feature", "properties": {"class": ' + "[" * 400 + "]" * 400 + "}, "
        '"geometry": {"type": "Point", "coordinates": [105, 52]}}',
        '{"type": "Topology", "objects": {}, "arcs": []}',
        '\ufeff  \n{"type": "FeatureCollection", "features": [',
        '{"type": "FeatureCollection", "features": []}' + "\0" * 100,
    ],
)
def test_json_without_sense_is_refused_in_one_sentence(desk, text):
    labels = desk.inputs / "labels.geojson"
    labels.write_text(text)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def collections_of(depth):
    inner = NEAR
    for _ in range(depth):
        inner = {"type": "GeometryCollection", "geometries": [inner]}
    return inner


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_collections_in_collections_are_read_or_refused(desk, depth):
    labels = write_geojson(desk.inputs / "l.geojson", ("a", collections_of(depth)))
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_line_in_a_collection_of_polygons_labels_nothing(desk):
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)

    def at(column, row):
        return list(to_degrees.transform(*(TRANSFORM @ (column, row))))

    ring = [at(*corner) for corner in ((0, 0), (3, 0), (3, 3), (0, 3), (0, 0))]
    both = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Polygon", "coordinates": [ring]},
            {"type": "LineString", "coordinates": [at(0, 10.5), at(16, 10.5)]},
        ],
    }
    labels = write_geojson(desk.inputs / "l.geojson", ("a", both))
    result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert result is None or result["total"] == 9


def test_a_polygon_that_crosses_itself_is_read_or_refused(desk):
    bow = Polygon([TRANSFORM @ at for at in ((0, 0), (16, 16), (16, 0), (0, 16))])
    labels = write_labels(desk.inputs / "l.gpkg", [("a", bow)])
    result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert result is None or 100 < result["total"] < 160


def test_a_polygon_with_an_empty_one_beside_it_is_read_or_refused(desk):
    shapes = [("a", pixels(0, 0, 2, 2)), ("b", Polygon())]
    labels = write_labels(desk.inputs / "l.gpkg", shapes)
    if desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels):
        assert desk.counts()["a"] == 4


@pytest.mark.parametrize(
    ("values", "names"),
    [([1, 2], ["1", "2"]), ([1.0, 2.5], ["1", "2.5"]), ([True, False], None)],
)
def test_classes_that_are_numbers_are_names(desk, values, names):
    shapes = [pixels(0, 0, 1, 1), pixels(0, 1, 1, 1)]
    frame = geopandas.GeoDataFrame({"class": values}, geometry=shapes, crs=CRS)
    frame.to_file(desk.inputs / "l.gpkg")
    done = desk.does_or_refuses(
        "extract-samples", scene=a_scene(desk), labels=desk.inputs / "l.gpkg"
    )
    if names is not None:
        assert done
        assert desk.counts() == dict.fromkeys(names, 1)


@pytest.mark.parametrize(
    "field", ["", " ", "absent", "class; DROP TABLE l", '"', "%s", "x" * 5000, "Class", "fid"]
)
def test_a_field_that_is_not_there_is_named_in_one_sentence(desk, field):
    labels = some_labels(desk)
    said = desk.refuses("extract-samples", scene=a_scene(desk), labels=labels, class_field=field)
    assert "field" in said


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([".gpkg", ".fgb", ".shp", ".geojson"]), st.floats(0, 1, exclude_max=True))
def test_vectors_cut_short_are_refused_or_read_to_the_end(suffix, share):
    with fresh_desk() as desk:
        shapes = [("a", pixels(0, 0, 4, 4)), ("a", pixels(8, 8, 4, 4))]
        labels = write_labels(desk.inputs / f"whole{suffix}", shapes)
        whole = labels.read_bytes()
        labels.write_bytes(whole[: int(len(whole) * share)])
        result = desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
        assert result is None or result["total"] == 32


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([".gpkg", ".fgb", ".shp", ".geojson"]),
    st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(1, 255), min_size=1),
)
def test_vectors_with_flipped_bytes_are_read_or_refused_in_one_sentence(suffix, flips):
    with fresh_desk() as desk:
        labels = some_labels(desk, pixels(0, 0, 4, 4), name=f"l{suffix}")
        spoilt = bytearray(labels.read_bytes())
        for share, flip in flips.items():
            spoilt[int(share * len(spoilt))] ^= flip
        labels.write_bytes(spoilt)
        desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_shapefile_without_its_other_parts_is_refused(desk):
    for suffix in (".dbf", ".shx", ".prj"):
        labels = some_labels(desk, name=f"without{suffix[1:]}.shp")
        labels.with_suffix(suffix).unlink()
        desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)


def test_a_geopackage_with_no_layer_of_features_is_refused(desk):
    for number, statement in enumerate(
        [
            "DELETE FROM gpkg_contents",
            "UPDATE gpkg_contents SET data_type = 'attributes'",
            "DELETE FROM gpkg_geometry_columns",
            "DELETE FROM gpkg_spatial_ref_sys",
            "UPDATE gpkg_geometry_columns SET srs_id = 4711",
            "UPDATE gpkg_contents SET table_name = 'absent'",
            "UPDATE gpkg_contents SET table_name = 'x\"; DROP TABLE labels; --'",
        ]
    ):
        labels = some_labels(desk).rename(desk.inputs / f"l{number}.gpkg")
        database = sqlite3.connect(labels)
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(statement)
        database.commit()
        database.close()
        desk.refuses("extract-samples", scene=a_scene(desk), labels=labels)
    plain = sqlite3.connect(desk.inputs / "plain.gpkg")
    plain.execute("CREATE TABLE x (class TEXT)")
    plain.commit()
    plain.close()
    desk.refuses("extract-samples", scene=a_scene(desk), labels=desk.inputs / "plain.gpkg")


def test_a_geopackage_of_several_layers_is_refused_or_read_without_a_guess_unsaid(desk):
    path = desk.inputs / "l.gpkg"
    frame = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[pixels(0, 0, 1, 1)], crs=CRS)
    frame.to_file(path, layer="one")
    frame.to_file(path, layer="two")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=path)


# --- samples folders ----------------------------------------------------------------------------

GOOD = np.ones((4, 2, 1, 1), np.float32)


def raw_samples(desk, content):
    folder = some_samples(desk, odd=GOOD)
    (folder / "odd/x.npy").write_bytes(content)
    return folder


def saved(array, **how):
    file = BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def zipped(array):
    file = BytesIO()
    np.savez(file, array)
    return file.getvalue()


HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x09",
        pickle.dumps([1, 2]),
        saved(np.array([{"a": 1}], object), allow_pickle=True),
        saved(np.empty((4, 2, 1, 1), object), allow_pickle=True),
        zipped(GOOD),
        saved(np.asfortranarray(np.ones((4, 2, 3, 3), np.float32))),
        saved(np.ones((4, 2, 1, 1), bool)),
        saved(np.ones((4, 2, 1, 1), complex)),
        saved(np.full((4, 2, 1, 1), "x")),
        saved(np.zeros((4, 2, 1, 1), "datetime64[s]")),
        saved(np.zeros((4, 2, 1, 1), [("a", "f4"), ("b", "f4")])),
        saved(np.zeros((4, 2, 1, 1), "V4")),
        saved(np.ones(())),
        saved(np.ones((4, 2))),
        saved(np.ones((4, 2, 1, 1, 1))),
        saved(np.ones((4, 3, 1, 1))),
        saved(np.ones((4, 0, 1, 1))),
        saved(np.ones((4, 2, 0, 0))),
        saved(np.full((4, 2, 3, 3), np.nan)),
        saved(GOOD)[:-1],
        saved(GOOD) + b"\0",
        npy_header(HEADER.format("'<f4'", False, (10**15, 2, 1, 1))),
        npy_header(HEADER.format("'<f4'", False, (2**62, 2**62, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, (-4, -2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, (-1, 2, 1, 1))),
        npy_header(HEADER.format("'<f4'", False, "(4.0, 2, 1, 1)")) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, [4, 2, 1, 1])) + bytes(32),
        npy_header(HEADER.format("'<f4'", False, f"({'9' * 5000}, 2, 1, 1)")),
        npy_header(HEADER.format("'O'", False, (4, 2, 1, 1))) + bytes(64),
        npy_header(HEADER.format("'|V99999999999'", False, (4, 2, 1, 1))),
        npy_header(HEADER.format("'rubbish'", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("7", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("[('a', [('b', 'O')])]", False, (4, 2, 1, 1))) + bytes(32),
        npy_header(HEADER.format("'<f4'", "'x'", (4, 2, 1, 1))) + bytes(32),
        npy_header("{}"),
        npy_header("[]"),
        npy_header("1 +"),
        npy_header("{'a': ("),
        npy_header('{"""'),
        npy_header("__import__('os').system('touch evil')"),
        npy_header("(" * 3000 + ")" * 3000),
        npy_header("-" * 9000 + "1"),
        npy_header("{" + "[" * 90 + "]" * 90 + "}"),
        npy_header("x" * 60000),
        npy_header("\xff\0\n"),
    ],
)  # fmt: skip
def test_a_container_that_is_none_is_refused(desk, content):
    folder = raw_samples(desk, content)
    assert "odd" in desk.refuses("balance-samples", samples=folder)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, 127), st.integers(1, 255), min_size=1, max_size=3))
def test_a_container_with_flipped_bytes_is_read_or_refused_in_one_sentence(flips):
    with fresh_desk() as desk:
        spoilt = bytearray(saved(GOOD))
        for at, flip in flips.items():
            spoilt[at] ^= flip
        desk.does_or_refuses("balance-samples", samples=raw_samples(desk, spoilt))


def test_containers_of_another_byte_order_mean_the_same(desk):
    numbers = np.random.default_rng(3).integers(0, 4000, (40, 2, 1, 1))
    kept = []
    for dtype in ("<u2", ">u2"):
        with fresh_desk() as one:
            folder = some_samples(one, a=numbers.astype(dtype))
            one.does("balance-samples", samples=folder, threshold=5)
            kept.append((one.out / "selection.csv").read_bytes())
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "values",
    [np.array([1e300, -1e300, 1e308, 0, 5e-324]), np.array([np.inf, 1, 2, 3, 4]),
     np.full(5, np.finfo("f8").max)],
)  # fmt: skip
def test_numbers_of_any_size_are_balanced_or_refused(desk, values):
    folder = some_samples(desk, odd=values.reshape(5, 1, 1, 1).repeat(2, 1))
    desk.does_or_refuses("balance-samples", samples=folder)


@pytest.mark.parametrize("suffix", [".origin.npy", ".mask.npy"])
@pytest.mark.parametrize(
    "content",
    [b"", b"rubbish", saved(np.ones((1, 1))), saved(np.empty((5, 3), object), allow_pickle=True),
     npy_header(HEADER.format("'<i4'", False, (10**15, 3)))],
)  # fmt: skip
def test_a_companion_that_does_not_do_is_never_trusted(desk, suffix, content):
    folder = some_samples(desk)
    (folder / f"good/x{suffix}").write_bytes(content)
    result = desk.does_or_refuses("balance-samples", samples=folder)  # balancing needs none
    assert result is None or result["before"] == 5


def test_links_out_of_a_samples_folder_are_refused(desk):
    secret = desk.inputs / "secret.npy"
    np.save(secret, GOOD)
    chip = write_raster(desk.inputs / "secret.tif", np.ones((2, 1, 1), np.float32))
    (desk.inputs / "secret.json").write_text('{"version": 1}')
    (desk.inputs / "class").mkdir()
    np.save(desk.inputs / "class/x.npy", GOOD)
    for place, target in (
        ("good/z.npy", secret),
        ("good/z.npy", "../../secret.npy"),
        ("good/z.npy", "/proc/self/environ"),
        ("good/z.tif", chip),
        ("good/z.tif", "../../secret.tif"),
        ("samples.json", desk.inputs / "secret.json"),
        ("good/z.npy", "z.npy"),
    ):
        folder = some_samples(desk)
        (folder / place).symlink_to(target)
        desk.refuses("balance-samples", samples=folder)
        shutil.rmtree(folder)
    folder = some_samples(desk)
    (folder / "linked").symlink_to(desk.inputs / "class", target_is_directory=True)
    result = desk.does_or_refuses("balance-samples", samples=folder)
    assert result is None or result["before"] == 5
    (folder / "samples.json").write_text('{"version": 1, "classes": {"good": 1, "linked": 2}}')
    desk.refuses("balance-samples", samples=folder)


def test_a_dead_link_is_refused(desk):
    for name in ("z.npy", "z.tif"):
        folder = some_samples(desk)
        (folder / "good" / name).symlink_to("absent")
        desk.refuses("balance-samples", samples=folder)
        shutil.rmtree(folder)


def test_a_link_that_stays_in_the_folder_is_read(desk):
    folder = some_samples(desk)
    (folder / "good/y.npy").symlink_to("x.npy")
    assert desk.does("balance-samples", samples=folder)["before"] == 10


@pytest.mark.parametrize("name", ["z.npy", "z.tif", "../samples.json"])
def test_a_pipe_or_a_folder_called_like_a_file_is_refused(desk, name):
    folder = some_samples(desk)
    os.mkfifo(folder / "good" / name)
    desk.refuses("balance-samples", samples=folder)
    (folder / "good" / name).unlink()
    (folder / "good" / name).mkdir()
    desk.refuses("balance-samples", samples=folder)


def test_a_chip_file_that_refers_elsewhere_is_refused(desk):
    chip = write_raster(desk.inputs / "secret.tif", np.ones((2, 1, 1), np.float32))
    folder = some_samples(desk)
    (folder / "good/z.tif").write_text(
        "<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand dataType='Float32' band='1'>"
        f"<SimpleSource><SourceFilename>{chip}</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)
    (folder / "good/z.tif").write_bytes(chip.read_bytes()[:100])
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)
    (folder / "good/z.tif").write_bytes(
        write_raster(desk.inputs / "c.tif", np.ones((2, 1, 1), np.complex64)).read_bytes()
    )
    assert "z.tif" in desk.refuses("balance-samples", samples=folder)


def test_files_beside_a_chip_file_change_nothing(desk):
    folder = some_samples(desk)
    chip = write_raster(folder / "good/z.tif", np.ones((2, 16, 16), np.float32))
    add_sidecars(chip)
    assert desk.does("balance-samples", samples=folder)["before"] == 6


def test_nodata_that_a_chip_cannot_hold_does_no_harm(desk):
    folder = some_samples(desk)
    values = np.array([[[1, 0]], [[2, 2]]], np.uint8)
    write_raster(folder / "good/z.tif", values, nodata=0)
    np.save(folder / "good/y.npy", values[None])
    for nodata in (-9999, 1e40, 0.5):
        (folder / "samples.json").write_text(json.dumps({"version": 1, "nodata": nodata}))
        assert desk.does("balance-samples", samples=folder)["before"] == 7


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_chip_file_may_come_without_a_place(desk):
    folder = some_samples(desk)
    bare = {"crs": None, "transform": Affine.identity()}
    write_raster(folder / "good/z.tif", np.ones((2, 1, 1), np.float32), **bare)
    assert desk.does("balance-samples", samples=folder)["before"] == 6


DESCRIBED = {
    "version": 1,
    "legend": [{"code": 1, "name": "good", "color": "#332288"}],
    "classes": {"good": 1},
    "bands": [{"name": "b1", "wavelength": None}, {"name": "b2", "wavelength": 560}],
    "nodata": None,
    "chip_size": 1,
}


def test_a_description_that_does_is_believed(desk):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED))
    assert desk.does("balance-samples", samples=folder)["before"] == 5


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": "1"}, {"version": None},
        {"classes": []}, {"classes": ["good"]}, {"classes": "good"}, {"classes": None},
        {"classes": {"good": 0}}, {"classes": {"good": 255}}, {"classes": {"good": -1}},
        {"classes": {"good": True}}, {"classes": {"good": "one"}}, {"classes": {"good": 1.5}},
        {"classes": {"good": None}}, {"classes": {"good": [1]}}, {"classes": {"good": 10**400}},
        {"classes": {"good": float("inf")}}, {"classes": {"good": float("nan")}},
        {"classes": {"absent": 1}}, {"classes": {"../good": 1}}, {"classes": {"": 1}},
        {"classes": {"good": 2}}, {"classes": {}},
        {"legend": {}}, {"legend": 5}, {"legend": "good"}, {"legend": [1]}, {"legend": [[]]},
        {"legend": [{}]}, {"legend": [{"code": 1}]}, {"legend": [{"name": "good"}]},
        {"legend": [{"code": 1, "name": None}]}, {"legend": [{"code": 1, "name": ""}]},
        {"legend": [{"code": 1, "name": ["a"]}]}, {"legend": [{"code": 1, "name": {}}]},
        {"legend": [{"code": 0, "name": "good"}]}, {"legend": [{"code": 255, "name": "good"}]},
        {"legend": [{"code": True, "name": "good"}]}, {"legend": [{"code": 1.9, "name": "good"}]},
        {"legend": [{"code": None, "name": "good"}]}, {"legend": [{"code": "x", "name": "good"}]},
        {"legend": [{"code": float("inf"), "name": "good"}]},
        {"legend": [{"code": float("nan"), "name": "good"}]},
        {"legend": [{"code": 1, "name": "good"}] * 2},
        {"legend": [{"code": 1, "name": "good"}, {"code": 2, "name": " good "}]},
        {"legend": [{"code": 1, "name": "good", "color": "red"}]},
        {"legend": [{"code": 1, "name": "good", "color": "#12345\n"}]},
        {"legend": [{"code": 1, "name": "good", "color": ["#332288"]}]},
        {"legend": [{"code": i, "name": f"c{i}"} for i in range(1, 301)]},
        {"bands": 5}, {"bands": "b1"}, {"bands": [1, 2]}, {"bands": [{}, {}]}, {"bands": []},
        {"bands": [{"name": "b1"}]}, {"bands": {"name": "b1"}},
        {"bands": [{"name": "b1", "wavelength": "x"}, {"name": "b2"}]},
        {"bands": [{"name": "b1", "wavelength": []}, {"name": "b2"}]},
        {"bands": [{"name": None}, {"name": "b2"}]},
        {"chip_size": "x"}, {"chip_size": None}, {"chip_size": -1}, {"chip_size": 1.5},
        {"chip_size": [1]}, {"chip_size": float("inf")}, {"chip_size": float("nan")},
        {"chip_size": 10**400},
        {"nodata": "abc"}, {"nodata": "0"}, {"nodata": [0]}, {"nodata": {}}, {"nodata": True},
        {"nodata": 10**400},
    ],
    ids=lambda change: json.dumps(change)[:50],
)  # fmt: skip
def test_a_description_without_sense_is_refused(desk, change):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED | change))
    desk.refuses("balance-samples", samples=folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe\xfa", b"\x00" * 50,
     b"[" * 100_000, b'{"version": 1, "x": ' + b"[" * 100_000,
     b'{"version": ' + b"9" * 9999 + b"}",
     b'{"version": 1, "classes": ' + b'{"good": ' * 5000 + b"1" + b"}" * 5001],
)  # fmt: skip
def test_a_description_that_is_no_object_is_refused(desk, content):
    folder = some_samples(desk)
    (folder / "samples.json").write_bytes(content)
    assert "samples.json" in desk.refuses("balance-samples", samples=folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(set(DESCRIBED) | {"scene", "crs", "dtype"})), json_values)
def test_any_value_in_a_description_is_read_or_refused_in_one_sentence(key, value):
    with fresh_desk() as desk:
        folder = some_samples(desk)
        (folder / "samples.json").write_text(json.dumps(DESCRIBED | {key: value}))
        result = desk.does_or_refuses("balance-samples", samples=folder)
        assert result is None or result["before"] == 5


def test_nan_as_the_nodata_of_a_description_means_none(desk):
    folder = some_samples(desk)
    (folder / "samples.json").write_text(json.dumps(DESCRIBED | {"nodata": float("nan")}))
    assert desk.does("balance-samples", samples=folder)["before"] == 5


def test_a_folder_of_very_many_classes_is_refused(desk):
    folder = desk.inputs / "samples"
    for number in range(300):
        (folder / f"c{number}").mkdir(parents=True)
    np.save(folder / "c7/x.npy", GOOD)
    assert "254" in desk.refuses("balance-samples", samples=folder)


@pytest.mark.parametrize("content", [{}, {"good": np.ones((0, 2, 1, 1))}])
def test_a_folder_without_a_sample_is_refused(desk, content):
    folder = some_samples(desk)
    shutil.rmtree(folder / "good")
    for name, array in content.items():
        (folder / name).mkdir()
        np.save(folder / name / "x.npy", array)
    assert "no sample" in desk.refuses("balance-samples", samples=folder)


# --- maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "no JSON", "[1, 2]", "1", '"x"', '""', "{}", "null", "true", "[[]]", "[null]", "[{}]", "[",
        '[{"code": 1}]', '[{"code": 1, "name": null}]', '[{"code": 1, "name": ""}]',
        '[{"code": 1, "name": "a"}, {"code": 1, "name": "b"}]',
        '[{"code": 1, "name": "a"}, {"code": 1, "name": "a"}]',
        '[{"code": 1, "name": "a"}, {"code": 2, "name": "a "}]',
        '[{"code": 0, "name": "a"}]', '[{"code": 255, "name": "a"}]',
        '[{"code": -1, "name": "a"}]',
        '[{"code": true, "name": "a"}]', '[{"code": 1.5, "name": "a"}]',
        '[{"code": Infinity, "name": "a"}]', '[{"code": NaN, "name": "a"}]',
        '[{"code": 1e400, "name": "a"}]', '[{"code": ' + "9" * 5000 + ', "name": "a"}]',
        '[{"code": 1, "name": ["a"]}]', '[{"code": 1, "name": {"a": 1}}]',
        '[{"code": 1, "name": "a", "color": "red; } body { display: none"}]',
        '[{"code": 1, "name": "a", "color": {"a": 1}}]',
        '{"code": 1, "name": "a"}', "[" * 50_000, '[{"code": 1, "name": ' + "[" * 50_000,
    ],
    ids=lambda tag: tag[:45],
)  # fmt: skip
def test_a_map_whose_legend_is_none_is_refused(desk, tag):
    mapped = a_map(desk, tag=tag)
    reference = a_reference(desk, "a")
    desk.refuses("assess-quality", map=mapped, reference=reference)
    desk.refuses("assess-quality", map=a_map(desk, name="good.tif"), reference=mapped)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=mapped)


def test_a_legend_is_text_in_the_report_never_a_page(desk):
    name = "<script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    tag = json.dumps([{"code": 1, "name": name}, {"code": 2, "name": "'\"&"}])
    codes = np.ones((16, 16), np.uint8)
    codes[2:] = 2
    mapped = a_map(desk, codes, tag=tag)
    reference = write_labels(desk.inputs / "r.gpkg", [(name, pixels(0, 0, 16, 16))])
    result = desk.does("assess-quality", map=mapped, reference=reference, design="stratified")
    assert (result["labelled"], result["accuracy"]) == (256, 32 / 256)
    assert desk.statistics()["classes"] == [name, "'\"&"]
    page = (desk.out / "report.html").read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert ">49<" not in page


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int8", "float32", "uint32"])
def test_a_map_of_another_dtype_is_refused(desk, dtype):
    mapped = a_map(desk, np.ones((16, 16), dtype), nodata=None)
    said = desk.refuses("assess-quality", map=mapped, reference=a_reference(desk))
    assert "uint8" in said


def test_a_picture_of_several_bands_is_no_map_and_no_label_raster(desk):
    picture = np.ones((3, 16, 16), np.uint8)
    mapped = a_map(desk, picture)
    said = desk.refuses("assess-quality", map=mapped, reference=a_reference(desk))
    assert "band" in said
    desk.refuses("assess-quality", map=a_map(desk, name="good.tif"), reference=mapped)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=mapped)


def test_a_map_or_a_reference_of_nothing_is_refused(desk):
    nothing = a_map(desk, np.full((16, 16), 255, np.uint8))
    unlabelled = a_map(desk, np.zeros((16, 16), np.uint8), name="zero.tif")
    good = a_map(desk, name="good.tif")
    for mapped, reference in ((nothing, good), (good, nothing), (unlabelled, good),
                              (good, unlabelled)):  # fmt: skip
        desk.refuses("assess-quality", map=mapped, reference=reference)


def test_a_reference_on_the_other_side_of_the_world_is_refused(desk):
    far = a_map(
        desk, name="far.tif", transform=Affine(10, 0, 300_000, 0, -10, 1_000), crs="EPSG:32701"
    )
    desk.refuses("assess-quality", map=a_map(desk), reference=far)
    pole = a_map(desk, name="pole.tif", transform=Affine(10, 0, 0, 0, -10, 0), crs="EPSG:3031")
    desk.refuses("assess-quality", map=a_map(desk), reference=pole)


# --- two maps, and points to be labelled --------------------------------------------------------


@pytest.mark.parametrize("operation", ["compare-maps", "draw-reference-sample"])
def test_what_is_no_map_is_refused_by_every_operation_on_maps(desk, operation):
    good, reference = a_map(desk, name="good.tif"), a_reference(desk)
    no_maps = [
        a_map(desk, np.ones((16, 16), np.uint16), name="wide.tif", nodata=None),
        a_map(desk, np.ones((3, 16, 16), np.uint8), name="picture.tif"),
        a_map(desk, name="tag.tif", tag="[1, 2]"),
        a_map(desk, name="nowhere.tif", crs=None),
        a_map(desk, np.full((16, 16), 255, np.uint8), name="empty.tif"),
        reference,
        desk.inputs / "absent.tif",
    ]
    for no_map in no_maps:
        if operation == "draw-reference-sample":
            desk.refuses(operation, map=no_map)
        else:
            desk.refuses(operation, first=no_map, second=good, reference=reference)
            desk.refuses(operation, first=good, second=no_map, reference=reference)


@pytest.mark.parametrize(
    "counts", ["forest", "=", "forest=", "forest=1e3", "forest=-1", "forest=²", "bog=3", ";;=;",
               "forest=3;bog", "forest==3", "<script>=1"]
)  # fmt: skip
def test_counts_without_sense_are_refused(desk, counts):
    desk.refuses("draw-reference-sample", map=a_map(desk), counts=counts)


def test_more_points_than_pixels_are_all_pixels(desk):
    drawn = desk.does("draw-reference-sample", map=a_map(desk), counts="forest=" + "9" * 30)
    assert drawn["total"] == 256


# --- the folder to write to, and numbers --------------------------------------------------------


@pytest.mark.parametrize("operation", ["extract-samples", "balance-samples", "assess-quality"])
def test_a_folder_to_write_to_that_is_none_is_refused(desk, operation):
    scene, labels = a_scene(desk), some_labels(desk)
    inputs = {
        "extract-samples": {"scene": scene, "labels": labels},
        "balance-samples": {"samples": some_samples(desk)},
        "assess-quality": {"map": a_map(desk), "reference": a_reference(desk)},
    }[operation]
    for workdir in (scene, scene / "below"):
        said = desk.refuses(operation, **inputs, workdir=workdir)
        assert "folder" in said


def test_an_input_in_the_way_of_the_output_survives(desk):
    (desk.out / "samples").mkdir()
    labels = write_labels(desk.out / "samples/labels.gpkg", [("a", pixels(0, 0, 2, 2))])
    before = labels.read_bytes()
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert labels.exists(), "the user's labels were deleted"
    assert labels.read_bytes() == before


def test_a_folder_of_the_user_in_the_way_of_the_output_survives(desk):
    (desk.out / "samples").mkdir()
    notes = desk.out / "samples/notes.txt"
    notes.write_text("my work of a week")
    (desk.out / "counts.csv").mkdir()
    (desk.out / "counts.csv/mine.txt").write_text("mine")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    assert notes.exists(), "a folder that is no samples folder was deleted"
    assert (desk.out / "counts.csv/mine.txt").exists()


@pytest.mark.parametrize("in_the_way", ["file", "link", "dead link"])
def test_something_else_in_the_place_of_the_samples_is_replaced_or_refused(desk, in_the_way):
    target, elsewhere = desk.out / "samples", desk.root / "elsewhere"
    elsewhere.mkdir()
    if in_the_way == "file":
        target.write_text("x")
    else:
        target.symlink_to(elsewhere if in_the_way == "link" else desk.root / "absent")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    assert list(elsewhere.iterdir()) == []


def test_a_failure_leaves_the_samples_of_before(desk):
    desk.does("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    far = some_labels(desk, pixels(500, 500, 2, 2), name="far.gpkg")
    desk.refuses("extract-samples", scene=a_scene(desk), labels=far)
    assert desk.counts() == {"a": 256}


@pytest.mark.parametrize("seed", [-1, 0, 2**31, 2**32, 2**64, 10**30])
def test_any_seed_is_taken_or_refused(desk, seed):
    scene, labels = a_scene(desk), some_labels(desk)
    many = {"max_per_class": 5, "seed": seed}
    result = desk.does_or_refuses("extract-samples", scene=scene, labels=labels, **many)
    assert result is None or result["total"] == 5
    desk.does_or_refuses("balance-samples", samples=some_samples(desk), seed=seed)


@pytest.mark.parametrize(
    "number", ["", " ", "1e3", "1.5", "nan", "inf", "-1", "0x10", "²", "9" * 5000, "one", "1,5"]
)
def test_numbers_that_are_none_are_refused(desk, number):
    scene, labels = a_scene(desk), some_labels(desk)
    desk.refuses("extract-samples", scene=scene, labels=labels, chip_size=number)
    desk.refuses("extract-samples", scene=scene, labels=labels, max_per_class=number)
    folder = some_samples(desk)
    for name in ("clusters", "threshold", "step"):
        desk.refuses("balance-samples", samples=folder, **{name: number})


def test_huge_numbers_keep_everything(desk):
    huge = 10**30
    scene, labels = a_scene(desk), some_labels(desk)
    done = desk.does_or_refuses("extract-samples", scene=scene, labels=labels, max_per_class=huge)
    assert done is None or done["total"] == 256
    folder = some_samples(desk)
    done = desk.does_or_refuses("balance-samples", samples=folder, threshold=huge)
    assert done is None or done["after"] == 5
    done = desk.does_or_refuses(
        "balance-samples", samples=folder, threshold=1, step=huge, clusters=1
    )
    assert done is None or done["after"] == 1
    desk.refuses("balance-samples", samples=folder, clusters=huge)
    desk.refuses("extract-samples", scene=scene, labels=labels, chip_size=huge)


def test_a_vast_scene_of_almost_no_bytes_is_read_where_the_labels_are(desk):
    path = desk.inputs / "vast.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20_000, height=20_000, count=3, dtype="uint16", crs=CRS,
        transform=TRANSFORM, tiled=True, blockxsize=512, blockysize=512, SPARSE_OK=True,
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 2_000_000
    labels = some_labels(desk, pixels(10_000, 10_000, 2, 2))
    assert desk.does("extract-samples", scene=path, labels=labels)["total"] == 4
