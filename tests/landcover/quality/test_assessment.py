import csv
import json
import math

import numpy as np
import pytest
import rasterio
from affine import Affine
from pycm import ConfusionMatrix
from pyproj import Transformer
from shapely.geometry import Point
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_score, recall_score

from landcover import assess_quality, draw_reference_sample
from landcover.errors import InputError
from landcover.io.legend import Legend
from tests.scenes import TRANSFORM, label_points, pixels, write_labels, write_raster

LEGEND = Legend.of(["forest", "town", "water"])


@pytest.fixture
def truth():
    return np.random.default_rng(5).integers(0, 4, (50, 70)).astype(np.uint8)


@pytest.fixture
def mapped(truth):
    rng = np.random.default_rng(6)
    wrong = rng.random(truth.shape) < 0.3
    codes = np.where(wrong, rng.integers(1, 4, truth.shape), np.maximum(truth, 1)).astype(np.uint8)
    codes[:5] = 255
    return codes


def write_map(path, codes, legend=LEGEND, **how):
    return write_raster(path, codes, nodata=255, LANDCOVER_LEGEND=legend.to_tag(), **how)


def test_statistics_equal_pycm_and_scikit_learn(truth, mapped, tmp_path):
    reference = write_map(tmp_path / "reference.tif", truth)
    result = assess_quality(write_map(tmp_path / "map.tif", mapped), reference, workdir=tmp_path)
    both = (truth != 0) & (mapped != 255)
    t, m = truth[both], mapped[both]
    assert result.labelled == both.sum()
    statistics = json.loads(result.statistics.read_text())
    pycm = ConfusionMatrix(t.tolist(), m.tolist())
    assert math.isclose(statistics["overall"]["Overall ACC"], pycm.Overall_ACC, abs_tol=1e-12)
    assert math.isclose(result.kappa, cohen_kappa_score(t, m), abs_tol=1e-12)
    for index, name in enumerate(LEGEND.names):
        ours = {key: statistics["class"][key][name] for key in ("PPV", "TPR", "F1", "ACC")}
        for key, value in ours.items():
            assert math.isclose(value, getattr(pycm, key)[index + 1], abs_tol=1e-12)
        assert math.isclose(ours["PPV"], precision_score(t, m, average=None)[index], abs_tol=1e-12)
        assert math.isclose(ours["TPR"], recall_score(t, m, average=None)[index], abs_tol=1e-12)
    with result.matrix.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["reference\\map", "forest", "town", "water"]
    assert [row[0] for row in rows] == ["forest", "town", "water"]
    assert [[int(c) for c in row[1:]] for row in rows] == confusion_matrix(t, m).tolist()


def test_polygons_are_compared_where_they_lie(tmp_path):
    codes = np.ones((20, 20), np.uint8)
    codes[:, 10:] = 3
    shapes = [("forest", pixels(0, 0, 4, 12)), ("water", pixels(10, 10, 2, 5))]
    reference = write_labels(tmp_path / "r.gpkg", shapes, crs="EPSG:4326")
    result = assess_quality(write_map(tmp_path / "m.tif", codes), reference, workdir=tmp_path)
    assert result.labelled == 48 + 10
    assert result.accuracy == (40 + 10) / 58
    assert "point estimates" in result.report.read_text()


def test_points_are_compared_on_their_pixel(tmp_path):
    codes = np.ones((4, 4), np.uint8)
    codes[2, 3] = 2
    at = [Point(TRANSFORM @ (c + 0.5, r + 0.5)) for r, c in ((0, 0), (2, 3), (1, 1))]
    shapes = list(zip(("forest", "town", "town"), at, strict=True))
    reference = write_labels(tmp_path / "r.gpkg", shapes)
    result = assess_quality(write_map(tmp_path / "m.tif", codes), reference, workdir=tmp_path)
    assert (result.labelled, result.accuracy) == (3, 2 / 3)


def test_classes_of_one_side_stand_in_the_matrix(tmp_path):
    codes = np.ones((10, 10), np.uint8)
    codes[0] = 2
    reference = write_labels(
        tmp_path / "r.gpkg", [("forest", pixels(0, 0, 5, 10)), ("bog", pixels(6, 0, 1, 10))]
    )
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes, Legend.of(["forest", "town"])), reference,
        workdir=tmp_path,
    )  # fmt: skip
    assert json.loads(result.statistics.read_text())["classes"] == ["forest", "town", "bog"]
    assert result.accuracy == 40 / 60


