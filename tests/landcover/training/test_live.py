"""What is learned from while somebody draws is what extraction and loading give of it."""

import geopandas
import numpy as np
import pytest
from shapely.geometry import Point, box

from landcover import extract_samples
from landcover.errors import InputError
from landcover.io.bands import choose_bands
from landcover.io.raster import Grid, open_scene
from landcover.samples.labels import labels_of_features
from landcover.training import live
from landcover.training.live import label_pixels
from landcover.training.loading import load_samples
from landcover.training.train import places_apart
from tests.scenes import write_raster

SIDE = 600  # wider than the windows that are read
CRS = "EPSG:32633"


@pytest.fixture
def scene(tmp_path):
    """A scene with a hole of nodata in it."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4000, (3, SIDE, SIDE)).astype("uint16")
    values[:, 20:24, 20:24] = 0
    path = tmp_path / "scene.tif"
    write_raster(path, values, crs=CRS, nodata=0)
    return path


def frame_of(scene, boxes):
    """Return polygons by columns and rows: class, left, top, right, bottom."""
    with open_scene(scene, None) as dataset:
        transform = dataset.transform
    shapes = [box(*(transform @ (a, d)), *(transform @ (c, b))) for _, a, b, c, d in boxes]
    return geopandas.GeoDataFrame({"class": [one[0] for one in boxes]}, geometry=shapes, crs=CRS)


def live_of(scene, frame, with_windows=False):
    with open_scene(scene, None) as dataset:
        labels = labels_of_features(
            frame.geometry.to_numpy(), list(frame["class"]), CRS, Grid.of(dataset), "drawn"
        )
        return label_pixels(dataset, labels, choose_bands(dataset), with_windows)


BOXES = [
    ("water", 10, 18, 24, 23),  # over the hole
    ("forest", 508, 508, 516, 517),  # over a corner of windows
    ("water", 0, 590, 5, 600),  # at the edge of the scene
    ("forest", 22, 21, 27, 26),  # over the first one
]


@pytest.mark.parametrize("with_windows", [False, True])
@pytest.mark.parametrize("kind", ["polygons", "points"])
def test_pixels_are_those_of_a_samples_folder_in_their_order(scene, tmp_path, with_windows, kind):
    frame = frame_of(scene, BOXES)
    if kind == "points":
        frame = frame.set_geometry([Point(shape.centroid) for shape in frame.geometry])
    frame.to_file(tmp_path / "labels.gpkg")
    cut = extract_samples(
        scene, tmp_path / "labels.gpkg", context=3 if with_windows else 0, workdir=tmp_path
    )
    folder = load_samples([cut.samples], None, False, lambda context: with_windows)
    drawn = live_of(scene, frame, with_windows)
    for name in ("pixels", "features", "codes"):
        of_folder, of_scene = (getattr(one.training_set, name) for one in (folder, drawn))
        assert np.array_equal(of_folder, of_scene), name
    assert folder.legend == drawn.legend
    assert np.array_equal(places_apart(folder).places, places_apart(drawn).places)


def test_of_large_polygons_some_pixels_stand_for_all_always_the_same(scene, monkeypatch):
    monkeypatch.setattr(live, "MOST_OF_FEATURE", 50)
    frame = frame_of(scene, [("water", 30, 0, 90, 90), ("forest", 0, 0, 5, 5)])
    first, second = (live_of(scene, frame).training_set for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    counts = np.bincount(first.codes)[1:]
    assert counts[0] == 25  # forest whole
    assert 10 < counts[1] < 100


def test_labels_on_nodata_alone_are_refused(scene):
    with pytest.raises(InputError, match="no labelled pixel lies on valid pixels"):
        live_of(scene, frame_of(scene, [("water", 20, 20, 24, 24)]))
