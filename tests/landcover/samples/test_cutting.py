"""Context and patches against a scene that is padded and rasterised as a whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from rasterio.windows import Window
from shapely.geometry import Point, Polygon

from landcover.errors import InputError
from landcover.io.raster import RASTER_ENV, BlockReader, open_raster, read_valid
from landcover.progress import collecting_notes
from landcover.samples.extraction import extract_samples
from landcover.samples.folder import read_samples
from landcover.samples.writer import Chips, SamplesWriter
from tests.landcover.samples.test_extraction import bytes_read, counts
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

SIDE = 32
CLASSES = ("a", "b", "c")


@pytest.fixture
def small_windows(monkeypatch):
    """Scenes are read in windows of 8 x 16 pixels, so that squares reach over their edges."""
    monkeypatch.setattr("landcover.io.raster._window_shape", lambda dataset, side=0: (8, 16))


def a_scene(path, dtype="uint16", nodata=None, invalid=None):
    """Write a scene of three bands whose pixels differ; return it, its values and validity."""
    values = np.arange(1, 1 + 3 * SIDE * SIDE).reshape(3, SIDE, SIDE).astype(dtype)
    valid = np.ones((SIDE, SIDE), bool) if invalid is None else ~invalid
    if nodata is not None:
        values[:, ~valid] = nodata
    write_raster(path, values, nodata=nodata)
    if nodata is None and not valid.all():
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(valid)
    return values, valid


def random_polygons(rng, n=25):
    """Return polygons of three classes and any size, some beyond the scene, few that overlap."""
    shapes = []
    for _ in range(n):
        column, row = rng.uniform(-2, SIDE, 2)
        around = rng.uniform(0.3, 6, (3, 2)) * rng.choice([-1, 1], (3, 2))
        shape = Polygon([TRANSFORM @ (column + x, row + y) for x, y in around])
        shapes.append((str(rng.choice(CLASSES)), shape))
    return shapes


def rasterised(shapes):
    """Return code and features (a set) of each pixel; 0 and none where classes differ."""
    codes = np.zeros((SIDE, SIDE), np.uint8)
    conflict = np.zeros((SIDE, SIDE), bool)
    features = [[set() for _ in range(SIDE)] for _ in range(SIDE)]
    names = sorted({name for name, _ in shapes})
    for number, (name, shape) in enumerate(shapes):
        code = names.index(name) + 1
        inside = rasterize([shape], (SIDE, SIDE), transform=TRANSFORM, dtype="uint8") == 1
        conflict |= inside & (codes != 0) & (codes != code)
        codes[inside] = code
        for row, column in np.argwhere(inside):
            features[row][column].add(number)
    codes[conflict] = 0
    return codes, features


def pixels_of(samples):
    """Yield for each batch the row and column of each of its pixels, (n, H, W) both."""
    for batch in samples.batches():
        origin = batch.container.origin(batch.start, batch.indexes.stop)
        height, width = batch.chips.shape[2:]
        rows = origin[:, 1, None, None] - height // 2 + np.arange(height)[:, None]
        columns = origin[:, 2, None, None] - width // 2 + np.arange(width)
        yield batch, *np.broadcast_arrays(rows, columns)


def need_equal_pixels(samples, values, valid):
    """Need each pixel of all samples to be that of the scene, and invalid beyond its edges."""
    beyond = 64
    padded = np.pad(valid, beyond)
    for batch, rows, columns in pixels_of(samples):
        np.testing.assert_array_equal(batch.valid, padded[rows + beyond, columns + beyond])
        inside = batch.valid
        np.testing.assert_array_equal(
            np.moveaxis(batch.chips, 1, -1)[inside],
            np.moveaxis(values[:, rows[inside], columns[inside]], 0, -1),
        )


def labelled_pixels(samples):
    """Return how often each pixel of the scene is labelled, and its last code."""
    often, codes = np.zeros((SIDE, SIDE), int), np.zeros((SIDE, SIDE), np.uint8)
    for batch, rows, columns in pixels_of(samples):
        labelled = batch.codes != 255
        np.add.at(often, (rows[labelled], columns[labelled]), 1)
        codes[rows[labelled], columns[labelled]] = batch.codes[labelled]
    return often, codes


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("context", "dtype", "nodata"),
    [(1, "float32", None), (5, "int16", -1), (5, "uint16", 0), (5, "uint16", None),
     (40, "uint8", None)],
)  # fmt: skip
def test_context_is_the_scene_around_each_labelled_pixel(tmp_path, context, dtype, nodata):
    rng = np.random.default_rng(context)
    invalid = rng.random((SIDE, SIDE)) < 0.05
    values, valid = a_scene(tmp_path / "s.tif", dtype, nodata, invalid)
    shapes = random_polygons(rng)
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    extraction = extract_samples(tmp_path / "s.tif", labels, context=context, workdir=tmp_path)
    samples = read_samples(extraction.samples)
    assert (samples.chip_size, samples.context, samples.patches) == (1, context, 0)
    need_equal_pixels(samples, values, valid)
    expected, _ = rasterised(shapes)
    often, codes = labelled_pixels(samples)
    np.testing.assert_array_equal(often, (expected != 0) & valid)
    np.testing.assert_array_equal(codes, np.where(valid, expected, 0))
    told = [path.name for path in extraction.samples.rglob("*.valid.npy")]
    assert bool(told) == (dtype.startswith("u") and nodata is None)


@pytest.mark.usefixtures("small_windows")
def test_chips_with_context_lie_on_the_grid_of_chips_and_keep_the_edge(tmp_path):
    values, valid = a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 20, 32)),
                                                ("b", pixels(20, 0, 12, 32))])  # fmt: skip
    extraction = extract_samples(tmp_path / "s.tif", labels, chip_size=5, context=4, masks=True,
                                 workdir=tmp_path)  # fmt: skip
    samples = read_samples(extraction.samples)
    need_equal_pixels(samples, values, valid)
    origin = np.concatenate([b.container.origin(0, len(b.chips)) for b in samples.batches()])
    grid = [[row, column] for row in range(2, 30, 5) for column in range(2, 30, 5)]
    assert sorted(origin[:, 1:].tolist()) == grid
    for batch in samples.batches():
        assert batch.chips.shape[2:] == (13, 13)
        margin = np.ones((13, 13), bool)
        margin[4:9, 4:9] = False
        assert (batch.codes[:, margin] == 255).all()
        assert (batch.codes[:, ~margin] == batch.container.code).all()


def test_the_sample_of_a_point_is_the_middle_of_its_context(tmp_path):
    values, _ = a_scene(tmp_path / "s.tif", "float32")
    points = [("a", Point(TRANSFORM @ (0.5, 0.5))), ("b", Point(TRANSFORM @ (9.5, 4.5)))]
    labels = write_labels(tmp_path / "l.gpkg", points)
    extract_samples(tmp_path / "s.tif", labels, context=2, workdir=tmp_path)
    corner, inner = (np.load(tmp_path / f"samples/{name}/samples.npy") for name in "ab")
    np.testing.assert_array_equal(inner[0], values[:, 2:7, 7:12])
    np.testing.assert_array_equal(corner[0, :, 2:, 2:], values[:, :3, :3])
    assert np.isnan(corner[0, :, :2]).all()
    assert np.isnan(corner[0, :, :, :2]).all()


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("patches", "context", "dtype", "nodata"),
    [(1, 0, "float32", None), (5, 0, "uint16", None), (8, 3, "int16", -1), (8, 3, "uint16", None),
     (32, 1, "uint16", 0), (50, 20, "float32", None), (50, 20, "uint8", None)],
)  # fmt: skip
def test_patches_hold_each_labelled_valid_pixel_once(tmp_path, patches, context, dtype, nodata):
    rng = np.random.default_rng(patches)
    invalid = rng.random((SIDE, SIDE)) < 0.1
    values, valid = a_scene(tmp_path / "s.tif", dtype, nodata, invalid)
    shapes = random_polygons(rng)
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    extraction = extract_samples(tmp_path / "s.tif", labels, patches=patches, context=context,
                                 workdir=tmp_path)  # fmt: skip
    samples = read_samples(extraction.samples)
    assert (samples.context, samples.patches) == (context, patches)
    need_equal_pixels(samples, values, valid)
    expected, features = rasterised(shapes)
    often, codes = labelled_pixels(samples)
    np.testing.assert_array_equal(often, (expected != 0) & valid)
    np.testing.assert_array_equal(codes, np.where(valid, expected, 0))
    for batch, rows, columns in pixels_of(samples):
        assert batch.chips.shape[2:] == (patches + 2 * context,) * 2
        corners = np.stack([rows[:, context, context], columns[:, context, context]])
        assert (corners % patches == 0).all()
        labelled = batch.codes != 255
        assert labelled.any(axis=(1, 2)).all()
        place = np.load(extraction.samples / "patches/samples.place.npy")
        assert place.dtype == np.int32
        assert ((place == -1) == ~labelled).all()
        for row, column, feature in zip(
            rows[labelled], columns[labelled], place[labelled], strict=True
        ):
            assert feature in features[row][column]
    of_class = {name: int(((codes == i) & valid).sum()) for i, name in enumerate(CLASSES, 1)}
    found = counts(extraction.counts)
    assert {name: found[name] for name in CLASSES} == of_class
    assert extraction.total == sum(of_class.values())


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("patches", [3, 16])
def test_patches_of_points_hold_each_pixel_of_one_class_once(tmp_path, patches):
    rng = np.random.default_rng(0)
    values, valid = a_scene(tmp_path / "s.tif")
    cells = rng.integers(0, SIDE, (300, 2))
    names = rng.choice(CLASSES, 300)
    shapes = [
        (str(name), Point(TRANSFORM @ (column + 0.5, row + 0.5)))
        for name, (row, column) in zip(names, cells, strict=True)
    ]
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    extraction = extract_samples(tmp_path / "s.tif", labels, patches=patches, workdir=tmp_path)
    on_pixel = {}
    for name, cell in zip(names, cells.tolist(), strict=True):
        on_pixel.setdefault(tuple(cell), []).append(str(name))
    alone = {cell: found for cell, found in on_pixel.items() if len(set(found)) == 1}
    often, codes = labelled_pixels(read_samples(extraction.samples))
    need_equal_pixels(read_samples(extraction.samples), values, valid)
    expected = np.zeros((SIDE, SIDE), np.uint8)
    for cell, found in alone.items():
        expected[cell] = CLASSES.index(found[0]) + 1
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(often, expected != 0)
    found = counts(extraction.counts)
    assert found["left out: points of different classes on one pixel"] == 300 - sum(
        map(len, alone.values())
    )
    assert found["left out: point on the pixel of another of its class"] == sum(
        len(found) - 1 for found in alone.values()
    )


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("patches", [7, 64])
def test_patches_of_a_label_raster_hold_each_labelled_pixel_once(tmp_path, patches):
    values, valid = a_scene(tmp_path / "s.tif")
    codes = np.random.default_rng(0).choice(np.array([0, 0, 3, 9], np.uint8), (SIDE, SIDE))
    labels = write_raster(tmp_path / "l.tif", codes, nodata=0)
    extraction = extract_samples(tmp_path / "s.tif", labels, patches=patches, workdir=tmp_path)
    often, found = labelled_pixels(read_samples(extraction.samples))
    need_equal_pixels(read_samples(extraction.samples), values, valid)
    np.testing.assert_array_equal(found, codes)
    np.testing.assert_array_equal(often, codes != 0)
    assert (np.load(extraction.samples / "patches/samples.place.npy") == -1).all()


def test_patches_describe_themselves_and_replace_samples_of_classes(tmp_path):
    a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 4, 4)),
                                                ("b", pixels(20, 20, 1, 1))])  # fmt: skip
    extract_samples(tmp_path / "s.tif", labels, masks=True, chip_size=3, workdir=tmp_path)
    extraction = extract_samples(tmp_path / "s.tif", labels, patches=16, context=2,
                                 workdir=tmp_path)  # fmt: skip
    assert sorted(path.name for path in extraction.samples.rglob("*")) == [
        "patches", "samples.json", "samples.mask.npy", "samples.npy", "samples.origin.npy",
        "samples.place.npy", "samples.valid.npy",
    ]  # fmt: skip
    described = json.loads((extraction.samples / "samples.json").read_text())
    assert (described["patches"], described["context"]) == (16, 2)
    assert (described["chip_size"], described["classes"]) == (16, {})
    assert [entry["name"] for entry in described["legend"]] == ["a", "b"]
    extract_samples(tmp_path / "s.tif", labels, workdir=tmp_path)
    described = json.loads((extraction.samples / "samples.json").read_text())
    assert "patches" not in described
    assert "context" not in described


def test_a_class_may_be_called_patches(tmp_path):
    a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("patches", pixels(0, 0, 4, 4))])
    extraction = extract_samples(tmp_path / "s.tif", labels, workdir=tmp_path)
    samples = read_samples(extraction.samples)
    assert (samples.patches, samples.legend.names, len(samples)) == (0, ("patches",), 16)


def test_validity_is_written_from_the_first_sample_on_that_needs_it(tmp_path):
    """The lowest row of the scene reaches beyond it; what was written before is all valid."""
    folder = tmp_path / "s"
    writer = SamplesWriter(folder)
    whole = Chips(np.ones((5, 1, 3, 3), np.uint8), np.zeros((5, 3), np.int32),
                  np.ones(5, np.uint8))  # fmt: skip
    told = np.ones((2, 3, 3), np.uint8)
    told[:, 2] = 0
    part = Chips(np.ones((2, 1, 3, 3), np.uint8), np.zeros((2, 3), np.int32),
                 np.ones(2, np.uint8), valid=told)  # fmt: skip
    for chips in (whole, part, whole, Chips.joined([whole, part])):
        writer.append(1, chips)
    writer.close()
    valid = np.load(folder / ".1/samples.valid.npy")
    holes = [5, 6, 17, 18]
    assert valid.shape == (19, 3, 3)
    assert (valid[holes] == told[0]).all()
    assert np.delete(valid, holes, axis=0).all()


def test_containers_are_open_only_while_they_are_written(tmp_path):
    writer = SamplesWriter(tmp_path / "s")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for code in range(1, 100):
        writer.append(code, Chips(np.ones((1, 1, 1, 1)), np.zeros((1, 3), np.int32),
                                  np.array([code], np.uint8)))  # fmt: skip
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    writer.close()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patches": 8, "chip_size": 7}, "chip_size is 7 and patches is 8, give one of them"),
        ({"patches": 8, "max_per_class": 5}, "max_per_class is 5, .* leave max_per_class or"),
    ],
)
def test_options_that_contradict_patches_are_refused(tmp_path, options, sentence):
    a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 4, 4))])
    with pytest.raises(InputError, match=sentence):
        extract_samples(tmp_path / "s.tif", labels, workdir=tmp_path, **options)


@pytest.mark.parametrize(
    "options", [{}, {"chip_size": 3, "masks": True}, {"context": 1}, {"patches": 8}]
)
def test_a_scene_upside_down_gives_the_samples_of_the_upright_one(tmp_path, options):
    values, _ = a_scene(tmp_path / "upright.tif")
    height = values.shape[1]
    south_up = TRANSFORM @ TRANSFORM.translation(0, height) @ TRANSFORM.scale(1, -1)
    with rasterio.open(tmp_path / "upright.tif") as dataset:
        stored, nodata = dataset.read(), dataset.nodata
    turned = write_raster(
        tmp_path / "turned.tif", stored[:, ::-1], transform=south_up, nodata=nodata
    )
    labels = write_labels(
        tmp_path / "l.gpkg", [("a", pixels(1, 2, 7, 5)), ("b", pixels(9, 9, 6, 4))]
    )
    found = []
    for scene in (tmp_path / "upright.tif", turned):
        extract_samples(scene, labels, workdir=tmp_path / scene.stem, **options)
        samples = tmp_path / scene.stem / "samples"
        found.append({p.relative_to(samples): np.load(p) for p in sorted(samples.rglob("*.npy"))})
    assert found[0].keys() == found[1].keys()
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name], err_msg=str(name))


def test_max_per_class_keeps_whole_neighbourhoods(tmp_path):
    values, valid = a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 32, 32))])
    extraction = extract_samples(tmp_path / "s.tif", labels, context=3, max_per_class=50,
                                 workdir=tmp_path)  # fmt: skip
    assert extraction.total == 50
    need_equal_pixels(read_samples(extraction.samples), values, valid)


# --- what is left out ---------------------------------------------------------------------------


def remarks_of(scene, labels, workdir, **options):
    with collecting_notes(lambda sentence: None) as notes:
        extraction = extract_samples(scene, labels, workdir=workdir, **options)
    return extraction, notes.remarks


def test_polygons_without_a_pixel_centre_are_counted_and_named(tmp_path):
    a_scene(tmp_path / "s.tif")
    between = Polygon([TRANSFORM @ (x, y) for x, y in ((4.6, 4.6), (5.4, 4.6), (5.4, 5.4))])
    sliver = Polygon([TRANSFORM @ (x, y) for x, y in ((2, 10.1), (30, 10.2), (30, 10.3))])
    shapes = [("a", pixels(0, 0, 4, 4)), ("b", between), ("b", between), ("a", sliver),
              ("a", pixels(1, 1, 2, 2)),  # under the first: it holds centres all the same
              ("b", pixels(20, 20, 2, 2)), ("c", pixels(20, 20, 2, 2)),
              ("c", pixels(90, 90, 1, 1))]  # fmt: skip
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    extraction, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path)
    found = counts(extraction.counts)
    assert found["left out: polygon holds no pixel centre"] == 3
    assert remarks == [
        "1 polygon outside the scene was left out: check the coordinate system of l.gpkg if that "
        "is not meant",
        "3 polygons without a pixel centre inside, 2 of b, 1 of a, were left out: draw them "
        "larger, or take a scene of smaller pixels",
        "4 pixels under polygons of different classes were left out: correct the outlines in "
        "l.gpkg to use them",
        "no sample was cut of b, c: no model will know what has none",
    ]


def test_labelled_pixels_that_no_chip_takes_are_told_with_the_remedy(tmp_path):
    a_scene(tmp_path / "s.tif")
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 32, 9))])
    extraction, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path, chip_size=7)
    # centres at rows 3, 10, 17, 24, (31) and column 3
    assert extraction.total == 4
    assert counts(extraction.counts)["left out: labelled pixel in no chip"] == 32 * 9 - 4
    assert remarks == [
        "1 chip partly outside the scene was left out: chip_size 1 with context keeps samples up "
        "to the edge",
        "284 of 288 labelled pixels are the centre of no chip and were left out, as chips of "
        "7 x 7 pixels lie side by side and need a labelled centre: context 3 with chip_size 1, or "
        "patches 7 instead of chip_size keeps them all",
    ]
    _, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path, chip_size=7, masks=True)
    # four chips whole: the columns from 7 on and the rows from 28 on are in none
    assert remarks[1].startswith("92 of 288 labelled pixels lie in no chip and were")
    extraction, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path, context=3)
    assert (extraction.total, remarks) == (288, [])
    extraction, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path, patches=7)
    assert (extraction.total, remarks) == (288, [])


def test_points_left_out_are_told(tmp_path):
    invalid = np.zeros((SIDE, SIDE), bool)
    invalid[9, 9] = True
    a_scene(tmp_path / "s.tif", nodata=0, invalid=invalid)
    cells = [(-3, 4), (99, 4), (5, 5), (5, 5), (6, 6), (9, 9)]
    points = [Point(TRANSFORM @ (column + 0.5, row + 0.5)) for row, column in cells]
    labels = write_labels(tmp_path / "l.gpkg", list(zip("aaabaa", points, strict=True)))
    extraction, remarks = remarks_of(tmp_path / "s.tif", labels, tmp_path)
    assert extraction.total == 1
    assert [remark.split(" left out")[0] for remark in remarks] == [
        "2 points outside the scene were",
        "2 points on a pixel that holds a point of another class were",
        "1 sample with a centre pixel that is nodata or masked was",
        "no sample was cut of b: no model will know what has none",
    ]


# --- blocks -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("reach", [0, 3, 8, 20])
def test_windows_that_reach_over_blocks_and_edges_are_whole(tmp_path, reach, monkeypatch):
    values, valid = a_scene(tmp_path / "s.tif", nodata=0, invalid=np.eye(SIDE, dtype=bool))
    padded = np.pad(values, ((0, 0), (40, 40), (40, 40)))
    padded_valid = np.pad(valid, 40)
    decoded = []

    def counting(dataset, window, indexes):
        decoded.append((window.row_off, window.col_off))
        return read_valid(dataset, window, indexes)

    monkeypatch.setattr("landcover.io.raster.read_valid", counting)
    rng = np.random.default_rng(reach)
    with open_raster(tmp_path / "s.tif") as dataset:
        reader = BlockReader(dataset, reach)
        for _, window in reader.windows():
            for _ in range(4):
                top = window.row_off - rng.integers(0, reach + 1)
                left = window.col_off - rng.integers(0, reach + 1)
                height, width = rng.integers(1, 30, 2)
                found, found_valid = reader.read(Window(left, top, width, height))
                at = (slice(top + 40, top + 40 + height), slice(left + 40, left + 40 + width))
                np.testing.assert_array_equal(found, padded[:, *at])
                np.testing.assert_array_equal(found_valid, padded_valid[at])
    assert len(decoded) == len(set(decoded)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"context": 9}, {"patches": 100, "context": 5}])
def test_each_block_is_decoded_once(tmp_path, monkeypatch, options):
    values = np.random.default_rng(0).integers(0, 200, (2, 1024, 1024)).astype(np.uint8)
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", count=2, width=1024, height=1024, dtype="uint8",
        crs="EPSG:32648", transform=TRANSFORM, tiled=True, blockxsize=256, blockysize=256,
    ) as dataset:  # fmt: skip
        dataset.write(values)
    monkeypatch.setitem(RASTER_ENV, "GDAL_CACHEMAX", 2**16)  # GDAL remembers nothing
    shapes = [("a", pixels(row, column, 12, 12)) for row in range(0, 1024, 64)
              for column in range(0, 1024, 64)]  # fmt: skip
    labels = write_labels(tmp_path / "l.gpkg", shapes)
    extract_samples(tmp_path / "s.tif", labels, workdir=tmp_path, **options)
    before = bytes_read()
    extract_samples(tmp_path / "s.tif", labels, workdir=tmp_path, **options)
    assert bytes_read() - before < 1.1 * (tmp_path / "s.tif").stat().st_size + 2**18


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_neighbourhoods(tmp_path):
    """Of 1,024 x 1,024 labelled pixels the neighbourhoods are 177 MB, the scene 1 MB."""
    scene = tmp_path / "s.tif"
    with rasterio.open(
        scene, "w", driver="GTiff", count=1, width=1024, height=1024, dtype="uint8", nodata=0,
        crs="EPSG:32648", transform=TRANSFORM, tiled=True, blockxsize=512, blockysize=512,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 1024, 1024), np.uint8))
    few = write_labels(tmp_path / "few.gpkg", [("a", pixels(0, 0, 9, 9))])
    all_labelled = write_labels(tmp_path / "all.gpkg", [("a", pixels(0, 0, 1024, 1024))])
    code = (
        "import resource, sys\n"
        "from landcover import extract_samples\n"
        "scene, few, all_labelled, workdir = sys.argv[1:]\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "extract_samples(scene, few, context=6, workdir=workdir)\n"
        "before = peak()\n"
        "done = extract_samples(scene, all_labelled, context=6, workdir=workdir, overwrite=True)\n"
        "assert done.total == 1024 * 1024\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, scene, few, all_labelled, tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 90_000  # KiB
