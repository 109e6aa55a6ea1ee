import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
from shapely.geometry import LineString, MultiPoint, Point

from landcover.errors import InputError
from landcover.io.raster import RASTER_ENV
from landcover.samples.extraction import extract_samples
from landcover.samples.folder import read_samples
from tests.scenes import CRS, TRANSFORM, pixels, quarters, write_labels, write_raster


@pytest.fixture
def scene(tmp_path):
    values = np.arange(2 * 20 * 20, dtype=np.uint16).reshape(2, 20, 20)
    return write_raster(tmp_path / "scene.tif", values, names=("B03", "B04"))


LINE = LineString([TRANSFORM @ (1, 1), TRANSFORM @ (5, 5)])


def counts(path):
    with path.open(newline="") as file:
        return {row["class"]: int(row["samples"]) for row in csv.DictReader(file)}


def test_a_pixel_belongs_to_a_polygon_if_its_centre_lies_inside(scene, tmp_path):
    shape = pixels(2, 3, 4, 5).buffer(-4.9, join_style="mitre")  # just over the outer centres
    labels = write_labels(tmp_path / "l.gpkg", [("water", shape), ("wood", pixels(10, 0, 1, 2))])
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert extraction.total == 4 * 5 + 2
    assert counts(extraction.counts) == {"water": 20, "wood": 2}
    water = np.load(tmp_path / "samples/water/samples.npy")
    origin = np.load(tmp_path / "samples/water/samples.origin.npy")
    assert water.shape == (20, 2, 1, 1)
    assert water.dtype == np.uint16
    rows, columns = origin[:, 1], origin[:, 2]
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (row, column) for row in range(2, 6) for column in range(3, 8)
    }
    np.testing.assert_array_equal(water[:, 0, 0, 0], rows * 20 + columns)
    assert (origin[:, 0] == 0).all()


def test_pixels_under_different_classes_are_left_out_and_counted(scene, tmp_path):
    labels = write_labels(
        tmp_path / "l.gpkg",
        [("a", pixels(0, 0, 4, 4)), ("b", pixels(2, 2, 4, 4)), ("a", pixels(0, 0, 2, 2))],
    )
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert counts(extraction.counts) == {
        "a": 12,
        "b": 12,
        "left out: polygons of different classes overlap": 4,
    }


def test_labels_in_another_crs_give_the_same_samples(scene, tmp_path):
    shapes = [("a", pixels(3, 3, 5, 5)), ("b", pixels(12, 12, 3, 3))]
    (tmp_path / "utm").mkdir()
    (tmp_path / "degrees").mkdir()
    one = extract_samples(
        scene, write_labels(tmp_path / "utm.gpkg", shapes), workdir=tmp_path / "utm"
    )
    other = extract_samples(
        scene,
        write_labels(tmp_path / "degrees.geojson", shapes, crs="EPSG:4326"),
        workdir=tmp_path / "degrees",
    )
    assert one.total == other.total == 34
    np.testing.assert_array_equal(
        np.load(one.samples / "a/samples.npy"), np.load(other.samples / "a/samples.npy")
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb"])
def test_every_vector_format_is_read(scene, tmp_path, suffix):
    labels = write_labels(tmp_path / f"labels{suffix}", [("a", pixels(0, 0, 3, 3))])
    assert extract_samples(scene, labels, workdir=tmp_path).total == 9


def test_chips_lie_on_a_grid_anchored_at_the_upper_left_corner(scene, tmp_path):
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 20, 20))])
    extract_samples(scene, labels, chip_size=6, masks=True, workdir=tmp_path)
    chips = np.load(tmp_path / "samples/a/samples.npy")
    origin = np.load(tmp_path / "samples/a/samples.origin.npy")
    mask = np.load(tmp_path / "samples/a/samples.mask.npy")
    assert chips.shape == (9, 2, 6, 6)
    assert origin[:, 1:].tolist() == [[r, c] for r in (3, 9, 15) for c in (3, 9, 15)]
    np.testing.assert_array_equal(chips[4, 0], np.arange(400).reshape(20, 20)[6:12, 6:12])
    assert (mask == 1).all()


def test_masks_hold_the_class_of_every_pixel(scene, tmp_path):
    labels = write_labels(
        tmp_path / "l.gpkg", [("a", pixels(0, 0, 3, 3)), ("b", pixels(3, 0, 1, 2))]
    )
    extract_samples(scene, labels, chip_size=4, masks=True, workdir=tmp_path)
    mask = np.load(tmp_path / "samples/a/samples.mask.npy")
    assert mask[0].tolist() == [[1, 1, 1, 255], [1, 1, 1, 255], [1, 1, 1, 255], [2, 2, 255, 255]]


