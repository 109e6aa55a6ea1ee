"""Hostile and odd input: the antimeridian."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer

from tests.landcover.hostile.desk import (
    a_map,
    a_scene,
    numbered,
    pixel_polygon,
    square,
    write_geojson,
)

BEYOND = Affine.translation(179, 1) @ Affine.scale(0.125, -0.125)
"""Degrees, 16 pixels from 179 to 181."""


def test_labels_beyond_the_antimeridian_meet_a_scene_that_crosses_it_in_degrees(desk):
    values = numbered()
    scene = a_scene(desk, values, crs="EPSG:4326", transform=BEYOND)
    labels = write_geojson(
        desk.inputs / "labels.geojson",
        ("east", square(179.25, 0.5, 179.5, 0.75)),
        ("west", square(-179.75, 0.5, -179.5, 0.75)),
        ("far", square(180.5, -0.25, 180.75, 0)),
    )
    desk.does("extract-samples", scene=scene, labels=labels)
    for name, window in (("east", np.s_[:, 2:4, 2:4]), ("west", np.s_[:, 2:4, 10:12]),
                         ("far", np.s_[:, 8:10, 12:14])):  # fmt: skip
        found = desk.samples(name)[:, :, 0, 0].T
        np.testing.assert_array_equal(found, values[window].reshape(2, 4))


@pytest.mark.parametrize("zone", [60, 1])
def test_labels_on_both_sides_of_the_antimeridian_meet_a_scene_in_utm(desk, zone):
    crs = f"EPSG:326{zone:02}"
    to_utm = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_utm.transform(180, 60)
    transform = Affine.translation(round(x) - 800, round(y) + 800) @ Affine.scale(100, -100)
    values = numbered()
    scene = a_scene(desk, values, crs=crs, transform=transform)
    at = {"east": (4, 2), "west": (9, 13)}
    points = []
    for name, (row, column) in at.items():
        east, north = transform @ (column + 0.5, row + 0.5)
        lon, lat = to_utm.transform(east, north, direction="INVERSE")
        points.append((name, {"type": "Point", "coordinates": [lon, lat]}))
    east, west = (points[i][1]["coordinates"][0] for i in range(2))
    assert east > 179.9
    assert west < -179.9
    desk.does(
        "extract-samples", scene=scene, labels=write_geojson(desk.inputs / "l.geojson", *points)
    )
    for name, (row, column) in at.items():
        assert desk.samples(name)[0, :, 0, 0].tolist() == values[:, row, column].tolist()


def test_a_polygon_across_the_antimeridian_meets_a_scene_in_utm(desk):
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = to_utm.transform(180, 60)
    transform = Affine.translation(x - 800, y + 800) @ Affine.scale(100, -100)
    shape = pixel_polygon(transform, 6, 5, 3, 7)
    corners = [to_utm.transform(*xy, direction="INVERSE") for xy in shape.exterior.coords]
    assert min(lon for lon, _ in corners) < -179 < 179 < max(lon for lon, _ in corners)
    rings = {"jumps": corners, "grows": [(lon % 360, lat) for lon, lat in corners]}
    scene = a_scene(desk, crs="EPSG:32660", transform=transform)
    for name, ring in rings.items():
        polygon = {"type": "Polygon", "coordinates": [ring]}
        labels = write_geojson(desk.inputs / f"{name}.geojson", (name, polygon))
        assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 21
        found = desk.samples(name)[:, :, 0, 0].T
        np.testing.assert_array_equal(found, numbered()[:, 6:9, 5:12].reshape(2, 21))


def test_a_label_raster_in_degrees_meets_a_scene_in_utm_on_both_sides(desk):
    to_utm = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = to_utm.transform(180, 0.5)
    transform = Affine.translation(x - 8000, y + 8000) @ Affine.scale(1000, -1000)
    scene = a_scene(desk, crs="EPSG:32660", transform=transform)
    codes = np.ones((16, 16), np.uint8)
    codes[:, 8:] = 2
    labels = a_map(desk, codes, "labels.tif", crs="EPSG:4326", transform=BEYOND)
    assert desk.does("extract-samples", scene=scene, labels=labels)["total"] == 256
    assert desk.counts() == {"forest": 128, "town": 128, "water": 0}