def test_one_class_alone_is_accurate_and_has_no_kappa(tmp_path):
    codes = np.ones((5, 5), np.uint8)
    reference = write_labels(tmp_path / "r.gpkg", [("forest", pixels(0, 0, 2, 2))])
    result = assess_quality(write_map(tmp_path / "m.tif", codes), reference, workdir=tmp_path)
    assert result.accuracy == 1.0
    assert math.isnan(result.kappa)
    assert json.loads(result.statistics.read_text())["overall"]["Kappa"] is None


def test_a_reference_on_another_grid_is_moved_and_that_is_said(tmp_path):
    codes = np.ones((20, 20), np.uint8)
    codes[:, 10:] = 2
    coarse = np.ones((10, 10), np.uint8)
    coarse[:, 5:] = 2
    reference = write_map(tmp_path / "r.tif", coarse, transform=TRANSFORM @ TRANSFORM.scale(2))
    result = assess_quality(write_map(tmp_path / "m.tif", codes), reference, workdir=tmp_path)
    assert (result.labelled, result.accuracy) == (400, 1.0)
    assert "another grid" in result.report.read_text()


def test_a_reference_without_names_is_said_to_be_one(tmp_path):
    codes = np.ones((5, 5), np.uint8)
    codes[0] = 2
    nameless = write_raster(tmp_path / "r.tif", codes, nodata=255)
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes), nameless, workdir=tmp_path, overwrite=True
    )
    assert "r.tif names no classes" in result.report.read_text()
    named = assess_quality(
        write_map(tmp_path / "m.tif", codes), write_map(tmp_path / "n.tif", codes),
        workdir=tmp_path, overwrite=True,
    )  # fmt: skip
    assert "names no classes" not in named.report.read_text()


def test_a_reference_in_another_crs_is_moved_by_exact_nearest_neighbour(tmp_path):
    """GDAL's own tolerance of an eighth of a pixel takes some neighbours for the nearest."""
    rng = np.random.default_rng(0)
    degrees = Affine.translation(10, 50) @ Affine.scale(0.01, -0.01)
    to_laea = Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True)
    columns, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(300) + 0.5)
    x, y = to_laea.transform(*(degrees @ (columns, rows)))
    metres = Affine.translation(x.min() - 5000, y.max() + 5000) @ Affine.scale(1000, -1000)
    size = (int((y.max() - y.min()) / 1000) + 12, int((x.max() - x.min()) / 1000) + 12)
    reference = rng.integers(1, 4, size).astype(np.uint8)
    at = [np.floor(index).astype(int) for index in ~metres @ (x, y)]
    result = assess_quality(
        write_map(tmp_path / "m.tif", reference[at[1], at[0]], transform=degrees,
                  crs="EPSG:4326"),
        write_map(tmp_path / "r.tif", reference, transform=metres, crs="EPSG:3035"),
        workdir=tmp_path,
    )  # fmt: skip
    assert (result.labelled, result.accuracy) == (90_000, 1.0)


@pytest.mark.parametrize("masked", ["map", "reference"])
@pytest.mark.parametrize("shifted", [False, True])
def test_masked_pixels_do_not_count(tmp_path, masked, shifted):
    codes = np.ones((10, 10), np.uint8)
    codes[5:] = 2
    other = TRANSFORM @ TRANSFORM.translation(0.2, 0.2) if shifted else TRANSFORM
    paths = {
        "map": write_raster(tmp_path / "m.tif", codes, LANDCOVER_LEGEND=LEGEND.to_tag()),
        "reference": write_raster(
            tmp_path / "r.tif", codes, LANDCOVER_LEGEND=LEGEND.to_tag(), transform=other
        ),
    }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(paths[masked], "r+") as dataset,
    ):
        mask = np.ones((10, 10), bool)
        mask[:3] = False
        dataset.write_mask(mask)
    result = assess_quality(**paths, workdir=tmp_path)
    assert result.labelled == 70


def test_a_code_that_the_maps_legend_does_not_name_is_an_error(tmp_path):
    codes = np.ones((10, 10), np.uint8)
    codes[5:] = 2
    unnamed = write_map(tmp_path / "m.tif", codes, Legend.of(["forest"]))
    reference = write_labels(
        tmp_path / "r.gpkg", [("forest", pixels(0, 0, 6, 10)), ("water", pixels(6, 0, 4, 10))]
    )
    with pytest.raises(InputError, match=r"m.tif holds code 2, which its legend does not name"):
        assess_quality(unnamed, reference, workdir=tmp_path)
    with pytest.raises(InputError, match=r"m.tif holds code 2, which its legend does not name"):
        assess_quality(write_map(tmp_path / "good.tif", codes, LEGEND), unnamed, workdir=tmp_path)


