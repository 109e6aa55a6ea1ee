import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from shapely.geometry import Point

from landcover import assess_quality, compare_maps, draw_reference_sample
from landcover.errors import InputError
from landcover.io.legend import Legend
from tests.scenes import CRS, label_points, pixels, write_labels, write_raster

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


def named(codes):
    return lambda row, column: LEGEND.names[codes[row, column] - 1]


def codes_of(mapped):
    with rasterio.open(mapped) as dataset:
        return dataset.read(1)


def assessed(mapped, reference, tmp_path):
    result = assess_quality(mapped, reference, design="stratified", workdir=tmp_path / "assessed")
    statistics = json.loads(result.statistics.read_text())
    remarks = json.loads((tmp_path / "assessed" / "run.json").read_text())["run"]["remarks"]
    return result, statistics, remarks


def test_labelled_points_speak_for_the_whole_map(mapped, tmp_path):
    rng = np.random.default_rng(0)
    codes = codes_of(mapped)
    truth = np.where((rng.random(codes.shape) < 0.2) & (codes == 1), 3, codes)
    drawn = draw_reference_sample(mapped, per_class=200, workdir=tmp_path)
    labelled = label_points(drawn.points, tmp_path / "labelled.gpkg", named(truth))
    result, statistics, remarks = assessed(mapped, labelled, tmp_path)
    valid = codes != 255
    assert result.labelled == drawn.total
    assert remarks == []
    assert statistics["sample"] == {
        "drawn": 405, "unlabelled": {}, "moved": 0, "added": 0, "missing": 0
    }  # fmt: skip
    estimates = statistics["area_adjusted"]
    value, half = estimates["accuracy"]
    low, high = estimates["intervals"]["accuracy"]
    assert low <= (truth == codes)[valid].mean() <= high
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.02)
    assert estimates["area"] == pytest.approx(valid.sum() * 100 / 10_000)
    low, high = estimates["intervals"]["shares"]["water"]
    assert low <= (truth == 3)[valid].mean() <= high
    page = result.report.read_text()
    assert "площадь, га" in page
    assert f"{100 * value:.1f} %" in page
    assert not re.search(r"\d\.\d{4}", page.partition("<main>")[2].replace("data:image", ""))


def test_points_name_their_map_and_hide_their_class(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, per_class=20, workdir=tmp_path)
    points = geopandas.read_file(drawn.points)
    digest = hashlib.sha256(mapped.read_bytes()).hexdigest()
    assert set(points["map"]) == {digest[:16]}
    assert points["stratum"].is_unique
    # no digit of a seal says more of the class than chance: entropy, not a list of forbidden words
    digits = np.array([list(bytes.fromhex(seal)) for seal in points["stratum"]])
    for digit in digits.T:
        assert len(set(digit.tolist())) > 0.7 * len(digit)


@pytest.mark.parametrize(
    ("ending", "crs"),
    [("gpkg", CRS), ("geojson", "EPSG:4326"), ("shp", "EPSG:3857"), ("fgb", "EPSG:4326")],
)
def test_what_an_editor_did_to_the_points_is_counted(mapped, tmp_path, ending, crs):
    codes = codes_of(mapped)
    drawn = draw_reference_sample(mapped, per_class=20, workdir=tmp_path)
    points = geopandas.read_file(label_points(drawn.points, tmp_path / "l.gpkg", named(codes)))
    of_class = {name: points.index[points["class"] == name].tolist() for name in LEGEND.names}
    points.loc[of_class["water"][:3], "class"] = [None, "", "  "]
    points.loc[of_class["forest"][0], "class"] = None
    moved = of_class["forest"][1:3]
    points.loc[moved, "geometry"] = points.loc[moved].translate(40, 0)
    points.loc[of_class["forest"][3], "geometry"] = Point(400_000, 5_000_000)  # off the map
    points.loc[[*moved, of_class["forest"][3]], "class"] = "town"
    within = of_class["water"][3]
    points.loc[[within], "geometry"] = points.loc[[within]].translate(3, -3)  # the same pixel
    added = points.loc[of_class["water"][4:7]].copy()
    added["geometry"] = added.translate(-70, 10)
    added.loc[added.index[:2], "stratum"] = [None, "00"]
    points = points.drop(index=of_class["water"][-5:])
    points = geopandas.GeoDataFrame(pd.concat([added, points.sample(frac=1, random_state=1)]))
    target = tmp_path / f"edited.{ending}"
    points.set_crs(CRS).to_crs(crs).to_file(target)
    result, statistics, remarks = assessed(mapped, target, tmp_path)
    assert statistics["sample"] == {
        "drawn": 45, "unlabelled": {"forest": 1, "water": 3}, "moved": 3, "added": 3, "missing": 5
    }  # fmt: skip
    assert result.labelled == 45 - 4 - 3 - 5
    assert result.accuracy == 1  # of what was moved nothing counts
    assert remarks[0] == (
        "4 of 45 drawn points have no class and do not count (by the class on the map: forest 1, "
        "water 3); the sample of these classes is that much smaller."
    )
    assert remarks[1] == "5 of 45 drawn points are not in the file."
    assert remarks[2].startswith("3 points were moved to another pixel")
    assert remarks[3].startswith("3 points were added to the drawn ones, or copied")
    assert "left out by chance" in remarks[4]
    assert remarks[0] in result.report.read_text()


