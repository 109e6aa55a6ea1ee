import numpy as np
import pytest
from scipy.stats import binomtest, chi2
from shapely.geometry import Point

from landcover import compare_maps
from landcover.errors import InputError
from landcover.legend import Legend
from landcover.quality.comparison import mcnemar
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

LEGEND = Legend.of(["forest", "water"])


def write_map(path, codes, legend=LEGEND, **how):
    return write_raster(path, codes, nodata=255, LANDCOVER_LEGEND=legend.to_tag(), **how)


def test_one_witness_a_place_is_mcnemars_own_test():
    few = mcnemar(np.array([1] * 9 + [-1] * 3 + [0] * 50), 9, 3)
    assert few.p_value == pytest.approx(binomtest(9, 12).pvalue)
    many = mcnemar(np.array([1] * 40 + [-1] * 20), 40, 20)
    assert many.p_value == pytest.approx(chi2.sf(20**2 / 60, 1))
    assert many.p_value == pytest.approx(many.pixelwise)
    assert (many.better, many.advantage, many.discordant) == ("first", 20, 60)


def test_maps_that_agree_alike_are_told_apart_in_5_of_100_cases():
    """Errors come in whole polygons: pixel by pixel, chance would look like a difference."""
    rng = np.random.default_rng(2)
    clustered, pixelwise = [], []
    for places in (12, 60):
        for _ in range(1500):
            size = rng.integers(5, 100, places)
            sign = rng.choice([-1, 0, 1], places, p=[0.3, 0.4, 0.3])
            advantages = size * sign
            verdict = mcnemar(
                advantages, int(advantages[sign > 0].sum()), int(-advantages[sign < 0].sum())
            )
            clustered.append(verdict.p_value < 0.05)
            pixelwise.append(verdict.pixelwise < 0.05)
    assert 0.02 < np.mean(clustered) < 0.065
    assert np.mean(pixelwise) > 0.5


def test_no_difference_has_p_1():
    verdict = mcnemar(np.zeros(30, int), 0, 0)
    assert (verdict.p_value, verdict.pixelwise, verdict.better) == (1, 1, "neither")


@pytest.fixture
def truth():
    codes = np.ones((80, 80), np.uint8)
    codes[:, 40:] = 2
    return codes


@pytest.fixture
def polygons(tmp_path):
    shapes = [
        (name, pixels(row, column, 5, 5))
        for name, start in (("forest", 0), ("water", 40))
        for row in range(0, 80, 10)
        for column in range(start, start + 40, 10)
    ]
    return write_labels(tmp_path / "reference.gpkg", shapes)


def test_the_better_map_is_named(truth, polygons, tmp_path):
    worse = truth.copy()
    worse[:40, :40] = 2
    first, second = write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", worse)
    result = compare_maps(first, second, polygons, workdir=tmp_path)
    assert result.better == "first"
    assert result.p_value == 2 / 2**16  # 16 polygons, all for the first
    other = compare_maps(second, first, polygons, workdir=tmp_path)
    assert (other.better, other.p_value) == ("second", result.p_value)
    page = other.report.read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "2.tif" in page
    assert "лучше согласуется" in page


def test_one_bad_polygon_is_no_proof(truth, polygons, tmp_path):
    worse = truth.copy()
    worse[:5, :5] = 2
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", worse), polygons,
        workdir=tmp_path,
    )  # fmt: skip
    assert (result.better, result.p_value) == ("neither", 1.0)
    page = result.report.read_text()
    assert "p = 1.0000" in page
    assert "p &lt; 0.0001: that is too optimistic" in page


def test_classes_are_matched_by_name(truth, polygons, tmp_path):
    swapped = Legend.from_list([{"code": 1, "name": "water"}, {"code": 7, "name": "forest"}])
    codes = np.where(truth == 1, 7, 1).astype(np.uint8)
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", codes, swapped),
        polygons, workdir=tmp_path,
    )  # fmt: skip
    assert (result.better, result.p_value) == ("neither", 1.0)
    assert "0.0 %" in result.report.read_text()


def test_a_name_is_no_code_of_the_other_map(truth, polygons, tmp_path):
    numbers = Legend.from_list([{"code": 1, "name": "2"}, {"code": 2, "name": "forest"}])
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", truth, numbers),
        polygons, workdir=tmp_path,
    )  # fmt: skip
    assert result.better == "first"
    assert " 100.0 % have different classes" in result.report.read_text()


@pytest.mark.parametrize("nameless", [0, 1])
def test_classes_of_a_map_without_names_are_matched_by_code(truth, polygons, tmp_path, nameless):
    maps = [write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", truth)]
    maps[nameless] = write_raster(tmp_path / "plain.tif", truth, nodata=255)
    result = compare_maps(*maps, polygons, workdir=tmp_path)
    assert (result.better, result.p_value) == ("neither", 1.0)
    page = result.report.read_text()
    assert "have different classes" in page
    assert " 0.0 % have" in page
    assert "100.0 % / 100.0 %" in page


def test_only_pixels_that_both_maps_classify_count(truth, polygons, tmp_path):
    hidden = truth.copy()
    hidden[:40] = 255
    wrong = truth.copy()
    wrong[:40] = 3 - wrong[:40]  # wrong where the other map says nothing
    result = compare_maps(
        write_map(tmp_path / "1.tif", hidden), write_map(tmp_path / "2.tif", wrong), polygons,
        workdir=tmp_path,
    )  # fmt: skip
    assert result.better == "neither"
    assert f"{8 * 4 * 25} pixels in 32 places" in result.report.read_text()


def test_a_raster_reference_is_clustered_by_blocks_of_64_pixels(tmp_path):
    truth = np.ones((128, 64 * 20), np.uint8)
    truth[64:] = 2
    worse = truth.copy()
    worse[:64, : 64 * 6] = 2
    reference = write_map(tmp_path / "r.tif", truth)
    result = compare_maps(
        write_map(tmp_path / "1.tif", worse), write_map(tmp_path / "2.tif", truth), reference,
        workdir=tmp_path,
    )  # fmt: skip
    assert result.better == "second"
    assert result.p_value == 2 / 2**6


def test_points_are_witnesses_of_their_own(truth, tmp_path):
    worse = truth.copy()
    worse[:, :20] = 2
    at = [Point(TRANSFORM @ (column + 0.5, 10.5)) for column in range(0, 40, 2)]
    reference = write_labels(tmp_path / "p.gpkg", [("forest", point) for point in at])
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", worse), reference,
        workdir=tmp_path,
    )  # fmt: skip
    assert result.p_value == 2 / 2**10


def test_a_second_map_on_another_grid_is_moved_and_that_is_said(truth, polygons, tmp_path):
    second = write_map(
        tmp_path / "2.tif", truth[::2, ::2], transform=TRANSFORM @ TRANSFORM.scale(2)
    )
    result = compare_maps(write_map(tmp_path / "1.tif", truth), second, polygons, workdir=tmp_path)
    assert result.better == "neither"
    assert "another grid" in result.report.read_text()


def test_no_overlap_is_an_error(truth, tmp_path):
    reference = write_labels(tmp_path / "r.gpkg", [("forest", pixels(900, 0, 2, 2))])
    one, two = write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", truth)
    with pytest.raises(InputError, match="they do not overlap"):
        compare_maps(one, two, reference, workdir=tmp_path)
    assert not (tmp_path / "report.html").exists()
