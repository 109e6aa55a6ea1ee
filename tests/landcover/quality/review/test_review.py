"""Maps of which is known where they are wrong."""

import csv

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Point

from landcover import draw_reference_sample, review_map
from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.operations import by_identifier
from tests.scenes import TRANSFORM, label_points, pixels, write_labels, write_raster

LEGEND = Legend.of(["forest", "water"])
SIDE = 160


def write_map(path, codes, legend=LEGEND, **how):
    return write_raster(path, codes, nodata=255, LANDCOVER_LEGEND=legend.to_tag(), **how)


@pytest.fixture
def truth():
    codes = np.ones((SIDE, SIDE), np.uint8)
    codes[:, SIDE // 2 :] = 2
    return codes


@pytest.fixture
def mapped(truth):
    """Wrong in two squares at the upper left, 40 of 160 rows and columns."""
    codes = truth.copy()
    codes[:40, :40] = 2
    return codes


@pytest.fixture
def confidence(tmp_path):
    percent = np.full((SIDE, SIDE), 98, np.uint8)
    percent[:40, :40] = 55
    return write_raster(tmp_path / "confidence.tif", percent, nodata=255)


def points(path, codes, number, seed=0, rows=(0, SIDE)):
    """Write random points with what is really there."""
    rng = np.random.default_rng(seed)
    at = rng.integers(rows[0], rows[1], number), rng.integers(0, SIDE, number)
    shapes = [
        (LEGEND.names[codes[row, column] - 1], Point(TRANSFORM @ (column + 0.5, row + 0.5)))
        for row, column in zip(*at, strict=True)
    ]
    return write_labels(path, shapes)


def windows(result):
    return geopandas.read_file(result.windows).sort_values("rank").reset_index(drop=True)


def plan(result):
    with result.plan.open() as file:
        return list(csv.DictReader(file))


def run(folder, **inputs):
    return by_identifier("review-map").run(inputs, folder / "work")


def test_windows_of_low_confidence_come_first_as_one_cluster(mapped, confidence, tmp_path):
    found = windows(
        review_map(write_map(tmp_path / "m.tif", mapped), confidence, window=8, workdir=tmp_path)
    )
    assert len(found) == 400
    assert found["rank"].tolist() == list(range(1, 401))
    assert found["pixels"].sum() == SIDE * SIDE
    doubtful = found[found.doubt > 0.4]
    assert len(doubtful) == 25
    assert doubtful["rank"].max() == 25
    assert set(doubtful.cluster) == {1}
    assert set(found[found.doubt < 0.4].cluster) == {0}
    assert found.union_all().area == (SIDE * 10) ** 2


def test_one_window_of_each_cluster_is_looked_at_before_a_second_one(mapped, tmp_path):
    percent = np.full((SIDE, SIDE), 95, np.uint8)
    percent[:32, :32], percent[120:152, 120:152] = 50, 60
    sure = write_raster(tmp_path / "c.tif", percent)
    found = windows(
        review_map(write_map(tmp_path / "m.tif", mapped), sure, window=8, workdir=tmp_path)
    )
    assert found.cluster[:4].tolist() == [1, 2, 1, 2]


def test_without_a_reference_nothing_is_trusted(mapped, confidence, tmp_path):
    found = run(tmp_path, map=write_map(tmp_path / "m.tif", mapped), confidence=confidence)
    assert found.outputs["trusted"] == 0
    assert any("trusted is 0" in remark for remark in found.remarks)


def test_random_points_show_which_zone_can_be_trusted(truth, mapped, confidence, tmp_path):
    result = review_map(
        write_map(tmp_path / "m.tif", mapped),
        confidence,
        reference=points(tmp_path / "p.gpkg", truth, 250),
        window=8,
        workdir=tmp_path / "out",
    )
    assert result.trusted == pytest.approx(0.9, abs=0.011)
    found = windows(result)
    assert set(found[found.doubt > 0.4].trusted) == {0}
    assert found[found.trusted == 1].pixels.sum() / SIDE**2 == pytest.approx(result.trusted)
    assert found.labelled.sum() <= 250
    assert found.wrong.sum() > 5
    page = result.report.read_text()
    assert "For a methods section" in page
    assert "Для раздела «Методы»" in page
    assert "Clopper and Pearson" in page


def test_a_wrong_map_is_not_trusted_however_sure_it_is(truth, tmp_path):
    wrong = np.where(np.random.default_rng(1).random(truth.shape) < 0.3, 3 - truth, truth)
    sure = write_raster(tmp_path / "c.tif", np.full(truth.shape, 99, np.uint8))
    result = review_map(
        write_map(tmp_path / "m.tif", wrong.astype(np.uint8)),
        sure,
        reference=points(tmp_path / "p.gpkg", truth, 200),
        window=8,
        workdir=tmp_path / "out",
    )
    assert result.trusted == 0
    assert result.report.read_text().count('<span lang="en">no</span>') == 2  # both classes


def test_many_labels_in_one_window_are_one_witness(truth, confidence, tmp_path):
    reference = write_labels(tmp_path / "p.gpkg", [("water", pixels(96, 96, 32, 32))])
    inputs = {"map": write_map(tmp_path / "m.tif", truth), "confidence": confidence}
    found = run(tmp_path, **inputs, reference=reference)
    assert found.outputs["trusted"] == 0
    page = found.outputs["report"].read_text()
    assert "1,024 labelled pixels that count as 1.0 witnesses" in page
    assert "0.0 – 97.5 %" in page
    assert any("drawn at random" in remark for remark in found.remarks)


def test_labels_in_doubtful_windows_only_are_told(truth, mapped, confidence, tmp_path):
    reference = points(tmp_path / "p.gpkg", truth, 300, rows=(0, 40))
    inputs = {"map": write_map(tmp_path / "m.tif", mapped), "confidence": confidence}
    found = run(tmp_path, **inputs, reference=reference, window=8)
    assert any("another doubt than the map" in remark for remark in found.remarks)


def test_drawn_points_are_weighted_by_area(tmp_path):
    """Water is a tenth of the map and half of the points; the map has half of it wrong."""
    codes = np.ones((SIDE, SIDE), np.uint8)
    codes[:16] = 2
    path = write_map(tmp_path / "m.tif", codes)
    drawn = draw_reference_sample(path, per_class=100, workdir=tmp_path / "drawn")
    labelled = label_points(
        drawn.points,
        tmp_path / "l.gpkg",
        lambda row, column: "water" if row < 16 and column % 2 else "forest",
    )
    page = review_map(path, reference=labelled, window=4, workdir=tmp_path / "out").report
    text = page.read_text()
    (rate,) = {
        float(part.split(" %</b>")[0]) for part in text.split("<b>")[1:] if " %</b>" in part
    }
    assert rate == pytest.approx(5, abs=1.2)
    assert "stratified by the map&#39;s classes" in text


def test_the_better_map_is_named_and_disagreement_is_doubt(truth, mapped, tmp_path):
    result = review_map(
        write_map(tmp_path / "worse.tif", mapped),
        other=write_map(tmp_path / "better.tif", truth),
        reference=points(tmp_path / "p.gpkg", truth, 400),
        window=8,
        workdir=tmp_path / "out",
    )
    found = windows(result)
    assert found.doubt[:25].tolist() == [0.5] * 25
    assert found.differs[:25].tolist() == [1] * 25
    assert "better.tif is right more often where they differ" in result.report.read_text()


def test_pixels_left_open_are_doubtful(truth, confidence, tmp_path):
    codes = truth.copy()
    codes[120:128, 120:128] = 0  # one window of 0, where nodata is 255
    codes[:8, 152:] = 255  # and one of nodata
    plain = write_map(tmp_path / "m.tif", codes)
    found = windows(review_map(plain, window=8, workdir=tmp_path / "1"))
    assert (found.unknown[0], found.doubt[0], len(found)) == (64, 1, 399)
    found = windows(review_map(plain, confidence, window=8, workdir=tmp_path / "2"))
    assert found.unknown.sum() == 128


def test_the_plan_says_how_many_labels_are_needed(mapped, confidence, tmp_path):
    rows = plan(
        review_map(write_map(tmp_path / "m.tif", mapped), confidence, workdir=tmp_path / "out")
    )
    rates = [int(row["labels"]) for row in rows if row["question"] == "error rate"]
    assert rates == sorted(rates, reverse=True)
    zones = [row for row in rows if row["question"] == "zone"]
    assert len(zones) == 10
    assert 59 < int(zones[4]["labels"]) < 400
    assert {row["of"] for row in rows if row["question"] == "class"} == {"forest", "water"}


def test_shares_are_taken_for_confidence_as_percent_are(mapped, confidence, tmp_path):
    shares = np.full((SIDE, SIDE), 0.98, np.float32)
    shares[:40, :40] = 0.55
    path = write_map(tmp_path / "m.tif", mapped)
    given = write_raster(tmp_path / "shares.tif", shares)
    one = windows(review_map(path, confidence, workdir=tmp_path / "1"))
    other = windows(review_map(path, given, workdir=tmp_path / "2"))
    assert other.doubt.tolist() == pytest.approx(one.doubt.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((SIDE, SIDE), 120, np.uint8), "a confidence is 0 to 100 percent"),
        (np.full((SIDE, SIDE), 255, np.uint8), "do not overlap"),
        (np.full((2, SIDE, SIDE), 90, np.uint8), "a confidence has one"),
    ],
)
def test_what_is_no_confidence_is_refused(values, why, truth, tmp_path):
    given = write_raster(tmp_path / "c.tif", values, nodata=255)
    with pytest.raises(InputError, match=why):
        review_map(write_map(tmp_path / "m.tif", truth), given, workdir=tmp_path / "out")


