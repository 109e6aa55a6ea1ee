import csv
import json
import math

import numpy as np
import pytest
from pycm import ConfusionMatrix
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
