import csv
import json

import geopandas
import numpy as np
import pytest
import rasterio

from landcover import assess_quality, draw_reference_sample
from landcover.errors import InputError
from landcover.legend import Legend
from tests.scenes import write_raster

LEGEND = Legend.of(["forest", "town", "water"])


@pytest.fixture
def mapped(tmp_path):
    """A map with 5 pixels of town, 600 of water, the rest forest; part of it unclassified."""
    codes = np.ones((60, 80), np.uint8)
    codes[:10] = 255
    codes[20:40, 30:60] = 3
    codes[50, :5] = 2
    return write_raster(tmp_path / "map.tif", codes, nodata=255, LANDCOVER_LEGEND=LEGEND.to_tag())


def class_at(mapped, points):
    with rasterio.open(mapped) as dataset:
        at = [(point.x, point.y) for point in points.geometry]
        return np.array([value[0] for value in dataset.sample(at)])


def test_each_class_gets_its_number_of_distinct_points(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, per_class=20, counts="water = 100", workdir=tmp_path)
    points = geopandas.read_file(drawn.points)
    assert drawn.total == len(points) == 20 + 5 + 100
    assert points["class"].isna().all()
    assert points.crs == "EPSG:32648"
    assert len(set(zip(points.geometry.x, points.geometry.y, strict=True))) == len(points)
    assert np.bincount(class_at(mapped, points)).tolist() == [0, 20, 5, 100]
    with drawn.counts.open(newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [
            ("forest", "1", "3395", "20"),
            ("town", "2", "5", "5"),
            ("water", "3", "600", "100"),
        ]


def test_points_come_in_random_order_and_the_same_for_a_seed(mapped, tmp_path):
    orders = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / folder).mkdir()
        drawn = draw_reference_sample(mapped, seed=seed, workdir=tmp_path / folder)
        orders.append(class_at(mapped, geopandas.read_file(drawn.points)).tolist())
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_every_pixel_of_a_class_is_equally_likely(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, per_class=0, counts="water=300", workdir=tmp_path)
    points = geopandas.read_file(drawn.points)
    # half of the 600 pixels, which lie in columns 30 to 59 and rows 20 to 39
    assert points.geometry.x.mean() == pytest.approx(500_000 + 450, abs=10)
    assert points.geometry.y.mean() == pytest.approx(5_800_000 - 300, abs=7)


def test_labelled_points_speak_for_the_whole_map(mapped, tmp_path):
    rng = np.random.default_rng(0)
    with rasterio.open(mapped) as dataset:
        codes = dataset.read(1)
    truth = np.where((rng.random(codes.shape) < 0.2) & (codes == 1), 3, codes)
    drawn = draw_reference_sample(mapped, per_class=200, workdir=tmp_path)
    points = geopandas.read_file(drawn.points)
    left, top = 500_000, 5_800_000
    rows = ((top - points.geometry.y) // 10).astype(int)
    columns = ((points.geometry.x - left) // 10).astype(int)
    points["class"] = [LEGEND.names[code - 1] for code in truth[rows, columns]]
    points.to_file(tmp_path / "labelled.gpkg")
    result = assess_quality(
        mapped, tmp_path / "labelled.gpkg", design="stratified", workdir=tmp_path
    )
    valid = codes != 255
    page = result.report.read_text()
    assert result.labelled == drawn.total
    estimates = json.loads(result.statistics.read_text())["area_adjusted"]
    value, half = estimates["accuracy"]
    assert abs(value - (truth == codes)[valid].mean()) <= half
    assert estimates["area"] == pytest.approx(valid.sum() * 100 / 10_000)
    share, half = estimates["shares"]["water"]
    assert abs(share - (truth == 3)[valid].mean()) <= half
    assert "площадь, га" in page


def test_points_without_a_class_are_not_taken_for_a_reference(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, workdir=tmp_path)
    with pytest.raises(InputError, match="feature 1 has no class"):
        assess_quality(mapped, drawn.points, design="stratified", workdir=tmp_path)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ("bog=3", "class bog is not in the legend, which has forest, town, water"),
        ("water", "counts holds water, needs a class and a number as in water=100"),
        ("water=-3", "needs a class and a number"),
    ],
)
def test_counts_that_do_not_do_are_named(mapped, tmp_path, counts, sentence):
    with pytest.raises(InputError, match=sentence):
        draw_reference_sample(mapped, counts=counts, workdir=tmp_path)


def test_a_map_without_a_classified_pixel_gives_no_points(tmp_path):
    empty = write_raster(
        tmp_path / "map.tif", np.full((5, 5), 255, np.uint8), nodata=255,
        LANDCOVER_LEGEND=LEGEND.to_tag(),
    )  # fmt: skip
    with pytest.raises(InputError, match="holds no pixel to draw"):
        draw_reference_sample(empty, workdir=tmp_path)
    assert not list(tmp_path.glob("*.gpkg"))