def test_points_give_the_chip_around_their_pixel(scene, tmp_path):
    at = [TRANSFORM @ (column + 0.2, row + 0.7) for row, column in ((5, 7), (0, 0))]
    labels = write_labels(tmp_path / "l.gpkg", [("a", Point(at[0])), ("a", MultiPoint([at[1]]))])
    extraction = extract_samples(scene, labels, chip_size=3, workdir=tmp_path)
    assert counts(extraction.counts) == {"a": 1, "left out: chip leaves the scene": 1}
    chips = np.load(tmp_path / "samples/a/samples.npy")
    np.testing.assert_array_equal(chips[0, 0], np.arange(400).reshape(20, 20)[4:7, 6:9])


def test_nodata_is_never_a_sample(tmp_path):
    values = np.ones((2, 4, 4), np.int16)
    values[1, 0, 0] = -9
    scene = write_raster(tmp_path / "scene.tif", values, nodata=-9)
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 4, 4))])
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert counts(extraction.counts) == {"a": 15, "left out: centre pixel is nodata": 1}


def test_nan_as_nodata_is_never_a_sample(tmp_path):
    values = np.ones((3, 4, 4), np.float32)
    values[2, 1, 1] = np.nan
    scene = write_raster(tmp_path / "scene.tif", values, nodata=np.nan)
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 4, 4))])
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert extraction.total == 15
    assert read_samples(extraction.samples).nodata is None


def test_a_label_raster_on_another_grid_is_brought_to_the_scene(scene, tmp_path):
    codes = np.full((10, 10), 7, np.uint8)  # pixels of 20 m
    codes[:, 5:] = 0
    labels = write_raster(
        tmp_path / "labels.tif", codes, nodata=0, transform=TRANSFORM @ TRANSFORM.scale(2)
    )
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert counts(extraction.counts) == {"class 7": 200}
    (container,) = read_samples(extraction.samples).containers
    assert container.code == 7
    (batch,) = read_samples(extraction.samples).batches()
    labelled = batch.places[batch.codes != 255]
    assert {batch.samples.name_of_place(place) for place in labelled} == {"block 0 0"}


def test_max_per_class_chooses_the_same_at_random_each_time(scene, tmp_path):
    labels = write_labels(
        tmp_path / "l.gpkg", [("a", pixels(0, 0, 9, 9)), ("b", pixels(12, 0, 1, 3))]
    )
    chosen = []
    for _ in range(2):
        extraction = extract_samples(scene, labels, max_per_class=10, seed=4, workdir=tmp_path)
        assert counts(extraction.counts) == {"a": 10, "b": 3}
        chosen.append(np.load(extraction.samples / "a/samples.origin.npy").tolist())
    assert chosen[0] == chosen[1]


def test_the_folder_describes_itself(tmp_path):
    values, _ = quarters(32)
    scene = write_raster(tmp_path / "scene.tif", values, names=("B02", "B03", "other"))
    labels = write_labels(
        tmp_path / "l.gpkg", [("Лес 1", pixels(0, 0, 4, 4)), ("a/b.", pixels(20, 20, 4, 4))]
    )
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    described = json.loads((extraction.samples / "samples.json").read_text())
    assert described["version"] == 1
    assert described["bands"] == [
        {"name": "B02", "wavelength": 490},
        {"name": "B03", "wavelength": 560},
        {"name": "other", "wavelength": None},
    ]
    assert described["classes"] == {"a%2Fb%2E": 1, "Лес 1": 2}
    assert [entry["name"] for entry in described["legend"]] == ["a/b.", "Лес 1"]
    read = read_samples(extraction.samples)
    assert read.legend.names == ("a/b.", "Лес 1")
    assert (len(read), read.dtype, read.chip_size) == (32, "uint16", 1)
    # of all the scene, not only of what is labelled
    assert read.scene_pixels.shape == (32 * 32, 3)
    assert set(map(tuple, read.scene_pixels)) <= set(map(tuple, values.reshape(3, -1).T))


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda t: write_labels(t / "l.gpkg", [("a", pixels(500, 500, 2, 2))]), "no sample lies"),
        (lambda t: write_labels(t / "l.gpkg", [("a", Point(TRANSFORM @ (3, 3)).buffer(2))]),
         "polygon holds no pixel centre: 1.: draw them larger"),
        (lambda t: write_labels(t / "l.gpkg", [("a", pixels(0, 0, 2, 2))], field="k"),
         "has no field class, its fields are k"),
        (lambda t: write_labels(t / "l.gpkg", [(" ", pixels(0, 0, 2, 2))]),
         "feature 1 has no class"),
        (lambda t: write_labels(t / "l.gpkg", [("a", LINE)]), "feature 1 is a line"),
        (lambda t: t / "absent.gpkg", "there is no file absent.gpkg"),
    ],
)  # fmt: skip
def test_labels_that_do_not_do_are_named_in_one_sentence(scene, tmp_path, prepare, sentence):
    with pytest.raises(InputError, match=sentence):
        extract_samples(scene, prepare(tmp_path), workdir=tmp_path)
    assert not (tmp_path / "samples").exists()


