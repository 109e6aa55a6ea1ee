import csv
from datetime import date

import geopandas
import numpy as np
import pytest
from shapely.geometry import Point

from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.training.sample_check import check_samples
from tests.scenes import CRS, TRANSFORM, pixels, quarters, write_raster

HALF = 64


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    values, _ = quarters(2 * HALF)
    values[:, 94:98, 106:110] *= 3  # in the quarter at the lower right
    folder = tmp_path_factory.mktemp("scene")
    return write_raster(folder / "scene.tif", values, names=["red", "green", "nir"])


def grid_of(name, top, left):
    """Return 12 squares of a class that lie apart in one quarter."""
    return [
        (name, pixels(top + 6 + 16 * (n // 4), left + 6 + 14 * (n % 4), 4, 4)) for n in range(12)
    ]


GOOD = [
    *grid_of("a", 0, 0), *grid_of("b", 0, HALF), *grid_of("c", HALF, 0), *grid_of("d", HALF, HALF)
]  # fmt: skip


def check(scene, workdir, shapes, oldest="", **columns):
    names, geometries = zip(*shapes, strict=True)
    columns = {"id": [f"id {n}" for n in range(len(names))], **columns}
    frame = geopandas.GeoDataFrame({"class": names, **columns}, geometry=list(geometries), crs=CRS)
    frame.to_crs(4326).to_file(workdir / "labels.gpkg")
    with collecting_notes(lambda sentence: None) as notes:
        done = check_samples(scene, workdir / "labels.gpkg", oldest=oldest, workdir=workdir)
    with done.findings.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == done.total
    return done, rows, notes.remarks


def said(rows):
    return {(int(r["feature"]), r["finding"], r["other"]) for r in rows}


def test_good_samples_have_no_finding(scene, tmp_path):
    done, rows, _ = check(scene, tmp_path, GOOD)
    assert (rows, done.total, done.share) == ([], 0, 0)
    assert len(geopandas.read_file(done.places)) == 0


def test_what_is_planted_is_found_listed_and_left_alone(scene, tmp_path):
    shapes = [
        *GOOD,
        ("a", pixels(14, HALF + 14, 3, 3)),  # in the place of b
        ("d", pixels(94, 106, 4, 4)),  # of a strange spectrum
        ("b", pixels(0, HALF, 3, 3)),
        ("c", pixels(2, HALF + 2, 3, 3)),  # overlaps it
        GOOD[0],  # again
    ]
    number = len(GOOD) + 1
    done, rows, _ = check(scene, tmp_path, shapes)
    assert said(rows) >= {
        (number, "other class", "b"),
        (number + 1, "far spectrum", "d"),
        (number + 3, "overlap", str(number + 2)),
        (number + 4, "duplicate", "1"),
    }
    assert {int(r["feature"]) for r in rows} <= {1, *range(number, number + 5)}
    wrong = next(r for r in rows if r["finding"] == "other class" and r["feature"] == str(number))
    assert (wrong["id"], wrong["class"]) == (f"id {number - 1}", "a")
    assert 0.5 < float(wrong["score"]) <= 1
    places = geopandas.read_file(done.places)
    assert len(places) == done.total
    for (_, place), row in zip(places.iterrows(), rows, strict=True):
        assert shapes[int(row["feature"]) - 1][1].buffer(0.1).contains(place.geometry)
        assert (place["feature"], place["finding"]) == (int(row["feature"]), row["finding"])
    assert len(geopandas.read_file(tmp_path / "labels.gpkg")) == len(shapes)
    assert done.share == len({r["feature"] for r in rows}) / len(shapes)


def test_points_at_one_place(scene, tmp_path):
    x, y = TRANSFORM @ (20.5, 60.5)
    shapes = [*GOOD, ("a", Point(x, y)), ("a", Point(x + 1, y)), ("c", Point(x, y + 1))]
    _, rows, _ = check(scene, tmp_path, shapes)
    first = len(GOOD) + 1
    assert {
        (first + 1, "duplicate", str(first)),
        (first + 2, "overlap", str(first)),
        (first + 2, "overlap", str(first + 1)),
    } <= said(rows)


def test_old_images_by_the_name_of_the_image_or_when_drawn(scene, tmp_path):
    images = ["shared/S2_20190731T05.tif", "shared/2024-05-01.tif", "", *[""] * 45]
    times = ["2025-01-01T00:00:00Z", "2018-01-01", "2019-02-28T10:00:00Z", *[""] * 45]
    _, rows, remarks = check(scene, tmp_path, GOOD, "2020-01-01", image=images, drawn=times)
    assert [(r["feature"], r["finding"], r["other"]) for r in rows] == [
        ("3", "old image", "2019-02-28"), ("1", "old image", "2019-07-31")
    ]  # fmt: skip
    days = (date(2020, 1, 1) - date(2019, 7, 31)).days
    assert float(rows[1]["score"]) == days
    assert "45 samples without a date, whose age is not known" in remarks


def test_what_cannot_be_told_is_a_remark(scene, tmp_path):
    _, rows, remarks = check(scene, tmp_path, [*grid_of("a", 0, 0), ("b", pixels(9, 99, 4, 4))])
    assert rows == []
    assert any(r.startswith("b has fewer than two places") for r in remarks)
    assert any(r.startswith("b: fewer than 5 samples") for r in remarks)


def test_bad_input_is_refused(scene, tmp_path):
    with pytest.raises(InputError, match="needs to be a date"):
        check(scene, tmp_path, GOOD, "yesterday")
    codes = write_raster(tmp_path / "codes.tif", np.ones((1, 9, 9), np.uint8))
    with pytest.raises(InputError, match="is a raster"):
        check_samples(scene, codes, workdir=tmp_path)


def test_swapped_classes_come_first(scene, tmp_path):
    swapped = [3, 17, 30, 44]
    shapes = [("abcd"["abcd".index(n) - 1], g) if i in swapped else (n, g)
              for i, (n, g) in enumerate(GOOD)]  # fmt: skip
    _, rows, _ = check(scene, tmp_path, shapes)
    told = [(int(r["feature"]) - 1, r["other"]) for r in rows if r["finding"] == "other class"]
    assert sorted(told[:4]) == [(i, GOOD[i][0]) for i in swapped]
