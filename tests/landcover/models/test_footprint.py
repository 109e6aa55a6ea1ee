import json
from dataclasses import replace

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from landcover import assess_quality
from landcover.errors import InputError, ModelError
from landcover.models.card_checks import checked_card
from landcover.models.footprint import (
    MOST_BYTES,
    PLACES_TAG,
    Footprint,
    footprints_of_map,
    places_tag,
)
from landcover.training.ground import Located, footprint_of
from tests.landcover.models.test_hostile_models import card_of
from tests.scenes import CRS as UTM
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

CELLS = np.array([[0, 0], [0, 1], [2, 5], [0, 1]])
GOOD = Footprint.of_cells(CELLS, UTM, TRANSFORM, 16, complete=True)


def located(positions, transform=TRANSFORM, crs=UTM):
    return Located(np.zeros(len(positions), np.int64), np.array(positions), transform, crs)


def test_cells_side_by_side_are_one_run():
    assert GOOD.runs == ((0, 0, 1), (2, 5, 5))
    assert Footprint.from_plain(json.loads(GOOD.to_json())) == GOOD
    assert shapely.area(GOOD.outlines(CRS.from_string(UTM))).tolist() == [2 * 160**2, 160**2]


def test_cells_lie_where_they_were_in_another_crs():
    degrees = GOOD.outlines(CRS.from_epsg(4326))
    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    inside = to_degrees.transform(*(TRANSFORM @ (5 * 16 + 15.9, 2 * 16 + 0.1)))
    beside = to_degrees.transform(*(TRANSFORM @ (5 * 16 + 16.1, 2 * 16 + 0.1)))
    assert shapely.contains_xy(degrees[1], *inside)
    assert not shapely.contains_xy(degrees[1], *beside)


def test_a_crs_without_a_code_is_known_by_its_wkt():
    own = pyproj.CRS("+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84").to_wkt()
    made = footprint_of([located([[3, 3]], crs=own)])
    assert Footprint.from_plain(json.loads(made.to_json())) == made
    shifted = pyproj.CRS("+proj=utm +zone=33 +ellps=bessel +nadgrids=/etc/passwd").to_wkt()
    assert footprint_of([located([[3, 3]], crs=shifted)]) is None


def test_a_cell_across_the_antimeridian_is_no_belt_around_the_world():
    utm = Affine(10, 0, 640_000, 0, -10, 7_000_000)  # 180 degrees east lie in it
    across = Footprint.of_cells(np.array([[0, 0]]), "EPSG:32660", utm, 4000, complete=True)
    (outline,) = across.outlines(CRS.from_epsg(4326))
    west, _, east, _ = outline.bounds
    assert west < 180 < east
    assert east - west < 1.5


