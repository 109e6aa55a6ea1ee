"""The demo's data are real, and its two sets of polygons share none."""

import pyogrio
import pytest
import rasterio

from demo.data import SENTINEL_CLASSES, prepare


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    prepare(folder)
    return folder


def test_the_sentinel_scene_is_real_and_named(shared):
    with rasterio.open(shared / "demo/scene.tif") as scene:
        assert (scene.count, scene.height, scene.width) == (13, 768, 1536)
        assert scene.crs.to_epsg() == 32633
        assert scene.descriptions[7:9] == ("B08", "B8A")


def test_reference_polygons_are_not_training_polygons(shared):
    labels, reference = (
        pyogrio.read_dataframe(shared / f"demo/{name}.gpkg") for name in ("labels", "reference")
    )
    assert set(labels["class"]) == set(reference["class"]) == set(SENTINEL_CLASSES)
    assert not set(labels["osm_id"]) & set(reference["osm_id"])


def test_every_demo_names_its_source_and_licence(shared):
    for name, licence in (("demo", "ODbL"), ("demo-landsat", "GPL-3.0-or-later")):
        assert licence in (shared / name / "ABOUT.txt").read_text()


def test_preparing_again_leaves_what_is_there(shared):
    mine = shared / "demo/ABOUT.txt"
    before = mine.stat().st_mtime_ns
    prepare(shared)
    assert mine.stat().st_mtime_ns == before