def test_two_draws_from_one_map_may_be_joined(mapped, tmp_path):
    drawn = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        sample = draw_reference_sample(
            mapped, per_class=20, seed=seed, workdir=tmp_path / str(seed)
        )
        drawn.append(geopandas.read_file(sample.points))
    pd.concat(drawn).to_file(tmp_path / "both.gpkg")
    labelled = label_points(
        tmp_path / "both.gpkg", tmp_path / "labelled.gpkg", named(codes_of(mapped))
    )
    result, statistics, _ = assessed(mapped, labelled, tmp_path)
    assert statistics["sample"]["drawn"] == 90
    assert (statistics["sample"]["added"], statistics["sample"]["missing"]) == (0, 0)
    pixels_of = pd.concat(drawn).geometry.to_wkt().nunique()
    assert result.labelled == pixels_of < 90  # all 5 of town came twice


def test_points_of_another_map_or_an_older_draw_are_refused(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, per_class=20, workdir=tmp_path, overwrite=True)
    labelled = label_points(drawn.points, tmp_path / "l.gpkg", named(codes_of(mapped)))
    other = shutil.copy(mapped, tmp_path / "other.tif")
    with rasterio.open(other, "r+") as dataset:
        dataset.update_tags(NOTE="another file")
    digests = [
        hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] for path in (mapped, other)
    ]
    with pytest.raises(
        InputError,
        match=rf"another map \({digests[0]}\) than other.tif \({digests[1]}\): draw points",
    ):
        assess_quality(
            other, labelled, design="stratified", workdir=tmp_path / "o", overwrite=True
        )
    older = geopandas.read_file(labelled).drop(columns=["map", "stratum"])
    older.to_file(tmp_path / "older.gpkg")
    with pytest.raises(
        InputError, match=r"older.gpkg lacks the columns map and stratum.*draw points"
    ):
        assess_quality(
            mapped,
            tmp_path / "older.gpkg",
            design="stratified",
            workdir=tmp_path / "o",
            overwrite=True,
        )
    assert (
        assess_quality(
            mapped, tmp_path / "older.gpkg", workdir=tmp_path / "o", overwrite=True
        ).labelled
        == 45
    )
    older.assign(map=digests[0], stratum="").to_file(tmp_path / "bare.gpkg")
    with pytest.raises(
        InputError, match=r"no labelled point of bare.gpkg lies where it was drawn"
    ):
        assess_quality(
            mapped,
            tmp_path / "bare.gpkg",
            design="stratified",
            workdir=tmp_path / "o",
            overwrite=True,
        )


def test_polygons_and_rasters_are_no_stratified_sample(mapped, tmp_path):
    shapes = [("forest", pixels(12, 0, 4, 12)), ("water", pixels(22, 32, 4, 4))]
    polygons = write_labels(tmp_path / "r.gpkg", shapes)
    for reference, found in ((polygons, "holds polygons"), (mapped, "is a raster")):
        with pytest.raises(InputError, match=f"needs points, .* {found}: draw points with draw-r"):
            assess_quality(mapped, reference, design="stratified", workdir=tmp_path / "o")


@pytest.mark.parametrize("design", ["none", "stratified"])
def test_points_without_a_class_are_not_taken_for_a_reference(mapped, tmp_path, design):
    drawn = draw_reference_sample(mapped, workdir=tmp_path)
    with pytest.raises(InputError, match="feature 1 has no class, nor has any other"):
        assess_quality(mapped, drawn.points, design=design, workdir=tmp_path / "o")


def test_features_without_a_class_are_counted_in_any_design(mapped, tmp_path):
    shapes = [("forest", pixels(12, 0, 4, 12)), (None, pixels(22, 32, 4, 4)),
              (" ", pixels(22, 40, 4, 4)), ("water", pixels(30, 32, 2, 2))]  # fmt: skip
    reference = write_labels(tmp_path / "r.gpkg", shapes)
    result = assess_quality(mapped, reference, workdir=tmp_path / "o")
    assert (result.labelled, result.accuracy) == (52, 1)
    assert "2 features of the reference have no class" in result.report.read_text()
    compared = compare_maps(mapped, mapped, reference, workdir=tmp_path / "c")
    assert "2 features of the reference have no class" in compared.report.read_text()


def test_a_class_of_the_map_needs_two_labelled_points(mapped, tmp_path):
    drawn = draw_reference_sample(mapped, per_class=20, workdir=tmp_path)
    codes = codes_of(mapped)
    for kept, found in ((0, "class of the map, town has none"), (1, "class, town has fewer")):

        def class_at(row, column, kept=kept):
            is_left = codes[row, column] != 2 or column < kept
            return named(codes)(row, column) if is_left else None

        reference = label_points(drawn.points, tmp_path / f"{kept}.gpkg", class_at)
        with pytest.raises(InputError, match=f"needs two pixels of each {found}"):
            assess_quality(mapped, reference, design="stratified", workdir=tmp_path / "o")


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