def test_cells_grow_until_they_fit_and_still_hold_every_pixel():
    at = np.random.default_rng(3).integers(0, 40_000, (50_000, 2))
    found = footprint_of([located(at)])
    assert len(found.to_json()) <= MOST_BYTES
    assert found.cell > 16
    held = {(row, c) for row, first, last in found.runs for c in range(first, last + 1)}
    assert {tuple(cell) for cell in (at // found.cell).tolist()} <= held


def test_folders_of_other_scenes_meet_on_the_grid_of_the_first():
    x, y = TRANSFORM @ (100.5, 40.5)
    coarse = Affine(30, 0, x - 15, 0, -30, y + 15)  # its pixel 0 0 lies around that pixel
    found = footprint_of([located([[0, 0]]), located([[0, 0]], coarse), located([[1, 1]], None)])
    assert (found.cell, found.complete) == (48, False)
    assert found.runs == ((0, 0, 0), (0, 2, 2))
    assert footprint_of([located([[0, 0]], None)]) is None
    assert footprint_of([located([[0, 0]], crs="somewhere")]) is None


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2154"])
def test_a_map_of_another_region_holds_no_training_place(tmp_path, crs):
    far = Affine(0.001, 0, 2, 0, -0.001, 47) if crs == "EPSG:4326" else Affine(
        10, 0, 600_000, 0, -10, 6_600_000
    )  # fmt: skip
    codes = np.ones((9, 9), np.uint8)
    mapped = write_raster(
        tmp_path / "m.tif", codes, crs=crs, transform=far, **{PLACES_TAG: GOOD.to_json()}
    )
    done = assess_quality(mapped, mapped, workdir=tmp_path / "o")
    statistics = json.loads(done.statistics.read_text())
    assert (statistics["inside_training"], statistics["trained_on_reference"]) == (0, False)


BROKEN = [
    [], "x", 7, {}, {"crs": None}, {"crs": "+init=/etc/passwd"}, {"crs": "http://a/b"},
    {"crs": "EPSG:999999"}, {"transform": [1, 0, 0, 0, 0, 0]}, {"transform": [1, 0, 0]},
    {"transform": "abcdef"}, {"transform": [10**400, 0, 0, 0, -1, 0]}, {"transform": 3},
    {"cell": 0}, {"cell": True}, {"cell": 1.5}, {"runs": []}, {"runs": [[0, 1]]}, {"runs": 9},
    {"runs": [[0, 5, 4]]}, {"runs": [[0, 0, 10**30]]}, {"runs": [[0, 0, 0.0]]}, {"runs": [7]},
    {"complete": 1}, {"complete": None},
]  # fmt: skip


@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_a_footprint_from_anybody_is_checked(tmp_path, change):
    plain = json.loads(GOOD.to_json())
    if isinstance(change, dict) and change:
        plain |= change
    else:
        plain = change
    card = json.loads(card_of().to_json())
    with pytest.raises(ModelError, match="card has an invalid places"):
        checked_card(json.dumps(card | {"places": plain}))
    mapped = write_raster(
        tmp_path / "m.tif", np.ones((9, 9), np.uint8), **{PLACES_TAG: json.dumps(plain)}
    )
    reference = write_labels(tmp_path / "r.gpkg", [(1, pixels(0, 0, 3, 3))])
    with pytest.raises(InputError, match="LANDCOVER_PLACES is damaged"):
        assess_quality(mapped, reference, workdir=tmp_path / "o")


@pytest.mark.parametrize(
    "text", ["x", "{", "[" * 10_000, '{"a": NaN}', "[" + " " * MOST_BYTES + "]"], ids=len
)
def test_a_tag_that_is_no_footprint_is_refused(tmp_path, text):
    mapped = write_raster(tmp_path / "m.tif", np.ones((9, 9), np.uint8), **{PLACES_TAG: text})
    reference = write_labels(tmp_path / "r.gpkg", [(1, pixels(0, 0, 3, 3))])
    with pytest.raises(InputError, match="LANDCOVER_PLACES is damaged"):
        assess_quality(mapped, reference, workdir=tmp_path / "o")


def test_a_map_of_several_models_was_trained_where_any_of_them_was(tmp_path):
    """Cells of 16 pixels in one place, of 4 in another, of which not all are known."""
    here = Footprint.of_cells(np.array([[0, 0]]), UTM, TRANSFORM, 16, complete=True)
    there = Footprint.of_cells(np.array([[8, 8]]), UTM, TRANSFORM, 4, complete=True)
    tag = places_tag([here, None, there, here])
    mapped = write_raster(tmp_path / "m.tif", np.ones((40, 40), np.uint8), **tag)
    with rasterio.open(mapped) as dataset:
        known = footprints_of_map(dataset)
    assert known == (replace(here, complete=False), replace(there, complete=False))
    done = assess_quality(mapped, mapped, workdir=tmp_path / "o")
    share = json.loads(done.statistics.read_text())["inside_training"]
    assert share == (16**2 + 4**2) / 40**2
    assert places_tag([here, here]) == {PLACES_TAG: here.to_json()}
    assert places_tag([None]) == {}


@pytest.mark.parametrize("several", [[], [[]], [GOOD, 7], [GOOD] * 17])
def test_a_list_of_footprints_is_checked_too(several, tmp_path):
    plain = [json.loads(each.to_json()) if each is GOOD else each for each in several]
    text = json.dumps(plain)
    mapped = write_raster(tmp_path / "m.tif", np.ones((9, 9), np.uint8), **{PLACES_TAG: text})
    with pytest.raises(InputError, match="LANDCOVER_PLACES is damaged"):
        assess_quality(mapped, mapped, workdir=tmp_path / "o")
