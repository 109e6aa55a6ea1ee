import re

import numpy as np
import pytest
from shapely.geometry import Point

from landcover import compare_maps
from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.operations import by_identifier
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

LEGEND = Legend.of(["forest", "water"])


def write_map(path, codes, legend=LEGEND, **how):
    return write_raster(path, codes, nodata=255, LANDCOVER_LEGEND=legend.to_tag(), **how)


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


def wrong_at(truth, corners, side):
    """Return a map that takes squares for the other class."""
    codes = truth.copy()
    for row, column in corners:
        codes[row : row + side, column : column + side] = (
            3 - codes[row : row + side, column : column + side]
        )
    return codes


@pytest.fixture
def worse(truth):
    """Wrong in 16 of the 32 polygons, here and there."""
    corners = [(row, column) for row in range(0, 80, 10) for column in range(0, 80, 10)]
    chosen = np.random.default_rng(1).permutation(len(corners))[:16]
    return wrong_at(truth, [corners[at] for at in chosen], 5)


def test_the_better_map_is_named(truth, worse, polygons, tmp_path):
    first, second = write_map(tmp_path / "1.tif", truth), write_map(tmp_path / "2.tif", worse)
    result = compare_maps(first, second, polygons, workdir=tmp_path, overwrite=True)
    assert result.better == "first"
    assert result.p_value == 2 / 2**16  # 16 polygons, all for the first
    other = compare_maps(second, first, polygons, workdir=tmp_path, overwrite=True)
    assert (other.better, other.p_value) == ("second", result.p_value)
    page = other.report.read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "2.tif" in page
    assert "лучше согласуется" in page
    assert "(p &lt; 0.001, below 0.05)" in page
    assert "each polygon or point of the reference counts as one witness" in page


def test_one_bad_polygon_is_no_proof(truth, polygons, tmp_path):
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth),
        write_map(tmp_path / "2.tif", wrong_at(truth, [(0, 0)], 5)),
        polygons,
        workdir=tmp_path,
    )
    assert (result.better, result.p_value) == ("neither", 1.0)
    page = result.report.read_text()
    assert "No decision is possible: the maps differ in too few independent places (1)" in page
    assert "p &lt; 0.001: that is too optimistic" in page


@pytest.mark.parametrize("by", ["polygons", "raster"])
def test_maps_that_are_right_in_the_same_pixels_are_said_to_be(
    truth, worse, polygons, by, tmp_path
):
    reference = polygons if by == "polygons" else write_map(tmp_path / "r.tif", truth)
    one, other = (write_map(tmp_path / f"{name}.tif", worse) for name in "12")
    result = compare_maps(one, other, reference, workdir=tmp_path)
    assert (result.better, result.p_value) == ("neither", 1.0)
    page = result.report.read_text()
    assert "both are right in the same pixels" in page
    assert "larger reference" not in page
    assert "one witness" not in page


def test_polygons_in_one_error_patch_are_joined(truth, polygons, tmp_path):
    """Of 16 polygons in one place that one map has wrong, all may be wrong for one reason."""
    run = by_identifier("compare-maps").run(
        {
            "first": write_map(tmp_path / "1.tif", truth),
            "second": write_map(tmp_path / "2.tif", wrong_at(truth, [(0, 0)], 40)),
            "reference": polygons,
        },
        tmp_path / "work",
    )
    assert run.outputs["better"] == "neither"
    assert any("joined in blocks of" in remark for remark in run.remarks)
    assert any("No decision is possible" in remark for remark in run.remarks)


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
    assert "plain.tif names no classes" in page
    assert "reference names no classes" not in page


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


def test_a_raster_reference_is_clustered_by_blocks_wider_than_error_patches(tmp_path):
    truth = np.ones((400, 300), np.uint8)
    corners = np.random.default_rng(1).integers(0, (392, 292), (60, 2)).tolist()
    maps = (
        write_map(tmp_path / "1.tif", wrong_at(truth, corners, 8)),
        write_map(tmp_path / "2.tif", truth),
    )
    result = compare_maps(*maps, write_map(tmp_path / "r.tif", truth), workdir=tmp_path)
    assert (result.better, result.p_value < 0.001) == ("second", True)
    side = int(re.search(r"each block of (\d+) by", result.report.read_text())[1])
    assert 12 <= side <= 20  # twice the patches


@pytest.mark.parametrize("patches", [1, 3])
def test_few_error_patches_decide_nothing(tmp_path, patches):
    truth = np.ones((300, 300), np.uint8)
    worse = wrong_at(truth, [(50 * at + 10, 50 * at + 10) for at in range(patches)], 20)
    reference = write_map(tmp_path / "r.tif", truth)
    maps = write_map(tmp_path / "1.tif", worse), write_map(tmp_path / "2.tif", truth)
    result = compare_maps(*maps, reference, workdir=tmp_path)
    assert result.better == "neither"
    assert "No decision is possible" in result.report.read_text()