def test_what_was_left_out_of_the_reference_is_said(tmp_path):
    codes = np.ones((10, 10), np.uint8)
    codes[5:] = 2
    shapes = [("forest", pixels(0, 0, 4, 4)), ("town", pixels(3, 3, 4, 4)),
              ("town", pixels(50, 50, 2, 2))]  # fmt: skip
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes), write_labels(tmp_path / "r.gpkg", shapes),
        workdir=tmp_path,
    )  # fmt: skip
    page = result.report.read_text()
    assert "1 feature of the reference lies outside the map" in page
    assert "1 pixel is labelled as two classes" in page
    assert result.labelled == 30


def test_no_overlap_is_an_error(tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", [("forest", pixels(900, 0, 2, 2))])
    with pytest.raises(InputError, match="they do not overlap"):
        assess_quality(
            write_map(tmp_path / "m.tif", np.ones((5, 5), np.uint8)), reference, workdir=tmp_path
        )
    assert not (tmp_path / "report.html").exists()


def test_what_was_said_before_a_refusal_is_still_said(tmp_path, caplog):
    reference = write_labels(tmp_path / "r.gpkg", [(300, pixels(900, 0, 2, 2))])
    mapped = write_raster(tmp_path / "m.tif", np.ones((5, 5), np.uint8))
    with pytest.raises(InputError):
        assess_quality(mapped, reference, workdir=tmp_path)
    assert "300 became 1" in caplog.text


def test_classes_that_have_nothing_in_common_are_an_error(tmp_path):
    codes = np.ones((5, 5), np.uint8)
    reference = write_map(tmp_path / "r.tif", codes, Legend.of(["bog"]))
    with pytest.raises(InputError, match=r"m.tif has forest, town, water, r.tif has bog: no cl"):
        assess_quality(write_map(tmp_path / "m.tif", codes), reference, workdir=tmp_path)


def test_the_report_stands_alone_and_escapes_names(tmp_path):
    evil = "<script>alert(1)</script>"
    codes = np.ones((5, 5), np.uint8)
    codes[0] = 2
    legend = Legend.of([evil, "water"])
    reference = write_labels(
        tmp_path / "r.gpkg", [(evil, pixels(0, 0, 2, 5)), ("water", pixels(4, 0, 1, 5))]
    )
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes, legend), reference, workdir=tmp_path
    )
    page = result.report.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert result.figure.read_bytes().startswith(b"\x89PNG")


def halves(left, right, dtype=np.uint8):
    codes = np.full((10, 10), left, dtype)
    codes[:, 5:] = right
    return codes


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_maps_of_other_programs_hold_whole_codes_in_any_type(tmp_path, dtype):
    foreign = write_raster(tmp_path / "m.tif", halves(10, 100, dtype), nodata=0)
    shapes = [(10, pixels(0, 0, 10, 5)), (100, pixels(0, 5, 10, 2)), (10, pixels(0, 7, 10, 1))]
    result = assess_quality(
        foreign, write_labels(tmp_path / "r.gpkg", shapes), workdir=tmp_path, overwrite=True
    )
    assert (result.labelled, result.accuracy) == (80, 70 / 80)
    for wrong in (halves(10, 300, "int32"), halves(-1, 10, "int32"), halves(1.5, 10, "float32")):
        odd = write_raster(tmp_path / "odd.tif", wrong)
        with pytest.raises(InputError, match=r"odd.tif holds (300|-1|1.5), a map needs whole cod"):
            assess_quality(odd, tmp_path / "r.gpkg", workdir=tmp_path, overwrite=True)


def test_a_raster_without_names_is_matched_by_a_legend_or_refused(tmp_path):
    mapped = write_map(tmp_path / "m.tif", halves(1, 3))  # forest, water
    reference = write_raster(tmp_path / "r.tif", halves(3, 1))  # by a scheme of its own
    with pytest.raises(InputError, match=r"equal codes agree in 0.0 percent .* input legend"):
        assess_quality(mapped, reference, workdir=tmp_path)
    (tmp_path / "l.json").write_text('{"1": "water", "2": "town", "3": "forest"}')
    result = assess_quality(mapped, reference, legend=tmp_path / "l.json", workdir=tmp_path)
    assert (result.labelled, result.accuracy) == (100, 1.0)
    assert json.loads(result.statistics.read_text())["classes"] == ["water", "forest"]