def test_a_vrt_in_disguise_reads_nothing(scene, tmp_path):
    (tmp_path / "evil.tif").write_text(
        f"<VRTDataset rasterXSize='20' rasterYSize='20'><VRTRasterBand band='1'><SimpleSource>"
        f"<SourceFilename>{scene}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "evil.geojson").write_text(
        f"<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>{scene}</SrcDataSource>"
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 2, 2))])
    with pytest.raises(
        InputError, match="is a VRT, a file that names others, a GeoTIFF is needed"
    ):
        extract_samples(tmp_path / "evil.tif", labels, workdir=tmp_path)
    with pytest.raises(InputError, match="is XML, labels need GeoJSON"):
        extract_samples(scene, tmp_path / "evil.geojson", workdir=tmp_path)


def test_points_of_different_classes_on_one_pixel_are_left_out_and_counted(scene, tmp_path):
    at = [TRANSFORM @ (column + 0.5, 3.5) for column in (1, 1, 2, 2)]
    shapes = list(zip(("a", "b", "a", "a"), map(Point, at), strict=True))
    extraction = extract_samples(
        scene, write_labels(tmp_path / "l.gpkg", shapes), workdir=tmp_path
    )
    assert counts(extraction.counts) == {
        "a": 2, "b": 0, "left out: points of different classes on one pixel": 2
    }  # fmt: skip


def test_labels_outside_the_scene_are_counted(scene, tmp_path):
    shapes = [("a", pixels(0, 0, 2, 2)), ("a", pixels(90, 0, 2, 2)), ("b", pixels(0, -9, 2, 2))]
    extraction = extract_samples(
        scene, write_labels(tmp_path / "l.gpkg", shapes), workdir=tmp_path
    )
    assert counts(extraction.counts) == {"a": 4, "b": 0, "left out: label outside the scene": 2}


@pytest.fixture
def tiled(tmp_path):
    """A scene of 4 x 4 tiles, without compression."""
    values = np.random.default_rng(0).integers(0, 60_000, (4, 1024, 1024)).astype(np.uint16)
    with rasterio.open(
        tmp_path / "tiled.tif", "w", driver="GTiff", count=4, width=1024, height=1024,
        dtype="uint16", crs=CRS, transform=TRANSFORM, tiled=True, blockxsize=256, blockysize=256,
    ) as dataset:  # fmt: skip
        dataset.write(values)
    return tmp_path / "tiled.tif", values


def test_chips_that_reach_over_blocks_are_whole(tiled, tmp_path):
    scene, values = tiled
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(10, 1014, (2, 300))
    at = [Point(TRANSFORM @ (c + 0.5, r + 0.5)) for r, c in zip(rows, columns, strict=True)]
    labels = write_labels(tmp_path / "l.gpkg", [("a", point) for point in at])
    extract_samples(scene, labels, chip_size=20, workdir=tmp_path)
    chips = np.load(tmp_path / "samples/a/samples.npy")
    origin = np.load(tmp_path / "samples/a/samples.origin.npy")
    assert sorted(origin[:, 0]) == list(range(300))
    for chip, (feature, row, column) in zip(chips, origin, strict=True):
        assert (row, column) == (rows[feature], columns[feature])
        np.testing.assert_array_equal(
            chip, values[:, row - 10 : row + 10, column - 10 : column + 10]
        )


@pytest.mark.slow
def test_each_block_of_the_scene_is_decoded_once(tiled, tmp_path, monkeypatch):
    scene, _ = tiled
    monkeypatch.setitem(RASTER_ENV, "GDAL_CACHEMAX", 2**16)  # GDAL remembers nothing
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 1024, 1024))])
    extract_samples(scene, labels, chip_size=96, max_per_class=1, workdir=tmp_path)
    before = bytes_read()
    extract_samples(scene, labels, chip_size=96, max_per_class=1, workdir=tmp_path)
    assert bytes_read() - before < 1.1 * scene.stat().st_size