def test_windows_may_not_be_too_many(tmp_path):
    codes = np.ones((4004, 4004), np.uint8)
    with pytest.raises(InputError, match="give a larger window"):
        review_map(write_map(tmp_path / "m.tif", codes), window=4, workdir=tmp_path / "out")


def test_a_raster_reference_is_joined_in_blocks_wider_than_errors_reach(truth, mapped, tmp_path):
    """All 25,600 pixels are labelled, and they are but a few witnesses."""
    codes = truth.copy()
    codes[96:, 96:] = 1
    path, reference = write_map(tmp_path / "m.tif", mapped), write_map(tmp_path / "r.tif", codes)
    page = review_map(path, reference=reference, window=4, workdir=tmp_path / "out").report
    witnesses = float(page.read_text().split("that count as ")[1].split(" witnesses")[0])
    assert 1 <= witnesses < 30


def test_another_map_may_lie_on_another_grid_and_know_other_codes(truth, mapped, tmp_path):
    swapped = Legend.from_list([{"code": 1, "name": "water"}, {"code": 7, "name": "forest"}])
    coarse = np.where(truth == 1, 7, 1).astype(np.uint8)[::2, ::2]
    other = write_map(
        tmp_path / "o.tif", coarse, swapped, transform=TRANSFORM @ Affine.scale(2, 2)
    )
    found = windows(
        review_map(write_map(tmp_path / "m.tif", mapped), other=other, window=8, workdir=tmp_path)
    )
    assert found.doubt.tolist() == [0.5] * 25 + [0] * 375


def test_maps_of_different_places_are_refused(truth, tmp_path):
    away = TRANSFORM @ Affine.translation(1000, 0)
    maps = [
        write_map(tmp_path / "m.tif", truth),
        write_map(tmp_path / "o.tif", truth, transform=away),
    ]
    with pytest.raises(InputError, match="they do not overlap"):
        review_map(maps[0], other=maps[1], workdir=tmp_path / "out")


def test_labels_outside_the_map_are_refused(truth, tmp_path):
    reference = write_labels(tmp_path / "p.gpkg", [("water", pixels(500, 500, 4, 4))])
    with pytest.raises(InputError, match="they do not overlap"):
        review_map(
            write_map(tmp_path / "m.tif", truth), reference=reference, workdir=tmp_path / "out"
        )
