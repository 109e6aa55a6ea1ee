"""Samples of several scenes: bands by name and sensor, places by ground, figures by scene."""

import json

import numpy as np
import pytest
from affine import Affine
from shapely.geometry import box

from landcover import extract_samples, train_classifier
from landcover.errors import InputError
from landcover.training.loading import load_samples
from landcover.training.train import places_apart
from tests.scenes import CRS, PIXEL, TRANSFORM, write_labels, write_raster

SIDE = 96


def scene_at(folder, east=0.0, north=0.0, *, crs=CRS, names=("red", "nir"), level=0, **tags):
    """Cut samples of a smooth scene, with 36 polygons of two classes, metres away from others."""
    folder.mkdir()
    transform = Affine.translation(east, north) @ TRANSFORM
    rng = np.random.default_rng(len(folder.name))
    values = np.kron(rng.integers(200, 4000, (2, 6, 6)), np.ones((1, 16, 16), int)) + level
    shapes = []
    for row in range(6):
        for column in range(6):
            left, top = transform @ (16 * column + 3, 16 * row + 3)
            shape = box(left, top - 5 * PIXEL, left + 5 * PIXEL, top)
            is_bright = values[0, 16 * row, 16 * column] > 2100 + level
            shapes.append(("bright" if is_bright else "dark", shape))
    scene = write_raster(
        folder / f"{folder.name}.tif", values.astype(np.uint16), names=names, transform=transform,
        crs=crs, **tags,
    )  # fmt: skip
    labels = write_labels(folder / "labels.gpkg", shapes)
    if crs != CRS:
        labels = folder / "moved.gpkg"
        import geopandas

        classes, outlines = zip(*shapes, strict=True)
        geopandas.GeoDataFrame({"class": list(classes)}, geometry=list(outlines), crs=crs).to_file(
            labels
        )
    return extract_samples(scene, labels, workdir=folder).samples


def test_scenes_far_apart_keep_places_and_distance_of_their_own(tmp_path):
    one = scene_at(tmp_path / "one")
    other = scene_at(tmp_path / "other", east=400_000, level=1500)
    alone = places_apart(load_samples([one], None, False))
    together = load_samples([one, other], None, False)
    assert [region.folders for region in together.ground.regions] == [(0,), (1,)]
    joined = places_apart(together)
    of_one, of_other = (joined.places[together.ground.folder == n] for n in (0, 1))
    assert not set(of_one) & set(of_other)
    assert len(set(of_one)) == len(set(alone.places)) > 20
    assert joined.distance < SIDE / 5


def test_scenes_of_systems_that_have_nothing_in_common_are_two_regions(tmp_path):
    one = scene_at(tmp_path / "one")
    other = scene_at(tmp_path / "other", crs="EPSG:32618")  # the other side of the earth
    together = load_samples([one, other], None, False)
    joined = places_apart(together)
    assert joined.distance is not None
    assert len(np.unique(joined.places)) > 40


def test_the_same_ground_on_two_dates_is_one_place(tmp_path):
    one, other = scene_at(tmp_path / "one"), scene_at(tmp_path / "two", level=900)
    together = load_samples([one, other], None, False)
    assert [region.folders for region in together.ground.regions] == [(0, 1)]
    assert len(np.unique(together.training_set.places)) == 36


def test_the_report_has_a_figure_for_each_scene(tmp_path):
    one = scene_at(tmp_path / "one")
    other = scene_at(tmp_path / "other", east=400_000, level=50)
    options = '{"trees": 20}'
    trained = train_classifier([one, other], options=options, workdir=tmp_path)
    report = json.loads(trained.report.read_text())
    scenes = report["scenes"]
    assert [scene["scene"] for scene in scenes] == ["one.tif", "other.tif"]
    assert [scene["n"] for scene in scenes] == [900, 900]
    assert sum(scene["places"] for scene in scenes) == report["groups"]
    mean = np.average([scene["accuracy_spatial"] for scene in scenes])
    assert mean == pytest.approx(report["accuracy_spatial"])


def test_bands_of_one_name_on_two_sensors_are_not_one_band(tmp_path):
    """B5 is near infrared on Landsat 8 and the red edge on Sentinel-2, whose B8A is that band."""
    one = scene_at(tmp_path / "one", names=("B4", "B5"), sensor="Landsat 8 OLI")
    far = {"east": 400_000, "sensor": "Sentinel-2A MSI"}
    other = scene_at(tmp_path / "other", names=("B8A", "B4"), **far)
    joined = load_samples([one, other], None, False)
    second = joined.training_set.pixels[joined.ground.folder == 1]
    alone = load_samples([other], None, False).training_set.pixels
    assert [band.name for band in joined.training_set.bands] == ["B4", "B5"]
    np.testing.assert_array_equal(second, alone[:, ::-1])
    third = scene_at(tmp_path / "third", names=("B4", "B5"), **far)
    with pytest.raises(InputError, match="all need the same"):
        load_samples([one, third], None, False)