def bytes_read():
    """What this process has read from files and caches so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar: "):
            return int(line.split()[1])
    raise AssertionError("/proc/self/io tells no rchar")


@pytest.mark.slow
def test_every_sample_of_a_class_is_equally_likely_to_be_chosen(scene, tmp_path):
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 20, 20))])
    chosen = np.zeros((20, 20), int)
    for seed in range(60):
        extract_samples(scene, labels, max_per_class=40, seed=seed, workdir=tmp_path)
        origin = np.load(tmp_path / "samples/a/samples.origin.npy")
        np.add.at(chosen, (origin[:, 1], origin[:, 2]), 1)
    assert chosen.sum() == 60 * 40
    halves = [chosen[:10].sum(), chosen[:, :10].sum(), chosen[::2].sum()]
    assert all(abs(half - 1200) < 5 * 24.5 for half in halves), halves  # 5 standard deviations


@pytest.mark.parametrize(("dtype", "kept"), [(np.float32, 4), (np.uint16, 3)])
def test_masked_pixels_of_a_chip_are_nodata_or_the_chip_is_left_out(tmp_path, dtype, kept):
    scene = write_raster(tmp_path / "scene.tif", np.ones((2, 6, 6), dtype))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene, "r+") as dataset:
        mask = np.ones((6, 6), bool)
        mask[0, 0] = False
        dataset.write_mask(mask)
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 6, 6))])
    extraction = extract_samples(scene, labels, chip_size=3, workdir=tmp_path)
    assert extraction.total == kept
    (batch,) = read_samples(extraction.samples).batches()
    assert batch.valid.sum() == (kept * 9 if dtype is np.uint16 else 4 * 9 - 1)


def legend_in(extraction):
    described = json.loads((extraction.samples / "samples.json").read_text())
    return [(c["code"], c["name"], c["color"]) for c in described["legend"]]


def a_column_each(values):
    return [(value, pixels(0, column, 3, 1)) for column, value in enumerate(values)]


@pytest.mark.parametrize(
    "values", [[2, 3, 10, 100], [2.0, 3.0, 10.0, 100.0], ["2", "3", "10", "100"]]
)
def test_whole_numbers_of_a_class_field_stay_codes(scene, tmp_path, values):
    labels = write_labels(tmp_path / "l.gpkg", a_column_each(values))
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert [(code, name) for code, name, _ in legend_in(extraction)] == [
        (2, "2"), (3, "3"), (10, "10"), (100, "100"),
    ]  # fmt: skip
    assert read_samples(extraction.samples).legend.codes == (2, 3, 10, 100)


def test_numbers_that_no_code_can_be_get_free_ones_and_that_is_said(scene, tmp_path, caplog):
    labels = write_labels(tmp_path / "l.gpkg", a_column_each([0, 1, 311]))
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert [(code, name) for code, name, _ in legend_in(extraction)] == [
        (1, "1"), (2, "0"), (3, "311"),
    ]  # fmt: skip
    assert "got free ones: 0 became 2, 311 became 3" in caplog.text


def test_classes_keep_code_and_colour_when_a_new_one_comes(scene, tmp_path):
    first = write_labels(tmp_path / "1.gpkg", a_column_each(["вода", "лес", "поле"]))
    second = write_labels(tmp_path / "2.gpkg", a_column_each(["поле", "болото", "лес "]))
    before = extract_samples(scene, first, workdir=tmp_path / "1")
    after = extract_samples(
        scene, second, legend=before.samples / "samples.json", workdir=tmp_path / "2"
    )
    kept, (new,) = legend_in(after)[:3], legend_in(after)[3:]
    assert kept == legend_in(before)
    assert new[:2] == (4, "болото")
    assert new[2] not in [color for _, _, color in kept]
    assert counts(after.counts) == {"вода": 0, "лес": 3, "поле": 3, "болото": 3}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_a_label_raster_meets_a_legend_by_name_else_by_code(scene, tmp_path, dtype):
    codes = np.zeros((20, 20), dtype)
    codes[0], codes[1], codes[2] = 1, 2, 9
    (tmp_path / "l.csv").write_text("code,name,color\n1,water,#0000ff\n2,wood,#00ff00\n")
    bare = write_raster(tmp_path / "bare.tif", codes, nodata=0)
    extraction = extract_samples(scene, bare, legend=tmp_path / "l.csv", workdir=tmp_path)
    assert [(code, name) for code, name, _ in legend_in(extraction)] == [
        (1, "water"), (2, "wood"), (9, "class 9"),
    ]  # fmt: skip
    names = [{"code": c, "name": n} for c, n in ((1, "wood"), (2, "water"), (9, "bog"))]
    named = write_raster(tmp_path / "n.tif", codes, nodata=0, LANDCOVER_LEGEND=json.dumps(names))
    extraction = extract_samples(scene, named, legend=tmp_path / "l.csv", workdir=tmp_path)
    assert [entry[:2] for entry in legend_in(extraction)] == [
        (1, "water"), (2, "wood"), (9, "bog"),
    ]  # fmt: skip
    rows = {c.code: c.origin(0, 1)[0, 1] for c in read_samples(extraction.samples).containers}
    assert rows == {1: 1, 2: 0, 9: 2}  # water is the row of code 2


@pytest.mark.parametrize(("nodata", "lost"), [(255, 340), (-9, 340), (0, None), (None, None)])
def test_code_0_of_a_label_raster_is_counted_where_it_seems_to_be_a_class(
    scene, tmp_path, caplog, nodata, lost
):
    codes = np.zeros((20, 20), np.int16)
    codes[:3] = 1
    labels = write_raster(tmp_path / "l.tif", codes, nodata=nodata)
    extraction = extract_samples(scene, labels, workdir=tmp_path)
    assert counts(extraction.counts).get("left out: code 0 is never a class") == lost
    assert ("340 pixels of code 0 in l.tif" in caplog.text) == (lost is not None)


@pytest.mark.parametrize(("value", "dtype"), [(-1, "int16"), (1.5, "float32"), (300, "uint16")])
def test_the_value_that_is_no_code_is_named(scene, tmp_path, value, dtype):
    codes = np.full((20, 20), 4, dtype)
    codes[5, 5] = value
    with pytest.raises(InputError, match=f"l.tif holds {value}, a label raster needs whole codes"):
        extract_samples(scene, write_raster(tmp_path / "l.tif", codes), workdir=tmp_path)


def test_a_layer_of_several_is_read_by_its_name(scene, tmp_path):
    path = tmp_path / "l.gpkg"
    for layer, shape in (("training", pixels(0, 0, 2, 2)), ("validation", pixels(9, 9, 3, 3))):
        frame = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[shape], crs=CRS)
        frame.to_file(path, layer=layer)
    assert extract_samples(scene, path, layer="validation", workdir=tmp_path).total == 9
    with pytest.raises(InputError, match="holds the layers training, validation: say with the in"):
        extract_samples(scene, path, workdir=tmp_path)
    with pytest.raises(InputError, match="has no layer test, it has training, validation"):
        extract_samples(scene, path, layer="test", workdir=tmp_path)


def test_tables_without_geometries_are_no_layers(scene, tmp_path):
    labels = write_labels(tmp_path / "l.gpkg", a_column_each(["a", "b"]))
    styles = pd.DataFrame({"styleName": ["x"], "styleQML": ["<qgis/>"]})
    pyogrio.write_dataframe(styles, labels, layer="layer_styles", append=True)
    assert extract_samples(scene, labels, workdir=tmp_path).total == 6
    with pytest.raises(InputError, match="has no layer layer_styles, it has l"):
        extract_samples(scene, labels, layer="layer_styles", workdir=tmp_path)


def test_a_raster_has_no_layers(scene, tmp_path):
    labels = write_raster(tmp_path / "l.tif", np.ones((20, 20), np.uint8))
    with pytest.raises(InputError, match="is a raster, it has no layer training"):
        extract_samples(scene, labels, layer="training", workdir=tmp_path)


def test_more_bands_than_a_model_takes_are_said_at_once(tmp_path, caplog):
    values = np.zeros((601, 4, 4), np.uint8)
    scene = write_raster(tmp_path / "scene.tif", values, names=[f"b{n}" for n in range(601)])
    labels = write_labels(tmp_path / "labels.gpkg", [("a", pixels(0, 0, 2, 2))])
    extract_samples(scene, labels, workdir=tmp_path / "out")
    assert (
        "601 bands, and train-classifier takes at most 600: choose some with bands" in caplog.text
    )
    caplog.clear()
    extract_samples(scene, labels, workdir=tmp_path / "out2", bands="b0,b1")
    assert "train-classifier" not in caplog.text


def test_a_scene_with_a_local_coordinate_system_is_refused_with_a_remedy(tmp_path):
    values = np.ones((1, 8, 8), np.uint16)
    plot = write_raster(tmp_path / "plot.tif", values, crs='LOCAL_CS["plot",UNIT["metre",1]]')
    labels = write_labels(tmp_path / "labels.gpkg", [("a", pixels(0, 0, 3, 3))])
    with pytest.raises(InputError, match="assign the right one in QGIS"):
        extract_samples(plot, labels, workdir=tmp_path / "out")
