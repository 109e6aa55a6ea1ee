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

from landcover import assess_quality
from landcover.errors import InputError
from landcover.legend import Legend
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

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
    result = assess_quality(write_map(tmp_path / "m.tif", codes), nameless, workdir=tmp_path)
    assert "The reference names no classes" in result.report.read_text()
    named = assess_quality(
        write_map(tmp_path / "m.tif", codes), write_map(tmp_path / "n.tif", codes),
        workdir=tmp_path,
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


@pytest.mark.parametrize("design", ["none", "stratified"])
def test_a_code_that_the_maps_legend_does_not_name_is_an_error(tmp_path, design):
    codes = np.ones((10, 10), np.uint8)
    codes[5:] = 2
    unnamed = write_map(tmp_path / "m.tif", codes, Legend.of(["forest"]))
    reference = write_labels(
        tmp_path / "r.gpkg", [("forest", pixels(0, 0, 6, 10)), ("water", pixels(6, 0, 4, 10))]
    )
    with pytest.raises(InputError, match=r"m.tif holds code 2, which its legend does not name"):
        assess_quality(unnamed, reference, design=design, workdir=tmp_path)
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
    assert "1 features of the reference lie outside the map" in page
    assert "1 pixels are labelled as two classes" in page
    assert result.labelled == 30


def test_no_overlap_is_an_error(tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", [("forest", pixels(900, 0, 2, 2))])
    with pytest.raises(InputError, match="they do not overlap"):
        assess_quality(
            write_map(tmp_path / "m.tif", np.ones((5, 5), np.uint8)), reference, workdir=tmp_path
        )
    assert not (tmp_path / "report.html").exists()


def test_codes_that_mean_different_classes_are_an_error(tmp_path):
    codes = np.ones((5, 5), np.uint8)
    reference = write_map(tmp_path / "r.tif", codes, Legend.of(["bog"]))
    with pytest.raises(InputError, match=r"code 1 is forest on m.tif and bog in the reference"):
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


def test_a_stratified_design_gives_intervals_in_the_report(tmp_path):
    codes = np.ones((20, 20), np.uint8)
    codes[:, 10:] = 2
    shapes = [("forest", pixels(0, 0, 4, 12)), ("town", pixels(10, 10, 2, 5))]
    result = assess_quality(
        write_map(tmp_path / "m.tif", codes), write_labels(tmp_path / "r.gpkg", shapes),
        design="stratified", workdir=tmp_path,
    )  # fmt: skip
    assert "95 % interval" in result.report.read_text()