def test_a_map_without_names_is_matched_by_a_legend_or_refused(tmp_path):
    foreign = write_raster(tmp_path / "m.tif", halves(4, 7))
    shapes = [("farm", pixels(0, 0, 10, 5)), ("water", pixels(0, 5, 10, 5))]
    reference = write_labels(tmp_path / "r.gpkg", shapes)
    with pytest.raises(
        InputError, match=r"m.tif has the codes 4, 7 without names, r.gpkg has farm"
    ):
        assess_quality(foreign, reference, workdir=tmp_path)
    assert not (tmp_path / "report.html").exists()
    (tmp_path / "l.csv").write_text("code,name\n4,farm\n7,water\n")
    legend = tmp_path / "l.csv"
    assert assess_quality(foreign, reference, legend=legend, workdir=tmp_path).accuracy == 1.0


def test_a_stratified_design_weighs_the_classes_that_a_legend_names(tmp_path):
    """20 pixels are a, 80 b, half of these wrongly; by the legend a has another code."""
    codes = halves(4, 7)
    codes[:, 2:] = 7
    foreign = write_map(tmp_path / "m.tif", codes, Legend.of_codes([4, 7]))
    (tmp_path / "l.csv").write_text("code,name\n4,a\n7,b\n")
    drawn = draw_reference_sample(foreign, per_class=80, workdir=tmp_path)
    reference = label_points(
        drawn.points, tmp_path / "r.gpkg", lambda _, column: "b" if column in (2, 4, 6, 8) else "a"
    )
    result = assess_quality(
        foreign, reference, design="stratified", legend=tmp_path / "l.csv", workdir=tmp_path / "o"
    )
    adjusted = json.loads(result.statistics.read_text())["area_adjusted"]
    assert adjusted["accuracy"][0] == pytest.approx(0.2 * 1 + 0.8 * 0.5)


def test_names_that_gdal_keeps_beside_a_raster_count(tmp_path, caplog):
    mapped = write_map(tmp_path / "m.tif", halves(1, 3))
    reference = write_raster(tmp_path / "r.tif", halves(20, 10))
    (tmp_path / "r.tif.aux.xml").write_text(
        """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable tableType="thematic">
        <FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
        <FieldDefn index="1"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
        <Row index="0"><F>0</F><F>none</F></Row><Row index="1"><F>10</F><F>water</F></Row>
        <Row index="2"><F>20</F><F>forest </F></Row>
        </GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""
    )
    assert assess_quality(mapped, reference, workdir=tmp_path, overwrite=True).accuracy == 1.0
    assert "names of the classes of r.tif were taken from r.tif.aux.xml" in caplog.text
    categories = ["", "water", "forest"]
    reference = write_raster(tmp_path / "c.tif", halves(2, 1))
    (tmp_path / "c.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames>"
        + "".join(f"<Category>{name}</Category>" for name in categories)
        + "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    assert assess_quality(mapped, reference, workdir=tmp_path, overwrite=True).accuracy == 1.0


@pytest.mark.parametrize("text", ["<", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "\xff", "<a/>"])
def test_a_file_beside_a_raster_that_brings_no_names_changes_nothing(tmp_path, text):
    reference = write_map(tmp_path / "r.tif", halves(1, 3))
    bare = write_raster(tmp_path / "m.tif", halves(1, 3))
    (tmp_path / "m.tif.aux.xml").write_bytes(text.encode("latin-1"))
    assert assess_quality(bare, reference, workdir=tmp_path).accuracy == 1.0


def test_what_only_one_side_knows_and_what_does_not_count_is_said(tmp_path):
    codes = halves(1, 2)
    codes[0] = 255
    reference = halves(1, 0)
    reference[:, 9] = 3
    legend = Legend.from_list([{"code": 1, "name": "forest"}, {"code": 3, "name": "bog"}])
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes), write_map(tmp_path / "r.tif", reference, legend),
        workdir=tmp_path,
    )  # fmt: skip
    assert (result.labelled, result.accuracy) == (54, 45 / 54)
    page = result.report.read_text()
    assert "Classes of the reference that the map does not know count as wrong: bog." in page
    assert "Classes of the map that the reference does not know count as wrong: town." in page
    assert "40 pixels of the reference hold code 0 and do not count" in page
    assert "6 labelled pixels of the reference lie where the map is not classified" in page