def test_points_apart_are_witnesses_of_their_own(truth, tmp_path):
    corners = [(10, column) for column in (0, 2, 8, 10, 14, 16, 22, 28, 30, 36)]
    at = [Point(TRANSFORM @ (column + 0.5, 10.5)) for column in range(0, 40, 2)]
    reference = write_labels(tmp_path / "p.gpkg", [("forest", point) for point in at])
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth),
        write_map(tmp_path / "2.tif", wrong_at(truth, corners, 1)),
        reference,
        workdir=tmp_path,
    )
    assert result.p_value == 2 / 2**10


def test_points_side_by_side_in_one_error_patch_are_joined(truth, tmp_path):
    at = [Point(TRANSFORM @ (column + 0.5, 10.5)) for column in range(0, 40, 2)]
    reference = write_labels(tmp_path / "p.gpkg", [("forest", point) for point in at])
    result = compare_maps(
        write_map(tmp_path / "1.tif", truth),
        write_map(tmp_path / "2.tif", wrong_at(truth, [(0, 0)], 20)),
        reference,
        workdir=tmp_path,
    )
    assert result.better == "neither"
    assert "No decision is possible" in result.report.read_text()


def test_two_maps_of_one_name_are_told_apart_by_job_or_folder(truth, worse, polygons, tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    maps = (
        write_map(tmp_path / "old" / "map.tif", truth),
        write_map(tmp_path / "new" / "map.tif", worse),
    )
    page = compare_maps(*maps, polygons, workdir=tmp_path).report.read_text()
    assert "old/map.tif agrees better" in page
    names = {"first": "home/jobs/3f2a/map.tif", "second": "home/jobs/77ab/map.tif"}
    run = by_identifier("compare-maps").run(
        {"first": maps[0], "second": maps[1], "reference": polygons},
        tmp_path / "job",
        names={**names, "reference": "home/reference.gpkg"},
    )
    page = run.result.report.read_text()
    assert "Which map is better: job 3f2a/map.tif or job 77ab/map.tif?" in page
    assert "Compared with reference.gpkg" in page


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


def test_whole_numbers_are_the_codes_of_both_maps(truth, tmp_path):
    shapes = [(5, pixels(row, 0, 5, 5)) for row in range(0, 80, 10)]
    shapes += [(9, pixels(row, 60, 5, 5)) for row in range(0, 80, 10)]
    reference = write_labels(tmp_path / "r.gpkg", shapes)
    codes = np.where(truth == 1, 5, 9)
    own = write_map(tmp_path / "1.tif", codes.astype(np.uint8), Legend.of_values(["5", "9"]))
    foreign = write_raster(tmp_path / "2.tif", codes.astype(np.int16), nodata=-1)
    for maps in ((own, foreign), (foreign, own)):
        result = compare_maps(*maps, reference, workdir=tmp_path, overwrite=True)
        assert (result.better, result.p_value) == ("neither", 1.0)
        assert "100.0 % / 100.0 %" in result.report.read_text()


def test_codes_of_another_scheme_are_named_by_a_legend_or_refused(truth, polygons, tmp_path):
    own = write_map(tmp_path / "1.tif", truth)  # forest, water
    foreign = write_raster(tmp_path / "2.tif", (3 - truth).astype(np.float32))
    with pytest.raises(InputError, match=r"equal codes agree in 0.0 percent"):
        compare_maps(own, foreign, polygons, workdir=tmp_path, overwrite=True)
    with pytest.raises(InputError, match="no class in common"):
        compare_maps(foreign, foreign, polygons, workdir=tmp_path, overwrite=True)
    (tmp_path / "l.csv").write_text("code,name\n1,water\n2,forest\n")
    for maps in ((own, foreign), (foreign, own), (foreign, foreign)):
        result = compare_maps(
            *maps, polygons, legend=tmp_path / "l.csv", workdir=tmp_path, overwrite=True
        )
        assert (result.better, result.p_value) == ("neither", 1.0)
        assert "100.0 % / 100.0 %" in result.report.read_text()


def test_a_reference_of_another_scheme_is_named_by_a_legend_or_refused(truth, tmp_path):
    own = write_map(tmp_path / "1.tif", truth)
    reference = write_raster(tmp_path / "r.tif", (3 - truth).astype(np.int32))
    with pytest.raises(
        InputError, match=r"first\) with 1.tif \(second\) has forest, water, r.tif has the codes"
    ):
        compare_maps(own, own, reference, workdir=tmp_path)
    (tmp_path / "l.csv").write_text("code,name\n1,water\n2,forest\n")
    result = compare_maps(own, own, reference, legend=tmp_path / "l.csv", workdir=tmp_path)
    assert "100.0 % / 100.0 %" in result.report.read_text()
